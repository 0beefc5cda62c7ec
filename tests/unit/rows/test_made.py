"""Columns made of others: the same text or number for the same values, and a bad row where there is none."""

from __future__ import annotations

import hashlib
import uuid
from datetime import date
from typing import Any

import numpy
import pytest
from hypothesis import given, strategies as st

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.rows.chunk import MISSING, BadRow, Chunk
from airflow_provider_milvus.rows.made import Made, plain, with_made

pytestmark = pytest.mark.newest


def made(text: str, *rows: dict[str, Any], name: str = "id", **how: Any) -> Chunk:
    names = dict.fromkeys(key for row in rows for key in row)
    columns = {key: [row.get(key, MISSING) for row in rows] for key in names}
    before = {key: list(column) for key, column in columns.items()}
    (chunk,) = with_made([Chunk(range(1, len(rows) + 1), columns)], {name: Made.of("key", text, **how)})
    assert columns == before
    return chunk


def test_what_other_programs_make_as_well() -> None:
    text = '["wiki",7]'
    row = {"source": "wiki", "chunk": 7}
    digest = hashlib.sha256(text.encode())

    assert made("uuid5(source, chunk)", row).columns["id"] == [str(uuid.uuid5(uuid.NAMESPACE_URL, text))]
    assert made("sha256(source,chunk)", row).columns["id"] == [digest.hexdigest()]
    assert made(" int64 ( source , chunk ) ", row).columns["id"] == [int(digest.hexdigest()[:16], 16) // 2]


@given(st.lists(st.tuples(st.text(), st.text() | st.integers()), min_size=2, max_size=2, unique=True))
def test_other_values_make_another_key(pair: list[tuple[Any, Any]]) -> None:
    try:
        keys = [Made.of("key", "uuid5(a, b)").value(values) for values in pair]
    except ValueError:
        assert any("\ud800" <= character <= "\udfff" for values in pair for value in values for character in str(value))
    else:
        assert keys[0] != keys[1]


def test_how_a_table_holds_a_value_makes_no_difference() -> None:
    function = Made.of("key", "int64(a)")

    assert len({function.value([value]) for value in (3, 3.0, numpy.int32(3), numpy.float64(3.0))}) == 1
    assert function.value([date(2026, 5, 20)]) == function.value(["2026-05-20"])
    assert function.value(["3"]) != function.value([3])
    assert type(plain(numpy.float32(2.0))) is int


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"source": "wiki"}, "is made of 'chunk', which is missing"),
        ({"source": "wiki", "chunk": None}, "is made of 'chunk', which is None"),
        ({"source": "wiki", "chunk": float("nan")}, "cannot be made of source, chunk: "),
        ({"source": "\ud800", "chunk": 1}, "cannot be made of source, chunk: "),
        ({"source": b"wiki", "chunk": 1}, "cannot be made of source, chunk: a value is of type bytes"),
        ({"id": 9, "source": "wiki", "chunk": 1}, "is made of other columns, and the row brings it as well"),
    ],
)
def test_a_row_without_such_values_is_bad_and_the_others_are_not(row: dict[str, Any], reason: str) -> None:
    good = {"source": "wiki", "chunk": 2}

    chunk = made("uuid5(source, chunk)", row, good)

    (bad,) = chunk.bad
    assert isinstance(bad, BadRow)
    assert (bad.number, bad.field, bad.row) == (1, "id", row)
    assert bad.reason.startswith(reason)
    assert (list(chunk.row_numbers), chunk.columns["source"]) == ([2], ["wiki"])
    assert chunk.columns["id"] == made("uuid5(source, chunk)", good).columns["id"]


def test_a_hash_takes_none_but_no_missing_column() -> None:
    chunk = made("sha256(title)", {"title": None}, {"text": "x"}, takes_none=True)

    assert chunk.columns["id"] == [hashlib.sha256(b"[null]").hexdigest()]
    assert [row.reason for row in chunk.bad] == ["is made of 'title', which is missing"]


def test_arrays_of_a_table_are_cut_as_well() -> None:
    columns = {"n": [1, None, 3], "vector": numpy.arange(6.0).reshape(3, 2)}
    (chunk,) = with_made([Chunk(range(5, 8), columns)], {"id": Made.of("key", "int64(n)")})

    assert list(chunk.row_numbers) == [5, 7]
    assert chunk.columns["vector"].tolist() == [[0.0, 1.0], [4.0, 5.0]]


@pytest.mark.parametrize(
    "text", ["uuid5", "uuid5()", "uuid4(a)", "uuid5(a,)", "uuid5(a, a)", "uuid5(a)(b)", "md5(a)", 7, "(a)"]
)
def test_what_is_no_such_function_is_refused(text: Any) -> None:
    with pytest.raises(MilvusInvalidArgumentError, match=r"^key must be one of uuid5, sha256, int64 of one or more columns"):
        Made.of("key", text)
