"""When the counters were not those of all proxies, and how sizes are read from steps."""

from __future__ import annotations

import pytest

from airflow_provider_milvus.metrics.past import Gap, Seen, Sizes, gaps_of, mismatches_of, sizes_of, unknown_steps
from airflow_provider_milvus.metrics.spans import Proxies

MOMENTS = [float(100 + 10 * step) for step in range(10)]
LONG_AGO = 1.0
ONE = Proxies(configured=1)


def proxy(*steps: int, started: float | None = LONG_AGO, gaps: tuple[int, ...] = ()) -> Seen:
    return Seen(dict.fromkeys(steps, started), set(gaps))


ALL = tuple(range(10))
NODES = {("n", "milvus"): proxy(*ALL)}


@pytest.mark.parametrize(
    ("seen", "gaps", "away"),
    [
        (proxy(*ALL), [], []),
        # It ran before the history begins, and was scraped later: what it counted meanwhile is not known.
        (proxy(*ALL[3:]), [(100, 130, "was not scraped all the time")], [(100, 120)]),
        (proxy(*ALL[3:], started=125.0), [(120, 130, "was started")], [(100, 120)]),
        (proxy(*ALL[3:], started=111.0), [(110, 130, "was not scraped all the time")], [(100, 120)]),
        (proxy(0, 1, 2, 5, 6, 7, 8, 9), [(120, 150, "was not scraped all the time")], [(120, 140)]),
        # Between two steps.
        (proxy(*ALL, gaps=(4,)), [(130, 140, "was not scraped all the time")], []),
        (proxy(*ALL[:8]), [(170, 180, "is gone, or no longer scraped")], [(170, 190)]),
        (proxy(gaps=(4,)), [(130, 140, "is gone, or no longer scraped")], [(100, 190)]),
        (Seen({step: 1.0 if step < 4 else 135.0 for step in ALL}), [(130, 140, "was restarted")], []),
        # A clock that is adjusted moves the reported start.
        (Seen({step: 1.0 if step < 4 else 2.5 for step in ALL}), [], []),
        (proxy(*ALL, started=None), [(100, 190, "does not report when it was started")], []),
    ],
)
def test_gaps_of_one_proxy(seen: Seen, gaps: list[Gap], away: list[tuple[float, float]]) -> None:
    one = {("a", "milvus"): seen}
    assert gaps_of(MOMENTS, one) == [(start, end, f"proxy a {why}") for start, end, why in gaps]
    assert mismatches_of(MOMENTS, one, NODES, {}, ONE) == [(start, end, "no proxy was scraped") for start, end in away]


@pytest.mark.parametrize(
    ("gauges", "proxies", "gaps"),
    [
        (dict.fromkeys(ALL, 2.0), Proxies(), []),
        ({}, Proxies(configured=2), []),
        ({5: 3.0}, Proxies(configured=2), [(140, 150, "the metrics are of 2 proxies, and Milvus has 3")]),
        # A coordinator on stand-by reports none.
        (dict.fromkeys(ALL, 0.0), Proxies(configured=2), []),
        ({}, Proxies(standalone=True), [(100, 190, "the metrics are of 2 proxies, and Milvus has 1")]),
    ],
)
def test_mismatches_of_the_number_of_proxies(gauges: dict[int, float], proxies: Proxies, gaps: list[Gap]) -> None:
    both = {("a", "milvus"): proxy(*ALL), ("b", "milvus"): proxy(*ALL)}
    assert mismatches_of(MOMENTS, both, NODES, gauges, proxies) == gaps
    assert gaps_of(MOMENTS, both) == []


def test_nothing_is_known_where_nobody_tells_how_many_proxies_there_are() -> None:
    ((start, end, why),) = mismatches_of(MOMENTS, {("a", "milvus"): proxy(*ALL)}, NODES, {}, Proxies())
    assert (start, end) == (100, 190)
    assert "is not known" in why


def test_without_a_query_node_nobody_knows_whose_metrics_these_are() -> None:
    nodes = {("n", "milvus"): proxy(0, 1, 2, 3, 6, 7, 8, 9), ("o", "milvus"): proxy(4)}
    told = mismatches_of(MOMENTS, {("a", "milvus"): proxy(*ALL)}, nodes, {}, ONE)
    assert told == [(140, 150, "no query node was scraped")]


def test_sizes_change_where_they_changed() -> None:
    changes = {0: 5, 2: 7, 3: 0, 5: 7, 6: None, 7: 7, 8: 0}
    read = sizes_of(MOMENTS, changes, frozenset({4}))
    assert (read.moments, read.bytes) == ([100, 120, 140, 150, 160, 170, 180], [5, 7, None, 7, None, 7, 0])
    assert [read.was_loaded(moment) for moment in (99, 100, 135, 145, 165, 185)] == [None, True, True, True, True, False]
    assert Sizes().was_loaded(100) is None


def test_a_step_without_a_size_is_no_release() -> None:
    replaced = sizes_of(MOMENTS, {0: 5, 3: 0, 4: 6, 7: 0}, frozenset())
    assert (replaced.moments, replaced.bytes) == ([100, 140, 170], [5, 6, 0])
    # The first step after a time that is not known.
    away = sizes_of(MOMENTS, {0: 5, 5: 0, 7: 5}, frozenset({5}))
    assert (away.moments, away.bytes) == ([100, 150, 160], [5, None, 5])
    released = sizes_of(MOMENTS, {0: 5, 3: 0, 5: 6}, frozenset())
    assert (released.moments, released.bytes) == ([100, 130, 150], [5, 0, 6])


def test_sizes_are_unknown_while_a_query_node_is_not_scraped() -> None:
    # The second one is started at step 3 and gone after step 8: neither makes a step unknown.
    nodes = {("a", "m"): proxy(1, 2, 3, 4, 6, 7, 8, 9), ("b", "m"): proxy(3, 4, 5, 6, 8)}
    assert unknown_steps(10, nodes) == {0, 5, 7}
