"""The nightly reclaim."""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_milvus.operators.milvus import MilvusReclaimMemoryOperator

with DAG("reclaim", schedule=None, start_date=datetime(2026, 1, 1)):
    MilvusReclaimMemoryOperator(task_id="reclaim", collections="events_*", retries=2, retry_delay=timedelta(seconds=1))
