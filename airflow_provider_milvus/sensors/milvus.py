"""The sensors: one thin class for each condition. Everything public can be imported from here.

All of them only read, wait as :class:`MilvusConditionSensor` does, and take its arguments as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus import kinds
from airflow_provider_milvus.arguments import Argument, OptionalArgument
from airflow_provider_milvus.sensors.base import MilvusConditionSensor as MilvusConditionSensor
from airflow_provider_milvus.triggers.milvus import MilvusDemandTrigger, read_demand

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, PokeReturnValue

    from airflow_provider_milvus.bulk_import.condition import ImportFinished
    from airflow_provider_milvus.client.client import BoundedClient
    from airflow_provider_milvus.client.flow import Deadline
    from airflow_provider_milvus.conditions import CollectionExists, Compacted, IndexBuilt, LoadState, RowCount
    from airflow_provider_milvus.reclaim.demand import Demand, DemandedCollection


class MilvusLoadStateSensor(MilvusConditionSensor):
    """Wait until a collection, or each of some partitions, is in memory, or no longer is. All arguments are templates.

    .. code-block:: python

        from airflow_provider_milvus.sensors.milvus import MilvusLoadStateSensor

        wait = MilvusLoadStateSensor(task_id="docs_is_loaded", collection_name="docs", timeout=3600, deferrable=True)

    It only reads. Other arguments and errors are those of :class:`MilvusConditionSensor`.

    :param collection_name: the collection, or an alias of it.
    :param partition_names: check each of these partitions. By default, and with ``"*"``, the collection as a whole is asked,
        and Milvus calls it Loaded as soon as one of its partitions is.
    :param target_state: ``"Loaded"``, the default, or ``"NotLoad"``.
    :param fail_if_not_loading: fail at once when the collection is NotLoad, that is, when nobody is loading it; False by
        default. It has no meaning with ``"NotLoad"``.
    :raises MilvusNotFoundError: the collection, a partition or the database does not exist; not retried.
    """

    collection_name = Argument(kinds.check_name)
    partition_names = OptionalArgument(kinds.check_names, widens=True, nothing="*")
    target_state = Argument(kinds.one_of("Loaded", "NotLoad"))
    fail_if_not_loading = Argument(kinds.check_flag)

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
        self.take(locals())

    def condition(self) -> LoadState:
        from airflow_provider_milvus.conditions import LoadState

        return LoadState(
            collection_name=self.collection_name,
            partition_names=self.partition_names or [],
            target_state=self.target_state,
            fail_if_not_loading=self.fail_if_not_loading and self.target_state == "Loaded",
        )


class MilvusCollectionSensor(MilvusConditionSensor):
    """Wait until a collection, or each of some partitions, exists, or no longer does. All arguments are templates.

    .. code-block:: python

        from airflow_provider_milvus.sensors.milvus import MilvusCollectionSensor

        wait = MilvusCollectionSensor(task_id="docs_exists", collection_name="docs", mode="reschedule")

    It only reads. Other arguments and errors are those of :class:`MilvusConditionSensor`.

    :param collection_name: the collection, or an alias.
    :param partition_names: wait for these partitions; by default, and with ``"*"``, for the collection.
    :param exists: True, the default; False: wait until there is no collection or alias of this name, or, with
        ``partition_names``, until it has no partition of these names.
    :raises MilvusDatabaseNotFoundError: the database does not exist; not retried.
    """

    collection_name = Argument(kinds.check_name)
    partition_names = OptionalArgument(kinds.check_names, widens=True, nothing="*")
    exists = Argument(kinds.check_flag)

    def __init__(
        self, *, collection_name: str, partition_names: str | Sequence[str] | None = None, exists: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.take(locals())

    def condition(self) -> CollectionExists:
        from airflow_provider_milvus.conditions import CollectionExists

        return CollectionExists(self.collection_name, self.exists, self.partition_names or [])


class MilvusIndexSensor(MilvusConditionSensor):
    """Wait until a collection's indexes exist and are built: ``Finished``, with no row pending. All arguments are templates.

    .. code-block:: python

        from airflow_provider_milvus.sensors.milvus import MilvusIndexSensor

        wait = MilvusIndexSensor(task_id="index_is_built", collection_name="docs", field_name="vector")

    It only reads. Milvus builds an index for flushed rows only, so the sensor does not wait for other rows. Other arguments and
    errors are those of :class:`MilvusConditionSensor`.

    :param collection_name: the collection, or an alias of it.
    :param field_name: only the indexes of this field; by default of all fields.
    :param index_name: only the index of this name; by default all.
    :raises MilvusIndexFailedError: the server gave up building an index; not retried.
    :raises MilvusNotFoundError: the collection or the database does not exist; not retried.
    """

    collection_name = Argument(kinds.check_name)
    field_name = OptionalArgument(kinds.check_field_name)
    index_name = OptionalArgument(kinds.check_name)

    def __init__(
        self, *, collection_name: str, field_name: str | None = None, index_name: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.take(locals())

    def condition(self) -> IndexBuilt:
        from airflow_provider_milvus.conditions import IndexBuilt

        return IndexBuilt(self.collection_name, self.field_name or "", self.index_name or "")


class MilvusRowCountSensor(MilvusConditionSensor):
    """Wait until a collection has a number of rows. All arguments but ``filter`` are templates.

    .. code-block:: python

        from airflow_provider_milvus.sensors.milvus import MilvusRowCountSensor

        wait = MilvusRowCountSensor(
            task_id="rows_are_there",
            collection_name="docs",
            at_least=1000,
            filter="language == {language}",
            filter_params={"language": "en"},
        )

    It only reads. The server counts all rows that were written, flushed or not, without those that were deleted. It counts only
    what is in memory, so the collection has to be loaded. Every look counts again: set ``poke_interval`` higher for a filter on
    many rows. Other arguments and errors are those of :class:`MilvusConditionSensor`.

    :param collection_name: the collection, or an alias of it.
    :param at_least: the number of rows.
    :param filter: count only the rows that match this Milvus expression; by default all. It is never a template, since a
        rendered value could change what it means.
    :param filter_params: values for ``{name}`` in the filter, quoted safely.
    :param partition_names: count in these partitions only; by default, and with ``"*"``, in all.
    :raises MilvusNotLoadedError: the collection is not in memory, or not all of it; retried.
    :raises MilvusNotFoundError: the collection, a partition or the database does not exist; not retried.
    """

    collection_name = Argument(kinds.check_name)
    at_least = Argument(kinds.whole_number())
    filter = OptionalArgument(kinds.check_filter, widens=True, templated=False)
    filter_params = OptionalArgument(kinds.check_mapping)
    partition_names = OptionalArgument(kinds.check_names, widens=True, nothing="*")

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
        self.take(locals())

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
    """Wait until a compaction has ended. All arguments are templates.

    .. code-block:: python

        from airflow_provider_milvus.sensors.milvus import MilvusCompactionSensor

        wait = MilvusCompactionSensor(
            task_id="docs_are_compacted",
            compaction_id="{{ ti.xcom_pull(task_ids='compact')['compaction_id'] }}",
            plans="{{ ti.xcom_pull(task_ids='compact')['plans'] }}",
        )

    It only reads. Milvus reports Completed for a compaction that it does not know: for a wrong id, or after a restart. The
    number of ``plans`` shows the difference. Other arguments and errors are those of :class:`MilvusConditionSensor`.

    :param compaction_id: the ``compaction_id`` in the result of ``MilvusCompactOperator(wait=False)``. 0, its result where
        nothing had to be compacted, ends the wait at once.
    :param plans: the ``plans`` in the same result; 0 by default: believe the server.
    :raises MilvusServerError: a plan failed, or the server has forgotten the compaction; retried.
    """

    compaction_id = Argument(kinds.whole_number())
    plans = Argument(kinds.whole_number())

    def __init__(self, *, compaction_id: int | str, plans: int | str = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.take(locals())

    def condition(self) -> Compacted:
        from airflow_provider_milvus.conditions import Compacted

        return Compacted(self.compaction_id, self.plans)


class MilvusBulkImportSensor(MilvusConditionSensor):
    """Wait until import jobs have completed, with all their files. All arguments are templates.

    .. code-block:: python

        from airflow_provider_milvus.sensors.milvus import MilvusBulkImportSensor

        wait = MilvusBulkImportSensor(task_id="imported", collection_name="docs", job_ids=["453265736269038336"])

    It only reads. If the collection was loaded before the import, a search finds the new rows only after a refresh:
    ``MilvusRefreshLoadOperator``. Other arguments and errors are those of :class:`MilvusConditionSensor`.

    :param collection_name: the collection into which the jobs import.
    :param job_ids: a job, or a list of jobs. In Milvus 2.3 every file has a job of its own.
    :raises MilvusNeverMetError: a job has failed, with the reason for each file; or the server does not know it, or no longer;
        not retried.
    :raises MilvusUnsupportedError: the server is Milvus Lite; not retried.
    """

    collection_name = Argument(kinds.check_name)
    job_ids = Argument(kinds.check_job_ids)

    def __init__(self, *, collection_name: str, job_ids: str | int | Sequence[str | int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.take(locals())

    def condition(self) -> ImportFinished:
        from airflow_provider_milvus.bulk_import.condition import ImportFinished

        return ImportFinished(self.collection_name, self.job_ids)


class MilvusDemandSensor(MilvusConditionSensor):
    """Wait until searches or queries arrive for a collection that is not in memory. All arguments are templates.

    .. code-block:: python

        from airflow_provider_milvus.sensors.milvus import MilvusDemandSensor

        wait = MilvusDemandSensor(task_id="demand", collections=["docs", "books"], timeout=3600, deferrable=True)

    It only reads, in ``poke`` mode or in the triggerer. Milvus's proxies count attempts, also those that fail. Attempts before
    the first look do not count. Metrics that cannot be read are like a server out of reach. Other arguments and errors are
    those of :class:`MilvusConditionSensor`.

    Returns ``collection``, ``database`` and ``attempts`` of the first collection in demand.

    :param collections: the collections, by their own names. Searches through their aliases count as well.
    :param min_attempts: the number of attempts that ends the wait; 1 by default.
    :param milvus_conn_id: the connection, which needs a ``metrics_url``; ``milvus_default`` by default.
    :raises MilvusCollectionNotFoundError, MilvusDatabaseNotFoundError: it does not exist; not retried.
    :raises MilvusConfigurationError: the connection has no ``metrics_url``; not retried.
    :raises MilvusInvalidArgumentError: ``mode="reschedule"`` without ``deferrable``, which would forget the counters.
    """

    collections = Argument(kinds.check_names)
    min_attempts = Argument(kinds.whole_number(1))

    def __init__(self, *, collections: str | Sequence[str], min_attempts: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.reschedule and not self.deferrable:
            raise self.wrong(
                "MilvusDemandSensor compares counters from look to look, which mode='reschedule' forgets: "
                "use deferrable=True, or mode='poke'."
            )
        self.take(locals())
        self._demand: Demand | None = None

    def _trigger(self, **wait: Any) -> MilvusDemandTrigger:
        return MilvusDemandTrigger(collections=self.collections, min_attempts=self.min_attempts, **wait)

    def poke(self, context: Context) -> bool | PokeReturnValue:  # type: ignore[override]
        from airflow.providers.common.compat.sdk import PokeReturnValue

        from airflow_provider_milvus.reclaim.demand import Demand

        metrics = self._hook.needed_metrics()

        def look(client: BoundedClient, deadline: Deadline) -> list[DemandedCollection]:
            demand = self._demand
            if demand is None:
                demand = Demand(self.collections, self._hook.settings.database, min_attempts=self.min_attempts)
                client.run(demand.check(), deadline)
                self._demand = demand
            asyncio.run(demand.read(metrics, deadline.remaining, self._hook.settings.where))
            return client.run(demand.look(), deadline)

        for demanded in self._look(context, look) or ():
            self.log.info("%s", demanded)
            return PokeReturnValue(True, demanded.as_dict())
        return False

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:  # type: ignore[override]
        """Resumed by the trigger's event."""
        return self._read(event, read_demand)
