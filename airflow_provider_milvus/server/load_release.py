"""What a task does to a collection's memory, as flows: load, release and refresh.

Long work is submitted and then watched, and a task succeeds when the server reports the new state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.flow import Deadline, Flow, Pause, Report, Rpc
from airflow_provider_milvus.client.reads import describe, is_lite, partitions, real_name, replicas
from airflow_provider_milvus.conditions import (
    LoadFinished,
    Observation,
    Refreshed,
    Verdict,
    load_state,
    load_states,
    segments_on_storage,
    wait_for,
)

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
    """A load that is under way: the condition to wait for, the load state before it, and what a look has seen since."""

    condition: LoadFinished
    previous_state: str
    now: Observation
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
    before, reason = states[-1].state, states[-1].reason
    if before == "NotLoad":
        report(f"Collection {collection!r} is not in memory: nothing to release. {reason}".rstrip())
        return Change(collection, before, before, alias)
    if any(seen.state == "Loading" for seen in states) and not force:
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
            state = (yield from load_states(collection, partition_names))[-1].state
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

    Of a collection that is in memory, what ``options`` does not name stays as it is: from 2.4.13 on Milvus would take a load
    without a number of replicas for a load with one. What is in memory as asked is not loaded again. The fields in memory are
    kept only so: no server tells which they are.

    :raises MilvusCollectionNotFoundError, MilvusPartitionNotFoundError, MilvusIndexNotFoundError: it cannot be loaded.
    :raises MilvusRefusedError: ``replica_number`` does not go with the resource groups of a collection that is in memory.
    :raises MilvusLoadFailedError: the server took the request and still reports NotLoad.
    """
    collection = real_name((yield from describe(name)))
    named = list(partition_names or [])
    states = yield from load_states(collection, named)
    before, started = states[0].state, states[-1].state == "NotLoad"
    condition = LoadFinished(collection, named, started=started, options=dict(options or {}))
    if not started:
        condition, changes_nothing = yield from _keep_what_is_there(condition)
        if changes_nothing and before == "Loaded":
            report(f"Collection {collection!r} is in memory already.")
            now = yield from condition.look()
            return Submitted(condition, before, now, name if collection != name else None)
    yield from condition.submit()
    report(f"The load of collection {collection!r} was submitted; before, it was {before}.")
    now = yield from condition.look()
    if now.verdict is Verdict.NEVER:
        yield Pause(START_GRACE)
        now = yield from condition.look()
    if now.verdict is Verdict.NEVER:
        raise exceptions.MilvusLoadFailedError(f"Collection {collection!r} was not loaded: the load never began: {now.reason}.")
    report(f"{condition}: {now.in_words}")
    return Submitted(condition, before, now, name if collection != name else None)


def _keep_what_is_there(load: LoadFinished) -> Flow[tuple[LoadFinished, bool]]:
    """The load of a collection that is in memory, in part at least; and whether it changes nothing."""
    groups, asked = (yield from replicas(load.collection_name)) or [], load.options
    on_storage = yield from segments_on_storage(load.collection_name, load.partition_names)
    in_memory, existing = (0, 0) if load.partition_names else (yield from partitions(load.collection_name))
    there = placement(groups)
    options = {**there, **asked}
    if "replica_number" not in asked and len(asked.get("resource_groups", ())) > 1:
        options["replica_number"] = len(asked["resource_groups"])
    if (
        len(options.get("resource_groups", ())) not in (0, 1, options.get("replica_number", 1))
        and "resource_groups" not in asked
    ):
        raise exceptions.MilvusRefusedError(
            f"Collection {load.collection_name!r} was not loaded: it has a replica in each of the resource groups "
            f"{', '.join(groups)}, and replica_number={asked['replica_number']} does not say which to keep. Name "
            "resource_groups too."
        )
    newest = None if on_storage is None else max(on_storage, default=0)
    changes_nothing = in_memory == existing and options == there
    return replace(load, options=options, newest_segment=newest), changes_nothing


def placement(groups: Sequence[str]) -> dict[str, Any]:
    """The fields of a load that put a replica into each of these resource groups; none for no group."""
    # A request names one group for all replicas, or one for each.
    return (
        {"replica_number": len(groups), "resource_groups": list(groups if len(set(groups)) > 1 else groups[:1])}
        if groups
        else {}
    )


def load(
    collection_name: str,
    deadline: Deadline,
    *,
    options: Mapping[str, Any],
    poll_interval: float,
    stall_timeout: float | None,
    report: Report,
) -> Flow[str]:
    """Submit a load, or join one that is under way; return the load state when the server reports Loaded."""
    submitted = yield from submit_load(collection_name, options=options, report=report)
    if submitted.now.verdict is Verdict.MET:
        return submitted.now.state
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
    state = yield from load_state(collection)
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
    state = yield from load_state(collection_name)
    return state
