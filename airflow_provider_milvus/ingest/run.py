"""One run of an insert or upsert: which collection, from which row on, what becomes of bad rows. No Airflow in here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_milvus.client.flow import Rpc
from airflow_provider_milvus.client.reads import is_lite
from airflow_provider_milvus.exceptions import MilvusBadRowsError, MilvusServerError
from airflow_provider_milvus.ingest.resume import Noted, Start, with_generated_keys, with_keys
from airflow_provider_milvus.ingest.sending import Counts, Sending, encoded
from airflow_provider_milvus.rows.refused import RefusedRows
from airflow_provider_milvus.rows.resumed import fingerprint
from airflow_provider_milvus.rows.source import describe_source, read_rows
from airflow_provider_milvus.server import writes

if TYPE_CHECKING:
    from airflow_provider_milvus.client.client import AsyncBoundedClient
    from airflow_provider_milvus.client.flow import Deadline, Flow
    from airflow_provider_milvus.hooks.milvus import MilvusHook
    from airflow_provider_milvus.rows.chunk import BadRow
    from airflow_provider_milvus.server.writes import WriteTarget

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be written, and how. ``on_bad_row`` is ``"fail"``, ``"skip"`` or a path."""

    collection_name: str
    partition_name: str
    rows: Any
    upsert: bool
    batch_rows: int
    batch_bytes: int
    max_in_flight: int
    on_bad_row: Any


@dataclass(frozen=True, slots=True)
class Earlier:
    """What is known of earlier tries: whether this is a ``retry``, what was ``noted`` last, and how to ``note``."""

    retry: bool
    noted: Mapping[str, Any]
    note: Callable[[dict[str, Any]], object]


class IngestRun:
    """Carries all rows to the collection, within the hook's timeout, which begins with :meth:`carry_out`."""

    def __init__(self, hook: MilvusHook, wanted: Wanted, earlier: Earlier, *, report: Callable[[str], object]) -> None:
        self._hook = hook
        self._wanted = wanted
        self._earlier = earlier
        self._report = report
        path = None if wanted.on_bad_row in ("fail", "skip") else wanted.on_bad_row
        self._refused = RefusedRows(path)

    async def carry_out(self) -> tuple[WriteTarget, Counts]:
        """Returns when the server has acknowledged each row.

        :raises MilvusBadRowsError: with ``on_bad_row="fail"``; the rows before that chunk are written.
        """
        wanted, counts = self._wanted, Counts()
        async with self._hook.async_client() as client:
            deadline = self._hook.deadline()
            target = await self._look(client, writes.find_target(wanted.collection_name, wanted.partition_name), deadline)
            through = f", through the alias {target.alias!r}" if target.alias else ""
            self._report(f"Writing {describe_source(wanted.rows)} to collection {target.collection!r}{through}.")
            start, noted = await self._start(client, target, deadline)
            sending = Sending(
                client,
                target,
                deadline,
                counts,
                upsert=wanted.upsert or start.upsert,
                at_once=wanted.max_in_flight,
                before=noted.before,
                note=lambda counts: self._note(noted, start, counts),
                report=self._report,
            )
            rows = encoded(
                read_rows(wanted.rows, target.schema, batch_rows=wanted.batch_rows),
                target,
                counts,
                upsert=wanted.upsert,
                most_bytes=wanted.batch_bytes,
                start=start,
                refuse=self._refuse,
            )
            self._note(noted, start, Counts(unsure=True))
            with self._refused:
                await sending.carry_out(rows)
            if deadline.interruptions:
                await self._look(client, _check_survived(target, counts), deadline)
        if self._refused.count:
            self._report(f"Refused: {self._refused}.")
        return target, counts

    async def _start(self, client: AsyncBoundedClient, target: WriteTarget, deadline: Deadline) -> tuple[Start, Noted]:
        """Where to begin, and what there is to note, but for how far it has come."""
        source = await asyncio.to_thread(fingerprint, self._wanted.rows)
        now = Noted(target.collection, target.collection_id, target.partition_name, source)
        last = Noted.of(self._earlier.noted)
        if self._earlier.retry:
            await self._look(client, writes.settle(target), deadline)
        if target.generates_keys and not self._wanted.upsert:
            counted = await self._look(client, writes.count(target), deadline)
            start = with_generated_keys(last, now, counted)
            now = replace(now, before=None if counted is None else counted - start.there)
        else:
            start = with_keys(last, now, retry=self._earlier.retry)
        if start.why:
            self._report(f"This is a retry: {start.why}.")
        return start, now

    async def _look(self, client: AsyncBoundedClient, flow: Flow[T], deadline: Deadline) -> T:
        # The timeout is for the rows: a server that does not even describe its collection is reported much sooner.
        return await client.run(flow, deadline.at_most(self._hook.settings.timeout))

    def _note(self, noted: Noted, start: Start, counts: Counts) -> None:
        noted = replace(
            noted,
            acknowledged=max(start.after, counts.acknowledged),
            written=max(start.there, counts.already_there) + counts.written,
            unsure=counts.unsure,
        )
        self._earlier.note(noted.as_dict())

    def _refuse(self, rows: Sequence[BadRow]) -> None:
        self._refused.add(rows)
        if self._wanted.on_bad_row == "fail":
            raise MilvusBadRowsError(
                f"Collection {self._wanted.collection_name!r}, {describe_source(self._wanted.rows)}: {self._refused}. Nothing "
                "of their chunk was sent. Mend the source, or set on_bad_row to 'skip' or to a path that ends in .jsonl."
            )


def _check_survived(target: WriteTarget, counts: Counts) -> Flow[None]:
    version = yield Rpc("GetVersion")
    if is_lite(version):
        raise MilvusServerError(
            f"Milvus Lite was out of reach while rows were written to {target.collection!r}: {counts}. If it was restarted, it "
            "has lost some, since it acknowledges rows that it holds in memory alone. Run the task again."
        )
