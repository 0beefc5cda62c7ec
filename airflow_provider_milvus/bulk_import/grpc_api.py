"""Imports of Milvus 2.3, over gRPC. A job is one import task of the server, which reads one file.

Measured on 2.3.5 with local storage: it reads Parquet and JSON files (``{"rows": […]}``) by their absolute path on the
server's machine, and refuses two such files in one task. It reports a task's state, its file, and why it failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_milvus.answers.numbers import read_percent, read_whole_number
from airflow_provider_milvus.bulk_import.job import Files, ImportApi, ImportTarget, Job, JobState, ReportedFile
from airflow_provider_milvus.client.flow import Flow, Rpc, Still
from airflow_provider_milvus.exceptions import MilvusServerError
from airflow_provider_milvus.schema.pairs import from_pairs, to_pairs

STATES = {0: JobState.PENDING, 1: JobState.FAILED, 6: JobState.COMPLETED, 7: JobState.FAILED}
"""Milvus's ``ImportState``. Persisted (5) and Flushed (8) are on the way to Completed."""


class GrpcImports(ImportApi):
    def portions(self, files: Files) -> list[Files]:
        return [[group] for group in files]

    def create(self, target: ImportTarget, files: Files, still: Still) -> Flow[str]:
        (group,) = files
        fields = {
            "collection_name": target.collection_name,
            "partition_name": target.partition_name,
            "files": group,
            "options": to_pairs(target.options),
        }
        answer = yield Rpc("Import", fields, still=still)
        if answer is None:
            return ""
        if len(answer.tasks) != 1:
            raise MilvusServerError(f"The import of {group} became {len(answer.tasks)} tasks of the server instead of one.")
        return str(answer.tasks[0])

    def jobs(self, collection_name: str, job_ids: Sequence[str]) -> Flow[list[Job]]:
        jobs = yield from self._all_jobs(collection_name)
        return [jobs[job_id] for job_id in job_ids if job_id in jobs]

    def listed(self, collection_name: str) -> Flow[list[str]]:
        return list((yield from self._all_jobs(collection_name)))

    def _all_jobs(self, collection_name: str) -> Flow[dict[str, Job]]:
        answer = yield Rpc("ListImportTasks", {"collection_name": collection_name})
        return {str(task.id): _read_job(task) for task in answer.tasks}


def _read_job(task: Any) -> Job:
    infos = from_pairs(task.infos)
    state = STATES.get(int(task.state), JobState.IMPORTING)
    rows = read_whole_number(task.row_count) if state == JobState.COMPLETED else None
    reason = infos.get("failed_reason", "")
    files = (ReportedFile(infos["files"], state, rows, reason),) if infos.get("files") else ()
    progress = 100 if state == JobState.COMPLETED else read_percent(infos.get("progress_percent")) or 0
    return Job(str(task.id), state, progress, rows, files, reason)
