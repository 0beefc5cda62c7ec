"""What is kept of the reclaims of a connection: the newest decision about each collection, and the last totals."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_milvus.reclaim.history import Facts
from airflow_provider_milvus.reclaim.inventory import MEASURED, CollectionState, Memory
from airflow_provider_milvus.reclaim.kept_report import MOST_RUNS, KeptReport, ReclaimOf, subject_of
from airflow_provider_milvus.reclaim.plan import PlannedRelease
from airflow_provider_milvus.reclaim.report import ReclaimReport, make_entry
from airflow_provider_milvus.reclaim.usage import Usage

pytestmark = pytest.mark.newest

NIGHT = datetime(2026, 3, 10, 3, tzinfo=UTC)


def state(name: str, size: int | None = 100, database: str = "default", **more: Any) -> CollectionState:
    return CollectionState(database, name, "Loaded", memory=Memory(size, MEASURED) if size is not None else Memory(), **more)


def run(night: int = 0, task_id: str = "reclaim") -> ReclaimOf:
    return ReclaimOf(NIGHT + timedelta(days=night), "nightly", task_id, f"night_{night}")


def add(
    kept: KeptReport,
    *states: CollectionState,
    released: str = "",
    night: int = 0,
    task_id: str = "reclaim",
    scope: str | None = "",
    databases: tuple[str, ...] = ("default",),
    **more: Any,
) -> KeptReport:
    """A run that saw these, with names that begin with ``scope`` in its scope; None: it had a plan."""
    report = ReclaimReport(
        released=[make_entry(each, f"old, night {night}", "NotLoad") for each in states if each.collection == released],
        kept=[make_entry(each, f"kept, night {night}") for each in states if each.collection != released],
        loaded=states,
        **more,
    )
    in_scope = None if scope is None else lambda name: name.startswith(scope)
    kept.add(run(night, task_id), report, {each.key: each for each in states}, in_scope=in_scope, databases=databases)
    return kept


def reasons(kept: KeptReport) -> dict[str, str]:
    return {collection: decision["reason"] for (_, collection), decision in kept.decisions.items()}


def test_comes_back_from_json_as_it_was():
    kept = add(KeptReport(), state("a"), state("b", None), released="a", budget=50)
    kept.add_backtest(run(1), {"nights": [{"at": NIGHT.isoformat()}], "summary": "In 1 night nothing.", "releases": []})
    assert kept.has(run(1))
    again = KeptReport.read(json.loads(json.dumps(kept.as_value())))
    assert again == kept


def test_many_collections_are_packed():
    kept = add(KeptReport(), *(state(f"events_{number:05}", number, collection_id=number) for number in range(5000)))
    text = json.dumps(kept.as_value())
    assert len(text) < 200_000
    assert KeptReport.read(json.loads(text)).decisions == kept.decisions


def test_a_run_has_its_totals():
    (kept,) = add(KeptReport(), state("a", 100), state("b", 30), state("c", None), released="a", budget=50).runs
    assert kept == {
        "at": "2026-03-10T03:00:00+00:00",
        "dag_id": "nightly",
        "task_id": "reclaim",
        "run_id": "night_0",
        "dry_run": False,
        "databases": ["default"],
        "released": 1,
        "planned": 0,
        "kept": 2,
        "failed": 0,
        "bytes_before": 130,
        "bytes_after": 30,
        "bytes_source": "measured",
        "unknown_sizes": 1,
        "budget": 50,
    }


def test_a_dry_run_is_told_from_a_release():
    planned = [PlannedRelease("default", "a", 7, "old", 100, MEASURED)]
    kept = KeptReport()
    report = ReclaimReport(dry_run=True, planned=planned, loaded=[state("a")])
    kept.add(run(), report, {("default", "a"): state("a")}, in_scope=lambda name: True, databases=["default"])
    assert (kept.runs[0]["dry_run"], kept.runs[0]["planned"], kept.runs[0]["bytes_after"]) == (True, 1, 100)
    decision = kept.decisions["default", "a"]
    assert (decision["outcome"], decision["dry_run"], decision["state"]) == ("planned", True, "Loaded")
    add(kept, state("a"), released="a", night=1)
    decision = kept.decisions["default", "a"]
    assert (decision["outcome"], decision["dry_run"], decision["run_id"]) == ("released", False, "night_1")


def test_the_last_runs_are_kept_and_no_more():
    kept = KeptReport()
    for night in range(MOST_RUNS + 5):
        add(kept, state("a"), night=night)
    assert [each["run_id"] for each in kept.runs] == [f"night_{night}" for night in range(5, MOST_RUNS + 5)]


def test_what_a_run_does_not_decide_about_keeps_the_decision_of_another():
    """Two tasks side by side, each with its own patterns."""
    kept = add(KeptReport(), state("events_1"), state("tmp_1"), scope="events", task_id="old")
    assert reasons(kept) == {"events_1": "kept, night 0", "tmp_1": "kept, night 0"}
    add(kept, state("events_1"), state("tmp_1"), released="tmp_1", scope="tmp", night=1, task_id="temporary")
    assert reasons(kept) == {"events_1": "kept, night 0", "tmp_1": "old, night 1"}
    assert [kept.decisions["default", name]["task_id"] for name in ("events_1", "tmp_1")] == ["old", "temporary"]


def test_a_task_that_it_does_not_concern_explains_nothing_once_another_one_does():
    """What is excluded is in the scope of no task."""
    kept = KeptReport()
    for reason in ("matches no pattern", "excluded by '*_keep'", "matches no pattern"):
        report = ReclaimReport(kept=[make_entry(state("a_keep"), reason)], loaded=[state("a_keep")])
        seen = {("default", "a_keep"): state("a_keep")}
        kept.add(run(), report, seen, in_scope=lambda name: False, databases=["default"])
    assert reasons(kept) == {"a_keep": "excluded by '*_keep'"}


def test_what_is_out_of_memory_stays_explained_by_the_run_that_released_it():
    kept = add(KeptReport(), state("a", collection_id=7), released="a")
    out = replace(state("a", collection_id=7), state="NotLoad")
    assert reasons(add(kept, out, night=1)) == {"a": "old, night 0"}
    # Loaded again, and then it is another decision; or made anew under the name, and then it is another collection.
    assert reasons(add(kept, state("a", collection_id=7), night=2)) == {"a": "kept, night 2"}
    assert reasons(add(kept, out, night=3)) == {"a": "kept, night 3"}
    kept = add(KeptReport(), state("a", collection_id=7), released="a")
    assert reasons(add(kept, replace(out, collection_id=8), night=1)) == {"a": "kept, night 1"}


def test_what_is_gone_is_forgotten_and_other_databases_stay():
    kept = add(KeptReport(), state("a"), state("b"), state("a", database="other"), databases=("default", "other"))
    add(kept, state("b"), night=1)
    assert set(kept.decisions) == {("default", "b"), ("other", "a")}


def test_a_plan_decides_about_its_own_alone():
    kept = add(KeptReport(), state("a"), state("b"))
    add(kept, state("a"), released="a", night=1, scope=None)
    assert reasons(kept) == {"a": "old, night 1", "b": "kept, night 0"}


def test_counts_what_was_released_since_a_night():
    kept = add(add(KeptReport(), state("a"), released="a", night=1), state("a"), state("b"), released="b", night=3)
    add(kept, state("a"), released="a", night=4, dry_run=True)
    assert [kept.released_since(NIGHT + timedelta(days=day)) for day in (0, 2, 4)] == [2, 1, 0]


def test_tells_what_the_run_knew_of_a_collection():
    known = state(
        "a",
        collection_id=7,
        created=NIGHT - timedelta(days=9),
        aliases=("live",),
        properties={"airflow.reclaim": "never", "collection.ttl.seconds": "60"},
        rows=12,
        replicas=2,
        usage=Usage(timedelta(days=7), "neither searched nor queried for 7 days"),
        windows=1,
    )
    read = subject_of(json.loads(json.dumps(add(KeptReport(), known).decisions["default", "a"])))
    assert read.properties == {"airflow.reclaim": "never"}
    told = ("key", "state", "aliases", "collection_id", "created", "rows", "replicas", "memory", "usage", "windows")
    assert {name: getattr(read, name) for name in told} == {name: getattr(known, name) for name in told}


def test_remembers_each_change_of_what_no_metric_tells():
    kept = KeptReport()
    for night, known in enumerate(
        [{}, {}, {"aliases": ("live",)}, {"aliases": ("live",)}, {"windows": 1}, {"properties": {"x": "y"}}]
    ):
        add(kept, state("a", **known), night=night)
    assert sightings(kept) == [(0, 1, Facts()), (2, 3, Facts(("live",))), (4, 4, Facts(windows=1)), (5, 5, Facts())]
    # What has not been seen for 92 days is forgotten, and what was seen once more after a long time may have changed meanwhile.
    add(kept, state("a"), night=97)
    assert sightings(kept) == [(5, 5, Facts()), (97, 97, Facts())]


def sightings(kept: KeptReport) -> list[tuple[int, int, Facts]]:
    """The first and the last night of each."""

    def night(at: float) -> int:
        return round(at - NIGHT.timestamp()) // 86_400

    read = KeptReport.read(json.loads(json.dumps(kept.as_value())))
    return [(night(seen.first), night(seen.last), seen.facts) for seen in read.facts["default", "a"]]


def test_does_not_remember_what_the_run_did_not_ask_for():
    away = CollectionState("default", "a", "NotLoad")
    assert add(KeptReport(), away).facts == {}
    assert add(KeptReport(), state("a"), state("tmp"), scope="tmp").facts.keys() == {("default", "tmp")}


def test_tells_what_was_not_known_as_such():
    read = subject_of(add(KeptReport(), state("a", None)).decisions["default", "a"])
    assert (read.memory, read.rows, read.replicas, read.usage.idle_for) == (Memory(), None, None, None)


NOT_KEPT = [
    None,
    [],
    {},
    "text",
    {"runs": [], "decisions": "xz:nonsense"},
    {"runs": 7, "decisions": [], "facts": [], "backtest": {}},
    {"runs": [], "decisions": [], "facts": [1], "backtest": {}},
    {"runs": [], "decisions": [], "facts": [], "backtest": 7},
    {"runs": [], "decisions": []},
    {"runs": [], "decisions": [1]},
]


@pytest.mark.parametrize("value", NOT_KEPT)
def test_something_else_is_refused(value):
    with pytest.raises(ValueError, match=r"report of reclaims|unpacked"):
        KeptReport.read(value)
