"""Operators that create, rename and drop a collection.

The work is in ``server/collections.py`` and ``server/rename.py``, which are imported when a task runs.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_milvus.arguments import Argument, OptionalArgument
from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.kinds import LARGEST_DIM, check_flag, check_name, check_text, one_of, take_any, whole_number
from airflow_provider_milvus.operators.base import MilvusWriteOperator, result
from airflow_provider_milvus.operators.run_notes import RetryNotes

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.schema.definition import Definition


class MilvusCreateCollectionOperator(MilvusWriteOperator):
    """Create a collection with its indexes; done when the server shows both as the DAG defines them.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusCreateCollectionOperator

        create = MilvusCreateCollectionOperator(
            task_id="create",
            collection_name="docs",
            schema={
                "fields": [
                    {"name": "id", "type": "INT64", "is_primary": True},
                    {"name": "vector", "type": "FLOAT_VECTOR", "dim": 384},
                ]
            },
            indexes=[{"field_name": "vector", "index_type": "HNSW", "metric_type": "COSINE", "index_params": {"M": 16}}],
        )

    All arguments are templates. The definition is checked before anything is sent. A new collection is empty and not in memory.
    Milvus 2.3 accepts functions and nullable fields and drops them; here that is an error which names them, and the collection
    is dropped again.

    A retry completes what an earlier try of the same run left unfinished, whatever ``if_exists`` says: it recognizes the
    collection by its property ``airflow.created_by``.

    Returns ``collection``, ``database``, ``created``, ``replaced`` (this task, in any of its tries, dropped the one before),
    ``indexes`` (all on the server), ``indexes_created`` (their names) and ``seconds``.

    :param collection_name: the collection.
    :param schema: its fields, dynamic field and functions: a dict, JSON or YAML text, or the path of a ``.json``, ``.yaml`` or
        ``.yml`` file beside the DAG file. See docs/collections.md.
    :param dimension: in place of ``schema`` the dimension of the vectors. The collection is what pymilvus's quick create makes:
        ``id`` (``INT64``), ``vector`` (``FLOAT_VECTOR``), a dynamic field for all else, and an ``AUTOINDEX`` with the metric
        ``COSINE`` unless ``indexes`` are given. Only, it is not loaded.
    :param definition: in place of ``schema`` the folder of an export: the collection that was exported, with its indexes, its
        properties and its consistency level, unless they are given here. Its partitions are not made.
    :param indexes: dicts with ``field_name``, ``index_type`` (``"AUTOINDEX"`` by default), ``metric_type``, ``index_params``
        and ``index_name`` (by default the field's name); text or a file as above. By default there are none.
    :param properties: the collection's properties, such as ``{"collection.ttl.seconds": 604800}``; by default none.
    :param num_shards: the number of shards; by default the server's.
    :param num_partitions: the number of partitions behind a partition key; by default the server's.
    :param consistency_level: ``"Strong"``, ``"Session"``, ``"Bounded"`` (the default) or ``"Eventually"``.
    :param description: a description in place of the schema's own.
    :param if_exists: what to do with a collection that exists. ``"fail"``, the default: fail. ``"skip"``: leave it as it is,
        with the indexes it has. ``"check"``: compare it, fail with every difference, and create only indexes that are missing.
        ``"replace"``: drop it **with all rows** and create it again, after the server has accepted the new definition under
        another name.
    :param drop_aliased: let ``"replace"`` drop a collection that has an alias, and the alias with it; False by default.
    :param timeout: seconds for the whole operation; by default the connection's ``timeout``, which is 60 unless it says
        otherwise.
    :raises MilvusInvalidArgumentError: the definition can never work. Nothing was sent.
    :raises MilvusRefusedError: the collection exists, or has an alias, or the name is an alias. Nothing was changed.
    :raises MilvusSchemaDriftError: the collection exists and differs. Nothing was changed.
    :raises MilvusUnsupportedError: the server does not keep all of the definition. Nothing is left of the attempt.
    :raises MilvusTimeoutError, MilvusUnavailableError: the collection may exist, without some of its indexes; a retry completes
        it. With ``"replace"`` the old collection may be gone.
    """

    collection_name = Argument(check_name)
    schema = OptionalArgument(take_any)
    dimension = OptionalArgument(whole_number(1, LARGEST_DIM))
    definition = OptionalArgument(check_text)
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
        schema: Mapping[str, Any] | str | None = None,
        dimension: int | str | None = None,
        definition: str | None = None,
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
        self.take(locals())
        if sum(map(self.is_given, ("schema", "dimension", "definition"))) != 1:
            raise self.wrong("Give schema, dimension or definition, one of the three: it says which fields the collection has.")
        if not self.unrendered and self.definition is None:
            self._requested()

    def _requested(self) -> Definition:
        from airflow_provider_milvus.schema.definition import Definition, quick

        names = ("schema", "description", "indexes", "properties", "num_shards", "num_partitions", "consistency_level")
        requested = {name: value for name in names if (value := getattr(self, name)) is not None}
        try:
            if self.definition is not None:
                from airflow_provider_milvus.search.manifest import needed_manifest

                requested = needed_manifest(self.definition).definition | requested
            elif self.dimension is not None:
                requested = quick(self.dimension) | requested
            return Definition.of(self.collection_name, **requested)
        except MilvusInvalidArgumentError as error:
            raise self.wrong(error) from None

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server import collections

        began, hook, requested, notes = time.time(), self.hook(), self._requested(), RetryNotes(context)
        with notes.of(creating=requested.name) as tries:
            created_by = tries.earlier["created_by"] if tries.earlier else creator_of(context, notes.run_id)
            if not tries.earlier:
                tries.note({"created_by": created_by})
            creation = collections.create(
                requested,
                if_exists=self.if_exists,
                created_by=created_by,
                drop_aliased=self.drop_aliased,
                tries=tries,
                report=self.log.info,
            )
            created = self.carry_out(hook, creation)
            if created.created:
                self.wrote(context, hook, requested.name, created=True, replaced=created.replaced)
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
    """Drop a collection with all its rows, loaded or not; done when the server no longer has it. All arguments are templates.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusDropCollectionOperator

        drop = MilvusDropCollectionOperator(task_id="drop", collection_name="docs", if_missing="skip")

    A retry succeeds if an earlier try sent the drop and did not see its end.

    Returns ``collection``, ``database``, ``dropped`` and ``seconds``.

    :param collection_name: the collection itself, not an alias.
    :param if_missing: ``"fail"``, the default, or ``"skip"``: succeed when the collection does not exist. A missing database
        always fails.
    :param drop_aliased: also drop a collection that has an alias; False by default. Milvus drops the alias too, and every
        search through it fails.
    :param timeout: seconds for the whole operation; by default the connection's ``timeout``, which is 60 unless it says
        otherwise.
    :raises MilvusRefusedError: the name is an alias, or the collection has one. Nothing was changed.
    :raises MilvusCollectionNotFoundError, MilvusDatabaseNotFoundError: it does not exist. Nothing was changed.
    :raises MilvusTimeoutError: the collection was not seen to go in time. The server may still drop it.
    """

    collection_name = Argument(check_name)
    if_missing = Argument(one_of("fail", "skip"))
    drop_aliased = Argument(check_flag)

    def __init__(self, *, collection_name: str, if_missing: str = "fail", drop_aliased: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.take(locals())

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server import collections

        collection, began, hook, skip = self.collection_name, time.time(), self.hook(), self.if_missing == "skip"
        with RetryNotes(context).of(dropping=collection) as tries:
            drop = collections.drop(
                collection, drop_aliased=self.drop_aliased, skip_if_missing=skip, tries=tries, report=self.log.info
            )
            if dropped := self.carry_out(hook, drop):
                self.wrote(context, hook, collection, dropped=True)
        return result(hook, collection, began, dropped=dropped)


class MilvusRenameCollectionOperator(MilvusWriteOperator):
    """Give a collection another name, or move it to another database; done when the server shows it there.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusRenameCollectionOperator

        rename = MilvusRenameCollectionOperator(task_id="rename", collection_name="docs", new_name="docs_2025")

    All arguments are templates. Rows, indexes and partitions stay as they are, and in memory what is there; Milvus Lite
    releases the collection. In the same database aliases go on pointing to it. Whoever uses the old name does not find it any
    more: to put a new collection in the place of an old one while searches go on, take an alias and
    :class:`MilvusSwapAliasOperator`.

    A retry succeeds if an earlier try sent the change and did not see its end.

    Returns ``collection`` (the new name), ``database``, ``renamed_from``, ``aliases`` and ``seconds``.

    :param collection_name: the collection itself, not an alias.
    :param new_name: the new name; with ``new_database`` it may be the old one.
    :param new_database: move it to this database; by default it stays in its own. Milvus Lite cannot do it, and Milvus does it
        only for a collection without an alias.
    :param timeout: seconds for the whole operation; by default the connection's ``timeout``, which is 60 unless it says
        otherwise.
    :raises MilvusRefusedError: the new name is taken; ``collection_name`` is an alias; the collection has an alias and
        ``new_database`` is given; or a window (``milvus_loaded``) is open. Nothing was changed.
    :raises MilvusCollectionNotFoundError, MilvusDatabaseNotFoundError: it does not exist. Nothing was changed.
    :raises MilvusUnsupportedError: ``new_database`` on Milvus Lite. Nothing was changed.
    :raises MilvusInDoubtError: the answer was lost, and the server (Milvus Lite) does not tell one collection from another.
    :raises MilvusTimeoutError: the new name was not seen in time. The server may still do it.
    """

    collection_name = Argument(check_name)
    new_name = Argument(check_name)
    new_database = OptionalArgument(check_name, widens=True)

    def __init__(self, *, collection_name: str, new_name: str, new_database: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.take(locals())
        if not self.unrendered and self.new_database is None and self.new_name == self.collection_name:
            raise self.wrong(f"new_name is the name that the collection has: {self.new_name!r}.")

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server.rename import rename

        name, new_name, began, hook = self.collection_name, self.new_name, time.time(), self.hook()
        there = MilvusHook(self.milvus_conn_id, self.new_database, self.timeout) if self.new_database else hook
        with RetryNotes(context).of(renaming=[name, new_name, self.new_database]) as tries:
            renaming = rename(name, new_name, new_database=self.new_database or "", tries=tries, report=self.log.info)
            aliases = self.carry_out(hook, renaming)
            from_collections = [name] if there is hook else []
            self.wrote(context, there, new_name, from_collections=from_collections, renamed_from=name)
        return result(there, new_name, began, renamed_from=name, aliases=aliases)


def creator_of(context: Context, run_id: str) -> str:
    """Who creates a collection: noted for the tries until one has succeeded, and the same in no other task or run."""
    task_instance = context.get("ti")
    task = f"{task_instance.dag_id}.{task_instance.task_id}, run {run_id}, " if task_instance and run_id else ""
    return f"{task}{uuid.uuid4().hex[:12]}"
