"""Operators that create an index and wait until it is built, and that drop one.

The work is in ``server/indexes.py`` and ``conditions/collection.py``, which are imported when a task runs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.arguments import Argument, OptionalArgument
from airflow_provider_milvus.kinds import check_flag, check_mapping, check_name, check_text, one_of
from airflow_provider_milvus.operators.base import MilvusOperator, WatchedOperator, known, result
from airflow_provider_milvus.operators.run_notes import RetryNotes
from airflow_provider_milvus.triggers.milvus import outcome, resumed_with

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.hooks.milvus import MilvusHook
    from airflow_provider_milvus.schema.definition import Index


class MilvusCreateIndexOperator(WatchedOperator):
    """Create an index and wait until the server has built it.

    Submitted, then watched: done when it is ``Finished`` and no row is pending. Rows that are not flushed have no index yet
    and are not waited for. Returns ``collection``, ``database``, ``created``, ``index``, ``state`` and ``seconds``.

    :param collection_name: the collection, or an alias of it. (templated)
    :param field_name: the field. (templated)
    :param index_type: such as ``"HNSW"`` or ``"STL_SORT"``. (templated)
    :param metric_type: of a vector field, such as ``"COSINE"``; empty: the server's choice, which differs between versions.
        (templated)
    :param index_params: of the index type, such as ``{"M": 16, "efConstruction": 200}``. (templated)
    :param index_name: empty: the field's name. (templated)
    :param if_exists: when the field has an index: ``"skip"``: leave it as it is, and wait until it is built; ``"check"``: fail
        when it differs; ``"fail"``. A retry takes an equal one for its own.
    :param wait: False: done when the server has taken the request.
    :param poll_interval: seconds between two looks, at most.
    :param stall_timeout: fail when nothing moves for so many seconds; None: only ``timeout`` ends it.
    :param deferrable: wait in the triggerer. Default: ``[operators] default_deferrable``.
    :raises MilvusRefusedError, MilvusSchemaDriftError: the field has an index. Nothing was changed.
    :raises MilvusIndexFailedError: the server gave up building it; the index is there, and Failed.
    :raises MilvusTimeoutError: not built in time; the server goes on building.
    """

    field_name = Argument(check_name)
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
        self.field_name = field_name
        self.index_type = index_type
        self.metric_type = metric_type
        self.index_params = index_params
        self.index_name = index_name
        self.if_exists = if_exists
        self.wait = wait

    def _requested(self) -> Index:
        from airflow_provider_milvus.schema.definition import Index

        return Index.of(
            known(
                field_name=self.field_name,
                index_type=self.index_type,
                metric_type=self.metric_type,
                index_params=self.index_params,
                index_name=self.index_name,
            )
        )

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server import indexes

        collection, began, hook = self.collection_name, time.time(), self.hook()
        requested, notes = self._requested(), RetryNotes(context)
        note = {"creating": requested.as_dict(), "of": collection}
        sent_before = notes.read() == note
        with hook.client() as client:
            deadline = hook.deadline()
            condition, created = client.run(
                indexes.submit_index(
                    collection,
                    requested,
                    if_exists=self.if_exists,
                    own=sent_before,
                    before_sending=lambda: notes.write(note),
                    report=self.log.info,
                ),
                deadline,
            )
            submitted = {
                "collection": condition.collection_name,
                "index": condition.index_name,
                "created": created or sent_before,
                "began": began,
            }
            if not self.wait:
                return self._done(context, hook, submitted, "Submitted")
            if not self.deferrable:
                return self._done(context, hook, submitted, self.watch(client, condition, deadline).state)
        return self.hand_over(condition, deadline, submitted)

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Resumed by the trigger's event."""
        return self._done(context, self.hook(), resumed_with(event), outcome(event).state)

    def _done(self, context: Context, hook: MilvusHook, submitted: dict[str, Any], state: str) -> dict[str, Any]:
        RetryNotes(context).forget()
        collection, index, created = submitted["collection"], submitted["index"], submitted["created"]
        return result(hook, collection, submitted["began"], created=created, index=index, state=state)


class MilvusDropIndexOperator(MilvusOperator):
    """Drop an index; done when the server does not have it any more. Name it, or its field, or both.

    A retry after a drop whose end was not seen succeeds. Returns ``collection``, ``database``, ``dropped`` (the names of the
    indexes, one or none) and ``seconds``.

    :param collection_name: the collection itself, not an alias. (templated)
    :param field_name: the field. (templated)
    :param index_name: the index. (templated)
    :param if_missing: ``"fail"`` or ``"skip"``: the index does not exist. A missing collection always fails.
    :raises MilvusRefusedError: the collection is in memory, where Milvus drops no index: release it first; or the name is an
        alias. Nothing was changed.
    :raises MilvusIndexNotFoundError, MilvusCollectionNotFoundError, MilvusDatabaseNotFoundError: it does not exist.
    """

    collection_name = Argument(check_name)
    field_name = OptionalArgument(check_name)
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
        self.collection_name = collection_name
        self.field_name = field_name
        self.index_name = index_name
        self.if_missing = if_missing
        if not (self.is_given("field_name") or self.is_given("index_name")):
            raise self.wrong("Give field_name or index_name, or both: they name the index to drop.")

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server import indexes

        collection, began, hook, notes = self.collection_name, time.time(), self.hook(), RetryNotes(context)
        names = {"field_name": self.field_name or "", "index_name": self.index_name or ""}
        dropping, earlier = [collection, *names.values()], notes.read()
        dropped_before = earlier.get("index") if earlier.get("dropping") == dropping else None
        with hook.client() as client:
            dropped = client.run(
                indexes.drop_index(
                    collection,
                    **names,
                    skip_if_missing=self.if_missing == "skip" or dropped_before is not None,
                    before_sending=lambda index: notes.write({"dropping": dropping, "index": index}),
                    report=self.log.info,
                ),
                hook.deadline(),
            )
        notes.forget()
        return result(hook, collection, began, dropped=dropped or ([dropped_before] if dropped_before else []))
