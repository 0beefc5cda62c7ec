"""What the page is sent: collections as they are, each with the last decision about it, and nothing that is not known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_milvus.page.content import as_content
from airflow_provider_milvus.page.look import Look
from airflow_provider_milvus.reclaim.inventory import CollectionState, Memory
from airflow_provider_milvus.reclaim.kept_report import KeptReport, ReclaimOf
from airflow_provider_milvus.reclaim.report import ReclaimReport, make_entry
from airflow_provider_milvus.reclaim.usage import Usage

pytestmark = pytest.mark.newest


def state(name: str, now: str = "Loaded", **more: Any) -> CollectionState:
    return CollectionState("default", name, now, **more)


def kept(*states: CollectionState, reason: str = "14 days old") -> KeptReport:
    made = KeptReport()
    report = ReclaimReport(released=[make_entry(each, reason, "NotLoad") for each in states], loaded=states)
    run = ReclaimOf(datetime(2026, 3, 10, tzinfo=UTC), "nightly", "reclaim", "night_0")
    made.add(run, report, {each.key: each for each in states}, in_scope=lambda _: True, databases=["default"])
    return made


def rows(look: Look | None, report: KeptReport) -> dict[str, dict[str, Any]]:
    return {row["collection"]: row for row in as_content(look, report)["collections"]}


def look(*states: CollectionState) -> Look:
    return Look("http://milvus:19530", states)


def test_a_collection_has_the_last_decision_about_it():
    made = rows(look(state("a", "NotLoad"), state("b")), kept(state("a")))
    assert made["a"]["decision"] == {
        "outcome": "released",
        "reason": "14 days old",
        "at": "2026-03-10T00:00:00+00:00",
        "dag_id": "nightly",
        "run_id": "night_0",
        "dry_run": False,
    }
    assert made["b"]["decision"] is None


def test_a_collection_that_was_made_anew_has_none():
    assert rows(look(state("a", collection_id=8)), kept(state("a", collection_id=7)))["a"]["decision"] is None
    assert rows(look(state("a", collection_id=7)), kept(state("a", collection_id=7)))["a"]["decision"] is not None


def test_sizes_are_told_apart():
    states = [
        state("measured", memory=Memory(5, "measured")),
        state("estimated", memory=Memory(7, "estimated")),
        state("unknown"),
        state("out", "NotLoad", memory=Memory(9, "estimated")),
    ]
    told = {name: (row["bytes"], row["bytes_source"]) for name, row in rows(look(*states), KeptReport()).items()}
    assert told["measured"] == (5, "measured")
    assert told["estimated"] == (7, "estimated")
    assert told["unknown"] == (None, "unknown")
    assert told["out"][0] is None


@pytest.mark.parametrize(
    ("usage", "idle"),
    [
        (Usage(timedelta(days=7), "neither searched nor queried for 7 days"), 7 * 86400),
        (Usage(None, "searched or queried within the last 1 h"), 0),
        (Usage(None, "unknown: the metrics cannot be used"), None),
    ],
)
def test_use_that_is_not_known_is_no_time(usage, idle):
    row = rows(look(state("a", usage=usage)), KeptReport())["a"]
    assert (row["idle"], row["use"], row["use_at"]) == (idle, usage.reason, None)


def test_use_that_is_not_known_now_is_what_the_last_reclaim_saw_and_says_so():
    seen = state("a", usage=Usage(timedelta(days=1), "neither searched nor queried for 1 day"))
    row = rows(look(state("a")), kept(seen))["a"]
    assert (row["idle"], row["use_at"]) == (86400, "2026-03-10T00:00:00+00:00")


def test_without_a_look_the_rows_are_what_the_last_reclaims_saw():
    idle = Usage(timedelta(days=7), "neither searched nor queried for 7 days")
    made = as_content(None, kept(state("a", aliases=("live",), memory=Memory(5, "measured"), usage=idle)))
    (row,) = made["collections"]
    assert (row["collection"], row["state"], row["aliases"]) == ("a", "NotLoad", ["live"])
    assert row["bytes"] is None
    assert (row["idle"], row["use_at"]) == (7 * 86400, "2026-03-10T00:00:00+00:00")
    assert made["server"] is None
