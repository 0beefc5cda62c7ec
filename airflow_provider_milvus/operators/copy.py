"""The operator that copies a collection. The work is in ``ingest/copy.py``, which is imported when a task runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus import kinds
from airflow_provider_milvus.arguments import Argument, OptionalArgument
from airflow_provider_milvus.exceptions import MilvusError, MilvusInvalidArgumentError, MilvusRefusedError
from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.operators.base import HOUR, MilvusWriteOperator, result
from airflow_provider_milvus.operators.collection import creator_of
from airflow_provider_milvus.operators.read_rows import check_fields
from airflow_provider_milvus.operators.run_notes import RetryNotes

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.ingest.copy import Original
    from airflow_provider_milvus.schema.definition import Definition
    from airflow_provider_milvus.schema.model import Schema


ITSELF = "the copy would be the collection itself"


def check_function(argument: str, value: Any) -> Any:
    """A function."""
    if callable(value):
        return value
    raise MilvusInvalidArgumentError(f"{argument} must be a function, not {value!r}.")


@contextmanager
def _stays(collection: str, is_new: bool) -> Iterator[None]:
    """An error in the block says that the copy was made before."""
    try:
        yield
    except MilvusError as error:
        if not is_new:
            raise
        raise type(error)(f"Collection {collection!r} was created, and stays: {error}") from error.__cause__


class MilvusCopyCollectionOperator(MilvusWriteOperator):
    """Copy a collection under another name, into another database or to another Milvus; done when the copy serves all rows.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusCopyCollectionOperator

        copy = MilvusCopyCollectionOperator(task_id="copy", collection_name="docs", target_name="docs_copy")

    All arguments except ``filter`` and ``transform`` are templates. The copy has the collection's fields, functions, indexes,
    properties, consistency level and partitions, and its keys: where the server makes those of the collection (auto_id), those
    of the copy have to be given from then on. Its rows are saved, its indexes are built, and it is in memory with as many
    replicas when the task ends. Aliases stay where they are.

    Rows are read in the order of their keys, some megabytes at a time, and written as by ``MilvusUpsertOperator``. A retry goes
    on where the rows are known to be written, 100,000 rows back at most; on Milvus Lite, which tells no ids, it begins anew.
    Rows are counted before and after. A row that was replaced meanwhile is in the copy as it was or as it is, which no count
    tells: copy when nobody writes.

    Returns ``collection`` and ``database`` of the copy, ``copied_from``, ``created``, ``rows`` (read), ``written``,
    ``batches``, ``bytes``, ``loaded``, ``changed`` where rows changed meanwhile, and ``seconds``.

    :param collection_name: the collection, or an alias of it. It has to be in memory.
    :param target_name: the copy's name; by default the collection's own, for another database or another Milvus.
    :param target_conn_id: the connection of the Milvus to copy to; by default ``milvus_conn_id``.
    :param target_database: the database to copy to; by default ``database``, or with ``target_conn_id`` that connection's.
    :param filter: only the rows that match this expression; by default all rows.
    :param filter_params: the values for ``{name}`` in the filter: numbers, text, bools, dates, or lists of them.
    :param partition_names: these partitions only; by default, or with ``"*"``, all.
    :param output_fields: only these fields and the key, and what is computed from them; by default all.
    :param transform: a function that gets some 1,000 rows, a list of dicts, and returns the rows to write: a list or an
        iterator of dicts, or a table. It may be called more than once with the same rows.
    :param schema: the copy's schema where ``transform`` makes other fields, as for ``MilvusCreateCollectionOperator``.
    :param indexes: the copy's indexes; by default those of the collection, of the fields that the copy has.
    :param properties: the copy's properties; by default those of the collection.
    :param num_shards: the number of shards of the copy; by default the server's.
    :param if_exists: ``"fail"``, the default, when there is a collection of that name that this run has not made. ``"check"``:
        compare it, and write the rows into it.
    :param load: load the copy; True by default. The rows of a copy that is not loaded are not counted.
    :param replica_number: replicas of the copy; by default as many as the collection has, on the same Milvus in the same
        resource groups.
    :param on_change: ``"fail"``, the default, when rows changed meanwhile, or ``"report"`` it in the result.
    :param timeout: seconds for the whole operation; 3600 by default.
    :raises MilvusRefusedError: there is a collection of that name; or the copy would be the collection itself. Nothing was
        changed. Or rows changed meanwhile: the copy is there. Or an earlier try of the task has copied other rows into it.
    :raises MilvusSchemaDriftError: the collection that is there differs. Nothing was changed.
    :raises MilvusReplacedError: one of the two was dropped meanwhile, and perhaps made anew.
    :raises MilvusBadRowsError: the copy does not take a row that ``transform`` has made. The rows before are written.
    :raises MilvusServerError: the copy has another number of rows than were written to it.
    :raises MilvusNotLoadedError: the collection, or a part of it, is not in memory. Nothing was changed.
    :raises MilvusTimeoutError, MilvusUnavailableError: the copy is not whole, and a retry goes on with it.
    :raises MilvusCollectionNotFoundError, MilvusPartitionNotFoundError, MilvusDatabaseNotFoundError: it does not exist. Nothing
        was changed.
    """

    collection_name = Argument(kinds.check_name)
    target_name = OptionalArgument(kinds.check_name)
    target_conn_id = OptionalArgument(kinds.check_text)
    target_database = OptionalArgument(kinds.check_name)
    filter = OptionalArgument(kinds.check_filter, widens=True, templated=False)
    filter_params = OptionalArgument(kinds.check_mapping)
    partition_names = OptionalArgument(kinds.check_names, widens=True, nothing="*")
    output_fields = OptionalArgument(check_fields)
    transform = OptionalArgument(check_function, templated=False)
    schema = OptionalArgument(kinds.take_any)
    indexes = OptionalArgument(kinds.take_any)
    properties = OptionalArgument(kinds.take_any)
    num_shards = OptionalArgument(kinds.whole_number(1))
    if_exists = Argument(kinds.one_of("fail", "check"))
    load = Argument(kinds.check_flag)
    replica_number = OptionalArgument(kinds.whole_number(1))
    on_change = Argument(kinds.one_of("fail", "report"))

    def __init__(
        self,
        *,
        collection_name: str,
        target_name: str | None = None,
        target_conn_id: str | None = None,
        target_database: str | None = None,
        filter: str | None = None,
        filter_params: Mapping[str, Any] | None = None,
        partition_names: str | Sequence[str] | None = None,
        output_fields: str | Sequence[str] | None = None,
        transform: Callable[[list[dict[str, Any]]], Any] | None = None,
        schema: Mapping[str, Any] | str | None = None,
        indexes: Sequence[Mapping[str, Any]] | str | None = None,
        properties: Mapping[str, Any] | str | None = None,
        num_shards: int | str | None = None,
        if_exists: str = "fail",
        load: bool = True,
        replica_number: int | str | None = None,
        on_change: str = "fail",
        timeout: float | timedelta = HOUR,
        **kwargs: Any,
    ) -> None:
        super().__init__(timeout=timeout, **kwargs)
        self.take(locals())
        if not any(map(self.is_given, ("target_name", "target_conn_id", "target_database"))):
            raise self.wrong("Give target_name, target_database or target_conn_id: they say where the copy is to be.")
        if self.is_given("schema") and not self.unrendered:
            self._read_schema()

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.client.subject import find_subject
        from airflow_provider_milvus.ingest import copy
        from airflow_provider_milvus.server import collections
        from airflow_provider_milvus.server.filters import render

        began, hook, notes = time.time(), self.hook(), RetryNotes(context)
        there = MilvusHook(
            self.target_conn_id or self.milvus_conn_id,
            self.target_database or (None if self.target_conn_id else self.database),
            hook.operation_timeout,
        )
        same_server = there.settings.uri == hook.settings.uri
        with (
            notes.of(copying=[self.collection_name, there.milvus_conn_id, there.database, self.target_name]) as tries,
            hook.client() as client,
            there.client() as target_client,
        ):
            deadline = hook.deadline()
            original = client.run(
                copy.survey(
                    self.collection_name,
                    filter=render(self.filter or "", self.filter_params),
                    partition_names=self.partition_names or (),
                    output_fields=self.output_fields,
                ),
                deadline,
            )
            source, requested = original.source.collection, self._requested(original)
            if any(field.is_partition_key for field in requested.schema.fields):
                # The server chooses the partitions.
                original = replace(original, partitions=())
            if same_server and (source, hook.settings.database) == (requested.name, there.settings.database):
                raise MilvusRefusedError(f"Collection {source!r} was not copied: {ITSELF}.")
            note = dict(tries.earlier or {"created_by": creator_of(context, notes.run_id)})
            tries.note(note)
            created = target_client.run(
                collections.create(requested, if_exists=self.if_exists, created_by=note["created_by"], report=self.log.info),
                deadline,
            )
            with _stays(requested.name, created.created):
                target = target_client.run(find_subject(requested.name), deadline)
                # Two connections may lead to the same server.
                if target.collection_id and target.collection_id == original.source.subject.collection_id:
                    raise MilvusRefusedError(f"Collection {source!r} was not copied: {ITSELF}.")
                copied = copy.CopyRun(
                    client,
                    there,
                    original,
                    target,
                    deadline,
                    note=lambda progress: tries.leave({**note, "progress": asdict(progress)}),
                    report=self.log.info,
                    transform=self.transform,
                    earlier=note.get("progress"),
                ).carry_out()
                now = target_client.run(
                    copy.finish(
                        target,
                        deadline,
                        self._placement(original, same_server) if self.load else None,
                        indexed=bool(requested.indexes),
                        report=self.log.info,
                    ),
                    deadline,
                )
                counted = client.run(original.count(), deadline)
                changed = copy.check_equal(original, copied, counted, target.name, now if created.created else None)
            counts: dict[str, Any] = {
                "rows": copied.read,
                "written": copied.written,
                "batches": copied.batches,
                "bytes": copied.bytes,
            }
            self.wrote(context, there, requested.name, copied_from=source, **counts)
            if changed and self.on_change == "fail":
                raise MilvusRefusedError(
                    f"Rows of collection {source!r} changed while it was copied: {changed}. The copy is {requested.name!r}. "
                    'Drop it and copy again when nobody writes, or set on_change="report".'
                )
        more = {"changed": changed} if changed else {}
        told = {"copied_from": source, "created": created.created, **counts, "loaded": self.load, **more}
        return result(there, requested.name, began, **told)

    def _read_schema(self) -> Schema:
        from airflow_provider_milvus.schema.reading import read_schema

        try:
            return read_schema("schema", self.schema)
        except MilvusInvalidArgumentError as error:
            raise self.wrong(error) from None

    def _requested(self, original: Original) -> Definition:
        """The copy's definition: the original's, and in its place what the DAG gives."""
        from airflow_provider_milvus.schema.definition import Definition

        names = ("schema", "indexes", "properties", "num_shards")
        given = {name: value for name in names if (value := getattr(self, name)) is not None}
        try:
            if "schema" in given:
                fields = self._read_schema().fields
                names_of_fields = [field.name for field in fields]
                given.setdefault(
                    "indexes", [one for one in original.definition["indexes"] if one["field_name"] in names_of_fields]
                )
                if not any(field.is_partition_key for field in fields):
                    given["num_partitions"] = None
            definition = Definition.of(self.target_name or original.source.collection, **{**original.definition, **given})
        except MilvusInvalidArgumentError as error:
            raise self.wrong(error) from None
        if definition.schema.primary.auto_id:
            raise self.wrong("schema: the keys of a copy are those of the collection, so its key cannot have auto_id.")
        return definition

    def _placement(self, original: Original, same_server: bool) -> dict[str, Any]:
        """How the copy is loaded."""
        if self.replica_number is not None:
            return {"replica_number": self.replica_number}
        return {key: value for key, value in original.placement.items() if same_server or key == "replica_number"}
