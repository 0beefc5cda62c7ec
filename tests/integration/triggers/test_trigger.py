"""The trigger: it holds ids only, outlives restarts of the triggerer and of the server, and ends with the truth."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_milvus.conditions import Condition, LoadFinished, LoadState, base
from airflow_provider_milvus.exceptions import MilvusError, MilvusLoadFailedError, MilvusLoadStalledError
from airflow_provider_milvus.hooks.connections import fetch_shared
from airflow_provider_milvus.operators.milvus import MilvusLoadCollectionOperator
from airflow_provider_milvus.triggers import milvus
from airflow_provider_milvus.triggers.milvus import MilvusConditionTrigger, outcome_of
from dev.servers.scripted import LOADED, NOT_LOADED, ScriptedMilvus, loading, slow
from dev.servers.standalone import PLATFORM_HAS_IT, standalone_server
from tests.integration.support import (
    SLACK,
    Connect,
    MakeCollection,
    Milvus,
    build_collection,
    deferral,
    ends_within,
    event_of,
    eventually,
    rebuilt,
    resume,
)


def trigger_for(condition: Condition, seconds: float = 30, **arguments: Any) -> MilvusConditionTrigger:
    return MilvusConditionTrigger(
        condition=condition.serialize(), end=time.time() + seconds, **{"poll_interval": 0.1, **arguments}
    )


def test_its_arguments_are_json_and_rebuild_it(scripted: ScriptedMilvus) -> None:
    trigger = trigger_for(
        LoadFinished("docs", ["p"], started=True, options={"replica_number": 2}),
        database="shop",
        stall_timeout=5,
        undo_on_kill=True,
    )

    _, arguments = trigger.serialize()
    again = rebuilt(trigger)

    assert json.loads(json.dumps(arguments)) == arguments
    assert again.serialize() == trigger.serialize()


def test_it_ends_the_same_after_a_restart_of_the_triggerer(scripted: ScriptedMilvus) -> None:
    scripted.add("docs", loading(40))
    trigger = trigger_for(LoadState("docs"))

    async def begun_stopped_and_begun_again() -> dict[str, Any]:
        first = asyncio.ensure_future(event_of(trigger))
        await asyncio.sleep(0.5)
        first.cancel()
        await asyncio.wait([first])
        scripted.collections["docs"].become([loading(80), LOADED])
        return await event_of(trigger)

    event = asyncio.run(begun_stopped_and_begun_again())

    assert outcome_of(event).state == "Loaded"
    assert scripted.received("ReleaseCollection") == []


def test_it_fetches_the_connection_once_and_makes_one_client(scripted: ScriptedMilvus, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = []

    async def counted(conn_id: str) -> Any:
        fetched.append(conn_id)
        return await fetch_shared(conn_id)

    monkeypatch.setattr("airflow_provider_milvus.hooks.milvus.fetch_shared", counted)
    scripted.add("docs", *[loading(40)] * 5, LOADED)

    asyncio.run(event_of(trigger_for(LoadState("docs"))))

    assert fetched == ["milvus_default"]
    assert len(scripted.received("Connect")) == 1
    assert len(scripted.received("GetLoadState")) == 6


def test_its_end_is_a_moment_and_not_a_duration(scripted: ScriptedMilvus) -> None:
    """A triggerer that was down past it tells the time-out at once instead of waiting all over again."""
    scripted.add("docs", loading(40))

    with ends_within(SLACK):
        event = asyncio.run(event_of(trigger_for(LoadState("docs"), seconds=-100)))

    assert event["error"]["kind"] == "MilvusTimeoutError"


def test_it_leaves_no_task_behind_when_it_is_cancelled(scripted: ScriptedMilvus) -> None:
    scripted.add("docs", loading(40))

    async def others() -> set[Any]:
        running = asyncio.ensure_future(event_of(trigger_for(LoadState("docs"))))
        await asyncio.sleep(0.3)
        running.cancel()
        await asyncio.wait([running])
        await asyncio.sleep(0.1)
        return asyncio.all_tasks() - {asyncio.current_task()}

    left = {task for task in asyncio.run(others()) if "milvus" in repr(task).lower()}

    assert left == set()


def test_it_never_blocks_the_event_loop(silent: str, connect: Connect) -> None:
    """A host that hangs holds up nobody else's trigger."""
    connect(silent, timeout=2, connect_timeout=2)

    async def longest_gap() -> float:
        gaps = [0.0]
        waiting = asyncio.ensure_future(event_of(trigger_for(LoadState("docs"), seconds=2)))
        last = time.monotonic()
        while not waiting.done():
            await asyncio.sleep(0.02)
            gaps.append(time.monotonic() - last)
            last = time.monotonic()
        return max(gaps)

    asyncio.run(event_of(trigger_for(LoadState("docs"), seconds=0.5)))  # imports first

    assert asyncio.run(longest_gap()) < 1


def test_restart_of_the_server_is_ridden_out(scripted: ScriptedMilvus) -> None:
    docs = scripted.add("docs", loading(40))

    async def through_an_outage() -> dict[str, Any]:
        waiting = asyncio.ensure_future(event_of(trigger_for(LoadState("docs"))))
        await asyncio.sleep(0.5)
        await asyncio.to_thread(scripted.stop)
        await asyncio.sleep(2)
        docs.become([loading(80), LOADED])
        scripted.start()
        return await waiting

    assert outcome_of(asyncio.run(through_an_outage())).state == "Loaded"


def test_load_that_stands_still_after_a_restart_is_submitted_again(
    scripted: ScriptedMilvus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "REVIVE_AFTER", 0.5)
    docs = scripted.add("docs", loading(0), on_load=[loading(0), loading(50), LOADED])

    event = _through_a_restart(scripted, LoadFinished("docs", started=True))

    assert outcome_of(event).state == "Loaded"
    assert docs.now == LOADED
    # Released first, as only that mends a load that 2.3.5 resumed by itself.
    changes = [call.name for call in scripted.calls if call.name in ("ReleaseCollection", "LoadCollection")]
    assert changes == ["ReleaseCollection", "LoadCollection"]


def test_load_is_submitted_again_only_once(scripted: ScriptedMilvus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "REVIVE_AFTER", 0.3)
    scripted.add("docs", loading(0), on_load=[loading(0)])

    event = _through_a_restart(scripted, LoadFinished("docs", started=True), stall_timeout=1)

    with pytest.raises(MilvusLoadStalledError, match="stood still at Loading 0 %"):
        outcome_of(event)
    assert len(scripted.received("LoadCollection")) == 1


def test_somebody_elses_load_is_not_released_after_a_restart(scripted: ScriptedMilvus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "REVIVE_AFTER", 0.3)
    scripted.add("docs", loading(0), on_load=[loading(0)])

    _through_a_restart(scripted, LoadFinished("docs", started=False), stall_timeout=1)

    assert scripted.received("ReleaseCollection") == []


def test_load_that_stands_still_without_a_restart_is_left_alone(
    scripted: ScriptedMilvus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "REVIVE_AFTER", 0.1)
    scripted.add("docs", loading(0))

    # On a busy machine the first look takes a second.
    event = asyncio.run(event_of(trigger_for(LoadFinished("docs", started=True), seconds=3)))

    with pytest.raises(MilvusError, match="Last seen Loading 0 %"):
        outcome_of(event)
    assert scripted.received("LoadCollection") == []


def _through_a_restart(scripted: ScriptedMilvus, condition: LoadFinished, **arguments: Any) -> dict[str, Any]:
    async def go() -> dict[str, Any]:
        waiting = asyncio.ensure_future(event_of(trigger_for(condition, **arguments)))
        await asyncio.sleep(0.4)
        await asyncio.to_thread(scripted.stop)
        await asyncio.sleep(1)
        scripted.start()
        return await waiting

    return asyncio.run(go())


def kill(trigger: Any, state: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Airflow from 3.3 on does when the task is in this state."""
    runner = pytest.importorskip("airflow.sdk.execution_time.task_runner", reason="before Airflow 3 nobody calls on_kill")
    told = {"r": {"load": state}}
    monkeypatch.setattr(runner.RuntimeTaskInstance, "get_task_states", staticmethod(lambda **asked: told), raising=False)
    trigger._task_instance = SimpleNamespace(dag_id="d", task_id="load", run_id="r", map_index=-1)
    asyncio.run(trigger.on_kill())


@pytest.mark.standalone
def test_kill_takes_back_the_load_that_the_task_began(
    standalone: Milvus, make_collection: MakeCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = make_collection(rows=2000)
    operator = MilvusLoadCollectionOperator(task_id="load", collection_name=name, deferrable=True, release_on_kill=True)
    deferred = deferral(operator)

    kill(rebuilt(deferred.trigger), "failed", monkeypatch)

    # What is Loaded by then may be in use.
    assert standalone.state_of(name) in ("NotLoad", "Loaded")


@pytest.mark.parametrize(("started", "undo_on_kill", "released"), [(True, True, 1), (True, False, 0), (False, True, 0)])
def test_kill_takes_back_only_what_it_was_told_to_and_began(
    scripted: ScriptedMilvus, monkeypatch: pytest.MonkeyPatch, started: bool, undo_on_kill: bool, released: int
) -> None:
    scripted.add("docs", loading(40))

    kill(rebuilt(trigger_for(LoadFinished("docs", started=started), undo_on_kill=undo_on_kill)), "failed", monkeypatch)

    assert len(scripted.received("ReleaseCollection")) == released


@pytest.mark.parametrize("state", ["failed", "removed", None])
def test_kill_takes_back_the_work_of_a_task_that_has_ended(
    scripted: ScriptedMilvus, monkeypatch: pytest.MonkeyPatch, state: str | None
) -> None:
    docs = scripted.add("docs", loading(40))
    kill(rebuilt(trigger_for(LoadFinished("docs", started=True), undo_on_kill=True)), state, monkeypatch)
    assert docs.now == NOT_LOADED


@pytest.mark.parametrize("state", ["deferred", "success", "scheduled", "queued", "running"])
def test_kill_leaves_the_work_of_a_task_that_another_triggerer_goes_on_with(
    scripted: ScriptedMilvus, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    scripted.add("docs", loading(40))
    kill(rebuilt(trigger_for(LoadFinished("docs", started=True), undo_on_kill=True)), state, monkeypatch)
    assert scripted.received("ReleaseCollection") == []


def test_kill_leaves_what_airflow_does_not_answer_about(scripted: ScriptedMilvus) -> None:
    scripted.add("docs", loading(40))
    asyncio.run(rebuilt(trigger_for(LoadFinished("docs", started=True), undo_on_kill=True)).on_kill())
    assert scripted.received("ReleaseCollection") == []


def test_kill_goes_on_when_airflow_cancels_it(scripted: ScriptedMilvus, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does so a second later, when a triggerer may still be importing pymilvus."""
    docs = scripted.add("docs", loading(40))
    scripted.always("ReleaseCollection", slow(0.5))
    runner = pytest.importorskip("airflow.sdk.execution_time.task_runner", reason="before Airflow 3 nobody calls on_kill")
    told = {"r": {"load": "failed"}}
    monkeypatch.setattr(runner.RuntimeTaskInstance, "get_task_states", staticmethod(lambda **asked: told), raising=False)
    trigger = rebuilt(trigger_for(LoadFinished("docs", started=True), undo_on_kill=True))
    trigger._task_instance = SimpleNamespace(dag_id="d", task_id="load", run_id="r", map_index=-1)

    async def cancelled() -> None:
        killing = asyncio.create_task(trigger.on_kill())
        await asyncio.sleep(0.1)
        killing.cancel()
        await asyncio.gather(killing, return_exceptions=True)
        await asyncio.gather(*milvus._TAKING_BACK)

    asyncio.run(cancelled())
    assert docs.now == NOT_LOADED


def test_stopping_a_triggerer_takes_nothing_back(scripted: ScriptedMilvus) -> None:
    scripted.add("docs", loading(40))
    trigger = rebuilt(trigger_for(LoadFinished("docs", started=True), undo_on_kill=True))

    asyncio.run(trigger.cleanup())

    assert scripted.received("ReleaseCollection") == []


def test_event_of_another_kind_is_told_as_such() -> None:
    for event in (None, {}, {"status": "success"}, "Loaded"):
        with pytest.raises(MilvusError, match="not one of its own"):
            outcome_of(event)


@pytest.mark.newest
@pytest.mark.standalone
@pytest.mark.slow
def test_killed_and_restarted_server_ends_with_the_truth(tmp_path: Path, connect: Connect) -> None:
    """SIGKILL in mid-load, 20 s away: Loaded when the server gets there, otherwise a failure that says what was seen."""
    if not PLATFORM_HAS_IT:
        pytest.skip("there is no Milvus 2.3.5 for this platform")
    with standalone_server(tmp_path) as running:
        connect(running.uri)
        server = Milvus("standalone", running.uri, running.process)
        with server.plain_client() as client:
            build_collection(client, "docs", rows=100_000, dim=256)
        operator = MilvusLoadCollectionOperator(
            task_id="load", collection_name="docs", deferrable=True, timeout=110, poll_interval=0.5
        )
        deferred = deferral(operator)

        def kill_and_restart() -> None:
            eventually(lambda: server.state_of("docs") == "Loading")
            running.process.kill()
            time.sleep(20)
            running.process.start()

        restarting = threading.Thread(target=kill_and_restart)
        restarting.start()
        try:
            ended = resume(operator, deferred)["state"]
        except (MilvusLoadStalledError, MilvusLoadFailedError) as failure:
            ended = str(failure)
        finally:
            restarting.join()

        assert ended == "Loaded", ended
        assert server.state_of("docs") == "Loaded"


@pytest.mark.parametrize(
    "condition",
    [
        {"condition": "airflow_provider_milvus.conditions.load.LoadState", "collection_name": "docs", "colour": "red"},
        {"condition": "airflow_provider_milvus.conditions.load.LoadState"},
        {"condition": "airflow_provider_milvus.conditions.load.Nothing", "collection_name": "docs"},
        {"collection_name": "docs"},
        {},
        [],
        None,
    ],
)
def test_condition_that_nobody_knows_ends_the_wait_with_an_event(scripted: ScriptedMilvus, condition: Any) -> None:
    trigger = MilvusConditionTrigger(condition=condition, end=time.time() + 5)

    event = asyncio.run(event_of(trigger))

    assert event["error"]["kind"] == "MilvusInvalidArgumentError"
