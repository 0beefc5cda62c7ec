"""Who is idle, by what the counters say. Unknown is never idle."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from airflow_provider_milvus.metrics.spans import Span
from airflow_provider_milvus.reclaim.usage import Usage, usage_of
from airflow_provider_milvus.wording import in_words

pytestmark = pytest.mark.newest

NOW = datetime(2026, 3, 10, 2, tzinfo=UTC)
HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)


def used(*labels: str | tuple[str | None, str]) -> frozenset[tuple[str | None, str]]:
    return frozenset((None, label) if isinstance(label, str) else label for label in labels)


def judge(*spans: Span, database="default", names=("docs",), created=NOW - 30 * DAY, shared=()) -> Usage:
    return usage_of(database=database, names=names, created=created, spans=spans, shared=shared, now=NOW)


class TestIdle:
    def test_for_a_span_in_which_no_counter_moved(self):
        assert judge(Span(WEEK, used())) == Usage(WEEK, "neither searched nor queried for 7 days")

    def test_for_the_longest_such_span(self):
        assert judge(Span(WEEK, used()), Span(HOUR, used()), Span(DAY, used())).idle_for == WEEK

    def test_up_to_the_span_in_which_it_was_used(self):
        assert judge(Span(HOUR, used()), Span(DAY, used()), Span(WEEK, used("docs"))).idle_for == DAY

    def test_up_to_the_span_that_is_not_covered(self):
        assert judge(Span(HOUR, used()), Span(WEEK, used(), "a gap")).idle_for == HOUR

    def test_while_others_are_used(self):
        assert judge(Span(DAY, used("other", "docs2"))).idle_for == DAY

    def test_while_its_namesake_in_another_database_is_used(self):
        window = Span(DAY, used(("other", "docs")), names_databases=True)
        assert judge(window, database="default", shared={"docs"}).idle_for == DAY


class TestNotIdle:
    @pytest.mark.parametrize("name", ["docs", "current"])
    def test_when_searched_under_a_name_or_an_alias_of_it(self, name):
        usage = judge(Span(HOUR, used(name)), names=("docs", "current"))
        assert usage == Usage(None, "searched or queried within the last 1 h")

    @pytest.mark.parametrize("database", [None, "default"])
    def test_when_the_counter_names_its_database_or_none(self, database):
        assert judge(Span(DAY, used((database, "docs")))).idle_for is None

    def test_when_a_shorter_span_contradicts_a_longer_one(self):
        assert judge(Span(HOUR, used("docs")), Span(WEEK, used())).idle_for is None

    def test_when_two_answers_for_one_span_contradict_each_other(self):
        assert judge(Span(DAY, used()), Span(DAY, used("docs"))).idle_for is None


class TestUnknown:
    def test_when_a_proxy_is_not_covered(self):
        window = Span(WEEK, used(), "proxy 10.0.0.3:9091 was restarted 3 h ago, within the last 7 days")
        assert judge(window).reason == "unknown: proxy 10.0.0.3:9091 was restarted 3 h ago, within the last 7 days"
        assert judge(window).idle_for is None

    def test_when_milvus_counts_all_collections_as_one(self):
        usage = judge(Span(DAY, used("all")))
        assert usage.idle_for is None
        assert "collectionLevelMode" in usage.reason

    @pytest.mark.parametrize("age", [timedelta(0), DAY, WEEK])
    def test_when_it_is_not_older_than_the_span(self, age):
        assert judge(Span(WEEK, used()), created=NOW - age) == Usage(None, "unknown: younger than 7 days")

    def test_when_its_age_is_not_known(self):
        assert judge(Span(DAY, used()), created=None) == Usage(None, "unknown: its age is not known")

    @pytest.mark.parametrize("window", [Span(DAY, used()), Span(DAY, used("docs")), Span(DAY, used("other"))])
    def test_when_another_database_has_its_name_and_the_counters_do_not_tell_them_apart(self, window):
        usage = judge(window, shared={"docs"})
        assert usage.idle_for is None
        assert usage.reason.startswith("unknown: another database has a collection of this name")

    def test_when_one_counter_of_a_server_that_was_upgraded_names_no_database(self):
        window = Span(DAY, used(("other", "docs"), (None, "old")), names_databases=True)
        assert judge(window, shared={"docs"}).idle_for is None

    def test_when_no_span_was_asked_for(self):
        assert judge().idle_for is None


NAMES = st.sampled_from(["a", "b", "c", "all"])
LABELS = st.tuples(st.sampled_from([None, "default", "other"]), NAMES)
SPANS = st.sampled_from([HOUR, DAY, WEEK, 2 * WEEK])
WINDOWS = st.lists(
    st.builds(Span, SPANS, st.frozensets(LABELS, max_size=3), st.sampled_from([None, None, "a gap"]), st.booleans()),
    max_size=4,
)
CASES = st.fixed_dictionaries(
    {
        "windows": WINDOWS,
        "names": st.lists(NAMES, min_size=1, max_size=2),
        "created": st.sampled_from([None, NOW - 2 * DAY, NOW - 3 * WEEK]),
        "shared": st.frozensets(NAMES, max_size=1),
    }
)


def idle_for(case) -> timedelta:
    """Zero where it is not idle, so that less is always safer."""
    more = {key: case[key] for key in ("names", "created", "shared")}
    return judge(*case["windows"], **more).idle_for or timedelta(0)


class TestAlways:
    @given(CASES)
    def test_idle_means_covered_and_older_and_not_used_in_every_span_up_to_it(self, case):
        idle = idle_for(case)
        for window in case["windows"]:
            if window.length <= idle:
                assert window.unknown is None
                assert case["created"] is not None
                assert case["created"] < NOW - window.length
                assert not any(label in (None, "default") and name in case["names"] for label, name in window.used)
                assert "all" not in {name for _, name in window.used}
                if case["shared"] & set(case["names"]):
                    assert window.names_databases
                    assert None not in {label for label, _ in window.used}

    @given(CASES, st.randoms())
    def test_the_order_of_the_windows_does_not_matter(self, case, random):
        mixed = random.sample(case["windows"], len(case["windows"]))
        more = {key: case[key] for key in ("names", "created", "shared")}
        assert judge(*mixed, **more) == judge(*case["windows"], **more)

    @given(CASES, st.integers(0, 3), LABELS)
    def test_one_more_use_never_makes_it_idle_for_longer(self, case, position, label):
        windows = list(case["windows"])
        if position < len(windows):
            windows[position] = replace(windows[position], used=windows[position].used | {label})
        assert idle_for({**case, "windows": windows}) <= idle_for(case)

    @given(CASES, NAMES)
    def test_one_more_shared_name_never_makes_it_idle_for_longer(self, case, name):
        assert idle_for({**case, "shared": case["shared"] | {name}}) <= idle_for(case)

    @given(CASES, NAMES)
    def test_one_more_alias_never_makes_it_idle_for_longer(self, case, name):
        assert idle_for({**case, "names": [*case["names"], name]}) <= idle_for(case)

    @given(CASES, SPANS)
    def test_an_uncovered_window_never_makes_it_idle_for_longer(self, case, span):
        windows = [*case["windows"], Span(span, used(), "a gap")]
        assert idle_for({**case, "windows": windows}) <= idle_for(case)


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(0), "0 s"),
        (timedelta(seconds=59.9), "59 s"),
        (timedelta(seconds=90), "1 min 30 s"),
        (timedelta(hours=3), "3 h"),
        (timedelta(days=1, hours=2, minutes=59), "1 day 2 h"),
        (timedelta(days=7) - timedelta(seconds=1), "6 days 23 h"),
        (WEEK, "7 days"),
    ],
)
def test_a_span_reads_as_its_two_largest_units_rounded_down(span, words):
    assert in_words(span) == words
