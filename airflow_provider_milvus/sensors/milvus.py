"""The sensors: one thin class per condition, each of which is in ``conditions/`` or ``bulk_import/condition.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.arguments import name, names, one_of, whole_number
from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.sensors.base import MilvusConditionSensor

if TYPE_CHECKING:
    from airflow_provider_milvus.bulk_import.condition import ImportFinished
    from airflow_provider_milvus.conditions import CollectionExists, Compacted, IndexBuilt, LoadState, RowCount


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

    template_fields: Sequence[str] = (*MilvusConditionSensor.template_fields, "collection_name", "partition_names")
    ui_color = "#d7f0fb"

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
        self.target_state = one_of("target_state", target_state, ("Loaded", "NotLoad"))
        self.fail_if_not_loading = fail_if_not_loading

    def condition(self) -> LoadState:
        from airflow_provider_milvus.conditions import LoadState

        return LoadState(
            collection_name=name("collection_name", self.collection_name),
            partition_names=[] if self.partition_names is None else names("partition_names", self.partition_names),
            target_state=self.target_state,
            fail_if_not_loading=self.fail_if_not_loading and self.target_state == "Loaded",
        )


class MilvusCollectionSensor(MilvusConditionSensor):
    """Wait until a collection is there, or no longer is. It only reads.

    :param collection_name: the collection, or an alias. (templated)
    :param exists: False: wait until there is none of that name.
    :raises MilvusDatabaseNotFoundError: the database does not exist; never retried.
    """

    template_fields: Sequence[str] = (*MilvusConditionSensor.template_fields, "collection_name")
    ui_color = "#d7f0fb"

    def __init__(self, *, collection_name: str, exists: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.collection_name = collection_name
        self.exists = exists

    def condition(self) -> CollectionExists:
        from airflow_provider_milvus.conditions import CollectionExists

        return CollectionExists(name("collection_name", self.collection_name), self.exists)


class MilvusIndexSensor(MilvusConditionSensor):
    """Wait until indexes are there and built: ``Finished``, and no row pending. It only reads.

    Rows that are not flushed have no index yet and are not waited for.

    :param collection_name: the collection, or an alias. (templated)
    :param field_name: only the index of this field. (templated)
    :param index_name: only the index of this name. (templated)
    :raises MilvusIndexFailedError: the server gave up building one; never retried.
    :raises MilvusNotFoundError: the collection or the database does not exist; never retried.
    """

    template_fields: Sequence[str] = (
        *MilvusConditionSensor.template_fields,
        "collection_name",
        "field_name",
        "index_name",
    )
    ui_color = "#d7f0fb"

    def __init__(self, *, collection_name: str, field_name: str = "", index_name: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.collection_name = collection_name
        self.field_name = field_name
        self.index_name = index_name

    def condition(self) -> IndexBuilt:
        from airflow_provider_milvus.conditions import IndexBuilt

        return IndexBuilt(name("collection_name", self.collection_name), self.field_name, self.index_name)


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

    template_fields: Sequence[str] = (
        *MilvusConditionSensor.template_fields,
        "collection_name",
        "at_least",
        "filter_params",
        "partition_names",
    )
    ui_color = "#d7f0fb"

    def __init__(
        self,
        *,
        collection_name: str,
        at_least: int | str,
        filter: str = "",
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
            name("collection_name", self.collection_name),
            whole_number("at_least", self.at_least),
            render(self.filter, self.filter_params),
            [] if self.partition_names is None else names("partition_names", self.partition_names),
        )


class MilvusCompactionSensor(MilvusConditionSensor):
    """Wait until a compaction is through. It only reads.

    Milvus says Completed of a compaction that it does not know: of another id, or of one before a restart. ``plans``, as the
    compaction's task returned it, tells that apart.

    :param compaction_id: what ``MilvusCompactOperator(wait=False)`` returned as ``compaction_id``; None, which it returns
        where nothing was to be done, is done. (templated)
    :param plans: how many plans it had, as it returned it; 0: take the server's word. (templated)
    :raises MilvusServerError: a plan failed, or the server forgot the compaction; retried.
    """

    template_fields: Sequence[str] = (*MilvusConditionSensor.template_fields, "compaction_id", "plans")
    ui_color = "#d7f0fb"

    def __init__(self, *, compaction_id: int | str | None, plans: int | str = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.compaction_id = compaction_id
        self.plans = plans

    def condition(self) -> Compacted:
        from airflow_provider_milvus.conditions import Compacted

        # A template makes text of it.
        nothing = self.compaction_id in (None, "None")
        return Compacted(0 if nothing else whole_number("compaction_id", self.compaction_id), whole_number("plans", self.plans))


class MilvusBulkImportSensor(MilvusConditionSensor):
    """Wait until import jobs have completed: every file is in.

    It only reads. The rows of a collection that was loaded before are served after a refresh, which
    ``MilvusRefreshLoadOperator`` does.

    :param collection_name: the collection that is imported into. (templated)
    :param job_id: the job, or a list of jobs; of Milvus 2.3 each file has its own. (templated)
    :raises MilvusNeverMetError: a job has failed, with the reasons by file, or the server does not know it, or no longer.
    :raises MilvusUnsupportedError: the server is Milvus Lite.
    """

    template_fields: Sequence[str] = (*MilvusConditionSensor.template_fields, "collection_name", "job_id")
    ui_color = "#d7f0fb"

    def __init__(self, *, collection_name: str, job_id: str | int | Sequence[str | int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.collection_name = collection_name
        self.job_id = job_id

    def condition(self) -> ImportFinished:
        from airflow_provider_milvus.bulk_import.condition import ImportFinished

        return ImportFinished(name("collection_name", self.collection_name), _ids(self.job_id))


def _ids(value: Any) -> list[str]:
    """The ids, also from the text that a template makes of a list."""
    import ast

    if isinstance(value, str) and value.startswith("["):
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            raise MilvusInvalidArgumentError(f"job_id {value!r} is neither an id nor a list of ids.") from None
    given = value if isinstance(value, (list, tuple)) else [value]
    ids = [str(each).strip() for each in given if isinstance(each, (str, int)) and not isinstance(each, bool)]
    if not ids or len(ids) != len(given) or not all(ids):
        raise MilvusInvalidArgumentError(f"job_id must be the id of an import job, or a list of ids, not {value!r}.")
    return ids
