"""One client for all who use the same connection in the same event loop: a thousand waits connect once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from airflow_provider_milvus.client.client import AsyncBoundedClient

if TYPE_CHECKING:
    from airflow_provider_milvus.client.connection import ConnectionSettings


class SharedClient:
    """A client that is open while somebody is in the block of an ``async with``."""

    def __init__(self, client: AsyncBoundedClient) -> None:
        self._client = client
        self._users = 0

    def serves(self, settings: ConnectionSettings, timeout: float) -> bool:
        return (self._client.settings, self._client.timeout) == (settings, timeout)

    async def __aenter__(self) -> AsyncBoundedClient:
        self._users += 1
        return self._client

    async def __aexit__(self, *exc_info: object) -> None:
        self._users -= 1
        if not self._users:
            _OF_LOOP[asyncio.get_running_loop()].remove(self)
            await self._client.close()


_OF_LOOP: WeakKeyDictionary[asyncio.AbstractEventLoop, list[SharedClient]] = WeakKeyDictionary()


def shared_client(settings: ConnectionSettings, timeout: float) -> SharedClient:
    """The client of all in this event loop with the same settings, their secrets among them, and the same timeout. Who reads a
    connection after it was changed gets another one.
    """
    clients = _OF_LOOP.setdefault(asyncio.get_running_loop(), [])
    found = next((client for client in clients if client.serves(settings, timeout)), None)
    if found is None:
        found = SharedClient(AsyncBoundedClient(settings, timeout))
        clients.append(found)
    return found
