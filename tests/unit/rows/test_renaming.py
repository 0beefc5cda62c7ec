"""``columns=`` and dicts of columns: the same rows from every kind of source, and a column that is not there is named."""

from __future__ import annotations

import array
import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.rows import tables
from airflow_provider_milvus.rows.check import check
from airflow_provider_milvus.rows.source import describe_source, fingerprint, read_rows
from airflow_provider_milvus.schema.model import Schema

pytestmark = pytest.mark.newest

FIELDS = [
    {"name": "id", "type": "INT64", "is_primary": True},
    {"name": "label", "type": "VARCHAR", "max_length": 100},
    {"name": "text", "type": "VARCHAR", "max_length": 100, "nullable": True},
    {"name": "vector", "type": "FLOAT_VECTOR", "dim": 2},
]
SCHEMA = Schema.of({"fields": FIELDS})
DYNAMIC = Schema.of({"fields": FIELDS, "enable_dynamic_field": True})

COLUMNS = {"id": "doc_id", "label": "doc_id as text", "text": "body", "vector": "embedding"}
"""``text`` in the source is something else: a field's name decides nothing."""
TABLE = {
    "doc_id": [1, 2, 3],
    "doc_id as text": ["1", "2", "3"],
    "text": [object] * 3,
    "body": ["a", "b", "c"],
    "embedding": [[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]],
    "unread": [{"x": 1}] * 3,
}
ROWS = [dict(zip(TABLE, values, strict=True)) for values in zip(*TABLE.values(), strict=True)]
JSON_ROWS = [{**row, "text": 7} for row in ROWS]
ARROW = pa.table({**TABLE, "text": [7] * 3})
EXPECTED = [
    {"id": number, "label": str(number), "text": body, "vector": [number - 1.0, float(number)]}
    for number, body in ((1, "a"), (2, "b"), (3, "c"))
]


def read(source: Any, columns: dict[str, str] | None = COLUMNS, schema: Schema = SCHEMA, batch_rows: int = 2) -> list[Any]:
    """Every row, as a task would write it: each chunk is checked, and nothing is bad."""
    rows: list[Any] = []
    for chunk in read_rows(source, schema, batch_rows=batch_rows, columns=columns):
        assert check(chunk, schema).bad == ()
        rows += [chunk.row(at) for at in range(len(chunk))]
    return [{name: it.tolist() if hasattr(it, "tolist") else it for name, it in row.items()} for row in rows]


def parquet(path: Path) -> str:
    pq.write_table(ARROW, path / "docs.parquet")
    return str(path / "docs.parquet")


def json_lines(path: Path) -> str:
    (path / "docs.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, JSON_ROWS)).encode()))
    return str(path / "docs.jsonl.gz")


def json_document(path: Path) -> str:
    (path / "docs.json").write_text(json.dumps({"rows": JSON_ROWS}))
    return str(path / "docs.json")


def csv_file(path: Path) -> list[str]:
    frame = pd.DataFrame(TABLE).assign(embedding=[json.dumps(it) for it in TABLE["embedding"]], text="7")
    frame.to_csv(path / "docs.csv", index=False)
    return [str(path / "docs.csv")]


def every_source(test: Any) -> Any:
    return pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)(test)


SOURCES: dict[str, Callable[[Path], Any]] = {
    "list of dicts": lambda _: ROWS,
    "generator": lambda _: iter(ROWS),
    "function of lists": lambda _: lambda: iter([ROWS[:2], ROWS[2:]]),
    "pandas": lambda _: pd.DataFrame(TABLE),
    "Arrow": lambda _: ARROW,
    "Arrow batch": lambda _: ARROW.to_batches()[0],
    "tables of a generator": lambda _: iter([ARROW[:1], pd.DataFrame(TABLE)[1:]]),
    "dict of lists": lambda _: TABLE,
    "dict of arrays": lambda _: {
        **TABLE,
        "doc_id": np.array(TABLE["doc_id"]),
        "doc_id as text": pa.chunked_array([["1"], ["2", "3"]]),
        "body": pd.Series(TABLE["body"], index=[7, 7, 8]),
        "embedding": np.array(TABLE["embedding"], dtype=np.float32),
    },
    "dict of other arrays": lambda _: {
        **TABLE,
        "doc_id": array.array("q", TABLE["doc_id"]),
        "doc_id as text": np.array(TABLE["doc_id as text"]),
        "body": pa.array(TABLE["body"]),
        "embedding": tuple(TABLE["embedding"]),
    },
    "function that returns a dict": lambda _: lambda: TABLE,
    "Parquet": parquet,
    "JSON Lines": json_lines,
    "JSON document": json_document,
    "CSV": csv_file,
}


@every_source
def test_the_named_columns_become_the_fields(make: Callable[[Path], Any], tmp_path: Path) -> None:
    assert read(make(tmp_path)) == EXPECTED


@every_source
def test_a_column_that_does_not_exist_is_an_error_that_names_those_that_do(make: Callable[[Path], Any], tmp_path: Path) -> None:
    with pytest.raises(MilvusInvalidArgumentError, match=r"^columns: .* has (no )?'bodi'; .* has 'doc_id', .*'unread'\."):
        read(make(tmp_path), {**COLUMNS, "text": "bodi"}, batch_rows=100)


def test_of_dicts_nothing_is_read_before_a_column_is_known_not_to_exist() -> None:
    reading = read_rows(ROWS, SCHEMA, batch_rows=100, columns={**COLUMNS, "text": "bodi"})
    with pytest.raises(MilvusInvalidArgumentError, match="no row has 'bodi'"):
        next(reading)


def test_a_row_may_lack_a_key_that_its_field_does_not_need() -> None:
    rows = [{name: value for name, value in row.items() if name != "body" or row["doc_id"] == 3} for row in ROWS]
    assert [row.get("text") for row in read(rows)] == [None, None, "c"]


def test_a_row_that_lacks_a_needed_key_is_bad_and_names_the_keys_that_it_has() -> None:
    rows = [ROWS[0], {"doc": 2, "embedding": [1.0, 2.0], "doc_id as text": "2", "body": "b"}]
    (chunk,) = read_rows(rows, SCHEMA, batch_rows=100, columns=COLUMNS)
    (bad,) = chunk.bad
    assert (bad.number, bad.field, bad.row) == (2, "id", rows[1])
    assert bad.reason == "has no 'doc_id'; it has 'doc', 'embedding', 'doc_id as text', 'body'"


@pytest.mark.parametrize(
    "source", [[], iter(()), lambda: [[]], pd.DataFrame(TABLE)[:0], ARROW[:0], {name: [] for name in TABLE}]
)
def test_a_source_without_rows_has_no_missing_columns(source: Any) -> None:
    assert read(source) == []


@pytest.mark.parametrize(
    ("columns", "schema", "message"),
    [
        ({**COLUMNS, "title": "body"}, SCHEMA, "rows bring no field 'title'; they bring 'id', 'label', 'text', 'vector'"),
        ({"id": "doc_id", "label": "body"}, SCHEMA, "there is none for 'vector', which each row needs"),
        (
            {**COLUMNS, "id": "doc_id"},
            Schema.of({"fields": [{**FIELDS[0], "auto_id": True}, *FIELDS[1:]], "enable_dynamic_field": True}),
            "rows bring no field 'id'; they bring 'label', 'text', 'vector'",
        ),
    ],
)
def test_columns_that_do_not_fit_the_collection_are_refused_before_a_row_is_read(
    columns: dict[str, str], schema: Schema, message: str
) -> None:
    def never() -> Any:
        raise AssertionError("it is not called")

    with pytest.raises(MilvusInvalidArgumentError, match=re.escape(message)):
        read(never, columns, schema)


def test_a_name_that_is_no_field_becomes_a_dynamic_value_and_one_column_may_become_several() -> None:
    columns = {**COLUMNS, "url": "body", "$meta": "unread"}
    assert read(ROWS, columns, DYNAMIC)[0] == {**EXPECTED[0], "url": "a", "$meta": {"x": 1}}


def test_a_column_that_is_not_read_is_not_converted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    converted: list[pa.Array] = []
    convert = tables._values
    monkeypatch.setattr(tables, "_values", lambda array, field: converted.append(array) or convert(array, field))
    for source in (ARROW, parquet(tmp_path)):
        converted.clear()
        assert read(source, batch_rows=100) == EXPECTED
        assert len(converted) == len(COLUMNS)


def test_parquet_reads_no_other_column_from_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = parquet(tmp_path)
    read_by = pq.ParquetFile.iter_batches
    names: list[str] = []

    def noted(self: pq.ParquetFile, **arguments: Any) -> Any:
        for batch in read_by(self, **arguments):
            names.extend(batch.schema.names)
            yield batch

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", noted)
    assert read(path, batch_rows=100) == EXPECTED
    assert sorted(names) == sorted(COLUMNS.values())


def test_without_columns_a_dict_of_columns_has_the_names_of_the_fields() -> None:
    source = {name: TABLE[column] for name, column in COLUMNS.items()}
    assert read(source, None) == EXPECTED
    assert describe_source(source) == "a dict of 4 columns"


def test_the_arrays_of_a_dict_of_columns_are_not_copied() -> None:
    vectors = np.zeros((4, 2), dtype=np.float32)
    source = {"id": np.arange(4), "label": ["a"] * 4, "vector": vectors}
    (chunk,) = read_rows(source, SCHEMA, batch_rows=100)
    assert np.shares_memory(chunk.columns["vector"], vectors)


def test_a_missing_value_in_an_array_of_a_dict_is_none() -> None:
    source = {**TABLE, "body": pd.Series([None, "b", np.nan])}
    assert [row["text"] for row in read(source)] == [None, "b", None]


def test_a_retry_with_other_columns_does_not_go_on_where_the_first_try_was(tmp_path: Path) -> None:
    path = parquet(tmp_path)
    assert fingerprint(path, COLUMNS) == fingerprint(path, dict(COLUMNS))
    assert len({fingerprint(path), fingerprint(path, COLUMNS), fingerprint(path, {**COLUMNS, "text": "doc_id as text"})}) == 3
