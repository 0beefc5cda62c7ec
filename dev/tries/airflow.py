"""What a running Airflow gives a task and keeps between its tries: a context, the state of a task, Variables."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_milvus.exceptions import MilvusError

RUN = "tonight"
STATES: dict[str, str] = {}
"""The state of the task that Airflow tells, by the DAG's id."""

Kept = MutableMapping[str, str]


class JsonFile(Kept):
    """Texts by their keys in a file, for processes of which one may be killed at any moment."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _all(self) -> dict[str, str]:
        return dict(json.loads(self._path.read_text())) if self._path.exists() else {}

    def _replace(self, kept: dict[str, str]) -> None:
        written = self._path.with_suffix(".new")
        written.write_text(json.dumps(kept))
        os.replace(written, self._path)

    def __getitem__(self, key: str) -> str:
        return self._all()[key]

    def __setitem__(self, key: str, value: str) -> None:
        self._replace({**self._all(), key: value})

    def __delitem__(self, key: str) -> None:
        kept = self._all()
        del kept[key]
        self._replace(kept)

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


class TaskState:
    """Airflow's state of one task in one run, which outlives a try."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self._kept[key]) if key in self._kept else default

    def set(self, key: str, value: Any) -> None:
        self._kept[key] = json.dumps(value)

    def delete(self, key: str) -> None:
        self._kept.pop(key, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept)


class Variables:
    """Airflow's Variables, without its database; the keys of each play are its own."""

    kept: Kept = {}

    @classmethod
    def get(cls, key: str, default: Any = None) -> Any:
        return cls.kept.get(key, default)

    @classmethod
    def set(cls, key: str, value: Any, description: str | None = None, serialize_json: bool = False) -> None:
        cls.kept[key] = json.dumps(value) if serialize_json else value

    @classmethod
    def delete(cls, key: str) -> None:
        cls.kept.pop(key, None)


@contextmanager
def without_airflow() -> Iterator[None]:
    """What a running Airflow has: Variables, and the state of a task."""
    with ExitStack() as patches:
        patches.enter_context(patch("airflow.providers.common.compat.sdk.Variable", Variables, create=True))
        with suppress(ImportError):
            from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

            patches.enter_context(patch.object(RuntimeTaskInstance, "get_task_states", staticmethod(_told)))
        yield


@contextmanager
def without_masks() -> Iterator[None]:
    """Airflow hides nothing in logs. It finds the extra of every connection that a process has seen by one expression, which it
    compiles anew for each: with thousands of them that is most of what a process does."""
    with ExitStack() as patches:
        for name in ("mask_secret", "amask_secret"):
            with suppress(ImportError, AttributeError):
                patches.enter_context(patch(f"airflow.sdk.execution_time.context.{name}"))
        yield


def _told(dag_id: str, *, task_ids: Sequence[str] = (), run_ids: Sequence[str] = (), **more: Any) -> dict[str, Any]:
    return {run_id: dict.fromkeys(task_ids, STATES.get(dag_id, "failed")) for run_id in run_ids}


def context_of(dag_id: str, task_id: str, state: TaskState | None, attempt: int) -> dict[str, Any]:
    """What a try of a task is executed with. Before Airflow 3.3 there is no ``state``."""
    task_instance = SimpleNamespace(
        dag_id=dag_id,
        task_id=task_id,
        run_id=RUN,
        map_index=-1,
        try_number=attempt,
        xcom_push=lambda key, value: None,
    )
    moment = datetime(2026, 3, 10, 2, tzinfo=UTC)
    given = {"ti": task_instance, "run_id": RUN, "logical_date": moment}
    return given if state is None else {**given, "task_state_store": state}


@dataclass(frozen=True, slots=True)
class Ended:
    """How a try ended: ``error`` is ``None`` after a success, and ``is_ours`` where the error has one of our kinds."""

    result: Any = None
    error: str | None = None
    message: str = ""
    is_ours: bool = True


def ended(execute: Callable[[], Any]) -> Ended:
    """Execute a task, whose result goes through JSON as in an XCom."""
    try:
        return Ended(json.loads(json.dumps(execute())))
    except Exception as error:  # noqa: BLE001 - what a task may raise is what is judged
        return Ended(None, type(error).__name__, str(error), isinstance(error, (MilvusError, AirflowException)))


def task_threads(count: int) -> ThreadPoolExecutor:
    """Threads in which operators can be executed: Airflow 2.11 keeps a note of who calls them in each thread."""

    def prepare() -> None:
        with suppress(ImportError, AttributeError):
            from airflow.models.baseoperator import ExecutorSafeguard

            ExecutorSafeguard._sentinel.callers = {}

    return ThreadPoolExecutor(count, initializer=prepare)
