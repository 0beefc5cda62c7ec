"""A restore set: what is one, in which order it is reloaded, and the report."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_milvus.reclaim.restore import MOST_ROWS, ReloadEntry, ReloadReport, by_priority, read_restore_set


def returned(restore: Any, released: Any = None, **more: Any) -> dict[str, Any]:
    """What a reclaim run returned."""
    return {"restore": restore, "released": released if released is not None else [], **more}


def released(database: str, collection: str, size: int | None = None) -> dict[str, Any]:
    return {"database": database, "collection": collection, "bytes": size}


def names(entries: list[ReloadEntry]) -> list[str]:
    return [entry.collection for entry in entries]


class TestRestoreSet:
    def test_begins_with_the_hottest_which_was_released_last(self):
        assert names(read_restore_set(returned({"default": ["cold", "warm", "hot"]}))) == ["hot", "warm", "cold"]

    def test_knows_the_size_that_was_released(self):
        entries = read_restore_set(returned({"default": ["a", "b"]}, [released("default", "a", 7), released("default", "b")]))
        assert entries == [ReloadEntry("default", "b"), ReloadEntry("default", "a", 7)]

    def test_is_in_order_across_databases_as_far_as_the_entries_tell(self):
        order = [released("x", "1"), released("y", "2"), released("x", "3")]
        assert names(read_restore_set(returned({"x": ["1", "3"], "y": ["2"]}, order))) == ["3", "2", "1"]

    def test_is_complete_where_only_the_first_entries_were_kept(self):
        entries = read_restore_set(returned({"x": ["1", "3"], "y": ["2"]}, [released("x", "1", 5)]))
        assert sorted(names(entries)) == ["1", "2", "3"]
        assert entries[-1] == ReloadEntry("x", "1", 5)

    def test_names_nothing_twice(self):
        assert names(read_restore_set(returned({"default": ["a", "a"]}))) == ["a"]

    @pytest.mark.parametrize("nothing", [{}, {"default": []}])
    def test_may_be_empty(self, nothing):
        assert read_restore_set(returned(nothing)) == []

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ("{'restore': {}}", "a dict that became text; set render_template_as_native_obj=True"),
            ("docs", "it is str"),
            (["docs"], "it is list"),
            (None, "it is NoneType"),
            ({"released": []}, 'lacks "restore"'),
            ({"restore": ["docs"]}, 'lacks "restore"'),
            ({"restore": {"default": "docs"}}, 'lacks "restore"'),
            ({"restore": {"default": [5]}}, 'lacks "restore"'),
            ({"restore": {"default": [""]}}, 'lacks "restore"'),
            ({"restore": {}, "dry_run": True}, "a dry run, which released nothing"),
        ],
    )
    def test_refuses_what_is_no_restore_set(self, value, message):
        with pytest.raises(ValueError, match=message):
            read_restore_set(value)


def test_priority_goes_by_the_first_pattern_that_matches_and_then_by_heat():
    entries = [ReloadEntry("default", name) for name in ("hot", "Search_1", "search_1", "warm", "search_2", "api")]
    assert names(by_priority(entries, ["api", "search_*", "a*"])) == ["api", "search_1", "search_2", "hot", "Search_1", "warm"]
    assert by_priority(entries, []) == entries


class TestReport:
    def test_is_a_table_with_failures_first(self):
        report = ReloadReport()
        report.loaded.append(ReloadEntry("default", "docs").ended("Loaded", "loaded again"))
        report.failed.append(ReloadEntry("default", "books").ended("unknown", "no answer"))
        lines = report.as_table().splitlines()
        assert [line.split()[0] for line in lines[2:]] == ["FAILED", "loaded"]
        assert report.as_sentence() == "1 loaded, 0 in memory already, 0 skipped, 1 failed."

    def test_shows_a_limited_number_of_rows_and_returns_all(self):
        report = ReloadReport(
            already=[ReloadEntry("default", f"c{number}").ended("Loaded", "") for number in range(MOST_ROWS + 5)]
        )
        assert report.as_table().endswith("… and 5 more")
        assert len(report.as_result()["already"]) == MOST_ROWS + 5
