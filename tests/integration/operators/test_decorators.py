"""The task decorators, without a DAG run: what a DAG file may say, and what becomes of what a function returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_milvus.exceptions import MilvusBadRowsError, MilvusCheckError, MilvusInvalidArgumentError
from airflow_provider_milvus.get_provider_info import get_provider_info
from tests.integration.support import Milvus, build_collection

NAME = "of_functions"
NAMES = [decorator["name"] for decorator in get_provider_info()["task-decorators"]]


def operator_of(name: str, function: Callable[..., Any], *args: Any, **given: Any) -> Any:
    """The operator that a call of the decorated function makes in a DAG file."""
    arguments = {"collection_name": NAME, **given}
    with DAG("dag", schedule=None, start_date=datetime(2026, 1, 1)):
        return getattr(task, name)(**arguments)(function)(*args).operator


def run(name: str, function: Callable[..., Any], *args: Any, context: Any = None, **given: Any) -> Any:
    return operator_of(name, function, *args, **given).execute(context or {})


def row(number: int) -> dict[str, Any]:
    return {"id": number, "vector": [float(number), 1.0, 0.0, 0.0]}


@pytest.fixture
def collection(lite: Milvus) -> Iterator[Milvus]:
    with lite.plain_client() as client:
        build_collection(client, NAME, rows=0, dim=4)
        yield lite
        client.drop_collection(NAME)


def held(milvus: Milvus) -> list[int]:
    with milvus.plain_client() as client:
        rows = client.query(NAME, filter="id >= 0", output_fields=["id"], consistency_level="Strong")
    return sorted(row["id"] for row in rows)


@pytest.mark.parametrize("name", NAMES)
class TestInADagFile:
    def test_the_function_is_not_called(self, name: str) -> None:
        def never() -> Any:
            raise AssertionError("it is called")

        operator = operator_of(name, never)
        assert (operator.task_id, operator.custom_operator_name) == ("never", f"@task.{name}")

    def test_the_arguments_are_the_operators_and_checked_by_it(self, name: str) -> None:
        with pytest.raises(MilvusInvalidArgumentError, match="Task 'list' sends nothing to Milvus: collection_name"):
            operator_of(name, list, collection_name="not a name")

    def test_what_the_function_brings_cannot_be_given_as_well(self, name: str) -> None:
        with pytest.raises(TypeError, match="multiple values for keyword argument"):
            operator_of(name, list, **{"data" if name == "milvus_search" else "rows": []})

    def test_the_functions_arguments_are_templates_as_the_operators_are(self, name: str) -> None:
        operator = operator_of(name, lambda text: text, "{{ run_id }}", collection_name="{{ params.collection }}", task_id="t")
        assert {"op_args", "op_kwargs", "collection_name"} <= set(operator.template_fields)
        operator.render_template_fields({"run_id": "monday", "params": {"collection": "docs"}})
        assert (list(operator.op_args), operator.collection_name) == (["monday"], "docs")

    def test_what_the_web_ui_shows_is_the_same_at_every_parse(self, name: str) -> None:
        shown = repr(vars(operator_of(name, list))["data" if name == "milvus_search" else "rows"])
        assert shown == "list, as given in the DAG"


@pytest.mark.parametrize("name", ["milvus_upsert", "milvus_insert"])
class TestRows:
    @pytest.mark.parametrize(
        "function",
        [
            lambda: map(row, range(3)),
            lambda: [row(number) for number in range(3)],
            lambda: {"id": [0, 1, 2], "vector": [row(number)["vector"] for number in range(3)]},
        ],
        ids=["iterator", "list", "columns"],
    )
    def test_are_what_the_function_returns(self, collection: Milvus, name: str, function: Callable[[], Any]) -> None:
        assert run(name, function, task_id="t")["written"] == 3
        assert held(collection) == [0, 1, 2]

    def test_are_written_as_the_function_yields_them(self, collection: Milvus, name: str) -> None:
        def rows() -> Iterator[dict[str, Any]]:
            yield from map(row, range(35))
            raise LookupError("no more")

        with pytest.raises(LookupError, match="no more"):
            run(name, rows, batch_rows=10)
        assert held(collection) == list(range(30))

    def test_get_what_the_function_asks_for(self, collection: Milvus, name: str) -> None:
        def rows(first: int, *, params: dict[str, int], last: int = 0, **context: Any) -> Any:
            assert "ti" in context
            return map(row, range(first, params["last"]))

        assert run(name, rows, 5, context={"params": {"last": 8}, "ti": None, "run_id": ""})["written"] == 3
        assert held(collection) == [5, 6, 7]

    def test_that_are_bad_are_named(self, collection: Milvus, name: str) -> None:
        def lacking() -> Iterator[dict[str, Any]]:
            yield {"id": 1}

        with pytest.raises(MilvusBadRowsError, match=r"the rows of function .*lacking: row 1, field 'vector': is missing"):
            run(name, lacking)
        assert held(collection) == []

    def test_of_no_function_are_refused(self, collection: Milvus, name: str) -> None:
        def nothing() -> None:
            return None

        async def later() -> Any:
            yield row(1)

        with pytest.raises(MilvusInvalidArgumentError, match=r"nothing\(\) returned None, not rows"):
            run(name, nothing)
        with pytest.raises(MilvusInvalidArgumentError, match="asynchronous"):
            run(name, later)


class TestSearch:
    @pytest.mark.parametrize(
        "function", [lambda: [row(7)["vector"]], lambda: row(7)["vector"], lambda: (row(7)["vector"] for _ in range(1))]
    )
    def test_finds_what_the_function_asks_for(self, collection: Milvus, function: Callable[[], Any]) -> None:
        run("milvus_upsert", lambda: map(row, range(10)), task_id="write")
        (hits,) = run("milvus_search", function, task_id="ask", limit=1, expect=[[7]])["hits"]
        assert [hit["id"] for hit in hits] == [7]

    def test_is_a_gate_as_the_operator_is(self, collection: Milvus) -> None:
        run("milvus_upsert", lambda: map(row, range(10)), task_id="write")
        with pytest.raises(MilvusCheckError, match="missing: 9 of query 0"):
            run("milvus_search", lambda: [row(0)["vector"]], task_id="ask", limit=1, expect=[[9]])

    @pytest.mark.parametrize("nothing", [None, [], ""])
    def test_for_nothing_is_an_error(self, nothing: Any) -> None:
        with pytest.raises(MilvusInvalidArgumentError, match="Task 'ask' sends nothing to Milvus: data is given, but empty"):
            run("milvus_search", lambda: nothing, task_id="ask")
