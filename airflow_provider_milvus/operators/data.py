"""Operators that insert, upsert and delete rows.

The work is in ``ingest/run.py`` and ``server/deletes.py``, which are imported when a task runs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_milvus import kinds
from airflow_provider_milvus.arguments import Argument, OptionalArgument
from airflow_provider_milvus.operators.base import HOUR, MilvusWriteOperator, known, result
from airflow_provider_milvus.operators.given_rows import check_made, given, kept
from airflow_provider_milvus.operators.run_notes import RetryNotes

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.ingest.run import IngestRequest

BATCH_ROWS = 5_000
BATCH_BYTES = 16 << 20
PARALLEL = 2
"""On Milvus 2.3.5, batches of 1,000 to 10,000 rows of 384 dimensions, one to three at once, differed less than the noise."""
MOST_BYTES = 60 << 20
"""gRPC's limit for one call is 64 MB."""


def is_retry(context: Context) -> bool:
    """Whether an earlier try of the task may have written rows."""
    return int(getattr(context.get("ti"), "try_number", None) or 1) > 1


class WriteRowsOperator(MilvusWriteOperator):
    """Base of the operators that write rows. Of ``rows`` only paths and other tasks' outputs are templates.

    :param collection_name: the collection, or an alias, which is resolved once: the rows go to the collection behind it.
    :param rows: paths or URLs of Parquet, JSON or CSV files, directories or patterns; a list of dicts or any iterable of them;
        a pandas, Arrow or other table, or a dict of columns, ``{"id": [...], "vector": [...]}``; a function without arguments
        that returns one of these; or another task's output, such as that of ``MilvusPrepareImportOperator``.
    :param columns: for each field the column of ``rows`` that it is made of, such as ``{"id": "doc_id", "vector":
        "embedding"}``; other columns are not read. By default each column is the field of its name.
    :param partition_name: the partition; by default Milvus's own choice.
    :param create_partition: create that partition if it is missing; False by default: fail.
    :param key: make the primary key of columns, such as ``"uuid5(source, chunk)"``; by default the rows bring it. The functions
        are ``uuid5``, ``sha256`` and ``int64``.
    :param batch_rows: rows of a chunk, at most; 5,000 by default. Large vectors make it smaller, for the memory.
    :param batch_bytes: bytes of one call, at most; 16 MiB by default, 60 MiB at most. A larger row is a bad row.
    :param max_parallel: calls under way at once; 2 by default, 16 at most.
    :param on_bad_row: ``"fail"``, the default: a chunk with a bad row is not sent, and no row after it. ``"skip"``: the other
        rows are written. A path or URL that ends in ``.jsonl``: as ``"skip"``, and the bad rows go there, each with its reason.
    :param timeout: seconds for the whole operation; 3600 by default.
    """

    collection_name = Argument(kinds.check_name)
    rows = Argument(kinds.take_any, empty_list="given")
    columns = OptionalArgument(kinds.check_columns)
    partition_name = OptionalArgument(kinds.check_name)
    create_partition = Argument(kinds.check_flag)
    key = OptionalArgument(check_made)
    batch_rows = Argument(kinds.whole_number(1, 1_000_000))
    batch_bytes = Argument(kinds.whole_number(1, MOST_BYTES))
    max_parallel = Argument(kinds.whole_number(1, 16))
    on_bad_row = Argument(kinds.check_on_bad_row)
    # A generator cannot be copied, and Airflow copies operators.
    shallow_copy_attrs: Sequence[str] = ("rows",)

    _upsert: ClassVar[bool]

    def __init__(
        self,
        *,
        collection_name: str,
        rows: Any,
        columns: Mapping[str, str] | None = None,
        partition_name: str | None = None,
        create_partition: bool = False,
        key: str | None = None,
        batch_rows: int = BATCH_ROWS,
        batch_bytes: int = BATCH_BYTES,
        max_parallel: int = PARALLEL,
        on_bad_row: Any = "fail",
        timeout: float | timedelta = HOUR,
        **kwargs: Any,
    ) -> None:
        super().__init__(timeout=timeout, **kwargs)
        rows = kept(rows)
        self.take(locals())
        if not self.unrendered and self.create_partition and self.partition_name is None:
            raise self.wrong("create_partition is for a partition_name, and there is none.")

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.ingest.run import IngestRun

        began, hook, notes = time.time(), self.hook(), RetryNotes(context)
        request, files = self._request()
        # Fetched before there is an event loop: in Airflow 3 a task cannot fetch connections both inside and outside of one.
        database = hook.settings.database
        run = IngestRun(hook, request, notes.tries(), is_retry=is_retry(context), report=self.log.info)
        target, counts = asyncio.run(run.carry_out())
        self.log.info("Database %r, collection %r: %s.", database, target.collection, counts)
        totals: dict[str, Any] = {
            "rows_read": counts.rows_read,
            "written": counts.written,
            "already_there": counts.already_there,
            "replaced": counts.replaced,
            "refused": counts.bad,
            "batches": counts.batches,
            "bytes": counts.bytes,
        }
        self.wrote(context, hook, target.collection, alias=target.alias, from_files=files, **totals)
        notes.forget()
        return result(hook, target.collection, began, **known(alias=target.alias), **totals)

    def _request(self) -> tuple[IngestRequest, list[str]]:
        """What is to be written, and the files that it comes from."""
        from airflow_provider_milvus.ingest.run import IngestRequest
        from airflow_provider_milvus.rows.made import Made
        from airflow_provider_milvus.rows.source import paths_of

        # Airflow 2.11 fetches the outputs of mapped tasks in this thread only, and rows are read in another.
        rows = given(self.rows)
        paths = paths_of(rows)
        request = IngestRequest(
            collection_name=self.collection_name,
            rows=rows if paths is None else paths,
            upsert=self._upsert,
            partition_name=self.partition_name or "",
            create_partition=self.create_partition,
            columns=self.columns,
            key=None if self.key is None else Made.of("key", self.key),
            batch_rows=self.batch_rows,
            batch_bytes=self.batch_bytes,
            max_in_flight=self.max_parallel,
            on_bad_row=self.on_bad_row,
        )
        return request, list(map(str, paths or ()))


class MilvusUpsertOperator(WriteRowsOperator):
    """Write rows in place of those with the same keys; done when the server has acknowledged every row.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusUpsertOperator

        day = "{{ (dag_run.logical_date or dag_run.run_after) | ds }}"
        upsert = MilvusUpsertOperator(task_id="upsert", collection_name="docs", rows=f"/data/docs/{day}/*.parquet")

    All arguments are templates, but of ``rows`` only paths and other tasks' outputs are.

    Rows are read in chunks, checked against the collection's schema, and sent in batches, several at once, so memory does not
    grow with their number. Of rows with the same key the last one stays. Until ``timeout`` the task waits for rate limits and
    quotas, and sends again what an outage has lost. A retry begins after the last row that is known to be written if ``rows``
    are files that have not changed, and with the first row otherwise; the collection is the same in the end.

    Returns ``collection``, ``database``, ``rows_read``, ``written``, ``already_there`` (written by an earlier try),
    ``replaced`` (left out, since a later row of the same chunk has the key), ``refused`` (bad rows), ``batches``, ``bytes`` and
    ``seconds``; ``alias`` if one was given.

    :raises MilvusInvalidArgumentError: also where a column does not exist. The message names those that do.
    :raises MilvusBadRowsError: there is a bad row. The chunks before it are written.
    :raises MilvusSourceError: a file cannot be read. The rows before are written. What a function raises is raised unchanged.
    :raises MilvusTimeoutError, MilvusUnavailableError, MilvusRateLimitError: not all rows were written in time. The message
        says how many were.
    :raises MilvusCollectionNotFoundError, MilvusPartitionNotFoundError, MilvusDatabaseNotFoundError: it does not exist. Nothing
        was changed.
    """

    _upsert = True


class MilvusInsertOperator(WriteRowsOperator):
    """Add rows; done when the server has acknowledged every row.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusInsertOperator

        insert = MilvusInsertOperator(
            task_id="insert", collection_name="docs", rows=[{"id": 1, "vector": [0.1, 0.2, 0.3, 0.4]}]
        )

    Milvus keeps rows with the same key side by side: prefer :class:`MilvusUpsertOperator` where a key can come again. Arguments
    and result are the same as there.

    Within a DAG run, retries included, every row is written once. When a call is lost, rows with keys of their own are sent
    again as an upsert. Where the server generates the keys (``auto_id``), the collection's rows are counted and one batch is
    sent at a time. Nobody else may write meanwhile, and a retry skips the rows that have arrived, so ``rows`` have to come in
    the same order.

    :raises MilvusInDoubtError: the server generates the keys, and it cannot be known whether some rows arrived: the collection
        was not in memory, or somebody else wrote to it. The message names these rows.
    """

    _upsert = False


class MilvusDeleteOperator(MilvusWriteOperator):
    """Delete rows by key or by filter; done when the server no longer counts them.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusDeleteOperator

        delete = MilvusDeleteOperator(
            task_id="delete",
            collection_name="docs",
            filter="source == {source} and day < {day}",
            filter_params={"source": "wiki", "day": "{{ (dag_run.logical_date or dag_run.run_after) | ds }}"},
        )

    Give either ``ids`` or ``filter``. All arguments except ``filter`` are templates: no value can change what a filter means.

    Returns ``collection``, ``database``, ``deleted`` and ``seconds``; ``alias`` if one was given. ``deleted`` is the number of
    rows, by the server's count before and after; it is ``"unknown"`` where rows are deleted by key and the collection is not in
    memory.

    :param collection_name: the collection, or an alias, which is resolved once.
    :param ids: one key or several. A key that no row has is no error, and an empty list deletes nothing.
    :param filter: an expression of Milvus, with ``{name}`` for each value of ``filter_params``. The collection has to be in
        memory.
    :param filter_params: the values: numbers, text, bools, dates, or lists of them.
    :param partition_name: delete in this partition only; by default, or with ``"*"``, in all.
    :param allow_all: also accept a filter that matches every row; False by default.
    :param max_deleted: with a filter, the most rows that may match: if more do, nothing is deleted. Up to that number they may
        be all rows of the collection. By default, or with ``"any"``, there is no such limit.
    :param timeout: seconds for the whole operation; by default the connection's ``timeout``, which is 60 unless it says
        otherwise.
    :raises MilvusInvalidArgumentError: there is neither ``ids`` nor ``filter``, or both; the filter is empty or does not fit
        its parameters; or a value cannot be a key. Nothing was changed.
    :raises MilvusRefusedError: the filter matches more than ``max_deleted`` rows; or every row, where there is neither that
        number nor ``allow_all``. Nothing was changed.
    :raises MilvusNotLoadedError: there is a filter, and the collection is not in memory. Nothing was changed.
    :raises MilvusUnsupportedError: ``partition_name`` on Milvus Lite, which would delete in all partitions. Nothing was
        changed.
    :raises MilvusInDoubtError: the collection was dropped since an earlier try, and made anew. Cleared, the task deletes in the
        one there is.
    :raises MilvusCollectionNotFoundError, MilvusPartitionNotFoundError, MilvusDatabaseNotFoundError: it does not exist. Nothing
        was changed.
    :raises MilvusServerError: rows that match are still there, perhaps since somebody else wrote them meanwhile.
    :raises MilvusTimeoutError, MilvusUnavailableError: some rows may be deleted. A retry deletes the rest.
    """

    collection_name = Argument(kinds.check_name)
    ids = OptionalArgument(kinds.check_keys, empty_list="given")
    filter = OptionalArgument(kinds.check_filter, widens=True, templated=False)
    filter_params = OptionalArgument(kinds.check_mapping)
    partition_name = OptionalArgument(kinds.check_name, widens=True, nothing="*")
    allow_all = Argument(kinds.check_flag)
    max_deleted = OptionalArgument(kinds.whole_number(0), widens=True, nothing="any")

    def __init__(
        self,
        *,
        collection_name: str,
        ids: Any = None,
        filter: str | None = None,
        filter_params: Mapping[str, Any] | None = None,
        partition_name: str | None = None,
        allow_all: bool = False,
        max_deleted: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.take(locals())
        if self.is_given("ids") == self.is_given("filter"):
            raise self.wrong("Give either ids or filter: they name the rows to delete.")
        if self.is_given("filter_params") and not self.is_given("filter"):
            raise self.wrong("filter_params are for a filter, and there is none.")
        if self.is_given("max_deleted") and not self.is_given("filter"):
            raise self.wrong("max_deleted is for a filter, and there is none.")

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server import deletes
        from airflow_provider_milvus.server.filters import render

        began, hook, collection, partition = time.time(), self.hook(), self.collection_name, self.partition_name or ""
        with RetryNotes(context).of(deleting=collection) as tries:
            if self.filter is None:
                deletion = deletes.by_ids(collection, partition, self.ids or [], tries=tries, report=self.log.info)
            else:
                deletion = deletes.by_filter(
                    collection,
                    partition,
                    render(self.filter, self.filter_params),
                    allow_all=self.allow_all,
                    max_deleted=self.max_deleted,
                    tries=tries,
                    report=self.log.info,
                )
            target, deleted = self.carry_out(hook, deletion)
            count = "unknown" if deleted is None else deleted
            self.wrote(context, hook, target.collection, alias=target.alias, deleted=count)
        return result(hook, target.collection, began, **known(alias=target.alias), deleted=count)
