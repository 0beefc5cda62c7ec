"""The results of mapped tasks in one sum: all of them, or none."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_milvus.exceptions import MilvusCheckError, MilvusInvalidArgumentError
from airflow_provider_milvus.operators.part_results import PartResults, check_expected


class Lazy(Sequence[Any]):
    """What mapped tasks returned, as Airflow gives it."""

    def __init__(self, *results: Any) -> None:
        self._results = results

    def __getitem__(self, key: Any) -> Any:
        return self._results[key]

    def __len__(self) -> int:
        return len(self._results)


def wrote(written: int, already_there: int = 0, **more: Any) -> dict[str, Any]:
    return {"collection": "docs", "database": "default", "written": written, "already_there": already_there, **more}


def parts(value: Any) -> PartResults:
    found = check_expected("equal_to", value)
    assert isinstance(found, PartResults)
    return found


class TestWhatIsExpected:
    @pytest.mark.parametrize(
        ("value", "rows"),
        [
            (wrote(5), 5),
            ([wrote(5), wrote(0), wrote(3, already_there=2)], 10),
            (Lazy(wrote(5), wrote(4)), 9),
            ([Lazy(wrote(5), wrote(4)), wrote(1)], 10),
            ([{"files": [], "rows": 0}, {"files": [["a"]], "rows": 7}], 7),
            (Lazy(), 0),
        ],
    )
    def test_is_what_all_parts_wrote_and_what_an_earlier_try_of_them_did(self, value, rows):
        assert parts(value).rows == rows

    def test_may_be_a_number(self):
        assert (check_expected("equal_to", "7"), check_expected("equal_to", 0)) == (7, 0)

    @pytest.mark.parametrize("value", [[wrote(1), None], [1, 2], ["7"], [{"written": 3}], {"seconds": 1}])
    def test_is_not_what_has_no_number_of_rows(self, value):
        with pytest.raises(MilvusInvalidArgumentError, match="which no task returns that writes rows"):
            check_expected("equal_to", value)

    def test_is_told_part_by_part(self):
        assert str(parts([wrote(5), wrote(0), wrote(3, 2)])) == "the sum of 3 parts: 5, 0, 5"
        assert str(parts([wrote(1)] * 25)).endswith("1, 1 and 5 more")


def test_the_counts_are_summed_that_all_parts_have():
    results = [wrote(5, refused=1, seconds=2.5), wrote(3, 2, refused=0, bytes=9)]
    assert parts(results).totals() == {"parts": 2, "written": 8, "already_there": 2, "refused": 1}


def context_of(states: dict[str, Any], has_task_states: bool) -> Any:
    """The context of a task in a run in which tasks that are mapped to ``write`` have these states."""
    if has_task_states:

        def get_task_states(*, dag_id: str, task_ids: list[str], run_ids: list[str]) -> dict[str, Any]:
            assert (dag_id, task_ids, run_ids) == ("ingest", ["write"], ["monday"])
            return {"monday": states} if states else {}

        return {"ti": SimpleNamespace(dag_id="ingest", run_id="monday", get_task_states=get_task_states)}
    others = [SimpleNamespace(task_id="check", map_index=-1, state="running")]
    those = [SimpleNamespace(task_id="write", map_index=int(name[6:]), state=state) for name, state in states.items()]
    run = SimpleNamespace(get_task_instances=lambda: others + those)
    return {"ti": SimpleNamespace(dag_id="ingest", run_id="monday", get_dagrun=lambda: run)}


@pytest.mark.parametrize("has_task_states", [True, False], ids=["Airflow 3", "Airflow 2"])
class TestAllParts:
    def test_are_there_when_each_task_has_succeeded(self, has_task_states):
        context = context_of({"write_0": "success", "write_1": "success", "write_2": "removed"}, has_task_states)
        parts([wrote(5), wrote(0)]).check_all_are_there(context, {"write"})

    @pytest.mark.parametrize("state", ["failed", "skipped", "upstream_failed", "up_for_retry", "running", None])
    def test_are_not_there_when_one_has_another_state(self, has_task_states, state):
        context = context_of({"write_0": "success", "write_1": state}, has_task_states)
        with pytest.raises(MilvusCheckError, match=rf"parts are missing: write_1 \({state or 'not run'}\)"):
            parts([wrote(5), wrote(3)]).check_all_are_there(context, {"write"})

    def test_are_not_there_when_one_has_no_result(self, has_task_states):
        context = context_of({"write_0": "success", "write_1": "success"}, has_task_states)
        with pytest.raises(MilvusCheckError, match="there are 1 results of 2 tasks"):
            parts(Lazy(wrote(5))).check_all_are_there(context, {"write"})

    def test_are_not_there_when_there_is_none(self, has_task_states):
        with pytest.raises(MilvusCheckError, match="there are 0 results of 0 tasks"):
            parts(Lazy()).check_all_are_there(context_of({}, has_task_states), {"write"})


def test_a_part_in_another_collection_is_not_counted_with_the_rest():
    results = parts([wrote(5), {**wrote(3), "collection": "docs_1"}, {"files": [], "rows": 0}])
    with pytest.raises(MilvusCheckError, match="Part 1 of 3 was written to collection 'docs_1'"):
        results.check_collection("default", "docs")
    with pytest.raises(MilvusCheckError, match="Part 0 of 3 was written to collection 'docs' of database 'default'"):
        results.check_collection("other", "docs")
