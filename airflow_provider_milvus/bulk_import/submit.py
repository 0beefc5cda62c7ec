"""Begin an import, or find the one that an earlier try of the same task began. Nothing is imported twice.

Two things make that safe. Before the first job is made it is noted which jobs there are, and each job's id is noted as soon as
it is known: that covers a try that ended anywhere else. A try that was lost between the server's making a job and the
note of its id left a job that is in the server's listing, is not among those noted, and imports these files: it is found so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from airflow_provider_milvus.bulk_import.job import FAILED, Files, ImportApi, Job, Target
from airflow_provider_milvus.client.flow import Flow, Pause, Report
from airflow_provider_milvus.exceptions import MilvusImportError, MilvusTimeoutError, MilvusUnavailableError

LOOKS = 30
"""How often, a second apart, a job that may be ours is asked which files it imports."""


@dataclass(frozen=True, slots=True)
class Portion:
    """What one job imports. ``job_id`` is empty as long as none is known."""

    files: Files
    job_id: str = ""


@dataclass(frozen=True, slots=True)
class Submission:
    """An import as far as it has begun; plain values, which survive as a note and travel to the triggerer.

    ``known`` are jobs that are none of ours, or have failed. ``rows_before`` is ``None`` where they cannot be counted.
    ``attached`` says that an earlier try of the task began it.
    """

    collection_name: str
    collection_id: int
    portions: list[Portion]
    known: list[str]
    rows_before: int | None = None
    attached: bool = False

    @property
    def job_ids(self) -> list[str]:
        return [each.job_id for each in self.portions if each.job_id]

    @property
    def files(self) -> Files:
        return [group for each in self.portions for group in each.files]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def of(values: Mapping[str, Any]) -> Submission:
        return Submission(**{**values, "portions": [Portion(**portion) for portion in values["portions"]]})


Keep = Callable[[dict[str, Any]], object]


def submit(
    api: ImportApi,
    target: Target,
    files: Files,
    *,
    collection_id: int,
    rows_before: int | None,
    noted: Mapping[str, Any],
    keep: Keep,
    report: Report,
) -> Flow[Submission]:
    """Have every file imported by a job, and return when each job is known.

    ``noted`` is what the last call of ``keep`` in an earlier try was given; empty in the first. A job of that try is attached
    to, whether it is under way or has completed; what failed is imported anew.

    :raises MilvusImportError: the server does not know a noted job any more, or not say what a job that may be ours imports.
    :raises MilvusTimeoutError, MilvusUnavailableError: a job may have been made; the next try looks for it first.
    """
    begun = Submission.of(noted) if noted else None
    if begun is not None and (begun.collection_id, sorted(begun.files)) == (collection_id, sorted(files)):
        begun = replace(begun, collection_name=target.collection_name, attached=True)
        report(f"An earlier try of this task has begun this import: jobs {', '.join(begun.job_ids) or 'not noted'}.")
        begun = yield from _attached(api, begun, report)
    else:
        known = yield from api.listed(target.collection_name)
        portions = list(map(Portion, api.portions(files)))
        begun = Submission(target.collection_name, collection_id, portions, known, rows_before)
    keep(begun.as_dict())
    for at, portion in enumerate(begun.portions):
        if not portion.job_id:
            begun = _with(begun, at, (yield from _created(api, target, begun, portion)))
            keep(begun.as_dict())
            report(f"Import job {begun.portions[at].job_id} of {len(portion.files)} file(s) is submitted.")
    return begun


def _with(begun: Submission, at: int, job_id: str) -> Submission:
    portion = replace(begun.portions[at], job_id=job_id)
    return replace(begun, portions=[*begun.portions[:at], portion, *begun.portions[at + 1 :]])


def _attached(api: ImportApi, begun: Submission, report: Report) -> Flow[Submission]:
    jobs = {each.job_id: each for each in (yield from api.jobs(begun.collection_name, begun.job_ids))}
    for at, portion in enumerate(begun.portions):
        if not portion.job_id:
            found = yield from _lost(api, begun, portion)
            if found:
                report(f"Found job {found}, which an earlier try of this task began.")
                begun = _with(begun, at, found)
        elif portion.job_id not in jobs:
            raise MilvusImportError(
                f"The server does not know import job {portion.job_id} any more, so whether {_words(portion.files)} is in "
                f"{begun.collection_name!r} is not known. Servers forget a job some hours after its end. Count the rows; to "
                "import anew, set reattach=False for one try."
            )
        elif jobs[portion.job_id].state == FAILED:
            report(
                f"Job {portion.job_id} of the earlier try has failed ({jobs[portion.job_id].complaints()[0]}): importing anew."
            )
            begun = replace(_with(begun, at, ""), known=[*begun.known, portion.job_id])
    return begun


def _created(api: ImportApi, target: Target, begun: Submission, portion: Portion) -> Flow[str]:
    try:
        return (yield from api.create(target, portion.files))
    except (MilvusTimeoutError, MilvusUnavailableError) as error:
        found = yield from _lost(api, begun, portion)
        if found:
            return found
        raise type(error)(
            f"{error} Whether there is an import job now is not known; the next try looks for it before it makes one."
        ) from None


def _lost(api: ImportApi, begun: Submission, portion: Portion) -> Flow[str]:
    """The job that imports ``portion`` and was never noted; empty if there is none."""
    unsure: list[Job] = []
    for look in range(LOOKS):
        if look:
            yield Pause(1.0)
        listed = yield from api.listed(begun.collection_name)
        new = [each for each in listed if each not in begun.known and each not in begun.job_ids]
        # One that has failed has imported nothing.
        jobs = [each for each in (yield from api.jobs(begun.collection_name, new)) if each.state != FAILED]
        ours = next((each for each in jobs if each.imports(portion.files)), None)
        if ours is not None:
            return ours.job_id
        unsure = [each for each in jobs if each.imports(portion.files) is None]
        if not unsure:
            return ""
    raise MilvusImportError(
        f"Import job {unsure[0].job_id} into {begun.collection_name!r} began after this task did, and the server does not say "
        f"what it imports: it may be {_words(portion.files)}, begun by an earlier try. Try again later; or, when it is not, "
        "set reattach=False for one try."
    )


def _words(files: Files) -> str:
    first = ", ".join(path for group in files[:3] for path in group[:1])
    return first + (f" and {len(files) - 3} more" if len(files) > 3 else "")
