"""All cases of a scenario on one dialect: derived from the play in which nobody acts, played, and judged."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache

from dev.meanwhile.acts import ACTS
from dev.meanwhile.judge import Judged, Kind, judge, judge_undisturbed
from dev.meanwhile.moments import BETWEEN_TASKS, CARRIED_OUT, Moment, moments_of
from dev.meanwhile.play import Played, play
from dev.meanwhile.tasks import ON_DIALECTS, SCENARIOS, Scenario
from dev.tries.airflow import task_threads, without_airflow, without_masks

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
class Row:
    """What the tables say of a case."""

    task: str
    case: str
    moment: str
    act: str
    kind: Kind
    why: str

    def __str__(self) -> str:
        return f"{self.case}: {self.why}"


@dataclass(frozen=True, slots=True)
class Ended:
    case: Case
    judged: Judged
    played: Played

    def row(self) -> Row:
        case, judged = self.case, self.judged
        return Row(case.scenario.name, str(case), case.moment.kind, case.act, judged.kind, judged.why)


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
    """Play the cases and judge them. One whose moment did not come is left out, unless the task has ended wrongly.

    A violation is one that comes again when it is played alone: tasks that end late in a play end late by another call when the
    machine is busy.
    """
    with without_masks(), task_threads(AT_ONCE) as pool:
        all_ended = list(pool.map(ended, cases(scenario, dialect, every=every)))
    with task_threads(1) as pool:
        again = pool.map(ended_alone, (one.case for one in all_ended if one.judged.kind is Kind.VIOLATION))
        all_ended = [next(again) if one.judged.kind is Kind.VIOLATION else one for one in all_ended]
    return [one for one in all_ended if one.played.acted or one.judged.kind is Kind.VIOLATION]


def ended(case: Case, orders_of: Callable[[str, str, str], tuple[Played, ...]] | None = None) -> Ended:
    """Play a case and judge it."""
    played, name = case.play(), case.scenario.name
    if played.acted:
        orders = (orders_of or serial)(name, case.dialect, case.act)
        tells_ids = ON_DIALECTS[case.dialect].tells_ids
        return Ended(case, judge(case.scenario, case.moment, case.act, played, orders, tells_ids=tells_ids), played)
    return Ended(case, judge_undisturbed(case.scenario, played, undisturbed(name, case.dialect)), played)


def ended_alone(case: Case) -> Ended:
    """The same with orders of its own."""
    return ended(case, serial.__wrapped__)


def played(name: str, dialect: str, every: bool) -> list[Row]:
    """Play the cases of a task on a dialect, and print their number and the violations."""
    logging.disable(logging.CRITICAL)
    with without_airflow():
        rows = [one.row() for one in run(named(name), dialect, every=every)]
    wrong = [row for row in rows if row.kind is Kind.VIOLATION]
    lines = [f"{name} on {dialect}: {len(rows)} cases, {len(wrong)} violations", *(f"  {row}" for row in wrong)]
    print("\n".join(lines), flush=True)
    return rows
