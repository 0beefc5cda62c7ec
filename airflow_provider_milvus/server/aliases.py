"""Moving an alias from one collection to another while searches go on, and retiring the old collection, as flows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.flow import Deadline, Flow, Pause, Report, Rpc, after, in_doubt, in_time
from airflow_provider_milvus.client.reads import find, target_of
from airflow_provider_milvus.client.subject import Standing, Subject
from airflow_provider_milvus.conditions import load_state
from airflow_provider_milvus.server.collections import drop_subject
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
    swapped_before: Mapping[str, Any] | None = None,
    before_sending: Callable[[str | None, int], object] = lambda old, old_id: None,
    report: Report,
) -> Flow[Swapped]:
    """Point an alias to a collection, in one step for whoever searches through it; return when the server shows it.

    ``before_sending`` is called with the old collection and its id just before the change is sent. ``swapped_before`` has them
    from an earlier try, as ``old`` and ``old_id``, and whether the move was ``done``: then an alias that points elsewhere was
    moved by somebody else.

    :raises MilvusCollectionNotFoundError: the collection does not exist.
    :raises MilvusRefusedError: the collection is not in memory, or its name is an alias; the alias is the name of a collection,
        or points to another collection than ``expected_old``. Nothing was changed.
    :raises MilvusAliasMovedError: somebody else has moved the alias meanwhile.
    :raises MilvusInDoubtError: the answer was lost, and the alias is where it was: it was not moved, or moved back.
    """
    swapping = _Swap(alias, collection_name, require_loaded, before_sending)
    old = yield from target_of(alias)
    if old == collection_name:
        report(f"Alias {alias!r} points to collection {collection_name!r} already.")
        return Swapped(None, False)
    if swapped_before is not None and (swapped_before["done"] or old != swapped_before["old"]):
        raise _moved(alias, collection_name, swapped_before["old"], old)
    if expected_old is not None and old != expected_old:
        points = f"points to {old!r}" if old else "does not exist"
        raise exceptions.MilvusRefusedError(
            f"Alias {alias!r} was not moved: it {points}, but expected_old is {expected_old!r}. "
            "Find out who moved it, or correct expected_old."
        )
    fields = {"collection_name": collection_name, "alias": alias}
    try:
        yield Rpc("CreateAlias" if old is None else "AlterAlias", fields, still=partial(swapping.is_due, old))
    except (exceptions.MilvusServerError, exceptions.MilvusRefusedError) as refused:
        # 2.3.5 keeps the name of an alias that was dropped with its collection: it is not found, and cannot be created.
        if old is not None or not swapping.sent or (yield from target_of(alias)) is not None:
            raise
        try:
            yield Rpc("AlterAlias", fields, still=partial(swapping.is_due, old))
        except (exceptions.MilvusAliasNotFoundError, exceptions.MilvusCollectionNotFoundError):
            raise refused from None
    seen = _see_target(alias, collection_name, old)
    yield from in_time(seen, f"Alias {alias!r} was moved, but not seen at {collection_name!r}")
    report(f"Alias {alias!r} points to {collection_name!r}; before, it {f'pointed to {old!r}' if old else 'did not exist'}.")
    return Swapped(old, True, swapping.old_id)


@dataclass(slots=True)
class _Swap:
    """The look before an alias is moved, and the id of the old collection that it saw."""

    alias: str
    collection_name: str
    require_loaded: bool
    before_sending: Callable[[str | None, int], object]
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
            raise in_doubt(lost, f"It points to {old!r}, as before: it was not moved, or somebody has moved it back since.")
        self.before_sending(old, self.old_id)
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


def retire(alias: str, collection_name: str, old: Subject, then: str, deadline: Deadline, *, report: Report) -> Flow[Retired]:
    """Keep, release or drop (``then``) the collection that the alias pointed to before.

    It is looked at just before, and kept if another alias points to it or if it is being loaded.

    :raises MilvusAliasMovedError: the alias does not point to ``collection_name`` any more. Nothing was done to ``old``.
    """
    target = yield from target_of(alias)
    if target != collection_name:
        raise _moved(alias, collection_name, old.name, target)
    if then == "keep":
        return Retired("kept")
    return (yield from after(f"Alias {alias!r} points to {collection_name!r} now.", _retire(old, then, deadline, report)))


def _retire(old: Subject, then: str, deadline: Deadline, report: Report) -> Flow[Retired]:
    if (yield from old.look()) is None:
        return Retired("gone", f"{old.name!r} does not exist any more")
    try:
        if then == "drop":
            yield from drop_subject(old, report=report)
            return Retired("dropped")
        released = yield from release_subject(old, deadline, unless=_alias_of, report=report)
    except exceptions.MilvusRefusedError as refused:
        # It has another alias, or somebody is loading it, and so needs it.
        report(str(refused))
        return Retired("kept", str(refused))
    if released.loaded_since:
        return Retired("released", f"{old.name!r} was released, and somebody has loaded it since")
    return Retired("gone" if released.state == "NotExist" else "released")


def _alias_of(standing: Standing) -> str | None:
    return f"it has the alias {', '.join(map(repr, standing.aliases))}" if standing.aliases else None
