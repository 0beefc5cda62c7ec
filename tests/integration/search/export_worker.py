"""A worker process that exports a collection slowly, for a test that kills it. Its notes outlive it."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import airflow.providers.common.compat.sdk as sdk

from airflow_provider_milvus.operators.milvus import MilvusExportOperator
from airflow_provider_milvus.search import export
from tests.integration.ingest.ingest_worker import variables_in


def work(name: str, folder: Path, tries: int, more: dict[str, Any], environment: dict[str, str]) -> None:
    """One try of the task."""
    sdk.Variable = variables_in(folder.with_suffix(".notes"))  # type: ignore[misc,assignment]
    logging.disable(logging.INFO)
    os.environ.update(environment)
    take = export.Files.take

    def slow(files: Any, page: Any) -> None:
        time.sleep(0.05)
        take(files, page)

    export.Files.take = slow  # type: ignore[method-assign]
    context = {"run_id": "manual__1", "ti": SimpleNamespace(dag_id="d", task_id="t", map_index=-1, try_number=tries)}
    MilvusExportOperator(task_id="t", collection_name=name, path=str(folder), **more).execute(context)  # type: ignore[arg-type]
