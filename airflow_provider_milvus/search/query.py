"""A query, as a flow: the rows that match a filter or that have some keys, in the order of their keys or of fields."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from airflow_provider_milvus.client.flow import Flow
from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.search import decode
from airflow_provider_milvus.search.answer import ReadRows
from airflow_provider_milvus.search.order import FirstRows
from airflow_provider_milvus.search.source import find_source, page_rows_of
from airflow_provider_milvus.search.walk import Page, Walk
from airflow_provider_milvus.server.deletes import IDS_AT_ONCE, read_key
from airflow_provider_milvus.server.filters import to_literal


def query(
    collection_name: str,
    *,
    filter: str = "",
    ids: Sequence[Any] | None = None,
    output_fields: Collection[str] | None = None,
    partition_names: Sequence[str] = (),
    limit: int | None = None,
    order_by: str | Sequence[str] = (),
    consistency_level: str = "",
    take: Callable[[ReadRows], object],
) -> Flow[tuple[str, int]]:
    """Call ``take`` with the rows, some at a time, or with none; return the collection's own name, and their number.

    :param ids: only the rows with these keys, none where it is empty. A key that no row has is no error.
    :param output_fields: by default all fields but vectors.
    :param limit: the number of rows at most; all by default.
    :param order_by: a field or several, such as ``"day"`` or ``"day:desc"``, in whose order the rows are; by default that of
        their keys. The values of all rows that match are read for it, and it needs a ``limit``.
    :param consistency_level: by default the collection's.
    :raises MilvusNotLoadedError: not all rows are in memory. Some servers would silently leave them out.
    :raises MilvusCollectionNotFoundError, MilvusPartitionNotFoundError, MilvusDatabaseNotFoundError: it does not exist.
    :raises MilvusReplacedError: the collection was dropped meanwhile, and perhaps made anew: rows of both may have been taken.
    :raises MilvusInvalidArgumentError: an id cannot be a key of this collection, or there is no such field.
    """
    source = yield from find_source(collection_name, partition_names, "The rows of collection {!r} were not read.")
    primary = source.schema.primary
    wanted = decode.wanted_fields(source.schema, output_fields)
    page_rows = page_rows_of(source.schema, wanted)

    def of_keys(keys: Sequence[Any], at_once: int) -> list[str]:
        slices = [keys[first : first + at_once] for first in range(0, len(keys), at_once)]
        also = f"({filter}) and " if filter else ""
        return [f"{also}{primary.name} in {to_literal(some)}" for some in slices]

    def walk(fields: Sequence[str], filter: str) -> Walk:
        return Walk(source.subject, primary, fields, filter, partition_names, consistency_level)

    filters, places = [filter or source.match_all], dict[Any, int]()
    if ids is not None:
        filters = of_keys(sorted({read_key(primary, value, "Nothing was read") for value in ids}), IDS_AT_ONCE)
    if order_by:
        if limit is None:
            raise MilvusInvalidArgumentError("Nothing was read: rows in the order of a field need a limit.")
        first_rows = FirstRows(source.schema, [order_by] if isinstance(order_by, str) else order_by, limit)
        for one in filters:
            at_once = page_rows_of(source.schema, first_rows.fields)
            yield from walk(first_rows.fields, one).rows(first_rows.take, page_rows=at_once)
        keys = first_rows.keys()
        places = {key: place for place, key in enumerate(keys)}
        # What one page has is put in order.
        filters = of_keys(keys, min(IDS_AT_ONCE, page_rows))

    def hand_over(page: Page) -> None:
        order = sorted(range(len(page.keys)), key=lambda row: places[page.keys[row]]) if places and page.keys else None
        take(ReadRows(page, source.schema, wanted, order))

    count = 0
    for one in filters:
        left = None if limit is None else limit - count
        count += yield from walk(wanted, one).rows(hand_over, page_rows=page_rows, most=left)
        if limit is not None and count >= limit:
            break
    if not count:
        hand_over(Page([], {}, 0))
    return source.collection, count
