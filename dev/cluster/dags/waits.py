"""Many waits in the triggerers. Each one that ends writes a line, so that one that ends twice is seen."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Context, Param, task

from airflow_provider_milvus.sensors.milvus import MilvusLoadStateSensor


class Wait(MilvusLoadStateSensor):
    def execute_complete(self, context: Context, event: Any = None) -> None:
        super().execute_complete(context, event)
        with Path(os.environ["CLUSTER_SHARED"], "waits").open("a") as ended:
            print(context["ti"].map_index, file=ended)


with DAG("waits", schedule=None, start_date=datetime(2026, 1, 1), params={"waits": Param(100, type="integer")}):

    @task
    def names(params: dict[str, Any] | None = None) -> list[str]:
        assert params is not None
        return ["awaited"] * int(params["waits"])

    Wait.partial(task_id="wait", deferrable=True, poke_interval=2, timeout=1800).expand(collection_name=names())
