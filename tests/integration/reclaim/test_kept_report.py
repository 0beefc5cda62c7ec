"""A reclaim leaves its report for the page: what it released, what it kept and why, also when it only planned, or failed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_milvus.exceptions import MilvusError
from airflow_provider_milvus.operators import kept_reports
from airflow_provider_milvus.operators.kept_reports import key_of
from airflow_provider_milvus.operators.milvus import MilvusReclaimMemoryOperator
from airflow_provider_milvus.reclaim.kept_report import KeptReport, subject_of
from dev.servers.scripted import LOADED, ScriptedMilvus, refuse
from dev.tries.airflow import Variables, without_airflow
from tests.integration.support import context_of_run


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(Variables, "kept", {})
    monkeypatch.setattr(kept_reports, "LOOK_AFTER", 0)
    with without_airflow():
        yield


def reclaim(run_id: str, **arguments: Any) -> dict[str, Any]:
    context = context_of_run(run_id=run_id)
    context["ti"].dag_id, context["ti"].task_id = "nightly", "reclaim"
    result: dict[str, Any] = MilvusReclaimMemoryOperator(task_id="reclaim", **arguments).execute(context)
    return result


def kept() -> KeptReport:
    return KeptReport.read(json.loads(Variables.get(key_of("milvus_default"))))


def outcomes() -> dict[str, tuple[str, str]]:
    return {name: (one["outcome"], one["run_id"]) for (_, name), one in kept().decisions.items()}


@pytest.fixture
def three(scripted: ScriptedMilvus) -> ScriptedMilvus:
    for name in ("events_1", "events_2", "docs"):
        scripted.add(name, LOADED)
    return scripted


def test_says_what_became_of_each_and_the_totals(three: ScriptedMilvus) -> None:
    three.collections["events_2"].aliases.append("live")
    reclaim("monday", collections="events_*", memory_budget="1MiB")
    assert outcomes() == {"docs": ("kept", "monday"), "events_1": ("kept", "monday"), "events_2": ("kept", "monday")}
    reclaim("tuesday", collections="events_*")
    assert outcomes() == {"docs": ("kept", "monday"), "events_1": ("released", "tuesday"), "events_2": ("kept", "tuesday")}
    aliased = kept().decisions["default", "events_2"]
    assert "live" in aliased["reason"]
    assert subject_of(aliased).aliases == ("live",)
    assert [(run["run_id"], run["released"], run["budget"]) for run in kept().runs] == [
        ("monday", 0, 2**20),
        ("tuesday", 1, None),
    ]


def test_a_plan_and_its_release_are_told_apart(three: ScriptedMilvus) -> None:
    plan = reclaim("plan", collections="events_1", dry_run=True)["plan"]
    assert outcomes()["events_1"] == ("planned", "plan")
    reclaim("release", plan=plan)
    assert outcomes() == {"events_1": ("released", "release"), "events_2": ("kept", "plan"), "docs": ("kept", "plan")}
    assert [run["dry_run"] for run in kept().runs] == [True, False]


def test_a_run_that_fails_in_part_leaves_its_report(three: ScriptedMilvus) -> None:
    three.always("ReleaseCollection", refuse(5, "it broke"))
    with pytest.raises(MilvusError):
        reclaim("monday", collections="events_1")
    assert outcomes()["events_1"] == ("failed", "monday")
    assert kept().runs[0]["failed"] == 1
