"""Bringing a collection, or some of its partitions, into memory, as flows: load and refresh.

Long work is submitted and then watched, and a task succeeds when the server reports the new state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.flow import Deadline, Flow, Pause, Report, Rpc
from airflow_provider_milvus.client.reads import describe, is_lite, partitions, real_name, replicas, version_for
from airflow_provider_milvus.client.subject import find_subject
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

START_GRACE = 1.0
"""Seconds that a submitted load may still be NotLoad before it counts as a load that never began."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """A load that is under way: the condition to wait for, the load state before it, and what a look has seen since."""

    condition: LoadFinished
    previous_state: str
    now: Observation
    alias: str | None


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
    subject = yield from find_subject(name)
    collection = subject.name
    named = list(partition_names or [])
    states = yield from load_states(collection, named)
    before, started = states[0].state, states[-1].state == "NotLoad"
    condition = LoadFinished(
        collection,
        named,
        started=started,
        options=dict(options or {}),
        collection_id=subject.collection_id,
        aliases=sorted(subject.first.aliases),
        newest_segment=0 if started else None,
    )
    if not started:
        condition, changes_nothing = yield from _keep_what_is_there(condition)
        if changes_nothing and before == "Loaded":
            report(f"Collection {collection!r} is in memory already.")
            now = yield from condition.look()
            return Submitted(condition, before, now, subject.alias)
    condition = replace(condition, started=(yield from condition.submit()) and started)
    report(f"The load of collection {collection!r} was submitted; before, it was {before}.")
    now = yield from condition.look()
    if now.verdict is Verdict.NEVER:
        yield Pause(START_GRACE)
        now = yield from condition.look()
    if now.verdict is Verdict.NEVER:
        raise exceptions.MilvusLoadFailedError(f"Collection {collection!r} was not loaded: the load never began: {now.reason}.")
    report(f"{condition}: {now.in_words}")
    return Submitted(condition, before, now, subject.alias)


def _keep_what_is_there(load: LoadFinished) -> Flow[tuple[LoadFinished, bool]]:
    """The load of a collection that is in memory, in part at least; and whether it changes nothing."""
    groups = sorted(((yield from replicas(load.collection_name)) or {}).values())
    asked = load.options
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


def placement(groups: Iterable[str]) -> dict[str, Any]:
    """The fields of a load that put a replica into each of these resource groups; none for no group."""
    groups = list(groups)
    # A request names one group for all replicas, or one for each.
    return {"replica_number": len(groups), "resource_groups": groups if len(set(groups)) > 1 else groups[:1]} if groups else {}


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
    subject = yield from find_subject(name)
    collection = subject.name
    version = yield from version_for(collection)
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
    yield Rpc("LoadCollection", {"collection_name": collection, "refresh": True}, still=subject.still)
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
