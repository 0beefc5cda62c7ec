"""Tasks that do nothing: what Airflow itself needs for one."""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG, BaseOperator, Context


class Nothing(BaseOperator):
    def execute(self, context: Context) -> None:
        pass


with DAG("costs_nothing", schedule=None, start_date=datetime(2026, 1, 1)):
    for number in range(16):
        Nothing(task_id=f"nothing_{number}")
