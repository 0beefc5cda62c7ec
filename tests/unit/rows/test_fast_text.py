"""The quick ways through CSV and JSON Lines bring what the slow ones bring."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st

from airflow_provider_milvus.rows.csv_text import csv_rows
from airflow_provider_milvus.rows.json_text import compacted, read_json, read_row
from airflow_provider_milvus.rows.pieces import UnreadableRow
from airflow_provider_milvus.rows.renaming import Renaming
from airflow_provider_milvus.schema.model import Schema

pytestmark = pytest.mark.newest

SCHEMA = Schema.of(
    {
        "fields": [
            {"name": "a", "type": "VARCHAR", "max_length": 9, "is_primary": True},
            {"name": "vector", "type": "FLOAT_VECTOR", "dim": 2, "nullable": True},
        ]
    }
)
NUMBERS = st.floats(allow_infinity=False, allow_nan=False) | st.integers(-(2**70), 2**70)
VALUES = st.recursive(NUMBERS | st.text(max_size=3) | st.booleans() | st.none(), lambda inner: st.lists(inner, max_size=3))


def as_the_module_reads(text: str) -> list[Any]:
    reader = csv.reader(io.StringIO(text, newline="\n"), strict=True)
    rows: list[Any] = []
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return rows
        except csv.Error as error:
            rows.append(str(error))
        else:
            if cells:
                rows.append(cells if len(cells) == 2 else f"has {len(cells)} values")


@settings(max_examples=500, deadline=None)
@given(st.text(alphabet='a,"\n\r ü\0', max_size=14))
@example('"a",""""')
@example('"",a\n')
@example('a"b"c,d\n')
@example('"a" ,b\n')
@example('"a\nb",c\n"d"\n')
def test_csv_is_split_as_the_csv_module_does(text):
    lines = io.BytesIO(f"a,b\n{text}".encode())
    read = list(csv_rows(iter(lines.readline, b""), "docs.csv", SCHEMA, Renaming(None, SCHEMA)))
    expected = as_the_module_reads(text)
    assert len(read) == len(expected)
    for row, cells in zip(read, expected, strict=True):
        if isinstance(row, UnreadableRow):
            assert isinstance(cells, str)
            assert cells in row.reason
        else:
            assert list(row.values()) == cells


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(["id", "vector", "meta"]), VALUES | st.lists(NUMBERS, max_size=4)))
@example({"id": -(2**63) - 1})
@example({"meta": [[2**64]]})
@example({"vector": [True, 0.5]})
@example({"vector": [10**400]})
def test_a_row_of_json_is_what_json_reads(row):
    read = read_row(json.dumps(row).encode(), ["vector"])
    vector = read.get("vector")
    if isinstance(vector, np.ndarray):
        assert vector.tolist() == list(map(float, row["vector"]))
        read["vector"] = row["vector"]
    assert repr(read) == repr(read_json(json.dumps(row))) == repr(row)


@pytest.mark.parametrize("value", [[True, 1.0], [None], ["1"], [[1.0]], (1.0,), 1.0, None, {"a": 1}, [10**400]])
def test_only_a_list_of_numbers_is_compacted(value):
    assert compacted(value) is value


def test_a_number_of_a_vector_keeps_its_last_bit():
    numbers = [0.1, -0.0, 5e-324, 1.7976931348623157e308, math.nan, math.inf]
    assert compacted(numbers).tobytes() == np.array(numbers).tobytes()
