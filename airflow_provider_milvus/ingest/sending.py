"""Rows on their way to a collection: a thread reads, checks and encodes them, an event loop sends several batches at once.

Memory holds a chunk of the source, its batches, and the batches that are in flight, however many rows there are.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.flow import Deadline, Flow
from airflow_provider_milvus.ingest.read_ahead import ReadAhead
from airflow_provider_milvus.ingest.resume import Start
from airflow_provider_milvus.rows.batches import batches
from airflow_provider_milvus.rows.check import Checked, check
from airflow_provider_milvus.rows.chunk import BadRow, Batch, Chunk
from airflow_provider_milvus.server import writes
from airflow_provider_milvus.server.writes import WriteTarget

if TYPE_CHECKING:
    from airflow_provider_milvus.client.client import AsyncBoundedClient

REPORT_EVERY = 10.0
"""Seconds between two lines in the log."""
SAVE_EVERY = 2.0
"""Seconds between two savings of the progress. One takes 10 to 20 ms, and rows that are not saved are only sent again."""
LAST_ANSWERS = 60.0
"""Seconds to wait, after a failure, for the answers to batches in flight."""

Select = Callable[[Chunk, Checked], Checked]
_NOTHING_WRITTEN = (
    exceptions.MilvusAuthenticationError,
    exceptions.MilvusInvalidArgumentError,
    exceptions.MilvusNotFoundError,
    exceptions.MilvusRateLimitError,
    exceptions.MilvusUnsupportedError,
)


@dataclass(slots=True)
class Counts:
    """How far a run has come. Rows of the source up to row number ``acknowledged`` are in the collection, bad or replaced."""

    rows_read: int = 0
    already_there: int = 0
    written: int = 0
    bad: int = 0
    replaced: int = 0
    batches: int = 0
    bytes: int = 0
    acknowledged: int = 0
    unsure: bool = False

    def __str__(self) -> str:
        others = {"bad": self.bad, "replaced by later rows": self.replaced, "already there": self.already_there}
        return f"{self.rows_read:,} rows read, {self.written:,} written" + "".join(
            f", {count:,} {what}" for what, count in others.items() if count
        )


def encode(
    chunks: Iterable[Chunk],
    target: WriteTarget,
    counts: Counts,
    *,
    upsert: bool,
    max_bytes: int,
    start: Start,
    on_bad_rows: Callable[[Sequence[BadRow]], object],
    select: Select | None = None,
) -> Generator[Batch, None, None]:
    """The batches of ``chunks``, without the rows that are there according to ``start``. ``on_bad_rows`` may raise an error.

    :param select: leaves good rows out, or makes bad ones of them. Rows with the same key are left to it.
    """
    for chunk in chunks:
        checked = check(chunk, target.schema, upsert=upsert, same_keys=select is not None, max_bytes=max_bytes)
        if select is not None:
            checked = select(chunk, checked)
        counts.rows_read += len(chunk) + len(chunk.bad)
        if checked.bad:
            counts.bad += len(checked.bad)
            on_bad_rows(checked.bad)
        counts.replaced += len(checked.replaced)
        up_to_start = bisect_right(checked.row_numbers, start.after)
        already_there = max(up_to_start, min(start.already_there - counts.already_there, len(checked)))
        counts.already_there += already_there
        yield from batches(checked.without_first(already_there), target.schema, max_bytes=max_bytes)


@dataclass(frozen=True, slots=True)
class _InFlight:
    """A batch that was sent, and the task that waits for its answer."""

    batch: Batch
    task: asyncio.Task[None]
    keys: frozenset[Any]

    @property
    def succeeded(self) -> bool:
        return self.task.done() and not self.task.cancelled() and self.task.exception() is None

    @property
    def had_no_effect(self) -> bool:
        """Whether it failed with an error after which the server is as it was."""
        return self.task.done() and not self.task.cancelled() and isinstance(self.task.exception(), _NOTHING_WRITTEN)


@dataclass(slots=True)
class Sending:
    """Sends the batches of one run, within ``deadline``, and keeps ``counts``.

    :param upsert: replace rows of the same key. Where it is false and the rows bring their keys, rows in doubt are upserted
        all the same.
    :param max_in_flight: batches in flight at a time. It is 1 where the server generates the keys, so that counting shows
        whether a batch has arrived.
    :param rows_before: the number of rows in the collection before the run; ``None`` if they cannot be counted.
    :param save: called in a thread, every few seconds, to save the progress for a retry.
    """

    client: AsyncBoundedClient
    target: WriteTarget
    deadline: Deadline
    counts: Counts
    upsert: bool
    max_in_flight: int
    rows_before: int | None
    save: Callable[[Counts], object]
    report: Callable[[str], object]
    _in_flight: deque[_InFlight] = field(init=False, default_factory=deque)
    _saved_at: float = field(init=False, default_factory=time.monotonic)
    _saving: asyncio.Task[object] | None = field(init=False, default=None)

    @property
    def _inserts_generated(self) -> bool:
        return self.target.generates_keys and not self.upsert

    @property
    def _most_in_flight(self) -> int:
        return 1 if self._inserts_generated else self.max_in_flight

    async def carry_out(self, encoded: Generator[Batch, None, None]) -> None:
        """Write all batches. Rows of the same key are written in the order of ``encoded``, which runs in its own thread.

        :raises MilvusError: with the counts until then; or any error of the source.
        """
        ahead = ReadAhead(encoded)
        reporting = asyncio.create_task(self._report_progress())
        try:
            while (batch := await self._next(ahead)) is not None:
                await self._wait_for_room(batch)
                self._send(batch)
            await self._wait(lambda: not self._in_flight)
        except exceptions.MilvusError as error:
            await self._wait_for_last_answers()
            raise type(error)(f"{error} {self._until_then()}") from error.__cause__
        except Exception as error:
            await self._wait_for_last_answers()
            error.add_note(self._until_then())
            self.report(f"It failed with {type(error).__name__}. {self._until_then()}")
            raise
        finally:
            reporting.cancel()
            ahead.close()
            for sent in self._in_flight:
                sent.task.cancel()
            if self._saving is not None:
                await self._saving
            self.counts.unsure = any(not sent.had_no_effect for sent in self._in_flight)
            await asyncio.to_thread(self.save, replace(self.counts))

    async def _next(self, ahead: ReadAhead[Batch]) -> Batch | None:
        within = f"within the timeout of {self.deadline.seconds:g} s."
        if self.deadline.remaining <= 0:
            raise self.client.named(exceptions.MilvusTimeoutError(f"Not all rows were written {within}"))
        try:
            return await ahead.next(self.deadline.remaining)
        except TimeoutError:
            if self.deadline.remaining > 0:
                raise
            raise self.client.named(exceptions.MilvusTimeoutError(f"The source gave no more rows {within}")) from None

    async def _wait_for_room(self, batch: Batch) -> None:
        keys = frozenset(batch.keys or ())
        # A later row of the same key has to reach the server later, too.
        await self._wait(
            lambda: len(self._in_flight) < self._most_in_flight and all(keys.isdisjoint(sent.keys) for sent in self._in_flight)
        )

    def _send(self, batch: Batch) -> None:
        task = asyncio.create_task(self.client.run(self._write(batch), self.deadline))
        self._in_flight.append(_InFlight(batch, task, frozenset(batch.keys or ())))

    def _write(self, batch: Batch) -> Flow[None]:
        if self.upsert:
            return writes.upsert(self.target, batch)
        if not self._inserts_generated:
            return writes.insert(self.target, batch, self.report)
        before = None if self.rows_before is None else self.rows_before + self.counts.already_there + self.counts.written
        return writes.insert_generated(self.target, batch, before, self.report)

    async def _wait(self, is_enough: Callable[[], bool]) -> None:
        """Take answers until ``is_enough``. The error of a failed batch is raised here."""
        while True:
            self._take_answers()
            for sent in self._in_flight:
                if sent.task.done():
                    sent.task.result()
            if is_enough():
                return
            await asyncio.wait(self._pending(), return_when=asyncio.FIRST_COMPLETED)

    def _take_answers(self) -> None:
        """Rows count as written in the order of the source, so that a retry knows the last row that is certainly written."""
        while self._in_flight and self._in_flight[0].succeeded:
            batch = self._in_flight.popleft().batch
            self.counts.written += len(batch)
            self.counts.batches += 1
            self.counts.bytes += batch.size
            self.counts.acknowledged = batch.row_numbers[-1]
        if time.monotonic() - self._saved_at >= SAVE_EVERY and (self._saving is None or self._saving.done()):
            self._saved_at = time.monotonic()
            # Not in this event loop: Airflow may take its time, and rows go on meanwhile.
            self._saving = asyncio.create_task(asyncio.to_thread(self.save, replace(self.counts, unsure=True)))

    async def _wait_for_last_answers(self) -> None:
        """Batches that were in flight at a failure may still succeed."""
        if pending := self._pending():
            await asyncio.wait(pending, timeout=LAST_ANSWERS)
        self._take_answers()

    def _pending(self) -> list[asyncio.Task[None]]:
        """The tasks that are not done. Waiting for a task that is done would return at once, again and again."""
        return [sent.task for sent in self._in_flight if not sent.task.done()]

    async def _report_progress(self) -> None:
        began, before = time.monotonic(), 0
        while True:
            await asyncio.sleep(REPORT_EVERY)
            rate = (self.counts.written - before) / REPORT_EVERY
            before = self.counts.written
            trouble = f" The server takes no more rows for now: {self.deadline.trouble}" if self.deadline.trouble else ""
            self.report(f"After {time.monotonic() - began:.0f} s: {self.counts} ({rate:,.0f} rows/s).{trouble}")

    def _until_then(self) -> str:
        in_doubt = sum(len(sent.batch) for sent in self._in_flight if not sent.had_no_effect)
        more = f" {in_doubt:,} more rows were sent, and may be written." if in_doubt else ""
        return f"Until then: {self.counts}.{more}"
