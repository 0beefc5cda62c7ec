"""The rows that benchmarks and tests of an ingest use: the same ones each time, whichever range is asked for."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from airflow_provider_milvus.rows.check import check
from airflow_provider_milvus.rows.source import read_rows
from airflow_provider_milvus.schema.model import Schema
from dev import sample_rows

pytestmark = pytest.mark.newest

SCHEMA = Schema.of(sample_rows.SCHEMA)


def plain(rows):
    return [{**row, "vector": row["vector"].tolist()} for row in rows]


def test_any_range_is_what_it_is_in_the_whole():
    whole = plain(sample_rows.rows(0, 3_500))
    sample_rows._block.cache_clear()
    assert plain(sample_rows.rows(2_999, 501)) == whole[2_999:3_500]
    assert plain(sample_rows.stream(1_001, 500)) == whole[500:1_501]
    assert sample_rows.rows(7, 0) == []


@pytest.mark.parametrize("kind", ["table", "parquet", "jsonl", "jsonl.gz", "csv"])
def test_every_form_has_the_same_rows(tmp_path, kind):
    if kind == "table":
        source = sample_rows.table(900, 300)
    else:
        write = getattr(sample_rows, f"write_{kind.removesuffix('.gz')}")
        source = write(tmp_path / f"docs.{kind}", 300, 900)
    forms = []
    for rows in (sample_rows.rows(900, 300), source):
        (chunk,) = read_rows(rows, SCHEMA, batch_rows=500)
        checked = check(chunk, SCHEMA)
        assert not checked.bad
        forms.append({name: list(column.values) for name, column in checked.columns.items() if name != "meta"})
    vectors = [each.pop("vector") for each in forms]
    assert np.array_equal(*vectors)
    assert forms[0] == forms[1]


def test_they_are_as_uneven_as_real_ones():
    rows = sample_rows.rows(0, 5_000)
    vectors = np.array([each["vector"] for each in rows])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    lengths = np.array([len(each["text"].encode()) for each in rows])
    assert np.percentile(lengths, 99) > 8 * np.median(lengths)
    assert lengths.max() <= sample_rows.LONGEST_TEXT
    (_, most), *others = Counter(each["category"] for each in rows).most_common()
    assert most > 1_000
    assert len(others) > 200
    assert {len(each["meta"]) for each in rows} >= {0, 1, 2, 5}
