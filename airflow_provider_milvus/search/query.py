"""A query, as a flow: the rows that match a filter or that have some keys, in the order of their keys."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from airflow_provider_milvus.client.flow import Flow
from airflow_provider_milvus.search import decode
from airflow_provider_milvus.search.source import find_source, page_rows_of
from airflow_provider_milvus.search.walk import Page, Walk
from airflow_provider_milvus.server.deletes import IDS_AT_ONCE, read_key
from airflow_provider_milvus.server.filters import to_literal

Rows = list[dict[str, Any]]


def query(
    collection_name: str,
    *,
    filter: str = "",
    ids: Sequence[Any] | None = None,
    output_fields: Collection[str] | None = None,
    partition_names: Sequence[str] = (),
    limit: int | None = None,
    consistency_level: str = "",
    take: Callable[[Rows], object],
) -> Flow[tuple[str, int]]:
    """Call ``take`` with the rows, some at a time; return the collection's own name, and their number.

    :param ids: only the rows with these keys, none where it is empty. A key that no row has is no error.
    :param output_fields: by default all fields but vectors.
    :param limit: the number of rows at most; all by default.
    :param consistency_level: by default the collection's.
    :raises MilvusNotLoadedError: not all rows are in memory. Some servers would silently leave them out.
    :raises MilvusCollectionNotFoundError, MilvusPartitionNotFoundError, MilvusDatabaseNotFoundError: it does not exist.
    :raises MilvusReplacedError: the collection was dropped meanwhile, and perhaps made anew: rows of both may have been taken.
    :raises MilvusInvalidArgumentError: an id cannot be a key of this collection, or there is no such field.
    """
    source = yield from find_source(collection_name, partition_names, "The rows of collection {!r} were not read.")
    primary = source.schema.primary
    wanted = decode.wanted_fields(source.schema, output_fields)
    keys = sorted({read_key(primary, value, "Nothing was read") for value in ids or ()})
    filters = [filter or source.match_all]
    if ids is not None:
        slices = [keys[first : first + IDS_AT_ONCE] for first in range(0, len(keys), IDS_AT_ONCE)]
        also = f"({filter}) and " if filter else ""
        filters = [f"{also}{primary.name} in {to_literal(some)}" for some in slices]

    def hand_over(page: Page) -> None:
        fields = page.only(wanted, primary.name)
        take(decode.rows(fields, source.schema, wanted) if fields else [{} for _ in page.keys])

    page_rows = page_rows_of(source.schema, wanted)
    count = 0
    for one in filters:
        walk = Walk(source.subject, primary, wanted, one, partition_names, consistency_level)
        left = None if limit is None else limit - count
        count += yield from walk.rows(hand_over, page_rows=page_rows, most=left)
        if limit is not None and count >= limit:
            break
    return source.collection, count
