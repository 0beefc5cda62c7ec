"""Creating and dropping collections, as flows.

Success is what the server shows afterwards. A collection is created with a property that says by whom. So a retry recognizes
what an earlier try of its own left half done, and a task never takes somebody else's collection for its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.flow import Flow, Pause, Report, Rpc, after, in_doubt, in_time
from airflow_provider_milvus.client.reads import describe, find, is_lite
from airflow_provider_milvus.client.subject import Standing, Subject, subject_of
from airflow_provider_milvus.schema.definition import CONSISTENCY_LEVELS, Definition, Index
from airflow_provider_milvus.schema.diff import drift
from airflow_provider_milvus.schema.pairs import from_pairs, to_pairs
from airflow_provider_milvus.schema.proto import schema_bytes
from airflow_provider_milvus.server.indexes import POLL, compare, create_index, indexes_of, see_indexes

CREATED_BY = "airflow.created_by"
"""The property that names the task and the run which created a collection."""

TRIAL = "airflow_trial_of_"
"""The beginning of the name of a trial collection: it lives for a moment and tells whether the server takes a definition."""


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
    definition: Definition,
    *,
    if_exists: str,
    created_by: str,
    drop_aliased: bool = False,
    replaced_before: str = "",
    before_dropping: Callable[[str], object] = lambda mark: None,
    report: Report,
) -> Flow[Created]:
    """Create a collection and its indexes; a collection that exists is treated as ``if_exists`` says.

    ``created_by`` names the task and its run: a collection that the same run created before is completed, not refused.
    ``replaced_before`` is the mark of the collection that an earlier try set out to replace: no other one is dropped.
    ``before_dropping`` is called with the mark of the one that is about to be dropped.

    :raises MilvusRefusedError: it exists (``"fail"``), or has an alias (``"replace"`` without ``drop_aliased``).
    :raises MilvusSchemaDriftError: it exists and differs (``"check"``, or when the same run created it).
    :raises MilvusUnsupportedError: the server does not keep all that was requested. Nothing is left of the attempt.
    """
    name = definition.name
    lite = is_lite((yield Rpc("GetVersion")))
    described = yield from find(name)
    replaced = False
    if described is not None and if_exists == "replace" and _creator_of(described) != created_by:
        subject = subject_of(described)
        mark = yield from subject.mark()
        if replaced_before not in ("", mark):
            raise exceptions.MilvusRefusedError(
                f"Collection {name!r} was not replaced: an earlier try of this task dropped the one that it was to replace, "
                "and somebody else has created another one since. Clear the task to replace that one, too."
            )
        first = yield from subject.standing()
        if first is not None:
            _check_may_be_dropped(name, first, first, drop_aliased)
        yield from _try_out(definition, lite, created_by, report)
        yield from drop_subject(subject, drop_aliased=drop_aliased, before_sending=lambda: before_dropping(mark), report=report)
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
    name, creator, subject = definition.name, _creator_of(described), subject_of(described)
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
        yield from create_index(subject, index)
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
    existing: Any = None

    def is_due(lost: exceptions.MilvusError | None) -> Flow[bool]:
        nonlocal existing
        existing = yield from find(definition.name)
        return existing is None

    try:
        yield Rpc("CreateCollection", {key: value for key, value in request.items() if value is not None}, still=is_due)
    except (exceptions.MilvusServerError, exceptions.MilvusRefusedError):
        # Somebody else was quicker.
        if (yield from find(definition.name)) is None:
            raise
    return existing or (yield from describe(definition.name))


def _complete_or_remove(definition: Definition, described: Any, lite: bool, report: Report) -> Flow[None]:
    """Create the indexes of a collection that was created just now; drop it again if the server refuses for good."""
    subject = subject_of(described)
    try:
        if differences := drift(definition, described, lite=lite):
            raise exceptions.MilvusUnsupportedError(
                f"Collection {definition.name!r} was created and dropped again: this server's version did not keep "
                f"all of its definition: {'; '.join(differences)}."
            )
        for index in definition.indexes:
            yield from create_index(subject, index)
        yield from see_indexes(definition, lite=lite)
    except exceptions.MilvusError as error:
        if not error.try_again:
            report(f"Dropping collection {definition.name!r} again, which was created just now: {error}")
            yield from after(
                f"{error} Collection {definition.name!r} was created, and stays:",
                drop_subject(subject, report=report),
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
    yield from _drop_trial(trial.name, described, report)


def _drop_trial(name: str, described: Any, report: Report) -> Flow[None]:
    if not _creator_of(described).startswith(TRIAL):
        raise exceptions.MilvusRefusedError(
            f"Nothing was replaced: the new definition is tried out as collection {name!r} first, and somebody else has "
            "created a collection of that name. Rename it."
        )
    yield from drop_subject(subject_of(described), report=report)


def drop(
    name: str,
    *,
    drop_aliased: bool = False,
    skip_if_missing: bool = False,
    dropped_before: str = "",
    before_sending: Callable[[str], object] = lambda mark: None,
    report: Report,
) -> Flow[Dropped]:
    """Drop a collection, loaded or not, and return when the server does not have it any more.

    ``before_sending`` is called with the collection's mark just before the drop is sent. ``dropped_before`` is the mark of a
    collection whose drop an earlier try has sent: nothing else is dropped then.

    :raises MilvusCollectionNotFoundError: it does not exist, unless ``skip_if_missing``.
    :raises MilvusRefusedError: the name is an alias, or the collection has an alias, without ``drop_aliased``.
    """
    first: Any = yield from find(name)
    if first is None:
        if not skip_if_missing and not dropped_before:
            raise exceptions.MilvusCollectionNotFoundError(
                f"Collection {name!r} was not dropped: it does not exist. Check the name and the database."
            )
        report(f"Collection {name!r} does not exist: nothing to drop.")
        return Dropped(name, bool(dropped_before))
    subject = subject_of(first)
    mark = yield from subject.mark()
    if dropped_before not in ("", mark):
        if not subject.collection_id:
            raise exceptions.MilvusInDoubtError(
                f"Collection {name!r} was not dropped: an earlier try of this task has sent the drop of one with other rows, "
                "and this server does not tell whether this is the same. Look at it, and drop it yourself."
            )
        report(f"Collection {name!r} was dropped by an earlier try of this task. Another one has its name now, and stays.")
        return Dropped(name, True)
    yield from drop_subject(subject, drop_aliased=drop_aliased, before_sending=lambda: before_sending(mark), report=report)
    return Dropped(name, True)


def drop_subject(
    subject: Subject, *, drop_aliased: bool = False, before_sending: Callable[[], object] = lambda: None, report: Report
) -> Flow[None]:
    """As :func:`drop`, of this collection and no other one of its name. A window that opens meanwhile keeps it."""
    first = yield from subject.standing()

    def is_due(lost: exceptions.MilvusError | None) -> Flow[bool]:
        standing = yield from subject.standing()
        if standing is None:
            return False
        if lost is not None and not subject.collection_id:
            raise in_doubt(lost, "There is a collection of that name, and this server does not tell whether it is another one.")
        _check_may_be_dropped(subject.name, standing, first, drop_aliased)
        before_sending()
        return True

    answer = yield Rpc("DropCollection", {"collection_name": subject.name}, still=is_due)
    if answer is None:
        report(f"Collection {subject.name!r} does not exist any more.")
    elif subject.collection_id:
        # Without ids, what has the name after the answer is another collection.
        gone = in_time(
            _see_gone(subject), f"The server has answered the drop of collection {subject.name!r}, and shows it still"
        )
        yield from after(f"The drop of collection {subject.name!r} was sent.", gone)


def _see_gone(subject: Subject) -> Flow[None]:
    while (yield from subject.look()) is not None:
        yield Pause(POLL)


def _check_may_be_dropped(name: str, standing: Standing, first: Standing | None, drop_aliased: bool) -> None:
    if standing.aliases and not drop_aliased:
        raise exceptions.MilvusRefusedError(
            f"Collection {name!r} was not dropped: it has the alias {', '.join(map(repr, standing.aliases))}, which would go "
            "with it, and every search through the alias would fail. Move the alias first, or set drop_aliased=True."
        )
    if first is not None and (reason := standing.came_after(first.aliases, first.windows)) is not None:
        raise exceptions.MilvusRefusedError(f"Collection {name!r} was not dropped: {reason}.")


def _creator_of(described: Any) -> str:
    return from_pairs(described.properties).get(CREATED_BY, "")
