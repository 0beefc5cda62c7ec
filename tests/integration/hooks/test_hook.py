"""The hook's clients: pymilvus's own methods, bounded, with one kind of error, and closed."""

from __future__ import annotations

import asyncio
import gc
import os
from typing import Any

import psutil
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_milvus.client.flow import Method
from airflow_provider_milvus.exceptions import (
    MilvusAuthenticationError,
    MilvusCollectionNotFoundError,
    MilvusConfigurationError,
    MilvusDatabaseNotFoundError,
    MilvusError,
    MilvusInvalidArgumentError,
    MilvusRateLimitError,
    MilvusRefusedError,
    MilvusServerError,
    MilvusTimeoutError,
    MilvusUnavailableError,
    MilvusUnsupportedError,
)
from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.operators.milvus import MilvusLoadCollectionOperator, MilvusReleaseCollectionOperator
from airflow_provider_milvus.protocol.lazy_pymilvus import import_pymilvus
from dev.servers.pages import Answer, pages_server
from dev.servers.scripted import LOADED, ScriptedMilvus, abort, never_answer, refuse
from tests.integration.support import SLACK, MakeCollection, Milvus, ends_within, eventually


def connections_to(uri: str) -> set[int]:
    """The local ports of this process's connections to a server: those of earlier tests may still be closing."""
    port = int(uri.rpartition(":")[2])
    connections = psutil.Process(os.getpid()).net_connections(kind="tcp")
    to_it = (connection for connection in connections if connection.status == psutil.CONN_ESTABLISHED and connection.raddr)
    return {connection.laddr.port for connection in to_it if connection.raddr.port == port}


def test_client_has_the_methods_of_pymilvus(milvus: Milvus, make_collection: MakeCollection) -> None:
    name = make_collection(rows=20, load=True)

    with MilvusHook().client() as client:
        found = client.query(name, filter="id < 5", output_fields=["id"], consistency_level="Strong")
        described = client.describe_collection(collection_name=name, timeout=5)

    assert sorted(row["id"] for row in found) == [0, 1, 2, 3, 4]
    assert described["collection_name"] == name


def test_client_writes_what_the_server_then_has(milvus: Milvus, make_collection: MakeCollection) -> None:
    name = make_collection(rows=0, load=True)

    with MilvusHook().client() as client:
        client.insert(name, [{"id": key, "vector": [0.5] * 8} for key in range(3)])

    with milvus.plain_client() as plain:
        counted = plain.query(name, filter="id >= 0", output_fields=["id"], consistency_level="Strong")
    assert len(counted) == 3


async def test_async_client_has_the_methods_of_pymilvus(lite: Milvus, make_collection: MakeCollection) -> None:
    name = make_collection(rows=20, load=True)

    async with MilvusHook().async_client() as client:
        found = await client.query(name, filter="id < 5", output_fields=["id"])

    assert sorted(row["id"] for row in found) == [0, 1, 2, 3, 4]


def test_schema_is_built_without_asking_a_server(refused: str, connect: Any) -> None:
    connect(refused)

    with MilvusHook().client() as client:
        schema = client.create_schema(auto_id=True)
        client.prepare_index_params()

    assert schema.auto_id


def test_unknown_method_is_an_attribute_error(lite: Milvus) -> None:
    with MilvusHook().client() as client, pytest.raises(AttributeError, match="no_such_method"):
        client.no_such_method()


def test_unknown_keyword_is_a_type_error(lite: Milvus) -> None:
    with MilvusHook().client() as client, pytest.raises(TypeError):
        client.has_collection()


@pytest.mark.parametrize("method", ["use_database", "using_database"])
def test_changing_the_database_is_refused(lite: Milvus, method: str) -> None:
    with MilvusHook().client() as client, pytest.raises(MilvusRefusedError, match="MilvusHook\\(database=…\\)"):
        getattr(client, method)("other")


def test_what_pymilvus_would_do_without_a_deadline_is_refused(lite: Milvus) -> None:
    class_of_client = import_pymilvus().MilvusClient
    with MilvusHook().client() as client:
        for method in {"session", "get_server_type"} & set(dir(class_of_client)):
            with pytest.raises(MilvusRefusedError, match=method):
                getattr(client, method)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), True, []])
def test_timeouts_that_can_never_work_are_refused(lite: Milvus, timeout: Any) -> None:
    with pytest.raises(MilvusInvalidArgumentError, match="timeout"):
        MilvusHook(timeout=timeout)
    with MilvusHook().client() as client, pytest.raises(MilvusInvalidArgumentError, match="timeout"):
        client.list_collections(timeout=timeout)


def test_call_may_not_outlast_its_client(lite: Milvus) -> None:
    with (
        MilvusHook(timeout=5).client() as client,
        pytest.raises(MilvusInvalidArgumentError, match="more than this client's 5 s"),
    ):
        client.list_collections(timeout=6)


def test_channel_is_closed_with_the_client(milvus: Milvus) -> None:
    before = connections_to(milvus.uri)
    with MilvusHook().client() as client:
        client.list_collections()
        (own,) = connections_to(milvus.uri) - before

    gc.collect()
    eventually(lambda: own not in connections_to(milvus.uri))


def test_operators_leave_no_channel_open(milvus: Milvus, make_collection: MakeCollection) -> None:
    name = make_collection(load=True)
    before = connections_to(milvus.uri)

    for _ in range(3):
        MilvusReleaseCollectionOperator(task_id="t", collection_name=name).execute({})
        with pytest.raises(MilvusCollectionNotFoundError):
            MilvusReleaseCollectionOperator(task_id="t", collection_name="nowhere").execute({})

    eventually(lambda: connections_to(milvus.uri) <= before)


def test_async_channel_is_closed_with_the_client(milvus: Milvus) -> None:
    before = connections_to(milvus.uri)

    async def call() -> set[int]:
        async with MilvusHook().async_client() as client:
            await client.list_collections()
            return connections_to(milvus.uri)

    (own,) = asyncio.run(call()) - before
    eventually(lambda: own not in connections_to(milvus.uri))


def test_two_clients_of_one_server_do_not_close_each_other(lite: Milvus) -> None:
    with MilvusHook().client() as staying:
        staying.list_collections()
        with MilvusHook().client() as leaving:
            leaving.list_collections()

        staying.list_collections()


def test_client_of_one_event_loop_leaves_the_next_one_alone(lite: Milvus) -> None:
    async def call() -> None:
        async with MilvusHook().async_client() as client:
            await client.list_collections()

    asyncio.run(call())
    asyncio.run(call())


def test_short_outage_is_ridden_out_by_a_read(scripted: ScriptedMilvus) -> None:
    scripted.add("docs", LOADED)
    with MilvusHook(timeout=20).client() as client:
        client.list_collections()
        scripted.stop()
        scripted.start()

        assert client.list_collections() == ["docs"]

        scripted.next("ShowCollections", *[abort("UNAVAILABLE", "the proxy restarts")] * 3)
        assert client.list_collections() == ["docs"]


async def test_short_outage_is_ridden_out_by_the_async_client(scripted: ScriptedMilvus) -> None:
    scripted.add("docs", LOADED)
    scripted.next("ShowCollections", *[abort("UNAVAILABLE", "the proxy restarts")] * 3)

    async with MilvusHook(timeout=20).async_client() as client:
        assert await client.list_collections() == ["docs"]

    assert len(scripted.received("ShowCollections")) == 4


def test_change_of_data_is_sent_once(scripted: ScriptedMilvus) -> None:
    """The first attempt may have been carried out: sending it again could insert twice."""
    scripted.add("docs", LOADED)
    scripted.always("DropCollection", abort("UNAVAILABLE", "the proxy restarts"))

    with MilvusHook(timeout=20).client() as client, pytest.raises(MilvusUnavailableError):
        client.drop_collection("docs")

    assert len(scripted.received("DropCollection")) == 1


def test_every_call_of_the_provider_carries_its_deadline(scripted: ScriptedMilvus) -> None:
    scripted.add("docs")
    MilvusLoadCollectionOperator(task_id="t", collection_name="docs", timeout=30).execute({})
    MilvusReleaseCollectionOperator(task_id="t", collection_name="docs", timeout=30).execute({})
    with MilvusHook(timeout=30).client() as client:
        client.list_collections()
        client.has_collection("docs")

    # pymilvus 2.6 sends Connect without one; see the next test for what bounds it.
    bounded = [call for call in scripted.calls if call.name != "Connect"]
    assert {call.name for call in bounded if call.time_left is None or call.time_left > 30.5} == set()


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_call_without_a_deadline_of_its_own_ends_all_the_same(scripted: ScriptedMilvus, asynchronous: bool) -> None:
    """What pymilvus calls inside its methods without a timeout is bounded by the channel."""
    import grpc
    from pymilvus.grpc_gen import milvus_pb2

    scripted.always("HasCollection", never_answer)
    request = milvus_pb2.HasCollectionRequest(collection_name="docs")

    async def call_async() -> None:
        async with MilvusHook(timeout=1).async_client() as client:
            await (await client._connected(Method, 1))._client._handler._async_stub.HasCollection(request)

    def call() -> None:
        with MilvusHook(timeout=1).client() as client:
            client._connected(Method, 1)._client._handler._stub.HasCollection(request)

    with ends_within(1 + 2 + SLACK), pytest.raises(grpc.RpcError) as ended:
        asyncio.run(call_async()) if asynchronous else call()

    assert ended.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (abort("UNAUTHENTICATED", "auth check failure"), MilvusAuthenticationError),
        (abort("PERMISSION_DENIED", "no privilege"), MilvusAuthenticationError),
        (abort("UNIMPLEMENTED", "unknown method"), MilvusUnsupportedError),
        (abort("UNAVAILABLE", "the proxy restarts"), MilvusUnavailableError),
        (abort("DEADLINE_EXCEEDED", ""), MilvusTimeoutError),
        (abort("INTERNAL", "it broke"), MilvusServerError),
        (abort("RESOURCE_EXHAUSTED", "too large a message"), MilvusError),
        (refuse(8, "request is rejected by limiter"), MilvusRateLimitError),
        (refuse(9, "deny to write, memory quota exhausted"), MilvusRateLimitError),
        (refuse(100, "collection not found"), MilvusCollectionNotFoundError),
        (refuse(800, "database not found[database=x]"), MilvusDatabaseNotFoundError),
        (refuse(1100, "invalid parameter"), MilvusInvalidArgumentError),
        (refuse(1401, "no privilege"), MilvusAuthenticationError),
        (refuse(65535, "something else"), MilvusServerError),
        (never_answer, MilvusTimeoutError),
    ],
)
def test_every_failure_is_one_of_our_kinds(
    scripted: ScriptedMilvus, answer: Any, kind: type[MilvusError], asynchronous: bool
) -> None:
    scripted.always("ShowCollections", answer)

    async def call_async() -> None:
        async with MilvusHook(timeout=1).async_client() as client:
            await client.list_collections()

    def call() -> None:
        with MilvusHook(timeout=1).client() as client:
            client.list_collections()

    with ends_within(1 + SLACK), pytest.raises(kind) as failed:
        asyncio.run(call_async()) if asynchronous else call()

    assert "list_collections" in str(failed.value)
    assert "'milvus_default'" in str(failed.value)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_rate_limited_write_is_waited_out_and_then_named(scripted: ScriptedMilvus, asynchronous: bool) -> None:
    limit = refuse(8, "request is rejected by limiter")

    async def drop_async() -> None:
        async with MilvusHook(timeout=2).async_client() as client:
            await client.drop_collection("docs")

    def drop() -> None:
        if asynchronous:
            asyncio.run(drop_async())
            return
        with MilvusHook(timeout=2).client() as client:
            client.drop_collection("docs")

    scripted.add("docs", LOADED)
    scripted.next("DropCollection", limit, limit)
    drop()
    assert len(scripted.received("DropCollection")) == 3

    scripted.always("DropCollection", limit)
    with ends_within(2 + SLACK), pytest.raises(MilvusRateLimitError):
        drop()


def test_expected_failure_has_a_short_traceback(scripted: ScriptedMilvus) -> None:
    with MilvusHook(timeout=1).client() as client, pytest.raises(MilvusCollectionNotFoundError) as failed:
        client.describe_collection("nowhere")

    assert failed.value.__cause__ is None
    assert failed.value.__suppress_context__


def test_connection_test_tells_version_and_database(milvus: Milvus) -> None:
    works, message = MilvusHook().test_connection()

    assert works
    assert milvus.uri in message
    assert "'default'" in message


def test_connection_test_notices_a_missing_database(milvus: Milvus) -> None:
    with ends_within(5):
        works, message = MilvusHook(database="nowhere").test_connection()

    assert not works
    assert "nowhere" in message
    assert "atabase" in message


def test_connection_test_says_what_the_server_denies(scripted: ScriptedMilvus) -> None:
    denied = {"isHealthy": True, "quota_states": [5, 6], "reasons": ["memory quota exhausted"]}
    scripted.always("CheckHealth", lambda *_: denied)
    works, message = MilvusHook().test_connection()

    assert works
    assert message.endswith("; writes are denied, changes of collections are denied (memory quota exhausted).")


def test_connection_test_says_that_the_server_is_not_healthy(scripted: ScriptedMilvus) -> None:
    scripted.always("CheckHealth", lambda *_: {"isHealthy": False, "reasons": ["querynode 7 is gone"]})
    assert MilvusHook().test_connection()[1].endswith("; it is not healthy (querynode 7 is gone).")


MILVUS_PAGE = 'milvus_num_node{node_id="1",role_name="proxy"} 1\n'


def test_connection_test_reads_the_metrics(lite: Milvus, connect: Any) -> None:
    with pages_server() as pages:
        pages.at["/metrics"] = Answer(MILVUS_PAGE)
        connect(lite.uri, metrics_url=f"{pages.url}/metrics")
        works, message = MilvusHook().test_connection()

    assert works, message
    assert message.endswith("and its metrics can be read.")
    assert pages.requests


@pytest.mark.parametrize("fault", ["refused", "silent", "another page"])
def test_connection_test_tells_metrics_that_fail_from_a_server_that_fails(
    request: pytest.FixtureRequest, lite: Milvus, connect: Any, fault: str
) -> None:
    with pages_server() as pages:
        pages.at["/metrics"] = Answer("<html>")
        url = pages.url if fault == "another page" else request.getfixturevalue(fault)
        connect(lite.uri, metrics_url=f"{url}/metrics")
        with ends_within(5):
            works, message = MilvusHook().test_connection()
    with ends_within(5):
        connect(request.getfixturevalue("refused"), metrics_url=f"{url}/metrics")
        works_without_server, message_without_server = MilvusHook().test_connection()

    assert not works
    assert message.startswith("Milvus ")
    assert "but its metrics do not. The metrics" in message
    assert not works_without_server
    assert message_without_server.startswith("The server's version could not be read: the connection was refused")


def test_hook_costs_nothing_until_it_is_used() -> None:
    MilvusHook("no_such_connection")


def test_pymilvus_keeps_its_own_class(lite: Milvus) -> None:
    with MilvusHook().client() as client:
        client.list_collections()
        assert isinstance(client._open[Method]._client, import_pymilvus().MilvusClient)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_connection_that_does_not_exist_is_named_and_not_retried(asynchronous: bool) -> None:
    hook = MilvusHook("nowhere")

    async def ask() -> None:
        async with hook.async_client():
            pass

    with pytest.raises(MilvusConfigurationError, match="There is no connection 'nowhere'") as failed:
        asyncio.run(ask()) if asynchronous else hook.settings

    assert isinstance(failed.value, AirflowFailException)
    assert MilvusHook("nowhere").test_connection()[0] is False
