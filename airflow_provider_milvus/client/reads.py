"""What a server holds, as flows: databases, collections, what is loaded, aliases, rows, and the nodes with their memory.

A listing takes one call, however many collections there are. :func:`details`, :func:`rows`, :func:`replicas` and
:func:`partitions` take a call or two for one collection, so they are for loaded collections.
"""

from __future__ import annotations

import itertools
import json
import logging
import re
import reprlib
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.answers.bodies import parse_json
from airflow_provider_milvus.answers.numbers import MOST, read_percent, read_whole_number
from airflow_provider_milvus.client.codes import StatusError, check_status
from airflow_provider_milvus.client.flow import Flow, Rpc, after
from airflow_provider_milvus.schema.pairs import from_pairs
from airflow_provider_milvus.schema.types import DATA_TYPES, NAMES

log = logging.getLogger(__name__)

_TEXT = 256
"""Assumed bytes of a text, a JSON value, an array or a sparse vector, unless its ``max_length`` is less."""

_LARGEST_NODES = 16 << 20
"""Characters of the answer about the nodes: some 2,000 for each."""
_FIRST_YEAR, _LAST_YEAR = 2019, 2200
"""Between these a collection can have been created: Milvus is there since 2019."""

_NOT_LOADED = (exceptions.MilvusServerError, exceptions.MilvusCollectionNotFoundError)
"""The errors of 2.3.5 for the replicas and partitions in memory of a collection that is being loaded, or was released."""


@dataclass(frozen=True, slots=True)
class ListedCollection:
    """A collection as a listing names it."""

    name: str
    collection_id: int | None
    created: datetime | None


@dataclass(frozen=True, slots=True)
class Details:
    """A collection's aliases, its properties, and ``row_bytes``: the bytes of one row, estimated from the schema, or 0.

    ``collection_id`` is 0 where the server tells none.
    """

    aliases: tuple[str, ...] = ()
    properties: dict[str, str] = field(default_factory=dict)
    row_bytes: int = 0
    collection_id: int = 0


@dataclass(frozen=True, slots=True)
class Nodes:
    """The memory of all query nodes in bytes; ``None`` where the server does not report it.

    ``memory_used`` is of whole processes: on a standalone server it includes all other components. ``standalone``: the server
    is a single process. A cluster does not tell how many proxies it has: the one that answers lists itself only. ``problem``:
    what the server tells, and cannot be.
    """

    standalone: bool = False
    memory: int | None = None
    memory_used: int | None = None
    problem: str | None = None


def describe(collection_name: str) -> Flow[Any]:
    """The description of the collection behind a name or an alias.

    :raises MilvusDatabaseNotFoundError: the database does not exist; Milvus 2.3.5 reports a missing collection then.
    :raises MilvusCollectionNotFoundError: the database exists, and has no collection or alias of this name.
    """
    try:
        return (yield Rpc("DescribeCollection", {"collection_name": collection_name}))
    except exceptions.MilvusCollectionNotFoundError:
        # Of a missing database 2.3.5 says the same. A listing tells the two apart; this one is of this name only.
        with suppress(
            exceptions.MilvusCollectionNotFoundError, exceptions.MilvusServerError, exceptions.MilvusUnsupportedError
        ):
            looking = Rpc("ShowCollections", {"type": "InMemory", "collection_names": [collection_name]})
            yield from after(f"Collection {collection_name!r} was not found.", _one(looking))
        raise


def _one(call: Rpc) -> Flow[Any]:
    return (yield call)


def real_name(described: Any) -> str:
    """The collection's own name: when a request names an alias, 2.3.5 answers with it in ``collection_name``."""
    return str(described.schema.name or described.collection_name)


def find(name: str) -> Flow[Any | None]:
    """The description of a collection; ``None`` when it does not exist.

    :raises MilvusDatabaseNotFoundError: the database does not exist.
    :raises MilvusRefusedError: the name is an alias.
    """
    try:
        described = yield from describe(name)
    except exceptions.MilvusCollectionNotFoundError:
        return None
    if (real := real_name(described)) != name:
        raise exceptions.MilvusRefusedError(f"{name!r} is an alias of the collection {real!r}: name the collection itself.")
    return described


def databases() -> Flow[list[str]]:
    answer = yield Rpc("ListDatabases")
    return sorted(answer.db_names)


def collections(names: Collection[str] | None = None) -> Flow[list[ListedCollection]]:
    """Every collection of the database, or those of these names."""
    answer = yield Rpc("ShowCollections", {"type": "All"})
    # Milvus Lite lists names only.
    rows = zip_longest(answer.collection_names, answer.collection_ids, answer.created_utc_timestamps, fillvalue=0)
    return [
        ListedCollection(str(name), int(id) or None, _moment(created))
        for name, id, created in rows
        if name and (names is None or name in names)
    ]


def loaded(names: Collection[str] | None = None) -> Flow[dict[str, int]]:
    """The collections that are in memory or being loaded, all or of these names, with their load progress in per cent: 0 where
    that is not known.
    """
    answer = yield Rpc("ShowCollections", {"type": "InMemory"})
    unknown = itertools.repeat(-1)
    percents = {
        str(name): _believed(read_percent(percent), percent, f"the load progress of {name!r}") or 0
        for name, percent in zip(answer.collection_names, itertools.chain(answer.inMemory_percentages, unknown), strict=False)
        if names is None or name in names
    }
    # Milvus Lite lists all collections, with 0 for one that is not loaded. On a server a load that begins has 0 too.
    if all(percents.values()) or not is_lite((yield Rpc("GetVersion"))):
        return percents
    return {name: percent for name, percent in percents.items() if percent}


def version_for(collection_name: str) -> Flow[Any]:
    """The answer to GetVersion, asked for the work on a collection, which an error names."""

    def version() -> Flow[Any]:
        return (yield Rpc("GetVersion"))

    return (yield from after(f"Collection {collection_name!r}:", version()))


def is_lite(version: Any) -> bool:
    """Whether the answer to GetVersion is Milvus Lite's. Version v2.3.5-lite is not: it is PyPI's standalone server."""
    return bool(version.version.startswith("milvus_lite"))


def is_before(version: Any, first: tuple[int, int]) -> bool:
    """Whether the answer to GetVersion is of a Milvus before ``first``, such as ``(2, 4)``; not for Milvus Lite.

    Zilliz Cloud and builds from source may report no number. They are newer than whatever is asked for here.
    """
    numbers = re.search(r"(\d+)\.(\d+)", version.version)
    return numbers is not None and tuple(map(int, numbers.groups())) < first


def aliases() -> Flow[list[str]]:
    """Every alias of the database."""
    return sorted((yield Rpc("ListAliases")).aliases)


def aliases_of(collection_name: str) -> Flow[list[str]]:
    """One collection's aliases, on Milvus Lite too, whose description of a collection leaves them out."""
    return sorted((yield Rpc("ListAliases", {"collection_name": collection_name})).aliases)


def target_of(alias: str) -> Flow[str | None]:
    """The collection that an alias points to; ``None`` when the alias does not exist."""
    try:
        answer = yield Rpc("DescribeAlias", {"alias": alias})
    except (exceptions.MilvusAliasNotFoundError, exceptions.MilvusCollectionNotFoundError):
        # Milvus Lite answers with the second error.
        return None
    return str(answer.collection)


def details(collection_name: str) -> Flow[Details | None]:
    """The details of a collection; ``None`` where it does not exist."""
    try:
        return _details_of((yield from describe(collection_name)))
    except exceptions.MilvusCollectionNotFoundError:
        return None


def many_details(collection_names: Sequence[str]) -> Flow[list[Details | None]]:
    """The details of several collections, in one call.

    :raises MilvusUnsupportedError: the server describes one at a time, as all before Milvus 2.6 do.
    """
    answer = yield Rpc("BatchDescribeCollection", {"collection_name": list(collection_names)})
    return [_details_if_there(described) for described in answer.responses]


def _details_if_there(described: Any) -> Details | None:
    try:
        return _details_of(check_status(described))
    except StatusError as error:
        if error.kind is exceptions.MilvusCollectionNotFoundError:
            return None
        name = described.collection_name
        raise error.kind(f"Collection {name!r} could not be described: {error} (code {error.code}).") from None


def _details_of(described: Any) -> Details:
    sizes = [_field_bytes(field) for field in described.schema.fields]
    row_bytes = 0 if None in sizes else sum(filter(None, sizes))
    return Details(tuple(described.aliases), from_pairs(described.properties), row_bytes, int(described.collectionID))


def rows(collection_name: str) -> Flow[int | None]:
    """The number of flushed rows; ``None`` for 0, which Milvus also reports for rows that are not flushed yet."""
    answer = yield Rpc("GetCollectionStatistics", {"collection_name": collection_name})
    told = from_pairs(answer.stats).get("row_count", 0)
    return _believed(read_whole_number(told), told, f"the number of rows of {collection_name!r}") or None


def replicas(collection_name: str) -> Flow[dict[int, str] | None]:
    """The resource group of each replica of a collection in memory, by the replica's id; ``None`` where no server tells.

    A load makes replicas with new ids, so that two loads are told apart by them.
    """
    try:
        answer = yield Rpc("GetReplicas", {"collection_name": collection_name}, 5.0)
    except (exceptions.MilvusUnsupportedError, *_NOT_LOADED):
        return None
    return {int(replica.replicaID): str(replica.resource_group_name) for replica in answer.replicas} or None


def partitions(collection_name: str) -> Flow[tuple[int, int]]:
    """The number of partitions in memory, and of all partitions."""
    existing = yield Rpc("ShowPartitions", {"collection_name": collection_name})
    try:
        loaded = yield Rpc("ShowPartitions", {"collection_name": collection_name, "type": "InMemory"})
    except _NOT_LOADED:
        return 0, len(existing.partition_names)
    return len(loaded.partition_names), len(existing.partition_names)


def partition_ids(collection_name: str) -> Flow[dict[str, int]]:
    """The id of every partition of a collection, by its name; 0 where the server tells none, as Milvus Lite."""
    answer = yield Rpc("ShowPartitions", {"collection_name": collection_name})
    return {str(name): int(id) for name, id in zip_longest(answer.partition_names, answer.partitionIDs, fillvalue=0) if name}


def rows_of_partition(collection_name: str, partition_name: str) -> Flow[int | None]:
    """The number of flushed rows; ``None`` where it is unknown. Milvus also reports 0 for rows that are not flushed yet."""
    answer = yield Rpc("GetPartitionStatistics", {"collection_name": collection_name, "partition_name": partition_name})
    told = from_pairs(answer.stats).get("row_count", 0)
    return _believed(read_whole_number(told), told, f"the number of rows of partition {partition_name!r}")


def check_partitions(collection_name: str, partition_names: Sequence[str]) -> Flow[list[str]]:
    """All partitions of a collection.

    :raises MilvusPartitionNotFoundError: one of ``partition_names`` is not among them.
    """
    existing = list((yield from partition_ids(collection_name)))
    if missing := [name for name in partition_names if name not in existing]:
        raise exceptions.MilvusPartitionNotFoundError(
            f"Collection {collection_name!r} has no partition {_words(missing)}; it has {_words(sorted(existing))}."
        )
    return existing


def nodes() -> Flow[Nodes]:
    try:
        answer = yield Rpc("GetMetrics", {"request": json.dumps({"metric_type": "system_info"})})
    except exceptions.MilvusUnsupportedError:
        return Nodes()
    try:
        return _read_nodes(answer.response)
    except (ValueError, LookupError, TypeError, AttributeError):
        return Nodes(problem="what the server tells of its nodes cannot be read")


def _read_nodes(text: str) -> Nodes:
    if len(text) > _LARGEST_NODES:
        return Nodes(problem="what the server tells of its nodes is too long to be that")
    infos = [node.get("infos") or {} for node in parse_json(text or "{}").get("nodes_info") or []]
    hardware = [info.get("hardware_infos") or {} for info in infos if str(info.get("type", "")).lower() == "querynode"]
    modes = {str((info.get("system_info") or {}).get("deploy_mode")) for info in infos}
    told = {key: [node[key] for node in hardware if key in node] for key in ("memory", "memory_usage")}
    memory, used = ([read_whole_number(value) for value in values] for values in told.values())
    known = all(len(numbers) == len(hardware) and None not in numbers for numbers in (memory, used))
    problem = None
    if not known and any(told.values()):
        words = (f"{key} {reprlib.repr(values)}" for key, values in told.items())
        problem = f"for {len(hardware)} query nodes the server tells {' and '.join(words)}"
    total, total_used = (sum(filter(None, numbers)) if known else 0 for numbers in (memory, used))
    return Nodes(modes == {"STANDALONE"}, total or None, total_used or None, problem)


LIMITS = {
    2: "reads are limited",
    3: "writes are limited",
    4: "reads are denied",
    5: "writes are denied",
    6: "changes of collections are denied",
}
"""Milvus's ``QuotaState`` in words."""


def health() -> Flow[str]:
    """What the server denies, and what it says of its health; empty where all is well, or the server does not tell."""
    try:
        seen = yield Rpc("CheckHealth")
    except (exceptions.MilvusUnsupportedError, exceptions.MilvusPermissionError, exceptions.MilvusTimeoutError):
        return ""
    words = [LIMITS[state] for state in seen.quota_states if state in LIMITS]
    words += [] if seen.isHealthy else ["it is not healthy"]
    return f"{', '.join(words)} ({'; '.join(seen.reasons) or 'no reason given'})" if words else ""


def _moment(milliseconds: int) -> datetime | None:
    """The time of a creation; ``None`` where the server does not tell one that can be."""
    try:
        moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return moment if _FIRST_YEAR <= moment.year < _LAST_YEAR else None


def _field_bytes(described: Any) -> int | None:
    """Bytes of a value; ``None``: not known."""
    parameters = from_pairs(described.type_params)
    kind = NAMES.get(int(described.data_type))
    if kind and (bits := DATA_TYPES[kind].bits):
        told = parameters.get("dim", 1)
        dim = _believed(read_whole_number(told, MOST // bits), told, "the dimension of a field")
        return None if dim is None else dim * bits // 8
    longest = read_whole_number(parameters.get("max_length", _TEXT))
    return _TEXT if longest is None else min(_TEXT, longest)


def _believed(number: int | None, told: Any, what: str) -> int | None:
    """``number``; where it is ``None``, say so in the log."""
    if number is None:
        log.warning("The server tells %s for %s, which cannot be: it counts as unknown.", reprlib.repr(told), what)
    return number


def _words(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
