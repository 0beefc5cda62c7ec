"""The operator that reads rows. The work is in ``search/query.py``, which is imported when a task runs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus import kinds
from airflow_provider_milvus.arguments import Argument, OptionalArgument
from airflow_provider_milvus.exceptions import MilvusCheckError, MilvusInvalidArgumentError
from airflow_provider_milvus.operators.base import MilvusOperator, result
from airflow_provider_milvus.operators.read_rows import LEVELS, RowsOfResult, check_answer_file, check_fields, outcome

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


def check_limit(argument: str, value: Any) -> int | str:
    """A number of rows, or ``"all"``."""
    return "all" if value == "all" else kinds.check_whole_number(argument, value, 1)


def check_order(argument: str, value: Any) -> list[str]:
    """Names of fields, which may end in ``:asc`` or ``:desc``."""
    names = check_fields(argument, value)
    for name in names:
        field, colon, direction = name.partition(":")
        if not field or (colon and direction not in ("asc", "desc")) or field == "*":
            raise MilvusInvalidArgumentError(f'{argument} must be like "day", "day:asc" or "day:desc", not {name!r}.')
    return names


class MilvusQueryOperator(MilvusOperator):
    """Read the rows that match a filter, or that have some keys, in the order of their keys or of fields.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusQueryOperator

        late = MilvusQueryOperator(
            task_id="late", collection_name="docs", filter="day < {day}", filter_params={"day": "{{ params.day }}"}, limit=50
        )

    All arguments except ``filter`` are templates: no value can change what a filter means. Any number of rows takes a few
    megabytes of memory; with ``order_by``, the values of twice as many rows as are asked for. Rows that are written or deleted
    meanwhile are read or not. The task only reads.

    Returns ``collection``, ``database``, ``count`` (the rows that were read), ``seconds`` and ``rows`` with ``complete``: as
    many rows as fit into 100 kB, and whether these are all of them; with ``output_path`` that path in their place.

    :param collection_name: the collection, or an alias of it. It has to be in memory.
    :param filter: only the rows that match this expression; by default all rows.
    :param filter_params: the values for ``{name}`` in the filter: numbers, text, bools, dates, or lists of them.
    :param ids: only the rows with these keys; by default, or with ``"*"``, all. A key that no row has is no error.
    :param output_fields: the fields to read, ``"*"`` for all; by default all but vectors.
    :param partition_names: read these partitions only; by default, or with ``"*"``, all.
    :param limit: the number of rows at most, or ``"all"``; 100 by default.
    :param order_by: the field in whose order the rows are, ``"day"`` or ``"day:desc"``, or a list of them; by default that of
        their keys. The values of all rows that match are read for it. Rows with a null come last. Not with ``limit="all"``.
    :param consistency_level: such as ``"Strong"``, to see every row that was written before; by default the collection's.
    :param at_least: fail when fewer rows match; by default any number is right.
    :param output_path: write the rows to this file, ``.parquet``, ``.jsonl`` or ``.jsonl.gz``, on any storage that Airflow
        reaches, in place of one that is there. After an error the file is as it was.
    :param timeout: seconds for the whole operation; by default the connection's ``timeout``, which is 60 unless it says
        otherwise.
    :raises MilvusCheckError: there are fewer rows than ``at_least``. A retry reads again.
    :raises MilvusNotLoadedError: the collection, or a part of it, is not in memory.
    :raises MilvusReplacedError: the collection was dropped meanwhile, and perhaps made anew. A retry reads that one.
    :raises MilvusCollectionNotFoundError, MilvusPartitionNotFoundError, MilvusDatabaseNotFoundError: it does not exist.
    """

    collection_name = Argument(kinds.check_name)
    filter = OptionalArgument(kinds.check_filter, widens=True, templated=False)
    filter_params = OptionalArgument(kinds.check_mapping)
    ids = OptionalArgument(kinds.check_keys, widens=True, nothing="*")
    output_fields = OptionalArgument(check_fields)
    partition_names = OptionalArgument(kinds.check_names, widens=True, nothing="*")
    limit = Argument(check_limit)
    order_by = OptionalArgument(check_order)
    consistency_level = OptionalArgument(kinds.one_of(*LEVELS))
    at_least = OptionalArgument(kinds.whole_number(1))
    output_path = OptionalArgument(check_answer_file)

    def __init__(
        self,
        *,
        collection_name: str,
        filter: str | None = None,
        filter_params: Mapping[str, Any] | None = None,
        ids: Sequence[Any] | str | None = None,
        output_fields: str | Sequence[str] | None = None,
        partition_names: str | Sequence[str] | None = None,
        limit: int | str = 100,
        order_by: str | Sequence[str] | None = None,
        consistency_level: str | None = None,
        at_least: int | None = None,
        output_path: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.take(locals())
        self._check_limit()

    def _check_limit(self) -> None:
        if isinstance(self.limit, int) and isinstance(self.at_least, int) and self.at_least > self.limit:
            raise self.wrong(
                f"at_least is {self.at_least}, and limit lets it read {self.limit} rows. Raise limit, or write 'all'."
            )

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.search.query import query
        from airflow_provider_milvus.search.row_file import row_file
        from airflow_provider_milvus.server.filters import render

        self._check_limit()
        began, hook = time.time(), self.hook()
        rows, limit = RowsOfResult(), self.limit
        with row_file(self.output_path) if self.output_path else nullcontext() as file:
            collection, count = self.carry_out(
                hook,
                query(
                    self.collection_name,
                    filter=render(self.filter or "", self.filter_params),
                    ids=self.ids,
                    output_fields=self.output_fields,
                    partition_names=self.partition_names or (),
                    limit=None if isinstance(limit, str) else limit,
                    order_by=self.order_by or (),
                    consistency_level=self.consistency_level or "",
                    take=file.take if file else lambda answer: rows.add(answer.rows()),
                ),
            )
            if count < (self.at_least or 0):
                raise MilvusCheckError(
                    f"Collection {collection!r} has {count:,} rows for this query; expected at least {self.at_least}. "
                    f"{hook.settings.where}. Nothing was changed."
                )
        self.log.info("Read %s rows of collection %r.", f"{count:,}", collection)
        return result(hook, collection, began, count=count, **outcome(self, self.output_path, rows, "rows"))
