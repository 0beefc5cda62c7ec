"""Carry out many loads: some at a time, each with head-room for it before and seen on the server after.

One failure stops no other, but a server that is gone, or full, is not asked for the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from airflow_provider_milvus.client import reads
from airflow_provider_milvus.client.flow import Deadline
from airflow_provider_milvus.exceptions import MilvusError, MilvusUnavailableError
from airflow_provider_milvus.reclaim.restore import Restored, Wanted
from airflow_provider_milvus.server.load_release import load, state_of
from airflow_provider_milvus.wording import human

if TYPE_CHECKING:
    from airflow_provider_milvus.client.client import AsyncBoundedClient


class Restores:
    """One run's loads, within ``deadline``. What becomes of each is put into ``outcome`` as it ends.

    :param within: seconds for one load.
    :param max_memory_percent: load only while the query nodes use no more than so much of their memory, what is to come
        counted in where its size is known.
    """

    def __init__(
        self,
        client: AsyncBoundedClient,
        deadline: Deadline,
        outcome: Restored,
        *,
        within: float,
        poll_interval: float = 2.0,
        stall_timeout: float | None = None,
        max_memory_percent: float | None = None,
        skip_missing: bool = False,
        report: Callable[[str], object],
    ) -> None:
        self._client = client
        self._deadline = deadline
        self._outcome = outcome
        self._within = within
        self._poll_interval = poll_interval
        self._stall_timeout = stall_timeout
        self._limit = max_memory_percent
        self._skip_missing = skip_missing
        self._report = report
        self._turn = asyncio.Lock()
        self._under_way = 0
        self._full: str | None = None
        self._lost: str | None = None

    async def carry_out(self, wanted: Sequence[Wanted], max_parallel: int) -> None:
        """In this order. Returns when each has met its fate."""
        queue = iter(wanted)

        async def work() -> None:
            while True:
                # One at a time, so that who comes first gets the room.
                async with self._turn:
                    each = next(queue, None)
                    if each is None:
                        return
                    within = self._deadline.at_most(self._within)
                    admitted = await self._admit(each, within)
                if admitted:
                    await self._load(each, within)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(max_parallel, len(wanted))):
                group.create_task(work())

    async def _admit(self, wanted: Wanted, within: Deadline) -> bool:
        """Whether it has to be loaded and may be; if so, the room for it is kept."""
        outcome = self._outcome
        if self._lost is None and self._deadline.remaining <= 0:
            self._lost = "the run's timeout is used up"
        if self._lost is not None:
            outcome.failed.append(wanted.entry("unknown", f"not tried: {self._lost}"))
            return False
        try:
            state = await self._client.run(state_of(wanted.collection), within, database=wanted.database)
            if state == "NotExist":
                missing = outcome.skipped if self._skip_missing else outcome.failed
                missing.append(wanted.entry(state, "it does not exist any more"))
                return False
            if state == "Loaded":
                outcome.already.append(wanted.entry(state, "in memory already"))
                return False
            if self._limit is not None and self._full is None:
                self._full = self._no_room(await self._client.run(reads.nodes(), within), wanted.bytes or 0)
        except MilvusError as error:
            self._failed(wanted, error)
            return False
        if self._full is not None:
            outcome.failed.append(wanted.entry(state, self._full))
            return False
        self._under_way += wanted.bytes or 0
        return True

    async def _load(self, wanted: Wanted, within: Deadline) -> None:
        flow = load(
            wanted.collection,
            within,
            poll_interval=self._poll_interval,
            stall_timeout=self._stall_timeout,
            report=self._report,
        )
        try:
            state = await self._client.run(flow, within, database=wanted.database)
        except MilvusError as error:
            self._failed(wanted, error)
        else:
            self._outcome.loaded.append(wanted.entry(state, "loaded again"))
        finally:
            self._under_way -= wanted.bytes or 0

    def _failed(self, wanted: Wanted, error: MilvusError) -> None:
        self._report(f"Could not load {wanted.collection!r}: {error}")
        if isinstance(error, MilvusUnavailableError):
            self._lost = "the server is unavailable"
        self._outcome.failed.append(wanted.entry("unknown", str(error)))

    def _no_room(self, nodes: reads.Nodes, size: int) -> str | None:
        """Why there is no room, now and for the rest of the run."""
        if nodes.memory is None or nodes.memory_used is None:
            self._report("The server does not tell its query nodes' memory: loading without a look at the head-room.")
            self._limit = None
            return None
        assert self._limit is not None
        coming = self._under_way + size
        if (nodes.memory_used + coming) * 100 <= self._limit * nodes.memory:
            return None
        more = f", {human(coming)} would come" if coming else ""
        return (
            f"no head-room: the query nodes use {human(nodes.memory_used)} of {human(nodes.memory)}{more}, "
            f"and max_memory_percent is {self._limit:g}"
        )
