"""Work on a collection that the server goes on with by itself: flushes, compactions, restores of snapshots."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from airflow_provider_milvus.client.flow import Flow, Rpc
from airflow_provider_milvus.conditions.base import Condition, Observation, Verdict
from airflow_provider_milvus.exceptions import MilvusError, MilvusServerError

_COMPLETED = 2
"""Of ``CompactionState``."""
_RESTORE_STATES = ("None", "Pending", "Executing", "Completed", "Failed")
"""The names of ``RestoreSnapshotState``, by number, without what they all begin with."""


@dataclass(frozen=True)
class Flushed(Condition):
    """All that was written before a flush is on storage: ``segments`` are sealed and saved.

    ``segments`` and ``flush_ts`` are what the server answered to the flush.
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
    """A compaction is through, and none of its plans has failed.

    ``plans`` is how many it had when it began. Milvus says Completed of every compaction that it does not know, such as one
    that it forgot in a restart; only the number of plans tells that apart. With 0 its word is taken. A ``compaction_id`` of 0
    stands for a collection with nothing to compact.
    """

    compaction_id: int
    plans: int = 0
    collection_name: str = ""
    never: ClassVar[type[MilvusError]] = MilvusServerError

    def __str__(self) -> str:
        return f"Compaction {self.compaction_id}" + (f" of {self.collection_name!r}" if self.collection_name else "")

    def look(self) -> Flow[Observation]:
        if not self.compaction_id:
            return Observation(Verdict.MET, "Completed", 100)
        answer = yield Rpc("GetCompactionState", {"compactionID": self.compaction_id})
        seen = plans_of(answer)
        known = sum(seen.values())
        progress = 100 * (known - seen["executing"]) // known if known else None
        if answer.state != _COMPLETED:
            return Observation(Verdict.NOT_YET, "Executing", progress)
        if known < self.plans:
            reason = f"the server knows {known} of its {self.plans} plans, as after a restart: compact again"
            return Observation(Verdict.NEVER, "Forgotten", None, reason)
        if failed := seen["failed"] + seen["timed out"]:
            return Observation(Verdict.NEVER, "Completed", None, f"{failed} of its {known} plans failed: compact again")
        return Observation(Verdict.MET, "Completed", 100)


@dataclass(frozen=True)
class SnapshotRestored(Condition):
    """A job that restores a snapshot into a new collection is through."""

    job_id: int
    collection_name: str
    never: ClassVar[type[MilvusError]] = MilvusServerError

    def __str__(self) -> str:
        return f"Restore {self.job_id} into {self.collection_name!r}"

    def look(self) -> Flow[Observation]:
        info = (yield Rpc("GetRestoreSnapshotState", {"job_id": self.job_id})).info
        state = _RESTORE_STATES[int(info.state)]
        if state == "Completed":
            return Observation(Verdict.MET, state, 100)
        if state == "Failed":
            return Observation(Verdict.NEVER, state, int(info.progress), str(info.reason) or "the server gives no reason")
        return Observation(Verdict.NOT_YET, state, int(info.progress))


def plans_of(answer: Any) -> dict[str, int]:
    """How many plans of a compaction are where, by the server's answer to GetCompactionState."""
    return {
        "executing": int(answer.executingPlanNo),
        "completed": int(answer.completedPlanNo),
        "failed": int(answer.failedPlanNo),
        "timed out": int(answer.timeoutPlanNo),
    }
