"""The operator that writes a collection into files. The work is in ``search/export.py``, which is imported when a task runs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus import kinds
from airflow_provider_milvus.arguments import Argument, OptionalArgument
from airflow_provider_milvus.exceptions import MilvusRefusedError
from airflow_provider_milvus.operators.base import HOUR, MilvusOperator, result
from airflow_provider_milvus.operators.read_rows import LEVELS, check_fields
from airflow_provider_milvus.operators.run_notes import RetryNotes

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class MilvusExportOperator(MilvusOperator):
    """Write a collection, or some of its rows, into Parquet or JSON Lines, in the order of their keys.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusExportOperator

        export = MilvusExportOperator(task_id="export", collection_name="docs", path="s3://backups/docs/{{ run_id }}")

    All arguments except ``filter`` are templates. Any number of rows takes the memory of a page. A file is there whole or not
    at all, and a retry goes on after the last one that is. Beside the files is ``_manifest.json``: the collection's definition,
    the number of rows, and the size and checksum of each file. The task only reads Milvus.

    Rows are counted before and after, and what was written is compared with both. A row that was replaced meanwhile is in the
    files as it was or as it is, which no count tells.

    Returns ``collection``, ``database``, ``path``, ``rows``, ``files`` (their number), ``bytes``, ``resumed`` (the rows of an
    earlier try), ``changed`` where rows changed meanwhile, and ``seconds``.

    :param collection_name: the collection, or an alias of it. It has to be in memory.
    :param path: a folder, on this machine or on any storage that Airflow reaches.
    :param file_type: ``"parquet"``, the default, or ``"jsonl"``.
    :param filter: only the rows that match this expression; by default all rows.
    :param filter_params: the values for ``{name}`` in the filter: numbers, text, bools, dates, or lists of them.
    :param partition_names: these partitions only; by default, or with ``"*"``, all.
    :param output_fields: by default all fields but those that the server computes.
    :param rows_per_file: begin a new file after this many rows; 100,000 by default.
    :param consistency_level: ``"Strong"`` by default, which sees every row that was written before.
    :param on_change: ``"fail"``, the default, when rows changed meanwhile, or ``"report"`` it in result and manifest.
    :param if_exists: ``"fail"``, the default, when another run has written an export there, or ``"replace"`` it.
    :param timeout: seconds for the whole operation; 3600 by default.
    :raises MilvusRefusedError: rows changed meanwhile; or the folder has an export of another run, or files that no export has
        written; or another task exports into it by now.
    :raises MilvusReplacedError: the collection was dropped meanwhile, and made anew.
    :raises MilvusNotLoadedError: the collection, or a part of it, is not in memory.
    :raises MilvusConfigurationError: pyarrow, or the package for the storage, is not installed.
    :raises MilvusCollectionNotFoundError, MilvusPartitionNotFoundError, MilvusDatabaseNotFoundError: it does not exist.
    """

    collection_name = Argument(kinds.check_name)
    path = Argument(kinds.check_text)
    file_type = Argument(kinds.one_of("parquet", "jsonl"))
    filter = OptionalArgument(kinds.check_filter, widens=True, templated=False)
    filter_params = OptionalArgument(kinds.check_mapping)
    partition_names = OptionalArgument(kinds.check_names, widens=True, nothing="*")
    output_fields = OptionalArgument(check_fields)
    rows_per_file = Argument(kinds.whole_number(1))
    consistency_level = Argument(kinds.one_of(*LEVELS))
    on_change = Argument(kinds.one_of("fail", "report"))
    if_exists = Argument(kinds.one_of("fail", "replace"))

    def __init__(
        self,
        *,
        collection_name: str,
        path: str,
        file_type: str = "parquet",
        filter: str | None = None,
        filter_params: Mapping[str, Any] | None = None,
        partition_names: str | Sequence[str] | None = None,
        output_fields: str | Sequence[str] | None = None,
        rows_per_file: int = 100_000,
        consistency_level: str = "Strong",
        on_change: str = "fail",
        if_exists: str = "fail",
        timeout: float | timedelta = HOUR,
        **kwargs: Any,
    ) -> None:
        super().__init__(timeout=timeout, **kwargs)
        self.take(locals())

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.rows.storage import for_later, without_secrets
        from airflow_provider_milvus.search.export import export
        from airflow_provider_milvus.search.manifest import read_manifest
        from airflow_provider_milvus.server.filters import render

        began, hook, folder = time.time(), self.hook(), self.path.rstrip("/")
        run = RetryNotes(context).key or ""
        earlier = read_manifest(folder)
        if earlier is not None and earlier.complete and earlier.run != run and self.if_exists == "fail":
            raise MilvusRefusedError(
                f"Nothing was exported: {without_secrets(folder)} has an export of collection "
                f"{earlier.request.get('collection')!r} with {earlier.rows:,} rows. Choose another path, such as one with "
                '{{ run_id }} in it, or set if_exists="replace".'
            )
        collection, manifest, resumed = self.carry_out(
            hook,
            export(
                self.collection_name,
                folder,
                file_type=self.file_type,
                filter=render(self.filter or "", self.filter_params),
                partition_names=self.partition_names or (),
                output_fields=self.output_fields,
                rows_per_file=self.rows_per_file,
                consistency_level=self.consistency_level,
                on_change=self.on_change,
                earlier=earlier,
                run=run,
                report=self.log.info,
            ),
        )
        counts = {"rows": manifest.rows, "files": len(manifest.files), "bytes": sum(file.bytes for file in manifest.files)}
        changed = {"changed": manifest.changed} if manifest.changed else {}
        return result(hook, collection, began, path=for_later(folder), **counts, resumed=resumed, **changed)
