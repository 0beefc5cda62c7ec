"""Acting as Airflow does, and asking a server for the truth without the provider's help."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_milvus.protocol.lazy_pymilvus import import_pymilvus
from dev.servers.process import ServerProcess
from dev.tries.airflow import task_threads as task_threads

Connect = Callable[..., None]
MakeCollection = Callable[..., str]

SLACK = 2.0
"""Seconds after its timeout by which everything must have ended."""


@dataclass(frozen=True, slots=True)
class Milvus:
    """A server under test: where it is, its process, and plain clients for it."""

    kind: str
    uri: str
    process: ServerProcess | None = None
    """``None`` for a server from outside."""

    @property
    def is_lite(self) -> bool:
        return self.kind == "lite"

    @contextmanager
    def plain_client(self, **more: Any) -> Iterator[Any]:
        client = import_pymilvus().MilvusClient(uri=self.uri, timeout=30, dedicated=True, **more)
        try:
            yield client
        finally:
            client.close()

    def state_of(self, name: str, partition_name: str = "", **more: Any) -> str:
        """The load state, by the server's own word for it."""
        with self.plain_client(**more) as client:
            return str(client.get_load_state(name, partition_name)["state"])


def build_collection(client: Any, name: str, *, rows: int, dim: int, index: str = "FLAT") -> None:
    """A key and a vector; many rows are sealed, so that a load has something to do."""
    import numpy
    from pymilvus import DataType

    schema = client.create_schema(auto_id=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dim)
    client.create_collection(name, schema=schema)
    if index:
        indexes = client.prepare_index_params()
        indexes.add_index("vector", index_type=index, metric_type="L2", params={} if index == "FLAT" else {"nlist": 16})
        # Before there are rows: an index that is asked for after a flush is now and then begun a minute later only.
        client.create_index(name, indexes, sync=False)
    random = numpy.random.default_rng(0)
    at_once = max(1, 8_000_000 // (dim * 4))
    for first in range(0, rows, at_once):
        keys = range(first, min(first + at_once, rows))
        vectors = random.random((len(keys), dim), dtype=numpy.float32)
        client.insert(name, [{"id": key, "vector": vector} for key, vector in zip(keys, vectors, strict=True)])
    if rows > 1000:
        client.flush(name)
        eventually(lambda: not index or client.describe_index(name, "vector")["state"] == "Finished", patience=100)


def load_all(client: Any, names: Sequence[str]) -> None:
    """All at once: the real server takes some 3 s for one, and hardly more for many."""
    for name in names:
        client.load_collection(name, _async=True)
    for name in names:
        eventually(lambda name=name: str(client.get_load_state(name)["state"]) == "Loaded", patience=60)


def search_as_alias_moves(client: Any, alias: str, **search: Any) -> list[Any]:
    """The hits of one vector; a search that fails is sent again, once.

    2.3.5 may fail a search that is under way when the alias moves ("failed to get delegator -1", "can't find collection name"),
    also where pymilvus alone moves it: once in some thirty moves, with three clients that search without a pause.
    """
    from pymilvus.exceptions import MilvusException

    try:
        (hits,) = client.search(alias, **search)
    except MilvusException:
        (hits,) = client.search(alias, **search)
    return list(hits)


class TooSlowError(AssertionError):
    """A bound in seconds was missed, which a machine that is busy with something else can cause as well."""


@contextmanager
def ends_within(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    if (took := time.monotonic() - began) > seconds:
        raise TooSlowError(f"it took {took:.1f} s instead of {seconds:g} s")


def eventually(holds: Callable[[], bool], patience: float = 10.0, pause: float = 0.02) -> None:
    """Wait for what another thread does."""
    end = time.monotonic() + patience
    while not holds():
        if time.monotonic() > end:
            raise TooSlowError(f"it did not come to hold within {patience:g} s")
        time.sleep(pause)


def deferral(operator: Any, context: Any = None) -> TaskDeferred:
    """Execute an operator that must defer."""
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(context or {})
    return deferred.value


def rebuilt(trigger: Any) -> Any:
    """The trigger as a triggerer makes it: from its class path and its arguments, which went through JSON."""
    path, arguments = trigger.serialize()
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)(**json.loads(json.dumps(arguments)))


async def event_of(trigger: Any) -> dict[str, Any]:
    """The one event of a trigger, as it reaches the resumed task."""
    (event,) = [each async for each in rebuilt(trigger).run()]
    payload: dict[str, Any] = json.loads(json.dumps(event.payload))
    return payload


def resume(operator: Any, deferred: TaskDeferred, context: Any = None) -> Any:
    """Run the trigger, then the task again, as Airflow does; with the event alone, as ``airflow dags test`` of 3.3 does."""
    event = asyncio.run(event_of(deferred.trigger))
    return operator.resume_execution(deferred.method_name, {"event": event}, context or {})


def finish(operator: Any, context: Any = None) -> Any:
    """Execute, in the triggerer as well where the operator defers."""
    try:
        return operator.execute(context or {})
    except TaskDeferred as deferred:
        waiting = deferred
    while True:
        try:
            return resume(operator, waiting, context)
        except TaskDeferred as again:
            waiting = again


def context_of_reschedule(monkeypatch: pytest.MonkeyPatch, first: datetime | None = None) -> dict[str, Any]:
    """What a sensor in reschedule mode asks about earlier runs of the task: when it was rescheduled first."""
    try:
        import airflow.sensors.base as before_airflow_3

        monkeypatch.setattr(before_airflow_3, "_orig_start_date", lambda **identity: first)
        return {"ti": SimpleNamespace(max_tries=0, dag_id="d", task_id="t", run_id="r", map_index=-1)}
    except AttributeError:
        return {"ti": SimpleNamespace(get_first_reschedule_date=lambda context: first)}


def context_of_run(moment: datetime | None = None, **more: Any) -> dict[str, Any]:
    """The context of a DAG run with this logical date, and a task instance that remembers what was pushed to XCom."""
    pushed: list[tuple[str, Any]] = []
    task_instance = SimpleNamespace(pushed=pushed, xcom_push=lambda key, value: pushed.append((key, value)))
    return {"ti": task_instance, "logical_date": moment or datetime(2026, 3, 10, 2, tzinfo=UTC), **more}
