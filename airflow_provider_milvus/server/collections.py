"""Creating and dropping collections, as flows.

Success is what the server shows afterwards. A collection is created with a property that says by whom. So a retry recognizes
what an earlier try of its own left half done, and a task never takes somebody else's collection for its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.flow import Flow, Pause, Report, Rpc, after, in_doubt, in_time
from airflow_provider_milvus.client.reads import describe, find, is_lite, version_for
from airflow_provider_milvus.client.subject import Standing, Subject, Unless, subject_of
from airflow_provider_milvus.client.tries import ONE_TRY, Tries
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


def create(
    definition: Definition,
    *,
    if_exists: str,
    created_by: str,
    drop_aliased: bool = False,
    tries: Tries = ONE_TRY,
    report: Report,
) -> Flow[Created]:
    """Create a collection and its indexes; a collection that exists is treated as ``if_exists`` says.

    ``created_by`` names the task and its run: a collection that the same run created before is completed, not refused.
    ``tries`` note the id of the collection that is to be replaced, before anything is tried out, and again just before its drop
    is sent: a later try drops no other one.

    :raises MilvusRefusedError: it exists (``"fail"``), or has an alias (``"replace"`` without ``drop_aliased``).
    :raises MilvusSchemaDriftError: it exists and differs (``"check"``, or when the same run created it).
    :raises MilvusUnsupportedError: the server does not keep all that was requested. Nothing is left of the attempt.
    """
    name, earlier = definition.name, tries.earlier or {}
    lite = is_lite((yield from version_for(name)))
    described = yield from find(name)
    if if_exists == "replace":
        yield from _drop_leftover(_trial_name(name), report)
    # What an earlier try has dropped, this task has replaced.
    replaced = earlier.get("dropping", False)
    if described is not None and if_exists == "replace" and _creator_of(described) != created_by:
        subject = subject_of(described)
        if replaced:
            check_tells_ids(subject)
        if earlier.get("replacing") not in (None, subject.collection_id):
            raise exceptions.MilvusRefusedError(
                f"Collection {name!r} was not replaced: an earlier try of this task was to replace another one, and somebody "
                "else has created this one since. Another run of the DAG replaces it, too."
            )
        first = yield from subject.at_first()
        if first is not None:
            _check_may_be_dropped(name, first, drop_aliased)
        note = {"created_by": created_by, "replacing": subject.collection_id, "dropping": replaced}
        tries.note(note)
        yield from _try_out(definition, lite, created_by, report)
        tries, note = replace(tries, earlier=note), {**note, "dropping": True}
        dropped = yield from drop_subject(subject, drop_aliased=drop_aliased, tries=tries, note=note, report=report)
        described, replaced = None, replaced or dropped
    if described is None:
        described = yield from _send(definition, created_by)
        if _creator_of(described) == created_by:
            yield from _complete_or_remove(definition, described, lite, report)
            indexes = yield from indexes_of(name)
            return Created(True, replaced, indexes, [index.name for index in definition.indexes])
    existing = yield from _treat_existing(definition, described, if_exists, created_by, lite, report)
    return replace(existing, replaced=replaced)


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
        if if_exists == "replace":
            raise exceptions.MilvusRefusedError(
                f"Collection {name!r} was not created: the one before was dropped, and there is another one{by} since. "
                "Another run of the DAG replaces it, too."
            )
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

    yield Rpc("CreateCollection", {key: value for key, value in request.items() if value is not None}, still=is_due)
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
    trial = replace(definition, name=_trial_name(definition.name))
    described = yield from _send(trial, f"{TRIAL}{created_by}")
    yield from _complete_or_remove(trial, described, lite, report)
    yield from _drop_trial(trial.name, described, report)


def _trial_name(name: str) -> str:
    return f"{TRIAL}{name}"[:255]


def _drop_leftover(trial_name: str, report: Report) -> Flow[None]:
    """Drop what an earlier try has tried out and could not drop."""
    leftover = yield from find(trial_name)
    if leftover is not None:
        yield from _drop_trial(trial_name, leftover, report)


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
    tries: Tries = ONE_TRY,
    report: Report,
) -> Flow[bool]:
    """Drop a collection, loaded or not; return, when the server does not have it any more, whether there was one to drop.

    ``tries`` note the collection's id just before the drop is sent: a later try drops nothing else.

    :raises MilvusCollectionNotFoundError: it does not exist, unless ``skip_if_missing``.
    :raises MilvusRefusedError: the name is an alias, or the collection has an alias, without ``drop_aliased``.
    :raises MilvusInDoubtError: an earlier try has sent the drop, there is a collection, and this server tells no ids.
    """
    dropped_before = tries.earlier is not None
    missing = f"Collection {name!r} was not dropped: it does not exist"
    first: Any = yield from find(name)
    if first is None:
        if not skip_if_missing and not dropped_before:
            raise exceptions.MilvusCollectionNotFoundError(f"{missing}. Check the name and the database.")
        report(f"Collection {name!r} does not exist: nothing to drop.")
        return dropped_before
    subject = subject_of(first)
    if dropped_before:
        check_tells_ids(subject)
    if tries.earlier not in (None, subject.collection_id):
        report(f"Collection {name!r} was dropped by an earlier try of this task. Another one has its name now, and stays.")
        return True
    note = subject.collection_id
    sent = yield from drop_subject(subject, drop_aliased=drop_aliased, tries=tries, note=note, report=report)
    if not sent and not skip_if_missing and not dropped_before:
        raise exceptions.MilvusCollectionNotFoundError(f"{missing} any more. Somebody else has dropped it just now.")
    return sent or dropped_before


def check_tells_ids(subject: Subject) -> None:
    """Make sure that the server tells the collection from another one of its name, which an earlier try has set out to drop.

    :raises MilvusInDoubtError: it does not.
    """
    if not subject.collection_id:
        raise exceptions.MilvusInDoubtError(
            f"Collection {subject.name!r} may have been dropped: an earlier try of this task has sent its drop. There is one "
            "of that name, which was left alone, since this server does not tell whether it is the same. Look at it, and clear "
            "the task to have it dropped."
        )


def drop_subject(
    subject: Subject,
    *,
    drop_aliased: bool = False,
    unless: Unless | None = None,
    tries: Tries = ONE_TRY,
    note: Any = None,
    report: Report,
) -> Flow[bool]:
    """As :func:`drop`, of this collection and no other one of its name.

    ``unless`` is asked just before it is sent: why the collection has to stay. Without it, a window that opens meanwhile keeps
    it. ``tries`` keep ``note`` just before it is sent. Return whether a drop was sent: it was not if somebody else was quicker.
    """
    first = None if unless is not None else (yield from subject.at_first())
    sent = False

    def is_due(lost: exceptions.MilvusError | None) -> Flow[bool]:
        nonlocal sent
        standing = yield from subject.standing()
        if standing is None:
            return False
        if lost is not None and not subject.collection_id:
            raise in_doubt(lost, "There is a collection of that name, and this server does not tell whether it is another one.")
        _check_may_be_dropped(subject.name, standing, drop_aliased)
        if unless is not None:
            reason = unless(standing)
        else:
            reason = standing.came_after(first.aliases, first.windows) if first is not None else None
        if reason is not None:
            raise exceptions.MilvusRefusedError(f"Collection {subject.name!r} was not dropped: {reason}.")
        sent = True
        return True

    call = Rpc("DropCollection", {"collection_name": subject.name}, still=is_due)
    answer = yield from tries.send(call, lambda: note)
    if answer is None:
        report(f"Collection {subject.name!r} does not exist any more.")
    elif subject.collection_id:
        # Without ids, what has the name after the answer is another collection.
        gone = in_time(
            _see_gone(subject), f"The server has answered the drop of collection {subject.name!r}, and shows it still"
        )
        yield from after(f"The drop of collection {subject.name!r} was sent.", gone)
    return sent


def _see_gone(subject: Subject) -> Flow[None]:
    while (yield from subject.look()) is not None:
        yield Pause(POLL)


def _check_may_be_dropped(name: str, standing: Standing, drop_aliased: bool) -> None:
    if standing.aliases and not drop_aliased:
        raise exceptions.MilvusRefusedError(
            f"Collection {name!r} was not dropped: it has the alias {', '.join(map(repr, standing.aliases))}, which would go "
            "with it, and every search through the alias would fail. Move the alias first, or set drop_aliased=True."
        )


def _creator_of(described: Any) -> str:
    return from_pairs(described.properties).get(CREATED_BY, "")
