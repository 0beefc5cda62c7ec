"""As many releases, each of a collection that is not in memory: what the provider adds."""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_milvus.operators.milvus import MilvusReleaseCollectionOperator

with DAG("costs_release", schedule=None, start_date=datetime(2026, 1, 1)):
    for number in range(16):
        MilvusReleaseCollectionOperator(task_id=f"release_{number}", collection_name="costs")
