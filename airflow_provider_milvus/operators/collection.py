"""Operators for whole collections: create and drop.

What they do is in ``server/collections.py``, imported when a task runs: a DAG file pays only for this one. Those for
indexes and aliases, at home in files beside this one, can be imported from here as well.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_milvus.arguments import name, one_of
from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.operators.base import MilvusWriteOperator, result
from airflow_provider_milvus.operators.indexes import MilvusCreateIndexOperator, MilvusDropIndexOperator
from airflow_provider_milvus.operators.run_notes import RetryNotes
from airflow_provider_milvus.operators.swap_alias import MilvusSwapAliasOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.schema.definition import Definition

__all__ = [
    "MilvusCreateCollectionOperator",
    "MilvusCreateIndexOperator",
    "MilvusDropCollectionOperator",
    "MilvusDropIndexOperator",
    "MilvusSwapAliasOperator",
]


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
    :param indexes: dicts with ``field_name``, ``index_type`` (AUTOINDEX), ``metric_type``, ``params`` and ``index_name`` (the
        field's name), or text or file as above. (templated)
    :param properties: the collection's properties, such as ``collection.ttl.seconds``. (templated)
    :param num_shards: shards; None: the server's default. (templated)
    :param num_partitions: partitions behind a partition key; None: the server's default. (templated)
    :param consistency_level: ``"Strong"``, ``"Session"``, ``"Bounded"`` or ``"Eventually"``; None: Bounded. (templated)
    :param description: in place of the schema's own. (templated)
    :param if_exists: ``"fail"``; ``"skip"``: leave it as it is, with the indexes it has; ``"check"``: compare it, fail with
        each difference, and create only indexes that are missing; ``"replace"``: drop it, **with all rows**, and make it anew,
        after the server has taken the new definition under another name.
    :param allow_aliased: let ``"replace"`` drop a collection that has an alias, which loses it.
    :raises MilvusInvalidArgumentError: the definition can never work. Nothing was sent.
    :raises MilvusRefusedError: it exists, is aliased, or its name is an alias. Nothing was changed.
    :raises MilvusSchemaDriftError: it exists and differs. Nothing was changed.
    :raises MilvusUnsupportedError: the server does not know what is asked for. Nothing was changed.
    """

    template_fields: Sequence[str] = (
        *MilvusWriteOperator.template_fields,
        "collection_name",
        "schema",
        "indexes",
        "properties",
        "num_shards",
        "num_partitions",
        "consistency_level",
        "description",
    )
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
        allow_aliased: bool = False,
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
        self.if_exists = one_of("if_exists", if_exists, ("fail", "skip", "check", "replace"))
        self.allow_aliased = allow_aliased

    def _wanted(self) -> Definition:
        from airflow_provider_milvus.schema.definition import Definition

        schema = _plain("schema", self.schema)
        if self.description is not None and isinstance(schema, Mapping):
            schema = {**schema, "description": self.description}
        return Definition.of(
            self.collection_name,
            schema,
            indexes=_plain("indexes", self.indexes),
            properties=_plain("properties", self.properties),
            num_shards=self.num_shards,
            num_partitions=self.num_partitions,
            consistency_level=self.consistency_level,
        )

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server import collections

        began, hook, wanted, notes = time.time(), self.hook(), self._wanted(), RetryNotes(context)
        with hook.client() as client:
            made = client.run(
                collections.create(
                    wanted,
                    if_exists=self.if_exists,
                    created_by=_made_by(context, notes),
                    drop_aliased=self.allow_aliased,
                    report=self.log.info,
                ),
                hook.deadline(),
            )
        if made.created:
            self.wrote(context, hook, wanted.name, created=True, replaced=made.replaced)
        notes.forget()
        return result(
            hook,
            wanted.name,
            began,
            created=made.created,
            replaced=made.replaced,
            indexes=[each.as_dict() for each in made.indexes],
            indexes_created=made.indexes_created,
        )


class MilvusDropCollectionOperator(MilvusWriteOperator):
    """Drop a collection with all its rows, loaded or not; done when the server does not have it any more.

    A retry after a drop whose end was not seen succeeds. Returns ``collection``, ``database``, ``dropped`` and ``seconds``.

    :param collection_name: the collection itself, not an alias. (templated)
    :param if_missing: ``"fail"`` or ``"skip"``. A missing database always fails.
    :param allow_aliased: also drop a collection that has an alias. Milvus drops the alias with it, and every search through
        it fails.
    :raises MilvusRefusedError: the name is an alias, or the collection has one. Nothing was changed.
    :raises MilvusCollectionNotFoundError, MilvusDatabaseNotFoundError: it does not exist.
    :raises MilvusTimeoutError: it was not seen to go in time; the server may still drop it.
    """

    template_fields: Sequence[str] = (*MilvusWriteOperator.template_fields, "collection_name")

    def __init__(self, *, collection_name: str, if_missing: str = "fail", allow_aliased: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.collection_name = collection_name
        self.if_missing = one_of("if_missing", if_missing, ("fail", "skip"))
        self.allow_aliased = allow_aliased

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server import collections

        wanted, began, hook = name("collection_name", self.collection_name), time.time(), self.hook()
        notes = RetryNotes(context)
        begun = notes.read().get("dropping") == wanted
        with hook.client() as client:
            dropped = client.run(
                collections.drop(
                    wanted,
                    drop_aliased=self.allow_aliased,
                    skip_if_missing=self.if_missing == "skip" or begun,
                    before_sending=lambda: notes.write({"dropping": wanted}),
                    report=self.log.info,
                ),
                hook.deadline(),
            ).dropped
        if dropped := dropped or begun:
            self.wrote(context, hook, wanted, dropped=True)
        notes.forget()
        return result(hook, wanted, began, dropped=dropped)


def _plain(argument: str, said: Any) -> Any:
    """What a template, or a file, may have left as text."""
    if not isinstance(said, str):
        return said
    import yaml  # type: ignore[import-untyped]

    try:
        return yaml.safe_load(said)
    except yaml.YAMLError as error:
        raise MilvusInvalidArgumentError(f"{argument} is neither JSON nor YAML: {error}") from None


def _made_by(context: Context, notes: RetryNotes) -> str:
    """Who makes a collection: the same in each try until one has succeeded, and nobody else's."""
    noted = notes.read().get("created_by")
    if isinstance(noted, str):
        return noted
    task_instance = context.get("ti")
    task = f"{task_instance.dag_id}.{task_instance.task_id}, run {notes.run_id}, " if task_instance and notes.run_id else ""
    made_by = f"{task}{uuid.uuid4().hex[:12]}"
    notes.write({"created_by": made_by})
    return made_by
