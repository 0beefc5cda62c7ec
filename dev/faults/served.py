"""A real server that cases share: it has what the next task finds, made anew only where the last one has changed it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from airflow_provider_milvus.protocol.lazy_pymilvus import import_pymilvus
from dev.faults import inventory
from dev.faults.world import World
from dev.servers.lite import lite_server
from dev.servers.standalone import standalone_server

SERVERS: dict[str, Callable[[Path], AbstractContextManager[Any]]] = {"lite": lite_server, "standalone": standalone_server}


class Served:
    """A server, a plain client to it, and what it has."""

    def __init__(self, kind: str, process: Any) -> None:
        self.kind, self.uri, self.port = kind, process.uri, process.port
        self.metrics_port = getattr(process, "metrics_port", 0)
        self.client = import_pymilvus().MilvusClient(uri=self.uri, timeout=30, dedicated=True)
        self._found: tuple[World, inventory.Inventory] | None = None

    def with_world(self, world: World) -> inventory.Inventory:
        """Make what a task finds, unless the last task has left the same."""
        now = inventory.settled(self.client)
        if self._found is None or self._found != (world, now):
            now = world.make(self.client)
            self._found = (world, now)
        return now


@contextmanager
def started(kind: str) -> Iterator[Served]:
    """A server of this kind, until the block ends."""
    with TemporaryDirectory() as folder, SERVERS[kind](Path(folder)) as process:
        served = Served(kind, process)
        try:
            yield served
        finally:
            served.client.close()
