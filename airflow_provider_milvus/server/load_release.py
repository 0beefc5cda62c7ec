"""What a task does to a collection's memory, as flows: load, release and refresh.

Long work is submitted and then watched, and a task succeeds when the server reports the new state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.flow import Deadline, Flow, Pause, Report, Rpc
from airflow_provider_milvus.client.reads import describe, is_lite, real_name
from airflow_provider_milvus.conditions import LoadFinished, LoadState, Observation, Refreshed, load_states, wait_for

RELEASE_ATTEMPT = 30.0
"""Seconds to wait for the answer to a release before its state is watched instead: the server does one at a time."""
RELEASE_POLL = 0.5
RELEASE_AGAIN = 3.0
"""Seconds to watch before a release is sent again: 2.3.5 forgets a queued release whose caller has stopped waiting."""
START_GRACE = 1.0
"""Seconds that a submitted load may still be NotLoad before it counts as a load that never began."""


@dataclass(frozen=True, slots=True)
class Change:
    """A release that is done: the collection's load state before and after, and the alias if one was named."""

    collection: str
    previous_state: str
    state: str
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """A load that is under way: the condition to wait for, the load state before it, and the state now."""

    condition: LoadFinished
    previous_state: str
    state: str
    alias: str | None


def release(
    name: str,
    deadline: Deadline,
    *,
    partition_names: list[str] | None = None,
    skip_if_missing: bool = False,
    allow_alias: bool = False,
    force: bool = False,
    unless: Callable[[Any], str | None] = lambda described: None,
    report: Report,
) -> Flow[Change]:
    """Release a collection, or some of its partitions, and return when the server reports NotLoad.

    A collection that is not loaded is left alone and counts as done. ``unless`` gets the collection's description just before
    each time the release is sent; it returns why the collection has to stay, or ``None``.

    :raises MilvusCollectionNotFoundError: it does not exist, unless ``skip_if_missing``.
    :raises MilvusRefusedError: ``name`` is an alias, without ``allow_alias``; the collection is being loaded, without
        ``force``; or ``unless`` gave a reason. Nothing was changed.
    :raises MilvusTimeoutError: the server did not report NotLoad in time; it may still release the collection.
    """
    try:
        described = yield from describe(name)
    except exceptions.MilvusCollectionNotFoundError:
        if not skip_if_missing:
            raise
        report(f"Collection {name!r} does not exist: nothing to release.")
        return Change(name, "NotExist", "NotExist")
    collection = real_name(described)
    if collection != name and not allow_alias:
        raise exceptions.MilvusRefusedError(
            f"Collection {collection!r} was not released: {name!r} is an alias of it, and whoever searches through the alias "
            "would fail. Name the collection itself, or set allow_alias=True."
        )
    _check_may_go(collection, described, unless)
    alias = name if collection != name else None
    states = yield from load_states(collection, partition_names)
    before, _ = states[-1]
    if before == "NotLoad":
        report(f"Collection {collection!r} is not in memory: nothing to release.")
        return Change(collection, before, before, alias)
    if any(state == "Loading" for state, _ in states) and not force:
        raise exceptions.MilvusBeingLoadedError(
            f"Collection {collection!r} was not released: it is being loaded, and whoever waits for the load would fail. "
            "Wait for the load to end, or set force=True."
        )
    yield from _submit_release(collection, partition_names, deadline, report)
    yield from _watch_release(collection, partition_names, deadline, unless, report)
    return Change(collection, before, "NotLoad", alias)


def _check_may_go(collection: str, described: Any, unless: Callable[[Any], str | None]) -> None:
    reason = unless(described)
    if reason is not None:
        raise exceptions.MilvusRefusedError(f"Collection {collection!r} was not released: {reason}.")


def _submit_release(collection: str, partition_names: list[str] | None, deadline: Deadline, report: Report) -> Flow[None]:
    # At most half of the time: a server that works through a queue has to be watched afterwards.
    within = min(RELEASE_ATTEMPT, deadline.remaining / 2)
    fields = {"collection_name": collection, **({"partition_names": partition_names} if partition_names else {})}
    try:
        yield Rpc("ReleasePartitions" if partition_names else "ReleaseCollection", fields, within, False)
    except exceptions.MilvusTimeoutError:
        report(f"The release of {collection!r} was not answered within {within:.0f} s; the server may have it in its queue.")


def _watch_release(
    collection: str,
    partition_names: list[str] | None,
    deadline: Deadline,
    unless: Callable[[Any], str | None],
    report: Report,
) -> Flow[None]:
    interruptions, left = deadline.interruptions, deadline.remaining
    while True:
        try:
            # The last state is NotLoad only when no named partition is in memory.
            state, _ = (yield from load_states(collection, partition_names))[-1]
        except exceptions.MilvusTimeoutError as error:
            raise exceptions.MilvusTimeoutError(
                f"The release of {collection!r} was sent, but not seen on the server: {error}"
            ) from None
        if state == "NotLoad":
            return
        forgotten = state == "Loaded" and left - deadline.remaining >= RELEASE_AGAIN
        if forgotten or deadline.interruptions != interruptions:
            # Somebody may also have loaded it since.
            _check_may_go(collection, (yield from describe(collection)), unless)
            report(f"Collection {collection!r} is still {state}: sending the release again.")
            yield from _submit_release(collection, partition_names, deadline, report)
            interruptions, left = deadline.interruptions, deadline.remaining
            continue
        try:
            yield Pause(RELEASE_POLL)
        except exceptions.MilvusTimeoutError:
            raise exceptions.MilvusTimeoutError(
                f"Collection {collection!r} is still {state} {deadline.seconds:g} s after its release was requested. "
                "The server may still release it: it does one at a time. Raise timeout, or release fewer at once."
            ) from None


def submit_load(
    name: str,
    *,
    partition_names: list[str] | None = None,
    options: Mapping[str, Any] | None = None,
    report: Report,
) -> Flow[Submitted]:
    """Request a load; return when the server is loading the collection, or has it in memory.

    :raises MilvusCollectionNotFoundError, MilvusPartitionNotFoundError, MilvusIndexNotFoundError: it cannot be loaded.
    :raises MilvusLoadFailedError: the server took the request and still reports NotLoad.
    """
    collection = real_name((yield from describe(name)))
    partitions = list(partition_names or [])
    states = yield from load_states(collection, partitions)
    before, started = states[0][0], states[-1][0] == "NotLoad"
    condition = LoadFinished(collection, partitions, started=started, options=dict(options or {}))
    # It is sent to a Loaded collection too: only some of its partitions may be in memory, and a server refuses a
    # replica_number that differs from what it holds.
    yield from condition.submit()
    report(f"The load of collection {collection!r} was submitted; before, it was {before}.")
    now: Observation = yield from LoadState(collection, partitions).look()
    if now.state == "NotLoad":
        yield Pause(START_GRACE)
        now = yield from condition.look()
    if now.state == "NotLoad":
        raise exceptions.MilvusLoadFailedError(f"Collection {collection!r} was not loaded: the load never began: {now.reason}.")
    report(f"{condition}: {now}")
    return Submitted(condition, before, now.state, name if collection != name else None)


def load(
    collection_name: str, deadline: Deadline, *, poll_interval: float, stall_timeout: float | None, report: Report
) -> Flow[str]:
    """Submit a load, or join one that is under way; return the load state when the server reports Loaded."""
    submitted = yield from submit_load(collection_name, report=report)
    if submitted.state == "Loaded":
        return submitted.state
    loaded = yield from wait_for(
        submitted.condition,
        deadline,
        poll_interval=poll_interval,
        eager=True,
        stall_timeout=stall_timeout,
        report=report,
    )
    return loaded.state


def submit_refresh(name: str) -> Flow[Refreshed]:
    """Make a loaded collection take in segments that are newer than its load, such as those of a bulk import.

    :raises MilvusUnsupportedError: this is Milvus Lite, which never reports the progress of a refresh. Nothing was changed.
    :raises MilvusRefusedError: the collection is not loaded. Nothing was changed.
    """
    collection = real_name((yield from describe(name)))
    version = yield Rpc("GetVersion")
    if is_lite(version):
        raise exceptions.MilvusUnsupportedError(
            f"Collection {collection!r} was not refreshed: this server ({version.version}) never reports the progress of a "
            "refresh. It needs none: it serves imported rows at once."
        )
    ((state, _),) = yield from load_states(collection)
    if state != "Loaded":
        raise exceptions.MilvusRefusedError(
            f"Collection {collection!r} was not refreshed: it is {state}, and only a loaded collection can be refreshed. "
            "Load it instead."
        )
    yield Rpc("LoadCollection", {"collection_name": collection, "refresh": True})
    return Refreshed(collection)


def state_of(collection_name: str) -> Flow[str]:
    """A collection's load state; ``NotExist`` also where the name is now an alias of another collection.

    :raises MilvusDatabaseNotFoundError: the database does not exist.
    """
    try:
        described = yield from describe(collection_name)
    except exceptions.MilvusCollectionNotFoundError:
        return "NotExist"
    if real_name(described) != collection_name:
        return "NotExist"
    ((state, _),) = yield from load_states(collection_name)
    return state
