"""Playing rounds: the two tasks one after the other in both orders, once, and then together, as often as is asked."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from itertools import count
from typing import Any
from unittest.mock import patch

from airflow_provider_milvus.operators import milvus as operators
from dev.faults import inventory
from dev.faults.claims import Told, untrue
from dev.faults.served import Served
from dev.faults.world import drop_collection, make_collection
from dev.rounds.pairs import PREFIX, WINDOW, Found, Pair, Racer
from dev.tries.airflow import Ended, TaskState, context_of, ended, task_threads, without_airflow

AT_ONCE = {"lite": 1, "standalone": 16}
"""Rounds that are played at the same time, each on collections of its own: on a real server most of a round is waiting for
loads. Lite loads at once, and loses its file of aliases where two are changed at the same moment."""
TIMEOUT = 60.0
IN_ORDER = ("the first before the second", "the second before the first")
_numbers = count(1)


class Kind(StrEnum):
    ORDER = "equal an order"
    SAID_SO = "failed and said so"
    GAP = "in the gap"
    VIOLATION = "violations"


@dataclass(frozen=True, slots=True)
class Round:
    """How the tasks ended, ``None`` if one was not run, and what all tell: the same words in every round."""

    tasks: tuple[Ended | None, ...]
    told: tuple[Sequence[str], ...]
    left: str
    prefix: str
    before: inventory.Inventory = field(compare=False)
    now: inventory.Inventory = field(compare=False)

    @property
    def failed(self) -> list[Ended]:
        return [one for one in self.tasks if one is not None and one.error is not None]

    def __str__(self) -> str:
        return "; ".join([*(tells[0] for tells in self.told), self.left, *(one.message for one in self.failed)])


@dataclass(frozen=True, slots=True)
class Judged:
    kind: Kind
    why: str = ""


def judge(pair: Pair, played: Round, serial: Sequence[Round]) -> Judged:
    """``serial``: one after the other, in both orders, and each alone, which is what is left when the other has failed."""
    for order, words in zip(serial, IN_ORDER, strict=False):
        both_fit = all(set(tells) & set(told) for tells, told in zip(played.told, order.told, strict=True))
        if both_fit and played.left == order.left:
            return Judged(Kind.ORDER, words)
    wrong = [f"an error without a kind: {one.error}" for one in played.failed if not one.is_ours]
    for one, alone in zip(played.tasks, (serial[3], serial[2]), strict=True):
        if one is not None and one.error is not None:
            wrong += _untrue(one.message, played, alone)
    if not wrong and played.left in {one.left for one in serial}:
        if played.failed:
            return Judged(Kind.SAID_SO, ", ".join(str(one.error) for one in played.failed))
        if pair.gap(tuple(one.result for one in played.tasks if one is not None)):
            return Judged(Kind.GAP, "both succeeded, as no order would have it")
    return Judged(Kind.VIOLATION, "; ".join([*wrong, str(played)]))


def _untrue(message: str, played: Round, alone: Round) -> list[str]:
    """What a message claims and is not so; it is no lie where the other task, which ``alone`` is about, has made it so."""
    not_so = untrue(Told(message, played.before, played.now))
    by_the_other = untrue(Told(message.replace(played.prefix, alone.prefix), alone.before, alone.now))
    return [claim for claim in not_so if claim.replace(played.prefix, alone.prefix) not in by_the_other]


class World:
    """What one round is about: collections whose names begin with a prefix, and what two tasks do to them."""

    def __init__(self, client: Any, found: Found) -> None:
        self._client, self.prefix = client, f"round_{next(_numbers)}_"
        self._window: Any = None
        for name in map(self.named, found.collections):
            make_collection(client, name)
        if found.alias is not None:
            client.create_alias(self.named(found.alias[1]), self.named(found.alias[0]))
        for name in found.collections:
            # Lite has in memory what is new.
            (client.load_collection if name in found.in_memory else client.release_collection)(self.named(name))
        if found.opens:
            opens = Racer(operators.MilvusWindowLoadOperator, {"collection_name": self.named(found.opens)}, list)
            self._window = self.run(opens).result
        self.before = inventory.settled(client, self.prefix)

    def named(self, name: str) -> str:
        return self.prefix + name

    def run(self, racer: Racer, at_once: Callable[[], object] = lambda: None) -> Ended:
        """Run a task; ``at_once`` is waited for when it is about to begin."""
        arguments = {name: self._given(value) for name, value in racer.arguments.items()}
        task = racer.kind(task_id=racer.kind.__name__, timeout=TIMEOUT, **arguments)
        context = context_of(f"{self.prefix}rounds", task.task_id, TaskState({}), 1)
        at_once()
        return ended(lambda: task.execute(context))

    def _given(self, value: Any) -> Any:
        if value is WINDOW:
            return self._window
        return value.replace(PREFIX, self.prefix) if isinstance(value, str) else value

    def round(self, pair: Pair, tasks: tuple[Ended | None, ...]) -> Round:
        """What the tasks tell, and what is there now."""
        now = inventory.settled(self._client, self.prefix)
        if pair.loads:
            for name in {name for name, _ in now}:
                self._client.load_collection(name)
                now[name, "rows"] = inventory.take(self._client, name)[name, "rows"]
        told = tuple(self._told(racer, one) for racer, one in zip(pair.racers, tasks, strict=True))
        left = self._anywhere(sorted(inventory.plain(self.before, now).items()))
        return Round(tasks, told, left, self.prefix, self.before, now)

    def _told(self, racer: Racer, one: Ended | None) -> Sequence[str]:
        if one is None:
            return ["not run"]
        if one.error is not None:
            return [f"failed: {one.error}"]
        return [self._anywhere(telling) for telling in racer.tells(one.result)]

    def _anywhere(self, told: Any) -> str:
        return str(told).replace(self.prefix, "")

    def drop(self) -> None:
        facts = inventory.settled(self._client, self.prefix)
        for name in {name for name, _ in facts}:
            drop_collection(self._client, name, facts)


class Rounds:
    """The rounds of all pairs on one server."""

    def __init__(self, served: Served) -> None:
        self._client, self._at_once = served.client, AT_ONCE[served.kind]
        self._serial: dict[tuple[str, Found], list[Round]] = {}

    def play(self, pair: Pair, rounds: int) -> list[Judged]:
        """Every round, judged. The orders to compare with are played once."""
        first, second = pair.racers
        with task_threads(2 * self._at_once) as threads, task_threads(self._at_once) as lanes:
            for found in pair.finds:
                if (pair.name, found) not in self._serial:
                    orders = ((first, second), (second, first), (first,), (second,))
                    self._serial[pair.name, found] = list(lanes.map(partial(self._in_turn, pair, found), orders))

            def one_round(number: int) -> Judged:
                found = pair.finds[number % len(pair.finds)]
                return judge(pair, self._together(pair, found, threads.submit), self._serial[pair.name, found])

            return list(lanes.map(one_round, range(rounds)))

    def _together(self, pair: Pair, found: Found, submit: Callable[..., Future[Ended]]) -> Round:
        with self._world(found) as world:
            at_once = threading.Barrier(len(pair.racers), timeout=TIMEOUT).wait
            futures = [submit(world.run, racer, at_once) for racer in pair.racers]
            return world.round(pair, tuple(future.result() for future in futures))

    def _in_turn(self, pair: Pair, found: Found, racers: Sequence[Racer]) -> Round:
        with self._world(found) as world:
            run = {racer.name: world.run(racer) for racer in racers}
            return world.round(pair, tuple(run.get(racer.name) for racer in pair.racers))

    @contextmanager
    def _world(self, found: Found) -> Iterator[World]:
        world = World(self._client, found)
        try:
            yield world
        finally:
            world.drop()


@contextmanager
def rounds_on(served: Served) -> Iterator[Rounds]:
    """Rounds on this server, to which the connection ``milvus_default`` points until the block ends."""
    connection = json.dumps({"conn_type": "milvus", "extra": {"uri": served.uri}})
    with patch.dict(os.environ, AIRFLOW_CONN_MILVUS_DEFAULT=connection), without_airflow():
        yield Rounds(served)
