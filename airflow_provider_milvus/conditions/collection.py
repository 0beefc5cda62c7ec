"""Collections, their indexes and their aliases: whether they exist, are built, or have kept their target."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, ClassVar

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.answers.numbers import read_whole_number
from airflow_provider_milvus.client.flow import Flow, Rpc
from airflow_provider_milvus.client.reads import describe, partition_ids, real_name, target_of
from airflow_provider_milvus.conditions.base import Condition, Observation, Verdict, name_of

_FINISHED, _FAILED = 3, 4
_STATES = ("None", "Unissued", "InProgress", "Finished", "Failed", "Retry")
"""The names of Milvus's ``IndexState``, by number."""


@dataclass(frozen=True)
class CollectionExists(Condition):
    """A collection, or an alias, exists; with ``exists=False``, does not exist. With ``partition_names`` all of these
    partitions exist, or none of them does.

    :raises MilvusDatabaseNotFoundError: the database does not exist.
    """

    collection_name: str
    exists: bool = True
    partition_names: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        partitions = ", ".join(map(repr, self.partition_names))
        return f"Partition {partitions} of {self.collection_name!r}" if partitions else f"Collection {self.collection_name!r}"

    def look(self) -> Flow[Observation]:
        try:
            described = yield from describe(self.collection_name)
            found = [True]
            if self.partition_names:
                existing = yield from partition_ids(real_name(described))
                found = [name in existing for name in self.partition_names]
        except exceptions.MilvusCollectionNotFoundError:
            found = [False]
        is_met = all(found) if self.exists else not any(found)
        state = "Exists" if all(found) else "ExistsInPart" if any(found) else "NotExist"
        return Observation(Verdict.MET if is_met else Verdict.NOT_YET, state)


@dataclass(frozen=True)
class IndexBuilt(Condition):
    """Indexes of a collection are built: those of ``field_name``, the one called ``index_name``, or all of them.

    Milvus builds an index for flushed rows; the index of an empty collection is ``Finished`` at once.

    :raises MilvusCollectionNotFoundError, MilvusDatabaseNotFoundError: it can never be met.
    """

    collection_name: str
    field_name: str = ""
    index_name: str = ""
    never_error: ClassVar[type[exceptions.MilvusError]] = exceptions.MilvusIndexFailedError

    def __str__(self) -> str:
        name = self.index_name or self.field_name
        return f"{'Index ' + repr(name) if name else 'Every index'} of {self.collection_name!r}"

    def look(self) -> Flow[Observation]:
        indexes = yield from describe_indexes(self.collection_name, self.field_name, self.index_name)
        if not indexes:
            return Observation(Verdict.NOT_YET, "NotExist")
        failed = next((index for index in indexes if index.state == _FAILED), None)
        if failed is not None:
            reason = failed.index_state_fail_reason or "the server gives no reason"
            return Observation(Verdict.NEVER, "Failed", _percent(indexes), f"the server says: {reason}")
        unfinished = [index for index in indexes if index.state != _FINISHED or index.pending_index_rows]
        if unfinished:
            # Rows that came after the index was built are pending while its state is still Finished.
            state = "InProgress" if unfinished[0].state == _FINISHED else name_of(unfinished[0].state, _STATES, "index")
            return Observation(Verdict.NOT_YET, state, _percent(indexes))
        return Observation(Verdict.MET, "Finished", 100)


@dataclass(frozen=True)
class GraceOver(Condition):
    """The time after a swap is over: ``until`` has come, in seconds since the epoch, or the alias points elsewhere.

    The condition is met either way: whoever waited looks at the alias again before the old collection is touched.
    """

    collection_name: str
    alias: str
    until: float

    def __str__(self) -> str:
        return f"Grace period of alias {self.alias!r}"

    def look(self) -> Flow[Observation]:
        if (yield from target_of(self.alias)) != self.collection_name:
            return Observation(Verdict.MET, "Moved")
        return Observation(Verdict.MET, "Over") if time.time() >= self.until else Observation(Verdict.NOT_YET, "Running")


def describe_indexes(collection_name: str, field_name: str = "", index_name: str = "") -> Flow[list[Any]]:
    """The server's descriptions of a collection's indexes; an empty list when it has none.

    :raises MilvusCollectionNotFoundError, MilvusDatabaseNotFoundError: the collection or the database does not exist.
    """
    try:
        answer = yield Rpc("DescribeIndex", {"collection_name": collection_name})
    except exceptions.MilvusIndexNotFoundError:
        return []
    except exceptions.MilvusCollectionNotFoundError:
        yield from describe(collection_name)
        raise
    # Servers ignore field_name in the request, and Lite ignores index_name too.
    return [
        index
        for index in answer.index_descriptions
        if field_name in ("", index.field_name) and index_name in ("", index.index_name)
    ]


def _percent(indexes: list[Any]) -> int | None:
    counts = [(read_whole_number(index.indexed_rows), read_whole_number(index.total_rows)) for index in indexes]
    known = [(min(indexed, total), total) for indexed, total in counts if indexed is not None and total is not None]
    total = sum(total for _, total in known)
    return sum(indexed for indexed, _ in known) * 100 // total if total and len(known) == len(counts) else None
