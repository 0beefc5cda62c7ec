"""Bulk imports: whether every file is in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from airflow_provider_milvus.bulk_import import Job, import_api
from airflow_provider_milvus.bulk_import.job import COMPLETED, FAILED, PENDING
from airflow_provider_milvus.client.flow import Flow
from airflow_provider_milvus.conditions.base import Condition, Observation, Verdict
from airflow_provider_milvus.exceptions import MilvusError, MilvusImportError

LONGEST_LIST = 10
"""How many files of a failed import are named with their reasons."""


@dataclass(frozen=True)
class ImportFinished(Condition):
    """Some import jobs of a collection have completed. When one has failed, the others are waited for first.

    :raises MilvusUnsupportedError: the server is Milvus Lite.
    """

    collection_name: str
    job_ids: list[str]

    def __str__(self) -> str:
        return f"Import into {self.collection_name!r} (job {', '.join(self.job_ids)})"

    def look(self) -> Flow[Observation]:
        api = yield from import_api()
        jobs = yield from api.jobs(self.collection_name, self.job_ids)
        progress = sum(each.progress for each in jobs) // max(len(jobs), 1)
        if any(not each.ended for each in jobs):
            state = PENDING if all(each.state == PENDING for each in jobs) else "Importing"
            return Observation(Verdict.NOT_YET, state, progress)
        if lost := [each for each in self.job_ids if each not in {job.job_id for job in jobs}]:
            reason = f"the server does not know job {', '.join(lost)}, or no longer; whether it completed is not known"
            return Observation(Verdict.NEVER, "Unknown", None, reason)
        if failed := [each for each in jobs if each.state == FAILED]:
            return Observation(Verdict.NEVER, FAILED, progress, _reasons(failed, len(jobs) - len(failed)))
        return Observation(Verdict.MET, COMPLETED, 100)


@dataclass(frozen=True)
class SubmittedImport(ImportFinished):
    """The import that a task began: when it fails, a retry imports anew what has failed."""

    never_error: ClassVar[type[MilvusError]] = MilvusImportError


def _reasons(failed: list[Job], completed: int) -> str:
    complaints = [each for job in failed for each in job.complaints()]
    more = f"; and {len(complaints) - LONGEST_LIST} more" if len(complaints) > LONGEST_LIST else ""
    done = f". {completed} other job(s) completed, and their rows are in" if completed else ""
    return "; ".join(complaints[:LONGEST_LIST]) + more + done
