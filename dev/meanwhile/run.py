"""All cases of a scenario on one dialect: derived from the play in which nobody acts, played, and judged."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from dev.meanwhile.acts import ACTS
from dev.meanwhile.judge import Judged, judge
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
    return _play(_named(name), dialect)


@cache
def serial(name: str, dialect: str, act: str) -> tuple[Played, ...]:
    """The tasks and the act one after the other: the act first, between two tasks, or last."""
    scenario = _named(name)
    pauses = [number for number, kind in enumerate(undisturbed(name, dialect).pauses) if kind == "task"]
    between = [_play(scenario, dialect, moment=Moment(BETWEEN_TASKS, "", number), act=act) for number in pauses]
    return (_play(scenario, dialect, act=act, position=0), *between, _play(scenario, dialect, act=act, position=-1))


def _named(name: str) -> Scenario:
    return next(scenario for scenario in SCENARIOS if scenario.name == name)


def cases(scenario: Scenario, dialect: str) -> Iterator[Case]:
    """Every moment with every act that changes something then. An act that changes nothing is no case: an alias that is not
    there cannot be moved, and what is in memory is not loaded."""
    alone = undisturbed(scenario.name, dialect)
    for moment in moments_of(alone.calls, len(alone.pauses)):
        effects = alone.effects.get((moment.rpc, moment.number), [frozenset()])
        for act in ACTS:
            if act in effects[-1 if moment.kind in CARRIED_OUT else 0]:
                yield Case(scenario, dialect, moment, act)


def run(scenario: Scenario, dialect: str) -> list[Ended]:
    """Play all cases and judge them."""
    with _threads(AT_ONCE) as pool:
        return [ended for ended in pool.map(_ended, cases(scenario, dialect)) if ended.played.acted]


def _ended(case: Case) -> Ended:
    orders = serial(case.scenario.name, case.dialect, case.act)
    played = case.play()
    return Ended(case, judge(case.scenario, case.moment, case.act, played, orders), played)


def _threads(count: int) -> ThreadPoolExecutor:
    """Threads in which operators can be executed: Airflow 2.11 keeps a note of who calls them in each thread."""

    def prepare() -> None:
        with suppress(ImportError, AttributeError):
            from airflow.models.baseoperator import ExecutorSafeguard

            ExecutorSafeguard._sentinel.callers = {}

    return ThreadPoolExecutor(count, initializer=prepare)
