"""Creating and dropping collections, as flows.

Success is what the server shows afterwards. A collection is created with a property that says by whom. So a retry recognizes
what an earlier try of its own left half done, and a task never takes somebody else's collection for its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.flow import Flow, Pause, Report, Rpc, after, in_time
from airflow_provider_milvus.client.reads import aliases_of, describe, find, is_lite
from airflow_provider_milvus.schema.definition import CONSISTENCY_LEVELS, Definition, Index
from airflow_provider_milvus.schema.diff import drift
from airflow_provider_milvus.schema.pairs import from_pairs, to_pairs
from airflow_provider_milvus.schema.proto import schema_bytes
from airflow_provider_milvus.server.indexes import POLL, compare, create_index, indexes_of, see_indexes

CREATED_BY = "airflow.created_by"
"""The property that names the task and the run which created a collection."""

TRIAL = "airflow_trial_of_"
"""The beginning of the name of a trial collection: it lives for a moment and tells whether the server takes a definition."""

GONE_WITHIN = 5.0
"""Seconds that a server may still show a collection after it has answered the drop."""


@dataclass(frozen=True, slots=True)
class Created:
    """What was done for a requested collection; ``indexes`` are all indexes that it has on the server."""

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
    definition: Definition, *, if_exists: str, created_by: str, drop_aliased: bool = False, report: Report
) -> Flow[Created]:
    """Create a collection and its indexes; a collection that exists is treated as ``if_exists`` says.

    ``created_by`` names the task and its run: a collection that the same run created before is completed, not refused.

    :raises MilvusRefusedError: it exists (``"fail"``), or has an alias (``"replace"`` without ``drop_aliased``).
    :raises MilvusSchemaDriftError: it exists and differs (``"check"``, or when the same run created it).
    :raises MilvusUnsupportedError: the server does not keep all that was requested. Nothing is left of the attempt.
    """
    name = definition.name
    lite = is_lite((yield Rpc("GetVersion")))
    described = yield from find(name)
    replaced = False
    if described is not None and if_exists == "replace":
        yield from _check_not_aliased(name, drop_aliased)
        yield from _try_out(definition, lite, created_by, report)
        yield from drop(name, drop_aliased=drop_aliased, report=report)
        described, replaced = None, True
    if described is None:
        described = yield from _send(definition, created_by)
        if _creator_of(described) == created_by:
            yield from _complete_or_remove(definition, described, lite, report)
            indexes = yield from indexes_of(name)
            return Created(True, replaced, indexes, [index.name for index in definition.indexes])
    return (yield from _treat_existing(definition, described, if_exists, created_by, lite, report))


def _treat_existing(
    definition: Definition, described: Any, if_exists: str, created_by: str, lite: bool, report: Report
) -> Flow[Created]:
    name, creator = definition.name, _creator_of(described)
    own = creator == created_by
    if own:
        report(f"Collection {name!r} was created by an earlier try of this task: completing it.")
    elif if_exists == "skip":
        report(f"Collection {name!r} exists: it is left as it is.")
        return Created(False, indexes=(yield from indexes_of(name)))
    elif if_exists != "check":
        by = f", created by {creator}" if creator else ""
        raise exceptions.MilvusRefusedError(
            f"Collection {name!r} was not created: it exists{by}. "
            "Set if_exists to 'skip', 'check' or 'replace', or choose another name."
        )
    existing = yield from indexes_of(name)
    missing, differences = compare(definition, existing, lite=lite)
    differences = [*drift(definition, described, lite=lite), *differences]
    if differences:
        raise exceptions.MilvusSchemaDriftError(
            f"Collection {name!r} was left as it is: it differs from what is requested: {'; '.join(differences)}. "
            "Create a new collection and move the alias to it, or set if_exists='replace'."
        )
    for index in missing:
        report(f"Collection {name!r} has no index {index.name!r}: creating it.")
        yield from create_index(name, index)
    if missing:
        existing = yield from see_indexes(definition, lite=lite)
    return Created(own, indexes=existing, indexes_created=[index.name for index in missing])


def _send(definition: Definition, created_by: str) -> Flow[Any]:
    """Send the definition; return the description of the collection that exists then, which may be somebody else's."""
    request = {
        "collection_name": definition.name,
        "schema": schema_bytes(definition.name, definition.schema),
        "shards_num": definition.num_shards,
        "num_partitions": definition.num_partitions,
        "consistency_level": CONSISTENCY_LEVELS.index(definition.consistency_level or "Bounded"),
        "properties": to_pairs({**definition.properties, CREATED_BY: created_by}),
    }
    try:
        yield Rpc("CreateCollection", {key: value for key, value in request.items() if value is not None})
    except (exceptions.MilvusServerError, exceptions.MilvusRefusedError):
        # A call that is repeated because its answer was lost meets its own result.
        described = yield from find(definition.name)
        if described is None:
            raise
        return described
    return (yield from describe(definition.name))


def _complete_or_remove(definition: Definition, described: Any, lite: bool, report: Report) -> Flow[None]:
    """Create the indexes of a collection that was created just now; drop it again if the server refuses for good."""
    try:
        if differences := drift(definition, described, lite=lite):
            raise exceptions.MilvusUnsupportedError(
                f"Collection {definition.name!r} was created and dropped again: this server's version did not keep "
                f"all of its definition: {'; '.join(differences)}."
            )
        for index in definition.indexes:
            yield from create_index(definition.name, index)
        yield from see_indexes(definition, lite=lite)
    except exceptions.MilvusError as error:
        if not error.try_again:
            report(f"Dropping collection {definition.name!r} again, which was created just now: {error}")
            yield from after(
                f"{error} Collection {definition.name!r} was created, and stays:", drop(definition.name, report=report)
            )
        raise


def _try_out(definition: Definition, lite: bool, created_by: str, report: Report) -> Flow[None]:
    """Make sure that the server takes the definition before anything is dropped for it."""
    trial = replace(definition, name=f"{TRIAL}{definition.name}"[:255])
    leftover = yield from find(trial.name)
    if leftover is not None:
        yield from _drop_trial(trial.name, leftover, report)
    described = yield from _send(trial, f"{TRIAL}{created_by}")
    yield from _complete_or_remove(trial, described, lite, report)
    yield from _drop_trial(trial.name, (yield from describe(trial.name)), report)


def _drop_trial(name: str, described: Any, report: Report) -> Flow[None]:
    if not _creator_of(described).startswith(TRIAL):
        raise exceptions.MilvusRefusedError(
            f"Nothing was replaced: the new definition is tried out as collection {name!r} first, and somebody else has "
            "created a collection of that name. Rename it."
        )
    yield from drop(name, report=report)


def drop(
    name: str,
    *,
    drop_aliased: bool = False,
    skip_if_missing: bool = False,
    before_sending: Callable[[], object] = lambda: None,
    report: Report,
) -> Flow[Dropped]:
    """Drop a collection, loaded or not, and return when the server does not have it any more.

    ``before_sending`` is called just before the drop is sent.

    :raises MilvusCollectionNotFoundError: it does not exist, unless ``skip_if_missing``.
    :raises MilvusRefusedError: the name is an alias, or the collection has an alias, without ``drop_aliased``.
    """
    first: Any = yield from find(name)
    if first is None:
        if not skip_if_missing:
            raise exceptions.MilvusCollectionNotFoundError(
                f"Collection {name!r} was not dropped: it does not exist. Check the name and the database."
            )
        report(f"Collection {name!r} does not exist: nothing to drop.")
        return Dropped(name, False)
    before_sending()
    described = first
    while described is not None and first.collectionID == described.collectionID:
        yield from _check_not_aliased(name, drop_aliased)
        try:
            yield Rpc("DropCollection", {"collection_name": name}, repeatable=False)
        except (exceptions.MilvusTimeoutError, exceptions.MilvusUnavailableError) as error:
            report(f"The drop of collection {name!r} was not answered, so it is looked for: {error}")
        gone = in_time(_left(name, first), f"The drop of {name!r} was sent, and the server still has it")
        described = yield from after(f"The drop of collection {name!r} was sent.", gone)
    return Dropped(name, True)


def _left(name: str, first: Any) -> Flow[Any | None]:
    """The description of the collection that has this name after a drop; some servers answer first and drop then."""
    waited = 0.0
    while True:
        described = yield from find(name)
        if described is None or first.collectionID != described.collectionID or waited >= GONE_WITHIN:
            return described
        yield Pause(POLL)
        waited += POLL


def _check_not_aliased(name: str, drop_aliased: bool) -> Flow[None]:
    if not drop_aliased and (aliases := (yield from aliases_of(name))):
        raise exceptions.MilvusRefusedError(
            f"Collection {name!r} was not dropped: it has the alias {', '.join(map(repr, aliases))}, which would go with it, "
            "and every search through the alias would fail. Move the alias first, or set drop_aliased=True."
        )


def _creator_of(described: Any) -> str:
    return from_pairs(described.properties).get(CREATED_BY, "")
