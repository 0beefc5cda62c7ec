"""Moving an alias from one collection to another while searches go on, and retiring the old collection, as flows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.flow import Deadline, Flow, Pause, Report, Rpc, after, in_time
from airflow_provider_milvus.client.reads import aliases_of, find
from airflow_provider_milvus.conditions import load_state
from airflow_provider_milvus.server.collections import drop
from airflow_provider_milvus.server.indexes import POLL
from airflow_provider_milvus.server.load_release import release

SEEN_WITHIN = 10.0
"""Seconds after which an alias that the server says it has moved, and that is where it was, was moved back by somebody."""


@dataclass(frozen=True, slots=True)
class Swapped:
    """``old`` is the collection that the alias pointed to before: ``None`` for a new alias, or if nothing was ``changed``."""

    old: str | None
    changed: bool


@dataclass(frozen=True, slots=True)
class Retired:
    """The old collection's end: ``outcome`` is ``kept``, ``released``, ``dropped`` or ``gone``.

    ``reason`` says why that is not what was requested.
    """

    outcome: str
    reason: str | None = None


def target_of(alias: str) -> Flow[str | None]:
    """The collection that an alias points to; ``None`` when the alias does not exist."""
    try:
        answer = yield Rpc("DescribeAlias", {"alias": alias})
    except (exceptions.MilvusAliasNotFoundError, exceptions.MilvusCollectionNotFoundError):
        # Milvus Lite answers with the second error.
        return None
    return str(answer.collection)


def swap(
    alias: str,
    collection_name: str,
    *,
    expected_old: str | None = None,
    require_loaded: bool = True,
    before_sending: Callable[[str | None], object] = lambda old: None,
    report: Report,
) -> Flow[Swapped]:
    """Point an alias to a collection, in one step for whoever searches through it; return when the server shows it.

    ``before_sending`` is called with the old collection just before the change is sent.

    :raises MilvusCollectionNotFoundError: the collection does not exist.
    :raises MilvusRefusedError: the collection is not in memory, or its name is an alias; the alias is the name of a collection,
        or points to another collection than ``expected_old``. Nothing was changed.
    """
    if (yield from find(collection_name)) is None:
        raise exceptions.MilvusCollectionNotFoundError(
            f"Alias {alias!r} was not moved: there is no collection {collection_name!r}. Check the name and the database."
        )
    old = yield from target_of(alias)
    if old == collection_name:
        report(f"Alias {alias!r} points to collection {collection_name!r} already.")
        return Swapped(None, False)
    if old is None:
        yield from _check_free(alias)
    if expected_old is not None and old != expected_old:
        points = f"points to {old!r}" if old else "does not exist"
        raise exceptions.MilvusRefusedError(
            f"Alias {alias!r} was not moved: it {points}, but expected_old is {expected_old!r}. "
            "Find out who moved it, or correct expected_old."
        )
    if require_loaded:
        yield from _check_loaded(alias, collection_name)
    before_sending(old)
    try:
        yield Rpc("CreateAlias" if old is None else "AlterAlias", {"collection_name": collection_name, "alias": alias})
    except (exceptions.MilvusServerError, exceptions.MilvusRefusedError) as refused:
        # A call that is repeated because its answer was lost meets its own result.
        target = yield from target_of(alias)
        if target is None and old is None:
            yield from _take_over(alias, collection_name, refused)
        elif target != collection_name:
            raise
    seen = _see_target(alias, collection_name, old)
    yield from in_time(seen, f"Alias {alias!r} was moved, but not seen at {collection_name!r}")
    report(f"Alias {alias!r} points to {collection_name!r}; before, it {f'pointed to {old!r}' if old else 'did not exist'}.")
    return Swapped(old, True)


def _take_over(alias: str, collection_name: str, refused: exceptions.MilvusError) -> Flow[None]:
    """Point an alias that is not found and cannot be created: 2.3.5 keeps the name of one that was dropped with its collection.

    :raises MilvusError: there is no such name either, so that it was ``refused`` for another reason.
    """
    try:
        yield Rpc("AlterAlias", {"collection_name": collection_name, "alias": alias})
    except (exceptions.MilvusAliasNotFoundError, exceptions.MilvusCollectionNotFoundError):
        raise refused from None


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


def retire(alias: str, collection_name: str, old: str, then: str, deadline: Deadline, *, report: Report) -> Flow[Retired]:
    """Keep, release or drop (``then``) the collection that the alias pointed to before.

    It is looked at just before, and kept if another alias points to it or if it is being loaded.

    :raises MilvusAliasMovedError: the alias does not point to ``collection_name`` any more. Nothing was done to ``old``.
    """
    target = yield from target_of(alias)
    if target != collection_name:
        raise _moved(alias, collection_name, old, target)
    if then == "keep":
        return Retired("kept")
    return (yield from after(f"Alias {alias!r} points to {collection_name!r} now.", _retire(old, then, deadline, report)))


def _retire(old: str, then: str, deadline: Deadline, report: Report) -> Flow[Retired]:
    if (yield from find(old)) is None:
        return Retired("gone", f"{old!r} does not exist any more")
    if others := (yield from aliases_of(old)):
        report(f"Collection {old!r} is kept: it has another alias.")
        return Retired("kept", f"{old!r} has the alias {', '.join(map(repr, others))}")
    try:
        if then == "drop":
            yield from drop(old, report=report)
            return Retired("dropped")
        yield from release(old, deadline, report=report)
        return Retired("released")
    except exceptions.MilvusRefusedError as refused:
        # Somebody has given it an alias just now, or is loading it, and so needs it.
        report(str(refused))
        return Retired("kept", str(refused))
