"""Reloading many collections, some at a time.

Before each load there has to be room for it in memory, and after it the collection is seen Loaded. A failure does not stop the
others, but after the server is out of reach, or full, no other load is tried.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_milvus.client import reads
from airflow_provider_milvus.client.failures import trouble_with_all
from airflow_provider_milvus.client.flow import LEAST_ATTEMPT, Deadline
from airflow_provider_milvus.exceptions import MilvusError, MilvusTimeoutError
from airflow_provider_milvus.reclaim.restore import ReloadEntry, ReloadReport
from airflow_provider_milvus.server.load import load, placement, state_of
from airflow_provider_milvus.wording import human

if TYPE_CHECKING:
    from airflow_provider_milvus.client.client import AsyncBoundedClient


@dataclass(slots=True)
class Reloads:
    """The loads of one run, within ``deadline``. Each outcome is put into ``outcomes`` when the load ends.

    :param load_timeout: seconds for one load.
    :param max_memory_percent: load only while the query nodes use at most this share of their memory. Loads that are under way
        count, where the collection's size is known.
    """

    client: AsyncBoundedClient
    deadline: Deadline
    outcomes: ReloadReport
    load_timeout: float
    report: Callable[[str], object]
    poll_interval: float = 2.0
    stall_timeout: float | None = None
    max_memory_percent: float | None = None
    skip_missing: bool = False
    _turn: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)
    _under_way: int = field(init=False, default=0)
    """Bytes of the loads that are under way."""
    _full: str | None = field(init=False, default=None)
    _stopped: MilvusError | None = field(init=False, default=None)
    """Why no other load is tried."""

    async def carry_out(self, entries: Sequence[ReloadEntry], max_parallel: int) -> None:
        """Begin the loads in this order. Returns when all have ended."""
        queue = iter(entries)

        async def work() -> None:
            while True:
                # One at a time, so that the first in the order gets the room.
                async with self._turn:
                    entry = next(queue, None)
                    if entry is None:
                        return
                    deadline = self.deadline.at_most(self.load_timeout)
                    admitted = await self._admit(entry, deadline)
                if admitted:
                    await self._load(entry, deadline)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(max_parallel, len(entries))):
                group.create_task(work())

    async def _admit(self, entry: ReloadEntry, deadline: Deadline) -> bool:
        """Whether the collection has to be loaded and there is room for it; if so, the room is kept."""
        outcomes = self.outcomes
        if self._stopped is None and self.deadline.remaining < LEAST_ATTEMPT:
            self._stopped = MilvusTimeoutError("not tried: the run's timeout is used up")
        if self._stopped is not None:
            self._fail(entry, self._stopped)
            return False
        try:
            state = await self.client.run(state_of(entry.collection), deadline, database=entry.database)
            if state == "NotExist":
                missing = outcomes.skipped if self.skip_missing else outcomes.failed
                missing.append(entry.ended(state, "it does not exist any more"))
                return False
            if state == "Loaded":
                outcomes.already.append(entry.ended(state, "in memory already"))
                return False
            if self.max_memory_percent is not None and self._full is None:
                self._full = self._no_room(await self.client.run(reads.nodes(), deadline), entry.bytes or 0)
        except MilvusError as error:
            self._fail_with(entry, error)
            return False
        if self._full is not None:
            outcomes.failed.append(entry.ended(state, self._full))
            return False
        self._under_way += entry.bytes or 0
        return True

    async def _load(self, entry: ReloadEntry, deadline: Deadline) -> None:
        flow = load(
            entry.collection,
            deadline,
            # Milvus from 2.6 on lets the loads that users wait for go first; earlier servers know no priority.
            options={**placement(entry.replicas), "load_params": {"load_priority": "low"}},
            poll_interval=self.poll_interval,
            stall_timeout=self.stall_timeout,
            report=self.report,
        )
        try:
            state = await self.client.run(flow, deadline, database=entry.database)
        except MilvusError as error:
            self._fail_with(entry, error)
        else:
            self.outcomes.loaded.append(entry.ended(state, "loaded again"))
        finally:
            self._under_way -= entry.bytes or 0

    def _fail_with(self, entry: ReloadEntry, error: MilvusError) -> None:
        self.report(f"The load of collection {entry.collection!r} failed: {error}")
        self._stopped = self._stopped or trouble_with_all(error)
        self._fail(entry, error)

    def _fail(self, entry: ReloadEntry, error: MilvusError) -> None:
        self.outcomes.errors.append(error)
        self.outcomes.failed.append(entry.ended("unknown", str(error)))

    def _no_room(self, nodes: reads.Nodes, size: int) -> str | None:
        """Why there is no room, for this load and for the rest of the run; ``None``: there is."""
        if nodes.memory is None or nodes.memory_used is None:
            self.report("Collections are loaded without a check for room: the server does not report its query nodes' memory.")
            self.max_memory_percent = None
            return None
        assert self.max_memory_percent is not None
        coming = self._under_way + size
        if (nodes.memory_used + coming) * 100 <= self.max_memory_percent * nodes.memory:
            return None
        more = f", {human(coming)} would come" if coming else ""
        return (
            f"no head-room: the query nodes use {human(nodes.memory_used)} of {human(nodes.memory)}{more}, "
            f"and max_memory_percent is {self.max_memory_percent:g}"
        )
