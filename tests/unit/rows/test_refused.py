"""Refused rows are counted and written with their reasons, and nothing of a row keeps it from being written."""

from __future__ import annotations

import gzip
import json
import math
from datetime import date
from decimal import Decimal
from typing import Any

import fsspec
import numpy as np
import pytest

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.rows.chunk import BadRow
from airflow_provider_milvus.rows.refused import RefusedRows
from airflow_provider_milvus.rows.source import read_rows
from airflow_provider_milvus.schema.model import Schema

pytestmark = pytest.mark.newest


def bad(number: int, row: Any = "{", field: str | None = None) -> BadRow:
    return BadRow(number, "is no good", row, field)


def lines(content: bytes) -> list[dict[str, Any]]:
    def never(said: str) -> None:
        raise AssertionError(f"{said} is no JSON")

    return [json.loads(each, parse_constant=never) for each in content.splitlines()]


def test_each_refused_row_is_a_line_with_its_reason(tmp_path):
    path = tmp_path / "refused.jsonl"
    with RefusedRows(path) as refused:
        refused.add([bad(3, {"id": 1, "vector": [1.0]}, "vector")])
        refused.add([])
        refused.add([bad(5), bad(6, "ä\n")])
    assert lines(path.read_bytes()) == [
        {"row": 3, "field": "vector", "reason": "is no good", "data": {"id": 1, "vector": [1.0]}},
        {"row": 5, "field": None, "reason": "is no good", "data": "{"},
        {"row": 6, "field": None, "reason": "is no good", "data": "ä\n"},
    ]
    assert refused.count == 3


def test_a_row_is_there_as_soon_as_it_is_added(tmp_path):
    """A worker that is killed leaves what it had refused."""
    path = tmp_path / "deeper" / "refused.jsonl"
    with RefusedRows(str(path)) as refused:
        refused.add([bad(1)])
        assert [each["row"] for each in lines(path.read_bytes())] == [1]


def test_nothing_is_created_when_nothing_is_refused(tmp_path):
    with RefusedRows(tmp_path / "deeper" / "refused.jsonl") as refused:
        refused.add(())
    assert refused.count == 0
    assert list(tmp_path.iterdir()) == []


def test_a_retry_replaces_the_file_of_the_try_before(tmp_path):
    path = tmp_path / "refused.jsonl"
    for numbers in ([1, 2, 3], [2]):
        with RefusedRows(path) as refused:
            refused.add(map(bad, numbers))
    assert [each["row"] for each in lines(path.read_bytes())] == [2]


def test_what_was_refused_before_an_error_is_kept(tmp_path):
    path = tmp_path / "refused.jsonl.gz"

    def fail():
        with RefusedRows(path) as refused:
            refused.add([bad(1)])
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [each["row"] for each in lines(gzip.decompress(path.read_bytes()))] == [1]


@pytest.mark.parametrize("packed", [False, True])
def test_object_storage_has_the_file_when_it_is_closed(packed):
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    url = f"memory://bucket/refused.jsonl{'.gz' if packed else ''}"
    with RefusedRows(url) as refused:
        for number in range(1000):
            refused.add([bad(number)])
    content = fs.cat(url)
    assert [each["row"] for each in lines(gzip.decompress(content) if packed else content)] == list(range(1000))


def test_without_a_path_they_are_only_counted():
    with RefusedRows() as refused:
        refused.add(map(bad, range(1, 9)))
    assert refused.count == 8
    assert [each.number for each in refused.first] == [1, 2, 3, 4, 5]
    assert str(refused).startswith("row 1: is no good; row 2: is no good; ")
    assert str(refused).endswith("row 5: is no good; and 3 more")


@pytest.mark.parametrize("path", ["skpi", "Fail", "/data/docs.parquet", "docs.csv", "", 3, ["refused.jsonl"]])
def test_what_is_no_path_for_them_is_refused_at_once(path):
    with pytest.raises(MilvusInvalidArgumentError, match="neither 'fail' nor 'skip' nor a path"):
        RefusedRows(path)


class Odd:
    def __repr__(self) -> str:
        return "<odd>"


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (np.array([1.5, 2.5], dtype=np.float32), [1.5, 2.5]),
        (np.int64(3), 3),
        (np.bool_(True), True),
        ((1, 2), [1, 2]),
        (b"\x00\xff", [0, 255]),
        (memoryview(b"\x01"), [1]),
        ({7: 0.5}, {"7": 0.5}),
        ({(1, 2): {3}}, {"[1, 2]": "{3}"}),
        ([math.nan, math.inf], ["nan", "inf"]),
        (np.array([math.nan]), ["nan"]),
        (np.float32(math.inf), "inf"),
        (10**30, 10**30),
        (Decimal("1.5"), "Decimal('1.5')"),
        (date(2024, 1, 2), "datetime.date(2024, 1, 2)"),
        ("half \ud800", "half \ud800"),
        ("two\nlines", "two\nlines"),
        (Odd(), "<odd>"),
        (None, None),
    ],
)
def test_any_value_can_be_written(tmp_path, value, written):
    path = tmp_path / "refused.jsonl"
    with RefusedRows(path) as refused:
        refused.add([bad(1, {"value": value})])
    (line,) = lines(path.read_bytes())
    assert line["data"] == {"value": written}


def test_even_a_value_that_holds_itself_can_be_written(tmp_path):
    path = tmp_path / "refused.jsonl"
    with RefusedRows(path) as refused:
        refused.add([bad(1, {"value": CIRCLE}), bad(2)])
    assert [each["data"] for each in lines(path.read_bytes())] == ["{'value': [[...]]}", "{"]


def test_rows_that_were_mended_can_be_read_again(tmp_path):
    """What stands under ``data`` is a row as the JSON Lines reader takes it."""
    schema = Schema.of(
        {"fields": [{"name": "id", "type": "INT64", "is_primary": True}, {"name": "vector", "type": "FLOAT_VECTOR", "dim": 2}]}
    )
    path, mended = tmp_path / "refused.jsonl", tmp_path / "mended.jsonl"
    with RefusedRows(path) as refused:
        refused.add([bad(1, {"id": 1, "vector": np.array([0.5, 0.25])})])
    mended.write_text("\n".join(json.dumps(each["data"]) for each in lines(path.read_bytes())))
    (chunk,) = read_rows(mended, schema, batch_rows=10)
    assert chunk.row(0) == {"id": 1, "vector": [0.5, 0.25]}
