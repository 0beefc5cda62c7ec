"""How many rows a collection has, as the server counts them: those in memory, with strong consistency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.answers.numbers import read_whole_number
from airflow_provider_milvus.client.flow import Flow, Rpc
from airflow_provider_milvus.client.reads import check_partitions, describe, real_name

COUNT_TIMEOUT = 60.0
"""Seconds for one attempt to count: a filter over many rows is slow."""


def row_count(collection_name: str, filter: str = "", partition_names: Sequence[str] = ()) -> Flow[int]:
    """The number of rows that match ``filter``, or of all rows, in a collection or in the collection behind an alias.

    The server counts: ``count(*)`` with strong consistency sees every row that was written before the call, and no deleted row.
    ``get_collection_stats`` in contrast leaves out rows that are not flushed, and includes deleted ones. Nothing is changed.

    :param partition_names: count in these partitions only.
    :raises MilvusCollectionNotFoundError, MilvusPartitionNotFoundError, MilvusDatabaseNotFoundError: it does not exist.
    :raises MilvusNotLoadedError: not all rows to count are in memory. Milvus 2.3.5 would silently leave out partitions.
    """
    described = yield from describe(collection_name)
    collection = real_name(described)
    yield from check_in_memory(collection, partition_names, _not_counted(collection))
    # Milvus Lite ignores partition_names without a filter; this filter matches every row.
    primary = next((field.name for field in described.schema.fields if field.is_primary_key), "")
    match_all = f"{primary} not in []" if partition_names and primary else ""
    try:
        answer = yield Rpc("Query", _count_request(collection, filter or match_all, partition_names), COUNT_TIMEOUT)
    except exceptions.MilvusNotLoadedError as error:
        raise exceptions.MilvusNotLoadedError(f"{_not_counted(collection)} {_LOAD_FIRST} {error}") from None
    counts = [count for field in answer.fields_data for count in field.scalars.long_data.data]
    count = read_whole_number(counts[0]) if counts else None
    if count is None:
        raise exceptions.MilvusServerError(
            f"The rows of collection {collection!r} could not be counted: the server counts {counts[:1] or 'nothing'}."
        )
    return count


def row_count_if_loaded(collection_name: str, filter: str = "", partition_names: Sequence[str] = ()) -> Flow[int | None]:
    """As :func:`row_count`; ``None`` where the rows cannot be counted, because they are not in memory."""
    try:
        return (yield from row_count(collection_name, filter, partition_names))
    except exceptions.MilvusNotLoadedError:
        return None


def _count_request(collection: str, filter: str, partition_names: Sequence[str]) -> dict[str, Any]:
    return {
        "collection_name": collection,
        "expr": filter,
        "output_fields": ["count(*)"],
        "partition_names": list(partition_names),
        "consistency_level": "Strong",
        "use_default_consistency": False,
    }


def check_in_memory(collection: str, partition_names: Sequence[str], failure: str) -> Flow[None]:
    """:raises MilvusNotLoadedError: not all of these partitions, or of all, are in memory. It begins with ``failure``.
    :raises MilvusPartitionNotFoundError: there is no such partition.
    """
    existing = yield from check_partitions(collection, partition_names)
    try:
        loaded = (yield Rpc("ShowPartitions", {"collection_name": collection, "type": "InMemory"})).partition_names
    except (exceptions.MilvusServerError, exceptions.MilvusCollectionNotFoundError) as error:
        # 2.3.5 answers with either error for a collection that is not loaded, or is being loaded.
        raise exceptions.MilvusNotLoadedError(f"{failure} {_LOAD_FIRST} {error}") from None
    if absent := [name for name in partition_names or existing if name not in loaded]:
        raise exceptions.MilvusNotLoadedError(
            f"{failure} {_LOAD_FIRST} Not in memory: partition {', '.join(map(repr, absent))}."
        )


_LOAD_FIRST = "Milvus reads only what is in memory. Load it first."


def _not_counted(collection: str) -> str:
    return f"The rows of collection {collection!r} cannot be counted."
