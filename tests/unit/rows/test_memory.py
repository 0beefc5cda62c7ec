"""However many rows a source has, about one chunk of them is in memory."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from airflow_provider_milvus.rows.source import read_rows
from airflow_provider_milvus.schema.model import Schema
from dev import sample_rows

pytestmark = pytest.mark.newest

SCHEMA = Schema.of(sample_rows.SCHEMA)
SMALL = replace(SCHEMA, fields=tuple(replace(field, nullable=field.name not in ("id", "text")) for field in SCHEMA.fields))
MIB = 1 << 20


def peak_of(source: Any, schema: Schema = SCHEMA) -> int:
    """The most bytes that Python held while the source was read."""
    tracemalloc.start()
    try:
        for _ in read_rows(source, schema, batch_rows=500):
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def small_rows(count: int):
    for key in range(count):
        yield {"id": key, "text": f"text {key} " * 10}


def test_a_generator_of_any_length_takes_the_memory_of_a_chunk():
    few, many = (peak_of(lambda count=count: small_rows(count)) for count in (2_000, 40_000))
    assert many < few * 1.2
    assert many < MIB


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["jsonl", "json", "csv"])
def test_a_text_file_of_any_length_takes_the_memory_of_a_chunk_and_a_buffer(tmp_path, kind):
    peaks = []
    for count in (2_000, 40_000):
        path = tmp_path / f"{count}.{kind}"
        with path.open("w") as file:
            if kind == "json":
                json.dump({"rows": list(small_rows(count))}, file)
            elif kind == "csv":
                file.write("id,text\n")
                file.writelines(f"{row['id']},{row['text']}\n" for row in small_rows(count))
            else:
                file.writelines(json.dumps(row) + "\n" for row in small_rows(count))
        peaks.append(peak_of(path, SMALL))
    assert path.stat().st_size > 4 * MIB
    assert peaks[1] < peaks[0] + MIB / 2
    assert peaks[1] < 3 * MIB


def test_a_parquet_file_of_one_row_group_is_not_loaded_as_a_whole(tmp_path):
    """What pyarrow does of itself: read ahead whole row groups."""
    path = tmp_path / "docs.parquet"
    table = sample_rows.table(0, 30_000)
    parquet.write_table(table, path, row_group_size=30_000)
    size = table.nbytes
    del table
    before = pa.total_allocated_bytes()
    most = rows = 0
    for chunk in read_rows(path, SCHEMA, batch_rows=500):
        rows += len(chunk)
        most = max(most, pa.total_allocated_bytes() - before)
    assert rows == 30_000
    assert size > 50 * MIB
    assert most < 20 * MIB
