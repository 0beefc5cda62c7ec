"""What a sync keeps of the source, and what becomes of each document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_milvus.ingest.ledger import Found, Ledger

pytestmark = pytest.mark.newest


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with Ledger() as made:
        yield made


def outcomes(ledger: Ledger) -> dict[Any, tuple[Any, ...]]:
    return {told.pop("document"): tuple(told.values()) for page in ledger.outcomes(2) for told in page}


def test_the_same_chunk_and_another_one_under_its_key(ledger: Ledger) -> None:
    assert ledger.add("k", "a.md", "hash") is Found.NOTHING
    assert ledger.add("k", "a.md", "hash") is Found.THE_SAME
    assert ledger.add("k", "a.md", "other") is Found.ANOTHER
    assert ledger.add("k", "b.md", "hash") is Found.ANOTHER
    assert ledger.add(1, "a.md", 1) is Found.NOTHING
    assert ledger.add("1", "a.md", "1") is Found.NOTHING


def test_what_becomes_of_documents(ledger: Ledger) -> None:
    for key, document in (("a1", "added"), ("r1", "replaced"), ("r2", "replaced"), ("u1", "unchanged"), ("s1", "shorter")):
        ledger.add(key, document, "hash")
    ledger.count(written=["added", "replaced"], skipped=["replaced", "unchanged", "shorter"], there=["replaced"])
    ledger.count(written=["rewritten", "broken"])
    ledger.is_incomplete("broken")
    assert list(ledger.documents(4)) == [
        {"added": 1, "replaced": 2, "rewritten": 1, "shorter": 1},
        {"unchanged": 1},
    ]

    assert ledger.holds(["s1", "s2", "x1"], ["shorter", "shorter", "rewritten"]) == ["shorter"]
    assert ledger.left_source(["g1", "g2", "b1", "n1", "n2"], ["gone", "gone", "broken", None, ""]) == 2

    assert list(ledger.old(3)) == [["g1", "g2", "x1"], ["s2"]]
    assert outcomes(ledger) == {
        "added": ("added", 1, 0, 0),
        "broken": ("incomplete", 1, 0, 0),
        "gone": ("pruned", 0, 0, 2),
        "replaced": ("replaced", 1, 1, 0),
        "rewritten": ("replaced", 1, 0, 1),
        "shorter": ("replaced", 0, 1, 1),
        "unchanged": ("unchanged", 0, 1, 0),
    }
    assert list(outcomes(ledger))[-1] == "unchanged"


def test_whether_there_are_documents(ledger: Ledger) -> None:
    assert not ledger.has_documents
    ledger.is_incomplete(7)
    assert ledger.has_documents


def test_many_rows_take_little_memory(ledger: Ledger) -> None:
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(200_000):
        ledger.add(f"{number * 7919:064d}", f"document {number // 10}", "hash" * 16)
    ledger.count(written=(f"document {number // 10}" for number in range(200_000)))

    # 200,000 such keys alone take 22 MiB as a set; the cache has 16.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40 * 1024
