"""The sensors: one thin class for each condition. Everything public can be imported from here."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSensorTimeout

from airflow_provider_milvus.arguments import Argument, OptionalArgument
from airflow_provider_milvus.exceptions import (
    MilvusMetricsError,
    MilvusTimeoutError,
    MilvusUnavailableError,
)
from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.kinds import (
    check_filter,
    check_flag,
    check_job_ids,
    check_mapping,
    check_name,
    check_names,
    one_of,
    whole_number,
)
from airflow_provider_milvus.sensors.base import MilvusConditionSensor as MilvusConditionSensor
from airflow_provider_milvus.triggers.milvus import MilvusDemandTrigger, read_demand

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, PokeReturnValue

    from airflow_provider_milvus.bulk_import.condition import ImportFinished
    from airflow_provider_milvus.conditions import CollectionExists, Compacted, IndexBuilt, LoadState, RowCount
    from airflow_provider_milvus.reclaim.demand import Demand


class MilvusLoadStateSensor(MilvusConditionSensor):
    """Wait until a collection, or each of some partitions, is in memory (or no longer is).

    It only reads: the server's state is the same afterwards.

    :param collection_name: the collection, or an alias of it. (templated)
    :param partition_names: check each of these partitions. Without them the collection as a whole is asked, and Milvus
        calls that Loaded as soon as one of its partitions is. (templated)
    :param target_state: ``"Loaded"`` or ``"NotLoad"``.
    :param fail_if_not_loading: fail at once when the collection is NotLoad, that is, when nobody is loading it.
    :raises MilvusNotFoundError: the collection, a partition or the database does not exist; never retried.
    """

    collection_name = Argument(check_name)
    partition_names = OptionalArgument(check_names, widens=True, nothing="*")
    target_state = Argument(one_of("Loaded", "NotLoad"))
    fail_if_not_loading = Argument(check_flag)

    def __init__(
        self,
        *,
        collection_name: str,
        partition_names: str | Sequence[str] | None = None,
        target_state: str = "Loaded",
        fail_if_not_loading: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.collection_name = collection_name
        self.partition_names = partition_names
        self.target_state = target_state
        self.fail_if_not_loading = fail_if_not_loading

    def condition(self) -> LoadState:
        from airflow_provider_milvus.conditions import LoadState

        return LoadState(
            collection_name=self.collection_name,
            partition_names=self.partition_names or [],
            target_state=self.target_state,
            fail_if_not_loading=self.fail_if_not_loading and self.target_state == "Loaded",
        )


class MilvusCollectionSensor(MilvusConditionSensor):
    """Wait until a collection is there, or no longer is. It only reads.

    :param collection_name: the collection, or an alias. (templated)
    :param exists: False: wait until there is none of that name.
    :raises MilvusDatabaseNotFoundError: the database does not exist; never retried.
    """

    collection_name = Argument(check_name)
    exists = Argument(check_flag)

    def __init__(self, *, collection_name: str, exists: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.collection_name = collection_name
        self.exists = exists

    def condition(self) -> CollectionExists:
        from airflow_provider_milvus.conditions import CollectionExists

        return CollectionExists(self.collection_name, self.exists)


class MilvusIndexSensor(MilvusConditionSensor):
    """Wait until indexes are there and built: ``Finished``, and no row pending. It only reads.

    Rows that are not flushed have no index yet and are not waited for.

    :param collection_name: the collection, or an alias. (templated)
    :param field_name: only the index of this field. (templated)
    :param index_name: only the index of this name. (templated)
    :raises MilvusIndexFailedError: the server gave up building one; never retried.
    :raises MilvusNotFoundError: the collection or the database does not exist; never retried.
    """

    collection_name = Argument(check_name)
    field_name = OptionalArgument(check_name)
    index_name = OptionalArgument(check_name)

    def __init__(
        self, *, collection_name: str, field_name: str | None = None, index_name: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.collection_name = collection_name
        self.field_name = field_name
        self.index_name = index_name

    def condition(self) -> IndexBuilt:
        from airflow_provider_milvus.conditions import IndexBuilt

        return IndexBuilt(self.collection_name, self.field_name or "", self.index_name or "")


class MilvusRowCountSensor(MilvusConditionSensor):
    """Wait until a collection has enough rows. It only reads.

    The server counts them: all that was written, flushed or not, and nothing that was deleted. The collection has to be
    loaded, since Milvus counts only what is in memory. Each look counts anew: of many rows with a filter, not too often.

    :param collection_name: the collection, or an alias. (templated)
    :param at_least: so many rows. (templated)
    :param filter: count only the rows that match. It is no template, so that no value can change what it means.
    :param filter_params: values for ``{name}`` in the filter, quoted safely. (templated)
    :param partition_names: count in these partitions only. (templated)
    :raises MilvusNotLoadedError: the collection is not in memory, or not all of it; retried.
    :raises MilvusNotFoundError: the collection, a partition or the database does not exist; never retried.
    """

    collection_name = Argument(check_name)
    at_least = Argument(whole_number())
    filter = OptionalArgument(check_filter, widens=True, templated=False)
    filter_params = OptionalArgument(check_mapping)
    partition_names = OptionalArgument(check_names, widens=True, nothing="*")

    def __init__(
        self,
        *,
        collection_name: str,
        at_least: int | str,
        filter: str | None = None,
        filter_params: Mapping[str, Any] | None = None,
        partition_names: str | Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.collection_name = collection_name
        self.at_least = at_least
        self.filter = filter
        self.filter_params = filter_params
        self.partition_names = partition_names

    def condition(self) -> RowCount:
        from airflow_provider_milvus.conditions import RowCount
        from airflow_provider_milvus.server.filters import render

        return RowCount(
            self.collection_name,
            self.at_least,
            render(self.filter or "", self.filter_params),
            self.partition_names or [],
        )


class MilvusCompactionSensor(MilvusConditionSensor):
    """Wait until a compaction is through. It only reads.

    Milvus says Completed of a compaction that it does not know: of another id, or of one before a restart. ``plans``, as the
    compaction's task returned it, tells that apart.

    :param compaction_id: what ``MilvusCompactOperator(wait=False)`` returned as ``compaction_id``; 0, which it returns where
        nothing was to be done, is done. (templated)
    :param plans: how many plans it had, as it returned it; 0: take the server's word. (templated)
    :raises MilvusServerError: a plan failed, or the server forgot the compaction; retried.
    """

    compaction_id = Argument(whole_number())
    plans = Argument(whole_number())

    def __init__(self, *, compaction_id: int | str, plans: int | str = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.compaction_id = compaction_id
        self.plans = plans

    def condition(self) -> Compacted:
        from airflow_provider_milvus.conditions import Compacted

        return Compacted(self.compaction_id, self.plans)


class MilvusBulkImportSensor(MilvusConditionSensor):
    """Wait until import jobs have completed: every file is in.

    It only reads. The rows of a collection that was loaded before are served after a refresh, which
    ``MilvusRefreshLoadOperator`` does.

    :param collection_name: the collection that is imported into. (templated)
    :param job_ids: the job, or a list of jobs; of Milvus 2.3 each file has its own. (templated)
    :raises MilvusNeverMetError: a job has failed, with the reasons by file, or the server does not know it, or no longer.
    :raises MilvusUnsupportedError: the server is Milvus Lite.
    """

    collection_name = Argument(check_name)
    job_ids = Argument(check_job_ids)

    def __init__(self, *, collection_name: str, job_ids: str | int | Sequence[str | int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.collection_name = collection_name
        self.job_ids = job_ids

    def condition(self) -> ImportFinished:
        from airflow_provider_milvus.bulk_import.condition import ImportFinished

        return ImportFinished(self.collection_name, self.job_ids)


class MilvusDemandSensor(MilvusConditionSensor):
    """Wait until searches or queries arrive for a collection that is not in memory, in ``poke`` mode or deferred.

    Only what arrives while it waits is demand. It only reads. Timeouts and outages are as in every sensor of this provider;
    metrics that cannot be read are an outage.

    Returns ``collection``, ``database`` and ``attempts`` of the first collection that is wanted.

    :param collections: the collections, by their own names. Searches through their aliases count as well. (templated)
    :param min_attempts: how many attempts make a demand.
    :param milvus_conn_id: the connection; it must have a ``metrics_url``. (templated)
    :raises MilvusCollectionNotFoundError, MilvusDatabaseNotFoundError: there is nothing to wait for; never retried.
    :raises MilvusInvalidArgumentError: ``mode="reschedule"`` without ``deferrable``, for it would forget what it counted.
    """

    collections = Argument(check_names)
    min_attempts = Argument(whole_number(1))

    def __init__(self, *, collections: str | Sequence[str], min_attempts: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.reschedule and not self.deferrable:
            raise self.wrong(
                "MilvusDemandSensor compares counters from look to look, which mode='reschedule' forgets: "
                "use deferrable=True, or mode='poke'."
            )
        self.collections = collections
        self.min_attempts = min_attempts
        self._demand: Demand | None = None

    def _trigger(self, end: float) -> MilvusDemandTrigger:
        return MilvusDemandTrigger(
            collections=self.collections,
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
        metrics = hook.needed_metrics()
        remaining = self._remaining(context)
        try:
            with hook.client() as client:
                limit = hook.deadline().at_most(max(remaining, 0.001))
                if self._demand is None:
                    demand = Demand(self.collections, hook.settings.database, min_attempts=self.min_attempts)
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
