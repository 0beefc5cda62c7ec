"""Carry out many releases: at the server's own pace, each looked at once more just before, each seen on the server after.

One failure stops no other, but a server that is gone is not asked for the rest.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.client.flow import Deadline
from airflow_provider_milvus.client.protocol import from_pairs
from airflow_provider_milvus.exceptions import (
    MilvusBeingLoadedError,
    MilvusError,
    MilvusRateLimitError,
    MilvusRefusedError,
    MilvusTimeoutError,
    MilvusUnavailableError,
)
from airflow_provider_milvus.reclaim.pace import Pace
from airflow_provider_milvus.reclaim.plan import Planned, since_planned
from airflow_provider_milvus.server import load_release

if TYPE_CHECKING:
    from airflow_provider_milvus.client.client import AsyncBoundedClient


class Fate(StrEnum):
    RELEASED = "released"
    KEPT = "kept"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one planned release; ``state`` is what the server said last."""

    entry: Planned
    fate: Fate
    state: str
    reason: str


InUse = Callable[[Planned], Awaitable[str | None]]
"""Asked just before a release: why somebody needs the collection, or ``None``."""


async def nobody_asked(entry: Planned) -> str | None:
    return None


class Releases:
    """One run's releases, within ``deadline``.

    :param within: seconds for one release.
    :param done: told of each as it ends, in the order they end.
    """

    def __init__(
        self,
        client: AsyncBoundedClient,
        deadline: Deadline,
        *,
        within: float,
        keep_aliased: bool,
        in_use: InUse = nobody_asked,
        done: Callable[[Done], object],
        report: Callable[[str], object],
    ) -> None:
        self._client = client
        self._deadline = deadline
        self._within = within
        self._keep_aliased = keep_aliased
        self._in_use = in_use
        self._done = done
        self._report = report
        self._pace = Pace(time.monotonic())
        self._lost: str | None = None

    async def carry_out(self, entries: Sequence[Planned]) -> None:
        """In this order, some at a time. Returns when each has met its fate."""
        under_way: set[asyncio.Task[Done]] = set()
        for entry in entries:
            while len(under_way) >= self._pace.width:
                under_way = await self._next_of(under_way)
            under_way.add(asyncio.create_task(self._one(entry)))
        while under_way:
            under_way = await self._next_of(under_way)

    async def _next_of(self, under_way: set[asyncio.Task[Done]]) -> set[asyncio.Task[Done]]:
        ended, left = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
        for each in ended:
            self._done(each.result())
        return left

    async def _one(self, entry: Planned) -> Done:
        if self._lost is None and self._deadline.remaining <= 0:
            self._lost = "the run's timeout is used up"
        if self._lost is not None:
            return Done(entry, Fate.FAILED, "Loaded", f"not tried: {self._lost}")
        try:
            wanted = await self._in_use(entry)
            if wanted is not None:
                return Done(entry, Fate.KEPT, "Loaded", wanted)
            return await self._release(entry)
        except MilvusRefusedError as changed:
            state = "Loading" if isinstance(changed, MilvusBeingLoadedError) else "Loaded"
            return Done(entry, Fate.KEPT, state, f"changed since it was planned: {changed}")
        except MilvusError as error:
            self._report(f"Could not release {entry.collection!r}: {error}")
            if isinstance(error, MilvusUnavailableError):
                self._lost = "the server is unavailable"
            elif isinstance(error, (MilvusTimeoutError, MilvusRateLimitError)):
                self._pace.late(time.monotonic())
            return Done(entry, Fate.FAILED, "unknown", str(error))

    async def _release(self, entry: Planned) -> Done:
        allowed = self._deadline.at_most(self._within)
        change = await self._client.run(
            load_release.release(
                entry.collection,
                allowed,
                skip_if_missing=True,
                unless=lambda described: self._against(entry, described),
                report=self._report,
            ),
            allowed,
            database=entry.database,
        )
        if change.state == "NotExist":
            return Done(entry, Fate.KEPT, "NotExist", "dropped since it was planned")
        if change.previous_state == "NotLoad":
            return Done(entry, Fate.KEPT, "NotLoad", "released by somebody else since it was planned")
        self._pace.done(time.monotonic())
        return Done(entry, Fate.RELEASED, change.state, entry.reason)

    def _against(self, entry: Planned, described: Any) -> str | None:
        return since_planned(
            entry,
            collection_id=int(described.collectionID) or None,
            aliases=list(described.aliases),
            properties=from_pairs(described.properties),
            keep_aliased=self._keep_aliased,
            now=time.time(),
        )
