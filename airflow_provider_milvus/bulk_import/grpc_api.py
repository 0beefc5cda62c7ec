"""Imports of Milvus 2.3, over gRPC: a task for each file.

Measured on 2.3.5 with local storage: it reads Parquet and JSON files (``{"rows": […]}``) by the absolute path that the server
sees, refuses two such files in one task, and tells of a task what it is at, which file it reads, and why it failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_milvus.bulk_import.job import (
    COMPLETED,
    FAILED,
    IMPORTING,
    PENDING,
    Files,
    FileSeen,
    ImportApi,
    Job,
    Target,
)
from airflow_provider_milvus.client.flow import Flow, Rpc
from airflow_provider_milvus.exceptions import MilvusServerError
from airflow_provider_milvus.schema.pairs import from_pairs, to_pairs

_STATES = {0: PENDING, 1: FAILED, 2: IMPORTING, 5: IMPORTING, 6: COMPLETED, 7: FAILED, 8: IMPORTING}
"""Milvus's ``ImportState``. Persisted (5) and Flushed (8) are on the way to Completed."""


class GrpcImports(ImportApi):
    def portions(self, files: Files) -> list[Files]:
        return [[each] for each in files]

    def create(self, target: Target, files: Files) -> Flow[str]:
        (group,) = files
        fields = {
            "collection_name": target.collection_name,
            "partition_name": target.partition_name,
            "files": group,
            "options": to_pairs(target.options),
        }
        answer = yield Rpc("Import", fields, repeat_after_timeout=False, repeatable=False)
        if len(answer.tasks) != 1:
            raise MilvusServerError(f"The server made {len(answer.tasks)} tasks of the import of {group}, instead of one.")
        return str(answer.tasks[0])

    def jobs(self, collection_name: str, job_ids: Sequence[str]) -> Flow[list[Job]]:
        found = yield from self._all(collection_name)
        return [found[each] for each in job_ids if each in found]

    def listed(self, collection_name: str) -> Flow[list[str]]:
        return list((yield from self._all(collection_name)))

    def _all(self, collection_name: str) -> Flow[dict[str, Job]]:
        answer = yield Rpc("ListImportTasks", {"collection_name": collection_name})
        return {str(each.id): _job(each) for each in answer.tasks}


def _job(task: Any) -> Job:
    told = from_pairs(task.infos)
    state = _STATES.get(int(task.state), IMPORTING)
    rows = int(task.row_count) if state == COMPLETED else None
    reason = told.get("failed_reason", "")
    files = (FileSeen(told["files"], state, rows, reason),) if told.get("files") else ()
    progress = 100 if state == COMPLETED else int(told.get("progress_percent") or 0)
    return Job(str(task.id), state, progress, rows, files, reason)
