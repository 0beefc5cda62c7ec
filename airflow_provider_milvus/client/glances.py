"""One list of what is in memory, for all who wait for collections of a database.

A thousand waits that look one by one make two thousand calls a poll, and a list of the collections in memory answers most of
them with one. A list is a *glance*: it may say that there is nothing to see yet. It proves no end: what it does not name may be
gone, or not in memory, or hidden from the user; so a wait that a glance does not settle looks by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any

from airflow_provider_milvus.answers.numbers import read_percent
from airflow_provider_milvus.client.flow import Pause, Rpc
from airflow_provider_milvus.exceptions import MilvusError

GLANCE_TIMEOUT = 2.0
"""Seconds that a list may take. All who wait for it are that late."""
GATHER = 0.1
"""Seconds of the shortest pause for a list: waits that begin together share their first look, too."""
_NOTHING: Mapping[str, int] = MappingProxyType({})
_IN_MEMORY = Rpc("ShowCollections", {"type": "InMemory"}, timeout=GLANCE_TIMEOUT)


class Glances:
    """The lists of one database, for one event loop. ``perform`` makes one attempt at a call."""

    def __init__(self, perform: Callable[[Rpc], Awaitable[Any]]) -> None:
        self._perform = perform
        self._waiting: dict[asyncio.Future[Mapping[str, int]], tuple[float, float]] = {}
        """When a pause is over, and how long it is."""
        self._timer: asyncio.TimerHandle | None = None
        self._lists: set[asyncio.Task[None]] = set()

    async def pause(self, step: Pause) -> int | None:
        """Wait, and tell how much of the pause's collection is in memory then, in per cent; ``None`` where no list tells it.

        A pause for a collection may be half as long as asked for, so that those who wait equally long come to share a list.
        """
        if not step.collection_name:
            await asyncio.sleep(step.seconds)
            return None
        loop, seconds = asyncio.get_running_loop(), max(step.seconds, GATHER)
        told: asyncio.Future[Mapping[str, int]] = loop.create_future()
        self._waiting[told] = (loop.time() + seconds, seconds)
        self._wake_at(loop.time() + seconds)
        try:
            return (await told).get(step.collection_name)
        finally:
            self._waiting.pop(told, None)
            if not self._waiting and self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _wake_at(self, moment: float) -> None:
        if self._timer is not None:
            if self._timer.when() <= moment:
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(moment, self._wake)

    def _wake(self) -> None:
        now, self._timer = asyncio.get_running_loop().time(), None
        due = [told for told, (end, seconds) in self._waiting.items() if end - now <= seconds / 2]
        for told in due:
            del self._waiting[told]
        if self._waiting:
            self._wake_at(min(end for end, _ in self._waiting.values()))
        # The event loop itself keeps no task alive.
        listing = asyncio.create_task(self._tell(due))
        self._lists.add(listing)
        listing.add_done_callback(self._lists.discard)

    async def _tell(self, due: list[asyncio.Future[Mapping[str, int]]]) -> None:
        listed = _NOTHING
        try:
            # For one alone its own look is cheaper.
            if len(due) > 1:
                listed = await self._list()
        finally:
            for told in due:
                if not told.done():
                    told.set_result(listed)

    async def _list(self) -> Mapping[str, int]:
        try:
            answer = await self._perform(_IN_MEMORY)
        except MilvusError:
            # Their own looks say what is the matter.
            return _NOTHING
        percents = map(read_percent, answer.inMemory_percentages)
        # Milvus Lite lists what is not in memory, too, with 0.
        return {name: percent for name, percent in zip(answer.collection_names, percents, strict=False) if percent}
