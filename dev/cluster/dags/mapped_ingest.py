"""Files that several workers insert, two at a time: a pool for each Milvus keeps its writers few."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, Asset, task

from airflow_provider_milvus.operators.milvus import MilvusInsertOperator, split_files

with DAG("mapped_ingest", schedule=None, start_date=datetime(2026, 1, 1)):

    @task
    def parts() -> list[list[str]]:
        return split_files(str(Path(os.environ["CLUSTER_SHARED"], "mapped_ingest")), parts=100)

    MilvusInsertOperator.partial(
        task_id="insert",
        collection_name="mapped_ingest",
        # So small that it takes its time.
        batch_rows=20,
        # Named, so that Airflow knows the asset before: of two tasks that make it known at the same moment, 3.3.2 fails one.
        outlets=[Asset(f"{os.environ['CLUSTER_MILVUS']}/default/mapped_ingest")],
        pool="milvus_writers",
        retries=2,
        retry_delay=timedelta(seconds=1),
    ).expand(rows=parts())
