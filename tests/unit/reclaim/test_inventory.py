"""What a listing's figures stand for, and what they come to together."""

from __future__ import annotations

import pytest

from airflow_provider_milvus.reclaim.inventory import CollectionState, Memory, Total, estimate_memory, state_from_percent, total
from airflow_provider_milvus.wording import human

GIB = 2**30


@pytest.mark.parametrize(
    ("percent", "state"), [(None, "NotLoad"), (0, "Loading"), (99, "Loading"), (100, "Loaded"), (101, "Loaded")]
)
def test_a_percentage_is_a_state(percent, state):
    assert state_from_percent(percent) == state


def test_an_estimate_is_rows_times_replicas():
    assert estimate_memory(100, 10, 2) == Memory(2000, "estimated")
    assert estimate_memory(100, 10, None) == Memory(1000, "estimated")


@pytest.mark.parametrize(("row_bytes", "rows"), [(100, None), (100, 0), (0, 10)])
def test_what_cannot_be_estimated_is_unknown_and_not_nothing(row_bytes, rows):
    assert estimate_memory(row_bytes, rows, 1) == Memory(None, "unknown")


@pytest.mark.parametrize(
    ("memories", "expected", "words"),
    [
        ([], Total(0, "measured", 0), "0 B measured"),
        ([Memory()], Total(0, "unknown", 1), "an unknown amount"),
        ([Memory(GIB, "measured"), Memory(0, "measured")], Total(GIB, "measured", 0), "1.0 GiB measured"),
        (
            [Memory(GIB, "measured"), Memory(GIB, "estimated"), Memory()],
            Total(2 * GIB, "partly estimated", 1),
            "2.0 GiB partly estimated and 1 of unknown size",
        ),
    ],
)
def test_a_sum_tells_where_it_comes_from_and_what_is_missing(memories, expected, words):
    size = total(CollectionState("default", "docs", "Loaded", memory=memory) for memory in memories)
    assert size == expected
    assert str(size) == words


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1.5 * GIB, "1.5 GiB"),
        (5000 * 2**40, "5000.0 TiB"),
        (-2048, "-2.0 KiB"),
    ],
)
def test_bytes_in_words(size, words):
    assert human(size) == words
