"""A window whose only task is killed in its first try, and counts rows in the next."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.operators.milvus import milvus_loaded

with DAG("held_window", schedule=None, start_date=datetime(2026, 1, 1)), milvus_loaded("held_window"):

    @task(retries=2, retry_delay=timedelta(seconds=1))
    def count(ti: Any = None) -> int:
        if ti.try_number == 1:
            time.sleep(3600)
        with MilvusHook().client() as client:
            (row,) = client.query("held_window", output_fields=["count(*)"])
        return int(row["count(*)"])

    count()
