"""A stand-in that knows its users: it answers who is let in, and turns all others away as Milvus does."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow_provider_milvus.operators import milvus as operators
from airflow_provider_milvus.schema.pairs import to_pairs
from dev.faults.tasks import Task
from dev.faults.world import ALIASES, BYSTANDER
from dev.meanwhile.world import World, seen
from dev.roles import ROWS, SCHEMA
from dev.servers.dialects import DIALECTS, Refusal
from dev.servers.scripted import LOADED, NOT_LOADED, ScriptedMilvus, abort, collection_schema, loading

TURNED_AWAY = "auth check failure, please check username and password are correct"


class GuardedMilvus(ScriptedMilvus):
    """``token`` is what it lets in; ``None``: everybody. It has expired once ``calls_left`` calls were let in.

    ``echoes``: it answers each call with an error that repeats all that came with it, as a broken gateway does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.token: str | None = None
        self.calls_left: int | None = None
        self.echoes = False
        self.let_in: list[tuple[str, bytes]] = []
        self.turned_away: list[tuple[str, bytes]] = []
        """The calls, each with its request."""
        self._counting = threading.Lock()

    def answer(self, rpc: str, request: Any, context: Any) -> Any:
        sent = dict(context.invocation_metadata()).get("authorization", "")
        call = (rpc, request.SerializeToString(deterministic=True))
        if not self._lets_in(rpc, base64.b64decode(sent).decode()):
            self.turned_away.append(call)
            abort("UNAUTHENTICATED", TURNED_AWAY)(self, request, context)
        if rpc != "Connect":
            self.let_in.append(call)
        if self.echoes and rpc != "Connect":
            said = f"cannot serve {request} of {base64.b64decode(sent).decode()} ({sent})"
            if rpc.startswith(("Get", "Describe")):
                abort("INTERNAL", said)(self, request, context)
            return Refusal(65535, said)
        return super().answer(rpc, request, context)

    def _lets_in(self, rpc: str, token: str) -> bool:
        if self.token is not None and token != self.token:
            return False
        if self.calls_left is None or rpc == "Connect":
            return self.calls_left != 0
        with self._counting:
            self.calls_left = max(self.calls_left - 1, -1)
            return self.calls_left >= 0

    def prepare(self, task: Task) -> None:
        """Make what the task finds, on a server of a version that can do it, open to everybody."""
        self.dialect = DIALECTS[_NEWER.get(task.kind.__name__, "2.3.5")]
        self.version = self.dialect.build
        self.token, self.calls_left, self.echoes = None, None, False
        self.collections.clear()
        self.imports.clear()
        for name in ("docs", "docs_2", BYSTANDER):
            index = {"index_name": "vector", "field_name": "vector", "state": 3, "params": _INDEX}
            self.add(
                name,
                LOADED if task.world.in_memory or name == BYSTANDER else NOT_LOADED,
                on_load=(loading(40), loading(80), LOADED),
                schema=collection_schema(name, SCHEMA),
                keys=[row["id"] for row in ROWS],
                indexes=[index] if task.world.indexed or name == BYSTANDER else [],
                aliases=[ALIASES[name]] if name in ALIASES else [],
                snapshots={"monday": [1]} if task.kind is operators.MilvusRestoreSnapshotOperator else {},
            )

    def forget(self) -> None:
        """Forget the calls so far."""
        for calls in (self.calls, self.let_in, self.turned_away):
            calls.clear()

    def holds(self) -> World:
        return seen(self)


_INDEX = to_pairs({"index_type": "FLAT", "metric_type": "L2"})
_NEWER = {
    "MilvusTruncateCollectionOperator": "2.6.16",
    "MilvusCreateSnapshotOperator": "3.0.0",
    "MilvusRestoreSnapshotOperator": "3.0.0",
}
"""What 2.3.5 cannot do."""


@contextmanager
def guarded_server() -> Iterator[GuardedMilvus]:
    server = GuardedMilvus()
    server.start()
    try:
        yield server
    finally:
        server.stop()
