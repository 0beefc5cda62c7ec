"""An import from its files to rows that are served: it is submitted, three stages are waited for, and the rows are counted."""

from __future__ import annotations

from dataclasses import replace

from airflow_provider_milvus.bulk_import import import_api
from airflow_provider_milvus.bulk_import.condition import SubmittedImport
from airflow_provider_milvus.bulk_import.job import Files, ImportTarget
from airflow_provider_milvus.bulk_import.submit import Submission, submit
from airflow_provider_milvus.client.counting import row_count_if_loaded
from airflow_provider_milvus.client.flow import Flow, Report
from airflow_provider_milvus.client.subject import Subject, find_subject
from airflow_provider_milvus.client.tries import Tries
from airflow_provider_milvus.conditions import Condition, IndexBuilt, load_state
from airflow_provider_milvus.conditions.collection import describe_indexes
from airflow_provider_milvus.exceptions import MilvusImportError
from airflow_provider_milvus.server.load import submit_refresh

STAGES = ("import", "index", "refresh")


def submit_import(target: ImportTarget, files: Files, *, tries: Tries, report: Report) -> Flow[Submission]:
    """Submit the import into the collection that the target's name, or alias, stands for. See :func:`submit` for the rest."""
    api = yield from import_api(target.collection_name)
    subject = yield from find_subject(target.collection_name)
    target = replace(target, collection_name=subject.name)
    rows_before = yield from row_count_if_loaded(target.collection_name)
    return (yield from submit(api, target, files, subject=subject, rows_before=rows_before, tries=tries, report=report))


def begin_stage(stage: str, submission: Submission, *, wait_for_index: bool, refresh: bool) -> Flow[Condition | None]:
    """The condition that ends ``stage``, one of ``STAGES``; ``None`` where there is nothing to wait for.

    The last stage submits a refresh, so call it once.
    """
    collection_name = submission.collection_name
    if stage == "import":
        return SubmittedImport(collection_name, submission.job_ids)
    if stage == "index":
        is_indexed = wait_for_index and (yield from describe_indexes(collection_name))
        return IndexBuilt(collection_name) if is_indexed else None
    state = yield from load_state(collection_name)
    return (yield from submit_refresh(collection_name)) if refresh and state == "Loaded" else None


def count_rows(submission: Submission, *, probe: bool) -> Flow[tuple[int | None, int | None]]:
    """The rows that were imported, and the rows of the collection now. ``None`` is a number that is not known.

    :raises MilvusImportError: with ``probe``, when fewer rows are served than there have to be.
    """
    api = yield from import_api(submission.collection_name)
    counts = [job.rows for job in (yield from api.jobs(submission.collection_name, submission.job_ids))]
    imported = None if None in counts else sum(filter(None, counts))
    yield from Subject(submission.collection_name, submission.collection_id).check("The rows were imported into it before.")
    before, now = submission.rows_before, (yield from row_count_if_loaded(submission.collection_name))
    if probe and imported is not None and now is not None and now < (before or 0) + imported:
        had = f", and had {before} before the import" if before is not None else ""
        raise MilvusImportError(
            f"Collection {submission.collection_name!r} does not serve all of the {imported} imported rows: it has {now} rows"
            f"{had}. A retry looks again. Where others delete rows at the same time, set probe=False."
        )
    return imported, now
