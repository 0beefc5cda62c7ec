"""The rules of a reclaim as people write them: read for what they mean, or refused by name."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.operators import reclaim_rules

GIB = 2**30


class TestBudget:
    @pytest.mark.parametrize(
        ("written", "size"),
        [
            ("64GiB", 64 * GIB),
            ("64 GiB", 64 * GIB),
            ("64gib", 64 * GIB),
            ("64GB", 64 * 10**9),
            ("1.5GiB", 3 * GIB // 2),
            ("2000000", 2_000_000),
            (2**20, 2**20),
            (None, None),
            ("", None),
        ],
    )
    def test_is_a_number_of_bytes(self, written, size):
        found = reclaim_rules.budget(written)
        assert found == size
        assert found is None or type(found) is int

    @pytest.mark.parametrize(
        ("written", "share"), [("70%", 0.7), (" 70 % ", 0.7), ("0.5%", 0.005), ("99.9%", 0.999), ("1%", 0.01)]
    )
    def test_is_a_share(self, written, share):
        found = reclaim_rules.budget(written)
        assert type(found) is float
        assert found == pytest.approx(share)

    @pytest.mark.parametrize(
        "written",
        [
            "64 gigs",
            "lots",
            "GiB",
            -1,
            "-1",
            "-64GiB",
            "64",
            70,
            "1000KiB",
            0,
            "0",
            "0GiB",
            "0%",
            "100%",
            "170%",
            "-70%",
            "%",
            "many%",
            "nan%",
            "inf%",
            "0.5",
            "nan",
            "inf",
            True,
            False,
            0.7,
            70.0,
            ["64GiB"],
            {"GiB": 64},
            "None",
        ],
    )
    def test_that_is_neither_is_refused(self, written):
        with pytest.raises(MilvusInvalidArgumentError, match=r"^memory_budget must be a size such as '64GiB'"):
            reclaim_rules.budget(written)

    @given(st.one_of(st.text(), st.integers(), st.floats()))
    def test_is_more_than_nothing_or_refused(self, written):
        try:
            found = reclaim_rules.budget(written)
        except MilvusInvalidArgumentError:
            return
        assert found is None or found >= 2**20 or 0 < found < 1


class TestSpan:
    @pytest.mark.parametrize(
        ("written", "span"),
        [
            (timedelta(days=7), timedelta(days=7)),
            ("P7D", timedelta(days=7)),
            ("P1W", timedelta(days=7)),
            ("PT36H", timedelta(hours=36)),
            ("PT90S", timedelta(seconds=90)),
            ("P1M", timedelta(days=30)),
            (None, None),
            ("", None),
        ],
    )
    def test_is_a_time(self, written, span):
        found = reclaim_rules.span("idle_for", written)
        assert found == span
        assert found is None or type(found) is timedelta

    @pytest.mark.parametrize(
        "written",
        ["7 days", "7", 7, 7.5, True, "2024-01-01", "now", "-P7D", "P-7D", "P", "None", ["P7D"], "P99999999999D", "P7D/P8D"],
    )
    def test_that_is_none_is_refused(self, written):
        with pytest.raises(MilvusInvalidArgumentError, match=r"^idle_for must be a timedelta or an ISO 8601 duration"):
            reclaim_rules.span("idle_for", written)

    @pytest.mark.parametrize("written", ["P3000Y", timedelta(days=40_000)])
    def test_of_more_than_a_century_is_refused(self, written):
        with pytest.raises(MilvusInvalidArgumentError, match=r"^idle_for is more than a hundred years"):
            reclaim_rules.span("idle_for", written)

    def test_below_zero_is_refused(self):
        with pytest.raises(MilvusInvalidArgumentError, match=r"^older_than is negative"):
            reclaim_rules.span("older_than", timedelta(days=-1), above_zero=False)

    @pytest.mark.parametrize("written", [timedelta(0), "PT0S", "P0D"])
    def test_of_nothing_is_allowed_for_an_age_only(self, written):
        assert reclaim_rules.span("older_than", written, above_zero=False) == timedelta(0)
        with pytest.raises(MilvusInvalidArgumentError, match=r"^idle_for is zero"):
            reclaim_rules.span("idle_for", written)

    @given(st.one_of(st.text(), st.from_regex(r"P[0-9YMWDTHS./-]*", fullmatch=True)))
    def test_is_more_than_nothing_or_refused(self, written):
        try:
            found = reclaim_rules.span("idle_for", written)
        except MilvusInvalidArgumentError:
            return
        assert found is None or found > timedelta(0)


class TestPatterns:
    @pytest.mark.parametrize(
        ("written", "patterns"),
        [("events_*", ("events_*",)), (["a", "b*"], ("a", "b*")), (("a",), ("a",)), (None, ()), ([], ())],
    )
    def test_are_one_or_several(self, written, patterns):
        assert reclaim_rules.patterns("exclude", written) == patterns

    @pytest.mark.parametrize(
        ("written", "words"),
        [
            ("", "exclude holds '', which is no pattern"),
            ([" "], "exclude holds ' ', which is no pattern"),
            ([None], "exclude holds None, which is no pattern"),
            ([["a"]], "exclude holds ['a'], which is no pattern"),
            (7, "exclude must be a pattern or a list of patterns, not 7"),
            ({"a": 1}, "exclude must be a pattern or a list of patterns"),
            ({"a"}, "exclude must be a pattern or a list of patterns"),
            ("['events_*', 'tmp_*']", "a list that became text"),
        ],
    )
    def test_that_are_none_are_refused(self, written, words):
        with pytest.raises(MilvusInvalidArgumentError) as refused:
            reclaim_rules.patterns("exclude", written)
        assert words in str(refused.value)


class TestDatabases:
    @pytest.mark.parametrize(
        ("written", "databases"),
        [
            (None, ["own"]),
            ("", ["own"]),
            ("books", ["books"]),
            (["books", "a", "books"], ["books", "a"]),
            ("*", None),
            (["books", "*"], None),
        ],
    )
    def test_are_the_named_ones_or_the_connections_own(self, written, databases):
        assert reclaim_rules.databases(written, "own") == databases

    @pytest.mark.parametrize("written", ["bo*", ["books", "a.b"], [7], 7, []])
    def test_that_are_no_names_are_refused(self, written):
        with pytest.raises(MilvusInvalidArgumentError, match=r"^databases"):
            reclaim_rules.databases(written, "own")


class TestCount:
    @pytest.mark.parametrize(("written", "count"), [(None, None), ("", None), (3, 3), ("3", 3)])
    def test_is_a_whole_number(self, written, count):
        assert reclaim_rules.count("max_releases", written) == count

    @pytest.mark.parametrize("written", [0, -5, "0", "-1", "many", "²", True, 1.5, "1.5", [1]])
    def test_that_is_none_is_refused(self, written):
        with pytest.raises(MilvusInvalidArgumentError, match=r"^max_releases must be a whole number from 1 on"):
            reclaim_rules.count("max_releases", written)


class TestFlag:
    @pytest.mark.parametrize(
        ("written", "flag"), [(True, True), (False, False), ("True", True), ("false", False), (" TRUE ", True)]
    )
    def test_is_a_clear_yes_or_no(self, written, flag):
        assert reclaim_rules.flag("dry_run", written) is flag

    @pytest.mark.parametrize("written", ["yes, please", "", None, 1, 0, "1", "None", [True]])
    def test_that_is_not_clear_is_refused(self, written):
        with pytest.raises(MilvusInvalidArgumentError, match=r"^dry_run must be true or false"):
            reclaim_rules.flag("dry_run", written)


@pytest.mark.parametrize("written", ["Nowhere/Land", "", None, 5, "A" * 300])
def test_a_zone_that_is_none_is_refused(written):
    with pytest.raises(MilvusInvalidArgumentError, match=r"^timezone .* is not a time zone"):
        reclaim_rules.zone(written)
