"""What a retry does with the plan in the notes of an earlier try of its run."""

from __future__ import annotations

from asyncio import Runner
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_milvus.client.reads import Nodes
from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.reclaim.inventory import CollectionState, Memory
from airflow_provider_milvus.reclaim.plan import PlannedRelease
from airflow_provider_milvus.reclaim.policy import DateInName, Policy
from airflow_provider_milvus.reclaim.report import ReclaimReport
from airflow_provider_milvus.reclaim.run import ReclaimRun, ServerState

POLICY = Policy(("*",), (), None, DateInName("%Y%m%d", UTC), datetime(2024, 3, 15, tzinfo=UTC))


def retry(earlier: Any, *seen: CollectionState) -> tuple[ReclaimReport, list[PlannedRelease]]:
    with Runner() as runner:
        run = ReclaimRun(runner, MilvusHook(), report=lambda words: None)
        report, _ = run.decide(POLICY, ServerState(["default"], list(seen), Nodes(), None, []))
        return report, run.count_earlier(earlier, report)


def planned(name: str, number: int | None = 7) -> dict[str, Any]:
    return PlannedRelease("default", name, number, "matches '*'", 1024, "measured").as_dict()


def collection(name: str, state: str, number: int | None = 7) -> CollectionState:
    return CollectionState("default", name, state, collection_id=number, memory=Memory(10, "measured"))


@pytest.mark.parametrize("number", [7, None])
def test_tells_once_what_earlier_tries_released(number):
    earlier = [planned("docs", number), planned("tmp", number), planned("docs", number)]
    report, gone = retry(earlier, collection("docs", "NotLoad", number), collection("tmp", "Loaded", number))
    assert [entry.key for entry in gone] == [("default", "docs")]
    assert [entry["collection"] for entry in report.released] == ["docs"]
    assert report.released[0]["reason"] == "matches '*' (released by an earlier try)"
    assert report.kept == []
    totals = report.totals()
    assert (totals["loaded_before"], totals["bytes_before"], totals["bytes_reclaimed"]) == (2, 1034, 1024)


@pytest.mark.parametrize("earlier", ["text", 5, {"a": 1}, [None], [{"database": "default"}]])
def test_warns_of_notes_that_cannot_be_read_and_claims_nothing(earlier):
    report, gone = retry(earlier, collection("docs", "NotLoad"))
    assert gone == []
    assert report.released == []
    assert report.warnings[0].startswith("The plan of an earlier try cannot be read, so its releases are not reported: ")


@pytest.mark.parametrize("earlier", [[], None])
def test_without_an_earlier_try_tells_what_it_sees(earlier):
    report, gone = retry(earlier, collection("docs", "NotLoad"))
    assert (gone, report.released, report.warnings) == ([], [], [])
    assert [entry["reason"] for entry in report.kept] == ["not in memory"]
