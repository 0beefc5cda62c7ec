"""One file."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_milvus.operators.milvus import MilvusInsertOperator

with DAG("ingest", schedule=None, start_date=datetime(2026, 1, 1)):
    MilvusInsertOperator(
        task_id="insert",
        collection_name="ingest",
        rows=str(Path(os.environ["CLUSTER_SHARED"], "ingest.jsonl")),
        # So small that it takes its time.
        batch_rows=20,
    )
