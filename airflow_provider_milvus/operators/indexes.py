"""Operators that create an index and wait until it is built, and that drop one.

The work is in ``server/indexes.py`` and ``conditions/collection.py``, which are imported when a task runs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.arguments import Argument, OptionalArgument
from airflow_provider_milvus.kinds import check_field_name, check_flag, check_mapping, check_name, check_text, one_of
from airflow_provider_milvus.operators.base import MilvusOperator, WatchedOperator, result
from airflow_provider_milvus.operators.run_notes import RetryNotes

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.conditions import IndexBuilt


class MilvusCreateIndexOperator(WatchedOperator):
    """Create an index and wait until the server has built it. All arguments are templates.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusCreateIndexOperator

        index = MilvusCreateIndexOperator(
            task_id="index",
            collection_name="docs",
            field_name="vector",
            index_type="HNSW",
            metric_type="COSINE",
            index_params={"M": 16, "efConstruction": 200},
        )

    The index is submitted, then watched: the task is done when it is ``Finished`` and no row is pending (Milvus 2.3.5 reports
    ``Finished`` while new rows are pending). Rows that are not flushed have no index yet; the task does not wait for them.

    Returns ``collection``, ``database``, ``created``, ``index`` (its name), ``state`` and ``seconds``.

    :param collection_name: the collection, or an alias of it.
    :param field_name: the field.
    :param index_type: such as ``"HNSW"`` or ``"STL_SORT"``; ``"AUTOINDEX"`` by default.
    :param metric_type: of a vector field, such as ``"COSINE"``; by default the server's choice, which differs between versions.
    :param index_params: parameters of the index type, such as ``{"M": 16, "efConstruction": 200}``; by default the server's.
    :param index_name: the index; by default it has the field's name.
    :param if_exists: what to do when the field has an index. ``"fail"``, the default: fail. ``"skip"``: leave it as it is, and
        wait until it is built. ``"check"``: the same, but fail when it differs. A retry accepts the index that an earlier try
        sent.
    :param wait: wait until the index is built; True by default. With False the task is done when the server has accepted the
        request, with the state ``Submitted``.
    :param timeout: seconds for the whole operation; 3600 by default.
    :param poll_interval: seconds between two looks, at most; 2 by default. A worker looks more often at the beginning.
    :param stall_timeout: fail when the progress stands still for this number of seconds; by default only ``timeout`` ends the
        wait.
    :param deferrable: wait in the triggerer; by default what ``[operators] default_deferrable`` says.
    :raises MilvusRefusedError, MilvusSchemaDriftError: the field has an index. Nothing was changed.
    :raises MilvusIndexFailedError: the server gave up. The index exists, in the state Failed.
    :raises MilvusLoadStalledError, MilvusTimeoutError: the index was not built in time. The server goes on with it.
    """

    field_name = Argument(check_field_name)
    index_type = Argument(check_text)
    metric_type = OptionalArgument(check_text)
    index_params = OptionalArgument(check_mapping)
    index_name = OptionalArgument(check_name)
    if_exists = Argument(one_of("fail", "skip", "check"))
    wait = Argument(check_flag)

    def __init__(
        self,
        *,
        field_name: str,
        index_type: str = "AUTOINDEX",
        metric_type: str | None = None,
        index_params: Mapping[str, Any] | None = None,
        index_name: str | None = None,
        if_exists: str = "fail",
        wait: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.take(locals())

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.schema.definition import Index
        from airflow_provider_milvus.server import indexes

        collection, hook = self.collection_name, self.hook()
        metric_type, index_name = (self.metric_type or "").upper(), self.index_name or ""
        requested = Index(self.field_name, self.index_type, metric_type, self.index_params or {}, index_name)
        with RetryNotes(context).of(creating=requested.as_dict(), on=collection) as tries:
            creation = indexes.submit_index(collection, requested, if_exists=self.if_exists, tries=tries, report=self.log.info)

            def told(submitted: tuple[IndexBuilt, bool]) -> tuple[IndexBuilt, dict[str, Any]]:
                built, created = submitted
                created = created or tries.earlier is not None
                return built, {"collection": built.collection_name, "created": created, "index": built.index_name}

            return self.submit(context, hook, creation, told, without_wait="" if self.wait else "Submitted")

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        with RetryNotes(context).of():
            return super().execute_complete(context, event)


class MilvusDropIndexOperator(MilvusOperator):
    """Drop an index; done when the server no longer has it. All arguments are templates.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusDropIndexOperator

        drop_index = MilvusDropIndexOperator(task_id="drop_index", collection_name="docs", field_name="vector")

    Give ``field_name`` or ``index_name``, or both. A retry succeeds if an earlier try sent the drop and did not see its end.

    Returns ``collection``, ``database``, ``dropped`` (a list with the index's name, empty if there was none) and ``seconds``.

    :param collection_name: the collection itself, not an alias.
    :param field_name: the field whose index is dropped.
    :param index_name: the index.
    :param if_missing: ``"fail"``, the default, or ``"skip"``: succeed when the index does not exist. A missing collection
        always fails.
    :param timeout: seconds for the whole operation; by default the connection's ``timeout``, which is 60 unless it says
        otherwise.
    :raises MilvusRefusedError: the collection is in memory, where Milvus drops no index: release it first; or the name is an
        alias, or the field has several indexes. Nothing was changed.
    :raises MilvusIndexNotFoundError, MilvusCollectionNotFoundError, MilvusDatabaseNotFoundError: it does not exist. Nothing was
        changed.
    :raises MilvusTimeoutError: the index was not seen to go in time. The server may still drop it.
    """

    collection_name = Argument(check_name)
    field_name = OptionalArgument(check_field_name)
    index_name = OptionalArgument(check_name)
    if_missing = Argument(one_of("fail", "skip"))

    def __init__(
        self,
        *,
        collection_name: str,
        field_name: str | None = None,
        index_name: str | None = None,
        if_missing: str = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.take(locals())
        if not (self.is_given("field_name") or self.is_given("index_name")):
            raise self.wrong("Give field_name or index_name, or both: they name the index to drop.")

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server import indexes

        collection, began, hook = self.collection_name, time.time(), self.hook()
        names = {"field_name": self.field_name or "", "index_name": self.index_name or ""}
        with RetryNotes(context).of(dropping=names, of=collection) as tries:
            drop = indexes.drop_index(
                collection, **names, skip_if_missing=self.if_missing == "skip", tries=tries, report=self.log.info
            )
            dropped = self.carry_out(hook, drop)
        return result(hook, collection, began, dropped=dropped)
