"""The one trigger: it waits for any condition, in the triggerer.

It holds ids and plain values only; the credentials are fetched once, when it runs. It survives a restart of the triggerer,
since ``end`` is a moment and not a duration, and rides out a restart of the server. It is limited by two of Airflow's
settings: ``[triggerer] capacity``, and, when a user kills the task, ``[triggerer] on_kill_timeout``.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_milvus.exceptions import MilvusError, error_of_kind
from airflow_provider_milvus.hooks.milvus import MilvusHook

KILL_TIMEOUT = 20.0


class MilvusConditionTrigger(BaseTrigger):
    """Wait until ``condition`` is met, can never be met, or ``end`` has come.

    :param condition: ``Condition.serialize()``.
    :param milvus_conn_id: the connection.
    :param database: the database; None: the connection's.
    :param end: when to give up, in seconds since the epoch.
    :param poll_interval: seconds between two looks.
    :param stall_timeout: give up when nothing has moved for so many seconds; None: never.
    :param undo_on_kill: when a user kills or clears the deferred task, take back what the task began. Airflow calls a
        trigger's ``on_kill`` from 3.3 on; before, nothing is taken back.
    :param submitted: what the task resumes with; it comes back with the event, since ``airflow dags test`` of Airflow 3.3 loses
        the arguments that a deferral keeps.
    """

    def __init__(
        self,
        *,
        condition: dict[str, Any],
        end: float,
        milvus_conn_id: str = MilvusHook.default_conn_name,
        database: str | None = None,
        poll_interval: float = 5.0,
        stall_timeout: float | None = None,
        undo_on_kill: bool = False,
        submitted: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.condition = condition
        self.end = end
        self.milvus_conn_id = milvus_conn_id
        self.database = database
        self.poll_interval = poll_interval
        self.stall_timeout = stall_timeout
        self.undo_on_kill = undo_on_kill
        self.submitted = submitted

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "condition": self.condition,
                "end": self.end,
                "milvus_conn_id": self.milvus_conn_id,
                "database": self.database,
                "poll_interval": self.poll_interval,
                "stall_timeout": self.stall_timeout,
                "undo_on_kill": self.undo_on_kill,
                "submitted": self.submitted,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """One event, read by :func:`outcome` and :func:`resumed_with`."""
        from airflow_provider_milvus.client.flow import Deadline
        from airflow_provider_milvus.conditions import Condition, wait_for

        deadline = Deadline(max(self.end - time.time(), 0.001))
        try:
            async with MilvusHook(self.milvus_conn_id, self.database).async_client() as client:
                seen = await client.run(
                    wait_for(
                        Condition.deserialize(self.condition),
                        deadline,
                        poll_interval=self.poll_interval,
                        stall_timeout=self.stall_timeout,
                        report=self.log.info,
                    ),
                    deadline,
                )
            event: dict[str, Any] = {"seen": seen.as_dict()}
        except MilvusError as error:
            event = error_event(error)
        yield TriggerEvent({**event, "submitted": self.submitted})  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """Called by Airflow 3.3 and later when a user kills, clears or marks the deferred task; never on a restart."""
        if not self.undo_on_kill:
            return
        from airflow_provider_milvus.client.flow import Deadline
        from airflow_provider_milvus.conditions import Condition

        condition = Condition.deserialize(self.condition)
        async with MilvusHook(self.milvus_conn_id, self.database).async_client() as client:
            await client.run(condition.undo(), Deadline(KILL_TIMEOUT))
        self.log.info("The task was killed: what it began was taken back.")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a trigger's event says was seen when the condition was met."""

    state: str
    progress: int | None


def outcome(event: Any) -> Outcome:
    """Read the trigger's event in the resumed task.

    :raises MilvusError: of the kind that ended the wait.
    """
    seen = read_event(event, "seen")["seen"]
    return Outcome(seen["state"], seen["progress"])


def resumed_with(event: Any) -> dict[str, Any]:
    """What the task gave to the trigger to resume with."""
    submitted: dict[str, Any] = _own_event(event, "submitted")["submitted"]
    return submitted


def error_event(error: MilvusError) -> dict[str, Any]:
    """The event of a wait that ended with ``error``; :func:`read_event` raises it again."""
    return {"error": {"kind": type(error).__name__, "message": str(error)}}


def read_event(event: Any, key: str) -> dict[str, Any]:
    """A trigger's event, which has ``key``.

    :raises MilvusError: of the kind that ended the wait.
    """
    own = _own_event(event, key, "error")
    if "error" in own:
        raise error_of_kind(**own["error"])
    return own


def _own_event(event: Any, *keys: str) -> dict[str, Any]:
    if not isinstance(event, dict) or not any(isinstance(event.get(key), (dict, str)) for key in keys):
        raise MilvusError(f"The trigger sent an event that is not one of its own: {event!r}.")
    return event
