"""The operator that syncs documents. The work is in ``ingest/sync.py``, which is imported when a task runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus import kinds
from airflow_provider_milvus.arguments import Argument, OptionalArgument
from airflow_provider_milvus.operators.base import known, result
from airflow_provider_milvus.operators.data import WriteRowsOperator, is_retry
from airflow_provider_milvus.operators.given_rows import check_made
from airflow_provider_milvus.operators.read_rows import RowsOfResult, check_row_file, outcome
from airflow_provider_milvus.operators.run_notes import RetryNotes

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class MilvusSyncDocumentsOperator(WriteRowsOperator):
    """Make a collection hold the chunks of each document of a source: write what changed, then delete what it no longer has.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusSyncDocumentsOperator

        sync = MilvusSyncDocumentsOperator(
            task_id="sync",
            collection_name="docs",
            rows="/data/chunks/*.parquet",
            document_field="source",
            key="uuid5(source, chunk)",
            hash_field="hash",
            hash="sha256(text)",
            prune=True,
        )

    Each row is a chunk of a document. A chunk of which the collection has the key, with the same hash and document, is left as
    it is; others are upserted. When all are written, and the server shows them, the rows of these documents that have other
    keys are deleted. So a reader never finds a document of the source without chunks, and a run that was killed is mended by
    the next one. Rows may come in any order, and any number of them takes a few megabytes of memory and a temporary file. The
    keys come from the rows or from ``key``: a collection that generates its keys (``auto_id``) is refused. Only one such task
    at a time may sync a collection.

    Where a row is bad and skipped, the document keeps its old rows and is ``incomplete``; where the bad row does not tell the
    document, nothing is deleted at all.

    Returns ``collection``, ``database``, ``added``, ``replaced``, ``unchanged``, ``pruned`` and ``incomplete`` (documents),
    ``rows_read``, ``written``, ``skipped``, ``repeated`` (the same chunk once more), ``deleted``, ``refused`` (bad rows),
    ``without_document`` (bad rows that do not tell their document), ``batches``, ``bytes``, ``seconds``, and ``documents`` with
    ``complete``: as many documents as fit into 100 kB, those that changed first, each with its ``state`` and its rows, and
    whether these are all of them; with ``output_path`` that path in their place. ``alias`` if one was given.

    ``rows``, ``partition_name``, ``batch_rows``, ``batch_bytes``, ``max_parallel`` and ``on_bad_row`` are as of
    :class:`MilvusUpsertOperator`.

    :param collection_name: the collection, or an alias, which is resolved once. It has to be in memory.
    :param document_field: the field that names a chunk's document; of type VARCHAR or INT64.
    :param hash_field: the field that keeps the hash of a chunk's content; of these types, too, or a key beside the schema.
    :param key: make the primary key of columns; by default the rows bring it.
    :param hash: make the hash of columns, such as ``"sha256(title, text)"``; by default the rows bring it.
    :param prune: also delete the documents that the source does not have; False by default.
    :param filter: with ``prune``, only rows that match this expression are pruned; by default any.
    :param filter_params: the values for ``{name}`` in the filter: numbers, text, bools, dates, or lists of them.
    :param max_deleted: the most rows that may be pruned, a number or a share of the rows, with a filter of those that match;
        ``"10%"`` by default, ``"any"`` for no limit. Rows that are replaced do not count.
    :param allow_all: also prune where the source has no document at all; False by default.
    :param output_path: write what became of each document to this file, ``.jsonl`` or ``.jsonl.gz``, in place of one that is
        there. After an error the file is as it was.
    :param timeout: seconds for the whole operation; 3600 by default.
    :raises MilvusBadRowsError: there is a bad row. The chunks before it are written, and nothing is deleted.
    :raises MilvusRefusedError: more rows than ``max_deleted`` would be pruned, or all of them. What the source has is written,
        and nothing is deleted.
    :raises MilvusInvalidArgumentError: the collection has no such fields. Nothing was changed.
    :raises MilvusUnsupportedError: the server generates the keys. Nothing was changed.
    :raises MilvusNotLoadedError: the collection is not in memory. Nothing was changed.
    :raises MilvusReplacedError: the collection was dropped meanwhile, and made anew.
    :raises MilvusInDoubtError: it was dropped since an earlier try, and made anew. Cleared, the task syncs the one there is.
    :raises MilvusServerError: the server does not show a chunk that it has acknowledged, or shows a row that it has deleted.
    :raises MilvusSourceError: a file cannot be read. The rows before are written, and nothing is deleted.
    :raises MilvusTimeoutError, MilvusUnavailableError, MilvusRateLimitError: not all was done in time. A retry does the rest.
    :raises MilvusCollectionNotFoundError, MilvusPartitionNotFoundError, MilvusDatabaseNotFoundError: it does not exist. Nothing
        was changed.
    """

    partition_name = OptionalArgument(kinds.check_name, widens=True, nothing="*")
    document_field = Argument(kinds.check_name)
    hash_field = Argument(kinds.check_name)
    hash = OptionalArgument(check_made)
    prune = Argument(kinds.check_flag)
    filter = OptionalArgument(kinds.check_filter, widens=True, templated=False)
    filter_params = OptionalArgument(kinds.check_mapping)
    max_deleted = OptionalArgument[int | kinds.Share](kinds.check_rows_or_share, widens=True, nothing="any")
    allow_all = Argument(kinds.check_flag)
    output_path = OptionalArgument(check_row_file)

    _upsert = True

    def __init__(
        self,
        *,
        document_field: str,
        hash_field: str,
        hash: str | None = None,
        prune: bool = False,
        filter: str | None = None,
        filter_params: Mapping[str, Any] | None = None,
        max_deleted: int | str = "10%",
        allow_all: bool = False,
        output_path: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.take(locals())
        if self.is_given("filter") and self.prune is False:
            raise self.wrong("filter is for prune, and prune is False.")
        if self.is_given("filter_params") and not self.is_given("filter"):
            raise self.wrong("filter_params are for a filter, and there is none.")

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.ingest.sync import SyncRequest, SyncRun
        from airflow_provider_milvus.rows.made import Made
        from airflow_provider_milvus.search.row_file import RowFile
        from airflow_provider_milvus.server.filters import render

        began, hook = time.time(), self.hook()
        rows, files = self._request()
        if self.hash is not None:
            rows = replace(rows, made={self.hash_field: Made.of("hash", self.hash, takes_none=True)})
        request = SyncRequest(
            rows,
            self.document_field,
            self.hash_field,
            self.prune,
            render(self.filter or "", self.filter_params),
            self.max_deleted,
            self.allow_all,
        )
        # Fetched before there is an event loop: in Airflow 3 a task cannot fetch connections both inside and outside of one.
        database = hook.settings.database
        documents = RowsOfResult()
        with (
            RetryNotes(context).of(syncing=self.collection_name) as tries,
            RowFile(self.output_path) if self.output_path else nullcontext() as file,
        ):
            run = SyncRun(hook, request, tries, is_retry=is_retry(context), report=self.log.info)
            take = documents.add if file is None else file.add
            target, counts, synced = asyncio.run(run.carry_out(take))
            totals: dict[str, Any] = {
                **synced.documents,
                "rows_read": counts.rows_read,
                "written": counts.written,
                "skipped": synced.skipped,
                "repeated": synced.repeated,
                "deleted": synced.deleted,
                "refused": counts.bad,
                "without_document": synced.without_document,
                "batches": counts.batches,
                "bytes": counts.bytes,
            }
            self.log.info("Database %r, collection %r: %s.", database, target.collection, totals)
            self.wrote(context, hook, target.collection, alias=target.alias, from_files=files, **totals)
        told = outcome(self, self.output_path, documents, "documents")
        return result(hook, target.collection, began, **known(alias=target.alias), **totals, **told)
