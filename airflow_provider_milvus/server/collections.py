"""Making and dropping collections, as flows.

Success is what the server shows afterwards. A collection is made with a property that says by whom, so that a retry knows what
an earlier try of its own left half done, and nothing is ever taken for a task's own that is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_milvus.client.flow import Flow, Pause, Report, Rpc, in_time
from airflow_provider_milvus.client.protocol import from_pairs, to_pairs
from airflow_provider_milvus.client.reads import aliases_of, describe, find, is_lite
from airflow_provider_milvus.exceptions import (
    MilvusCollectionNotFoundError,
    MilvusError,
    MilvusRefusedError,
    MilvusSchemaDriftError,
    MilvusServerError,
    MilvusTimeoutError,
    MilvusUnavailableError,
    MilvusUnsupportedError,
)
from airflow_provider_milvus.schema.definition import CONSISTENCY_LEVELS, Definition, Index
from airflow_provider_milvus.schema.diff import drift
from airflow_provider_milvus.schema.proto import schema_bytes
from airflow_provider_milvus.server.indexes import compare, create_index, indexes_of, indexes_seen

CREATED_BY = "airflow.created_by"
"""The property that names the task and the run which made a collection."""

TRIAL = "airflow_trial_of_"
"""What the name of a collection begins with that only tries whether the server takes a definition; it lives for a moment."""

POLL = 0.2
AGAIN = 5.0


@dataclass(frozen=True, slots=True)
class Created:
    """What became of a collection that was asked for; ``indexes`` are those that the server has."""

    created: bool
    replaced: bool = False
    indexes: list[Index] = field(default_factory=list)
    indexes_created: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Dropped:
    """``dropped`` is false when there was nothing to drop."""

    collection: str
    dropped: bool


def create(
    wanted: Definition, *, if_exists: str, created_by: str, allow_aliased: bool = False, report: Report
) -> Flow[Created]:
    """Make a collection and its indexes, or deal with the one that is there.

    ``created_by`` names the task and its run: what the same run has made before is completed, not refused.

    :raises MilvusRefusedError: it exists (``"fail"``), or is aliased (``"replace"`` without ``allow_aliased``).
    :raises MilvusSchemaDriftError: it exists and differs (``"check"``, or what the same run has made).
    :raises MilvusUnsupportedError: the server does not keep what was asked for. Nothing is left of the attempt.
    """
    version = yield Rpc("GetVersion")
    lite = is_lite(version)
    found = yield from find(wanted.name)
    replaced = False
    if found is not None and if_exists == "replace":
        yield from _check_not_aliased(wanted.name, allow_aliased)
        yield from _try_out(wanted, lite, created_by, report)
        yield from drop(wanted.name, allow_aliased=allow_aliased, report=report)
        found, replaced = None, True
    if found is None:
        found = yield from _make(wanted, created_by)
        if _maker(found) == created_by:
            yield from _complete_or_remove(wanted, found, lite, report)
            indexes = yield from indexes_of(wanted.name)
            return Created(True, replaced, indexes, [each.name for each in wanted.indexes])
    return (yield from _settle(wanted, found, if_exists, created_by, lite, report))


def _settle(wanted: Definition, found: Any, if_exists: str, created_by: str, lite: bool, report: Report) -> Flow[Created]:
    """Deal with a collection that is there."""
    own = _maker(found) == created_by
    if own:
        report(f"Collection {wanted.name!r} was made by an earlier try of this task: completing it.")
    elif if_exists == "skip":
        report(f"Collection {wanted.name!r} exists: it is left as it is.")
        return Created(False, indexes=(yield from indexes_of(wanted.name)))
    elif if_exists != "check":
        by = f" It was made by {_maker(found)}." if _maker(found) else ""
        raise MilvusRefusedError(
            f"Collection {wanted.name!r} exists.{by} Set if_exists to 'skip', 'check' or 'replace', or choose another name."
        )
    there = yield from indexes_of(wanted.name)
    missing, differences = compare(wanted, there, lite=lite)
    differences = [*drift(wanted, found, lite=lite), *differences]
    if differences:
        raise MilvusSchemaDriftError(
            f"Collection {wanted.name!r} is not what is asked for: {'; '.join(differences)}. Nothing was changed. "
            "Make a new collection and swap its alias, or use if_exists='replace'."
        )
    for each in missing:
        report(f"Collection {wanted.name!r} has no index {each.name!r}: creating it.")
        yield from create_index(wanted.name, each)
    if missing:
        there = yield from indexes_seen(wanted, lite=lite)
    return Created(own, indexes=there, indexes_created=[each.name for each in missing])


def _make(wanted: Definition, created_by: str) -> Flow[Any]:
    """Send it, and return what is there then: this one, or somebody else's who was faster."""
    request = {
        "collection_name": wanted.name,
        "schema": schema_bytes(wanted.name, wanted.schema),
        "shards_num": wanted.num_shards,
        "num_partitions": wanted.num_partitions,
        "consistency_level": CONSISTENCY_LEVELS.index(wanted.consistency_level or "Bounded"),
        "properties": to_pairs({**wanted.properties, CREATED_BY: created_by}),
    }
    try:
        yield Rpc("CreateCollection", {key: value for key, value in request.items() if value is not None})
    except MilvusServerError:
        # A call that was repeated after its answer got lost meets what it has made.
        found = yield from find(wanted.name)
        if found is None:
            raise
        return found
    return (yield from describe(wanted.name))


def _complete_or_remove(wanted: Definition, found: Any, lite: bool, report: Report) -> Flow[None]:
    """Give a collection that was made this moment its indexes; a server that refuses gets rid of it again."""
    try:
        if differences := drift(wanted, found, lite=lite):
            raise MilvusUnsupportedError(
                f"This server took the definition of {wanted.name!r} and did not keep it: {'; '.join(differences)}. "
                "Its version does not know them; the collection was dropped again."
            )
        for each in wanted.indexes:
            yield from create_index(wanted.name, each)
        yield from indexes_seen(wanted, lite=lite)
    except MilvusError as error:
        if not error.try_again:
            report(f"Dropping {wanted.name!r} again, which was made this moment: {error}")
            yield from drop(wanted.name, report=report)
        raise


def _try_out(wanted: Definition, lite: bool, created_by: str, report: Report) -> Flow[None]:
    """Whether the server takes the definition, before anything is dropped for it."""
    from dataclasses import replace

    trial = replace(wanted, name=f"{TRIAL}{wanted.name}"[:255])
    left = yield from find(trial.name)
    if left is not None:
        yield from _drop_trial(trial.name, left, report)
    made = yield from _make(trial, f"{TRIAL}{created_by}")
    yield from _complete_or_remove(trial, made, lite, report)
    yield from _drop_trial(trial.name, (yield from describe(trial.name)), report)


def _drop_trial(name: str, found: Any, report: Report) -> Flow[None]:
    if not _maker(found).startswith(TRIAL):
        raise MilvusRefusedError(f"Collection {name!r} stands where a trial of the new definition would be made. Rename it.")
    yield from drop(name, report=report)


def drop(
    name: str,
    *,
    allow_aliased: bool = False,
    skip_if_missing: bool = False,
    noting: Callable[[], object] = lambda: None,
    report: Report,
) -> Flow[Dropped]:
    """Drop a collection, loaded or not, and return when the server does not have it any more.

    ``noting`` is called just before the drop is sent.

    :raises MilvusCollectionNotFoundError: there is none, unless ``skip_if_missing``.
    :raises MilvusRefusedError: the name is an alias, or the collection has one, without ``allow_aliased``.
    """
    first = found = yield from find(name)
    if found is None:
        if not skip_if_missing:
            raise MilvusCollectionNotFoundError(f"There is no collection {name!r} to drop. Check the name and the database.")
        report(f"Collection {name!r} does not exist: nothing to drop.")
        return Dropped(name, False)
    noting()
    while found is not None and _same(first, found):
        yield from _check_not_aliased(name, allow_aliased)
        try:
            yield Rpc("DropCollection", {"collection_name": name}, repeatable=False)
        except (MilvusTimeoutError, MilvusUnavailableError) as error:
            report(f"No answer to the drop of {name!r}, looking whether it is there: {error}")
        found = yield from in_time(_gone(name, first), f"The drop of {name!r} was sent, and the server still has it")
    return Dropped(name, True)


def _gone(name: str, first: Any) -> Flow[Any | None]:
    """What is there of that name after a drop; a server that answers first and drops then gets a moment."""
    waited = 0.0
    while True:
        found = yield from find(name)
        if found is None or not _same(first, found) or waited >= AGAIN:
            return found
        yield Pause(POLL)
        waited += POLL


def _same(first: Any, found: Any) -> bool:
    return bool(first.collectionID == found.collectionID)


def _check_not_aliased(name: str, allow_aliased: bool) -> Flow[None]:
    if not allow_aliased and (aliases := (yield from aliases_of(name))):
        raise MilvusRefusedError(
            f"Collection {name!r} has the alias {', '.join(map(repr, aliases))}: dropping it would "
            "take the alias along and fail whoever searches through it. Swap the alias first, or set allow_aliased=True."
        )


def _maker(described: Any) -> str:
    return from_pairs(described.properties).get(CREATED_BY, "")
