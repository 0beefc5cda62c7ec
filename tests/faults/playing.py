"""Running a task as Airflow does, and keeping all that it has told anybody."""

from __future__ import annotations

import asyncio
import json
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_milvus.triggers.milvus import read_event
from dev.faults.tasks import Task
from dev.tries.airflow import TaskState
from tests.integration.support import event_of


@dataclass(slots=True)
class Played:
    """``told``: what was said where, as text."""

    error: BaseException | None = None
    result: Any = None
    seconds: float = 0.0
    deferred: bool = False
    told: dict[str, str] = field(default_factory=dict)

    @property
    def outcome(self) -> str:
        return "success" if self.error is None else type(self.error).__name__

    def tell(self, place: str, what: object) -> None:
        self.told[place] = self.told.get(place, "") + f"{what!r}\n"


def play(
    task: Task,
    timeout: float,
    folder: Path,
    given: Any,
    *,
    deferrable: bool,
    once_deferred: Callable[[], object] = lambda: None,
) -> Played:
    """Run it in the worker, in the triggerer where it defers, and in the worker again."""
    played = Played()
    operator = task.make(timeout, folder, given, deferrable=deferrable)
    pushed: list[Any] = []
    identity = {"dag_id": "d", "task_id": "task", "run_id": "r", "map_index": -1, "try_number": 1}
    task_instance = SimpleNamespace(xcom_push=lambda key, value: pushed.append((key, value)), **identity)
    context: Any = {"ti": task_instance, "run_id": "r", "task_state_store": TaskState({})}

    def in_triggerer(trigger: Any) -> Any:
        played.tell("trigger row", trigger.serialize())
        event = asyncio.run(event_of(trigger))
        played.tell("event", event)
        return event

    def whole() -> Any:
        if task.is_trigger:
            return read_event(in_triggerer(operator), "seen" if "condition" in operator.serialize()[1] else "collection")
        try:
            return operator.execute(context)
        except TaskDeferred as deferral:
            deferred = deferral
        while True:
            if not played.deferred:
                once_deferred()
            played.deferred = True
            played.tell("deferral", (deferred.method_name, deferred.kwargs))
            event = in_triggerer(deferred.trigger)
            try:
                return operator.resume_execution(deferred.method_name, {"event": event}, context)
            except TaskDeferred as again:
                deferred = again

    began = time.monotonic()
    try:
        played.result = whole()
    except Exception as error:
        played.error = error
        played.tell("error", error)
        played.tell("error's attributes", vars(error))
        played.told["traceback"] = "".join(traceback.TracebackException.from_exception(error).format(chain=True))
    played.seconds = time.monotonic() - began
    played.tell("result", json.dumps(played.result))
    played.tell("XCom", pushed)
    played.tell("operator", (str(operator), operator, {name: repr(value) for name, value in vars(operator).items()}))
    if not task.is_trigger:
        played.tell("rendered fields", {name: getattr(operator, name, None) for name in operator.template_fields})
    return played
