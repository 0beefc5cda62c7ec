"""The load state sensor: one meaning in poke mode, in reschedule mode and deferred."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.exceptions import AirflowRescheduleException
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
)

from airflow_provider_milvus.exceptions import (
    MilvusCollectionNotFoundError,
    MilvusDatabaseNotFoundError,
    MilvusNeverMetError,
    MilvusPartitionNotFoundError,
    MilvusUnavailableError,
)
from airflow_provider_milvus.sensors.milvus import MilvusLoadStateSensor
from dev.servers.scripted import LOADED, NOT_LOADED, ScriptedMilvus, loading, no_change
from tests.integration.support import (
    SLACK,
    Connect,
    MakeCollection,
    Milvus,
    context_of_reschedule,
    deferral,
    ends_within,
    finish,
    resume,
)

MODES = {"poke": {"mode": "poke"}, "reschedule": {"mode": "reschedule"}, "deferred": {"deferrable": True}}

PATIENCE = {"poke_interval": 0.1, "timeout": 30}

Run = Callable[..., Any]


@pytest.fixture(params=list(MODES))
def run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a sensor to its end as Airflow does in this mode."""

    def to_the_end(collection_name: str, **arguments: Any) -> Any:
        began: datetime | None = None
        while True:
            # A rescheduled task begins in a new process.
            sensor = MilvusLoadStateSensor(
                task_id="wait", collection_name=collection_name, **{**PATIENCE, **MODES[request.param], **arguments}
            )
            try:
                return finish(sensor, context_of_reschedule(monkeypatch, began))
            except AirflowRescheduleException:
                began = began or datetime.now(UTC)

    return to_the_end


def test_it_succeeds_at_once_when_the_state_is_there(milvus: Milvus, make_collection: MakeCollection, run: Run) -> None:
    name = make_collection()

    run(name, target_state="NotLoad")

    assert milvus.state_of(name) == "NotLoad"


@pytest.mark.standalone
def test_it_sees_a_load_through(standalone: Milvus, make_collection: MakeCollection, run: Run) -> None:
    name = make_collection()
    with standalone.plain_client() as client:
        client.load_collection(name, _async=True)

    run(name, fail_if_not_loading=True)

    assert standalone.state_of(name) == "Loaded"


def test_it_waits_and_only_reads(scripted: ScriptedMilvus, run: Run) -> None:
    scripted.add("docs", NOT_LOADED, loading(0), loading(40), LOADED)

    run("docs")

    assert {call.name for call in scripted.calls} <= {"Connect", "GetLoadState", "GetLoadingProgress", "DescribeCollection"}


def test_it_looks_once_before_it_defers(scripted: ScriptedMilvus) -> None:
    scripted.add("docs", LOADED)

    assert MilvusLoadStateSensor(task_id="wait", collection_name="docs", deferrable=True).execute({}) is None

    assert len(scripted.received("GetLoadState")) == 1


def test_missing_collection_fails_at_once(milvus: Milvus, run: Run) -> None:
    with ends_within(5), pytest.raises(MilvusCollectionNotFoundError, match="nowhere") as failed:
        run("nowhere")

    assert isinstance(failed.value, AirflowFailException)


def test_missing_database_is_not_a_missing_collection(milvus: Milvus, make_collection: MakeCollection, run: Run) -> None:
    name = make_collection()

    with ends_within(5), pytest.raises(MilvusDatabaseNotFoundError) as failed:
        run(name, database="nowhere")

    assert "collection not found" not in str(failed.value).lower()


def test_missing_partition_fails_at_once(milvus: Milvus, make_collection: MakeCollection, run: Run) -> None:
    name = make_collection()

    with ends_within(5), pytest.raises(MilvusPartitionNotFoundError, match="'nowhere'"):
        run(name, partition_names=["nowhere"])


def test_never_is_skipped_with_soft_fail(scripted: ScriptedMilvus, run: Run) -> None:
    with ends_within(5), pytest.raises(AirflowSkipException):
        run("nowhere", soft_fail=True)


def test_collection_that_vanishes_while_waiting_fails_at_once(scripted: ScriptedMilvus, run: Run) -> None:
    scripted.add("docs", loading(40), loading(40), ("NotExist", 0))
    looks = scripted.collections["docs"]

    def vanish(server: ScriptedMilvus, request: Any, context: Any) -> None:
        if not looks.to_come:
            server.collections.pop("docs", None)

    scripted.always("DescribeCollection", vanish)
    with ends_within(5), pytest.raises(MilvusCollectionNotFoundError, match="docs"):
        run("docs")


def test_nobody_loading_it_can_fail_at_once(scripted: ScriptedMilvus, run: Run) -> None:
    scripted.add("docs", loading(40), NOT_LOADED)

    with ends_within(5), pytest.raises(MilvusNeverMetError, match="nobody is loading it"):
        run("docs", fail_if_not_loading=True)


def test_its_timeout_fails_it_for_good(scripted: ScriptedMilvus, run: Run) -> None:
    scripted.add("docs", loading(40))

    with ends_within(1 + SLACK), pytest.raises(AirflowSensorTimeout):
        run("docs", timeout=1)


def test_its_timeout_skips_it_with_soft_fail(scripted: ScriptedMilvus, run: Run) -> None:
    scripted.add("docs", loading(40))

    with ends_within(1 + SLACK), pytest.raises(AirflowSkipException):
        run("docs", timeout=1, soft_fail=True)


def test_server_that_is_down_at_the_first_look_is_an_ordinary_failure(refused: str, connect: Connect) -> None:
    """Not a timeout, so that retries apply; not a skip either, so that soft_fail hides no outage."""
    connect(refused, timeout=1)

    for mode in ("poke", "deferred"):
        with pytest.raises(MilvusUnavailableError, match="refused"):
            MilvusLoadStateSensor(task_id="wait", collection_name="docs", timeout=60, soft_fail=True, **MODES[mode]).execute({})


def test_later_outage_is_ridden_out(scripted: ScriptedMilvus, connect: Connect, run: Run) -> None:
    """Longer than one look may take: the second look begins it, and the server is back, done, long after."""
    connect(scripted.uri, timeout=1)
    docs = scripted.add("docs", loading(40))

    def go_away_for_a_while() -> None:
        with scripted.outage(2.5):
            docs.become([LOADED])

    outage = threading.Thread(target=go_away_for_a_while)
    scripted.next("GetLoadState", no_change, lambda *call: outage.start())
    run("docs", timeout=30)
    outage.join()

    assert docs.now == LOADED


def test_deferred_it_hands_over_the_time_that_is_left(scripted: ScriptedMilvus) -> None:
    scripted.add("docs", loading(40))
    sensor = MilvusLoadStateSensor(task_id="wait", collection_name="docs", deferrable=True, timeout=100, poke_interval=5)

    deferred = deferral(sensor)

    assert 0 < deferred.trigger.end - datetime.now(UTC).timestamp() <= 100
    # Airflow's own timeout of the deferral is a backstop: it comes later than the trigger's end, and not never.
    assert timedelta(seconds=99) < deferred.timeout <= timedelta(seconds=160)


def test_deferral_that_airflow_times_out_is_a_sensor_timeout(scripted: ScriptedMilvus) -> None:
    """Where no triggerer runs, Airflow resumes the task with its own error; 2.11 makes no difference between its errors."""
    scripted.add("docs", loading(40))
    sensor = MilvusLoadStateSensor(task_id="wait", collection_name="docs", deferrable=True, timeout=100)
    deferral(sensor)

    with pytest.raises(AirflowException):
        sensor.resume_execution("__fail__", {"error": "Trigger timeout", "traceback": None}, {})


def test_names_are_templated(scripted: ScriptedMilvus) -> None:
    assert set(MilvusLoadStateSensor.template_fields) == {
        "milvus_conn_id",
        "database",
        "collection_name",
        "partition_names",
        "target_state",
        "fail_if_not_loading",
        "deferrable",
    }


def test_resumed_with_success_it_ends_without_asking_again(scripted: ScriptedMilvus) -> None:
    docs = scripted.add("docs", loading(40), LOADED)
    sensor = MilvusLoadStateSensor(task_id="wait", collection_name="docs", deferrable=True, poke_interval=0.1)

    resume(sensor, deferral(sensor))

    assert docs.now == LOADED
    assert len(scripted.received("GetLoadState")) == 2
