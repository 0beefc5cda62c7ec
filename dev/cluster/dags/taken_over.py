"""A load that would be released if somebody killed its task."""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_milvus.operators.milvus import MilvusLoadCollectionOperator

with DAG("taken_over", schedule=None, start_date=datetime(2026, 1, 1)):
    MilvusLoadCollectionOperator(
        task_id="load", collection_name="taken_over", release_on_kill=True, deferrable=True, poll_interval=2
    )
