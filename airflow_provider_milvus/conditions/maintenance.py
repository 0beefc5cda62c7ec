"""Work that the server does by itself after it was asked to: flushes, compactions, restores of snapshots."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from airflow_provider_milvus.answers.numbers import read_percent, read_whole_number
from airflow_provider_milvus.client.flow import Flow, Rpc
from airflow_provider_milvus.conditions.base import Condition, Observation, Verdict, name_of
from airflow_provider_milvus.exceptions import MilvusError, MilvusServerError

_COMPLETED = 2
"""The number of ``CompactionState.Completed``."""
_RESTORE_STATES = ("None", "Pending", "Executing", "Completed", "Failed")
"""The names of ``RestoreSnapshotState``, by number, without their common prefix."""


@dataclass(frozen=True)
class Flushed(Condition):
    """All rows that were written before a flush are in storage.

    ``segments`` and ``flush_ts`` are the server's answer to the flush.
    """

    collection_name: str
    segments: list[int] = field(default_factory=list)
    flush_ts: int = 0

    def look(self) -> Flow[Observation]:
        request = {"collection_name": self.collection_name, "segmentIDs": self.segments, "flush_ts": self.flush_ts}
        answer = yield Rpc("GetFlushState", request)
        return Observation(Verdict.MET, "Flushed") if answer.flushed else Observation(Verdict.NOT_YET, "Flushing")


@dataclass(frozen=True)
class Compacted(Condition):
    """A compaction has ended, and no plan of it has failed.

    ``plans`` is the number of its plans when it began. Milvus reports Completed for every compaction that it does not know,
    such as one that it forgot in a restart, and then it knows fewer plans. With 0 plans, Completed is believed. A
    ``compaction_id`` of 0 means that there was nothing to compact.
    """

    compaction_id: int
    plans: int = 0
    collection_name: str = ""
    never_error: ClassVar[type[MilvusError]] = MilvusServerError

    def __str__(self) -> str:
        return f"Compaction {self.compaction_id}" + (f" of {self.collection_name!r}" if self.collection_name else "")

    def look(self) -> Flow[Observation]:
        if not self.compaction_id:
            return Observation(Verdict.MET, "Completed", 100)
        answer = yield Rpc("GetCompactionState", {"compactionID": self.compaction_id})
        plans = count_plans(answer)
        known = sum(plans.values())
        progress = 100 * (known - plans["executing"]) // known if known else None
        if answer.state != _COMPLETED:
            return Observation(Verdict.NOT_YET, "Executing", progress)
        if known < self.plans:
            reason = f"the server knows {known} of its {self.plans} plans, as after a restart: compact again"
            return Observation(Verdict.NEVER, "Forgotten", None, reason)
        if failed := plans["failed"] + plans["timed out"]:
            return Observation(Verdict.NEVER, "Completed", None, f"{failed} of its {known} plans failed: compact again")
        return Observation(Verdict.MET, "Completed", 100)


@dataclass(frozen=True)
class SnapshotRestored(Condition):
    """The job ``job_id``, which restores a snapshot into a new collection, has ended."""

    job_id: int
    collection_name: str
    never_error: ClassVar[type[MilvusError]] = MilvusServerError

    def __str__(self) -> str:
        return f"Restore {self.job_id} into {self.collection_name!r}"

    def look(self) -> Flow[Observation]:
        info = (yield Rpc("GetRestoreSnapshotState", {"job_id": self.job_id})).info
        state = name_of(info.state, _RESTORE_STATES, "restore")
        if state == "Completed":
            return Observation(Verdict.MET, state, 100)
        if state == "Failed":
            return Observation(
                Verdict.NEVER, state, read_percent(info.progress), str(info.reason) or "the server gives no reason"
            )
        return Observation(Verdict.NOT_YET, state, read_percent(info.progress))


def count_plans(answer: Any) -> dict[str, int]:
    """The number of plans of a compaction in each state, from the answer to GetCompactionState.

    :raises MilvusServerError: one of the numbers cannot be.
    """
    told = {
        "executing": answer.executingPlanNo,
        "completed": answer.completedPlanNo,
        "failed": answer.failedPlanNo,
        "timed out": answer.timeoutPlanNo,
    }
    plans = {state: number for state, count in told.items() if (number := read_whole_number(count)) is not None}
    if len(plans) < len(told):
        raise MilvusServerError(f"The server counts {told} plans of the compaction, which cannot be.")
    return plans
