"""Connects and calls that fail, or are cancelled, leave no socket: of the clients, of REST and of the metrics."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from airflow_provider_milvus.client.flow import Deadline, Flow, Rest, Rpc
from airflow_provider_milvus.client.rest import RestApi
from airflow_provider_milvus.exceptions import MilvusError
from airflow_provider_milvus.hooks.milvus import MilvusHook
from dev.servers.process import sockets_to
from dev.servers.scripted import LOADED, ScriptedMilvus, abort, never_answer
from tests.integration.support import Connect, eventually

pytestmark = pytest.mark.slow

WITHIN = 0.3


def sockets() -> int:
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found += os.readlink(entry).startswith("socket:")
    return found


def by_client() -> None:
    with MilvusHook(timeout=WITHIN).client() as client:
        client.list_collections()


def by_async_client() -> None:
    async def ask() -> None:
        async with MilvusHook(timeout=WITHIN).async_client() as client:
            await client.list_collections()

    asyncio.run(ask())


def by_cancelled_async_client() -> None:
    async def ask() -> None:
        async with MilvusHook(timeout=30).async_client() as client:
            await client.list_collections()

    async def cancel() -> None:
        task = asyncio.create_task(ask())
        await asyncio.sleep(WITHIN)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    raise MilvusError("cancelled")


def by_rest() -> None:
    asyncio.run(RestApi(MilvusHook().settings).post(Rest("/v2/vectordb/jobs/import/list"), "default", WITHIN))


def by_metrics() -> None:
    asyncio.run(MilvusHook().needed_metrics().held())


counted = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open sockets are counted in /proc")


@counted
@pytest.mark.parametrize("ask", [by_client, by_async_client, by_cancelled_async_client, by_rest, by_metrics])
def test_failed_connects_leave_no_socket(silent: str, connect: Connect, ask: Callable[[], None]) -> None:
    """gRPC by itself keeps that of a handshake for 20 s."""
    connect(silent, connect_timeout=WITHIN, metrics_url=f"{silent}/metrics")

    def fail() -> None:
        with pytest.raises(MilvusError):
            ask()

    fail()
    time.sleep(1)
    before = sockets()
    for _ in range(8):
        fail()

    # What is left of the last one is gone a moment later.
    eventually(lambda: sockets() <= before + 1, patience=4, pause=0.2)


def flush() -> Flow[None]:
    yield Rpc("Flush", {"collection_names": ["docs"]})


def in_worker() -> None:
    with MilvusHook(timeout=1).client() as client:
        client.run(flush(), Deadline(1))


def in_triggerer() -> None:
    async def run() -> None:
        async with MilvusHook(timeout=1).async_client() as client:
            await client.run(flush(), Deadline(1))

    asyncio.run(run())


def by_a_users_call() -> None:
    with MilvusHook(timeout=1).client() as client:
        client.flush("docs")


def by_a_users_call_in_a_loop() -> None:
    async def run() -> None:
        async with MilvusHook(timeout=1).async_client() as client:
            await client.flush("docs")

    asyncio.run(run())


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Nothing is freed but what nobody refers to."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@counted
@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("status", ["UNIMPLEMENTED", "PERMISSION_DENIED", "INTERNAL", "UNAVAILABLE", "no answer"])
@pytest.mark.parametrize("ask", [in_worker, in_triggerer, by_a_users_call, by_a_users_call_in_a_loop])
def test_failed_calls_leave_no_socket_while_their_error_is_kept(
    scripted: ScriptedMilvus, ask: Callable[[], None], status: str
) -> None:
    scripted.add("docs", LOADED)
    scripted.always("Flush", never_answer if status == "no answer" else abort(status, "as the test says"))
    with pytest.raises(MilvusError) as raised:
        ask()

    eventually(lambda: sockets_to(scripted.port) == 0, patience=5, pause=0.1)
    assert "docs" in str(raised.value)
