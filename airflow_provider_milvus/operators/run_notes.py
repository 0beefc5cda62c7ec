"""What a run notes for its own retry and for the next run (``RunNotes``), or for its retries alone (``RetryNotes``).

Airflow clears a task's XComs before a retry, so they cannot carry what an earlier try did. ``RunNotes`` are one Airflow
Variable for each task. Several runs of a DAG may be under way at once, in a backfill for example, so each has ``RetryNotes``
of its own: Airflow 3.3 keeps them itself, as task state. Before, they are an Airflow Variable, deleted when the task has
succeeded; that of a run which never succeeds stays.
"""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

LONGEST_KEY = 250
STATE_KEY = "milvus"

log = logging.getLogger(__name__)


class RunNotes:
    """The notes of the task that ``context`` belongs to; outside a DAG run there are none, and nothing is kept."""

    PREFIX = "milvus_run_notes."

    def __init__(self, context: Context) -> None:
        task_instance = context.get("ti")
        self.run_id = str(context.get("run_id") or "")
        self.key: str | None = None
        if self.run_id and task_instance is not None:
            self.key = _key(task_instance.dag_id, task_instance.task_id, getattr(task_instance, "map_index", -1))

    def read(self) -> dict[str, Any]:
        """What was noted last; empty when nothing was, or when it is not what this module writes."""
        from airflow.providers.common.compat.sdk import Variable

        if self.key is None:
            return {}
        try:
            noted = Variable.get(self.key, None, deserialize_json=True)
        except ValueError:
            log.warning("The Airflow Variable %r is not JSON; it is not used and will be written anew.", self.key)
            return {}
        return noted if isinstance(noted, dict) else {}

    def write(self, notes: dict[str, Any]) -> None:
        from airflow.providers.common.compat.sdk import Variable

        if self.key is not None:
            Variable.set(self.key, notes, description="Kept by airflow-provider-milvus between runs", serialize_json=True)


class RetryNotes(RunNotes):
    """The notes of the run and the task that ``context`` belongs to; outside a DAG run nothing is kept."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._state = context.get("task_state_store") if self.run_id else None
        if self.key is not None:
            self.key = shortened(f"{self.key}.{self.run_id}")

    def read(self) -> dict[str, Any]:
        if self._state is None:
            return super().read()
        noted = self._state.get(STATE_KEY)
        return noted if isinstance(noted, dict) else {}

    def write(self, notes: dict[str, Any]) -> None:
        if self._state is None:
            super().write(notes)
        else:
            self._state.set(STATE_KEY, notes)

    def forget(self) -> None:
        """The task has succeeded: who clears it then wants it done anew."""
        from airflow.providers.common.compat.sdk import Variable

        if self._state is not None:
            self._state.delete(STATE_KEY)
        elif self.key is not None:
            Variable.delete(self.key)


def _key(dag_id: str, task_id: str, map_index: int) -> str:
    return shortened(f"{RunNotes.PREFIX}{dag_id}.{task_id}" + (f".{map_index}" if map_index >= 0 else ""))


def shortened(named: str) -> str:
    """A key that Airflow takes, and that is still of one name only."""
    if len(named) <= LONGEST_KEY:
        return named
    return f"{named[: LONGEST_KEY - 17]}.{hashlib.sha256(named.encode()).hexdigest()[:16]}"
