"""Snapshots of a collection, as flows: take one, and restore one into a new collection. Milvus 3 and pymilvus 3 have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_milvus.client.flow import PROVES_NOTHING, Deadline, Flow, Report, Rpc
from airflow_provider_milvus.client.subject import find_subject
from airflow_provider_milvus.client.tries import ONE_TRY, Tries
from airflow_provider_milvus.conditions import CollectionExists, SnapshotRestored, Verdict, wait_for
from airflow_provider_milvus.exceptions import MilvusError, MilvusRefusedError
from airflow_provider_milvus.server.upkeep import POLL, SUBMIT_TIMEOUT, submit_flush


def create_snapshot(
    name: str,
    snapshot_name: str,
    deadline: Deadline,
    *,
    description: str = "",
    protect_seconds: int = 0,
    flush: bool = True,
    skip_if_exists: bool = False,
    tries: Tries = ONE_TRY,
    report: Report,
) -> Flow[tuple[Any, bool]]:
    """Take a snapshot of a collection; return the server's description of it, and whether it was taken just now.

    ``tries`` note that it is sent: what an earlier try may have taken is this task's own.

    :raises MilvusRefusedError: the collection has a snapshot of that name, unless ``skip_if_exists``.
    :raises MilvusUnsupportedError: this server, or this pymilvus, has no snapshots. Nothing was changed.
    """
    subject = yield from find_subject(name)
    collection = subject.name
    named = {"name": snapshot_name, "collection_name": collection}
    if (yield from _has_snapshot(named)):
        if not skip_if_exists and tries.earlier is None:
            raise MilvusRefusedError(
                f"The snapshot was not taken: collection {collection!r} has a snapshot {snapshot_name!r}. Choose another name."
            )
        report(f"Collection {collection!r} has the snapshot {snapshot_name!r} already.")
        return (yield Rpc("DescribeSnapshot", named)), False
    if flush:
        # A snapshot holds only what is on storage.
        yield from wait_for((yield from submit_flush(collection)), deadline, poll_interval=POLL, eager=True, report=report)

    def is_due(lost: MilvusError | None) -> Flow[bool]:
        yield from subject.check()
        # With a name that is taken after a lost answer, this task has taken it.
        return lost is None or isinstance(lost, PROVES_NOTHING) or not (yield from _has_snapshot(named))

    options = {"description": description, "compaction_protection_seconds": protect_seconds}
    yield from tries.send(Rpc("CreateSnapshot", {**named, **options}, SUBMIT_TIMEOUT, still=is_due), lambda: True)
    return (yield Rpc("DescribeSnapshot", named)), True


def _has_snapshot(named: Mapping[str, str]) -> Flow[bool]:
    answer = yield Rpc("ListSnapshots", {"collection_name": named["collection_name"]})
    return named["name"] in answer.snapshots


def submit_restore(
    snapshot_name: str,
    name: str,
    target: str,
    *,
    database: str,
    tries: Tries = ONE_TRY,
    report: Report,
) -> Flow[SnapshotRestored]:
    """Request that a snapshot is restored into a new collection of the same database; return the condition to wait for.

    ``tries`` note the job's id: unless the job of an earlier try has failed it is watched, and nothing is sent.

    :raises MilvusRefusedError: a collection, or an alias, has the name ``target``. Nothing was changed.
    :raises MilvusUnsupportedError: this server, or this pymilvus, has no snapshots. Nothing was changed.
    """
    if tries.earlier is not None:
        earlier = SnapshotRestored(tries.earlier, target)
        if (yield from earlier.look()).verdict is not Verdict.NEVER:
            report(f"An earlier try submitted restore {tries.earlier}: watching it.")
            return earlier
    collection = (yield from find_subject(name)).name
    if (yield from CollectionExists(target).look()).verdict is Verdict.MET:
        raise MilvusRefusedError(
            f"Snapshot {snapshot_name!r} was not restored: a collection or an alias has the name {target!r}. "
            "Choose a name for a new collection."
        )
    request = {
        "name": snapshot_name,
        "collection_name": collection,
        "target_db_name": database,
        "target_collection_name": target,
    }
    answer = yield Rpc("RestoreSnapshot", request, SUBMIT_TIMEOUT, repeatable=False)
    tries.note(int(answer.job_id))
    report(f"Restore {answer.job_id} of {snapshot_name!r} into {target!r} was submitted.")
    return SnapshotRestored(int(answer.job_id), target)
