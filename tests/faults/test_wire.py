"""Every exported task with a fault at each call that changes something, and at its first read.

Whatever happens on the wire: the task is back in time, it succeeds only when the server agrees, it changes nothing that was not
named, what its error says of the server is so, and nothing of it is left in the process.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from airflow.providers.common.compat.sdk import AirflowException, TaskDeferred

from airflow_provider_milvus.conditions import CollectionExists
from airflow_provider_milvus.exceptions import MilvusError
from airflow_provider_milvus.triggers.milvus import MilvusConditionTrigger, read_event
from dev.faults import inventory
from dev.faults.cases import CALLS, CASES, CHANGES, DEFERRED, ONCE_DEFERRED, WORKER, Case
from dev.faults.claims import Told, unnamed, untrue
from dev.faults.leftovers import Leftovers
from dev.faults.served import Served
from dev.faults.tasks import SERVERS, TASKS, Task
from dev.faults.world import World
from dev.servers.wire import CONNECTING, Wire, wire_to
from tests.integration.support import SLACK, Connect, TooSlowError, event_of

Record = Callable[[str, object], None]


def run_trigger_once(uri: str) -> None:
    connection = json.dumps({"conn_type": "milvus", "extra": {"uri": uri}})
    with patch.dict(os.environ, AIRFLOW_CONN_MILVUS_ONCE=connection):
        condition = CollectionExists("docs").serialize()
        asyncio.run(event_of(MilvusConditionTrigger(condition=condition, end=time.time() + 30, milvus_conn_id="milvus_once")))


@pytest.fixture(scope="session")
def servers() -> dict[str, Served]:
    return {}


@pytest.fixture
def served(case: Case, servers: dict[str, Served], request: pytest.FixtureRequest) -> Served:
    if case.server not in servers:
        servers[case.server] = served = Served(case.server, request.getfixturevalue(f"{case.server}_process"))
        served.with_world(World())
        # What a process makes once, such as asgiref's thread, is made before anything is counted.
        run_trigger_once(served.uri)
    return servers[case.server]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@dataclass(slots=True)
class Outcome:
    """How a task ended: ``error`` is ``None`` after a success, and ``tasks`` are what it left in the triggerer's loop."""

    error: str | None
    message: str
    seconds: float
    tasks: list[str]
    deferred_after: int | None
    is_ours: bool = True


def run(task: Task, operator: Any, wire: Wire, once_deferred: Callable[[], None]) -> Outcome:
    """Run it as Airflow does: in the worker, in the triggerer where it defers, and in the worker again."""
    began, tasks, deferred_after = time.monotonic(), [], None

    async def in_triggerer(trigger: Any) -> dict[str, Any]:
        nonlocal deferred_after
        deferred_after = len(wire.calls) if deferred_after is None else deferred_after
        event = await event_of(trigger)
        await asyncio.sleep(0)
        tasks.extend(repr(each) for each in asyncio.all_tasks() - {asyncio.current_task()})
        return event

    def whole() -> None:
        if task.is_trigger:
            read_event(asyncio.run(in_triggerer(operator)), "seen" if "condition" in operator.serialize()[1] else "collection")
            return
        try:
            operator.execute({})
            return
        except TaskDeferred as deferral:
            deferred = deferral
        while True:
            once_deferred()
            event = asyncio.run(in_triggerer(deferred.trigger))
            try:
                operator.resume_execution(deferred.method_name, {"event": event}, {})
                return
            except TaskDeferred as again:
                deferred = again

    error, message, is_ours = None, "", True
    try:
        whole()
    except Exception as failure:
        error, message = type(failure).__name__, str(failure)
        is_ours = isinstance(failure, (MilvusError, AirflowException))
    return Outcome(error, message, time.monotonic() - began, tasks, deferred_after, is_ours)


@dataclass(slots=True)
class Played:
    outcome: Outcome
    struck: bool
    calls: list[str]
    violations: list[str]
    is_late: bool


def play(case: Case, served: Served, connect: Connect, tmp_path: Path, temporary: Path) -> Played:
    """Run the case on a server that has what the task finds, and compare."""
    task, folder = case.task, tmp_path / "files"
    folder.mkdir()
    before = served.with_world(task.world)
    connect(served.uri)
    given: Any = {}
    if task.before is not None:
        given = task.before(folder)
        before = inventory.settled(served.client)
    with wire_to(served.metrics_port if task.by_metrics else served.port) as wire:
        if task.by_metrics:
            connect(served.uri, metrics_url=f"{wire.uri}/metrics")
        else:
            connect(wire.uri)
        at_first = Leftovers.before(wire.port, temporary)

        def arm() -> None:
            if case.fault is not None:
                wire.arm(case.fault, case.strikes_at)

        if case.call != ONCE_DEFERRED:
            arm()
        operator = task.make(case.timeout, folder, given, deferrable=case.way == DEFERRED)
        outcome = run(task, operator, wire, arm if case.call == ONCE_DEFERRED else lambda: None)
        del operator
        violations = at_first.found()
        struck, calls = wire.struck.is_set(), list(wire.calls)
    violations += [f"task left: {each}" for each in outcome.tasks]
    may_change = [task.effects]
    if outcome.error is None:
        now = inventory.take(served.client)
        violations += [f"success, but {missing}" for missing in inventory.missing_from(now, task.effects)]
        if task.never:
            violations.append("success of what is not so")
    else:
        now = inventory.settled(served.client)
        violations += untrue(Told(outcome.message, before, now)) + unnamed(outcome.message, task.names)
        may_change += [task.partly]
        if task.may_leave and task.may_leave in outcome.message:
            may_change += [inventory.made(task.may_leave)]
        if not outcome.is_ours:
            violations.append(f"an error without a kind: {outcome.error}")
    violations += [f"changed, not named: {change}" for change in inventory.beyond(before, now, *may_change)]
    return Played(outcome, struck, calls, violations, outcome.seconds > case.timeout + SLACK)


def marks(case: Case) -> list[pytest.MarkDecorator]:
    return [
        pytest.mark.long,
        *([pytest.mark.standalone] if case.server == "standalone" else []),
    ]


@pytest.mark.parametrize("case", [pytest.param(case, marks=marks(case), id=case.id) for case in CASES])
def test_whatever_happens_on_the_wire(
    case: Case, served: Served, connect: Connect, tmp_path: Path, temporary: Path, record_property: Record
) -> None:
    played = play(case, served, connect, tmp_path, temporary)
    outcome = played.outcome
    told = f"{outcome.error or 'success'} after {outcome.seconds:.1f} s of {case.timeout:g}: {outcome.message}"
    violations = played.violations + ([f"back after {outcome.seconds:.1f} s of {case.timeout:g}"] if played.is_late else [])
    record_property("result", "violation" if violations else outcome.error or "success")

    assert played.struck, f"the task makes no call {case.call}, but {played.calls}. {told}"
    assert not played.violations, f"{'; '.join(played.violations)}\n{told}\n{played.calls}"
    if played.is_late:
        raise TooSlowError(told)


UNHARMED = [
    pytest.param(
        Case(server, task, way, "", ""),
        marks=[
            pytest.mark.long,
            *([pytest.mark.standalone] if server == "standalone" else []),
        ],
        id=f"{server}-{task.name}-{way}".replace(" ", "_"),
    )
    for server in SERVERS
    for task in TASKS
    if server in task.servers
    for way in ((WORKER, DEFERRED) if task.can_defer else (WORKER,))
]


@pytest.mark.parametrize("case", UNHARMED)
def test_a_task_that_nothing_happens_to_makes_the_calls_of_the_cases(
    case: Case, served: Served, connect: Connect, tmp_path: Path, temporary: Path, record_property: Record
) -> None:
    """So no case is missing: neither a call that changes something nor a task that defers."""
    played = play(case, served, connect, tmp_path, temporary)
    calls = [call for call in played.calls if call != CONNECTING]
    points = list(dict.fromkeys([*calls[:1], *(call for call in calls if call in CHANGES)]))
    if case.way == DEFERRED and played.outcome.deferred_after is None:
        points = []
    record_property("of", f"{case.server}/{case.task.name}/{case.way}")
    record_property("calls", points)

    assert not played.violations, f"{'; '.join(played.violations)}\n{played.outcome}\n{played.calls}"
    assert CALLS[case.server].get(case.task.name, {}).get(case.way, []) == points, played.outcome
