"""What a server holds, as flows: databases, collections, what is loaded, aliases, rows, and the nodes that hold it.

Listings come with one call each, however many collections there are. What only a call per collection can tell
(:func:`details`, :func:`rows`, :func:`replicas`, :func:`partitions`) is asked of loaded collections alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any

from airflow_provider_milvus.client.flow import Flow, Rpc
from airflow_provider_milvus.exceptions import (
    MilvusCollectionNotFoundError,
    MilvusNotLoadedError,
    MilvusPartitionNotFoundError,
    MilvusRefusedError,
    MilvusServerError,
    MilvusUnsupportedError,
)

_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 10: 4, 11: 8}
"""Of one value, by the protocol's number for the type: Bool, Int8, Int16, Int32, Int64, Float, Double."""
_BITS_PER_DIMENSION = {100: 1, 101: 32, 102: 16, 103: 16, 105: 8}
"""BinaryVector, FloatVector, Float16Vector, BFloat16Vector, Int8Vector."""
_TEXT = 256
"""Bytes a text, JSON, array or sparse vector is taken to have, unless its ``max_length`` is less."""

COUNT_TIMEOUT = 60.0
"""Seconds for one attempt to count. A filter over many rows takes its time."""
_NOT_LOADED = (MilvusServerError, MilvusCollectionNotFoundError)
"""What 2.3.5 says of the replicas of a collection that is only being loaded, or was released: it, or they, do not exist."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A collection as a listing names it."""

    name: str
    collection_id: int | None
    created: datetime | None


@dataclass(frozen=True, slots=True)
class Details:
    """What describing a collection tells. ``row_bytes`` is what its schema makes of a row, an estimate."""

    aliases: tuple[str, ...] = ()
    properties: dict[str, str] = field(default_factory=dict)
    row_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Nodes:
    """The server's nodes, by its own count. ``None`` is what it does not tell. Memory is in bytes, of all query nodes.

    ``memory_used`` is of whole processes: on a standalone server everything else is in it as well.
    """

    proxies: int | None = None
    memory: int | None = None
    memory_used: int | None = None


def describe(collection_name: str) -> Flow[Any]:
    """The collection behind a name or an alias.

    :raises MilvusDatabaseNotFoundError: the database is what is missing; Milvus 2.3.5 blames the collection for it.
    :raises MilvusCollectionNotFoundError: the database exists.
    """
    try:
        return (yield Rpc("DescribeCollection", {"collection_name": collection_name}))
    except MilvusCollectionNotFoundError:
        # ShowCollections is the one call that every server refuses for a missing database.
        yield Rpc("ShowCollections", {"type": "InMemory"})
        raise


def real_name(described: Any) -> str:
    """The collection's own name: 2.3.5 puts the alias that was asked for into ``collection_name``."""
    return str(described.schema.name or described.collection_name)


def find(name: str) -> Flow[Any | None]:
    """What describing a collection tells; ``None`` when there is none of that name.

    :raises MilvusDatabaseNotFoundError: the database is what is missing.
    :raises MilvusRefusedError: the name is an alias.
    """
    try:
        described = yield from describe(name)
    except MilvusCollectionNotFoundError:
        return None
    if (real := real_name(described)) != name:
        raise MilvusRefusedError(f"{name!r} is an alias of the collection {real!r}: name the collection itself.")
    return described


def databases() -> Flow[list[str]]:
    answer = yield Rpc("ListDatabases")
    return sorted(answer.db_names)


def collections() -> Flow[list[Listed]]:
    """Every collection of the database."""
    answer = yield Rpc("ShowCollections", {"type": "All"})
    # Milvus Lite tells names only.
    numbers, moments = list(answer.collection_ids), list(answer.created_utc_timestamps)
    each = zip_longest(answer.collection_names, numbers, moments, fillvalue=0)
    return [Listed(str(name), int(number) or None, _moment(created)) for name, number, created in each]


def loaded() -> Flow[dict[str, int]]:
    """Every collection in memory, or on its way there, with its load percentage."""
    answer = yield Rpc("ShowCollections", {"type": "InMemory"})
    listed = zip(answer.collection_names, answer.inMemory_percentages, strict=True)
    # Milvus Lite lists all of them, with 0 for what is not loaded; on a server a load that begins has 0 too.
    version = yield Rpc("GetVersion")
    return {name: int(percent) for name, percent in listed if percent or not is_lite(version)}


def is_lite(version: Any) -> bool:
    """Not by the word alone: the standalone server of the PyPI package calls itself v2.3.5-lite."""
    return bool(version.version.startswith("milvus_lite"))


def aliases() -> Flow[dict[str, list[str]]]:
    """Each aliased collection's aliases: one call, and one more per alias."""
    found: dict[str, list[str]] = {}
    answer = yield Rpc("ListAliases")
    for alias in answer.aliases:
        described = yield Rpc("DescribeAlias", {"alias": alias})
        found.setdefault(described.collection, []).append(alias)
    return found


def aliases_of(collection_name: str) -> Flow[list[str]]:
    """One collection's aliases, also those of Milvus Lite, which leaves them out when it describes a collection."""
    answer = yield Rpc("ListAliases", {"collection_name": collection_name})
    return sorted(answer.aliases)


def details(collection_name: str) -> Flow[Details]:
    answer = yield from describe(collection_name)
    return Details(
        tuple(answer.aliases),
        {each.key: each.value for each in answer.properties},
        sum(_field_bytes(each) for each in answer.schema.fields),
    )


def rows(collection_name: str) -> Flow[int | None]:
    """Rows that are flushed; ``None`` for 0, which Milvus also says of rows that are only not flushed yet."""
    answer = yield Rpc("GetCollectionStatistics", {"collection_name": collection_name})
    counts = {each.key: each.value for each in answer.stats}
    return int(counts.get("row_count", 0)) or None


def replicas(collection_name: str) -> Flow[tuple[int | None, tuple[str, ...]]]:
    """How many replicas of a loaded collection there are, and in which resource groups."""
    try:
        answer = yield Rpc("GetReplicas", {"collection_name": collection_name}, 5.0)
    except (MilvusUnsupportedError, *_NOT_LOADED):
        return None, ()
    return len(answer.replicas), tuple(sorted({each.resource_group_name for each in answer.replicas}))


def partitions(collection_name: str) -> Flow[tuple[int, int]]:
    """How many partitions are in memory, of how many."""
    every = yield Rpc("ShowPartitions", {"collection_name": collection_name})
    try:
        held = yield Rpc("ShowPartitions", {"collection_name": collection_name, "type": "InMemory"})
    except _NOT_LOADED:
        return 0, len(every.partition_names)
    return len(held.partition_names), len(every.partition_names)


def nodes() -> Flow[Nodes]:
    try:
        answer = yield Rpc("GetMetrics", {"request": json.dumps({"metric_type": "system_info"})})
    except MilvusUnsupportedError:
        return Nodes()
    infos = [each.get("infos") or {} for each in json.loads(answer.response or "{}").get("nodes_info") or []]
    kinds = [str(each.get("type", "")).lower() for each in infos]
    hardware = [each.get("hardware_infos") or {} for each, kind in zip(infos, kinds, strict=True) if kind == "querynode"]
    memory, used = (sum(int(each.get(key, 0)) for each in hardware) for key in ("memory", "memory_usage"))
    return Nodes(kinds.count("proxy") or None, memory or None, used or None)


def _moment(milliseconds: int) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None


def _field_bytes(described: Any) -> int:
    parameters = {each.key: each.value for each in described.type_params}
    kind = int(described.data_type)
    if kind in _BITS_PER_DIMENSION:
        return int(parameters.get("dim", 0)) * _BITS_PER_DIMENSION[kind] // 8
    return _BYTES.get(kind) or min(_TEXT, int(parameters.get("max_length", _TEXT)))


def row_count(collection_name: str, filter: str = "", partition_names: Sequence[str] = ()) -> Flow[int]:
    """The rows of a collection (or of what an alias stands for) that match ``filter``; all of them without one.

    The server counts them: ``count(*)`` with strong consistency sees every row that was written before it was asked, and none
    that is gone. ``get_collection_stats`` says 0 of rows that are not flushed and goes on counting those that were deleted.

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


def row_count_if_loaded(collection_name: str, filter: str = "", partition_names: Sequence[str] = ()) -> Flow[int | None]:
    """As :func:`row_count`; ``None`` where the rows cannot be counted, because they are not in memory."""
    try:
        return (yield from row_count(collection_name, filter, partition_names))
    except MilvusNotLoadedError:
        return None


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
