"""What is in memory, as people and other tasks read it."""

from __future__ import annotations

import json
from typing import Any

from airflow_provider_milvus.reclaim.inventory import CollectionState, Memory
from airflow_provider_milvus.reclaim.memory_report import MOST_ROWS, MemoryReport

GIB = 2**30


def collection(name: str, gib: float | None = None, state: str = "Loaded", **known: Any) -> CollectionState:
    memory = Memory() if gib is None else Memory(int(gib * GIB), known.pop("source", "measured"))
    return CollectionState(known.pop("database", "default"), name, state, memory=memory, **known)


def names(report: MemoryReport) -> list[str]:
    return [entry["collection"] for entry in report.as_result()["collections"]]


def test_the_biggest_come_first_and_those_of_unknown_size_last():
    report = MemoryReport([collection("b", 1), collection("aa"), collection("c", 0), collection("a", 1), collection("d", 8)])
    assert names(report) == ["d", "a", "b", "c", "aa"]


def test_what_is_not_in_memory_is_counted_only():
    report = MemoryReport([collection("a", 1), collection("b", state="NotLoad"), collection("c", state="Loading")])
    assert names(report) == ["a", "c"]
    assert report.as_result()["totals"]["collections"] == 3
    assert report.as_result()["totals"]["loaded"] == 2


def test_each_is_described():
    known = {"rows": 1_234_567, "replicas": 2, "partitions": (1, 3), "resource_groups": ("rg1", "rg2"), "aliases": ("live",)}
    (entry,) = MemoryReport([collection("docs", 1.5, source="estimated", **known)]).as_result()["collections"]
    assert entry == {
        "database": "default",
        "collection": "docs",
        "state": "Loaded",
        "bytes": 3 * GIB // 2,
        "bytes_source": "estimated",
        "rows": 1_234_567,
        "partitions_loaded": 1,
        "partitions": 3,
        "replicas": 2,
        "resource_groups": ["rg1", "rg2"],
        "aliases": ["live"],
    }


def test_the_table_shows_it_in_words_and_leaves_empty_what_is_not_known():
    known = {"rows": 1_234_567, "replicas": 2, "partitions": (1, 3), "aliases": ("live", "old")}
    head, _, docs, tmp = MemoryReport([collection("docs", 1.5, **known), collection("tmp")]).as_table().splitlines()
    assert head.split() == [
        *("database", "collection", "state", "memory", "source", "rows", "partitions", "replicas", "aliases"),
    ]
    assert docs.split()[:3] == ["default", "docs", "Loaded"]
    column = {title: docs[head.index(title) :] for title in head.split()}
    assert column["memory"].startswith("1.5 GiB")
    assert column["source"].startswith("measured")
    assert column["rows"].startswith("1,234,567")
    assert column["partitions"].startswith("1 of 3")
    assert column["replicas"].startswith("2")
    assert column["aliases"] == "live, old"
    assert tmp.split() == ["default", "tmp", "Loaded", "unknown"]


def test_zero_is_shown_and_is_not_unknown():
    *_, row = MemoryReport([collection("docs", 0, rows=0, replicas=0, partitions=(0, 1))]).as_table().splitlines()
    assert row.split() == ["default", "docs", "Loaded", "0", "B", "measured", "0", "0", "of", "1", "0"]


def test_totals_say_what_is_missing_in_them():
    totals = MemoryReport([collection("a", 1), collection("b")], capacity=4 * GIB).as_result()["totals"]
    assert totals == {
        "collections": 2,
        "loaded": 2,
        "bytes": GIB,
        "bytes_source": "measured",
        "unknown_sizes": 1,
        "capacity": 4 * GIB,
    }


def test_of_sizes_that_are_not_known_there_is_no_total():
    report = MemoryReport([collection("a")])
    assert report.as_result()["totals"]["bytes"] is None
    assert "an unknown amount" in report.as_sentence()


def test_the_sentence_names_the_capacity_where_it_is_known():
    assert "4.0 GiB" in MemoryReport([collection("a", 1)], capacity=4 * GIB).as_sentence()
    assert "GiB" not in MemoryReport([]).as_sentence()


def test_five_thousand_collections_make_a_result_that_fits_an_xcom_and_totals_over_all():
    report = MemoryReport([collection(f"events_of_a_customer_{number:05}", 1, rows=10**9) for number in range(5000)])
    result = report.as_result()
    assert len(json.dumps(result)) < 300_000
    assert len(result["collections"]) == MOST_ROWS
    assert result["totals"]["bytes"] == 5000 * GIB
    assert report.as_table().endswith(f"\n… and {5000 - MOST_ROWS} more")


def test_the_result_is_what_json_can_carry():
    result = MemoryReport([collection("a", 1, partitions=(1, 2))], 4 * GIB, ["careful"]).as_result()
    assert json.loads(json.dumps(result)) == result
    assert result["warnings"] == ["careful"]
    assert result["markdown"].startswith(f"{result['summary']}\n\n|")
