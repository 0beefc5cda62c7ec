"""The task decorators in a DAG that Airflow runs, of every version, judged by what the server holds afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dev.local_airflow import LocalAirflow
from tests.integration.support import Milvus

pytestmark = [pytest.mark.airflow, pytest.mark.parametrize("milvus", ["lite"], indirect=True)]

NAME = "decorated"
DAG = """
from datetime import datetime

from airflow.providers.common.compat.sdk import DAG, BaseHook, Variable, task
from airflow_provider_milvus.operators.milvus import MilvusUpsertOperator

COLLECTION = dict(collection_name="{{ params.collection }}", columns={"id": "number", "vector": "embedding", "text": "text"})


def row(number, text):
    return {"number": number, "embedding": [float(number), 1.0, 0.0, 0.0], "text": text, "unread": object()}


with DAG("decorated", schedule=None, start_date=datetime(2026, 1, 1), params={"collection": "decorated"}):

    @task
    def word(letter):
        return letter * 3

    words = word.expand(letter=["a", "b"])

    @task.milvus_upsert(**COLLECTION, batch_rows=2)
    def write(first, text, words, *, params, run_id=None, ti=None):
        "What is written, in the UI."
        # All of this is fetched while rows are written.
        text = f"{text}, {params['collection']}, {run_id}, {ti.task_id}, {ti.xcom_pull(task_ids='plain')}"
        text += f", {BaseHook.get_connection('milvus_default').conn_type}, {Variable.get('missing', 'no variable')}"
        for number in range(first, first + 5):
            yield row(number, f"{text}, {', '.join(words)}")

    @task
    def plain():
        return "plain"

    @task.milvus_insert(**COLLECTION)
    def columns(*texts: str, **context) -> dict[str, list]:
        numbers = list(range(100, 100 + len(texts)))
        rows = [row(number, f"{text}, {context['ti'].task_id}") for number, text in zip(numbers, texts)]
        return {name: [row[name] for row in rows] for name in rows[0]}

    @task.milvus_upsert(**COLLECTION)
    def mapped(first, text, ti=None):
        return [row(first, f"{text}, {ti.map_index}")]

    @task
    def rows(number):
        return [{"id": number, "vector": [0.0] * 4, "text": ""}]

    @task
    def number(number):
        return number

    @task.milvus_search(collection_name="decorated", limit=1, output_fields=["text"])
    def search(*numbers):
        for number in numbers:
            yield row(number, "")["embedding"]

    written = write(1, "{{ ti.task_id }}", words)
    plain() >> written
    inserted = columns("{{ params.collection }}", "two")
    MilvusUpsertOperator(task_id="of_mapped", collection_name="decorated", rows=rows.expand(number=[400, 500]))
    MilvusUpsertOperator(
        task_id="lists_of_mapped",
        collection_name="decorated",
        rows={"id": number.expand(number=[600, 700]), "vector": [[0.0] * 4] * 2, "text": ["", ""]},
    )
    parts = mapped.partial(text="{{ ti.task_id }}").expand(first=[200, 300])
    [written, inserted, parts] >> search(3, 101, 300)
"""


@pytest.fixture
def airflow(of_any_version: LocalAirflow, milvus: Milvus, tmp_path: Path) -> Iterator[LocalAirflow]:
    (tmp_path / "decorated.py").write_text(DAG)
    with milvus.plain_client() as client:
        client.create_collection(NAME, dimension=4, metric_type="L2")
    yield replace(of_any_version, milvus_uri=milvus.uri, dags=tmp_path)
    with milvus.plain_client() as client:
        client.drop_collection(NAME)


def there(milvus: Milvus) -> dict[int, dict[str, Any]]:
    with milvus.plain_client() as client:
        rows = client.query(NAME, filter="id >= 0", output_fields=["*"], consistency_level="Strong")
    return {row.pop("id"): row for row in rows}


def test_functions_get_the_context_and_rendered_arguments_and_bring_the_rows(airflow: LocalAirflow, milvus: Milvus) -> None:
    airflow.run_dag("decorated")

    (run,) = airflow.of_last_run("decorated", "run_id FROM dag_run WHERE state = 'success'")
    written = f"write, {NAME}, {run[0]}, write, plain, milvus, no variable, aaa, bbb"
    texts = {
        **dict.fromkeys(range(1, 6), written),
        100: f"{NAME}, columns",
        101: "two, columns",
        200: "mapped, 0",
        300: "mapped, 1",
    }
    rows = there(milvus)
    assert {number: row["text"] for number, row in rows.items() if number < 400} == texts
    assert {number for number in rows if number >= 400} == {400, 500, 600, 700}
    assert {number: (list(row["vector"]), "unread" in row) for number, row in rows.items() if number < 400} == {
        number: ([number, 1.0, 0.0, 0.0], False) for number in texts
    }
    results = airflow.results("decorated")
    assert (results["write"]["written"], results["write"]["batches"]) == (5, 3)
    assert results["columns"]["written"] == 2
    assert [hits[0]["entity"]["text"] for hits in results["search"]["hits"]] == [written, "two, columns", "mapped, 1"]
    # The result is one XCom, whatever the function's annotation says.
    assert airflow.of_last_run("decorated", "key FROM xcom WHERE key = 'written'") == []
