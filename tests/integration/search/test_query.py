"""Queries on real servers: which rows come, in which order, and where they go."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from airflow_provider_milvus.exceptions import (
    MilvusCheckError,
    MilvusCollectionNotFoundError,
    MilvusInvalidArgumentError,
    MilvusNotLoadedError,
    MilvusPartitionNotFoundError,
)
from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.operators import read_rows
from airflow_provider_milvus.operators.milvus import (
    MilvusCreateCollectionOperator,
    MilvusDropCollectionOperator,
    MilvusLoadCollectionOperator,
    MilvusQueryOperator,
    MilvusUpsertOperator,
)
from airflow_provider_milvus.search import query as query_flow, source
from tests.integration.support import MakeCollection, Milvus

INDEX = {"field_name": "vector", "index_type": "FLAT", "metric_type": "L2"}


def query(name: str, **arguments: Any) -> dict[str, Any]:
    result: dict[str, Any] = MilvusQueryOperator(task_id="query", collection_name=name, **arguments).execute({})
    assert result.pop("seconds") < 60
    assert (result.pop("collection"), result.pop("database")) == (name, "default")
    return result


@pytest.fixture
def docs(make_collection: MakeCollection) -> str:
    return make_collection("docs", rows=250, load=True)


def keys(result: dict[str, Any]) -> list[Any]:
    return [row["id"] for row in result["rows"]]


def test_gives_the_rows_that_match_in_the_order_of_their_keys(milvus: Milvus, docs: str) -> None:
    found = query(docs, filter="id >= {first} and id < 20", filter_params={"first": 7})

    assert found == {"rows": [{"id": key} for key in range(7, 20)], "count": 13, "complete": True}
    assert keys(query(docs, filter="id >= 7", limit=3)) == [7, 8, 9]
    assert query(docs)["count"] == 100
    assert keys(query(docs, limit="all")) == list(range(250))


def test_gives_the_rows_with_some_keys(milvus: Milvus, docs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_flow, "IDS_AT_ONCE", 4)
    assert keys(query(docs, ids=[30, 2, 1000, 2, 17, "4", 5, 9, 200])) == [2, 4, 5, 9, 17, 30, 200]
    assert MilvusHook().query(docs, ids=[]) == []
    assert keys(query(docs, ids="[3, 4]", filter="id != 3")) == [4]
    assert keys(query(docs, ids=[9, 8, 7, 6, 5, 4], limit=5)) == [4, 5, 6, 7, 8]
    assert query(docs, ids=["9223372036854775807", "-9223372036854775807"])["count"] == 0
    for beyond in ("9223372036854775808", "٣"):
        with pytest.raises(MilvusInvalidArgumentError, match=rf"ids holds '{beyond}', which cannot be a key"):
            query(docs, ids=[beyond])
    with pytest.raises(MilvusInvalidArgumentError, match=r"Nothing was read: ids holds 'x', which cannot be a key"):
        query(docs, ids=["x"])


def test_gives_vectors_where_they_are_asked_for(milvus: Milvus, docs: str) -> None:
    with milvus.plain_client() as client:
        theirs = client.query(docs, filter="id in [3]", output_fields=["vector"], consistency_level="Strong")[0]["vector"]

    assert query(docs, ids=[3], output_fields=["vector"])["rows"] == [{"vector": pytest.approx(theirs)}]
    assert query(docs, ids=[3], output_fields="*")["rows"] == [{"id": 3, "vector": pytest.approx(theirs)}]


def test_any_number_of_rows_goes_to_a_file(milvus: Milvus, docs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "PAGE_ROWS", 60)
    path = tmp_path / "new" / "rows.jsonl.gz"

    assert query(docs, limit="all", output_path=str(path)) == {"count": 250, "path": str(path)}
    with gzip.open(path) as file:
        assert [json.loads(line)["id"] for line in file] == list(range(250))


@pytest.fixture
def days(milvus: Milvus) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A collection, and its rows."""
    name = "days"
    fields = [
        {"name": "id", "type": "INT64", "is_primary": True},
        {"name": "day", "type": "INT16"},
        {"name": "name", "type": "VARCHAR", "max_length": 9},
        {"name": "vector", "type": "FLOAT_VECTOR", "dim": 2},
    ]
    rows = [{"id": key, "day": key * 7 % 10, "name": f"n{key % 3}", "vector": [key, 0]} for key in range(40)]
    MilvusCreateCollectionOperator(task_id="create", collection_name=name, schema={"fields": fields}, indexes=[INDEX]).execute(
        {}
    )
    MilvusLoadCollectionOperator(task_id="load", collection_name=name).execute({})
    MilvusUpsertOperator(task_id="write", collection_name=name, rows=rows).execute({})
    yield name, rows
    MilvusDropCollectionOperator(task_id="drop", collection_name=name).execute({})


def test_gives_the_rows_in_the_order_of_fields(
    milvus: Milvus, days: tuple[str, list[dict[str, Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "PAGE_ROWS", 3)
    name, rows = days
    asked = {"consistency_level": "Strong", "output_fields": ["day", "id"]}
    latest = [
        {"day": row["day"], "id": row["id"]} for row in sorted(rows, key=lambda row: (-row["day"], row["name"], row["id"]))
    ]

    assert query(name, order_by=["day:desc", "name"], limit=10, **asked)["rows"] == latest[:10]
    path = str(tmp_path / "rows.parquet")
    query(name, order_by=["day:desc", "name"], limit=40, output_path=path, **asked)
    assert [{key: row[key] for key in ("day", "id")} for row in pq.read_table(path).to_pylist()] == latest
    some = query(name, order_by="day", limit=2, ids=[5, 6, 7, 8, 9], output_fields="id", consistency_level="Strong")
    assert keys(some) == [6, 9]
    assert query(name, order_by="day", filter="id < 0")["rows"] == []


def test_only_numbers_and_texts_have_an_order(milvus: Milvus, days: tuple[str, list[dict[str, Any]]]) -> None:
    name, _ = days
    for field in ("vector", "nothing"):
        with pytest.raises(MilvusInvalidArgumentError, match=f"in the order of '{field}', since"):
            query(name, order_by=field)
    with pytest.raises(MilvusInvalidArgumentError, match="need a limit"):
        query(name, order_by="day", limit="all")


def test_a_parquet_file_has_the_same_rows(milvus: Milvus, docs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "PAGE_ROWS", 60)
    path, other = str(tmp_path / "rows.parquet"), str(tmp_path / "rows.jsonl")
    for output_path in (path, other):
        query(docs, limit="all", output_fields="*", output_path=output_path)

    assert pq.read_table(path).to_pylist() == [json.loads(line) for line in Path(other).read_text().splitlines()]
    assert pq.ParquetFile(path).num_row_groups == 5
    query(docs, filter="id > 1000", output_fields="*", output_path=path)
    assert (pq.read_table(path).num_rows, pq.read_table(path).column_names) == (0, ["id", "vector"])


def test_a_file_is_left_as_it_was_when_the_query_fails(milvus: Milvus, docs: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("before")

    with pytest.raises(MilvusCheckError, match=f"'{docs}' has 250 rows for this query; expected at least 251"):
        query(docs, limit="all", at_least=251, output_path=str(path))

    assert [path.read_text(), *tmp_path.iterdir()] == ["before", path]


def test_of_rows_that_are_too_large_for_an_xcom_the_first_are_there_and_it_is_said(
    milvus: Milvus, docs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert query(docs, limit="all", output_fields="*")["complete"] is True
    monkeypatch.setattr(read_rows, "XCOM_BYTES", 100)

    cut = query(docs, limit="all")

    assert (cut["count"], cut["complete"]) == (250, False)
    assert cut["rows"] == [{"id": key} for key in range(len(cut["rows"]))]
    assert 5 < len(cut["rows"]) < 20


def test_what_is_not_there_is_named(milvus: Milvus, docs: str) -> None:
    with pytest.raises(MilvusCollectionNotFoundError, match="nowhere"):
        query("nowhere")
    with pytest.raises(MilvusPartitionNotFoundError, match="nowhere"):
        query(docs, partition_names=["nowhere"])
    with milvus.plain_client() as client:
        client.release_collection(docs)
    with pytest.raises(MilvusNotLoadedError, match=f"{docs}' (were not read.*Load it first|could not be queried.*call load)"):
        query(docs)


def test_a_partition_alone_is_read(milvus: Milvus, docs: str) -> None:
    with milvus.plain_client() as client:
        client.create_partition(docs, "new")
        if not milvus.is_lite:
            client.load_partitions(docs, ["new"])
        client.insert(docs, [{"id": 1_000, "vector": [0.5] * 8}], partition_name="new")

    assert keys(query(docs, partition_names="new", consistency_level="Strong")) == [1_000]
    assert query(docs, partition_names=["_default"], limit="all")["count"] == 250
