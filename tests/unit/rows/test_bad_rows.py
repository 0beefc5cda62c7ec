"""Bad rows are counted and written with their reasons, whatever values they hold."""

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
from airflow_provider_milvus.rows.bad_rows import BadRows
from airflow_provider_milvus.rows.chunk import BadRow
from airflow_provider_milvus.rows.source import read_rows
from airflow_provider_milvus.schema.model import Schema

pytestmark = pytest.mark.newest


def bad(number: int, row: Any = "{", field: str | None = None) -> BadRow:
    return BadRow(number, "is no good", row, field)


def lines(content: bytes) -> list[dict[str, Any]]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in content.splitlines()]


def test_each_bad_row_is_a_line_with_its_reason(tmp_path):
    path = tmp_path / "bad.jsonl"
    with BadRows(path) as bad_rows:
        bad_rows.add([bad(3, {"id": 1, "vector": [1.0]}, "vector")])
        bad_rows.add([])
        bad_rows.add([bad(5), bad(6, "ä\n")])
    assert lines(path.read_bytes()) == [
        {"row": 3, "field": "vector", "reason": "is no good", "data": {"id": 1, "vector": [1.0]}},
        {"row": 5, "field": None, "reason": "is no good", "data": "{"},
        {"row": 6, "field": None, "reason": "is no good", "data": "ä\n"},
    ]
    assert bad_rows.count == 3


def test_a_row_is_there_as_soon_as_it_is_added(tmp_path):
    """A worker that is killed leaves the bad rows until then."""
    path = tmp_path / "deeper" / "bad.jsonl"
    with BadRows(str(path)) as bad_rows:
        bad_rows.add([bad(1)])
        assert [line["row"] for line in lines(path.read_bytes())] == [1]


def test_no_file_is_created_without_a_bad_row(tmp_path):
    with BadRows(tmp_path / "deeper" / "bad.jsonl") as bad_rows:
        bad_rows.add(())
    assert bad_rows.count == 0
    assert list(tmp_path.iterdir()) == []


def test_a_retry_replaces_the_file_of_the_try_before(tmp_path):
    path = tmp_path / "bad.jsonl"
    for numbers in ([1, 2, 3], [2]):
        with BadRows(path) as bad_rows:
            bad_rows.add(map(bad, numbers))
    assert [line["row"] for line in lines(path.read_bytes())] == [2]


def test_bad_rows_before_an_error_are_kept(tmp_path):
    path = tmp_path / "bad.jsonl.gz"

    def fail():
        with BadRows(path) as bad_rows:
            bad_rows.add([bad(1)])
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [line["row"] for line in lines(gzip.decompress(path.read_bytes()))] == [1]


@pytest.mark.parametrize("packed", [False, True])
def test_object_storage_has_the_file_when_it_is_closed(packed):
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    url = f"memory://bucket/bad.jsonl{'.gz' if packed else ''}"
    with BadRows(url) as bad_rows:
        for number in range(1000):
            bad_rows.add([bad(number)])
    content = fs.cat(url)
    assert [line["row"] for line in lines(gzip.decompress(content) if packed else content)] == list(range(1000))


def test_without_a_path_they_are_only_counted():
    with BadRows() as bad_rows:
        bad_rows.add(map(bad, range(1, 9)))
    assert bad_rows.count == 8
    assert [row.number for row in bad_rows.first] == [1, 2, 3, 4, 5]
    assert str(bad_rows).startswith("row 1: is no good; row 2: is no good; ")
    assert str(bad_rows).endswith("row 5: is no good; and 3 more")


@pytest.mark.parametrize("path", ["skpi", "Fail", "/data/docs.parquet", "docs.csv", "", 3, ["bad.jsonl"]])
def test_a_value_that_is_no_path_for_them_is_refused_at_once(path):
    with pytest.raises(MilvusInvalidArgumentError, match="neither 'fail' nor 'skip' nor a path"):
        BadRows(path)


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
    path = tmp_path / "bad.jsonl"
    with BadRows(path) as bad_rows:
        bad_rows.add([bad(1, {"value": value})])
    (line,) = lines(path.read_bytes())
    assert line["data"] == {"value": written}


def test_even_a_value_that_holds_itself_can_be_written(tmp_path):
    path = tmp_path / "bad.jsonl"
    with BadRows(path) as bad_rows:
        bad_rows.add([bad(1, {"value": CIRCLE}), bad(2)])
    assert [line["data"] for line in lines(path.read_bytes())] == ["{'value': [[...]]}", "{"]


def test_corrected_rows_can_be_read_again(tmp_path):
    """The value of ``data`` is a row that the JSON Lines reader accepts."""
    schema = Schema.of(
        {"fields": [{"name": "id", "type": "INT64", "is_primary": True}, {"name": "vector", "type": "FLOAT_VECTOR", "dim": 2}]}
    )
    path, corrected = tmp_path / "bad.jsonl", tmp_path / "corrected.jsonl"
    with BadRows(path) as bad_rows:
        bad_rows.add([bad(1, {"id": 1, "vector": np.array([0.5, 0.25])})])
    corrected.write_text("\n".join(json.dumps(line["data"]) for line in lines(path.read_bytes())))
    (chunk,) = read_rows(corrected, schema, batch_rows=10)
    assert {name: np.asarray(value).tolist() for name, value in chunk.row(0).items()} == {"id": 1, "vector": [0.5, 0.25]}
