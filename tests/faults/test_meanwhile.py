"""Somebody else acts while a task works: what they made is there afterwards, or the task says so. See dev/meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dev.meanwhile.judge import Kind
from dev.meanwhile.play import without_airflow
from dev.meanwhile.run import run
from dev.meanwhile.tasks import SCENARIOS, Scenario

PLAYS = [
    pytest.param(scenario, dialect, id=f"{scenario.name} on {dialect}")
    for scenario in SCENARIOS
    for dialect in scenario.dialects
]


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
