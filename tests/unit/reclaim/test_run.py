"""What a retry makes of the plan that an earlier try of its run noted."""

from __future__ import annotations

from asyncio import Runner
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_milvus.client.reads import Nodes
from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.reclaim.inventory import CollectionState, Memory
from airflow_provider_milvus.reclaim.plan import Planned
from airflow_provider_milvus.reclaim.policy import DateInName, Policy
from airflow_provider_milvus.reclaim.report import Outcome
from airflow_provider_milvus.reclaim.run import ReclaimRun, Seen

POLICY = Policy(("*",), (), None, DateInName("%Y%m%d", UTC), datetime(2024, 3, 15, tzinfo=UTC))


def retry(earlier: Any, *seen: CollectionState) -> tuple[Outcome, list[Planned]]:
    with Runner() as runner:
        run = ReclaimRun(runner, MilvusHook(), report=lambda words: None)
        outcome, _ = run.decide(POLICY, Seen(["default"], list(seen), Nodes(), None, []))
        return outcome, run.count_in(earlier, outcome)


def noted(name: str, number: int | None = 7) -> dict[str, Any]:
    return Planned("default", name, number, "matches '*'", 1024, "measured").as_dict()


def collection(name: str, state: str, number: int | None = 7) -> CollectionState:
    return CollectionState("default", name, state, collection_id=number, memory=Memory(10, "measured"))


@pytest.mark.parametrize("number", [7, None])
def test_tells_once_what_earlier_tries_released(number):
    earlier = [noted("docs", number), noted("tmp", number), noted("docs", number)]
    outcome, gone = retry(earlier, collection("docs", "NotLoad", number), collection("tmp", "Loaded", number))
    assert [each.key for each in gone] == [("default", "docs")]
    assert [each["collection"] for each in outcome.released] == ["docs"]
    assert outcome.released[0]["reason"] == "matches '*' (released by an earlier try)"
    assert outcome.kept == []
    totals = outcome.totals()
    assert (totals["loaded_before"], totals["bytes_before"], totals["bytes_reclaimed"]) == (2, 1034, 1024)


@pytest.mark.parametrize("earlier", ["text", 5, {"a": 1}, [None], [{"database": "default"}]])
def test_warns_of_notes_that_cannot_be_read_and_claims_nothing(earlier):
    outcome, gone = retry(earlier, collection("docs", "NotLoad"))
    assert gone == []
    assert outcome.released == []
    assert outcome.warnings[0].startswith("What an earlier try noted cannot be read: ")


@pytest.mark.parametrize("earlier", [[], None])
def test_without_an_earlier_try_tells_what_it_sees(earlier):
    outcome, gone = retry(earlier, collection("docs", "NotLoad"))
    assert (gone, outcome.released, outcome.warnings) == ([], [], [])
    assert [each["reason"] for each in outcome.kept] == ["not in memory"]
