"""``milvus_loaded``: in memory between its two tasks, out of it afterwards only if nobody else needs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_milvus.exceptions import (
    MilvusCollectionNotFoundError,
    MilvusIndexNotFoundError,
    MilvusInvalidArgumentError,
    MilvusLoadFailedError,
    MilvusTimeoutError,
)
from airflow_provider_milvus.operators import window as window_module
from airflow_provider_milvus.operators.milvus import MilvusReclaimMemoryOperator, milvus_loaded
from airflow_provider_milvus.operators.window import LoadedWindow
from dev.servers.scripted import LOADED, NOT_LOADED, ScriptedMilvus, abort, loading, refuse
from tests.integration.support import SLACK, MakeCollection, Milvus, ends_within, eventually, finish, load_all, task_threads

PROPERTY = "airflow.loaded_by."


def context_of(run: str) -> dict[str, Any]:
    return {"ti": SimpleNamespace(dag_id="dag", task_id="load_docs", run_id=run, map_index=-1)}


class Window:
    """One run of the two tasks around a window, with JSON between them as in XCom."""

    def __init__(self, collection_name: str, run: str = "run_1", **options: Any) -> None:
        with (
            DAG("dag", start_date=datetime(2024, 1, 1, tzinfo=UTC), schedule=None),
            milvus_loaded(collection_name, **{"poll_interval": 0.2, **options}) as window,
        ):
            self._tasks: LoadedWindow = window
        self._context = context_of(run)
        self.result: dict[str, Any] = {}

    def open(self) -> dict[str, Any]:
        self.result = json.loads(json.dumps(finish(self._tasks.load, self._context)))
        return self.result

    def close(self) -> dict[str, Any]:
        self._tasks.release.window = self.result
        closed: dict[str, Any] = json.loads(json.dumps(self._tasks.release.execute(self._context)))
        return closed

    def kill(self) -> None:
        self._tasks.load.on_kill()


def marks_on(server: Milvus, name: str) -> dict[str, Any]:
    """All windows that the collection's properties name, by the server's own word."""
    with server.plain_client() as client:
        properties = dict(client.describe_collection(name).get("properties", {}))
    marks: dict[str, Any] = {}
    for key, value in properties.items():
        if key.startswith(PROPERTY) and value:
            marks |= json.loads(value)
    return marks


def test_loads_for_its_tasks_and_releases_afterwards(milvus: Milvus, make_collection: MakeCollection) -> None:
    docs = make_collection("docs")
    window = Window(docs)

    opened = window.open()

    assert (opened["collection"], opened["previous_state"], opened["state"]) == (docs, "NotLoad", "Loaded")
    assert milvus.state_of(docs) == "Loaded"
    assert list(marks_on(milvus, docs)) == ["dag/load_docs/run_1"] == [opened["window"]]

    closed = window.close()

    assert closed == {
        "collection": docs,
        "database": "default",
        "state": "NotLoad",
        "released": True,
        "reason": "no other window needs it",
    }
    assert milvus.state_of(docs) == "NotLoad"
    assert marks_on(milvus, docs) == {}


def test_leaves_what_was_in_memory_before(milvus: Milvus, make_collection: MakeCollection) -> None:
    docs = make_collection("docs", load=True)
    window = Window(docs)

    assert window.open()["previous_state"] == "Loaded"
    closed = window.close()

    assert (closed["released"], closed["state"]) == (False, "Loaded")
    assert "it was in memory before this window" in closed["reason"]
    assert milvus.state_of(docs) == "Loaded"
    assert marks_on(milvus, docs) == {}


def test_last_of_two_runs_that_overlap_releases(milvus: Milvus, make_collection: MakeCollection) -> None:
    docs = make_collection("docs")
    first, second = Window(docs, "run_1"), Window(docs, "run_2")
    first.open()
    assert second.open()["previous_state"] == "Loaded"

    left = first.close()

    assert left["released"] is False
    assert "another window needs it: dag/load_docs/run_2" in left["reason"]
    assert milvus.state_of(docs) == "Loaded"
    assert second.close()["released"] is True
    assert milvus.state_of(docs) == "NotLoad"


def test_reclaim_leaves_a_collection_alone_while_its_window_is_open(milvus: Milvus, make_collection: MakeCollection) -> None:
    name, other = make_collection(), make_collection(load=True)
    plan = MilvusReclaimMemoryOperator(task_id="plan", collections=[name, other], dry_run=True).execute({})["plan"]
    assert [entry["collection"] for entry in plan] == [other]
    window, before = Window(name), Window(other)
    window.open()

    result = MilvusReclaimMemoryOperator(task_id="reclaim", collections=name).execute({})
    reasons = {entry["collection"]: entry["reason"] for entry in result["kept"]}
    assert reasons[name] == "a window (milvus_loaded) needs it"
    assert milvus.state_of(name) == "Loaded"

    before.open()
    result = MilvusReclaimMemoryOperator(task_id="act", plan=plan).execute({})
    assert result["released"] == []
    assert "a window (milvus_loaded) needs it" in result["kept"][0]["reason"]
    before.close()
    assert milvus.state_of(other) == "Loaded"
    window.close()
    assert milvus.state_of(name) == "NotLoad"


def test_owners_properties_stay_as_they_are(milvus: Milvus, make_collection: MakeCollection) -> None:
    docs = make_collection("docs")
    with milvus.plain_client() as client:
        client.alter_collection_properties(docs, {"airflow.reclaim": "never", "collection.ttl.seconds": "86400"})
    window = Window(docs)
    window.open()
    window.close()

    with milvus.plain_client() as client:
        properties = dict(client.describe_collection(docs)["properties"])
    assert properties["airflow.reclaim"] == "never"
    assert properties["collection.ttl.seconds"] == "86400"


def test_searches_go_on_while_other_windows_come_and_go(milvus: Milvus, make_collection: MakeCollection) -> None:
    docs = make_collection("docs")
    window = Window(docs)
    window.open()
    with milvus.plain_client() as client:
        for run in range(5):
            other = Window(docs, f"other_{run}")
            other.open()
            assert client.search(docs, data=[[0.5] * 8], limit=1)[0]
            assert other.close()["released"] is False
            assert client.search(docs, data=[[0.5] * 8], limit=1)[0]
    assert window.close()["released"] is True


def test_window_that_was_never_closed_pins_nothing_for_ever(
    milvus: Milvus, make_collection: MakeCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = make_collection("docs")
    now = 1_800_000_000.0
    monkeypatch.setattr(window_module, "time", SimpleNamespace(time=lambda: now))
    Window(docs, "killed", at_most=3600).open()
    second = Window(docs, "run_2", at_most=86400)
    second.open()
    third = Window(docs, "run_3", at_most=86400)
    third.open()

    now += 3599
    assert "killed" in second.close()["reason"]
    assert milvus.state_of(docs) == "Loaded"
    now += 2
    assert third.close()["released"] is True
    assert milvus.state_of(docs) == "NotLoad"
    assert marks_on(milvus, docs) == {}


@pytest.mark.standalone
def test_collection_that_went_live_meanwhile_stays(standalone: Milvus, make_collection: MakeCollection) -> None:
    """Milvus Lite does not tell a collection's aliases."""
    docs = make_collection("docs")
    window = Window(docs)
    window.open()
    with standalone.plain_client() as client:
        client.create_alias(docs, f"live_{docs}")
    try:
        closed = window.close()
        assert f"it was given the alias live_{docs} since" in closed["reason"]
        assert standalone.state_of(docs) == "Loaded"
    finally:
        with standalone.plain_client() as client:
            client.drop_alias(f"live_{docs}")


def test_alias_opens_a_window_of_the_collection_behind_it(milvus: Milvus, make_collection: MakeCollection) -> None:
    docs, other = make_collection("docs"), make_collection("other")
    alias = f"live_{docs}"
    with milvus.plain_client() as client:
        client.create_alias(docs, alias)
        load_all(client, [other])
    try:
        window = Window(alias)
        assert (window.open()["collection"], window.result["alias"]) == (docs, alias)
        with milvus.plain_client() as client:
            client.alter_alias(other, alias)
        assert window.close()["collection"] == docs
        assert (milvus.state_of(docs), milvus.state_of(other)) == ("NotLoad", "Loaded")
    finally:
        with milvus.plain_client() as client:
            client.drop_alias(alias)


def test_collection_that_was_dropped_is_no_failure(lite: Milvus, make_collection: MakeCollection) -> None:
    docs = make_collection("docs")
    window = Window(docs)
    window.open()
    with lite.plain_client() as client:
        client.drop_collection(docs)

    closed = window.close()

    assert (closed["state"], closed["released"]) == ("NotExist", False)


@pytest.mark.parametrize("ready", [True, False], ids=["at once", "after a while"])
def test_deferred_load_opens_a_window_too(scripted: ScriptedMilvus, ready: bool) -> None:
    docs = scripted.add("docs", on_load=[LOADED] if ready else [loading(0), loading(50), LOADED])
    window = Window("docs", deferrable=True)

    opened = window.open()

    assert (opened["state"], opened["window"]) == ("Loaded", "dag/load_docs/run_1")
    assert window.close()["released"] is True
    assert docs.now == NOT_LOADED


# What follows needs no real server: a load that fails, and what a server does on demand only.


def test_missing_collection_fails_and_marks_nothing(scripted: ScriptedMilvus) -> None:
    with pytest.raises(MilvusCollectionNotFoundError):
        Window("docs").open()

    assert scripted.received("AlterCollection") == []


def test_load_that_cannot_be_leaves_no_mark(scripted: ScriptedMilvus) -> None:
    docs = scripted.add("docs")
    scripted.next("LoadCollection", refuse(700, "index not found"))

    with pytest.raises(MilvusIndexNotFoundError):
        Window("docs").open()

    assert set(docs.properties.values()) == {""}
    assert scripted.received("ReleaseCollection") == []


@pytest.mark.parametrize("deferrable", [False, True])
def test_load_that_is_late_is_taken_back(scripted: ScriptedMilvus, deferrable: bool) -> None:
    docs = scripted.add("docs", on_load=[loading(40)])

    with ends_within(1 + 2 * SLACK), pytest.raises(MilvusTimeoutError):
        Window("docs", timeout=1, deferrable=deferrable).open()

    assert docs.now == NOT_LOADED
    assert set(docs.properties.values()) == {""}


def test_load_that_is_late_is_left_to_another_window_that_waits_for_it(scripted: ScriptedMilvus) -> None:
    docs = scripted.add("docs", on_load=[loading(40)])
    with pytest.raises(MilvusTimeoutError):
        Window("docs", "run_0", timeout=1).open()
    docs.become([LOADED])
    Window("docs", "run_1").open()
    docs.become([loading(40)])

    with pytest.raises(MilvusTimeoutError):
        Window("docs", "run_2", timeout=1).open()

    assert docs.now == loading(40)
    assert len(scripted.received("ReleaseCollection")) == 1


def test_load_that_is_given_up_leaves_no_mark(scripted: ScriptedMilvus) -> None:
    docs = scripted.add("docs", on_load=[loading(10), NOT_LOADED])

    with pytest.raises(MilvusLoadFailedError):
        Window("docs").open()

    assert set(docs.properties.values()) == {""}


def test_load_that_is_killed_is_taken_back(scripted: ScriptedMilvus) -> None:
    docs = scripted.add("docs", on_load=[loading(40)])
    window = Window("docs", timeout=10)
    with task_threads(1) as threads:
        opening = threads.submit(window.open)
        eventually(lambda: docs.now == loading(40) and len(scripted.received("GetLoadingProgress")) > 3)

        window.kill()

        assert docs.now == NOT_LOADED
        assert set(docs.properties.values()) == {""}
        assert isinstance(opening.exception(), MilvusLoadFailedError)


def test_retry_of_the_load_still_owns_what_the_first_try_loaded(scripted: ScriptedMilvus) -> None:
    docs = scripted.add("docs")
    Window("docs").open()
    again = Window("docs")

    assert again.open()["previous_state"] == "Loaded"
    assert again.close()["released"] is True
    assert docs.now == NOT_LOADED


def test_retry_of_the_release_goes_on_where_the_first_try_stopped(scripted: ScriptedMilvus) -> None:
    docs = scripted.add("docs", on_release=[LOADED])
    window = Window("docs", release_timeout=1)
    window.open()
    with pytest.raises(MilvusTimeoutError):
        window.close()
    docs.on_release = [NOT_LOADED]

    assert window.close()["released"] is True


def test_without_collection_properties_the_state_before_decides(scripted: ScriptedMilvus, log_text: Callable[[], str]) -> None:
    scripted.always("AlterCollection", abort("UNIMPLEMENTED"))
    released, left = scripted.add("a"), scripted.add("b", LOADED)
    windows = [Window("a"), Window("b")]
    for window in windows:
        window.open()

    assert [window.close()["released"] for window in windows] == [True, False]
    assert (released.now, left.now) == (NOT_LOADED, LOADED)
    assert "keeps no collection properties" in log_text()


def test_without_the_privilege_to_mark_nothing_is_loaded(scripted: ScriptedMilvus) -> None:
    docs = scripted.add("docs")
    scripted.always("AlterCollection", abort("PERMISSION_DENIED", "AlterCollection"))

    with pytest.raises(Exception, match="AlterCollection"):
        Window("docs").open()

    assert docs.now == NOT_LOADED


@pytest.mark.parametrize("nothing", [None, "text", {}, {"collection": "docs"}])
def test_release_needs_what_the_load_returned(scripted: ScriptedMilvus, nothing: Any) -> None:
    window = Window("docs")
    window.result = nothing

    with pytest.raises(MilvusInvalidArgumentError, match=r"window (must be what|is given, but empty)"):
        window.close()

    assert scripted.calls == []
