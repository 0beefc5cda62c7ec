"""What all sensors have in common: they wait for a condition in ``poke`` or ``reschedule`` mode, or in the triggerer."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowSensorTimeout, BaseSensorOperator, conf

from airflow_provider_milvus.arguments import Argument, HasArguments, OptionalArgument
from airflow_provider_milvus.exceptions import MilvusMetricsError, MilvusTimeoutError, MilvusTlsError, MilvusUnavailableError
from airflow_provider_milvus.hooks.links import HasLinks
from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.kinds import check_flag, check_name, check_text
from airflow_provider_milvus.triggers.milvus import BACKSTOP, MilvusConditionTrigger, outcome_of

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_milvus.client.client import BoundedClient
    from airflow_provider_milvus.client.flow import Deadline
    from airflow_provider_milvus.conditions import Condition

T = TypeVar("T")


class MilvusConditionSensor(HasLinks, HasArguments, BaseSensorOperator):
    """Wait for a condition in ``poke`` or ``reschedule`` mode, or in the triggerer. It only reads. All arguments are templates.

    A subclass names the condition:

    .. code-block:: python

        from airflow_provider_milvus.conditions import LoadState
        from airflow_provider_milvus.sensors.milvus import MilvusConditionSensor


        class DocsSensor(MilvusConditionSensor):
            def condition(self):
                return LoadState("docs")


        wait = DocsSensor(task_id="docs_is_loaded", timeout=3600, deferrable=True)

    All modes end in the same way. At Airflow's ``timeout`` (seconds), or when the condition can never be met, the sensor fails
    without a retry, or is skipped with ``soft_fail``. When the server is out of reach at the first look, the sensor fails and
    is retried; later it waits for the server to come back, until ``timeout``.

    :param milvus_conn_id: the connection, of type ``milvus``; ``milvus_default`` by default.
    :param database: the database; by default the connection's.
    :param deferrable: look once in the worker, then wait in the triggerer; by default what ``[operators] default_deferrable``
        says.
    :raises MilvusInvalidArgumentError: an argument can never work. Nothing was sent.
    :raises MilvusNeverMetError: the condition can never be met; not retried.
    :raises AirflowSensorTimeout: the condition was not met within ``timeout``; not retried.
    """

    milvus_conn_id = Argument(check_text)
    database = OptionalArgument(check_name, widens=True)
    deferrable = Argument(check_flag)
    ui_color = "#d7f0fb"

    def __init__(
        self,
        *,
        milvus_conn_id: str = MilvusHook.default_conn_name,
        database: str | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.begin_arguments(kwargs.get("default_args"))
        self.take(locals())
        self._began = time.monotonic()
        self._looked = False

    @cached_property
    def _hook(self) -> MilvusHook:
        self.hook_in_use = MilvusHook(self.milvus_conn_id, self.database)
        return self.hook_in_use

    def condition(self) -> Condition:
        """What to wait for. Every look asks for it again."""
        raise AssertionError("a sensor says which condition it waits for")

    def execute(self, context: Context) -> Any:
        self._began = time.monotonic()
        self.refuse_unrendered()
        if not self.deferrable:
            return super().execute(context)
        if self._first_look(context):
            return None
        left = max(self._remaining(context), 0.001)
        if self.execution_timeout is not None:
            # Airflow does not look at it while the task is deferred.
            left = min(left, self.execution_timeout.total_seconds())
        self.defer(
            trigger=self._trigger(
                end=time.time() + left,
                milvus_conn_id=self.milvus_conn_id,
                database=self.database,
                poll_interval=max(self.poke_interval, 0.1),
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=left) + BACKSTOP,
        )
        return None

    def _trigger(self, **wait: Any) -> BaseTrigger:
        return MilvusConditionTrigger(condition=self.condition().serialize(), **wait)

    def _first_look(self, context: Context) -> bool:
        """The look before the task defers. Its errors have the meaning that they have in Airflow's own loop of pokes."""
        from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

        try:
            return self.poke(context)
        except Exception as error:
            final = isinstance(error, (AirflowSensorTimeout, AirflowFailException))
            if self.never_fail or (self.soft_fail and final):
                raise AirflowSkipException(str(error)) from error
            if self.silent_fail and not final:
                self.log.error("This look failed, and the next one tries again: %s", error)
                return False
            raise

    def execute_complete(self, context: Context, event: Any = None) -> None:
        """Resumed by the trigger's event."""
        seen = self._read(event, outcome_of)
        self.log.info("%s: %s", self.condition(), seen.state)

    def _read(self, event: Any, read: Callable[[Any], T]) -> T:
        """What the trigger saw. That the time is up is an error of Airflow's."""
        try:
            return read(event)
        except MilvusTlsError:
            raise
        except (MilvusTimeoutError, MilvusUnavailableError) as error:
            raise AirflowSensorTimeout(str(error)) from None

    def poke(self, context: Context) -> bool:
        from airflow_provider_milvus.conditions import Verdict, never_met_error

        condition = self.condition()
        seen = self._look(context, lambda client, deadline: client.run(condition.look(), deadline))
        if seen is None:
            return False
        self.log.info("%s: %s", condition, seen.in_words)
        if seen.verdict is Verdict.NEVER:
            raise never_met_error(condition, seen)
        return seen.verdict is Verdict.MET

    def _look(self, context: Context, look: Callable[[BoundedClient, Deadline], T]) -> T | None:
        """What ``look`` sees; None: it failed, and the next one tries again."""
        remaining = self._remaining(context)
        try:
            with self._hook.client() as client:
                # The connection's timeout, and not the sensor's, which may be days: a wrong port shows at the first look.
                seen = look(client, self._hook.deadline().at_most(max(remaining, 0.001)))
        except MilvusTlsError:
            # The next look would not get further.
            raise
        except (MilvusMetricsError, MilvusTimeoutError, MilvusUnavailableError) as error:
            if self._remaining(context) <= 0:
                raise AirflowSensorTimeout(str(error)) from None
            if not self._looked and self._is_first_poke(context):
                raise
            self.log.warning("This look failed, and the next one tries again: %s", error)
            return None
        self._looked = True
        return seen

    def _first_reschedule(self, context: Context) -> Any:
        first_date = getattr(context.get("ti"), "get_first_reschedule_date", None)
        return None if first_date is None else first_date(context)

    def _is_first_poke(self, context: Context) -> bool:
        if not self.reschedule:
            return True
        # A task of Airflow 2.11 does not know whether it was rescheduled, so it waits for a server that is out of reach.
        is_known = hasattr(context.get("ti"), "get_first_reschedule_date")
        return is_known and self._first_reschedule(context) is None

    def _remaining(self, context: Context) -> float:
        if self.reschedule:
            first = self._first_reschedule(context)
            if first is not None:
                return float(self.timeout - (datetime.now(UTC) - first).total_seconds())
        return float(self.timeout - (time.monotonic() - self._began))
