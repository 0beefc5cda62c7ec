"""What keeps a collection in order, as flows: flush, compact, truncate, and change its properties.

Long work is submitted here and then watched as a condition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.counting import row_count_if_loaded
from airflow_provider_milvus.client.flow import Flow, Pause, Report, Rpc, in_doubt
from airflow_provider_milvus.client.reads import describe, find, is_lite, real_name, version_for
from airflow_provider_milvus.client.subject import Subject, find_subject, subject_of
from airflow_provider_milvus.client.tries import ONE_TRY, Tries
from airflow_provider_milvus.conditions import Compacted, Flushed, count_plans
from airflow_provider_milvus.schema.pairs import from_pairs, to_pairs

SUBMIT_TIMEOUT = 60.0
POLL = 0.5
SEEN_WITHIN = 3.0
"""Seconds within which the server shows a changed property."""


@dataclass(frozen=True, slots=True)
class Altered:
    """All properties of a collection, before the first try and after."""

    collection: str
    before: dict[str, str]
    after: dict[str, str]


def submit_flush(name: str) -> Flow[Flushed]:
    """Request that all rows written so far are sealed and saved; return the condition to wait for.

    A request that is sent twice flushes once.
    """
    # Described first: Milvus Lite reports no error when the collection does not exist.
    collection = real_name((yield from describe(name)))
    answer = yield Rpc("Flush", {"collection_names": [collection]}, SUBMIT_TIMEOUT)
    # Milvus Lite names no segments: it is done when it answers.
    segments = [int(segment) for segment in answer.coll_segIDs[collection].data]
    return Flushed(collection, segments, int(answer.coll_flush_ts[collection]))


def submit_compaction(name: str, *, report: Report) -> Flow[tuple[str, Compacted | None]]:
    """Request a compaction; return the collection's own name, and the condition to wait for.

    The condition is ``None`` if there is nothing to do. A request that is sent twice is done twice, which costs the server
    work and changes nothing.
    """
    subject = yield from find_subject(name)
    collection = subject.name
    if is_lite((yield from version_for(collection))):
        report("Milvus Lite compacts by itself after a flush: nothing was requested.")
        return collection, None
    # By id: 2.3.5 does not read the name in a request without an id, and compacts the whole server.
    request = {"collectionID": subject.collection_id, "collection_name": collection}
    submitted = yield Rpc("ManualCompaction", request, SUBMIT_TIMEOUT, still=subject.still)
    if submitted.compactionID <= 0:
        report(f"The server reports nothing to compact in collection {collection!r}.")
        return collection, None
    state = yield Rpc("GetCompactionState", {"compactionID": submitted.compactionID})
    plans = max(int(submitted.compactionPlanCount), sum(count_plans(state).values()))
    report(f"Compaction {submitted.compactionID} of collection {collection!r}: {plans} plans.")
    return collection, Compacted(int(submitted.compactionID), plans, collection)


def truncate(
    name: str,
    *,
    truncate_aliased: bool,
    tries: Tries = ONE_TRY,
    report: Report,
) -> Flow[tuple[int | None, int | None]]:
    """Delete every row of a collection and keep all else; return the numbers of rows before and after.

    ``None``: the collection is not in memory, so its rows cannot be counted. ``tries`` note the collection's id just before it
    is sent.

    :raises MilvusRefusedError: the name is an alias, or the collection has an alias, without ``truncate_aliased``.
    :raises MilvusUnsupportedError: this server cannot do it. Nothing was changed.
    :raises MilvusInDoubtError: the answer was lost, now or in an earlier try, and it has rows.
    :raises MilvusTimeoutError: the server still counts rows at the end.
    """
    described = yield from find(name)
    if described is None:
        raise exceptions.MilvusCollectionNotFoundError(
            f"Collection {name!r} was not truncated: it does not exist. Check the name and the database."
        )
    subject = subject_of(described)
    first = yield from subject.at_first()
    before = yield from row_count_if_loaded(name)
    earlier = "" if tries.earlier is None else f"An earlier try of this task has sent the truncation of collection {name!r}."
    if tries.earlier not in (None, subject.collection_id):
        raise subject.replaced(earlier)

    def is_due(error: exceptions.MilvusError | None) -> Flow[bool]:
        lost = error or earlier
        yield from subject.check(lost)
        if lost:
            left = yield from row_count_if_loaded(name)
            if left == 0:
                return False
            # A second one would also delete what was written after the first.
            counted = "Its rows cannot be counted" if left is None else f"It has {left} rows"
            raise in_doubt(lost, f"{counted}: they were not deleted, or written since.")
        standing = yield from subject.standing()
        if standing is None or first is None:
            raise subject.replaced()
        if (reason := standing.came_after(first.aliases, first.windows)) is not None:
            raise exceptions.MilvusRefusedError(f"Collection {name!r} was not truncated: {reason}.")
        if standing.aliases and not truncate_aliased:
            raise exceptions.MilvusRefusedError(
                f"Collection {name!r} was not truncated: it has the alias {', '.join(map(repr, standing.aliases))}, and "
                "whoever searches through the alias would find nothing. Move the alias first, or set truncate_aliased=True."
            )
        return True

    call = Rpc("TruncateCollection", {"collection_name": name}, SUBMIT_TIMEOUT, still=is_due)
    yield from tries.send(call, lambda: subject.collection_id)
    report(f"Collection {name!r} was truncated" + (f": {before} rows." if before is not None else "."))
    after = before
    try:
        while after := (yield from row_count_if_loaded(name)):
            yield from subject.check("It was truncated before.")
            yield Pause(POLL)
    except exceptions.MilvusTimeoutError as error:
        raise exceptions.MilvusTimeoutError(
            f"Collection {name!r} was truncated and still has {after} rows. {error} The server may still be deleting, or "
            "somebody writes to the collection."
        ) from None
    return before, after


def alter(
    name: str,
    properties: Mapping[str, str],
    drop: Sequence[str],
    *,
    allow_alias: bool,
    tries: Tries = ONE_TRY,
    report: Report,
) -> Flow[Altered]:
    """Set and remove (``drop``) properties of a collection; return when the server shows them. Only differences are sent.

    ``tries`` note the collection's id and its properties before they are changed: what an earlier try has changed is reported.

    :raises MilvusRefusedError: the name is an alias, without ``allow_alias``. Nothing was changed.
    :raises MilvusUnsupportedError: this server cannot remove properties. Nothing was changed.
    :raises MilvusServerError: the server refuses, or takes the change and does not show it.
    """
    subject = yield from find_subject(name)
    collection, before = subject.name, from_pairs(subject.first.properties)
    if subject.alias and not allow_alias:
        raise exceptions.MilvusRefusedError(
            f"Collection {collection!r} was not altered: {name!r} is an alias of it. "
            "Name the collection itself, or set allow_alias=True."
        )
    removed = [key for key in drop if key in before]
    changed = {key: value for key, value in properties.items() if before.get(key) != value}
    collection_id, began = tries.earlier or (subject.collection_id, before)
    if collection_id != subject.collection_id:
        began = before
    if removed or changed:
        tries.leave([subject.collection_id, began])
    # Removed first, so that a server that cannot remove is left as it was. With values in the same call 2.3.5 removes nothing.
    if removed:
        yield from _remove(subject, removed)
    if changed:
        request = {"collection_name": collection, "properties": to_pairs(changed)}
        yield Rpc("AlterCollection", request, still=partial(_is_due, subject, before, changed))
    if not removed and not changed:
        report(f"Collection {collection!r} has these properties already.")
        return Altered(collection, began, before)
    waited = 0.0
    while True:
        after = yield from subject.check("Its properties were changed before.")
        if all(after.get(key) == value for key, value in changed.items()) and not set(removed) & set(after):
            return Altered(collection, began, after)
        if waited >= SEEN_WITHIN:
            raise exceptions.MilvusServerError(
                f"The server took the change of collection {collection!r} and does not show it, or somebody has "
                f"changed it again: its properties are {after}."
            )
        yield Pause(POLL)
        waited += POLL


def _is_due(
    subject: Subject, before: Mapping[str, str], wanted: Mapping[str, str | None], lost: exceptions.MilvusError | None
) -> Flow[bool]:
    """Whether to change properties to ``wanted``; after a lost answer, only those that are as they were ``before``."""
    now = yield from subject.check(lost)
    return lost is None or any(now.get(key) != value and now.get(key) == before.get(key) for key, value in wanted.items())


def _remove(subject: Subject, keys: list[str]) -> Flow[None]:
    collection, before = subject.name, from_pairs(subject.first.properties)
    still = partial(_is_due, subject, before, dict.fromkeys(keys))
    try:
        yield Rpc("AlterCollection", {"collection_name": collection, "delete_keys": keys}, still=still)
    except exceptions.MilvusServerError as error:
        if "properties is empty" not in str(error):
            raise
        raise exceptions.MilvusUnsupportedError(
            f"Collection {collection!r} was not altered: this server cannot remove properties, so it keeps {', '.join(keys)}. "
            f"Set them to other values instead. {error}"
        ) from None
