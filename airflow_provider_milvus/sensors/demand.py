"""The sensor for searches that arrive for a collection which is not in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSensorTimeout

from airflow_provider_milvus.arguments import names, whole_number
from airflow_provider_milvus.exceptions import (
    MilvusInvalidArgumentError,
    MilvusMetricsError,
    MilvusTimeoutError,
    MilvusUnavailableError,
)
from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.sensors.base import MilvusConditionSensor
from airflow_provider_milvus.triggers.demand import MilvusDemandTrigger, read_demand

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, PokeReturnValue

    from airflow_provider_milvus.reclaim.demand import Demand


class MilvusDemandSensor(MilvusConditionSensor):
    """Wait until searches or queries arrive for a collection that is not in memory, in ``poke`` mode or deferred.

    Only what arrives while it waits is demand. It only reads. Timeouts and outages are as in every sensor of this provider;
    metrics that cannot be read are an outage.

    Returns ``collection``, ``database`` and ``attempts`` of the first collection that is wanted.

    :param collection_names: the collections, by their own names. Searches through their aliases count as well. (templated)
    :param min_attempts: how many attempts make a demand.
    :param milvus_conn_id: the connection; it must have a ``metrics_url``. (templated)
    :raises MilvusCollectionNotFoundError, MilvusDatabaseNotFoundError: there is nothing to wait for; never retried.
    :raises MilvusInvalidArgumentError: ``mode="reschedule"`` without ``deferrable``, for it would forget what it counted.
    """

    template_fields: Sequence[str] = (*MilvusConditionSensor.template_fields, "collection_names")
    ui_color = "#d7f0fb"

    def __init__(self, *, collection_names: str | Sequence[str], min_attempts: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.reschedule and not self.deferrable:
            raise MilvusInvalidArgumentError(
                "MilvusDemandSensor compares counters from look to look, which mode='reschedule' forgets: "
                "use deferrable=True, or mode='poke'."
            )
        self.collection_names = collection_names
        self.min_attempts = whole_number("min_attempts", min_attempts, 1)
        self._demand: Demand | None = None

    def _trigger(self, end: float) -> MilvusDemandTrigger:
        return MilvusDemandTrigger(
            collection_names=self.collection_names,
            milvus_conn_id=self.milvus_conn_id,
            database=self.database,
            poll_interval=max(self.poke_interval, 0.1),
            min_attempts=self.min_attempts,
            end=end,
        )

    def poke(self, context: Context) -> bool | PokeReturnValue:  # type: ignore[override]
        from airflow.providers.common.compat.sdk import PokeReturnValue

        from airflow_provider_milvus.reclaim.demand import Demand

        hook = self._hook = self._hook or MilvusHook(self.milvus_conn_id, self.database)
        listed, metrics = names("collection_names", self.collection_names), hook.needed_metrics()
        remaining = self._remaining(context)
        try:
            with hook.client() as client:
                limit = hook.deadline().at_most(max(remaining, 0.001))
                if self._demand is None:
                    demand = Demand(listed, hook.settings.database, min_attempts=self.min_attempts)
                    client.run(demand.check(), limit)
                    self._demand = demand
                self._demand.count(asyncio.run(metrics.attempts()))
                found = client.run(self._demand.look(), limit)
        except (MilvusMetricsError, MilvusTimeoutError, MilvusUnavailableError) as error:
            self._try_again(error, context)
            return False
        self._looked = True
        for each in found:
            self.log.info("%s", each)
            return PokeReturnValue(True, each.as_dict())
        return False

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:  # type: ignore[override]
        """Resumed by the trigger's event."""
        try:
            return read_demand(event)
        except (MilvusTimeoutError, MilvusUnavailableError) as error:
            raise AirflowSensorTimeout(str(error)) from None
