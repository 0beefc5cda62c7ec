"""Collections and their indexes: whether one is there, and whether it is built."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar

from airflow_provider_milvus.client.flow import Flow, Rpc
from airflow_provider_milvus.client.reads import describe
from airflow_provider_milvus.conditions.base import Condition, Observation, Verdict
from airflow_provider_milvus.exceptions import (
    MilvusAliasNotFoundError,
    MilvusCollectionNotFoundError,
    MilvusError,
    MilvusIndexFailedError,
    MilvusIndexNotFoundError,
)

_FINISHED, _FAILED = 3, 4
_STATES = ("None", "Unissued", "InProgress", "Finished", "Failed", "Retry")
"""The names of Milvus's ``IndexState``, by number."""


@dataclass(frozen=True)
class CollectionExists(Condition):
    """A collection, or an alias, is there; with ``exists=False``: is not.

    :raises MilvusDatabaseNotFoundError: the database is what is missing.
    """

    collection_name: str
    exists: bool = True

    def look(self) -> Flow[Observation]:
        try:
            yield from describe(self.collection_name)
            found = True
        except MilvusCollectionNotFoundError:
            found = False
        return Observation(Verdict.MET if found == self.exists else Verdict.NOT_YET, "Exists" if found else "NotExist")


@dataclass(frozen=True)
class IndexBuilt(Condition):
    """The indexes of a collection are built: those of ``field_name``, the one called ``index_name``, or all there are.

    Milvus builds an index for rows that are flushed; an empty collection's is ``Finished`` at once.

    :raises MilvusCollectionNotFoundError, MilvusDatabaseNotFoundError: it can never be met.
    """

    collection_name: str
    field_name: str = ""
    index_name: str = ""
    never: ClassVar[type[MilvusError]] = MilvusIndexFailedError

    def __str__(self) -> str:
        name = self.index_name or self.field_name
        return f"{'Index ' + repr(name) if name else 'Every index'} of {self.collection_name!r}"

    def look(self) -> Flow[Observation]:
        found = yield from described_indexes(self.collection_name, self.field_name, self.index_name)
        if not found:
            return Observation(Verdict.NOT_YET, "NotExist")
        failed = next((each for each in found if each.state == _FAILED), None)
        if failed is not None:
            reason = failed.index_state_fail_reason or "the server gives no reason"
            return Observation(Verdict.NEVER, "Failed", _percent(found), f"the server says: {reason}")
        behind = [each for each in found if each.state != _FINISHED or each.pending_index_rows]
        if behind:
            # Rows that came after it was built are pending while it still says Finished.
            state = "InProgress" if behind[0].state == _FINISHED else _STATES[int(behind[0].state)]
            return Observation(Verdict.NOT_YET, state, _percent(found))
        return Observation(Verdict.MET, "Finished", 100)


@dataclass(frozen=True)
class GraceOver(Condition):
    """A swapped alias has pointed to its new collection until ``until``, in seconds since the epoch, or does so no more.

    Either way the wait is over: what became of the alias is looked at again before anything is done.
    """

    collection_name: str
    alias: str
    until: float

    def __str__(self) -> str:
        return f"Grace period of alias {self.alias!r}"

    def look(self) -> Flow[Observation]:
        try:
            answer = yield Rpc("DescribeAlias", {"alias": self.alias})
            there = answer.collection == self.collection_name
        except (MilvusAliasNotFoundError, MilvusCollectionNotFoundError):
            there = False
        if not there:
            return Observation(Verdict.MET, "Moved")
        return Observation(Verdict.MET, "Over") if time.time() >= self.until else Observation(Verdict.NOT_YET, "Running")


def described_indexes(collection_name: str, field_name: str = "", index_name: str = "") -> Flow[list[Any]]:
    """What the server says of a collection's indexes; none is an empty list.

    :raises MilvusCollectionNotFoundError, MilvusDatabaseNotFoundError: which it is.
    """
    try:
        answer = yield Rpc("DescribeIndex", {"collection_name": collection_name})
    except MilvusIndexNotFoundError:
        return []
    except MilvusCollectionNotFoundError:
        yield from describe(collection_name)
        raise
    # Servers do not heed field_name, and Lite not index_name either.
    return [
        each
        for each in answer.index_descriptions
        if field_name in ("", each.field_name) and index_name in ("", each.index_name)
    ]


def _percent(found: list[Any]) -> int | None:
    total = sum(int(each.total_rows) for each in found)
    return sum(min(int(each.indexed_rows), int(each.total_rows)) for each in found) * 100 // total if total else None
