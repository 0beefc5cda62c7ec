"""A column of a table is checked and encoded as the same values in dicts are: the same bytes, and the same bad rows."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from pyarrow import parquet

from airflow_provider_milvus.rows.batches import batches
from airflow_provider_milvus.rows.check import check
from airflow_provider_milvus.rows.source import read_rows
from airflow_provider_milvus.schema.model import Schema

pytestmark = pytest.mark.newest

TYPES = ("INT8", "INT64", "BOOL", "FLOAT", "DOUBLE", "VARCHAR")
KINDS: dict[str, tuple[st.SearchStrategy[Any], pa.DataType, str]] = {
    "integers": (st.integers(-(2**63), 2**63 - 1) | st.integers(-130, 130), pa.int64(), "Int64"),
    "large integers": (st.integers(0, 2**64 - 1), pa.uint64(), "UInt64"),
    "booleans": (st.booleans(), pa.bool_(), "boolean"),
    "floats": (st.floats() | st.sampled_from([1.0, 1e300]), pa.float64(), "object"),
    "texts": (st.text(st.characters(codec="utf-8"), max_size=7), pa.string(), "string"),
}


def schema(field: dict[str, Any]) -> Schema:
    key = {"name": "id", "type": "INT64", "is_primary": True}
    vector = {"name": "vector", "type": "FLOAT_VECTOR", "dim": 2}
    return Schema.of({"fields": [key, {"name": "value", **field}, vector]})


def outcome(source: Any, of: Schema, batch_rows: int) -> tuple[list[bytes], list[tuple[Any, ...]]]:
    encoded, bad = [], []
    for chunk in read_rows(source, of, batch_rows=batch_rows):
        checked = check(chunk, of, upsert=True)
        bad += [(row.number, row.field, row.reason) for row in checked.bad]
        for batch in batches(checked, of, max_bytes=1 << 20):
            encoded += [message.SerializeToString() for message in batch.fields_data]
    return encoded, bad


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("data_type", TYPES)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_column_has_the_outcome_of_its_values(tmp_path, data_type, kind, data):
    value, arrow, frame = KINDS[kind]
    values = data.draw(st.lists(st.none() | value, min_size=1, max_size=6))
    batch_rows = data.draw(st.integers(1, 4))
    field: dict[str, Any] = {"type": data_type, "nullable": data.draw(st.booleans())}
    of = schema(field | ({"max_length": 5} if data_type == "VARCHAR" else {}))
    dicts = [{"id": at, "value": each, "vector": [0.5, at]} for at, each in enumerate(values)]
    expected = outcome(dicts, of, batch_rows)
    column = pa.array(values, arrow)
    ids, vectors = list(range(len(values))), [[0.5, float(at)] for at in range(len(values))]
    table = pa.table({"id": ids, "value": column, "vector": vectors})
    parquet.write_table(table, tmp_path / "rows.parquet", row_group_size=2)
    sources = {
        "Arrow": table,
        "chunked": pa.concat_tables([table[:1], table[1:]]),
        "Parquet": tmp_path / "rows.parquet",
        "dictionary": table.set_column(1, "value", column.dictionary_encode()),
        "pandas": pd.DataFrame({"id": ids, "value": pd.array(values, dtype=frame), "vector": vectors}),
    }
    if kind == "texts":
        sources["large"] = table.set_column(1, "value", column.cast(pa.large_string()))
    if kind == "floats" and any(each != each for each in values):
        del sources["pandas"]
    for name, source in sources.items():
        assert outcome(source, of, batch_rows) == expected, name
