"""Creating, altering and dropping databases, as flows.

A call about a database names it itself, so that a flow is run in any other one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.flow import Flow, Pause, Report, Rpc, after, in_doubt, in_time
from airflow_provider_milvus.client.reads import aliases, collections
from airflow_provider_milvus.client.subject import find_subject
from airflow_provider_milvus.client.tries import ONE_TRY, Tries
from airflow_provider_milvus.schema.pairs import from_pairs, to_pairs
from airflow_provider_milvus.server.collections import check_tells_ids, drop_subject
from airflow_provider_milvus.server.indexes import POLL

SEEN_WITHIN = 3.0
"""Seconds within which the server shows a changed property."""


@dataclass(frozen=True, slots=True)
class Described:
    """A database's id, 0 where the server tells none, and its properties."""

    database_id: int
    properties: dict[str, str]


def exists(database: str) -> Flow[bool]:
    """Whether there is such a database. A listing of all leaves out those in which the user has no privilege."""
    try:
        yield Rpc("ShowCollections", {"db_name": database, "type": "InMemory"})
    except exceptions.MilvusDatabaseNotFoundError:
        return False
    return True


def describe(database: str) -> Flow[Described]:
    """:raises MilvusUnsupportedError: the server keeps no properties of databases, as Milvus 2.3.
    :raises MilvusDatabaseNotFoundError: it does not exist.
    """
    answer = yield Rpc("DescribeDatabase", {"db_name": database})
    return Described(int(answer.dbID), from_pairs(answer.properties))


def create(
    database: str,
    properties: Mapping[str, str],
    *,
    skip_if_exists: bool,
    tries: Tries = ONE_TRY,
    report: Report,
) -> Flow[bool]:
    """Create a database, and return when the server shows it with its properties: whether this task, in any try, created it.

    ``tries`` note that the creation is sent.

    :raises MilvusRefusedError: it exists, without ``skip_if_exists``.
    :raises MilvusUnsupportedError: there are properties, and the server keeps none. Nothing was changed.
    """
    was_not, sent = f"Database {database!r} was not created", tries.earlier is not None
    if properties:
        # Milvus 2.3 leaves properties out of account, without a word.
        with suppress(exceptions.MilvusDatabaseNotFoundError):
            yield from after(f"{was_not}.", describe(database))

    def is_due(lost: exceptions.MilvusError | None) -> Flow[bool]:
        nonlocal sent
        if (yield from exists(database)):
            return False
        sent = True
        return True

    fields = {"db_name": database, **({"properties": to_pairs(properties)} if properties else {})}
    yield from tries.send(Rpc("CreateDatabase", fields, still=is_due), lambda: True)
    if not sent:
        if not skip_if_exists:
            raise exceptions.MilvusRefusedError(f"{was_not}: it exists. Set if_exists to 'skip', or choose another name.")
        report(f"Database {database!r} exists: it is left as it is.")
        return False
    seen = _see(database, is_there=True)
    yield from in_time(seen, f"The server has answered the creation of database {database!r}, and does not show it")
    if properties:
        now = (yield from describe(database)).properties
        if lacking := sorted(key for key, value in properties.items() if now.get(key) != value):
            raise exceptions.MilvusServerError(
                f"Database {database!r} was created, and does not have {', '.join(lacking)} as asked for: its properties are "
                f"{now}."
            )
    return True


def _see(database: str, *, is_there: bool) -> Flow[None]:
    while (yield from exists(database)) is not is_there:
        yield Pause(POLL)


def alter(
    database: str, properties: Mapping[str, str], drop: Sequence[str], *, tries: Tries = ONE_TRY, report: Report
) -> Flow[tuple[dict[str, str], dict[str, str]]]:
    """Set and remove (``drop``) properties; return all of them before the first try, and after, when the server shows them.

    ``tries`` note the database's id and its properties before they are changed.

    :raises MilvusUnsupportedError: the server keeps no properties of databases. Nothing was changed.
    :raises MilvusServerError: the server refuses, or takes the change and does not show it.
    """
    first = yield from after(f"Database {database!r} was not altered.", describe(database))
    before = first.properties
    changed = {key: value for key, value in properties.items() if before.get(key) != value}
    removed = [key for key in drop if key in before]
    if not changed and not removed:
        report(f"Database {database!r} has these properties already.")
    database_id, began = tries.earlier or (first.database_id, before)
    if database_id != first.database_id:
        began = before
    if changed or removed:
        tries.leave([first.database_id, began])

    def is_due(wanted: Mapping[str, str | None], lost: exceptions.MilvusError | None) -> Flow[bool]:
        now = yield from _check_is(database, first)
        # After a lost answer only what is as it was before: somebody else may have changed it since.
        return lost is None or any(now.get(key) != value and now.get(key) == before.get(key) for key, value in wanted.items())

    # Milvus takes one of the two in a call.
    if removed:
        still = partial(is_due, dict.fromkeys(removed))
        yield Rpc("AlterDatabase", {"db_name": database, "delete_keys": removed}, still=still)
    if changed:
        yield Rpc("AlterDatabase", {"db_name": database, "properties": to_pairs(changed)}, still=partial(is_due, changed))
    waited = 0.0
    while True:
        now = yield from _check_is(database, first)
        if all(now.get(key) == value for key, value in changed.items()) and not set(removed) & set(now):
            return began, now
        if waited >= SEEN_WITHIN:
            raise exceptions.MilvusServerError(
                f"The server took the change of database {database!r} and does not show it, or somebody has changed it again: "
                f"its properties are {now}."
            )
        yield Pause(POLL)
        waited += POLL


def _check_is(database: str, first: Described) -> Flow[dict[str, str]]:
    """The properties now, of this database and no other one of its name."""
    now = yield from describe(database)
    if now.database_id != first.database_id:
        raise exceptions.MilvusReplacedError(
            f"Database {database!r} was dropped, and made anew, by somebody else while this task worked on it."
        )
    return now.properties


def listed_id(database: str) -> Flow[int]:
    """What tells a database from another one of its name: its id, or when it was created; 0 where the server does not tell."""
    answer = yield Rpc("ListDatabases")
    numbers = list(answer.db_ids) or list(answer.created_timestamp)
    return next((int(number) for name, number in zip_longest(answer.db_names, numbers, fillvalue=0) if name == database), 0)


def id_of_meant(database: str, noted: int | None) -> Flow[int]:
    """As :func:`listed_id`. ``noted``: an earlier try has sent the drop of the database, when it had this id.

    :raises MilvusRefusedError, MilvusInDoubtError: it is another one now, or the server does not tell.
    """
    now = yield from listed_id(database)
    if noted is None:
        return now
    if now != noted:
        raise exceptions.MilvusRefusedError(
            f"Database {database!r} was dropped by an earlier try of this task. Another one has its name now, and stays."
        )
    if not now:
        raise exceptions.MilvusInDoubtError(
            f"Database {database!r} may have been dropped: an earlier try of this task has sent its drop. There is one of that "
            "name, and this server does not tell whether it is the same. Look at it, and clear the task to have it dropped."
        )
    return now


def empty(
    database: str, *, drop_collections: bool, drop_aliased: bool, tries: Tries = ONE_TRY, report: Report
) -> Flow[list[str]]:
    """Drop the collections of a database, in which the flow is run; return their names, sorted.

    ``tries`` note which there were at first, with their ids, and then each drop that is sent: a later try drops no other one.

    :raises MilvusRefusedError: there are some, without ``drop_collections``; one has an alias, without ``drop_aliased``; or
        there is one that an earlier try has not seen. The message says what was dropped before.
    """
    now = {listed.name: listed.collection_id or 0 for listed in (yield from collections())}
    noted = tries.earlier or {"collections": now, "dropped": []}
    was_not = f"Database {database!r} was not dropped"
    if now and not drop_collections:
        raise exceptions.MilvusRefusedError(f"{was_not}: it has {_some(now)}. Drop them first, or set drop_collections=True.")
    if strangers := sorted(name for name, id in now.items() if noted["collections"].get(name) != id):
        # No retry follows, and whoever clears the task has looked.
        tries.leave(None)
        raise exceptions.MilvusRefusedError(
            f"{was_not}: since an earlier try of this task somebody has made {_some(strangers)}. Clear the task to drop all."
        )
    if now and not drop_aliased and (pointing := (yield from aliases())):
        raise exceptions.MilvusRefusedError(
            f"{was_not}: it has the alias {', '.join(map(repr, pointing))}, and every search through it would fail. Drop the "
            "alias first, or set drop_aliased=True. Nothing was changed."
        )
    dropped = list(noted["dropped"])
    for name in sorted(now):
        so_far = f"{len(dropped)} collections of database {database!r} were dropped before." if dropped else was_not + "."
        note = {**noted, "dropped": [*dropped, name]}
        known = replace(tries, earlier={**noted, "dropped": dropped})
        yield from after(so_far, _drop(name, now[name], name in dropped, drop_aliased, known, note, report))
        dropped = note["dropped"]
    return sorted(set(dropped))


def _drop(
    name: str, collection_id: int, was_sent: bool, drop_aliased: bool, tries: Tries, note: object, report: Report
) -> Flow[None]:
    try:
        subject = yield from find_subject(name)
    except exceptions.MilvusCollectionNotFoundError:
        return
    if was_sent:
        check_tells_ids(subject)
    if subject.alias or subject.collection_id != collection_id:
        raise exceptions.MilvusRefusedError(f"Somebody has made another collection {name!r} just now, which stays.")
    yield from drop_subject(subject, drop_aliased=drop_aliased, tries=tries, note=note, report=report)


def _some(names: Sequence[str] | Mapping[str, int]) -> str:
    listed = sorted(names)
    more = f" and {len(listed) - 5} more" if len(listed) > 5 else ""
    return f"the collection {', '.join(map(repr, listed[:5]))}{more}"


def drop(database: str, database_id: int, dropped: Sequence[str], *, tries: Tries = ONE_TRY, report: Report) -> Flow[bool]:
    """Drop a database that has no collection any more; return, when it is gone, whether this task dropped it.

    ``database_id``: as :func:`listed_id` gave it at the first look. ``dropped`` are the collections that this task has dropped
    before, for an error to say so. ``tries`` note the id just before the drop is sent.

    :raises MilvusRefusedError: it has a collection, or another database has its name by now.
    :raises MilvusInDoubtError: the answer was lost, and the server does not tell whether it is the same.
    """
    sent = False

    def is_due(lost: exceptions.MilvusError | None) -> Flow[bool]:
        nonlocal sent
        if not (yield from exists(database)):
            return False
        now = yield from listed_id(database)
        if now != database_id:
            raise exceptions.MilvusRefusedError(
                f"Database {database!r} was not dropped: somebody has dropped it, and another one has its name now."
            )
        if lost is not None and not now:
            raise in_doubt(lost, "There is a database of that name, and this server does not tell whether it is the same.")
        sent = True
        return True

    done = f"{len(dropped)} collections of database {database!r} were dropped before."
    dropping = tries.send(Rpc("DropDatabase", {"db_name": database}, still=is_due), lambda: database_id)
    try:
        yield from (after(done, dropping) if dropped else dropping)
    except exceptions.MilvusServerError as error:
        if "not empty" not in str(error):
            raise
        raise exceptions.MilvusRefusedError(
            f"{error} Somebody has made a collection in it just now, or it has one that this user does not see."
        ) from None
    yield from in_time(
        _see(database, is_there=False), f"The server has answered the drop of database {database!r}, and shows it still"
    )
    report(f"Database {database!r} does not exist any more.")
    return sent
