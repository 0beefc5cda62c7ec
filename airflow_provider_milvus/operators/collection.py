"""Operators that create and drop a collection. The work is in ``server/collections.py``, which is imported when a task runs."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_milvus.arguments import Argument, OptionalArgument
from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.kinds import check_flag, check_name, check_text, one_of, take_any, whole_number
from airflow_provider_milvus.operators.base import MilvusWriteOperator, result
from airflow_provider_milvus.operators.run_notes import RetryNotes

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.schema.definition import Definition


class MilvusCreateCollectionOperator(MilvusWriteOperator):
    """Create a collection with its indexes; done when the server shows both as they were asked for.

    The definition is checked before anything is sent. What a server takes and does not keep (2.3 drops functions and nullable
    fields without a word) is an error that names it, and nothing is left of the attempt. A retry completes what an earlier try
    of the same run left half made, whatever ``if_exists``: the property ``airflow.created_by`` tells whose it is.

    Returns ``collection``, ``database``, ``created``, ``replaced``, ``indexes`` (those on the server), ``indexes_created`` (by
    name) and ``seconds``.

    :param collection_name: the collection. (templated)
    :param schema: its fields, dynamic field and functions: a dict, its text in JSON or YAML, or the path of a ``.json``,
        ``.yaml`` or ``.yml`` file beside the DAG file. See docs/collections.md. (templated)
    :param indexes: dicts with ``field_name``, ``index_type`` (AUTOINDEX), ``metric_type``, ``index_params`` and ``index_name``
        (the field's name), or text or file as above. (templated)
    :param properties: the collection's properties, such as ``collection.ttl.seconds``. (templated)
    :param num_shards: shards; None: the server's default. (templated)
    :param num_partitions: partitions behind a partition key; None: the server's default. (templated)
    :param consistency_level: ``"Strong"``, ``"Session"``, ``"Bounded"`` or ``"Eventually"``; None: Bounded. (templated)
    :param description: in place of the schema's own. (templated)
    :param if_exists: ``"fail"``; ``"skip"``: leave it as it is, with the indexes it has; ``"check"``: compare it, fail with
        each difference, and create only indexes that are missing; ``"replace"``: drop it, **with all rows**, and make it anew,
        after the server has taken the new definition under another name.
    :param drop_aliased: let ``"replace"`` drop a collection that has an alias, which loses it.
    :raises MilvusInvalidArgumentError: the definition can never work. Nothing was sent.
    :raises MilvusRefusedError: it exists, is aliased, or its name is an alias. Nothing was changed.
    :raises MilvusSchemaDriftError: it exists and differs. Nothing was changed.
    :raises MilvusUnsupportedError: the server does not know what is asked for. Nothing was changed.
    """

    collection_name = Argument(check_name)
    schema = Argument(take_any)
    indexes = OptionalArgument(take_any)
    properties = OptionalArgument(take_any)
    num_shards = OptionalArgument(whole_number(1))
    num_partitions = OptionalArgument(whole_number(1))
    consistency_level = OptionalArgument(one_of("Strong", "Session", "Bounded", "Eventually"))
    description = OptionalArgument(check_text)
    if_exists = Argument(one_of("fail", "skip", "check", "replace"))
    drop_aliased = Argument(check_flag)
    template_ext: Sequence[str] = (".json", ".yaml", ".yml")
    template_fields_renderers: ClassVar[dict[str, str]] = {"schema": "py", "indexes": "py", "properties": "py"}

    def __init__(
        self,
        *,
        collection_name: str,
        schema: Mapping[str, Any] | str,
        indexes: Sequence[Mapping[str, Any]] | str | None = None,
        properties: Mapping[str, Any] | str | None = None,
        num_shards: int | str | None = None,
        num_partitions: int | str | None = None,
        consistency_level: str | None = None,
        description: str | None = None,
        if_exists: str = "fail",
        drop_aliased: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.collection_name = collection_name
        self.schema = schema
        self.indexes = indexes
        self.properties = properties
        self.num_shards = num_shards
        self.num_partitions = num_partitions
        self.consistency_level = consistency_level
        self.description = description
        self.if_exists = if_exists
        self.drop_aliased = drop_aliased
        if not self.unrendered:
            self._requested()

    def _requested(self) -> Definition:
        from airflow_provider_milvus.schema.definition import Definition

        try:
            return Definition.of(
                self.collection_name,
                self.schema,
                description=self.description,
                indexes=self.indexes,
                properties=self.properties,
                num_shards=self.num_shards,
                num_partitions=self.num_partitions,
                consistency_level=self.consistency_level,
            )
        except MilvusInvalidArgumentError as error:
            raise self.wrong(error) from None

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server import collections

        began, hook, requested, notes = time.time(), self.hook(), self._requested(), RetryNotes(context)
        with hook.client() as client:
            created = client.run(
                collections.create(
                    requested,
                    if_exists=self.if_exists,
                    created_by=_creator(context, notes),
                    drop_aliased=self.drop_aliased,
                    report=self.log.info,
                ),
                hook.deadline(),
            )
        if created.created:
            self.wrote(context, hook, requested.name, created=True, replaced=created.replaced)
        notes.forget()
        return result(
            hook,
            requested.name,
            began,
            created=created.created,
            replaced=created.replaced,
            indexes=[index.as_dict() for index in created.indexes],
            indexes_created=created.indexes_created,
        )


class MilvusDropCollectionOperator(MilvusWriteOperator):
    """Drop a collection with all its rows, loaded or not; done when the server does not have it any more.

    A retry after a drop whose end was not seen succeeds. Returns ``collection``, ``database``, ``dropped`` and ``seconds``.

    :param collection_name: the collection itself, not an alias. (templated)
    :param if_missing: ``"fail"`` or ``"skip"``. A missing database always fails.
    :param drop_aliased: also drop a collection that has an alias. Milvus drops the alias with it, and every search through
        it fails.
    :raises MilvusRefusedError: the name is an alias, or the collection has one. Nothing was changed.
    :raises MilvusCollectionNotFoundError, MilvusDatabaseNotFoundError: it does not exist.
    :raises MilvusTimeoutError: it was not seen to go in time; the server may still drop it.
    """

    collection_name = Argument(check_name)
    if_missing = Argument(one_of("fail", "skip"))
    drop_aliased = Argument(check_flag)

    def __init__(self, *, collection_name: str, if_missing: str = "fail", drop_aliased: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.collection_name = collection_name
        self.if_missing = if_missing
        self.drop_aliased = drop_aliased

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server import collections

        collection, began, hook, notes = self.collection_name, time.time(), self.hook(), RetryNotes(context)
        sent_before = notes.read().get("dropping") == collection
        with hook.client() as client:
            dropped = client.run(
                collections.drop(
                    collection,
                    drop_aliased=self.drop_aliased,
                    skip_if_missing=self.if_missing == "skip" or sent_before,
                    before_sending=lambda: notes.write({"dropping": collection}),
                    report=self.log.info,
                ),
                hook.deadline(),
            ).dropped
        if dropped := dropped or sent_before:
            self.wrote(context, hook, collection, dropped=True)
        notes.forget()
        return result(hook, collection, began, dropped=dropped)


def _creator(context: Context, notes: RetryNotes) -> str:
    """Who creates a collection: the same text in every try until one has succeeded, and in no other task or run."""
    creator = notes.read().get("created_by")
    if isinstance(creator, str):
        return creator
    task_instance = context.get("ti")
    task = f"{task_instance.dag_id}.{task_instance.task_id}, run {notes.run_id}, " if task_instance and notes.run_id else ""
    creator = f"{task}{uuid.uuid4().hex[:12]}"
    notes.write({"created_by": creator})
    return creator
