"""The same rows arrive equal, whichever kind of source they come from."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from pyarrow import parquet

from airflow_provider_milvus.rows.source import read_rows
from airflow_provider_milvus.schema.model import Schema

pytestmark = pytest.mark.newest

SCHEMA = Schema.of(
    {
        "fields": [
            {"name": "id", "type": "INT64", "is_primary": True},
            {"name": "text", "type": "VARCHAR", "max_length": 100},
            {"name": "year", "type": "INT64", "nullable": True},
            {"name": "price", "type": "DOUBLE", "nullable": True},
            {"name": "flag", "type": "BOOL", "nullable": True},
            {"name": "meta", "type": "JSON", "nullable": True},
            {"name": "tags", "type": "ARRAY", "element_type": "VARCHAR", "max_capacity": 10, "max_length": 10},
            {"name": "words", "type": "SPARSE_FLOAT_VECTOR"},
            {"name": "vector", "type": "FLOAT_VECTOR", "dim": 3},
        ]
    }
)
ARROW = pa.schema(
    {
        "id": pa.int64(),
        "text": pa.string(),
        "year": pa.int64(),
        "price": pa.float64(),
        "flag": pa.bool_(),
        "meta": pa.string(),
        "tags": pa.list_(pa.string()),
        "words": pa.map_(pa.int64(), pa.float32()),
        "vector": pa.list_(pa.float32(), 3),
    }
)

ROW_NAMES = tuple(ARROW.names)
WHOLE = st.integers(-(2**63), 2**63 - 1)
SINGLE = st.floats(width=32, allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(codec="utf-8"), max_size=6)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), WHOLE, st.floats(allow_nan=False, allow_infinity=False), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)
ROW = st.fixed_dictionaries(
    {
        "id": WHOLE,
        "text": TEXT,
        "year": st.none() | WHOLE,
        "price": st.none() | st.floats(allow_nan=False),
        "flag": st.none() | st.booleans(),
        "meta": st.none() | st.dictionaries(TEXT, JSON, max_size=3),
        "tags": st.lists(TEXT, max_size=3),
        "words": st.dictionaries(st.integers(0, 2**32 - 2), SINGLE, min_size=1, max_size=3),
        "vector": st.lists(SINGLE, min_size=3, max_size=3),
    }
)
ROWS = st.lists(ROW, min_size=1, max_size=7)


def plain(name: str, value: Any) -> Any:
    """A value without the differences that the form of a source makes."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if name == "meta" and isinstance(value, str):
        return json.loads(value)
    if name == "words" and value is not None:
        return {int(index): number for index, number in dict(value).items()}
    return value


def read(source: Any, batch_rows: int) -> list[dict[str, Any]]:
    rows = []
    for chunk in read_rows(source, SCHEMA, batch_rows=batch_rows):
        assert not chunk.bad
        assert 0 < len(chunk) <= batch_rows
        assert list(chunk.row_numbers) == list(range(len(rows) + 1, len(rows) + len(chunk) + 1))
        for position in range(len(chunk)):
            row = dict.fromkeys(ROW_NAMES) | chunk.row(position)
            rows.append({name: plain(name, value) for name, value in row.items()})
    return rows


def arrow(rows: list[dict[str, Any]]) -> pa.Table:
    texts = [{**row, "meta": None if row["meta"] is None else json.dumps(row["meta"])} for row in rows]
    return pa.Table.from_pylist([{**row, "words": list(row["words"].items())} for row in texts], ARROW)


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(ROW_NAMES)
        for row in rows:
            texts = {name: json.dumps(row[name]) for name in ("tags", "words", "vector")}
            texts |= {"meta": None if row["meta"] is None else json.dumps(row["meta"])}
            writer.writerow([(row | texts)[name] for name in ROW_NAMES])
    return path


@given(ROWS, st.integers(1, 8))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_arrive_equal_from_every_source(tmp_path, rows, batch_rows):
    table = arrow(rows)
    frame = pd.DataFrame({name: pd.Series([row[name] for row in rows], dtype=object) for name in ROW_NAMES})
    parquet.write_table(table, tmp_path / "rows.parquet", row_group_size=2)
    (tmp_path / "rows.jsonl").write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), "utf-8")
    sources = {
        "list": rows,
        "generator": lambda: iter(rows),
        "arrow": table,
        "pandas": frame,
        "parquet": tmp_path / "rows.parquet",
        "json lines": tmp_path / "rows.jsonl",
        "csv": write_csv(tmp_path / "rows.csv", rows),
    }
    for kind, source in sources.items():
        assert read(source, batch_rows) == rows, kind
