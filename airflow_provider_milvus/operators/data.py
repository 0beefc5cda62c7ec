"""Operators that insert, upsert and delete rows.

The work is in ``ingest/run.py`` and ``server/deletes.py``, which are imported when a task runs.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_milvus.arguments import Argument, OptionalArgument
from airflow_provider_milvus.kinds import (
    check_filter,
    check_flag,
    check_keys,
    check_mapping,
    check_name,
    check_on_bad_row,
    check_seconds,
    take_any,
    whole_number,
)
from airflow_provider_milvus.operators.base import HOUR, MilvusWriteOperator, given, kept, known, result
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


class _WriteRowsOperator(MilvusWriteOperator):
    timeout = Argument(check_seconds)
    collection_name = Argument(check_name)
    rows = Argument(take_any, empty_list="given")
    partition_name = OptionalArgument(check_name)
    batch_rows = Argument(whole_number(1, 1_000_000))
    batch_bytes = Argument(whole_number(1, MOST_BYTES))
    max_parallel = Argument(whole_number(1, 16))
    on_bad_row = Argument(check_on_bad_row)
    # A generator cannot be copied, and Airflow copies operators.
    shallow_copy_attrs: Sequence[str] = ("rows",)

    _upsert: ClassVar[bool]

    def __init__(
        self,
        *,
        collection_name: str,
        rows: Any,
        partition_name: str | None = None,
        batch_rows: int = BATCH_ROWS,
        batch_bytes: int = BATCH_BYTES,
        max_parallel: int = PARALLEL,
        on_bad_row: Any = "fail",
        timeout: float | timedelta = HOUR,
        **kwargs: Any,
    ) -> None:
        super().__init__(timeout=timeout, **kwargs)
        self.collection_name = collection_name
        self.rows = kept(rows)
        self.partition_name = partition_name
        self.batch_rows = batch_rows
        self.batch_bytes = batch_bytes
        self.max_parallel = max_parallel
        self.on_bad_row = on_bad_row

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.ingest.run import EarlierTry, IngestRun

        began, hook, notes = time.time(), self.hook(), RetryNotes(context)
        request = self._request()
        # Fetched before there is an event loop: in Airflow 3 a task cannot fetch connections both inside and outside of one.
        database = hook.settings.database
        earlier = EarlierTry(int(getattr(context.get("ti"), "try_number", None) or 1) > 1, notes.read(), notes.write)
        target, counts = asyncio.run(IngestRun(hook, request, earlier, report=self.log.info).carry_out())
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
        files = [str(path) for path in _paths(request.rows)]
        self.wrote(context, hook, target.collection, alias=target.alias, from_files=files, **totals)
        notes.forget()
        return result(hook, target.collection, began, **known(alias=target.alias), **totals)

    def _request(self) -> IngestRequest:
        from airflow_provider_milvus.ingest.run import IngestRequest

        return IngestRequest(
            self.collection_name,
            self.partition_name or "",
            given(self.rows),
            self._upsert,
            self.batch_rows,
            self.batch_bytes,
            self.max_parallel,
            self.on_bad_row,
        )


class MilvusUpsertOperator(_WriteRowsOperator):
    """Write rows in place of those with the same keys; done when the server has acknowledged each.

    The rows are read a chunk at a time, checked against the collection's schema, and sent some batches at once, so memory does
    not grow with their number. Of rows with the same key the last one stays. Rate limits and quotas are waited out, and what
    was lost in an outage is sent again, until ``timeout``. A retry of the task goes on after the last row that is known to be
    written where ``rows`` are files that have not changed, and begins anew otherwise; both give the same rows.

    Returns ``collection``, ``database``, ``rows_read``, ``written``, ``already_there`` (written by an earlier try),
    ``replaced`` (left out, since a later row of the same chunk has their key), ``refused``, ``batches``, ``bytes`` and
    ``seconds``, and ``alias`` if one was given.

    :param collection_name: the collection, or an alias, which is resolved once: the real collection is written to. (templated)
    :param rows: paths or URLs of Parquet, JSON Lines or CSV files, directories or patterns (templated); a list of dicts or any
        iterable of them; a pandas, Arrow or other table; a function without arguments that returns one of these; or another
        task's output.
    :param partition_name: the partition; None: Milvus's own choice. (templated)
    :param batch_rows: rows of a chunk, at most.
    :param batch_bytes: bytes of a call, at most; a row that alone takes more is a bad one.
    :param max_parallel: calls under way at once.
    :param on_bad_row: ``"fail"``: nothing of a chunk with a bad row is sent, nor what follows. ``"skip"``: the others are
        written. A path or URL that ends in .jsonl: as skip, and the bad rows go there, each with its reason. (templated)
    :param timeout: seconds for all of it.
    :raises MilvusBadRowsError: with ``"fail"``. The chunks before are written.
    :raises MilvusSourceError: a file cannot be read. What a function raises is raised as it is. The rows before are written.
    :raises MilvusTimeoutError, MilvusUnavailableError, MilvusRateLimitError: at ``timeout``, with the rows written until then.
    :raises MilvusCollectionNotFoundError, MilvusPartitionNotFoundError, MilvusDatabaseNotFoundError: it does not exist.
    """

    _upsert = True


class MilvusInsertOperator(_WriteRowsOperator):
    """Add rows; done when the server has acknowledged each. Milvus keeps rows of the same key side by side: prefer
    :class:`MilvusUpsertOperator` where keys can come again.

    As :class:`MilvusUpsertOperator`, but for what may have been sent already, in this try or an earlier one of the same run: it
    is written once. Rows that bring their key are sent again as an upsert. Where the server makes the keys (``auto_id``), the
    rows of the collection are counted, one batch is sent at a time, and nobody else may write meanwhile; a retry passes over as
    many rows as have arrived, so ``rows`` have to come in the same order again.

    :raises MilvusInDoubtError: the server makes the keys, and whether some rows arrived cannot be told, since the collection
        was not loaded or others wrote to it. The message says which rows.
    """

    _upsert = False


class MilvusDeleteOperator(MilvusWriteOperator):
    """Delete rows by key or by filter; done when the server, where it can count, finds none of them any more.

    Returns ``collection``, ``database``, ``deleted`` and ``seconds``, and ``alias`` if one was given. ``deleted`` is counted by
    the server before and after; ``"unknown"`` where the collection is not in memory, which Milvus cannot count.

    :param collection_name: the collection, or an alias: its real collection is meant. (templated)
    :param ids: one or more keys. An empty list deletes nothing. (templated)
    :param filter: instead of ids: Milvus's boolean expression, with ``{name}`` for each value of ``filter_params``. It is no
        template, so that no value can change what it means. The collection has to be loaded.
    :param filter_params: values: numbers, strings, bools, dates, or lists of such. (templated)
    :param partition_name: delete in this partition only. Milvus Lite cannot do that. (templated)
    :param allow_all: also accept a filter that matches every row there is.
    :raises MilvusInvalidArgumentError: neither ids nor filter, both, or a filter that is empty or does not fit its parameters.
    :raises MilvusRefusedError: the filter matches every row, without ``allow_all``. Nothing was changed.
    :raises MilvusNotLoadedError: a filter, on a collection that is not loaded. Nothing was changed.
    :raises MilvusUnsupportedError: ``partition_name`` on Milvus Lite, which deletes in all partitions. Nothing was changed.
    :raises MilvusTimeoutError, MilvusUnavailableError: some rows may be deleted; a retry deletes the rest.
    """

    collection_name = Argument(check_name)
    ids = OptionalArgument(check_keys, empty_list="given")
    filter = OptionalArgument(check_filter, widens=True, templated=False)
    filter_params = OptionalArgument(check_mapping)
    partition_name = OptionalArgument(check_name, widens=True, nothing="*")
    allow_all = Argument(check_flag)

    def __init__(
        self,
        *,
        collection_name: str,
        ids: Any = None,
        filter: str | None = None,
        filter_params: Mapping[str, Any] | None = None,
        partition_name: str | None = None,
        allow_all: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.collection_name = collection_name
        self.ids = ids
        self.filter = filter
        self.filter_params = filter_params
        self.partition_name = partition_name
        self.allow_all = allow_all
        if self.is_given("ids") == self.is_given("filter"):
            raise self.wrong("Give either ids or filter: they name the rows to delete.")
        if self.is_given("filter_params") and not self.is_given("filter"):
            raise self.wrong("filter_params are for a filter, and there is none.")

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server import deletes
        from airflow_provider_milvus.server.filters import render

        began, hook = time.time(), self.hook()
        collection, partition = self.collection_name, self.partition_name or ""
        expression = None if self.filter is None else render(self.filter, self.filter_params)
        with hook.client() as client:
            deadline = hook.deadline()
            if expression is None:
                flow = deletes.by_ids(collection, partition, self.ids or [], report=self.log.info)
            else:
                flow = deletes.by_filter(collection, partition, expression, allow_all=self.allow_all, report=self.log.info)
            target, deleted = client.run(flow, deadline)
        count = "unknown" if deleted is None else deleted
        self.wrote(context, hook, target.collection, alias=target.alias, deleted=count)
        return result(hook, target.collection, began, **known(alias=target.alias), deleted=count)


def _paths(rows: Any) -> list[Any]:
    items = rows if isinstance(rows, (list, tuple)) else [rows]
    return [item for item in items if isinstance(item, (str, os.PathLike))]
