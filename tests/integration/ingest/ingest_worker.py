"""A worker process that runs an ingest, for tests that kill it. Its notes outlive it.

Airflow's Variables are a file here, which is written as a whole or not at all, as in a database.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import airflow.providers.common.compat.sdk as sdk

from airflow_provider_milvus.ingest import run, sending
from airflow_provider_milvus.operators.milvus import MilvusInsertOperator, MilvusUpsertOperator
from airflow_provider_milvus.protocol.lazy_pymilvus import import_pymilvus
from airflow_provider_milvus.server import writes

DIM = 8
WRITES = {"insert": MilvusInsertOperator, "upsert": MilvusUpsertOperator}

import_pymilvus()
assert run
processes = get_context("forkserver")
"""A process that has imported all this forks the workers, as Airflow's LocalExecutor does. It has used no gRPC itself."""
processes.set_forkserver_preload([__name__])


def variables_in(path: Path) -> type:
    class Variable:
        @staticmethod
        def _all() -> dict[str, Any]:
            return dict(json.loads(path.read_text())) if path.exists() else {}

        @staticmethod
        def _keep(variables: dict[str, Any]) -> None:
            path.with_suffix(".new").write_text(json.dumps(variables))
            path.with_suffix(".new").replace(path)

        @classmethod
        def get(cls, key: str, default: Any = None) -> Any:
            return cls._all().get(key, default)

        @classmethod
        def set(cls, key: str, value: Any, description: str | None = None, serialize_json: bool = False) -> None:
            cls._keep({**cls._all(), key: json.dumps(value)})

        @classmethod
        def delete(cls, key: str) -> None:
            cls._keep({name: value for name, value in cls._all().items() if name != key})

    return Variable


def row(number: int, key: str = "id") -> dict[str, Any]:
    """All values of the row follow from ``number``."""
    return {key: number, "text": f"row {number}", "vector": [float(number % 1000 + at) for at in range(DIM)]}


def rows(first: int, count: int, key: str = "id") -> Iterator[dict[str, Any]]:
    """Rows that come so slowly that the worker can be killed among them."""
    for number in range(first, first + count):
        if not number % 100:
            time.sleep(0.005)
        yield row(number, key)


def kill_when_sent(batches: int | None, seconds: float) -> None:
    """Kill this process ``seconds`` after it has begun to send ``batches`` batches."""
    send, sent = sending.Sending._send, itertools.count(1)

    def counted(self: sending.Sending, batch: Any) -> None:
        send(self, batch)
        if next(sent) == batches:
            threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()

    sending.Sending._send = counted  # type: ignore[method-assign]


def work(write: str, source: Any, tries: int, notes: Path, results: Any, more: dict[str, Any]) -> None:
    """One try of the task. Its result goes to ``results``, unless it is killed; ``more["kill"]`` says when."""
    sdk.Variable = variables_in(notes)  # type: ignore[misc,assignment]
    writes.SETTLE, sending.SAVE_EVERY = 0.3, 0.1
    logging.disable(logging.INFO)
    os.environ.update(more.pop("environment", {}))
    kill_when_sent(*more.pop("kill", (None, 0.0)))
    context = {"run_id": "scheduled__1", "ti": SimpleNamespace(dag_id="d", task_id="t", map_index=-1, try_number=tries)}
    operator = WRITES[write](task_id="t", rows=source, timeout=120, **more)
    results.put(operator.execute(context))  # type: ignore[arg-type]
