"""One run of an insert or upsert: which collection, from which row on, and what becomes of bad rows. No Airflow in here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_milvus.client.collector import seldom_collected
from airflow_provider_milvus.client.flow import Deadline, Flow
from airflow_provider_milvus.client.reads import health, is_lite, version_for
from airflow_provider_milvus.client.tries import Tries
from airflow_provider_milvus.exceptions import (
    MilvusBadRowsError,
    MilvusError,
    MilvusInDoubtError,
    MilvusServerError,
    MilvusUnsupportedError,
)
from airflow_provider_milvus.ingest.resume import Progress, Start, start_with_generated_keys, start_with_keys
from airflow_provider_milvus.ingest.sending import Counts, Select, Sending, encode
from airflow_provider_milvus.rows.bad_rows import BadRows
from airflow_provider_milvus.rows.chunk import BadRow
from airflow_provider_milvus.rows.made import Made, with_made
from airflow_provider_milvus.rows.source import describe_source, fingerprint, read_rows
from airflow_provider_milvus.server import writes
from airflow_provider_milvus.server.writes import WriteTarget

if TYPE_CHECKING:
    from airflow_provider_milvus.client.client import AsyncBoundedClient
    from airflow_provider_milvus.hooks.milvus import MilvusHook

T = TypeVar("T")

BATCH_ROWS, BATCH_BYTES, PARALLEL = 5_000, 16 << 20, 2
HEALTH_TIMEOUT = 5.0
"""Seconds to ask for the server's health; it asks all its nodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestRequest:
    """What is to be written, and how. ``on_bad_row`` is ``"fail"``, ``"skip"`` or a path.

    ``collection_id`` is that of the collection that has to have the name still, where it is known.
    """

    collection_name: str
    rows: Any
    upsert: bool
    partition_name: str = ""
    create_partition: bool = False
    collection_id: int = 0
    columns: Mapping[str, str] | None = None
    batch_rows: int = BATCH_ROWS
    batch_bytes: int = BATCH_BYTES
    max_in_flight: int = PARALLEL
    on_bad_row: Any = "fail"
    key: Made | None = None
    made: Mapping[str, Made] = field(default_factory=dict)
    """Further columns that are made of others, by their names."""


class IngestRun:
    """Writes all rows to the collection, within a deadline, or else the hook's timeout, which begins with :meth:`carry_out`.

    ``tries`` note the progress, before the first row is sent and now and then.
    """

    def __init__(
        self, hook: MilvusHook, request: IngestRequest, tries: Tries, *, is_retry: bool, report: Callable[[str], object]
    ) -> None:
        self._hook = hook
        self._request = request
        self._tries = tries
        self._is_retry = is_retry
        self._report = report
        self.bad_rows = BadRows(None if request.on_bad_row in ("fail", "skip") else request.on_bad_row)

    async def carry_out(self, deadline: Deadline | None = None) -> tuple[WriteTarget, Counts]:
        """Return when the server has acknowledged every row.

        :raises MilvusBadRowsError: with ``on_bad_row="fail"``. The chunks before the one with the bad row are written.
        """
        async with await self._hook.shared_client() as client:
            deadline = deadline or self._hook.deadline()
            request = self._request
            finding = writes.find_target(
                request.collection_name,
                request.partition_name,
                create_partition=request.create_partition,
                collection_id=request.collection_id,
            )
            target = await self.ask(client, finding, deadline)
            return target, await self.write(client, target, deadline)

    async def write(
        self, client: AsyncBoundedClient, target: WriteTarget, deadline: Deadline, select: Select | None = None
    ) -> Counts:
        """The same with a client and a target that are there; ``select`` as of :func:`~ingest.sending.encode`."""
        request, counts = self._request, Counts()
        _check_keys(request, target)
        through = f", through the alias {target.alias!r}" if target.alias else ""
        self._report(f"Writing {describe_source(request.rows)} to collection {target.collection!r}{through}.")
        await self._report_health(client, deadline)
        made = {**request.made, **({target.schema.primary.name: request.key} if request.key else {})}
        start, progress = await self._find_start(client, target, deadline, made)
        sending = Sending(
            client,
            target,
            deadline,
            counts,
            upsert=request.upsert or start.upsert,
            max_in_flight=request.max_in_flight,
            rows_before=progress.rows_before,
            save=lambda counts: self._tries.leave(_progress(progress, start, counts)),
            report=self._report,
        )
        chunks = read_rows(request.rows, target.schema.without(made), batch_rows=request.batch_rows, columns=request.columns)
        batches = encode(
            with_made(chunks, made),
            target,
            counts,
            upsert=request.upsert,
            max_bytes=request.batch_bytes,
            start=start,
            on_bad_rows=self._take_bad_rows,
            select=select,
        )
        await asyncio.to_thread(self._tries.note, _progress(progress, start, Counts(unsure=True)))
        with self.bad_rows, seldom_collected():
            await sending.carry_out(batches)
        await self.ask(client, target.subject.check(f"Rows were written to it before: {counts}."), deadline)
        if deadline.interruptions:
            await self.ask(client, _check_survived(target, counts), deadline)
        if self.bad_rows.count:
            self._report(f"Bad rows: {self.bad_rows}.")
        return counts

    async def _report_health(self, client: AsyncBoundedClient, deadline: Deadline) -> None:
        """Say what the server denies. That it cannot say so is no reason to write nothing."""
        try:
            complaint = await client.run(health(), deadline.at_most(HEALTH_TIMEOUT))
        except MilvusError as error:
            self._report(f"Whether the server takes rows now is not known: {error}")
            return
        if complaint:
            self._report(f"The server may not take the rows for now, and they wait until it does: {complaint}.")

    async def _find_start(
        self, client: AsyncBoundedClient, target: WriteTarget, deadline: Deadline, made: Mapping[str, Made]
    ) -> tuple[Start, Progress]:
        """Where to begin, and the progress to save, without how far this try has come."""
        source = await asyncio.to_thread(fingerprint, self._request.rows, self._request.columns, made)
        progress = Progress(target.collection, target.collection_id, target.partition_name, source)
        saved = Progress.of(self._tries.earlier or {})
        if self._is_retry:
            await self.ask(client, writes.settle(target), deadline)
        generates_keys = target.generates_keys and not self._request.upsert
        rows_now = None
        if generates_keys or saved is not None:
            rows_now = await self.ask(client, writes.count(target), deadline)
        if generates_keys:
            try:
                start = start_with_generated_keys(saved, progress, rows_now)
            except MilvusInDoubtError:
                # Nothing was sent in this try. Whoever clears the task has looked.
                await asyncio.to_thread(self._tries.leave, {})
                raise
            progress = replace(progress, rows_before=None if rows_now is None else rows_now - start.already_there)
        else:
            start = start_with_keys(saved, progress, rows_now, retry=self._is_retry)
        if start.reason:
            self._report(f"This is a retry: {start.reason}.")
        return start, progress

    async def ask(self, client: AsyncBoundedClient, flow: Flow[T], deadline: Deadline) -> T:
        """Ask within the connection's timeout."""
        # The timeout is for the rows. A server that does not even describe its collection is reported much sooner.
        return await client.run(flow, deadline.at_most(self._hook.settings.timeout))

    def _take_bad_rows(self, rows: Sequence[BadRow]) -> None:
        self.bad_rows.add(rows)
        if self._request.on_bad_row == "fail":
            raise MilvusBadRowsError(
                f"Collection {self._request.collection_name!r} did not get all rows of {describe_source(self._request.rows)}: "
                f"{self.bad_rows}. No row of their chunk was sent. Correct the source, or set on_bad_row to 'skip' or to a "
                "path that ends in .jsonl."
            )


def _check_keys(request: IngestRequest, target: WriteTarget) -> None:
    if not target.generates_keys:
        return
    if request.upsert:
        # Milvus 2.4 to 2.6 give such a row a new key each time it is sent; 2.3.5 takes no such row.
        raise MilvusUnsupportedError(
            f"Collection {target.collection!r} was not written to: the server makes its keys (auto_id), so that an "
            "upsert replaces no row, and a repeated one doubles rows. Insert the rows, and delete the old ones by key."
        )
    if request.key:
        raise MilvusUnsupportedError(
            f"Collection {target.collection!r} was not written to: the server makes its keys (auto_id), so leave key out."
        )


def _progress(progress: Progress, start: Start, counts: Counts) -> dict[str, Any]:
    return {
        **asdict(progress),
        "acknowledged": max(start.after, counts.acknowledged),
        "written": max(start.already_there, counts.already_there) + counts.written,
        "unsure": counts.unsure,
    }


def _check_survived(target: WriteTarget, counts: Counts) -> Flow[None]:
    version = yield from version_for(target.collection)
    if is_lite(version):
        raise MilvusServerError(
            f"Collection {target.collection!r} may have lost rows: Milvus Lite was out of reach while they were written "
            f"({counts}). It acknowledges rows that it holds in memory alone, and may lose them in a restart. Run the task "
            "again."
        )
