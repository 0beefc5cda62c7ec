"""Playing a kill: a try that is killed at a call, a try after it, and what the server has then.

A success leaves what one try leaves that nobody kills. A try that fails says what is in doubt, and what it says is so.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dev.faults import inventory
from dev.faults.cases import CHANGES
from dev.faults.claims import Told, unnamed, untrue
from dev.faults.inventory import Inventory
from dev.faults.served import Served
from dev.faults.tasks import Task
from dev.servers.wire import Fault, Harm, Wire, wire_to
from dev.tries.airflow import Ended
from dev.tries.process import Try, TryProcess, run

MOMENTS = {"not received": Harm.CUT_BEFORE, "being answered": Harm.CUT_AFTER}
"""The process is killed before the server receives the call, or when the server begins to answer it."""
IN_DOUBT = "MilvusInDoubtError"
OF_ALL_TRIES = ("restore", "created", "replaced", "dropped", "old", "changed")
"""The parts of a result that tell what all tries have done. ``restore`` is what a reclaim has released."""

PutIn = Callable[[], object] | None


@dataclass(frozen=True, slots=True)
class Kill:
    """Where a try is killed: at the ``number``-th call of this name."""

    call: str
    number: int
    moment: str

    def __str__(self) -> str:
        return f"{self.call} {self.number}, {self.moment}"


@dataclass(frozen=True, slots=True)
class Alone:
    """A task that nobody kills: how it ends, what is there then, and the calls that change something."""

    ended: Ended
    left: Inventory
    changes: Counter[str]

    def kills(self) -> Iterator[Kill]:
        for call, count in self.changes.items():
            for number in range(1, count + 1):
                for moment in MOMENTS:
                    yield Kill(call, number, moment)


@dataclass(frozen=True, slots=True)
class Played:
    kill: Kill
    ended: Ended
    violations: list[str]

    @property
    def result(self) -> str:
        return "violation" if self.violations else self.ended.error or "success"

    def __str__(self) -> str:
        return f"{self.kill}: {'; '.join(self.violations) or self.result} ({self.ended.message or self.ended.result})"


def play(served: Served, task: Task, put_in: PutIn = None, chosen: Callable[[Kill], bool] = lambda kill: True) -> list[Played]:
    """Every kill of a task that is chosen, and the try after each."""
    alone = _alone(served, task)
    return [_killed(served, task, alone, kill, put_in) for kill in alone.kills() if chosen(kill)]


def counted(played: Sequence[Played]) -> dict[str, int]:
    """How many ended how, by the names of the columns in docs/races.md."""
    words = {"success": "as one try", IN_DOUBT: "in doubt", "violation": "violations"}
    counts = Counter(words.get(one.result, "as ever") for one in played)
    return {"kills": len(played), **{word: counts[word] for word in ("as one try", "in doubt", "as ever", "violations")}}


def _alone(served: Served, task: Task) -> Alone:
    with _stage(served, task) as stage:
        ended = run(stage.a_try(1))
        changes = Counter(call for call in stage.wire.calls if call in CHANGES)
        return Alone(ended, inventory.plain(stage.before, inventory.settled(served.client)), changes)


def _killed(served: Served, task: Task, alone: Alone, kill: Kill, put_in: PutIn) -> Played:
    with _stage(served, task) as stage:
        process = TryProcess(stage.a_try(1, put_in))
        fault = Fault(MOMENTS[kill.moment])
        stage.wire.arm(fault, kill.call, kill.number, first=lambda: os.kill(process.pid, signal.SIGKILL))
        process.begin()
        ended = process.end()
        if ended is not None:
            return Played(kill, ended, [f"was not killed: {stage.wire.calls}"])
        between = inventory.settled(served.client)
        ended = run(stage.a_try(2, put_in))
        now = inventory.take(served.client)
        violations = list(_wrong_after_success(stage, alone, ended, now) if ended.error is None else [])
        if ended.error is not None:
            now = inventory.settled(served.client)
            violations += _wrong_after_failure(stage, alone, ended, between, now)
        return Played(kill, ended, violations)


def _wrong_after_success(stage: Stage, alone: Alone, ended: Ended, now: Inventory) -> Iterator[str]:
    if alone.ended.error is not None:
        yield f"success of what cannot be done: {alone.ended.error}"
    left = inventory.plain(stage.before, now)
    for fact in sorted(left.keys() | alone.left.keys()):
        here, there = left.get(fact, inventory.GONE), alone.left.get(fact, inventory.GONE)
        if here != there:
            yield f"success, and {fact} is {here!r} instead of {there!r}"
    if kept := list(stage.a_try(2).state):
        yield f"notes for a retry are left: {kept}"
    for part in OF_ALL_TRIES:
        tells, told = _part(ended.result, part), _part(alone.ended.result, part)
        if tells != told:
            yield f"tells {part}={tells!r} instead of {told!r}"


def _wrong_after_failure(stage: Stage, alone: Alone, ended: Ended, between: Inventory, now: Inventory) -> Iterator[str]:
    task = stage.task
    if ended.error not in (IN_DOUBT, alone.ended.error) and "in doubt" not in ended.message:
        yield f"{ended.error}, which names nothing in doubt"
    yield from untrue(Told(ended.message, between, now))
    yield from unnamed(ended.message, task.names)
    may_leave = [inventory.made(task.may_leave)] if task.may_leave and task.may_leave in ended.message else []
    for change in inventory.beyond(stage.before, now, task.effects, task.partly, *may_leave):
        yield f"changed, not named: {change}"


def _part(result: Any, part: str) -> Any:
    return _without_ids(result.get(part)) if isinstance(result, Mapping) else None


def _without_ids(told: Any) -> Any:
    """Each try makes partitions of its own."""
    if isinstance(told, Mapping):
        return {key: _without_ids(value) for key, value in told.items() if key != "partition_id"}
    return [_without_ids(one) for one in told] if isinstance(told, list) else told


@dataclass(frozen=True, slots=True)
class Stage:
    """What the tries of one task share: a server that has what they find, a wire to it, and a folder."""

    task: Task
    wire: Wire
    folder: Path
    given: Mapping[str, Any]
    before: Inventory

    def a_try(self, number: int, put_in: PutIn = None) -> Try:
        return Try(self.task, number, self.wire.uri, self.folder, self.given, put_in)


@contextmanager
def _stage(served: Served, task: Task) -> Iterator[Stage]:
    before, given = served.with_world(task.world), {}
    with TemporaryDirectory() as folder:
        if task.before is not None:
            given = run(Try(task, 0, served.uri, Path(folder))).result
            before = inventory.settled(served.client)
        with wire_to(served.port) as wire:
            yield Stage(task, wire, Path(folder), given, before)
