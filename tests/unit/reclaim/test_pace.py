"""How many releases are under way at once, with servers of different kinds."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import pytest

from airflow_provider_milvus.reclaim.pace import STEADY, Pace


@dataclass
class Played:
    """``widths`` over time; ``idle`` is how often the server waited for work that there was."""

    widths: list[int] = field(default_factory=list)
    idle: int = 0
    seconds: float = 0.0


def play(lanes: int, releases: int, takes: Callable[[], float] = lambda: 1.0) -> Played:
    """A server that carries out ``lanes`` releases at a time and keeps the others in a queue."""
    now, played = 0.0, Played()
    pace = Pace(now)
    ends: list[float] = []
    queue = sent = 0
    while len(played.widths) < releases:
        more = max(0, min(pace.width - len(ends) - queue, releases - sent))
        queue, sent = queue + more, sent + more
        while queue and len(ends) < lanes:
            heapq.heappush(ends, now + takes())
            queue -= 1
        now = heapq.heappop(ends)
        # What takes the place at once, before the caller has heard of the end and sends one more.
        played.idle += not queue and sent < releases
        pace.done(now)
        played.widths.append(pace.width)
    played.seconds = now
    return played


def uneven(seed: int) -> Callable[[], float]:
    random = Random(seed)
    return lambda: random.uniform(0.5, 1.5)


def very_uneven(seed: int) -> Callable[[], float]:
    random = Random(seed)
    return lambda: random.expovariate(1.0)


def test_a_server_that_does_one_at_a_time_gets_a_short_queue_and_never_waits():
    played = play(1, 2000)
    assert max(played.widths) <= 4
    assert played.idle == 0


@pytest.mark.parametrize("seed", range(10))
def test_luck_does_not_let_its_queue_grow_for_good(seed):
    played = play(1, 5000, uneven(seed))
    assert sum(played.widths) / len(played.widths) < 4
    assert played.widths[-1] <= 4
    assert played.idle == 0


def test_even_where_some_take_many_times_as_long_as_others():
    widths = [width for seed in range(12) for width in play(1, 3000, very_uneven(seed)).widths]
    assert sum(widths) / len(widths) < 4


@pytest.mark.parametrize("lanes", [2, 3, 4, 6, 8, 16, 32])
def test_a_server_that_does_several_at_a_time_gets_as_many(lanes):
    assert max(play(lanes, 1000).widths) >= lanes


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("lanes", [2, 4, 8, 16, 32])
def test_the_work_takes_little_longer_than_it_has_to(lanes, seed):
    assert play(lanes, 5000, uneven(seed)).seconds < 1.2 * 5000 / lanes


def test_never_more_are_under_way_than_allowed():
    assert max(play(500, 6000).widths) == 256


class TestLateness:
    def test_halves_once_for_all_that_were_under_way(self):
        pace = Pace(0.0)
        for second in range(60):
            pace.done(second / pace.width)
        widths = [pace.width]
        for second in range(8):
            for _ in range(widths[-1]):
                pace.late(60.0 + second)
            widths.append(pace.width)
        assert widths[0] >= 8
        assert widths[1:] == [max(1, widths[0] >> times) for times in range(1, 9)]

    def test_is_waited_out_before_more_is_tried(self):
        pace, now = Pace(0.0), 0.0
        pace.late(now)
        widths = []
        for _ in range(STEADY + 1):
            widths.append(pace.width)
            now += 1.0
            pace.done(now)
        assert widths == [1] * STEADY + [2]
