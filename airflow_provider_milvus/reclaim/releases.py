"""Carrying out many releases, at the pace that the server keeps up with.

Each collection is looked at once more just before its release, and seen on the server after it. Who came in between, such as an
alias, gets the collection back. A failure does not stop the others, but after the server is out of reach no other release is
tried.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.client.failures import trouble_with_all
from airflow_provider_milvus.client.flow import LEAST_ATTEMPT, Deadline
from airflow_provider_milvus.client.subject import Subject
from airflow_provider_milvus.client.tries import Tries
from airflow_provider_milvus.exceptions import (
    MilvusBeingLoadedError,
    MilvusError,
    MilvusRateLimitError,
    MilvusRefusedError,
    MilvusTimeoutError,
)
from airflow_provider_milvus.reclaim.pace import Pace
from airflow_provider_milvus.reclaim.plan import PlannedRelease, reason_to_keep
from airflow_provider_milvus.schema.window_marks import marks_of, open_windows
from airflow_provider_milvus.server.load import load, placement
from airflow_provider_milvus.server.release import release

if TYPE_CHECKING:
    from airflow_provider_milvus.client.client import AsyncBoundedClient
    from airflow_provider_milvus.client.subject import Standing
    from airflow_provider_milvus.server.release import Released


RELOAD_POLL = 2.0
"""Seconds between two looks at a load that brings a collection back."""


class Outcome(StrEnum):
    RELEASED = "released"
    RELOADED = "reloaded"
    KEPT = "kept"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class EndedRelease:
    """A planned release after it has ended; ``state`` is the load state that the server reported last.

    ``sent``: it was sent, or may have been. ``error`` is that of a failure.
    """

    entry: PlannedRelease
    outcome: Outcome
    state: str
    reason: str
    sent: bool = False
    error: MilvusError | None = None


InUse = Callable[[PlannedRelease], Awaitable[str | None]]
"""Called just before a release: returns why somebody needs the collection, or ``None``."""


@dataclass(slots=True)
class Releases:
    """The releases of one run, within ``deadline``.

    :param release_timeout: seconds for one release.
    :param on_end: called with each release when it has ended, in the order in which they end.
    """

    client: AsyncBoundedClient
    deadline: Deadline
    release_timeout: float
    keep_aliased: bool
    on_end: Callable[[EndedRelease], object]
    report: Callable[[str], object]
    in_use: InUse | None = None
    _pace: Pace = field(init=False, default_factory=lambda: Pace(time.monotonic()))
    _stopped: MilvusError | None = field(init=False, default=None)
    """Why no other release is tried."""

    async def carry_out(self, entries: Sequence[PlannedRelease]) -> None:
        """Begin the releases in this order, some at a time. Returns when all have ended."""
        under_way: set[asyncio.Task[EndedRelease]] = set()
        for entry in entries:
            while len(under_way) >= self._pace.width:
                under_way = await self._next_of(under_way)
            under_way.add(asyncio.create_task(self._one(entry)))
        while under_way:
            under_way = await self._next_of(under_way)

    async def _next_of(self, under_way: set[asyncio.Task[EndedRelease]]) -> set[asyncio.Task[EndedRelease]]:
        ended, left = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            self.on_end(task.result())
        return left

    async def _one(self, entry: PlannedRelease) -> EndedRelease:
        if self._stopped is None and self.deadline.remaining < LEAST_ATTEMPT:
            self._stopped = MilvusTimeoutError("not tried: the run's timeout is used up")
        if self._stopped is not None:
            return EndedRelease(entry, Outcome.FAILED, "Loaded", str(self._stopped), error=self._stopped)
        memos: list[Any] = []
        try:
            in_use = await self.in_use(entry) if self.in_use is not None else None
            if in_use is not None:
                return EndedRelease(entry, Outcome.KEPT, "Loaded", in_use)
            # Airflow keeps the whole plan as a note; here it only counts whether the release was sent.
            ended = await self._release(entry, Tries(note=memos.append, leave=lambda note: memos.clear()))
            return replace(ended, sent=ended.outcome is not Outcome.KEPT)
        except MilvusRefusedError as changed:
            state = "Loading" if isinstance(changed, MilvusBeingLoadedError) else "Loaded"
            return EndedRelease(entry, Outcome.KEPT, state, f"changed since it was planned: {changed}")
        except MilvusError as error:
            self.report(f"The release of collection {entry.collection!r} failed: {error}")
            self._stopped = self._stopped or trouble_with_all(error)
            if isinstance(error, (MilvusTimeoutError, MilvusRateLimitError)):
                self._pace.late(time.monotonic())
            return EndedRelease(entry, Outcome.FAILED, "unknown", str(error), sent=bool(memos), error=error)

    async def _release(self, entry: PlannedRelease, tries: Tries) -> EndedRelease:
        deadline = self.deadline.at_most(self.release_timeout)
        released = await self.client.run(
            release(
                entry.collection,
                deadline,
                skip_if_missing=True,
                unless=lambda standing: self._reason_to_keep(entry, standing),
                load=entry.load,
                tries=tries,
                report=self.report,
            ),
            deadline,
            database=entry.database,
        )
        if released.state == "NotExist":
            return EndedRelease(entry, Outcome.KEPT, "NotExist", "dropped since it was planned")
        if not released.sent:
            return EndedRelease(entry, Outcome.KEPT, "NotLoad", "released by somebody else since it was planned")
        self._pace.done(time.monotonic())
        if released.loaded_since:
            return EndedRelease(entry, Outcome.RELOADED, released.state, "released, and loaded again by somebody else")
        return await self._look_back(entry, released)

    async def _look_back(self, entry: PlannedRelease, released: Released) -> EndedRelease:
        """What came between the last look and the release, and would have kept the collection, gets it back."""
        deadline = self.deadline.at_most(self.release_timeout)
        looking = Subject(entry.collection, entry.collection_id or 0).standing()
        try:
            standing = await self.client.run(looking, deadline, database=entry.database)
        except MilvusError as error:
            self._stopped = self._stopped or trouble_with_all(error)
            unknown = f"{entry.reason}; whether somebody needs it since is not known: {error}"
            return EndedRelease(entry, Outcome.RELEASED, released.state, unknown)
        reason = self._reason_to_keep(entry, standing) if standing is not None else None
        if reason is None:
            return EndedRelease(entry, Outcome.RELEASED, released.state, entry.reason)
        self.report(f"Collection {entry.collection!r} was released, and is loaded again: {reason}.")
        try:
            state = await self.client.run(
                load(
                    entry.collection,
                    self.deadline,
                    options=placement(released.groups),
                    poll_interval=RELOAD_POLL,
                    stall_timeout=None,
                    report=self.report,
                ),
                self.deadline,
                database=entry.database,
            )
        except MilvusError as error:
            words = f"it was released, and should have stayed: {reason}. It could not be loaded again: {error}"
            return EndedRelease(entry, Outcome.FAILED, "unknown", words, error=error)
        return EndedRelease(entry, Outcome.RELOADED, state, f"released, and loaded again by this task: {reason}")

    def _reason_to_keep(self, entry: PlannedRelease, standing: Standing) -> str | None:
        return reason_to_keep(
            entry,
            collection_id=standing.collection_id or None,
            aliases=standing.aliases,
            properties=standing.properties,
            windows=len(open_windows(marks_of(standing.properties), time.time())),
            keep_aliased=self.keep_aliased,
        )
