"""Imports over the REST API v2: Milvus from 2.4 on, and Zilliz Cloud, which takes the files as ``objectUrls``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_milvus.answers.numbers import read_percent, read_whole_number
from airflow_provider_milvus.bulk_import.job import Files, ImportApi, ImportTarget, Job, JobState, ReportedFile
from airflow_provider_milvus.client.flow import Flow, Rest, Still
from airflow_provider_milvus.exceptions import MilvusNotFoundError, MilvusServerError, MilvusUnsupportedError

JOBS = "/v2/vectordb/jobs/import"
PAGE = 100
"""Jobs in one page of the listing."""
CREATE_TIMEOUT = 15.0
"""Seconds to wait for the answer to a new job. After that the job is looked for in the listing."""
STATES = {state.lower(): state for state in JobState}


class RestImports(ImportApi):
    def portions(self, files: Files) -> list[Files]:
        return [files]

    def create(self, target: ImportTarget, files: Files, still: Still) -> Flow[str]:
        body = {
            "collectionName": target.collection_name,
            "partitionName": target.partition_name,
            "objectUrls" if target.object_urls else "files": files,
            "options": dict(target.options),
            **target.storage,
        }
        body = {key: value for key, value in body.items() if value}
        data = yield Rest(f"{JOBS}/create", body, CREATE_TIMEOUT, still=still)
        if data is None:
            return ""
        job_id = data.get("jobId") if isinstance(data, dict) else None
        if not job_id:
            raise MilvusServerError(f"Whether the import began is not known: the server's answer names no job: {data!r}.")
        return str(job_id)

    def jobs(self, collection_name: str, job_ids: Sequence[str]) -> Flow[list[Job]]:
        jobs = []
        for job_id in job_ids:
            data = yield from self._describe(job_id)
            if data is not None:
                jobs.append(_read_job(job_id, _as_dict(data)))
        return jobs

    def _describe(self, job_id: str) -> Flow[Any]:
        try:
            try:
                return (yield Rest(f"{JOBS}/describe", {"jobId": job_id}))
            except MilvusUnsupportedError:
                # Its name in the first servers of 2.4.
                return (yield Rest(f"{JOBS}/get_progress", {"jobId": job_id}))
        except MilvusNotFoundError:
            return None

    def listed(self, collection_name: str) -> Flow[list[str]]:
        ids: dict[str, None] = {}
        listed, page = 0, 1
        while True:
            fields = {"collectionName": collection_name, "pageSize": PAGE, "currentPage": page}
            data = _as_dict((yield Rest(f"{JOBS}/list", fields)))
            records = _as_dicts(data.get("records"))
            own = [job for job in records if job.get("collectionName", collection_name) == collection_name]
            ids.update((str(job["jobId"]), None) for job in own if job.get("jobId"))
            # Zilliz Cloud sends pages with the jobs of all collections, and their count; Milvus sends everything at once.
            listed, page = listed + len(records), page + 1
            if not records or listed >= (read_whole_number(data.get("count")) or 0):
                return list(ids)


def _read_job(job_id: str, data: dict[str, Any]) -> Job:
    files = tuple(map(_read_file, _as_dicts(data.get("details"))))
    if not files and data.get("fileName"):
        files = (_read_file(data),)
    state = _read_state(data)
    rows = read_whole_number(data.get("importedRows"))
    if state == JobState.COMPLETED and rows is None:
        # Zilliz Cloud reports the total only.
        rows = read_whole_number(data.get("totalRows"))
    return Job(job_id, state, read_percent(data.get("progress")) or 0, rows, files, str(data.get("reason") or ""))


def _read_file(data: dict[str, Any]) -> ReportedFile:
    name, reason = str(data.get("fileName") or ""), str(data.get("reason") or "")
    return ReportedFile(name, _read_state(data), read_whole_number(data.get("importedRows")), reason)


def _read_state(data: dict[str, Any]) -> str:
    """``InProgress``, or a state that this provider does not know, is not the end of a job."""
    return STATES.get(str(data.get("state")).lower(), JobState.IMPORTING)


def _as_dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _as_dicts(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
