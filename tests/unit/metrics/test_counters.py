"""What successive runs saw of the proxies' own pages, and what that says of a span."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from hypothesis import given, strategies as st

from airflow_provider_milvus.metrics.counters import LONGEST, History, Proxy

START = 1_700_000_000.0
HOUR, DAY, WEEK = 3600.0, 86400.0, 7 * 86400.0


def proxy(started: float | None = START, **counts: float) -> Proxy:
    return Proxy(started, {(None, name): count for name, count in counts.items()})


class Runs:
    """One run after the other, each given through JSON what the one before kept."""

    def __init__(self) -> None:
        self.kept: object = None
        self.now = START + DAY

    def see(self, *, after: float = 0.0, longest: float = WEEK, interruption: str | None = None, **proxies: Proxy) -> History:
        self.now += after
        history = History.read(self.kept, self.now).extend(
            proxies, self.now, interruption=interruption, longest=timedelta(seconds=longest)
        )
        self.kept = json.loads(json.dumps(history.serialize(self.now)))
        return history

    def gap(self, history: History, span: float) -> str | None:
        return history.gap(timedelta(seconds=span), self.now)

    def used(self, history: History, span: float) -> set[str]:
        return {name for _, name in history.used(timedelta(seconds=span), self.now)}


@pytest.fixture
def runs() -> Runs:
    return Runs()


def test_the_first_run_knows_nothing_and_says_so(runs):
    seen = runs.see(p=proxy(a=3))
    assert runs.gap(seen, HOUR) == "the counters are known for the last 0 s only, not for 1 h: they were first read then"
    assert runs.used(seen, HOUR) == set()


def test_the_next_run_knows_the_span_in_between(runs):
    runs.see(p=proxy(a=3, b=1))
    seen = runs.see(after=DAY, p=proxy(a=4, b=1, new=1))
    assert runs.gap(seen, DAY) is None
    assert runs.used(seen, DAY) == {"a", "new"}
    assert runs.gap(seen, DAY + 1) is not None


def test_a_use_wears_off_span_by_span(runs):
    runs.see(p=proxy(a=3))
    runs.see(after=DAY, p=proxy(a=4))
    for _ in range(7):
        seen = runs.see(after=DAY, p=proxy(a=4))
    assert runs.used(seen, WEEK - DAY) == set()
    assert runs.used(seen, WEEK) == set(), "it was used before the run that is 7 days old"
    assert runs.used(seen, WEEK + 1) == {"a"}
    assert runs.gap(seen, 8 * DAY) is None


def test_a_restart_begins_anew(runs):
    runs.see(p=proxy(a=3))
    runs.now += DAY
    restarted = runs.now - 3 * HOUR
    seen = runs.see(p=proxy(restarted, a=3))
    assert runs.gap(seen, DAY) == "proxy p was restarted 3 h ago, within the last 1 day"
    assert runs.gap(seen, 2 * HOUR) is not None, "it may have counted to 3 once more, and just now"
    seen = runs.see(after=HOUR, p=proxy(restarted, a=3))
    assert runs.gap(seen, HOUR) is None
    assert "restarted" in runs.gap(seen, 5 * HOUR)


def test_a_start_that_moves_with_the_clock_is_no_restart(runs):
    runs.see(p=proxy(START))
    assert runs.gap(runs.see(after=DAY, p=proxy(START + 1)), DAY) is None


@pytest.mark.parametrize("after", [{"p": proxy(), "q": proxy()}, {"q": proxy()}, {}])
def test_other_proxies_begin_anew(runs, after):
    runs.see(p=proxy(a=3))
    seen = runs.see(after=DAY, **after)
    assert "there were other proxies before" in runs.gap(seen, HOUR)


def test_a_run_that_did_not_see_all_proxies_is_a_gap(runs):
    runs.see(p=proxy())
    runs.see(after=DAY, p=proxy(), interruption="the metrics are of 1 proxies, and Milvus has 2")
    seen = runs.see(after=DAY, p=proxy())
    assert runs.gap(seen, DAY) is None
    assert "Milvus has 2" in runs.gap(seen, DAY + 1)


def test_a_proxy_that_does_not_tell_its_start_is_never_covered(runs):
    runs.see(p=proxy(None))
    assert runs.gap(runs.see(after=DAY, p=proxy(None)), HOUR) == "proxy p does not report when it was started"


def test_a_label_that_went_counts_as_used_and_is_forgotten_in_time(runs):
    runs.see(p=proxy(a=3))
    seen = runs.see(after=DAY, p=proxy())
    assert runs.used(seen, DAY) == {"a"}
    runs.see(after=LONGEST.total_seconds(), p=proxy())
    seen = runs.see(after=DAY, p=proxy())
    assert runs.kept["proxies"]["p"]["counts"] == {}
    assert runs.gap(seen, LONGEST.total_seconds()) is None
    assert runs.gap(seen, LONGEST.total_seconds() + 1) is not None, "what it has forgotten it does not know"


def test_a_longer_span_that_is_asked_for_is_remembered(runs):
    span = 2 * LONGEST.total_seconds()
    runs.see(p=proxy(), longest=span)
    assert runs.gap(runs.see(after=span, p=proxy(), longest=span), span) is None


@pytest.mark.parametrize(
    "kept",
    [
        {"at": 1},
        {"at": "x", "since": 1, "why": "", "proxies": {}},
        {"at": True, "since": 1, "why": "", "proxies": {}},
        {"at": float("nan"), "since": 1, "why": "", "proxies": {}},
        {"at": START, "since": START, "why": "", "proxies": []},
        {"at": START, "since": START, "why": "", "proxies": {"p": {"started": START, "counts": {"/a": 1}}}},
        {"at": START, "since": START, "why": "", "proxies": {"p": {"started": START, "counts": {"/a": [1, None]}}}},
        {"at": START, "since": START, "why": "", "proxies": {"p": {"started": START, "counts": {"/a": [1, float("nan")]}}}},
        {"at": START + 9 * DAY, "since": START, "why": "", "proxies": {"p": {"started": START, "counts": {}}}},
        {"at": START, "since": START + HOUR, "why": "", "proxies": {"p": {"started": START, "counts": {}}}},
        ["at"],
        "at",
    ],
)
def test_what_no_run_could_have_kept_is_as_good_as_nothing(runs, kept):
    runs.kept = kept
    assert "what was kept of them" in runs.gap(runs.see(p=proxy(a=1)), HOUR)


COUNTS = st.dictionaries(st.sampled_from("abc"), st.integers(0, 3), max_size=3)


@given(st.lists(st.tuples(st.integers(1, 5), COUNTS), min_size=1, max_size=8), st.integers(1, 30))
def test_it_answers_as_all_snapshots_together_would(steps, span):
    """Used: changed between any two of the snapshots since the youngest one that is as old as the span."""
    runs = Runs()
    snapshots = []
    for hours, counts in steps:
        seen = runs.see(after=hours * HOUR, p=proxy(**counts))
        snapshots.append((runs.now, counts))
    before = [position for position, (at, _) in enumerate(snapshots) if at <= runs.now - span * HOUR]
    assert (runs.gap(seen, span * HOUR) is None) == bool(before)
    if before:
        since = [counts for _, counts in snapshots[before[-1] :]]
        changed = {name for name in "abc" if len({counts.get(name) for counts in since}) > 1}
        assert runs.used(seen, span * HOUR) == changed
