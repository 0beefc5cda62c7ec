"""A frozen server, a port that never answers, a refused port: everything ends within its timeout plus 2 s and says which."""

from __future__ import annotations

import asyncio
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout

from airflow_provider_milvus.conditions import LoadState
from airflow_provider_milvus.exceptions import MilvusError, MilvusTimeoutError, MilvusUnavailableError
from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.operators.milvus import (
    MilvusLoadCollectionOperator,
    MilvusLoadPartitionsOperator,
    MilvusReclaimMemoryOperator,
    MilvusRefreshLoadOperator,
    MilvusReleaseCollectionOperator,
    MilvusReleasePartitionsOperator,
)
from airflow_provider_milvus.protocol.lazy_pymilvus import import_pymilvus
from airflow_provider_milvus.sensors.milvus import MilvusLoadStateSensor
from airflow_provider_milvus.triggers.milvus import MilvusConditionTrigger, outcome_of
from dev.servers.process import ServerProcess
from dev.servers.scripted import LOADED, ScriptedMilvus, never_answer, slow
from tests.integration.support import SLACK, Connect, MakeCollection, Milvus, context_of_reschedule, ends_within, event_of

TIMEOUT = 0.5


def operator(kind: type[Any], **arguments: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda context: kind(task_id="t", timeout=TIMEOUT, **arguments).execute(context)


def call_client(context: dict[str, Any]) -> None:
    with MilvusHook(timeout=TIMEOUT).client() as client:
        client.list_collections()


def call_client_that_changes_data(context: dict[str, Any]) -> None:
    with MilvusHook(timeout=TIMEOUT).client() as client:
        client.insert("docs", [{"id": 1, "vector": [0.0] * 8}])


def call_async_client(context: dict[str, Any]) -> None:
    async def call() -> None:
        async with MilvusHook(timeout=TIMEOUT).async_client() as client:
            await client.list_collections()

    asyncio.run(call())


def run_trigger(context: dict[str, Any]) -> None:
    # Its time begins before its client is made, for which a busy machine needs a second.
    end = time.time() + 3 * TIMEOUT
    trigger = MilvusConditionTrigger(condition=LoadState("docs").serialize(), end=end, milvus_conn_id="milvus_default")
    outcome_of(asyncio.run(event_of(trigger)))


ACTIONS = {
    "release": operator(MilvusReleaseCollectionOperator, collection_name="docs"),
    "load": operator(MilvusLoadCollectionOperator, collection_name="docs"),
    "load deferred": operator(MilvusLoadCollectionOperator, collection_name="docs", deferrable=True),
    "refresh": operator(MilvusRefreshLoadOperator, collection_name="docs"),
    "load partitions": operator(MilvusLoadPartitionsOperator, collection_name="docs", partition_names=["p"]),
    "release partitions": operator(MilvusReleasePartitionsOperator, collection_name="docs", partition_names=["p"]),
    "reclaim": operator(MilvusReclaimMemoryOperator, collections="*"),
    "sensor": operator(MilvusLoadStateSensor, collection_name="docs"),
    "sensor rescheduled": operator(MilvusLoadStateSensor, collection_name="docs", mode="reschedule"),
    "sensor deferred": operator(MilvusLoadStateSensor, collection_name="docs", deferrable=True),
    "trigger": run_trigger,
    "client": call_client,
    "client changing data": call_client_that_changes_data,
    "async client": call_async_client,
}

FAULTS = {
    "frozen lite": "did not answer",
    "frozen standalone": "did not answer",
    "silent port": "did not answer",
    "refused port": "refused",
}


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.standalone if "standalone" in name else ()) for name in FAULTS])
def fault(request: pytest.FixtureRequest, connect: Connect) -> Iterator[str]:
    """The connection points to something that does not work; the value is how the error must call it."""
    frozen: ServerProcess | None = None
    if request.param.startswith("frozen"):
        server: Milvus = request.getfixturevalue(request.param.removeprefix("frozen "))
        frozen, uri = server.process, server.uri
        frozen.freeze()
    else:
        uri = request.getfixturevalue(request.param.removesuffix(" port"))
    connect(uri)
    yield FAULTS[request.param]
    if frozen is not None:
        frozen.thaw()


@pytest.mark.parametrize("action", ACTIONS)
def test_it_ends_in_time_and_says_why(fault: str, action: str, monkeypatch: pytest.MonkeyPatch) -> None:
    context = context_of_reschedule(monkeypatch) if action == "sensor rescheduled" else {}
    if fault == "refused" and context and not hasattr(context["ti"], "get_first_reschedule_date"):
        pytest.skip("a sensor of Airflow 2.11 is rescheduled where its first look is refused before its time is up")

    with ends_within(TIMEOUT + SLACK), pytest.raises((MilvusError, AirflowSensorTimeout), match=fault) as failed:
        ACTIONS[action](context)

    assert "'milvus_default'" in str(failed.value)
    assert "database 'default'" in str(failed.value)


def test_connection_test_ends_in_five_seconds_and_says_why(fault: str) -> None:
    with ends_within(5):
        works, message = MilvusHook().test_connection()

    assert not works
    assert fault in message


def test_frozen_in_the_middle_of_a_task_it_still_ends(lite: Milvus, make_collection: MakeCollection) -> None:
    """The connection is open and idle when the server stops answering."""
    name = make_collection(load=True)
    with MilvusHook(timeout=1).client() as client:
        client.list_collections()
        lite.process.freeze()
        try:
            with ends_within(1 + SLACK), pytest.raises(MilvusTimeoutError, match="did not answer"):
                client.get_load_state(name)
        finally:
            lite.process.thaw()

        assert client.has_collection(name)


@contextmanager
def port_of_another_program(answer: bytes) -> Iterator[str]:
    """A port where a program answers ``answer`` to whatever it is sent, and closes the connection."""

    class Program(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1000)
            self.request.sendall(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Program) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n"])
@pytest.mark.parametrize("call", [call_client, call_async_client])
def test_port_that_is_not_milvus_is_called_so(connect: Connect, call: Callable[[dict[str, Any]], None], answer: bytes) -> None:
    with port_of_another_program(answer) as uri:
        connect(uri)
        with (
            ends_within(TIMEOUT + SLACK),
            pytest.raises(MilvusUnavailableError, match="is not Milvus, or it wants TLS") as failed,
        ):
            call({})
        with ends_within(5):
            works, message = MilvusHook().test_connection()

    assert "SETTINGS frame" in str(failed.value)
    assert not works
    assert "is not Milvus, or it wants TLS" in message


def test_grpc_server_that_is_not_milvus_is_called_so(connect: Connect) -> None:
    import grpc

    server = grpc.server(ThreadPoolExecutor(1))
    connect(f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
    server.start()
    works, message = MilvusHook().test_connection()
    server.stop(None)

    assert not works
    assert "a gRPC server answers on that host and port, and it is not Milvus" in message


@pytest.mark.parametrize("asynchronous", [False, True], ids=["worker", "triggerer"])
def test_outage_that_is_ridden_out_is_in_the_log(
    scripted: ScriptedMilvus, connect: Connect, log_text: Callable[[], str], asynchronous: bool
) -> None:
    # pymilvus 2 waits in silence for a server that is down, as long as it may take to connect.
    connect(scripted.uri, connect_timeout=0.3)
    scripted.add("docs", LOADED)
    import_pymilvus()
    scripted.stop()
    threading.Timer(4, scripted.start).start()

    if asynchronous:
        trigger = MilvusConditionTrigger(condition=LoadState("docs").serialize(), end=time.time() + 20)
        outcome_of(asyncio.run(event_of(trigger)))
    else:
        MilvusLoadStateSensor(task_id="t", collection_name="docs", timeout=20).execute({})

    log = log_text()
    assert "The load state of collection 'docs' could not be read: the connection was refused" in log
    assert "Trying again for up to" in log


@pytest.mark.xfail(strict=True, reason="pymilvus connects one synchronous client at a time, under a lock of the process")
def test_host_that_hangs_holds_up_no_other_thread(silent: str, lite: Milvus, connect: Connect) -> None:
    connect(silent, conn_id="milvus_hanging")

    def hang(_: int) -> type[BaseException]:
        with pytest.raises(MilvusTimeoutError) as failed, MilvusHook("milvus_hanging", timeout=2).client() as client:
            client.list_collections()
        return failed.type

    with ThreadPoolExecutor(2) as threads:
        hanging = threads.map(hang, range(2))
        time.sleep(0.3)

        with ends_within(1), MilvusHook().client() as client:
            client.list_collections()

        assert list(hanging) == [MilvusTimeoutError] * 2


def test_slow_answer_in_time_is_an_answer(scripted: ScriptedMilvus) -> None:
    scripted.add("docs", LOADED)
    scripted.next("DescribeCollection", slow(1))
    scripted.next("GetLoadState", slow(1))

    result = MilvusReleaseCollectionOperator(task_id="t", collection_name="docs", timeout=20).execute({})

    assert result["state"] == "NotLoad"


@pytest.mark.parametrize(
    "silent_rpc", ["Connect", "DescribeCollection", "GetLoadState", "LoadCollection", "GetLoadingProgress"]
)
def test_whichever_call_of_a_load_is_never_answered_it_ends(scripted: ScriptedMilvus, silent_rpc: str) -> None:
    scripted.add("docs", on_load=[("Loading", 0)])
    scripted.always(silent_rpc, never_answer)

    with ends_within(TIMEOUT + SLACK), pytest.raises(MilvusTimeoutError, match="did not answer"):
        MilvusLoadCollectionOperator(task_id="t", collection_name="docs", timeout=TIMEOUT).execute({})


def test_server_that_goes_away_between_two_calls_is_unavailable(scripted: ScriptedMilvus) -> None:
    with MilvusHook(timeout=1).client() as client:
        client.list_collections()
        scripted.stop()
        with ends_within(1 + SLACK), pytest.raises(MilvusUnavailableError, match="refused"):
            client.list_collections()
        scripted.start()
