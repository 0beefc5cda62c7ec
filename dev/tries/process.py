"""A try of a task in a process of its own, as a worker of Airflow runs it: it can be killed, and what is kept is in a folder.

The processes are forked from one that has imported everything and has neither threads nor connections.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from airflow_provider_milvus import bulk_import, client, ingest, reclaim, server
from airflow_provider_milvus.protocol.lazy_pymilvus import import_pymilvus
from dev.faults.tasks import Task
from dev.tries.airflow import Ended, JsonFile, TaskState, Variables, context_of, ended, without_airflow

_PACKAGES = (client, server, ingest, reclaim, bulk_import)
IMPORTED = (
    *(f"{package.__name__}.{module.name}" for package in _PACKAGES for module in iter_modules(package.__path__)),
    "airflow_provider_milvus.hooks.milvus",
    "airflow.sdk.execution_time.supervisor",
    "pymilvus.grpc_gen.milvus_pb2_grpc",
    "tabulate",
    "dev.tries.process",
)
"""What tasks import when they run; what is not there, such as a part of Airflow 3, is left out."""
TIMEOUT = 60.0
HAS_TASK_STATE = tuple(map(int, re.findall(r"\d+", version("apache-airflow"))[:2])) >= (3, 3)
"""Before, notes for a retry are Variables."""

import_pymilvus()


@dataclass(frozen=True, slots=True)
class Try:
    """The ``number``-th try; 0 is what is done before the task, for others. ``folder`` outlives the try.

    ``put_in`` is called first, in the process of the try.
    """

    task: Task
    number: int
    uri: str
    folder: Path
    given: Mapping[str, Any] = field(default_factory=dict)
    put_in: Callable[[], object] | None = None

    @property
    def state(self) -> TaskState:
        return TaskState(JsonFile(self.folder / "state.json"))


class TryProcess:
    """The process of a try. It begins with :meth:`begin`, so that whoever kills it knows its ``pid`` by then."""

    def __init__(self, one: Try) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(IMPORTED))
        self._try = one
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_carry_out, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def begin(self) -> None:
        self._pipe.send(self._try)

    def end(self) -> Ended | None:
        """Wait for it: how the try ended, or ``None`` if its process was killed."""
        try:
            told: Ended | None = self._pipe.recv() if self._pipe.poll(2 * TIMEOUT) else _hangs()
        except (EOFError, ConnectionResetError):
            told = None
        self._process.kill()
        self._process.join()
        self._process.close()
        self._pipe.close()
        return told


def _hangs() -> Ended:
    return Ended(error="TimeoutError", message=f"The try did not end within {2 * TIMEOUT:g} s.", is_ours=False)


def run(one: Try) -> Ended:
    """A try that nobody kills."""
    process = TryProcess(one)
    process.begin()
    told = process.end()
    assert told is not None, "a process that nobody killed has ended without a word"
    return told


def _carry_out(pipe: Any) -> None:
    one: Try = pipe.recv()
    logging.disable(logging.CRITICAL)
    os.environ["AIRFLOW_CONN_MILVUS_DEFAULT"] = json.dumps({"conn_type": "milvus", "extra": {"uri": one.uri}})
    Variables.kept = JsonFile(one.folder / "variables.json")
    context = context_of("kills", "task", one.state if HAS_TASK_STATE else None, one.number)
    if one.put_in is not None:
        one.put_in()

    def execute() -> Any:
        if one.number:
            return one.task.make(TIMEOUT, one.folder, one.given, deferrable=False).execute(context)
        return one.task.before(one.folder) if one.task.before else {}

    with without_airflow():
        pipe.send(ended(execute))
