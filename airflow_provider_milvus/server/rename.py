"""Giving a collection another name, or moving it to another database, as a flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.flow import Flow, Pause, Report, Rpc, after, in_doubt, in_time
from airflow_provider_milvus.client.reads import find, is_lite, real_name, version_for
from airflow_provider_milvus.client.subject import Subject, subject_of
from airflow_provider_milvus.client.tries import ONE_TRY, Tries
from airflow_provider_milvus.server.indexes import POLL


def rename(name: str, new_name: str, *, new_database: str = "", tries: Tries = ONE_TRY, report: Report) -> Flow[Sequence[str]]:
    """Rename a collection, and return when the server shows it under the new name only: its aliases.

    ``tries`` note the collection's id just before the change is sent.

    :raises MilvusRefusedError: the name is an alias, the new one is taken, or something that needs the name keeps it.
    :raises MilvusCollectionNotFoundError: it does not exist.
    :raises MilvusUnsupportedError: the server moves no collection to another database.
    :raises MilvusInDoubtError: the answer was lost, and the server does not tell one collection from another; or the
        collection is another one than that of an earlier try.
    """
    was_not = f"Collection {name!r} was not renamed"
    described = yield from find(name)
    earlier = tries.earlier
    if earlier is not None and (described is None or int(described.collectionID) != earlier):
        renamed: Any = yield from _find_there(new_name, new_database)
        is_there = renamed is not None and real_name(renamed) == new_name
        if is_there and (int(renamed.collectionID) == earlier or (described is None and not earlier)):
            report(f"Collection {name!r} was renamed to {new_name!r} by an earlier try of this task.")
            return sorted(renamed.aliases)
    if described is None:
        raise exceptions.MilvusCollectionNotFoundError(f"{was_not}: it does not exist. Check the name and the database.")
    subject = subject_of(described)
    if earlier is not None and subject.collection_id != earlier:
        raise subject.replaced_between_tries("That one was to be renamed, and may have been.")
    # Lite leaves new_database out of account, and would rename the collection where it is.
    if new_database and is_lite((yield from version_for(name))):
        raise exceptions.MilvusUnsupportedError(
            f"{was_not}: Milvus Lite moves no collection to another database. Nothing was changed."
        )
    aliases: list[str] = []

    def is_due(lost: exceptions.MilvusError | None) -> Flow[bool]:
        looking = _find_there(new_name, new_database)
        taken = yield from (looking if lost is not None else after(f"{was_not}.", looking))
        if taken is not None:
            if real_name(taken) == new_name and (yield from _is_it(subject, taken, lost)):
                if lost is None and (yield from subject.look()) is not None:
                    raise exceptions.MilvusRefusedError(f"{was_not}: {new_name!r} is its name already.")
                return False
            raise exceptions.MilvusRefusedError(
                f"{was_not}: {new_name!r} is the name of another collection, or an alias of one. Choose another name."
            )
        standing = yield from subject.standing()
        if standing is None:
            raise subject.replaced(lost)
        if lost is not None and not subject.collection_id:
            raise in_doubt(lost, "There is a collection of the old name, and this server does not tell whether it is the same.")
        aliases[:] = sorted(standing.aliases)
        if new_database and aliases:
            raise exceptions.MilvusRefusedError(
                f"{was_not}: it has the alias {', '.join(map(repr, aliases))}, and no alias goes to another database. Drop the "
                "alias first."
            )
        if standing.windows:
            raise exceptions.MilvusRefusedError(
                f"{was_not}: a window (milvus_loaded) is open, whose end would not find it: {', '.join(standing.windows)}."
            )
        return True

    fields = {"oldName": name, "newName": new_name, **({"newDBName": new_database} if new_database else {})}
    yield from tries.send(Rpc("RenameCollection", fields, still=is_due), lambda: subject.collection_id)
    seen = after(f"The rename of collection {name!r} to {new_name!r} was sent.", _see(subject, new_name, new_database))
    yield from in_time(seen, f"The server has answered the change, and does not show collection {name!r} as {new_name!r}")
    report(f"Collection {name!r} is {new_name!r}{f' in database {new_database!r}' if new_database else ''} now.")
    return aliases


def _find_there(name: str, database: str) -> Flow[Any | None]:
    """The description of what has the new name; ``None`` where nothing has."""
    fields = {"collection_name": name, **({"db_name": database} if database else {})}
    try:
        return (yield Rpc("DescribeCollection", fields))
    except exceptions.MilvusCollectionNotFoundError:
        return None


def _is_it(subject: Subject, there: Any, lost: exceptions.MilvusError | None) -> Flow[bool]:
    """Whether what has the new name is the collection."""
    if subject.collection_id and there.collectionID:
        return bool(there.collectionID == subject.collection_id)
    # Without ids: what came under the new name while the old one went, with the same fields.
    is_alike = list(there.schema.fields) == list(subject.first.schema.fields)
    return lost is not None and is_alike and (yield from subject.look()) is None


def _see(subject: Subject, new_name: str, new_database: str) -> Flow[None]:
    while (yield from _find_there(new_name, new_database)) is None or (yield from subject.look()) is not None:
        yield Pause(POLL)
