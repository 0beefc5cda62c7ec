"""Airflow 3.3's task state, which outlives a try of a task, and the context of a run with it."""

from __future__ import annotations

import json
from typing import Any

from tests.integration.support import context_of_run


class WorkerLostError(BaseException):
    """The worker is gone: no code of the task runs any more."""


class TaskState:
    """The state of one task in one run. In place of write number ``lost_at`` the worker is lost."""

    def __init__(self, lost_at: int | None = None) -> None:
        self.kept: dict[str, str] = {}
        self.lost_at = lost_at
        self.writes = 0

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.kept[key]) if key in self.kept else default

    def set(self, key: str, value: Any) -> None:
        self.writes += 1
        if self.writes == self.lost_at:
            raise WorkerLostError
        self.kept[key] = json.dumps(value)

    def delete(self, key: str) -> None:
        self.kept.pop(key, None)


def a_try(state: TaskState) -> dict[str, Any]:
    """The context of a try of the task whose state is ``state``."""
    context = context_of_run(run_id="tonight", task_state_store=state)
    context["ti"].dag_id, context["ti"].task_id = "nightly", "import"
    return context
