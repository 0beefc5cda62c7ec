"""Somebody else acts while a task works: what they made is there afterwards, or the task says so. See dev/meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dev.meanwhile.judge import Kind
from dev.meanwhile.moments import (
    ANSWERED,
    BEFORE_LOOK,
    BETWEEN_LOOKS,
    BETWEEN_TASKS,
    OF_A_CHANGE,
    Moment,
    moments_of,
)
from dev.meanwhile.run import run
from dev.meanwhile.table import PAGE
from dev.meanwhile.tasks import SCENARIOS, Scenario
from dev.tries.airflow import without_airflow

IN_TEST_ALL = (
    "MilvusReleaseCollectionOperator on 2.6.16",
    "MilvusReleasePartitionsOperator on 2.6.16",
    "MilvusLoadCollectionOperator on 2.3.5",
    "MilvusLoadCollectionOperator on Lite-like",
    "MilvusDropCollectionOperator on 2.6.16",
    'MilvusCreateCollectionOperator, if_exists="replace" on 2.3.5',
    "MilvusTruncateCollectionOperator on 2.6.16",
    'MilvusSwapAliasOperator, then="drop" on 2.6.16',
    "MilvusDropIndexOperator on 2.3.5",
    "MilvusDeleteOperator, by ids on Lite-like",
    "MilvusInsertOperator, auto_id on 2.3.5",
    "MilvusRestoreLoadOperator on 2.6.16",
)
"""The others are played by ``make meanwhile``: all of them take half an hour."""


def play_of(scenario: Scenario, dialect: str) -> object:
    name = f"{scenario.name} on {dialect}"
    return pytest.param(scenario, dialect, id=name, marks=pytest.mark.slow if name in IN_TEST_ALL else pytest.mark.long)


PLAYS = [play_of(scenario, dialect) for scenario in SCENARIOS for dialect in scenario.dialects]


@pytest.fixture(scope="module", autouse=True)
def airflow() -> Iterator[None]:
    with without_airflow():
        yield


@pytest.mark.parametrize(("scenario", "dialect"), PLAYS)
def test_what_somebody_made_meanwhile_is_there_or_the_task_says_so(scenario: Scenario, dialect: str) -> None:
    ended = run(scenario, dialect, every=False)

    violations = [f"{one.case}: {one.judged.why}" for one in ended if one.judged.kind is Kind.VIOLATION]
    assert ended
    assert not violations, "\n".join(violations)


def test_the_moments_follow_from_the_calls_of_a_task() -> None:
    calls = ["Connect", "DescribeCollection", "GetLoadState", "ReleaseCollection", "GetLoadState", "GetLoadState"]

    found = moments_of(calls, pauses=1)

    # Before the first look is before the task; the look after the change is that of an answer not yet looked at.
    assert found[0] == Moment(BEFORE_LOOK, "GetLoadState", 0)
    assert [moment.rpc for moment in found if moment.kind in OF_A_CHANGE] == ["ReleaseCollection"] * len(OF_A_CHANGE)
    assert Moment(ANSWERED, "ReleaseCollection", 0) in found
    assert [moment for moment in found if moment.kind == BETWEEN_LOOKS] == [Moment(BETWEEN_LOOKS, "GetLoadState", 2)]
    assert found[-1] == Moment(BETWEEN_TASKS)


def test_a_task_that_looks_once_begins_with_that_look() -> None:
    looks = [moment for moment in moments_of(["DescribeCollection", "Flush"], 0) if moment.kind == BEFORE_LOOK]
    assert looks == [Moment(BEFORE_LOOK, "DescribeCollection", 0, began=False)]


def test_what_is_among_the_tests_is_there() -> None:
    assert set(IN_TEST_ALL) <= {f"{scenario.name} on {dialect}" for scenario in SCENARIOS for dialect in scenario.dialects}


def test_the_page_has_every_task_and_no_violation() -> None:
    page = PAGE.read_text()

    assert [scenario.name for scenario in SCENARIOS if f"| `{scenario.name}` |" not in page] == []
    assert ", 0 VIOLATION." in page
