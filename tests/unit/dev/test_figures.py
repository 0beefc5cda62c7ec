"""The table of what things cost, and what is reported as worse."""

from __future__ import annotations

import pytest

from benchmarks.__main__ import PAGE
from benchmarks.figures import Figure, read_table, table, worse

FIGURES = [
    Figure("a release", "CPU", "s", 0.21, "pymilvus", 0.81, 0.35),
    Figure("a wait", "memory", "KiB", 7.5),
    Figure("a poll", "calls", "", 1.0, "naive trigger", 1000.0),
    Figure("reclaim", "wall", "s", 20.0, "sixteen threads", 10.0, 1.2),
]


def test_a_table_is_read_as_it_was_written():
    assert read_table(f"# What it costs\n\nSome words | of prose.\n\n{table(FIGURES)}") == pytest.approx(
        {"a release, CPU": 0.26, "a wait, memory": 7.5, "a poll, calls": 0.0, "reclaim, wall": 2.0}
    )


def test_a_goal_that_is_missed_is_marked():
    assert [" (missed)" in line for line in table(FIGURES).splitlines()[2:]] == [False, False, False, True]


@pytest.mark.parametrize(
    ("figure", "reported"),
    [
        (Figure("a release", "CPU", "s", 0.25, "pymilvus", 0.81), False),
        (Figure("a release", "CPU", "s", 0.26, "pymilvus", 0.81), True),
        (Figure("a wait", "memory", "KiB", 9.1), True),
        (Figure("a wait", "memory", "KiB", 8.9), False),
        (Figure("reclaim", "wall", "s", 90.0, "sixteen threads", 10.0), False),
        (Figure("new", "CPU", "s", 90.0), False),
    ],
)
def test_a_fifth_more_is_reported_and_wall_time_is_not(figure, reported):
    before = {"a release, CPU": 0.26, "a wait, memory": 7.5, "reclaim, wall": 2.0}
    assert bool(list(worse([figure], before))) == reported


def test_the_page_has_a_table():
    assert "| what | measure |" in PAGE.read_text()
