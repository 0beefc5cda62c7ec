"""Moving an alias from one collection to another while searches go on, and what becomes of the old one, as flows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from airflow_provider_milvus.client.flow import Deadline, Flow, Pause, Report, Rpc, in_time
from airflow_provider_milvus.client.reads import aliases_of, find
from airflow_provider_milvus.conditions import load_states
from airflow_provider_milvus.exceptions import (
    MilvusAliasMovedError,
    MilvusAliasNotFoundError,
    MilvusCollectionNotFoundError,
    MilvusRefusedError,
    MilvusServerError,
)
from airflow_provider_milvus.server import load_release
from airflow_provider_milvus.server.collections import drop

POLL = 0.2


@dataclass(frozen=True, slots=True)
class Swapped:
    """``old`` is where the alias pointed before; ``None`` when it was new, or when nothing was ``changed``."""

    old: str | None
    changed: bool


@dataclass(frozen=True, slots=True)
class Old:
    """What became of the old collection: ``kept``, ``released``, ``dropped`` or ``gone``, and why, where it differs from what
    was asked for."""

    fate: str
    reason: str | None = None


def target_of(alias: str) -> Flow[str | None]:
    """The collection that an alias points to; ``None`` when there is no such alias."""
    try:
        answer = yield Rpc("DescribeAlias", {"alias": alias})
    except (MilvusAliasNotFoundError, MilvusCollectionNotFoundError):
        # The second is what Milvus Lite says.
        return None
    return str(answer.collection)


def swap(
    alias: str,
    collection_name: str,
    *,
    expected_old: str | None = None,
    require_loaded: bool = True,
    noting: Callable[[str | None], object] = lambda old: None,
    report: Report,
) -> Flow[Swapped]:
    """Point an alias to a collection, in one step for whoever searches through it, and see it on the server.

    ``noting`` is told the old collection just before the change is sent.

    :raises MilvusCollectionNotFoundError: the collection does not exist.
    :raises MilvusRefusedError: the collection is not in memory, or is an alias itself; the alias is a collection's name, or
        points elsewhere than ``expected_old``. Nothing was changed.
    """
    if (yield from find(collection_name)) is None:
        raise MilvusCollectionNotFoundError(f"There is no collection {collection_name!r}. Check the name and the database.")
    old = yield from target_of(alias)
    if old == collection_name:
        report(f"Alias {alias!r} points to {collection_name!r} already.")
        return Swapped(None, False)
    if old is None:
        yield from _check_free(alias)
    if expected_old is not None and old != expected_old:
        points = f"points to {old!r}" if old else "does not exist"
        raise MilvusRefusedError(f"Alias {alias!r} {points}, not to {expected_old!r} as expected_old says. It was left alone.")
    if require_loaded:
        yield from _check_loaded(alias, collection_name)
    noting(old)
    try:
        yield Rpc("CreateAlias" if old is None else "AlterAlias", {"collection_name": collection_name, "alias": alias})
    except MilvusServerError:
        # A call that was repeated after its answer got lost meets what it has made.
        if (yield from target_of(alias)) != collection_name:
            raise
    yield from in_time(_points_to(alias, collection_name), f"Alias {alias!r} was changed and not seen at {collection_name!r}")
    report(f"Alias {alias!r} points to {collection_name!r}; before, {f'to {old!r}' if old else 'there was none'}.")
    return Swapped(old, True)


def _points_to(alias: str, collection_name: str) -> Flow[None]:
    while (yield from target_of(alias)) != collection_name:
        yield Pause(POLL)


def _check_free(alias: str) -> Flow[None]:
    try:
        taken = yield from find(alias)
    except MilvusRefusedError:
        return  # It has become an alias this moment; the server decides.
    if taken is not None:
        raise MilvusRefusedError(f"{alias!r} is the name of a collection, so it cannot be an alias.")


def _check_loaded(alias: str, collection_name: str) -> Flow[None]:
    ((state, _),) = yield from load_states(collection_name)
    if state != "Loaded":
        raise MilvusRefusedError(
            f"Collection {collection_name!r} is {state}: every search through {alias!r} would fail. Load it first, or set "
            "require_loaded=False. The alias was left alone."
        )


def retire(alias: str, collection_name: str, old: str, then: str, deadline: Deadline, *, report: Report) -> Flow[Old]:
    """Release or drop what an alias pointed to before, if nobody needs it; looked at just before.

    :raises MilvusAliasMovedError: the alias does not point to ``collection_name`` any more. Nothing is done to ``old``.
    """
    points_to = yield from target_of(alias)
    if points_to != collection_name:
        raise MilvusAliasMovedError(
            f"Alias {alias!r} was pointed to {collection_name!r} by this task and does not point there any more "
            f"({f'to {points_to!r}' if points_to else 'it is gone'}): somebody has changed it since. {old!r} was left as it is."
        )
    if then == "keep":
        return Old("kept")
    if (yield from find(old)) is None:
        return Old("gone", f"{old!r} does not exist any more")
    if others := (yield from aliases_of(old)):
        reason = f"{old!r} has the alias {', '.join(map(repr, others))}"
        report(f"{old!r} is kept: it has another alias.")
        return Old("kept", reason)
    try:
        if then == "drop":
            yield from drop(old, report=report)
            return Old("dropped")
        yield from load_release.release(old, deadline, report=report)
        return Old("released")
    except MilvusRefusedError as refused:
        # It was given an alias this moment, or is being loaded: somebody needs it.
        report(str(refused))
        return Old("kept", str(refused))
