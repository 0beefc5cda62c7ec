"""What the examples of other vector databases do, done by ours: as they stand, run by Airflow, and in no more lines."""

from __future__ import annotations

import ast
import io
import json
import tokenize
from collections.abc import Iterator
from typing import Any

import pytest

from dev.local_airflow import EXAMPLE_DAGS, LocalAirflow, RunDag
from tests.integration.support import Milvus

LITE = pytest.mark.parametrize("milvus", ["lite"], indirect=True)
LINES = {
    # Of apache/airflow, providers/*/tests/system: example_weaviate_operator.py without its documents, ...
    "milvus_ingest": 161,
    "milvus_ingest_and_ask": 67,  # example_weaviate_without_vectorizer_dag.py
    "milvus_mapped_ingest": 52,  # example_weaviate_dynamic_mapping_dag.py
    "milvus_columns_and_search": 29,  # example_dag_qdrant.py, which makes no collection
    "milvus_embeddings": 54,  # example_pinecone_openai.py, its text counted as one line
    "milvus_query": 70,  # example_opensearch.py
    # Of kestra.io, the examples of io.kestra.plugin.milvus.Upsert and Search and io.kestra.plugin.weaviate.Query.
    "milvus_upsert_rows": 15,
    "milvus_search": 10,
    "milvus_read_rows": 12,
}
"""The lines of the peer's example: without licence, comments, docstrings, blank lines and what only its own tests need."""


def lines_of_code(source: str) -> int:
    tree = ast.parse(source)
    nodes = [node for node in ast.walk(tree) if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef))]
    texts = [node.body[0] for node in nodes if ast.get_docstring(node) is not None]
    left_out = {line for text in texts for line in range(text.lineno, (text.end_lineno or text.lineno) + 1)}
    no_code = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    tokens = [token for token in tokenize.generate_tokens(io.StringIO(source).readline) if token.type not in no_code]
    return len({line for token in tokens for line in range(token.start[0], token.end[0] + 1)} - left_out)


@pytest.mark.parametrize("dag_id", LINES)
def test_no_example_has_more_lines_than_the_peers(dag_id: str) -> None:
    assert lines_of_code((EXAMPLE_DAGS / f"{dag_id}.py").read_text()) <= LINES[dag_id]


INGESTED = "CAST(value AS TEXT) FROM xcom WHERE task_id = 'ingest' AND key = 'return_value'"


def there(milvus: Milvus) -> list[str]:
    with milvus.plain_client() as client:
        return sorted(name for name in client.list_collections() if name.startswith("milvus_"))


@pytest.fixture
def results(airflow: LocalAirflow, run_dag: RunDag, request: pytest.FixtureRequest) -> dict[str, Any]:
    run_dag(request.param)
    return airflow.results(request.param)


def of(dag_id: str) -> Any:
    return pytest.mark.parametrize("results", [dag_id], indirect=True, ids=str)


@LITE
@of("milvus_ingest")
def test_rows_of_a_task_and_of_functions_are_ingested(milvus: Milvus, results: dict[str, Any]) -> None:
    written = {task: results[task]["written"] for task in ("of_task", "of_function", "embed_and_upsert")}
    assert (written, results["check"]["rows"]) == ({"of_task": 3, "of_function": 3, "embed_and_upsert": 3}, 9)
    assert (results["drop"]["dropped"], there(milvus)) == (True, [])


@LITE
@of("milvus_ingest_and_ask")
def test_the_text_that_is_asked_for_is_found(milvus: Milvus, results: dict[str, Any]) -> None:
    assert results["ingest"]["written"] == 3
    ((hit,),) = results["ask"]["hits"]
    assert (hit["id"], hit["entity"]["text"], there(milvus)) == (1, "biology is about what lives", [])


@LITE
def test_another_question_fails_the_gate_and_drops_the_collection_all_the_same(
    milvus: Milvus, airflow: LocalAirflow, run_dag: RunDag
) -> None:
    with pytest.raises(RuntimeError):
        run_dag("milvus_ingest_and_ask", conf={"question": "trunk"})
    assert (airflow.tasks_in("failed", "milvus_ingest_and_ask"), there(milvus)) == (["ask"], [])


@LITE
@of("milvus_mapped_ingest")
def test_each_collection_gets_its_rows(airflow: LocalAirflow, milvus: Milvus, results: dict[str, Any]) -> None:
    rows = airflow.of_last_run("milvus_mapped_ingest", INGESTED)
    written = sorted((row["collection"], row["written"]) for row in (json.loads(text) for (text,) in rows))
    assert written == [("milvus_mapped_ingest_1", 100), ("milvus_mapped_ingest_2", 200)]
    assert there(milvus) == []


@LITE
@of("milvus_columns_and_search")
def test_lists_of_columns_become_rows_that_a_search_finds(milvus: Milvus, results: dict[str, Any]) -> None:
    assert (results["ingest"]["written"], results["ingest"]["batches"]) == (3, 3)
    (hits,) = results["search"]["hits"]
    assert {hit["id"]: (hit["entity"]["source"], hit["entity"]["pages"]) for hit in hits} == {
        32: ("wiki", {"first": 1}),
        21: ("mail", {}),
        7: ("mail", {"first": 2}),
    }
    assert there(milvus) == []


@LITE
@of("milvus_embeddings")
def test_embeddings_of_a_task_are_written_beside_their_texts(milvus: Milvus, results: dict[str, Any]) -> None:
    assert (results["ingest"]["written"], results["ingest"]["collection"], there(milvus)) == (3, "milvus_embeddings", [])


@LITE
@of("milvus_query")
def test_a_query_reads_the_rows_that_match(milvus: Milvus, results: dict[str, Any]) -> None:
    read = {task: [row["id"] for row in results[task]["rows"]] for task in ("by_logger", "by_message")}
    assert (read, there(milvus)) == ({"by_logger": [2], "by_message": [1]}, [])


@pytest.fixture
def cities(milvus: Milvus) -> Iterator[Milvus]:
    yield milvus
    with milvus.plain_client() as client:
        client.drop_collection("milvus_cities")


@LITE
def test_upsert_search_and_read_are_a_dag_of_one_task_each(airflow: LocalAirflow, run_dag: RunDag, cities: Milvus) -> None:
    for _ in range(2):
        run_dag("milvus_upsert_rows")
    assert airflow.results("milvus_upsert_rows")["upsert"]["written"] == 2
    with cities.plain_client() as client:
        rows = client.query("milvus_cities", filter="id > 0", output_fields=["city"], consistency_level="Strong")
    assert [(row["id"], row["city"]) for row in rows] == [(1, "Berlin"), (2, "Paris")]

    run_dag("milvus_search")
    (hits,) = airflow.results("milvus_search")["search"]["hits"]
    assert [hit["entity"]["city"] for hit in hits] == ["Berlin", "Paris"]
    run_dag("milvus_read_rows")
    assert airflow.results("milvus_read_rows")["read"]["rows"] == [{"id": 1, "city": "Berlin"}, {"id": 2, "city": "Paris"}]
