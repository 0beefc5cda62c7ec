"""Notes that a run leaves for its retries and the next run (``RunNotes``), or for its retries only (``RetryNotes``).

Airflow clears a task's XComs before a retry, so they cannot hold what an earlier try has done. ``RunNotes`` are one Airflow
Variable for each task. Several runs of a DAG may be under way at once, for example in a backfill, so ``RetryNotes`` belong to
one run: Airflow 3.3 keeps them as task state. Before 3.3 they are an Airflow Variable, which is deleted when the task succeeds;
the Variable of a run that never succeeds stays.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.exceptions import MilvusInDoubtError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.client.tries import Tries

LONGEST_KEY = 250
"""Characters that Airflow takes for the key of a Variable."""
STATE_KEY = "milvus"

log = logging.getLogger(__name__)


class RunNotes:
    """The notes of the task in ``context``. Outside a DAG run there are none, and nothing is kept."""

    PREFIX = "milvus_run_notes."

    def __init__(self, context: Context) -> None:
        task_instance = context.get("ti")
        self.run_id = str(context.get("run_id") or "")
        self.key: str | None = None
        if self.run_id and task_instance is not None:
            self.key = _key(task_instance.dag_id, task_instance.task_id, getattr(task_instance, "map_index", -1))

    def read(self) -> dict[str, Any]:
        """The last notes; empty when there are none, or when something else than this module wrote them."""
        from airflow.providers.common.compat.sdk import Variable

        if self.key is None:
            return {}
        try:
            # Airflow takes what it reads as JSON itself for secrets, and warns in the log that short ones are not masked.
            notes = json.loads(Variable.get(self.key, None) or "{}")
        except ValueError:
            log.warning(
                "The notes of the last run are not used: the Airflow Variable %r is not JSON. It is replaced.", self.key
            )
            return {}
        return notes if isinstance(notes, dict) else {}

    def write(self, notes: dict[str, Any]) -> None:
        from airflow.providers.common.compat.sdk import Variable

        if self.key is not None:
            Variable.set(self.key, notes, description="Kept by airflow-provider-milvus between runs", serialize_json=True)

    def update(self, notes: dict[str, Any]) -> None:
        """Write notes without which the work is still right; that they cannot be written is only logged."""
        try:
            self.write(notes)
        except Exception as error:  # noqa: BLE001 - Airflow's API server may be away, and Milvus is not.
            log.warning("The notes for a retry were not written, and the work goes on without: %s", error)


class RetryNotes(RunNotes):
    """The notes of the task in ``context`` for this run only. Outside a DAG run nothing is kept."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._state = context.get("task_state_store") if self.run_id else None
        if self.key is not None:
            self.key = shorten(f"{self.key}.{self.run_id}")

    def read(self) -> dict[str, Any]:
        if self._state is None:
            return super().read()
        notes = self._state.get(STATE_KEY)
        return notes if isinstance(notes, dict) else {}

    def write(self, notes: dict[str, Any]) -> None:
        if self._state is None:
            super().write(notes)
        else:
            self._state.set(STATE_KEY, notes)

    @contextmanager
    def of(self, **change: Any) -> Iterator[Tries]:
        """The tries of one ``change``. Their notes are forgotten when the work in the block is done.

        They stay after an error, for the retry. Not after one in doubt: none follows, and whoever clears the task has looked.
        """
        try:
            yield self.tries(**change)
        except MilvusInDoubtError:
            self.forget()
            raise
        self.forget()

    def tries(self, **change: Any) -> Tries:
        """As :meth:`of`, without an end."""
        from airflow_provider_milvus.client.tries import Tries

        notes = self.read()
        return Tries(
            notes.get("note") if notes.get("change") == change else None,
            lambda note: self.write({"change": change, "note": note}),
            lambda note: self.update({"change": change, "note": note}),
        )

    def forget(self) -> None:
        """Delete the notes of a task that has succeeded: whoever clears it then wants all of it done again."""
        from airflow.providers.common.compat.sdk import Variable

        try:
            if self._state is not None:
                self._state.delete(STATE_KEY)
            elif self.key is not None:
                Variable.delete(self.key)
        except Exception as error:  # noqa: BLE001 - the work is done, whether Airflow's API server is there or not.
            log.warning("The notes for a retry were not deleted: %s. Clear the task twice to have all of it done again.", error)


def _key(dag_id: str, task_id: str, map_index: int) -> str:
    return shorten(f"{RunNotes.PREFIX}{dag_id}.{task_id}" + (f".{map_index}" if map_index >= 0 else ""))


def shorten(key: str) -> str:
    """A key that Airflow takes; a hash tells long keys apart that begin alike."""
    if len(key) <= LONGEST_KEY:
        return key
    return f"{key[: LONGEST_KEY - 17]}.{hashlib.sha256(key.encode()).hexdigest()[:16]}"
