"""An import whose first try is killed while the server imports."""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Context

from airflow_provider_milvus.operators.milvus import MilvusBulkImportOperator

SHARED = Path(os.environ["CLUSTER_SHARED"])


class Import(MilvusBulkImportOperator):
    def execute(self, context: Context) -> dict[str, Any]:
        self._is_first = context["ti"].try_number == 1
        return super().execute(context)

    def watch(self, *arguments: Any, **more: Any) -> Any:
        if self._is_first:
            (SHARED / "importing").touch()
            time.sleep(3600)
        return super().watch(*arguments, **more)


with DAG("bulk_import", schedule=None, start_date=datetime(2026, 1, 1)):
    Import(
        task_id="import",
        collection_name="bulk_import",
        files=str(SHARED / "bulk_import.json"),
        retries=2,
        retry_delay=timedelta(seconds=1),
        deferrable=False,
    )
