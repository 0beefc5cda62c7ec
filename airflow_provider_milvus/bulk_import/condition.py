"""What a task waits for: every file of an import is in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from airflow_provider_milvus.bulk_import import import_api
from airflow_provider_milvus.bulk_import.job import Job, JobState
from airflow_provider_milvus.client.flow import Flow
from airflow_provider_milvus.conditions.base import Condition, Observation, Verdict
from airflow_provider_milvus.exceptions import MilvusError, MilvusImportError

MOST_FILES_NAMED = 10
"""How many files of a failed import are named with their reasons."""


@dataclass(frozen=True)
class ImportFinished(Condition):
    """The import jobs of a collection have completed. When one has failed, the others are waited for first.

    :raises MilvusUnsupportedError: the server is Milvus Lite.
    """

    collection_name: str
    job_ids: list[str]

    def __str__(self) -> str:
        return f"Import into {self.collection_name!r} (job {', '.join(self.job_ids)})"

    def look(self) -> Flow[Observation]:
        api = yield from import_api(self.collection_name)
        jobs = yield from api.jobs(self.collection_name, self.job_ids)
        progress = sum(job.progress for job in jobs) // max(len(jobs), 1)
        if not all(job.ended for job in jobs):
            state = JobState.PENDING if all(job.state == JobState.PENDING for job in jobs) else JobState.IMPORTING
            return Observation(Verdict.NOT_YET, state.value, progress)
        known_ids = {job.job_id for job in jobs}
        if unknown_ids := [job_id for job_id in self.job_ids if job_id not in known_ids]:
            reason = f"the server does not know job {', '.join(unknown_ids)}, or no longer; whether it completed is not known"
            return Observation(Verdict.NEVER, "Unknown", None, reason)
        if failed := [job for job in jobs if job.state == JobState.FAILED]:
            return Observation(
                Verdict.NEVER, JobState.FAILED.value, progress, _describe_failure(failed, len(jobs) - len(failed))
            )
        return Observation(Verdict.MET, JobState.COMPLETED.value, 100)


@dataclass(frozen=True)
class SubmittedImport(ImportFinished):
    """The import that this task submitted. When it fails, a retry of the task imports the failed files anew."""

    never_error: ClassVar[type[MilvusError]] = MilvusImportError


def _describe_failure(failed: list[Job], completed: int) -> str:
    reasons = [reason for job in failed for reason in job.failure_reasons()]
    more = f"; and {len(reasons) - MOST_FILES_NAMED} more" if len(reasons) > MOST_FILES_NAMED else ""
    rest = f". {completed} other job(s) completed, and their rows are in" if completed else ""
    return "; ".join(reasons[:MOST_FILES_NAMED]) + more + rest
