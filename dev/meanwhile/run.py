"""All cases of a scenario on one dialect: derived from the play in which nobody acts, played, and judged."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache

from dev.meanwhile.acts import ACTS
from dev.meanwhile.judge import Judged, Kind, judge, judge_undisturbed
from dev.meanwhile.moments import BETWEEN_TASKS, CARRIED_OUT, Moment, moments_of
from dev.meanwhile.play import Played, play
from dev.meanwhile.tasks import ON_DIALECTS, SCENARIOS, Scenario

AT_ONCE = 8
"""Cases that are played at the same time: most of a case is waiting."""


@dataclass(frozen=True, slots=True)
class Case:
    scenario: Scenario
    dialect: str
    moment: Moment
    act: str

    def __str__(self) -> str:
        return f"{self.scenario.name} on {self.dialect}, {self.moment}, {self.act}"

    def play(self) -> Played:
        return _play(self.scenario, self.dialect, moment=self.moment, act=self.act)


@dataclass(frozen=True, slots=True)
class Ended:
    case: Case
    judged: Judged
    played: Played


def _play(scenario: Scenario, dialect: str, **more: object) -> Played:
    return play(
        scenario.perform,
        scenario.prepare,
        ON_DIALECTS[dialect],
        subject=scenario.subject,
        alias=scenario.alias,
        **more,  # type: ignore[arg-type]
    )


@cache
def undisturbed(name: str, dialect: str) -> Played:
    scenario = named(name)
    played = _play(scenario, dialect)
    if (type(played.error).__name__ if played.error else "") != scenario.ends_with:
        raise AssertionError(f"{name} on {dialect}, with nobody about, ended with {played.error!r}")
    if played.channels:
        raise AssertionError(f"{name} on {dialect} leaves {played.channels} channels to the server open")
    return played


@cache
def serial(name: str, dialect: str, act: str) -> tuple[Played, ...]:
    """The tasks and the act one after the other: the act first, between two tasks, or last."""
    scenario = named(name)
    pauses = [number for number, kind in enumerate(undisturbed(name, dialect).pauses) if kind == "task"]
    between = [_play(scenario, dialect, moment=Moment(BETWEEN_TASKS, "", number), act=act) for number in pauses]
    alone = undisturbed(name, dialect)
    last = replace(alone, before_act=alone.after, after_act=alone.then[act], after=alone.then[act])
    return (_play(scenario, dialect, act=act), *between, last)


def named(name: str) -> Scenario:
    return next(scenario for scenario in SCENARIOS if scenario.name == name)


def cases(scenario: Scenario, dialect: str, *, every: bool = True) -> Iterator[Case]:
    """Every moment with every act that changes something then; without ``every``, each of them on one of the dialects only.

    An act that changes nothing is no case: an alias that is not there cannot be moved, and what is in memory is not loaded.
    """
    alone = undisturbed(scenario.name, dialect)
    turn = scenario.dialects.index(dialect)
    for place, moment in enumerate(moments_of(alone.calls, len(alone.pauses))):
        effects = alone.effects.get((moment.rpc, moment.number), [frozenset()])
        for number, act in enumerate(ACTS):
            is_its_turn = (place + number + turn) % len(scenario.dialects) == 0
            if act in effects[-1 if moment.kind in CARRIED_OUT else 0] and (every or is_its_turn):
                yield Case(scenario, dialect, moment, act)


def run(scenario: Scenario, dialect: str, *, every: bool = True) -> list[Ended]:
    """Play the cases and judge them. One whose moment did not come is left out, unless the task has ended wrongly."""
    with _threads(AT_ONCE) as pool:
        all_ended = pool.map(ended, cases(scenario, dialect, every=every))
        return [one for one in all_ended if one.played.acted or one.judged.kind is Kind.VIOLATION]


def ended(case: Case) -> Ended:
    """Play a case and judge it."""
    played, name = case.play(), case.scenario.name
    if played.acted:
        orders = serial(name, case.dialect, case.act)
        return Ended(case, judge(case.scenario, case.moment, case.act, played, orders), played)
    return Ended(case, judge_undisturbed(case.scenario, played, undisturbed(name, case.dialect)), played)


def _threads(count: int) -> ThreadPoolExecutor:
    """Threads in which operators can be executed: Airflow 2.11 keeps a note of who calls them in each thread."""

    def prepare() -> None:
        with suppress(ImportError, AttributeError):
            from airflow.models.baseoperator import ExecutorSafeguard

            ExecutorSafeguard._sentinel.callers = {}

    return ThreadPoolExecutor(count, initializer=prepare)
