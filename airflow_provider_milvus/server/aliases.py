"""Moving an alias from one collection to another while searches go on, retiring the old one, and dropping one, as flows."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.flow import Deadline, Flow, Pause, Report, Rpc, after, in_doubt, in_time
from airflow_provider_milvus.client.reads import find, target_of
from airflow_provider_milvus.client.subject import Standing, Subject
from airflow_provider_milvus.client.tries import ONE_TRY, Tries
from airflow_provider_milvus.conditions import load_state
from airflow_provider_milvus.server.collections import check_tells_ids, drop_subject
from airflow_provider_milvus.server.indexes import POLL
from airflow_provider_milvus.server.release import release_subject

SEEN_WITHIN = 10.0
"""Seconds after which an alias that the server says it has moved, and that is where it was, was moved back by somebody."""


@dataclass(frozen=True, slots=True)
class Swapped:
    """``old`` is the collection that the alias pointed to before: ``None`` for a new alias, or if nothing was ``changed``.
    ``old_id`` is its id, 0 where the server tells none."""

    old: str | None
    changed: bool
    old_id: int = 0


@dataclass(frozen=True, slots=True)
class Retired:
    """The old collection's end: ``outcome`` is ``kept``, ``released``, ``dropped`` or ``gone``.

    ``reason`` says why that is not what was requested.
    """

    outcome: str
    reason: str | None = None


def swap(
    alias: str,
    collection_name: str,
    *,
    expected_old: str | None = None,
    require_loaded: bool = True,
    tries: Tries = ONE_TRY,
    report: Report,
) -> Flow[Swapped]:
    """Point an alias to a collection, in one step for whoever searches through it; return when the server shows it.

    ``tries`` note the ``old`` collection and its ``old_id`` before the change is sent, and whether it was ``done``, and when
    (``at``, in seconds since the epoch): after that, an alias that points elsewhere was moved by somebody else.

    :raises MilvusCollectionNotFoundError: the collection does not exist.
    :raises MilvusRefusedError: the collection is not in memory, or its name is an alias; the alias is the name of a collection,
        or points to another collection than ``expected_old``. Nothing was changed.
    :raises MilvusAliasMovedError: somebody else has moved the alias meanwhile.
    :raises MilvusInDoubtError: the answer was lost, now or in an earlier try, and the alias is where it was: it was not moved,
        or moved back.
    """
    swapping = _Swap(alias, collection_name, require_loaded)
    earlier = tries.earlier
    try:
        old = yield from target_of(alias)
    except exceptions.MilvusError as error:
        raise type(error)(f"Alias {alias!r} was not pointed to {collection_name!r} by this try. {error}") from error.__cause__
    if old == collection_name:
        report(f"Alias {alias!r} points to collection {collection_name!r} already.")
        return Swapped(None, False)
    if earlier is not None and (earlier["done"] or old != earlier["old"]):
        raise _moved(alias, collection_name, earlier["old"], old)
    if earlier is not None and old is not None:
        raise in_doubt(f"An earlier try of this task has sent the move of alias {alias!r}.", _as_before(old))
    if expected_old is not None and old != expected_old:
        points = f"points to {old!r}" if old else "does not exist"
        raise exceptions.MilvusRefusedError(
            f"Alias {alias!r} was not moved: it {points}, but expected_old is {expected_old!r}. "
            "Find out who moved it, or correct expected_old."
        )
    fields = {"collection_name": collection_name, "alias": alias}

    due = partial(swapping.is_due, old)

    def note(done: bool) -> dict[str, Any]:
        return {"old": old, "old_id": swapping.old_id, "at": time.time(), "done": done}

    try:
        call = Rpc("CreateAlias" if old is None else "AlterAlias", fields, still=due)
        yield from tries.send(call, lambda: note(False))
    except (exceptions.MilvusServerError, exceptions.MilvusRefusedError) as refused:
        # 2.3.5 keeps the name of an alias that was dropped with its collection: it is not found, and cannot be created.
        if old is not None or not swapping.sent or (yield from target_of(alias)) is not None:
            raise
        try:
            yield from tries.send(Rpc("AlterAlias", fields, still=due), lambda: note(False))
        except (exceptions.MilvusAliasNotFoundError, exceptions.MilvusCollectionNotFoundError):
            raise refused from None
    seen = _see_target(alias, collection_name, old)
    yield from in_time(seen, f"Alias {alias!r} was moved, but not seen at {collection_name!r}")
    tries.leave(note(True))
    report(f"Alias {alias!r} points to {collection_name!r}; before, it {f'pointed to {old!r}' if old else 'did not exist'}.")
    return Swapped(old, True, swapping.old_id)


@dataclass(slots=True)
class _Swap:
    """The look before an alias is moved, and the id of the old collection that it saw."""

    alias: str
    collection_name: str
    require_loaded: bool
    old_id: int = field(init=False, default=0)
    sent: bool = field(init=False, default=False)

    def is_due(self, old: str | None, lost: exceptions.MilvusError | None) -> Flow[bool]:
        alias, collection_name = self.alias, self.collection_name
        if lost is None:
            if (yield from find(collection_name)) is None:
                raise exceptions.MilvusCollectionNotFoundError(
                    f"Alias {alias!r} was not moved: there is no collection {collection_name!r}. Check the name and "
                    "the database."
                )
            if old is None:
                yield from _check_free(alias)
            else:
                described = yield from find(old)
                self.old_id = 0 if described is None else int(described.collectionID)
            if self.require_loaded:
                yield from _check_loaded(alias, collection_name)
        # Last of all, so that a move by somebody else is seen.
        target = yield from target_of(alias)
        if target == collection_name:
            return False
        if target != old:
            raise _moved(alias, collection_name, old, target)
        if lost is not None and old is not None:
            raise in_doubt(lost, _as_before(old))
        self.sent = True
        return True


def _see_target(alias: str, collection_name: str, old: str | None) -> Flow[None]:
    """:raises MilvusAliasMovedError: the alias points elsewhere, or still to ``old`` after ``SEEN_WITHIN`` seconds."""
    waited = 0.0
    while (target := (yield from target_of(alias))) != collection_name:
        if target != old or waited >= SEEN_WITHIN:
            raise _moved(alias, collection_name, old, target)
        yield Pause(POLL)
        waited += POLL


def _moved(alias: str, collection_name: str, old: str | None, target: str | None) -> exceptions.MilvusAliasMovedError:
    return exceptions.MilvusAliasMovedError(
        f"Collection {(old or collection_name)!r} was left as it is: this task pointed alias {alias!r} to {collection_name!r}, "
        f"and somebody has moved the alias since: {f'it points to {target!r}' if target else 'it is gone'}."
        + (" Or the server does not show the move." if target == old else "")
    )


def _as_before(old: str) -> str:
    return f"It points to {old!r}, as before: it was not moved, or somebody has moved it back since."


def _check_free(alias: str) -> Flow[None]:
    try:
        collection = yield from find(alias)
    except exceptions.MilvusRefusedError:
        return  # Somebody has created the alias just now; the server decides.
    if collection is not None:
        raise exceptions.MilvusRefusedError(
            f"Alias {alias!r} was not created: it is the name of a collection. Choose another alias."
        )


def _check_loaded(alias: str, collection_name: str) -> Flow[None]:
    state = yield from load_state(collection_name)
    if state != "Loaded":
        raise exceptions.MilvusRefusedError(
            f"Alias {alias!r} was not moved: collection {collection_name!r} is {state}, so every search through the alias "
            "would fail. Load the collection first, or set require_loaded=False."
        )


def drop_alias(
    alias: str,
    *,
    expected_old: str | None = None,
    skip_if_missing: bool = False,
    tries: Tries = ONE_TRY,
    report: Report,
) -> Flow[str | None]:
    """Drop an alias, and return when the server has it no more: the collection that it pointed to; ``None`` if there was none.

    ``tries`` note that collection (``old``) just before the drop is sent.

    :raises MilvusAliasNotFoundError: it does not exist, unless ``skip_if_missing``.
    :raises MilvusRefusedError: it points to another collection than ``expected_old``.
    :raises MilvusAliasMovedError: somebody else has moved it meanwhile.
    :raises MilvusInDoubtError: the answer was lost, now or in an earlier try, and the alias is where it was.
    """
    earlier = tries.earlier
    old = yield from target_of(alias)
    if old is None:
        if earlier is None and not skip_if_missing:
            raise exceptions.MilvusAliasNotFoundError(
                f"Alias {alias!r} was not dropped: it does not exist. Check the name and the database."
            )
        report(f"Alias {alias!r} does not exist: nothing to drop.")
        return None if earlier is None else str(earlier["old"])
    if earlier is not None:
        if earlier["old"] != old:
            raise _made_again(alias, old)
        raise in_doubt(f"An earlier try of this task has sent the drop of alias {alias!r}.", _still_there(old))
    if expected_old is not None and old != expected_old:
        raise exceptions.MilvusRefusedError(
            f"Alias {alias!r} was not dropped: it points to {old!r}, but expected_old is {expected_old!r}. "
            "Find out who moved it, or correct expected_old."
        )

    def is_due(lost: exceptions.MilvusError | None) -> Flow[bool]:
        target = yield from target_of(alias)
        if target is None:
            return False
        if target != old:
            raise _made_again(alias, target)
        if lost is not None:
            raise in_doubt(lost, _still_there(old))
        return True

    yield from tries.send(Rpc("DropAlias", {"alias": alias}, still=is_due), lambda: {"old": old})
    seen = _see_dropped(alias, old)
    yield from in_time(seen, f"The server has answered the drop of alias {alias!r}, and shows it still")
    report(f"Alias {alias!r} does not exist any more; before, it pointed to {old!r}.")
    return old


def _see_dropped(alias: str, old: str) -> Flow[None]:
    while (yield from target_of(alias)) == old:
        yield Pause(POLL)


def _made_again(alias: str, target: str) -> exceptions.MilvusAliasMovedError:
    return exceptions.MilvusAliasMovedError(
        f"Alias {alias!r} was left as it is: somebody has moved it, or made it anew, while this task worked: it points to "
        f"{target!r} now."
    )


def _still_there(old: str) -> str:
    return f"It points to {old!r}, as before: it was not dropped, or somebody has made it again since."


def retire(
    alias: str,
    collection_name: str,
    old: Subject,
    then: str,
    deadline: Deadline,
    *,
    tries: Tries = ONE_TRY,
    report: Report,
) -> Flow[Retired]:
    """Keep, release or drop (``then``) the collection that the alias pointed to before.

    It is looked at just before, and kept if another alias points to it, if a window needs it, or if it is being loaded.
    ``tries`` note that its release or drop was sent.

    :raises MilvusAliasMovedError: the alias does not point to ``collection_name`` any more. Nothing was done to ``old``.
    :raises MilvusInDoubtError: the answer was lost, and the server does not tell what somebody has done since.
    """
    yield from _check_stays(alias, collection_name, old.name)
    if then == "keep":
        return Retired("kept")
    if (yield from old.look()) is None:
        return Retired("gone", f"{old.name!r} does not exist any more")
    try:
        retirement = _drop(old, tries, report) if then == "drop" else _release(old, deadline, tries, report)
        return (yield from after(f"Alias {alias!r} points to {collection_name!r} now.", retirement))
    except exceptions.MilvusRefusedError as refused:
        yield from _check_stays(alias, collection_name, old.name)
        # It has another alias, a window or somebody who is loading it, and so is needed.
        report(str(refused))
        return Retired("kept", str(refused))


def _check_stays(alias: str, collection_name: str, old: str) -> Flow[None]:
    target = yield from target_of(alias)
    if target != collection_name:
        raise _moved(alias, collection_name, old, target)


def _drop(old: Subject, tries: Tries, report: Report) -> Flow[Retired]:
    if tries.earlier is not None:
        check_tells_ids(old)
    dropped = yield from drop_subject(old, unless=_needed, tries=tries, note=old.collection_id, report=report)
    if dropped or tries.earlier is not None:
        return Retired("dropped")
    return Retired("gone", f"somebody else has dropped {old.name!r} just now")


def _release(old: Subject, deadline: Deadline, tries: Tries, report: Report) -> Flow[Retired]:
    released = yield from release_subject(old, deadline, unless=_needed, tries=tries, report=report)
    if released.loaded_since:
        return Retired("released", f"{old.name!r} was released, and somebody has loaded it since")
    return Retired("gone" if released.state == "NotExist" else "released")


def _needed(standing: Standing) -> str | None:
    if standing.aliases:
        return f"it has the alias {', '.join(map(repr, standing.aliases))}"
    return f"a window (milvus_loaded) needs it: {', '.join(standing.windows)}" if standing.windows else None
