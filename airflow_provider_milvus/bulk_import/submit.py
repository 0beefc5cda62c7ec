"""Begin an import, or find the one that an earlier try of the same task began. No file is imported twice.

Two things make that safe. The task notes which jobs there are before it begins the first one, and it notes the id of each new
job as soon as it knows it. A worker may be lost after the server has begun a job and before its id is in the notes. Such a job
is in the server's listing, is not in the notes, and imports these files: the next try finds it by that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from airflow_provider_milvus.bulk_import.job import Files, ImportApi, ImportTarget, Job, JobState
from airflow_provider_milvus.client.flow import Flow, Pause, Report
from airflow_provider_milvus.client.subject import Subject
from airflow_provider_milvus.client.tries import Tries
from airflow_provider_milvus.exceptions import MilvusError, MilvusImportError

LOOKS = 30
"""How often, a second apart, a job that may be ours is looked at, until the server reports which files it imports."""


@dataclass(frozen=True, slots=True)
class Portion:
    """What one job imports. ``job_id`` is empty until the job is known."""

    files: Files
    job_id: str = ""


@dataclass(frozen=True, slots=True)
class Submission:
    """An import as far as it has begun. Its values are plain: a retry reads them from its notes, and the triggerer keeps them.

    ``other_job_ids`` are jobs that are not ours, or that have failed. ``rows_before`` is ``None`` where the rows could not be
    counted. ``attached`` says that an earlier try of the task began it.
    """

    collection_name: str
    collection_id: int
    portions: list[Portion]
    other_job_ids: list[str]
    rows_before: int | None = None
    attached: bool = False
    partition_name: str = ""
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def job_ids(self) -> list[str]:
        return [portion.job_id for portion in self.portions if portion.job_id]

    @property
    def files(self) -> Files:
        return [group for portion in self.portions for group in portion.files]

    @property
    def what(self) -> tuple[object, ...]:
        """What two tries have to have in common, to be of one import."""
        return self.collection_id, sorted(self.files), self.partition_name, self.options

    def with_job(self, number: int, job_id: str) -> Submission:
        """The same, with ``job_id`` as the job of a portion."""
        portions = list(self.portions)
        portions[number] = replace(portions[number], job_id=job_id)
        return replace(self, portions=portions)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Submission:
        return Submission(**{**values, "portions": [Portion(**portion) for portion in values["portions"]]})


def submit(
    api: ImportApi,
    target: ImportTarget,
    files: Files,
    *,
    subject: Subject,
    rows_before: int | None,
    tries: Tries,
    report: Report,
) -> Flow[Submission]:
    """Have every file imported by a job, and return when each job is known.

    ``tries`` note what is to be done before anything is sent, and then the jobs: a job that is not noted is looked for. A job
    of an earlier try that is under way or has completed is attached to; files whose job has failed are imported anew.

    :raises MilvusImportError: the server does not know a noted job any more, or does not report what a job that may be ours
        imports.
    :raises MilvusTimeoutError, MilvusUnavailableError: a job may have begun; the next try looks for it first.
    """
    earlier = Submission.from_dict(tries.earlier) if tries.earlier else None
    submission = Submission(
        target.collection_name,
        subject.collection_id,
        [Portion(part) for part in api.portions(files)],
        [],
        rows_before,
        partition_name=target.partition_name,
        options=target.options,
    )
    if earlier is not None and earlier.what == submission.what:
        report(f"An earlier try of this task began this import: jobs {', '.join(earlier.job_ids) or 'not noted'}.")
        submission = replace(earlier, collection_name=target.collection_name, attached=True)
        submission = yield from _attach(api, submission, report)
    else:
        if earlier is not None and earlier.job_ids:
            report(
                f"An earlier try of this task began another import, jobs {', '.join(earlier.job_ids)}: of other files, into "
                "another partition or with other options. Its rows stay, unless it failed."
            )
        submission = replace(submission, other_job_ids=(yield from api.listed(target.collection_name)))
    tries.note(asdict(submission))
    for number, portion in enumerate(submission.portions):
        if not portion.job_id:
            job_id = yield from _create(api, target, subject, submission, portion)
            submission = submission.with_job(number, job_id)
            tries.leave(asdict(submission))
            report(f"Import job {job_id} of {len(portion.files)} file(s) is submitted.")
    return submission


def _attach(api: ImportApi, submission: Submission, report: Report) -> Flow[Submission]:
    """The submission with the jobs that are still good: a lost job is found, and a failed one is forgotten."""
    collection_name = submission.collection_name
    jobs = {job.job_id: job for job in (yield from api.jobs(collection_name, submission.job_ids))}
    for number, portion in enumerate(submission.portions):
        if not portion.job_id:
            if job_id := (yield from _find_job(api, submission, portion)):
                report(f"Job {job_id} was found, which an earlier try of this task began.")
                submission = submission.with_job(number, job_id)
        elif portion.job_id not in jobs:
            raise MilvusImportError(
                f"Whether {_name_files(portion.files)} is in {collection_name!r} is not known: the server does not know import "
                f"job {portion.job_id} any more. Servers forget a job some hours after its end. Count the rows; to import "
                "anew, set reattach=False for one try."
            )
        elif jobs[portion.job_id].state == JobState.FAILED:
            reason = jobs[portion.job_id].failure_reasons()[0]
            report(f"Job {portion.job_id} of the earlier try failed, and its files are imported anew: {reason}")
            other_job_ids = [*submission.other_job_ids, portion.job_id]
            submission = replace(submission.with_job(number, ""), other_job_ids=other_job_ids)
    return submission


def _create(api: ImportApi, target: ImportTarget, subject: Subject, submission: Submission, portion: Portion) -> Flow[str]:
    found = ""

    def is_due(lost: MilvusError | None) -> Flow[bool]:
        nonlocal found
        yield from subject.check(lost)
        if lost is not None and not (found := (yield from _find_job(api, submission, portion))):
            raise type(lost)(
                f"{lost} Whether there is an import job now is not known; a retry looks for it before it begins one."
            )
        return not found

    return (yield from api.create(target, portion.files, is_due)) or found


def _find_job(api: ImportApi, submission: Submission, portion: Portion) -> Flow[str]:
    """The id of the job that imports ``portion`` and is not in the notes; empty if there is none."""
    in_doubt: list[Job] = []
    for look in range(LOOKS):
        if look:
            yield Pause(1.0)
        listed = yield from api.listed(submission.collection_name)
        new = [job_id for job_id in listed if job_id not in submission.other_job_ids and job_id not in submission.job_ids]
        # A failed job has imported nothing.
        jobs = [job for job in (yield from api.jobs(submission.collection_name, new)) if job.state != JobState.FAILED]
        answers = [job.imports(portion.files) for job in jobs]
        if True in answers:
            return jobs[answers.index(True)].job_id
        in_doubt = [job for job, answer in zip(jobs, answers, strict=True) if answer is None]
        if not in_doubt:
            return ""
    raise MilvusImportError(
        f"Nothing more was imported into {submission.collection_name!r}: import job {in_doubt[0].job_id} began after this task "
        f"did, and the server does not report what it imports. It may be {_name_files(portion.files)}, begun by an earlier "
        "try. Try again later; if it is not, set reattach=False for one try."
    )


def _name_files(files: Files) -> str:
    first = ", ".join(group[0] for group in files[:3])
    return first + (f" and {len(files) - 3} more" if len(files) > 3 else "")
