"""What all sensors have in common: they wait for a condition in ``poke`` or ``reschedule`` mode, or deferred."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    BaseSensorOperator,
    conf,
)

from airflow_provider_milvus.arguments import Argument, HasArguments, OptionalArgument
from airflow_provider_milvus.exceptions import MilvusError, MilvusTimeoutError, MilvusUnavailableError
from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.kinds import check_flag, check_name, check_text
from airflow_provider_milvus.triggers.milvus import BACKSTOP, MilvusConditionTrigger, outcome_of

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_milvus.conditions import Condition, Observation


class MilvusConditionSensor(HasArguments, BaseSensorOperator):
    """Wait for a condition in ``poke`` or ``reschedule`` mode, or deferred.

    A subclass says which condition. ``timeout``, ``soft_fail`` and retries mean the same in all modes: at ``timeout`` the
    sensor fails without a retry (or is skipped with ``soft_fail``); a condition that can never be met fails at once, also
    without a retry; a server that cannot be reached at the first look is an ordinary failure, which is retried, and later
    outages are ridden out.

    :param milvus_conn_id: the connection.
    :param database: the database; None: the connection's.
    :param deferrable: look once in the worker, then wait in the triggerer. Default: ``[operators] default_deferrable``.
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
        self.milvus_conn_id = milvus_conn_id
        self.database = database
        self.deferrable = deferrable
        self._hook: MilvusHook | None = None
        self._began = time.monotonic()
        self._looked = False

    def condition(self) -> Condition:
        raise AssertionError("a sensor says which condition it waits for")

    def execute(self, context: Context) -> Any:
        self._began = time.monotonic()
        self.refuse_unrendered()
        if not self.deferrable:
            return super().execute(context)
        if self._first_look(context):
            return None
        left = max(self._remaining(context), 0.001)
        self.defer(
            trigger=self._trigger(time.time() + left),
            method_name="execute_complete",
            timeout=timedelta(seconds=left) + BACKSTOP,
        )
        return None

    def _trigger(self, end: float) -> BaseTrigger:
        return MilvusConditionTrigger(
            condition=self.condition().serialize(),
            end=end,
            milvus_conn_id=self.milvus_conn_id,
            database=self.database,
            poll_interval=max(self.poke_interval, 0.1),
        )

    def _first_look(self, context: Context) -> bool:
        """Before deferring: what it raises means what it means to Airflow's own loop of pokes."""
        from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

        try:
            return self.poke(context)
        except Exception as error:
            final = isinstance(error, (AirflowSensorTimeout, AirflowFailException))
            if self.never_fail or (self.soft_fail and final):
                raise AirflowSkipException(str(error)) from error
            if self.silent_fail and not final:
                self.log.error("Cannot look now, will try again: %s", error)
                return False
            raise

    def execute_complete(self, context: Context, event: Any = None) -> None:
        """Resumed by the trigger's event."""
        try:
            seen = outcome_of(event)
        except (MilvusTimeoutError, MilvusUnavailableError) as error:
            raise AirflowSensorTimeout(str(error)) from None
        self.log.info("The condition is met: %s.", seen.state)

    def poke(self, context: Context) -> bool:
        from airflow_provider_milvus.conditions import Verdict, never_met_error

        hook = self._hook = self._hook or MilvusHook(self.milvus_conn_id, self.database)
        condition = self.condition()
        # A first look that fails has the connection's patience, not the sensor's days: a wrong port shows at once.
        remaining = self._remaining(context)
        try:
            with hook.client() as client:
                limit = hook.deadline().at_most(max(remaining, 0.001))
                seen: Observation = client.run(condition.look(), limit)
        except (MilvusTimeoutError, MilvusUnavailableError) as error:
            self._try_again(error, context)
            return False
        self._looked = True
        self.log.info("%s: %s", condition, seen)
        if seen.verdict is Verdict.NEVER:
            raise never_met_error(condition, seen)
        return seen.verdict is Verdict.MET

    def _try_again(self, error: MilvusError, context: Context) -> None:
        """Or raise, when there is no time left or the very first look has failed."""
        if self._remaining(context) <= 0:
            raise AirflowSensorTimeout(str(error)) from None
        if not self._looked and self._is_first_poke(context):
            raise error
        self.log.warning("Cannot look now, will try again: %s", error)

    def _first_reschedule(self, context: Context) -> Any:
        task_instance = context.get("ti")
        asked = getattr(task_instance, "get_first_reschedule_date", None)
        return asked(context) if asked is not None else None

    def _is_first_poke(self, context: Context) -> bool:
        if not self.reschedule:
            return True
        # Airflow 2.11 does not tell a task how often it was rescheduled; there an outage is waited out.
        known = hasattr(context.get("ti"), "get_first_reschedule_date")
        return known and self._first_reschedule(context) is None

    def _remaining(self, context: Context) -> float:
        if self.reschedule:
            first = self._first_reschedule(context)
            if first is not None:
                return float(self.timeout - (datetime.now(UTC) - first).total_seconds())
        return float(self.timeout - (time.monotonic() - self._began))
