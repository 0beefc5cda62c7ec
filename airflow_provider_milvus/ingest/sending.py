"""Rows on their way to a collection: read, checked and encoded in a thread, sent by an event loop, some batches at once.

Memory holds a chunk of the source, its batches and those that are under way, however many rows there are.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.exceptions import (
    MilvusAuthenticationError,
    MilvusError,
    MilvusInvalidArgumentError,
    MilvusNotFoundError,
    MilvusRateLimitError,
    MilvusTimeoutError,
    MilvusUnsupportedError,
)
from airflow_provider_milvus.ingest.read_ahead import ReadAhead
from airflow_provider_milvus.ingest.resume import Start
from airflow_provider_milvus.rows.batches import batches
from airflow_provider_milvus.rows.check import check
from airflow_provider_milvus.rows.resumed import without_first
from airflow_provider_milvus.server import writes

if TYPE_CHECKING:
    from airflow_provider_milvus.client.client import AsyncBoundedClient
    from airflow_provider_milvus.client.flow import Deadline, Flow
    from airflow_provider_milvus.rows.chunk import BadRow, Batch, Chunk
    from airflow_provider_milvus.server.writes import WriteTarget

REPORT_EVERY = 10.0
"""Seconds between two lines in the log."""
NOTE_EVERY = 2.0
"""Seconds between two notes for a retry. One costs 10 to 20 ms, and what was not noted is only sent again."""
LAST_ANSWERS = 60.0
"""Seconds for which, after a failure, the answers to batches under way are waited for."""

_NOTHING_WRITTEN = (
    MilvusAuthenticationError,
    MilvusInvalidArgumentError,
    MilvusNotFoundError,
    MilvusRateLimitError,
    MilvusUnsupportedError,
)


@dataclass(slots=True)
class Counts:
    """How far it has come. Rows of the source up to ``acknowledged`` are in the collection, refused or replaced."""

    rows_read: int = 0
    already_there: int = 0
    written: int = 0
    refused: int = 0
    replaced: int = 0
    batches: int = 0
    bytes: int = 0
    acknowledged: int = 0
    unsure: bool = False

    def __str__(self) -> str:
        more = {"refused": self.refused, "replaced by later rows": self.replaced, "there already": self.already_there}
        return f"{self.rows_read:,} rows read, {self.written:,} written" + "".join(
            f", {count:,} {what}" for what, count in more.items() if count
        )


def encoded(
    chunks: Iterable[Chunk],
    target: WriteTarget,
    counts: Counts,
    *,
    upsert: bool,
    most_bytes: int,
    start: Start,
    refuse: Callable[[Sequence[BadRow]], object],
) -> Generator[Batch, None, None]:
    """The batches of ``chunks``, without what :class:`Start` says is there. ``refuse`` is told of bad rows, and may raise."""
    for chunk in chunks:
        checked = check(chunk, target.schema, upsert=upsert, most_bytes=most_bytes)
        counts.rows_read += len(chunk) + len(chunk.bad)
        if checked.bad:
            counts.refused += len(checked.bad)
            refuse(checked.bad)
        counts.replaced += len(checked.replaced)
        known = max(bisect_right(checked.numbers, start.after), min(start.there - counts.already_there, len(checked)))
        counts.already_there += known
        yield from batches(without_first(checked, known), target.schema, most_bytes=most_bytes)


@dataclass(frozen=True, slots=True)
class _UnderWay:
    batch: Batch
    task: asyncio.Task[None]
    keys: frozenset[Any]

    @property
    def succeeded(self) -> bool:
        return self.task.done() and not self.task.cancelled() and self.task.exception() is None

    @property
    def had_no_effect(self) -> bool:
        """Whether it failed in a way that left the server as it was."""
        return self.task.done() and not self.task.cancelled() and isinstance(self.task.exception(), _NOTHING_WRITTEN)


class Sending:
    """One run of an insert or upsert, within ``deadline``.

    :param upsert: replace rows of the same key. Where it is false and the rows bring their keys, what is in doubt is upserted
        all the same.
    :param at_once: batches under way at a time; only one where the server makes the keys, so that counting can tell it apart.
    :param before: how many rows there were, for when they have to be counted; ``None``: they cannot be.
    :param note: called now and then, in this event loop, when there is something new to note for a retry.
    """

    def __init__(
        self,
        client: AsyncBoundedClient,
        target: WriteTarget,
        deadline: Deadline,
        counts: Counts,
        *,
        upsert: bool,
        at_once: int,
        before: int | None = None,
        note: Callable[[Counts], object],
        report: Callable[[str], object],
    ) -> None:
        self._client = client
        self._target = target
        self._deadline = deadline
        self._counts = counts
        self._upsert = upsert
        self._generated = target.generates_keys and not upsert
        self._at_once = 1 if self._generated else at_once
        self._before = before
        self._note = note
        self._report = report
        self._under_way: deque[_UnderWay] = deque()
        self._noted = time.monotonic()

    async def carry_out(self, rows: Generator[Batch, None, None]) -> None:
        """Write all batches, in this order as far as rows of the same key go; ``rows`` runs in a thread of its own.

        :raises MilvusError: with what was written until then; or what the source raised.
        """
        ahead = ReadAhead(rows)
        telling = asyncio.create_task(self._tell())
        try:
            while (batch := await self._next(ahead)) is not None:
                await self._room_for(batch)
                self._begin(batch)
            await self._wait(lambda: not self._under_way)
        except MilvusError as error:
            await self._last_answers()
            raise type(error)(f"{error} {self._so_far()}") from error.__cause__
        except Exception as error:
            await self._last_answers()
            error.add_note(self._so_far())
            self._report(f"It failed with {type(error).__name__}. {self._so_far()}")
            raise
        finally:
            telling.cancel()
            ahead.close()
            for each in self._under_way:
                each.task.cancel()
            self._counts.unsure = any(not each.had_no_effect for each in self._under_way)
            self._note(self._counts)

    async def _next(self, ahead: ReadAhead[Batch]) -> Batch | None:
        if self._deadline.remaining <= 0:
            raise MilvusTimeoutError(f"Not done within the timeout of {self._deadline.seconds:g} s.")
        try:
            return await ahead.next(self._deadline.remaining)
        except TimeoutError:
            if self._deadline.remaining > 0:
                raise
            raise MilvusTimeoutError(
                f"The source gave no more rows within the timeout of {self._deadline.seconds:g} s."
            ) from None

    async def _room_for(self, batch: Batch) -> None:
        keys = frozenset(batch.keys or ())
        # A later row of the same key has to come later on the server, too.
        await self._wait(
            lambda: len(self._under_way) < self._at_once and all(keys.isdisjoint(each.keys) for each in self._under_way)
        )

    def _begin(self, batch: Batch) -> None:
        task = asyncio.create_task(self._client.run(self._write(batch), self._deadline))
        self._under_way.append(_UnderWay(batch, task, frozenset(batch.keys or ())))

    def _write(self, batch: Batch) -> Flow[None]:
        if self._upsert:
            return writes.upsert(self._target, batch)
        if not self._generated:
            return writes.insert(self._target, batch, self._report)
        there = None if self._before is None else self._before + self._counts.already_there + self._counts.written
        return writes.insert_generated(self._target, batch, there, self._report)

    async def _wait(self, enough: Callable[[], bool]) -> None:
        """Take in answers until ``enough``; the error of a batch that failed is raised here."""
        while True:
            self._take_in()
            for each in self._under_way:
                if each.task.done():
                    each.task.result()
            if enough():
                return
            await asyncio.wait(self._pending(), return_when=asyncio.FIRST_COMPLETED)

    def _take_in(self) -> None:
        """Rows count as written in the order of the source, so that a retry knows the row after which nothing is sure."""
        while self._under_way and self._under_way[0].succeeded:
            batch = self._under_way.popleft().batch
            self._counts.written += len(batch)
            self._counts.batches += 1
            self._counts.bytes += batch.size
            self._counts.acknowledged = batch.numbers[-1]
        if time.monotonic() - self._noted >= NOTE_EVERY:
            self._noted = time.monotonic()
            self._counts.unsure = True
            self._note(self._counts)

    async def _last_answers(self) -> None:
        """What was under way when something failed may still succeed."""
        if pending := self._pending():
            await asyncio.wait(pending, timeout=LAST_ANSWERS)
        self._take_in()

    def _pending(self) -> list[asyncio.Task[None]]:
        """A batch may be through before one that was sent earlier; waiting for it again would never pause."""
        return [each.task for each in self._under_way if not each.task.done()]

    async def _tell(self) -> None:
        began, before = time.monotonic(), 0
        while True:
            await asyncio.sleep(REPORT_EVERY)
            rate = (self._counts.written - before) / REPORT_EVERY
            before = self._counts.written
            trouble = f" The server does not take more just now: {self._deadline.trouble}" if self._deadline.trouble else ""
            self._report(f"After {time.monotonic() - began:.0f} s: {self._counts} ({rate:,.0f} rows/s).{trouble}")

    def _so_far(self) -> str:
        return f"Until then: {self._counts}."
