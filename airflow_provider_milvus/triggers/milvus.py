"""The triggers: one for every condition, and one for searches that arrive for what is not in memory. All public ones are here.

They hold ids and plain values only, and fetch the credentials once, when they run. A wait survives a restart of the triggerer,
since ``end`` is a moment and not a duration, and rides out a restart of the server. Two of Airflow's settings limit it:
``[triggerer] capacity``, and, when a user kills the task, ``[triggerer] on_kill_timeout``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_milvus.exceptions import (
    MilvusAuthenticationError,
    MilvusError,
    MilvusMetricsError,
    MilvusTimeoutError,
    MilvusTlsError,
    MilvusUnavailableError,
    error_of_kind,
)
from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.kinds import check_names, check_seconds, check_whole_number

try:
    from airflow.triggers.base import BaseEventTrigger
except ImportError:  # Airflow 2 has no AssetWatcher.
    BaseEventTrigger = BaseTrigger  # type: ignore[assignment,misc]

if TYPE_CHECKING:
    from airflow_provider_milvus.client.connection import ConnectionSettings
    from airflow_provider_milvus.conditions import Observation
    from airflow_provider_milvus.reclaim.demand import DemandedCollection

BACKSTOP = timedelta(seconds=30)
"""The trigger ends by itself and reports what it saw; Airflow's own timeout comes this much later, where no triggerer runs."""
KILL_TIMEOUT = 20.0
"""Seconds to take back the work of a killed task."""
ASK_TIMEOUT = 120.0
"""Seconds to ask Airflow for the state of a task. A triggerer's first question takes long: it imports Airflow's API for it."""
KILLED = (None, "failed", "removed", "skipped", "upstream_failed")
"""The states of a task that was killed; one that was cleared has none. Any other one goes on, or has succeeded."""
_TAKING_BACK: set[asyncio.Task[None]] = set()
LAST_LOOK = 1.0
"""Seconds that a look for demand may take, even when the end has come."""


@dataclass(kw_only=True, eq=False, repr=False)
class MilvusConditionTrigger(BaseTrigger):
    """Wait until ``condition`` is met, can never be met, or ``end`` has come. It only reads, unless the task is killed.

    .. code-block:: python

        import asyncio
        import time

        from airflow_provider_milvus.conditions import LoadState
        from airflow_provider_milvus.triggers.milvus import MilvusConditionTrigger, outcome_of

        # An operator passes the trigger to self.defer(trigger=…, method_name=…) and reads the event in that method.
        trigger = MilvusConditionTrigger(condition=LoadState("docs").serialize(), end=time.time() + 60)
        print(outcome_of(asyncio.run(anext(trigger.run())).payload))

    :param condition: what ``Condition.serialize()`` returns.
    :param end: when to give up, in seconds since the epoch.
    :param milvus_conn_id: the connection.
    :param database: the database; None: the connection's.
    :param poll_interval: seconds between two looks; 5 by default.
    :param stall_timeout: give up after these seconds without a change; None: never.
    :param undo_on_kill: take back what the task began when a user kills or clears the deferred task. Airflow calls a
        trigger's ``on_kill`` from 3.3 on; earlier versions take nothing back.
    :param submitted: what the resumed task needs. It comes back with the event, since ``airflow dags test`` of Airflow 3.3
        loses the keyword arguments of a deferral.

    The event holds an error of a kind in ``airflow_provider_milvus.exceptions``; :func:`outcome_of` raises it.
    """

    condition: dict[str, Any]
    end: float
    milvus_conn_id: str = MilvusHook.default_conn_name
    database: str | None = None
    poll_interval: float = 5.0
    stall_timeout: float | None = None
    undo_on_kill: bool = False
    submitted: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return _serialized(self)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event, for :func:`outcome_of` and :func:`resumed_with`."""
        try:
            event: dict[str, Any] = {"seen": (await self._wait()).as_dict()}
        except MilvusError as error:
            event = error_event(error)
        yield TriggerEvent({**event, "submitted": self.submitted})  # type: ignore[no-untyped-call]

    async def _wait(self) -> Observation:
        from airflow_provider_milvus.client.flow import Deadline
        from airflow_provider_milvus.conditions import Condition, wait_for

        deadline = Deadline(max(self.end - time.time(), 0.001))
        refused: tuple[ConnectionSettings, MilvusAuthenticationError] | None = None
        while True:
            async with await MilvusHook(self.milvus_conn_id, self.database).shared_client() as client:
                if refused is not None and refused[0] == client.settings:
                    raise refused[1]
                wait = wait_for(
                    Condition.deserialize(self.condition),
                    deadline,
                    poll_interval=self.poll_interval,
                    stall_timeout=self.stall_timeout,
                    report=self.log.info,
                )
                try:
                    return await client.run(wait, deadline)
                except MilvusAuthenticationError as error:
                    # The password may have been changed, here and on the server, while this waited.
                    refused = client.settings, error

    async def on_kill(self) -> None:
        """Airflow calls it from 3.3 on when a user kills, clears or marks the deferred task; and also when another triggerer
        has taken the trigger over. So the task's state is asked for first, and only the work of a task that has ended is taken
        back.
        """
        if not self.undo_on_kill:
            return
        taking_back = asyncio.create_task(self._take_back())
        # Airflow cancels this again a second later, and a task without a reference may be collected.
        _TAKING_BACK.add(taking_back)
        taking_back.add_done_callback(_TAKING_BACK.discard)
        await asyncio.shield(taking_back)

    async def _take_back(self) -> None:
        from airflow_provider_milvus.client.flow import Deadline
        from airflow_provider_milvus.conditions import Condition

        condition = Condition.deserialize(self.condition)
        if (reason := await self._why_leave()) is not None:
            self.log.info("%s was left as it is: %s.", condition, reason)
            return
        try:
            async with await MilvusHook(self.milvus_conn_id, self.database).shared_client() as client:
                outcome = await client.run(condition.undo(), Deadline(KILL_TIMEOUT))
        except MilvusError as error:
            self.log.error("The task was killed, and what it began could not be taken back: %s", error)
        else:
            self.log.info("The task was killed. %s", outcome)

    async def _why_leave(self) -> str | None:
        """Why the task's work must not be taken back, by what Airflow says of the task; ``None``: it was killed."""
        try:
            from airflow.sdk.exceptions import AirflowRuntimeError
            from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
            from asgiref.sync import sync_to_async
        except ImportError:
            return "this version of Airflow does not tell the state of the task"
        task: Any = self.task_instance
        if task is None:
            return "it is not known which task it belongs to"
        try:
            async with asyncio.timeout(ASK_TIMEOUT):
                states = await sync_to_async(RuntimeTaskInstance.get_task_states, thread_sensitive=False)(
                    dag_id=task.dag_id,
                    map_index=task.map_index if task.map_index >= 0 else None,
                    task_ids=[task.task_id],
                    run_ids=[task.run_id],
                )
        except (AirflowRuntimeError, OSError, TimeoutError) as error:
            return f"Airflow did not tell the state of the task ({type(error).__name__})"
        of_task = list(states.get(task.run_id, {}).values())
        if not of_task:
            return "Airflow does not know the task"
        return None if of_task[0] in KILLED else f"the task is {of_task[0]}"


@dataclass(kw_only=True, eq=False, repr=False)
class MilvusDemandTrigger(BaseEventTrigger):
    """Fire when searches or queries arrive for a collection that is not in memory. It only reads.

    .. code-block:: python

        from airflow_provider_milvus.triggers.milvus import MilvusDemandTrigger

        # On Airflow 3 an Asset with AssetWatcher(name="docs_demand", trigger=trigger) starts a DAG run for every event.
        trigger = MilvusDemandTrigger(collections=["docs"], poll_interval=30)

    Milvus's proxies count attempts to search or query, also those that fail. Attempts before the watch began do not count. When
    the metrics or the server cannot be read, the next look tries again. The payload of the event is ``{"collection": "docs",
    "database": "default", "attempts": 3}``.

    :param collections: the collections, by their own names. Searches through their aliases count as well.
    :param milvus_conn_id: the connection; it must have a ``metrics_url``.
    :param database: the database; None: the connection's.
    :param poll_interval: seconds between two looks; 15 by default.
    :param min_attempts: the number of attempts that fires; 1 by default.
    :param end: when to give up, in seconds since the epoch: the trigger fires once, at the first demand or with an error at the
        end. None: it watches for ever, for an ``AssetWatcher``, and fires again for a collection only after it was seen Loaded.
    :raises MilvusInvalidArgumentError: an argument can never work.
    """

    collections: str | Sequence[str]
    milvus_conn_id: str = MilvusHook.default_conn_name
    database: str | None = None
    poll_interval: float = 15.0
    min_attempts: int = 1
    end: float | None = None

    def __post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.collections = check_names("collections", self.collections)
        self.poll_interval = check_seconds("poll_interval", self.poll_interval)
        self.min_attempts = check_whole_number("min_attempts", self.min_attempts, 1)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return _serialized(self)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield events for :func:`read_demand`."""
        while True:
            try:
                async with aclosing(self._watch()) as watched:
                    async for demanded in watched:
                        yield TriggerEvent(demanded.as_dict())  # type: ignore[no-untyped-call]
                        if self.end is not None:
                            return
            except MilvusError as error:
                if self.end is not None:
                    yield TriggerEvent(error_event(error))  # type: ignore[no-untyped-call]
                    return
                # An event would start a DAG run, and the connection may be mended while this waits.
                self.log.error("The watch of %s stopped and begins again: %s", ", ".join(self.collections), error)
            await asyncio.sleep(self.poll_interval)

    async def _watch(self) -> AsyncGenerator[DemandedCollection]:
        from airflow_provider_milvus.reclaim.demand import Demand

        hook, trouble = MilvusHook(self.milvus_conn_id, self.database), ""
        async with await hook.shared_client() as client:
            metrics = hook.needed_metrics()
            demand = Demand(
                self.collections,
                hook.settings.database,
                min_attempts=self.min_attempts,
                report_missing=self.log.warning if self.end is None else None,
            )
            while True:
                try:
                    deadline = hook.deadline().at_most(max(self._left, LAST_LOOK))
                    await demand.read(metrics, deadline.remaining, hook.settings.where)
                    demands = await client.run(demand.look(), deadline)
                    trouble = ""
                except MilvusTlsError:
                    raise
                except (MilvusMetricsError, MilvusUnavailableError, MilvusTimeoutError) as error:
                    self.log.warning("A look for demand failed, and the next one tries again: %s", error)
                    demands, trouble = [], f" At the last look: {error}"
                for demanded in demands:
                    self.log.info("%s", demanded)
                    yield demanded
                if self._left <= 0:
                    raise MilvusTimeoutError(
                        f"No search came for {', '.join(self.collections)} while it was not in memory."
                        f"{trouble or f' {hook.settings.where}.'}"
                    )
                await asyncio.sleep(min(self.poll_interval, self._left))

    @property
    def _left(self) -> float:
        return float("inf") if self.end is None else self.end - time.time()


def _serialized(trigger: MilvusConditionTrigger | MilvusDemandTrigger) -> tuple[str, dict[str, Any]]:
    """The trigger's path and its arguments."""
    kind = type(trigger)
    return f"{kind.__module__}.{kind.__qualname__}", {field.name: getattr(trigger, field.name) for field in fields(trigger)}


def outcome_of(event: Any) -> Observation:
    """How the wait ended, in the resumed task: what the trigger saw when the condition was met.

    :raises MilvusError: the wait ended with this error.
    """
    from airflow_provider_milvus.conditions import Observation, Verdict

    seen = read_event(event, "seen")["seen"]
    return Observation(Verdict(seen["verdict"]), seen["state"], seen["progress"], seen["reason"])


def resumed_with(event: Any) -> dict[str, Any]:
    """The ``submitted`` of the trigger, in the resumed task."""
    submitted: dict[str, Any] = _own_event(event, "submitted")["submitted"]
    return submitted


def error_event(error: MilvusError) -> dict[str, Any]:
    """The event of a wait that ended with ``error``; :func:`read_event` raises it again."""
    return {"error": {"kind": type(error).__name__, "message": str(error)}}


def read_event(event: Any, key: str) -> dict[str, Any]:
    """The event of a trigger, which has ``key``.

    :raises MilvusError: the wait ended with this error.
    """
    own = _own_event(event, key, "error")
    if "error" in own:
        raise error_of_kind(**own["error"])
    return own


def _own_event(event: Any, *keys: str) -> dict[str, Any]:
    if not isinstance(event, dict) or not any(isinstance(event.get(key), (dict, str)) for key in keys):
        raise MilvusError(f"The task cannot resume: the trigger sent an event that is not one of its own: {event!r}.")
    return event


def read_demand(event: Any) -> dict[str, Any]:
    """The trigger's event in the resumed task: ``collection``, ``database`` and ``attempts``.

    :raises MilvusError: the wait ended with this error.
    """
    return read_event(event, "collection")
