"""A window whose run is marked as failed while the triggerer waits for the load."""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_milvus.operators.milvus import milvus_loaded

with (
    DAG("abandoned_window", schedule=None, start_date=datetime(2026, 1, 1)),
    milvus_loaded("abandoned_window", deferrable=True, poll_interval=600),
):

    @task
    def use() -> None:
        pass

    use()
