"""What a task notes for the retries of the same run, and for nobody else.

Several runs of a DAG may be under way at once, in a backfill for example, so each has notes of its own. Airflow 3.3 keeps them
itself, as task state. Before, they are an Airflow Variable, deleted when the task has succeeded; that of a run which never
succeeds stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.operators.run_notes import RunNotes, shortened

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

STATE_KEY = "milvus"


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
