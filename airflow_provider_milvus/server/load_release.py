"""What a task does to a collection's memory: load, release and refresh, as flows.

Long work is submitted and then watched, and a task has succeeded when the server says that the new state holds. The
operators in ``operators/memory.py`` are thin coats around these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_milvus.client.flow import Deadline, Flow, Pause, Report, Rpc
from airflow_provider_milvus.client.reads import describe, is_lite, real_name
from airflow_provider_milvus.conditions import LoadFinished, LoadState, Observation, Refreshed, load_states, wait_for
from airflow_provider_milvus.exceptions import (
    MilvusBeingLoadedError,
    MilvusCollectionNotFoundError,
    MilvusLoadFailedError,
    MilvusRefusedError,
    MilvusTimeoutError,
    MilvusUnsupportedError,
)

RELEASE_ATTEMPT = 30.0
"""Seconds to wait for the answer to a release before watching the state instead: the server does one at a time."""
RELEASE_POLL = 0.5
RELEASE_AGAIN = 3.0
"""Seconds to watch before a release is sent again: 2.3.5 drops from its queue what its caller has stopped waiting for."""
START_GRACE = 1.0
"""Seconds a submitted load may still be NotLoad before it counts as never begun."""


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a collection's memory."""

    collection: str
    previous_state: str
    state: str
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """A load that is under way: what to wait for, and what there was before."""

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
    """Release a collection, or some of its partitions, and return when the server says NotLoad.

    What is not loaded is left alone and counts as done. ``unless`` is shown what describing the collection tells, just before
    a release is sent, and sent again, and may answer why it has to stay.

    :raises MilvusCollectionNotFoundError: it does not exist, unless ``skip_if_missing``.
    :raises MilvusRefusedError: ``name`` is an alias without ``allow_alias``; it is being loaded just now without
        ``force``; or ``unless`` says so. Nothing was changed.
    """
    try:
        described = yield from describe(name)
    except MilvusCollectionNotFoundError:
        if not skip_if_missing:
            raise
        report(f"Collection {name!r} does not exist: nothing to release.")
        return Change(name, "NotExist", "NotExist")
    collection = real_name(described)
    if collection != name and not allow_alias:
        raise MilvusRefusedError(
            f"{name!r} is an alias of the collection {collection!r}: releasing it would take {collection!r} out of memory "
            f"for everybody who searches through {name!r}. Name the collection itself, or set allow_alias=True."
        )
    _check(collection, described, unless)
    alias = name if collection != name else None
    states = yield from load_states(collection, partition_names)
    before, _ = states[-1]
    if before == "NotLoad":
        report(f"Collection {collection!r} is not in memory: nothing to release.")
        return Change(collection, before, before, alias)
    if any(state == "Loading" for state, _ in states) and not force:
        raise MilvusBeingLoadedError(
            f"Collection {collection!r} is being loaded just now: releasing it would fail whoever waits for the load. "
            "Wait for it, or set force=True."
        )
    yield from _submit_release(collection, partition_names, deadline, report)
    yield from _watch_release(collection, partition_names, deadline, unless, report)
    return Change(collection, before, "NotLoad", alias)


def _check(collection: str, described: Any, unless: Callable[[Any], str | None]) -> None:
    against = unless(described)
    if against is not None:
        raise MilvusRefusedError(f"{collection!r} was left alone: {against}.")


def _submit_release(collection: str, partition_names: list[str] | None, deadline: Deadline, report: Report) -> Flow[None]:
    # Half of the time at most: a server that works through a queue needs to be watched afterwards.
    within = min(RELEASE_ATTEMPT, deadline.remaining / 2)
    fields: dict[str, Any] = {"collection_name": collection}
    if partition_names:
        rpc = Rpc("ReleasePartitions", {**fields, "partition_names": partition_names}, within, False)
    else:
        rpc = Rpc("ReleaseCollection", fields, within, False)
    try:
        yield rpc
    except MilvusTimeoutError:
        report(f"No answer to the release of {collection!r} in {within:.0f} s; the server may have it in its queue.")


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
            # NotLoad only when nothing of what was named is in memory.
            state, _ = (yield from load_states(collection, partition_names))[-1]
        except MilvusTimeoutError as error:
            raise MilvusTimeoutError(f"The release of {collection!r} was sent but not seen on the server: {error}") from None
        if state == "NotLoad":
            return
        forgotten = state == "Loaded" and left - deadline.remaining >= RELEASE_AGAIN
        if forgotten or deadline.interruptions != interruptions:
            # It may also be that somebody has loaded it since.
            _check(collection, (yield from describe(collection)), unless)
            report(f"{collection!r} is still {state}: sending the release again.")
            yield from _submit_release(collection, partition_names, deadline, report)
            interruptions, left = deadline.interruptions, deadline.remaining
            continue
        try:
            yield Pause(RELEASE_POLL)
        except MilvusTimeoutError:
            raise MilvusTimeoutError(
                f"Collection {collection!r} is still {state} {deadline.seconds:g} s after its release was asked for. "
                "The server may still release it: it does one at a time. Raise timeout, or release fewer at once."
            ) from None


def submit_load(
    name: str,
    *,
    partition_names: list[str] | None = None,
    options: Mapping[str, Any] | None = None,
    report: Report,
) -> Flow[Submitted]:
    """Ask for a load and return when the server has taken it up, or holds it in memory already.

    :raises MilvusCollectionNotFoundError, MilvusPartitionNotFoundError, MilvusIndexNotFoundError: it cannot be loaded.
    :raises MilvusLoadFailedError: the server took the request and yet says NotLoad.
    """
    collection = real_name((yield from describe(name)))
    partitions = list(partition_names or [])
    states = yield from load_states(collection, partitions)
    before, started = states[0][0], states[-1][0] == "NotLoad"
    condition = LoadFinished(collection, partitions, started=started, options=dict(options or {}))
    # Also sent when it is Loaded: it completes a collection of which only some partitions are in memory, and a server
    # refuses a replica_number that differs from what it holds.
    yield from condition.submit()
    report(f"Load of {collection!r} submitted; before that it was {before}.")
    seen: Observation = yield from LoadState(collection, partitions).look()
    if seen.state == "NotLoad":
        yield Pause(START_GRACE)
        seen = yield from condition.look()
    if seen.state == "NotLoad":
        raise MilvusLoadFailedError(f"The load of collection {collection!r} never began: {seen.reason}.")
    report(f"{condition}: {seen}")
    return Submitted(condition, before, seen.state, name if collection != name else None)


def load(
    collection_name: str, deadline: Deadline, *, poll_interval: float, stall_timeout: float | None, report: Report
) -> Flow[str]:
    """Submit a load, or join one that is under way, and return when the server says Loaded."""
    submitted = yield from submit_load(collection_name, report=report)
    if submitted.state == "Loaded":
        return submitted.state
    seen = yield from wait_for(
        submitted.condition,
        deadline,
        poll_interval=poll_interval,
        eager=True,
        stall_timeout=stall_timeout,
        report=report,
    )
    return seen.state


def submit_refresh(name: str) -> Flow[Refreshed]:
    """Ask a loaded collection to take in segments that came after its load, such as a bulk import's.

    :raises MilvusUnsupportedError: Milvus Lite, which never reports the progress of a refresh.
    :raises MilvusRefusedError: it is not loaded.
    """
    collection = real_name((yield from describe(name)))
    version = yield Rpc("GetVersion")
    if is_lite(version):
        raise MilvusUnsupportedError(
            f"This server ({version.version}) never reports the progress of a refresh, so {collection!r} was not refreshed. "
            "It has no need to: it serves imported rows at once."
        )
    ((state, _),) = yield from load_states(collection)
    if state != "Loaded":
        raise MilvusRefusedError(f"Collection {collection!r} is {state}; only a loaded collection can be refreshed.")
    yield Rpc("LoadCollection", {"collection_name": collection, "refresh": True})
    return Refreshed(collection)


def state_of(collection_name: str) -> Flow[str]:
    """Its load state; ``NotExist`` too where the name has become an alias of something else.

    :raises MilvusDatabaseNotFoundError: the database is what is missing.
    """
    try:
        described = yield from describe(collection_name)
    except MilvusCollectionNotFoundError:
        return "NotExist"
    if real_name(described) != collection_name:
        return "NotExist"
    ((state, _),) = yield from load_states(collection_name)
    return state
