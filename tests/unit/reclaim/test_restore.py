"""A restore set: what is one, in which order it comes back, and how the outcome reads."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_milvus.reclaim.restore import MOST_ROWS, Restored, Wanted, by_priority, restore_set


def returned(restore: Any, released: Any = None, **more: Any) -> dict[str, Any]:
    """What a reclaim run returned."""
    return {"restore": restore, "released": released if released is not None else [], **more}


def released(database: str, collection: str, size: int | None = None) -> dict[str, Any]:
    return {"database": database, "collection": collection, "bytes": size}


def names(wanted: list[Wanted]) -> list[str]:
    return [each.collection for each in wanted]


class TestRestoreSet:
    def test_begins_with_the_hottest_which_was_released_last(self):
        assert names(restore_set(returned({"default": ["cold", "warm", "hot"]}))) == ["hot", "warm", "cold"]

    def test_knows_the_size_that_was_released(self):
        found = restore_set(returned({"default": ["a", "b"]}, [released("default", "a", 7), released("default", "b")]))
        assert found == [Wanted("default", "b"), Wanted("default", "a", 7)]

    def test_is_in_order_across_databases_as_far_as_the_entries_tell(self):
        order = [released("x", "1"), released("y", "2"), released("x", "3")]
        assert names(restore_set(returned({"x": ["1", "3"], "y": ["2"]}, order))) == ["3", "2", "1"]

    def test_is_complete_where_only_the_first_entries_were_kept(self):
        found = restore_set(returned({"x": ["1", "3"], "y": ["2"]}, [released("x", "1", 5)]))
        assert sorted(names(found)) == ["1", "2", "3"]
        assert found[-1] == Wanted("x", "1", 5)

    def test_names_nothing_twice(self):
        assert names(restore_set(returned({"default": ["a", "a"]}))) == ["a"]

    @pytest.mark.parametrize("nothing", [{}, {"default": []}])
    def test_may_be_empty(self, nothing):
        assert restore_set(returned(nothing)) == []

    @pytest.mark.parametrize(
        ("value", "said"),
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
    def test_is_told_from_what_is_none(self, value, said):
        with pytest.raises(ValueError, match=said):
            restore_set(value)


def test_priority_goes_by_the_first_pattern_that_matches_and_then_by_heat():
    wanted = [Wanted("default", each) for each in ("hot", "Search_1", "search_1", "warm", "search_2", "api")]
    assert names(by_priority(wanted, ["api", "search_*", "a*"])) == ["api", "search_1", "search_2", "hot", "Search_1", "warm"]
    assert by_priority(wanted, []) == wanted


class TestOutcome:
    def test_is_a_table_with_failures_first(self):
        outcome = Restored()
        outcome.loaded.append(Wanted("default", "docs").entry("Loaded", "loaded again"))
        outcome.failed.append(Wanted("default", "books").entry("unknown", "no answer"))
        lines = outcome.as_table().splitlines()
        assert [line.split()[0] for line in lines[2:]] == ["FAILED", "loaded"]
        assert outcome.as_sentence() == "1 loaded, 0 in memory already, 0 skipped, 1 failed."

    def test_shows_only_so_many_rows_and_returns_all(self):
        outcome = Restored(already=[Wanted("default", f"c{number}").entry("Loaded", "") for number in range(MOST_ROWS + 5)])
        assert outcome.as_table().endswith("… and 5 more")
        assert len(outcome.as_result()["already"]) == MOST_ROWS + 5
