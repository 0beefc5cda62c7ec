"""Carrying out many releases, at the pace that the server keeps up with.

Each collection is looked at once more just before its release, and seen on the server after it. Those that are due at the same
moment share these looks: what is in memory, the aliases and the properties are lists. Who came in between, such as an alias,
gets the collection back. A failure does not stop the others, but after the server is out of reach no other release is tried.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.client.failures import trouble_with_all
from airflow_provider_milvus.client.flow import LEAST_ATTEMPT, Ask, Deadline
from airflow_provider_milvus.client.reads import replicas
from airflow_provider_milvus.client.shared_look import SharedLook
from airflow_provider_milvus.client.subject import Standing, Subject, find_subject
from airflow_provider_milvus.client.tries import Tries
from airflow_provider_milvus.exceptions import (
    MilvusBeingLoadedError,
    MilvusCollectionNotFoundError,
    MilvusError,
    MilvusRateLimitError,
    MilvusRefusedError,
    MilvusTimeoutError,
)
from airflow_provider_milvus.reclaim.pace import Pace
from airflow_provider_milvus.reclaim.plan import PlannedRelease, reason_to_keep
from airflow_provider_milvus.reclaim.survey import Surveyor
from airflow_provider_milvus.server.load import load, placement
from airflow_provider_milvus.server.release import Release, Released

if TYPE_CHECKING:
    from airflow_provider_milvus.client.client import AsyncBoundedClient
    from airflow_provider_milvus.reclaim.inventory import CollectionState


BEFORE, AFTER = 0.05, 0.25
"""Seconds for which a look before releases, and one after them, waits for others to share it."""
RELOAD_POLL = 2.0
"""Seconds between two looks at a load that brings a collection back."""


DROPPED = "dropped since it was planned, and perhaps created again"


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
    _sending: int = field(init=False, default=0)
    _turn: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)
    _left: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _looks: dict[tuple[str, float], SharedLook[CollectionState]] = field(init=False, default_factory=dict)
    _stopped: MilvusError | None = field(init=False, default=None)
    """Why no other release is tried."""

    async def carry_out(self, entries: Sequence[PlannedRelease]) -> None:
        """Begin the releases in this order, some at a time. Returns when all have ended."""
        await asyncio.gather(*map(self._one, entries))

    async def _one(self, entry: PlannedRelease) -> None:
        self.on_end(await self._ended(entry))

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """One of the places for releases that are under way. Who asked first gets the next."""
        async with self._turn:
            while self._sending >= self._pace.width:
                self._left.clear()
                await self._left.wait()
            self._sending += 1
        try:
            yield
        finally:
            self._sending -= 1
            self._left.set()

    async def _ended(self, entry: PlannedRelease) -> EndedRelease:
        memos: list[Any] = []
        # Airflow keeps the whole plan as a note; here it only counts whether the release was sent.
        tries = Tries(note=memos.append, leave=lambda note: memos.clear())
        try:
            async with self._place():
                if self._stopped is None and self.deadline.remaining < LEAST_ATTEMPT:
                    self._stopped = MilvusTimeoutError("not tried: the run's timeout is used up")
                if self._stopped is not None:
                    return EndedRelease(entry, Outcome.FAILED, "Loaded", str(self._stopped), error=self._stopped)
                in_use = await self.in_use(entry) if self.in_use is not None else None
                if in_use is not None:
                    return EndedRelease(entry, Outcome.KEPT, "Loaded", in_use)
                deadline = self.deadline.at_most(self.release_timeout)
                releasing, answered = await self._send(entry, deadline, tries)
            ended = await self._see(entry, deadline, releasing, answered)
            return replace(ended, sent=ended.outcome is not Outcome.KEPT)
        except MilvusCollectionNotFoundError:
            return EndedRelease(entry, Outcome.KEPT, "NotExist", DROPPED)
        except MilvusRefusedError as changed:
            state = "Loading" if isinstance(changed, MilvusBeingLoadedError) else "Loaded"
            return EndedRelease(entry, Outcome.KEPT, state, f"changed since it was planned: {changed}")
        except MilvusError as error:
            self.report(f"The release of collection {entry.collection!r} failed: {error}")
            self._stopped = self._stopped or trouble_with_all(error)
            if isinstance(error, (MilvusTimeoutError, MilvusRateLimitError)):
                self._pace.late(time.monotonic())
            return EndedRelease(entry, Outcome.FAILED, "unknown", str(error), sent=bool(memos), error=error)

    async def _send(self, entry: PlannedRelease, deadline: Deadline, tries: Tries) -> tuple[Release, bool]:
        run = partial(self.client.run, deadline=deadline, database=entry.database)
        # Without an id only another schema tells another collection of that name.
        has_id = entry.collection_id is not None
        releasing = Release(
            Subject(entry.collection, entry.collection_id or 0) if has_id else await run(find_subject(entry.collection)),
            [],
            False,
            lambda standing: self._reason_to_keep(entry, standing),
            self.report,
            tries,
            entry.load,
            Ask(lambda: self._look_before(entry, deadline)) if has_id else None,
        )
        answered = await run(releasing.send(deadline))
        if releasing.outcome().sent:
            self._pace.done(time.monotonic())
        return releasing, answered

    async def _look_before(self, entry: PlannedRelease, deadline: Deadline) -> tuple[Standing, dict[int, str]] | None:
        asking = self.client.run(replicas(entry.collection), deadline, database=entry.database)
        now, load = await asyncio.gather(self._shared_look(entry, BEFORE), asking)
        return (standing_of(now), load) if now is not None and now.state == "Loaded" and load else None

    async def _see(self, entry: PlannedRelease, deadline: Deadline, releasing: Release, answered: bool) -> EndedRelease:
        if answered:
            now = await self._shared_look(entry, AFTER)
            if now is not None and now.state == "NotLoad":
                return await self._look_back(entry, releasing.outcome(now.state), now)
            await self.client.run(releasing.see(), deadline, database=entry.database)
        released = releasing.outcome()
        if released.state == "NotExist":
            return EndedRelease(entry, Outcome.KEPT, "NotExist", DROPPED)
        if not released.sent:
            return EndedRelease(entry, Outcome.KEPT, "NotLoad", "released by somebody else since it was planned")
        if released.loaded_since:
            return EndedRelease(entry, Outcome.RELOADED, released.state, "released, and loaded again by somebody else")
        return await self._look_back(entry, released)

    async def _shared_look(self, entry: PlannedRelease, after: float) -> CollectionState | None:
        """The collection as a look sees it that all share who ask within these seconds; ``None`` where it is not seen."""
        if (entry.database, after) not in self._looks:
            self._looks[entry.database, after] = SharedLook(partial(self._look_at, entry.database), after)
        try:
            now = await self._looks[entry.database, after].at(entry.collection)
        except MilvusError:
            # Its own looks say what is the matter.
            return None
        return now if now is not None and entry.collection_id in (None, now.collection_id) else None

    async def _look_at(self, database: str, names: Collection[str]) -> dict[str, CollectionState]:
        surveyor = Surveyor(self.client, self.deadline.at_most(self.release_timeout))
        return {state.collection: state for state in await surveyor.look_at(database, names)}

    async def _look_back(self, entry: PlannedRelease, released: Released, now: CollectionState | None = None) -> EndedRelease:
        """What came between the last look and the release, and would have kept the collection, gets it back.

        ``now``: what a look since has seen of it.
        """
        deadline = self.deadline.at_most(self.release_timeout)
        looking = Subject(entry.collection, entry.collection_id or 0).standing()
        try:
            standing = await self.client.run(looking, deadline, database=entry.database) if now is None else standing_of(now)
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
            windows=len(standing.windows),
            keep_aliased=self.keep_aliased,
        )


def standing_of(state: CollectionState) -> Standing:
    return Standing(state.collection_id or 0, list(state.aliases), dict(state.properties))
