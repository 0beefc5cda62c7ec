"""How many rows a collection has, as a flow: counted by the server, never taken from its statistics.

``get_collection_stats`` says 0 of rows that are not flushed and goes on counting those that were deleted. ``count(*)`` with
strong consistency sees every row that was written before it was asked, and none that is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_milvus.exceptions import (
    MilvusCollectionNotFoundError,
    MilvusNotLoadedError,
    MilvusPartitionNotFoundError,
    MilvusServerError,
)
from airflow_provider_milvus.flow import Flow, Rpc
from airflow_provider_milvus.listing import describe, real_name

COUNT_TIMEOUT = 60.0
"""Seconds for one attempt to count. A filter over many rows takes its time."""


def row_count(collection_name: str, filter: str = "", partition_names: Sequence[str] = ()) -> Flow[int]:
    """The rows of a collection (or of what an alias stands for) that match ``filter``; all of them without one.

    ``partition_names`` counts in these partitions only. It reads, and leaves the server as it is.

    :raises MilvusCollectionNotFoundError, MilvusPartitionNotFoundError, MilvusDatabaseNotFoundError: it does not exist.
    :raises MilvusNotLoadedError: what is to be counted is not in memory, or not all of it. Milvus 2.3.5 would silently leave
        out the partitions that are not.
    """
    described = yield from describe(collection_name)
    collection = real_name(described)
    yield from _all_in_memory(collection, partition_names)
    # Milvus Lite forgets about partition_names unless there is a filter; this one is true of every row.
    primary = next(each.name for each in described.schema.fields if each.is_primary_key)
    everything = f"{primary} not in []" if partition_names else ""
    try:
        answer = yield Rpc("Query", _count(collection, filter or everything, partition_names), COUNT_TIMEOUT)
    except MilvusNotLoadedError as error:
        raise MilvusNotLoadedError(f"{_not_loaded(collection)} {error}") from None
    return int(answer.fields_data[0].scalars.long_data.data[0])


def _count(collection: str, filter: str, partition_names: Sequence[str]) -> dict[str, Any]:
    return {
        "collection_name": collection,
        "expr": filter,
        "output_fields": ["count(*)"],
        "partition_names": list(partition_names),
        "consistency_level": "Strong",
        "use_default_consistency": False,
    }


def _all_in_memory(collection: str, partition_names: Sequence[str]) -> Flow[None]:
    every = (yield Rpc("ShowPartitions", {"collection_name": collection})).partition_names
    if missing := [each for each in partition_names if each not in every]:
        raise MilvusPartitionNotFoundError(
            f"Collection {collection!r} has no partition {_words(missing)}; it has {_words(sorted(every))}."
        )
    try:
        held = (yield Rpc("ShowPartitions", {"collection_name": collection, "type": "InMemory"})).partition_names
    except (MilvusServerError, MilvusCollectionNotFoundError) as error:
        # 2.3.5 says either of a collection that is not loaded, or is only being loaded.
        raise MilvusNotLoadedError(f"{_not_loaded(collection)} {error}") from None
    if absent := [each for each in partition_names or every if each not in held]:
        raise MilvusNotLoadedError(f"{_not_loaded(collection)} Not in memory: partition {_words(absent)}.")


def _not_loaded(collection: str) -> str:
    return f"The rows of collection {collection!r} cannot be counted: Milvus counts only what is in memory. Load it first."


def _words(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
