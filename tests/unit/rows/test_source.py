"""Rows of any source are read completely, in order, numbered and unchanged."""

from __future__ import annotations

import copy
import functools
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from airflow_provider_milvus.exceptions import MilvusConfigurationError, MilvusInvalidArgumentError
from airflow_provider_milvus.rows.chunk import Chunk
from airflow_provider_milvus.rows.json_text import read_json
from airflow_provider_milvus.rows.source import describe_source, paths_of, read_rows
from airflow_provider_milvus.schema.model import Schema

pytestmark = pytest.mark.newest

SCHEMA = Schema.of(
    {
        "fields": [
            {"name": "id", "type": "INT64", "is_primary": True},
            {"name": "text", "type": "VARCHAR", "max_length": 100},
            {"name": "year", "type": "INT32", "nullable": True},
            {"name": "price", "type": "DOUBLE"},
            {"name": "tags", "type": "ARRAY", "element_type": "INT64", "max_capacity": 10},
            {"name": "words", "type": "SPARSE_FLOAT_VECTOR"},
            {"name": "vector", "type": "FLOAT_VECTOR", "dim": 2},
        ]
    }
)


def read(source: Any, batch_rows: int = 100) -> list[Chunk]:
    return list(read_rows(source, SCHEMA, batch_rows=batch_rows))


def only(source: Any) -> Chunk:
    (chunk,) = read(source)
    return chunk


def ids(chunks: list[Chunk]) -> list[tuple[list[int], list[int]]]:
    """The row numbers and the ids of each chunk."""
    return [(list(chunk.row_numbers), list(chunk.columns["id"])) for chunk in chunks]


def told_of(chunk: Chunk) -> list[tuple[int, Any]]:
    """Each row, good or bad, by its number."""
    good = [(number, chunk.row(at)) for at, number in enumerate(chunk.row_numbers)]
    return sorted([*good, *((bad.number, bad.reason) for bad in chunk.bad)], key=lambda row: row[0])


def table_of(**columns: Any) -> pa.Table:
    return pa.table(columns)


def make_rows() -> Iterator[dict[str, Any]]:
    yield from ({"id": key} for key in range(5))


class Streams:
    """Speaks Arrow and nothing else, as polars and DuckDB do."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


FIVE = [{"id": key} for key in range(5)]
TABLE = table_of(id=list(range(5)))


@pytest.mark.parametrize(
    "source",
    [
        FIVE,
        tuple(FIVE),
        iter(FIVE),
        make_rows,
        make_rows(),
        functools.partial(list, FIVE),
        lambda: iter([FIVE[:1], FIVE[1:4], FIVE[4:]]),
        TABLE,
        TABLE.to_batches()[0],
        TABLE.to_reader(),
        Streams(TABLE),
        pa.concat_tables([TABLE[:1], TABLE[1:2], TABLE[2:]]),
        pd.DataFrame({"id": range(5)}),
        pd.DataFrame({"id": range(5)}, index=[7, 7, 7, 7, 7]),
        lambda: TABLE,
    ],
    ids=lambda source: type(source).__name__,
)
def test_every_kind_of_source_comes_in_full_chunks_numbered_from_one(source):
    assert ids(read(source, batch_rows=2)) == [([1, 2], [0, 1]), ([3, 4], [2, 3]), ([5], [4])]


def test_a_generator_may_mix_rows_lists_and_tables():
    mixed = [{"id": 0}, [{"id": 1}, {"id": 2}], table_of(id=[3, 4, 5]), pd.DataFrame({"id": [6]}), {"id": 7}]
    expected = [([1, 2], [0, 1]), ([3], [2]), ([4, 5], [3, 4]), ([6], [5]), ([7], [6]), ([8], [7])]
    assert ids(read(iter(mixed), batch_rows=2)) == expected


@pytest.mark.parametrize("source", [[], iter(()), TABLE[:0], pd.DataFrame({"id": []}), lambda: [[], []]])
def test_an_empty_source_has_no_chunk(source):
    assert read(source) == []


def test_a_key_that_a_row_lacks_is_missing_and_not_none():
    chunk = only([{"id": 1, "text": None}, {"price": 2.0, "id": 2}, {}])
    assert [chunk.row(at) for at in range(3)] == [{"id": 1, "text": None}, {"id": 2, "price": 2.0}, {}]


def test_plain_rows_of_a_list_come_as_those_of_a_generator():
    """They are taken apart a chunk at a time, and only where all of the chunk are plain."""
    rows = [{"id": 1}, {"price": 2.0, "id": 2}, {"id": 3}, "text", {"id": 5}, [{"id": 6}], {"id": 7}, {"id": 8, "text": None}]
    for batch_rows in (1, 2, 3, 9):
        of_list, of_generator = read(rows, batch_rows), read(iter(rows), batch_rows)
        assert [row for chunk in of_list for row in told_of(chunk)] == [row for chunk in of_generator for row in told_of(chunk)]


def test_an_item_that_is_no_row_is_a_bad_row_in_its_place():
    (chunk,) = read([{"id": 1}, "text", None, {"id": 4}, 7, [1, 2]])
    assert ids([chunk]) == [([1, 4], [1, 4])]
    assert [(row.number, row.reason) for row in chunk.bad] == [
        (2, "is of type str, not a dict"),
        (3, "is of type NoneType, not a dict"),
        (5, "is of type int, not a dict"),
        (6, "is a list of values, not a dict of fields and values"),
    ]
    assert chunk.bad[0].row == "text"


@pytest.mark.parametrize("row", [("id", [0.1, 0.2], {"a": 1}), ["id", [0.1, 0.2], {"a": 1}], (7, "text"), [None, None]])
def test_a_row_of_values_without_their_names_is_one_bad_row(row):
    """As a database's cursor gives them."""
    (chunk,) = read(iter([{"id": 1}, row, {"id": 3}]))
    assert ids([chunk]) == [([1, 3], [1, 3])]
    assert [(bad.number, bad.reason) for bad in chunk.bad] == [
        (2, f"is a {type(row).__name__} of values, not a dict of fields and values")
    ]


def test_bad_rows_fill_a_chunk_too():
    """A source with many bad rows must not fill the memory."""
    assert [len(chunk.bad) for chunk in read(iter([None] * 5), batch_rows=2)] == [2, 2, 1]


def test_a_generator_may_fill_the_same_dict_again():
    def rows():
        row = {}
        for key in range(3):
            row["id"] = key
            yield row

    assert ids(read(rows)) == [([1, 2, 3], [0, 1, 2])]


def test_one_chunk_is_read_at_a_time_and_none_before_it_is_requested():
    given = []

    def rows():
        for key in range(10):
            given.append(key)
            yield {"id": key}

    reading = read_rows(rows, SCHEMA, batch_rows=3)
    assert given == []
    next(reading)
    assert given == [0, 1, 2]


def test_a_source_that_fails_raises_its_own_error_with_the_last_row_number():
    def rows():
        yield from FIVE
        raise KeyError("the database went away")

    reading = read_rows(rows, SCHEMA, batch_rows=2)
    assert ids([next(reading), next(reading)]) == [([1, 2], [0, 1]), ([3, 4], [2, 3])]
    with pytest.raises(KeyError, match="the database went away") as caught:
        next(reading)
    assert caught.value.__notes__ == ["The rows had been read up to row 5."]


PREPARED = {"files": [["/x/1.parquet"], ["/x/2.parquet"]], "path": "/x", "rows": 2, "refused": 0, "seconds": 0.1}


@pytest.mark.parametrize(
    ("source", "paths"),
    [
        ("/x/1.parquet", ["/x/1.parquet"]),
        (["/x/1.parquet", "/x/2.parquet"], PREPARED["files"]),
        (PREPARED["files"], PREPARED["files"]),
        (PREPARED, PREPARED["files"]),
        ([PREPARED, PREPARED["files"]], [*PREPARED["files"], *PREPARED["files"]]),
        ({**PREPARED, "urls": [["s3://b/1.json"]]}, [["s3://b/1.json"]]),
        ({**PREPARED, "files": []}, []),
        ([{**PREPARED, "files": []}, PREPARED], PREPARED["files"]),
        ([{**PREPARED, "files": []}], []),
        (deque([PREPARED, PREPARED]), [*PREPARED["files"], *PREPARED["files"]]),
        (deque([[["/x/1.parquet"]], ["/x/2.parquet"]]), PREPARED["files"]),
        (deque([[{"id": 1}], []]), None),
        ([{"id": 1, "files": ["/x/1.parquet"]}], None),
        ([[{"id": 1}]], None),
        ([("/x/1.parquet", {"id": 1})], None),
        ([], None),
    ],
)
def test_paths_may_stand_in_lists_as_the_prepare_task_returns_them(source, paths):
    flat = None if paths is None else [path for group in paths for path in ([group] if isinstance(group, str) else group)]
    assert paths_of(source) == flat


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, "a value of type NoneType has no rows"),
        (5, "of type int has no rows"),
        (b"rows", "of type bytes has no rows"),
        ({"id": 1, "vector": [1, 2]}, "'id' of the dict is of type int, .* single row, put it into a list"),
        ({"id": [1], "text": ["a", "b"]}, "different numbers of values: 'id' has 1, 'text' has 2"),
        (lambda: None, "returned None"),
        (lambda: make_rows, "returned a function"),
        ("documents", "'documents' is not a path"),
        ("", "is not the path"),
        ("one\ntwo.csv", "is not the path"),
        ("[{'id': 1}]", "render_template_as_native_obj"),
        (["a.csv", {"id": 1}], "the list of paths holds something of type dict"),
        (pd.Series([1, 2]), "of type Series is not a table"),
        (pa.array([1, 2]), "of type Int64Array is not a table"),
        (pd.DataFrame([[1, 2]], columns=["id", "id"]), "two columns named 'id'"),
        (pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["id", "id"]), "two columns named 'id'"),
    ],
)
def test_a_value_that_is_no_source_is_refused_with_its_type(source, message):
    with pytest.raises(MilvusInvalidArgumentError, match=message):
        read(source)


async def test_an_asynchronous_source_is_refused():
    async def rows():
        yield {"id": 1}

    with pytest.raises(MilvusInvalidArgumentError, match="asynchronous"):
        read(rows)


def test_without_pyarrow_an_arrow_table_names_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MilvusConfigurationError, match=r"pip install 'airflow-provider-milvus\[bulk\]'"):
        read(Streams(TABLE))
    assert ids(read(pd.DataFrame({"id": [1]}))) == [([1], [1])]


# Columns of tables


def fixed(rows: list[Any], dim: int = 2) -> pa.Array:
    return pa.array(rows, pa.list_(pa.float32(), dim))


@pytest.mark.parametrize(
    "vectors",
    [
        fixed([[1, 2], [3, 4], [5, 6]]),
        pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.float32())),
        pa.array([[1, 2], [3, 4], [5, 6]], pa.large_list(pa.float64())),
        fixed([[0, 0], [1, 2], [3, 4], [5, 6]])[1:],
        pa.array([[9], [1, 2], [3, 4], [5, 6]], pa.list_(pa.float32()))[1:],
        pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.float32(), [2]), fixed([[1, 2], [3, 4], [5, 6]])),
    ],
    ids=lambda array: str(array.type),
)
def test_vectors_of_one_length_are_an_array_of_two_dimensions(vectors):
    array = only(table_of(vector=vectors)).columns["vector"]
    assert isinstance(array, np.ndarray)
    assert array.tolist() == [[1, 2], [3, 4], [5, 6]]


def test_vectors_are_not_copied():
    memory = np.arange(6, dtype=np.float32)
    table = table_of(vector=pa.FixedSizeListArray.from_arrays(pa.array(memory), 2))
    assert np.shares_memory(only(table).columns["vector"], memory)


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float32(), 2)], ids=str)
def test_a_vector_that_is_null_is_none(kind):
    vectors = only(table_of(vector=pa.array([None, [1, 2], None, [3, 4]], kind))).columns["vector"]
    assert [None if vector is None else list(vector) for vector in vectors] == [None, [1, 2], None, [3, 4]]


def test_vectors_of_different_lengths_stay_apart():
    vectors = only(table_of(vector=pa.array([[1.0], [2.0, 3.0], [], [4.0]]))).columns["vector"]
    assert [vector.tolist() for vector in vectors] == [[1], [2, 3], [], [4]]


def test_a_null_within_a_vector_is_none_for_the_check_to_refuse():
    assert only(table_of(vector=pa.array([[1.0, None]]))).columns["vector"] == [[1.0, None]]


def test_lists_that_are_no_vectors_are_plain_lists():
    chunk = only(table_of(tags=[[1, 2], [3, 4]], extra=[[1.5], [2.5]]))
    assert chunk.columns == {"tags": [[1, 2], [3, 4]], "extra": [[1.5], [2.5]]}


def test_numbers_are_arrays_and_nulls_make_them_lists():
    chunk = only(table_of(id=[1, 2], price=[1.5, float("nan")], year=[None, 3], flag=[True, False]))
    assert {name: type(column) for name, column in chunk.columns.items()} == {
        "id": np.ndarray,
        "price": np.ndarray,
        "year": list,
        "flag": np.ndarray,
    }
    assert chunk.columns["year"] == [None, 3]
    assert chunk.columns["flag"].tolist() == [True, False]
    assert np.isnan(chunk.columns["price"][1])


@pytest.mark.parametrize(
    "texts",
    [
        pa.array(["a", None, "ä"], pa.large_string()),
        pa.array(["a", None, "ä"], pa.string_view()),
        pa.array(["a", None, "ä"]).dictionary_encode(),
        # A polars Categorical.
        pa.DictionaryArray.from_arrays(pa.array([0, None, 1], pa.uint32()), pa.array(["a", "ä"], pa.string_view())),
    ],
    ids=lambda array: str(array.type),
)
def test_text_is_text_whatever_arrows_type(texts):
    assert only(table_of(text=texts)).columns["text"] == ["a", None, "ä"]


def test_dictionaries_of_numbers_are_numbers():
    years = pa.array([2000, 2001, 2000]).dictionary_encode()
    assert only(table_of(year=years)).columns["year"].tolist() == [2000, 2001, 2000]


PAIRS = pa.map_(pa.string(), pa.int64())
MAPS = {
    "alone": (pa.array([[("a", 1), ("b", 2)], [], None], PAIRS), [{"a": 1, "b": 2}, {}, None]),
    "in a struct": (pa.array([{"n": [("a", 1)]}], pa.struct([("n", PAIRS)])), [{"n": {"a": 1}}]),
    "in a list": (pa.array([[[("a", 1)], []]], pa.list_(PAIRS)), [[{"a": 1}, {}]]),
}


@pytest.mark.parametrize("where", MAPS)
def test_a_map_is_a_dict_wherever_it_stands(where):
    """As Parquet, pandas and JSON mean it."""
    values, dicts = MAPS[where]
    assert only(table_of(more=values)).columns["more"] == dicts


def test_a_map_with_a_key_twice_is_refused():
    table = table_of(more=pa.array([[("a", 1), ("a", 2)]], PAIRS))
    with pytest.raises(MilvusInvalidArgumentError, match="a map in the table has a key twice"):
        only(table)


@pytest.mark.parametrize("text", ['{"n": 12345678901234567890123}', b'{"n": 12345678901234567890123}'])
def test_a_large_integer_in_json_stays_one(text):
    """As a float it would be another number; the check names it instead."""
    assert read_json(text) == {"n": 12345678901234567890123}


def test_what_pandas_calls_missing_in_a_dynamic_value_is_none():
    frame = pd.DataFrame({"id": [1, 2], "discount": [1.5, None]})
    assert only(frame).columns["discount"] == [1.5, None]


def test_a_value_that_pandas_calls_missing_is_none():
    frame = pd.DataFrame(
        {
            "text": ["a", None, np.nan],
            "year": [2000.0, np.nan, 2002.0],
            "when": pd.to_datetime(["2024-01-01", None, None]),
            "whole": pd.array([1, None, 3], dtype="Int64"),
            "kind": pd.Categorical(["x", None, "x"]),
        }
    )
    columns = only(frame).columns
    assert columns["text"] == ["a", None, None]
    assert columns["year"] == [2000.0, None, 2002.0]
    assert columns["when"] == [pd.Timestamp("2024-01-01"), None, None]
    assert columns["whole"] == [1, None, 3]
    assert columns["kind"] == ["x", None, "x"]


def test_nan_in_a_field_that_needs_a_number_stays_for_the_check_to_name():
    prices = only(pd.DataFrame({"price": [1.5, np.nan]})).columns["price"]
    assert isinstance(prices, np.ndarray)
    assert np.isnan(prices[1])


def test_the_callers_data_is_as_it_was():
    rows = [{"id": 1, "tags": [1], "vector": np.array([1.0, 2.0])}, {"id": 2}]
    frame = pd.DataFrame({"id": [1, 2], "text": ["a", None], "year": [1.0, np.nan]})
    before_rows, before_frame = copy.deepcopy(rows), frame.copy(deep=True)
    read(rows)
    read(frame)
    assert repr(rows) == repr(before_rows)
    pd.testing.assert_frame_equal(frame, before_frame)


# How a source is described


def test_a_query_is_not_run_to_describe_it():
    class Relation(Streams):
        def __len__(self) -> int:
            raise AssertionError("this runs the query")

    relation = Relation(TABLE)
    assert describe_source(relation).endswith("Relation")
    assert ids(read(relation)) == [([1, 2, 3, 4, 5], [0, 1, 2, 3, 4])]


@pytest.mark.parametrize(
    ("source", "description"),
    [
        (FIVE, "a list of 5 rows"),
        (TABLE, "a pyarrow Table of 5 rows"),
        (TABLE.to_reader(), "a pyarrow RecordBatchReader"),
        (pd.DataFrame({"id": [1]}), "a pandas DataFrame of 1 rows"),
        (make_rows, "the rows of function make_rows"),
        (functools.partial(functools.partial(make_rows)), "the rows of function make_rows"),
        (make_rows(), "the rows of generator make_rows"),
        (iter(FIVE), "the rows of a list_iterator"),
        ("/data/docs.parquet", "the Parquet file /data/docs.parquet"),
        ("/data/docs.csv.gz", "the CSV file /data/docs.csv.gz"),
        ("/data/*.jsonl", "the JSON Lines files at /data/*.jsonl"),
        ("/data", "the data files at /data"),
        (["/data/a.csv"], "the CSV file /data/a.csv"),
        (["/data/a.csv", "/data/b.csv"], "2 paths from /data/a.csv on"),
        ("s3://me:secret@bucket/a.csv", "the CSV file s3://bucket/a.csv"),
        (["https://me:secret@host/a.csv?sig=secret#secret", "b.csv"], "2 paths from https://host/a.csv?… on"),
        ("simplecache::https://token@host/a.csv?sig=secret", "the CSV file simplecache::https://host/a.csv?…"),
        ("s3://bucket/me@home/a.csv", "the CSV file s3://bucket/me@home/a.csv"),
    ],
)
def test_a_source_is_described_without_its_secrets(source, description):
    assert describe_source(source) == description
