"""Connects that fail, or are cancelled, leave no socket: of the clients, of REST and of the metrics."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from airflow_provider_milvus.client.flow import Rest
from airflow_provider_milvus.client.rest import RestApi
from airflow_provider_milvus.exceptions import MilvusError
from airflow_provider_milvus.hooks.milvus import MilvusHook
from tests.integration.support import Connect, eventually

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


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open sockets are counted in /proc")
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
