"""What keeps a collection in order, as flows: flush, compact, truncate, snapshots, and its properties.

Long work is submitted here and then watched as a condition. The operators in ``operators/maintenance.py`` are thin coats
around these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_milvus.client.flow import Deadline, Flow, Pause, Report, Rpc
from airflow_provider_milvus.client.reads import aliases_of, describe, find, is_lite, real_name, row_count
from airflow_provider_milvus.conditions import Compacted, Flushed, SnapshotRestored, Verdict, count_plans, wait_for
from airflow_provider_milvus.exceptions import (
    MilvusCollectionNotFoundError,
    MilvusInvalidArgumentError,
    MilvusNotLoadedError,
    MilvusRefusedError,
    MilvusServerError,
    MilvusTimeoutError,
    MilvusUnavailableError,
    MilvusUnsupportedError,
)

SUBMIT_TIMEOUT = 60.0
POLL = 0.5
SEEN_WITHIN = 3.0
"""Seconds for a changed property to show."""


@dataclass(frozen=True, slots=True)
class Altered:
    """Properties of a collection, all of them, before and after."""

    collection: str
    before: dict[str, str]
    after: dict[str, str]


def submit_flush(name: str) -> Flow[Flushed]:
    """Ask the server to seal what was written so far and save it; what to wait for. Sent twice it is flushed once."""
    # Described first: Milvus Lite flushes what does not exist without a word.
    collection = real_name((yield from describe(name)))
    answer = yield Rpc("Flush", {"collection_names": [collection]}, SUBMIT_TIMEOUT)
    # Lite, which has flushed it when it answers, names no segments.
    segments = [int(each) for each in answer.coll_segIDs[collection].data]
    return Flushed(collection, segments, int(answer.coll_flush_ts[collection]))


def submit_compaction(name: str, *, report: Report) -> Flow[tuple[str, Compacted | None]]:
    """Ask for a compaction; the collection's own name, and what to wait for: ``None`` where there is nothing to do.

    Sent twice the server does it twice, which changes nothing but its load.
    """
    described = yield from describe(name)
    collection = real_name(described)
    if is_lite((yield Rpc("GetVersion"))):
        report("Milvus Lite compacts by itself, after a flush: there is nothing to ask for.")
        return collection, None
    # By id: of a request that only names its collection 2.3.5 does not read the name, and compacts the whole server.
    request = {"collectionID": described.collectionID, "collection_name": collection}
    submitted = yield Rpc("ManualCompaction", request, SUBMIT_TIMEOUT)
    if submitted.compactionID <= 0:
        report(f"The server sees nothing to compact in {collection!r}.")
        return collection, None
    first = yield Rpc("GetCompactionState", {"compactionID": submitted.compactionID})
    plans = max(int(submitted.compactionPlanCount), sum(count_plans(first).values()))
    report(f"Compaction {submitted.compactionID} of {collection!r}: {plans} plans.")
    return collection, Compacted(int(submitted.compactionID), plans, collection)


def truncate(name: str, *, allow_aliased: bool, report: Report) -> Flow[tuple[int | None, int | None]]:
    """Delete every row of a collection and keep all else. The rows before and after; ``None``: not in memory, not counted.

    :raises MilvusRefusedError: the name is an alias; or the collection has one, without ``allow_aliased``.
    :raises MilvusUnsupportedError: this server cannot do it. Nothing was changed.
    :raises MilvusTimeoutError: rows are still there at the end.
    """
    if (yield from find(name)) is None:
        raise MilvusCollectionNotFoundError(f"There is no collection {name!r} to empty. Check the name and the database.")
    if not allow_aliased and (aliases := (yield from aliases_of(name))):
        raise MilvusRefusedError(
            f"Collection {name!r} has the alias {', '.join(map(repr, aliases))}: emptying it would leave nothing to find for "
            "whoever searches through it. Swap the alias first, or set allow_aliased=True."
        )
    before = yield from _counted(name)
    # Once: a second one would also delete what was written after the first.
    yield Rpc("TruncateCollection", {"collection_name": name}, SUBMIT_TIMEOUT, repeatable=False)
    report(f"Every row of {name!r} was deleted" + (f": {before}." if before is not None else "."))
    after = before
    try:
        while after := (yield from _counted(name)):
            yield Pause(POLL)
    except MilvusTimeoutError as error:
        raise MilvusTimeoutError(
            f"Collection {name!r} was truncated and still has {after} rows. {error} The server may not be through with it, "
            "or somebody writes to it."
        ) from None
    return before, after


def _counted(name: str) -> Flow[int | None]:
    try:
        return (yield from row_count(name))
    except MilvusNotLoadedError:
        return None


def create_snapshot(
    name: str,
    snapshot_name: str,
    deadline: Deadline,
    *,
    description: str = "",
    protect_seconds: int = 0,
    flush: bool = True,
    skip_if_exists: bool = False,
    noting: Callable[[], object] = lambda: None,
    report: Report,
) -> Flow[tuple[Any, bool]]:
    """Take a snapshot of a collection; what the server tells of it, and whether it was taken just now.

    ``noting`` is called just before it is sent.

    :raises MilvusRefusedError: the collection has one of that name, unless ``skip_if_exists``.
    :raises MilvusUnsupportedError: this server, or this pymilvus, knows no snapshots. Nothing was changed.
    """
    collection = real_name((yield from describe(name)))
    subject = {"name": snapshot_name, "collection_name": collection}
    if (yield from _has_snapshot(subject)):
        if not skip_if_exists:
            raise MilvusRefusedError(f"Collection {collection!r} has a snapshot {snapshot_name!r}. Take another name.")
        report(f"Collection {collection!r} has the snapshot {snapshot_name!r}.")
        return (yield Rpc("DescribeSnapshot", subject)), False
    if flush:
        # A snapshot holds what is on storage.
        yield from wait_for((yield from submit_flush(collection)), deadline, poll_interval=POLL, eager=True, report=report)
    noting()
    more = {"description": description, "compaction_protection_seconds": protect_seconds}
    try:
        yield Rpc("CreateSnapshot", {**subject, **more}, SUBMIT_TIMEOUT, repeatable=False)
    except (MilvusTimeoutError, MilvusUnavailableError):
        if not (yield from _has_snapshot(subject)):
            raise
    return (yield Rpc("DescribeSnapshot", subject)), True


def _has_snapshot(subject: Mapping[str, str]) -> Flow[bool]:
    answer = yield Rpc("ListSnapshots", {"collection_name": subject["collection_name"]})
    return subject["name"] in answer.snapshots


def submit_restore(
    snapshot_name: str,
    name: str,
    target: str,
    *,
    database: str,
    earlier_job: int | None = None,
    noting: Callable[[int], object] = lambda job_id: None,
    report: Report,
) -> Flow[SnapshotRestored]:
    """Ask for a snapshot to be restored into a new collection of the same database; what to wait for.

    ``earlier_job`` is what an earlier try asked for: unless it has failed it is watched, and nothing is sent. ``noting`` is
    told the job's id.

    :raises MilvusRefusedError: there is a collection, or an alias, called ``target``.
    :raises MilvusUnsupportedError: this server, or this pymilvus, knows no snapshots. Nothing was changed.
    """
    if earlier_job is not None:
        earlier = SnapshotRestored(earlier_job, target)
        if (yield from earlier.look()).verdict is not Verdict.NEVER:
            report(f"An earlier try asked for restore {earlier_job}: watching it.")
            return earlier
    collection = real_name((yield from describe(name)))
    if (yield from _exists(target)):
        raise MilvusRefusedError(f"There is a collection or an alias {target!r}: a snapshot is restored into a new one.")
    request = {
        "name": snapshot_name,
        "collection_name": collection,
        "target_db_name": database,
        "target_collection_name": target,
    }
    answer = yield Rpc("RestoreSnapshot", request, SUBMIT_TIMEOUT, repeatable=False)
    noting(int(answer.job_id))
    report(f"Restore {answer.job_id} of {snapshot_name!r} into {target!r} submitted.")
    return SnapshotRestored(int(answer.job_id), target)


def _exists(name: str) -> Flow[bool]:
    try:
        yield from describe(name)
    except MilvusCollectionNotFoundError:
        return False
    return True


def alter(name: str, properties: Mapping[str, str], drop: Sequence[str], *, allow_alias: bool, report: Report) -> Flow[Altered]:
    """Set and remove properties of a collection; return when the server shows them so. What is so already is not sent.

    :raises MilvusRefusedError: the name is an alias, without ``allow_alias``.
    :raises MilvusUnsupportedError: this server removes no properties. Nothing was changed.
    :raises MilvusServerError: the server refuses, or took the change and does not show it.
    """
    described = yield from describe(name)
    collection, before = real_name(described), _properties(described)
    if collection != name and not allow_alias:
        raise MilvusRefusedError(
            f"{name!r} is an alias of {collection!r}: name the collection itself, or set allow_alias=True."
        )
    removed = [each for each in drop if each in before]
    changed = {key: value for key, value in properties.items() if before.get(key) != value}
    # Removed first: a server that cannot is left as it was. In one call with values 2.3.5 forgets about the removal.
    if removed:
        yield from _remove(collection, removed)
    if changed:
        pairs = [{"key": key, "value": value} for key, value in changed.items()]
        yield Rpc("AlterCollection", {"collection_name": collection, "properties": pairs})
    if not removed and not changed:
        report(f"The properties of {collection!r} are so already.")
        return Altered(collection, before, before)
    waited = 0.0
    while True:
        after = _properties((yield from describe(collection)))
        if all(after.get(key) == value for key, value in changed.items()) and not set(removed) & set(after):
            return Altered(collection, before, after)
        if waited >= SEEN_WITHIN:
            raise MilvusServerError(f"The server took the change of {collection!r} and does not show it: it has {after}.")
        yield Pause(POLL)
        waited += POLL


def _remove(collection: str, keys: list[str]) -> Flow[None]:
    try:
        yield Rpc("AlterCollection", {"collection_name": collection, "delete_keys": keys})
    except MilvusServerError as error:
        if "properties is empty" not in str(error):
            raise
        raise MilvusUnsupportedError(
            f"This server cannot remove properties, so {collection!r} keeps {', '.join(keys)} and nothing was changed: set "
            f"them to other values instead. {error}"
        ) from None


def _properties(described: Any) -> dict[str, str]:
    return {str(each.key): str(each.value) for each in described.properties}


def property_text(key: str, value: Any) -> str:
    """A property's value as Milvus keeps it. Servers take any text for the ones checked here, and then do nothing, or worse.

    :raises MilvusInvalidArgumentError: it can never work.
    """
    if isinstance(value, bool):
        value = "true" if value else "false"
    text = str(value).strip() if isinstance(value, (str, int, float)) else ""
    if not text:
        raise MilvusInvalidArgumentError(f"properties[{key!r}] must be text, a number, true or false, not {value!r}.")
    if key == "collection.ttl.seconds" and not text.isdecimal():
        raise MilvusInvalidArgumentError(f"properties[{key!r}] must be a whole number of seconds from 0 on, not {value!r}.")
    if key == "mmap.enabled":
        text = text.lower()
        if text not in ("true", "false"):
            raise MilvusInvalidArgumentError(f"properties[{key!r}] must be true or false, not {value!r}.")
    return text
