"""One run of a sync: the collection gets the chunks of each document of a source, and loses those that the source has no more.

All of the source is read and written before anything is deleted, and a row is deleted only after the server has shown the new
chunks of its document. So a reader finds the old chunks of a document, or the new ones, or both. A run that breaks off has
deleted nothing too early, and the next one skips what is written.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.counting import check_in_memory
from airflow_provider_milvus.client.flow import Flow, Report
from airflow_provider_milvus.client.tries import ONE_TRY, Tries
from airflow_provider_milvus.ingest.ledger import STATES, Found, Ledger
from airflow_provider_milvus.ingest.run import IngestRequest, IngestRun
from airflow_provider_milvus.ingest.sending import Counts
from airflow_provider_milvus.kinds import Share
from airflow_provider_milvus.rows.check import Checked
from airflow_provider_milvus.rows.chunk import BadRow, Chunk
from airflow_provider_milvus.rows.column import listed
from airflow_provider_milvus.rows.made import plain
from airflow_provider_milvus.schema.model import Schema
from airflow_provider_milvus.search import decode
from airflow_provider_milvus.search.walk import Page, Walk
from airflow_provider_milvus.server import deletes, writes
from airflow_provider_milvus.server.filters import to_literal
from airflow_provider_milvus.server.writes import WriteTarget

if TYPE_CHECKING:
    from airflow_provider_milvus.hooks.milvus import MilvusHook

T = TypeVar("T")
Ask = Callable[[Flow[Any]], Any]

DOCUMENTS_AT_ONCE = 1_000
"""Documents in one filter."""
_TYPES = {"VARCHAR": str, "INT64": int}


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """What is synced, beside what an ingest is told.

    ``max_deleted`` is a number of rows, a share of those that the collection has, or ``None``: any number.
    """

    rows: IngestRequest
    document_field: str
    hash_field: str
    prune: bool
    filter: str
    max_deleted: int | Share | None
    allow_all: bool


@dataclass(slots=True)
class Totals:
    """``documents`` by what became of them, and rows. ``without_document``: bad rows of which the document is not known."""

    documents: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(STATES, 0)))
    skipped: int = 0
    repeated: int = 0
    deleted: int = 0
    without_document: int = 0


class SyncRun:
    """Syncs all documents, within the hook's timeout, which begins with :meth:`carry_out`."""

    def __init__(self, hook: MilvusHook, request: SyncRequest, tries: Tries, *, is_retry: bool, report: Report) -> None:
        self._hook = hook
        self._request = request
        self._tries = tries
        self._is_retry = is_retry
        self._report = report
        # What an earlier try has written is found in the collection: it leaves no progress.
        self._ingest = IngestRun(hook, request.rows, ONE_TRY, is_retry=False, report=report)

    async def carry_out(self, take: Callable[[list[dict[str, Any]]], object]) -> tuple[WriteTarget, Counts, Totals]:
        """Return when the server has the chunks of the source and no other ones of its documents.

        :param take: called at the end with what became of the documents, some at a time.
        """
        request, totals = self._request, Totals()
        async with await self._hook.shared_client() as client:
            deadline = self._hook.deadline()
            target = await self._ingest.ask(client, self._begin(), deadline)
            loop = asyncio.get_running_loop()

            def ask(flow: Flow[T]) -> T:
                """From the thread that reads the rows."""
                asked: Future[T] = asyncio.run_coroutine_threadsafe(client.run(flow, deadline), loop)
                return asked.result()

            with Ledger() as ledger:
                selection = Selection(request, target, ledger, totals, ask)
                counts = await self._ingest.write(client, target, deadline, selection.select)
                self._report(f"Collection {target.collection!r} has the chunks of the source: {counts}.")
                await client.run(self._remove(target, ledger, totals), deadline)
                for outcomes in ledger.outcomes():
                    take(outcomes)
                    for outcome in outcomes:
                        totals.documents[outcome["state"]] += 1
                        totals.skipped += outcome["skipped"]
        return target, counts, totals

    def _begin(self) -> Flow[WriteTarget]:
        rows, failure = self._request.rows, "Nothing was synced"
        if rows.create_partition:
            yield from writes.find_target(rows.collection_name, rows.partition_name, create_partition=True)
        target = yield from deletes.find_target(rows.collection_name, rows.partition_name, self._tries)
        _check_fields(self._request, target.schema, f"{failure}: collection {target.collection!r}")
        yield from check_in_memory(target.collection, target.partitions, f"{failure} to collection {target.collection!r}.")
        if self._is_retry:
            yield from writes.settle(target)
        return target

    def _remove(self, target: WriteTarget, ledger: Ledger, totals: Totals) -> Flow[None]:
        """Delete what the source does not have any more, once all of it is known."""
        if totals.without_document:
            self._report(f"Nothing is deleted: of {totals.without_document:,} bad rows the document is not known.")
            return
        yield from _find_old(self._request, target, ledger)
        if self._request.prune:
            yield from _find_left(self._request, target, ledger)
        for keys in ledger.old(deletes.IDS_AT_ONCE):
            yield from deletes.delete_keys(target, keys)
            totals.deleted += len(keys)
        yield from target.subject.check(f"{totals.deleted:,} rows were deleted from it before.")
        if totals.deleted:
            self._report(f"Deleted {totals.deleted:,} rows of collection {target.collection!r} that the source does not have.")


@dataclass(frozen=True, slots=True)
class Selection:
    """Of the rows of the source, those that the collection does not have yet. It is asked chunk by chunk."""

    request: SyncRequest
    target: WriteTarget
    ledger: Ledger
    totals: Totals
    ask: Ask

    def select(self, chunk: Chunk, checked: Checked) -> Checked:
        """The rows to write. One with the key of another row, and other content, is a bad row; the same content is left out."""
        numbers = checked.row_numbers
        positions = numpy.searchsorted(numpy.asarray(chunk.row_numbers), numpy.asarray(numbers)).tolist()
        keys = listed(checked.columns[self.target.schema.primary.name].values)
        documents = _values(self.request.document_field, chunk, checked, positions)
        hashes = _values(self.request.hash_field, chunk, checked, positions)
        there = self.ask(self._there(keys)) if keys else {}
        keep = numpy.zeros(len(checked), dtype=bool)
        skipped, had, bad, repeated = [], [], [], []
        for at, (key, document, content) in enumerate(zip(keys, documents, hashes, strict=True)):
            problem = self._problem(document, content)
            if problem is None:
                match self.ledger.add(key, document, content):
                    case Found.THE_SAME:
                        repeated.append(numbers[at])
                        continue
                    case Found.ANOTHER:
                        problem = self.target.schema.primary.name, f"an earlier row has the same key {key!r}, and other content"
            if problem is not None:
                bad.append(BadRow(numbers[at], problem[1], chunk.row(positions[at]), problem[0]))
                continue
            held = there.get(key)
            if held is not None and held[0] == document:
                had.append(document)
            if held == (document, content):
                skipped.append(document)
            else:
                keep[at] = True
        kept = checked.where(keep)
        written = [document for document, is_kept in zip(documents, keep.tolist(), strict=True) if is_kept]
        self.ledger.count(written, skipped, had)
        selected = Checked(kept.row_numbers, kept.columns, (*checked.bad, *bad), tuple(repeated))
        for row in selected.bad:
            self._take_bad(row)
        self.totals.repeated += len(repeated)
        return selected

    def _problem(self, document: Any, content: Any) -> tuple[str, str] | None:
        if document is None or document == "":
            return self.request.document_field, "names no document"
        if not isinstance(content, str | int) or isinstance(content, bool) or content == "":
            return self.request.hash_field, "is the hash of the row's content: a text or a whole number"
        return None

    def _take_bad(self, row: BadRow) -> None:
        document, named = None, self.request.document_field
        if not isinstance(row.row, str):
            # A row that could not be read has the names of the source; the others have those of the fields.
            columns = self.request.rows.columns
            is_of_source = columns is not None and not set(row.row) <= columns.keys()
            document = plain(row.row.get(columns[named] if columns and is_of_source else named))
        kind = next(field.type for field in self.target.schema.fields if field.name == self.request.document_field)
        if isinstance(document, _TYPES[kind]) and document != "":
            self.ledger.is_incomplete(document)
        else:
            self.totals.without_document += 1

    def _there(self, keys: Sequence[Any]) -> Flow[dict[Any, tuple[Any, Any]]]:
        """The document and the hash of each of these keys that the collection has."""
        key, document, content = self.target.schema.primary.name, self.request.document_field, self.request.hash_field
        wanted = [key, document, content]
        found: dict[Any, tuple[Any, Any]] = {}
        for first in range(0, len(keys), deletes.IDS_AT_ONCE):
            some = keys[first : first + deletes.IDS_AT_ONCE]
            page = yield from _walk(self.target, wanted, f"{key} in {to_literal(some)}").page(len(some))
            rows = decode.rows(page.fields.values(), self.target.schema, wanted) if page.keys else []
            found |= {row[key]: (row.get(document), row.get(content)) for row in rows}
        return found


def _values(name: str, chunk: Chunk, checked: Checked, positions: Sequence[int]) -> list[Any]:
    """The values of the good rows, None where a row has none."""
    column = checked.columns.get(name)
    if column is None:
        raw = chunk.columns.get(name)
        return [None if raw is None else plain(raw[position]) for position in positions]
    values = iter(listed(column.values))
    return list(values) if column.valid is None else [next(values) if valid else None for valid in column.valid.tolist()]


def _walk(target: WriteTarget, fields: Sequence[str], filter: str) -> Walk:
    return Walk(target.subject, target.schema.primary, fields, filter, target.partitions, "Strong")


def _find_old(request: SyncRequest, target: WriteTarget, ledger: Ledger) -> Flow[None]:
    """Note the rows of the source's documents that have other keys than its chunks.

    :raises MilvusServerError: the server does not show a chunk that it has acknowledged. Nothing was deleted.
    """
    name = request.document_field
    for documents in ledger.documents(DOCUMENTS_AT_ONCE):
        missing = Counter(documents)

        def take(page: Page, missing: Counter[Any] = missing) -> None:
            missing.subtract(ledger.holds(page.keys, decode.values_of(page.fields[name])))

        yield from _walk(target, [name], f"{name} in {to_literal(list(documents))}").rows(take)
        if missing := +missing:
            yield from target.subject.check("Rows were written to it before; none was deleted.")
            raise exceptions.MilvusServerError(
                f"Nothing was deleted from collection {target.collection!r}: it does not show {missing.total():,} chunks of "
                f"{len(missing):,} documents that the server has acknowledged, such as of {next(iter(missing))!r}. Somebody "
                "else may have changed them meanwhile."
            )


def _find_left(request: SyncRequest, target: WriteTarget, ledger: Ledger) -> Flow[None]:
    """Note the rows of documents that the source does not have.

    :raises MilvusRefusedError: they are more than may be deleted. Nothing was deleted.
    """
    kept = f"Nothing was deleted from collection {target.collection!r}, and what the source has is written:"
    if not ledger.has_documents and not request.allow_all:
        raise exceptions.MilvusRefusedError(
            f"{kept} the source has no document, so that all would be pruned. Mend the source, or set allow_all=True if you "
            "mean all of them."
        )
    name, left = request.document_field, 0

    def take(page: Page) -> None:
        nonlocal left
        left += ledger.left_source(page.keys, decode.values_of(page.fields[name]))

    # Milvus Lite ignores partitions where there is no filter.
    everything = f"{target.schema.primary.name} not in []" if target.partitions else ""
    rows = yield from _walk(target, [name], request.filter or everything).rows(take)
    most = request.max_deleted
    if most is not None and left > (most * rows if isinstance(most, Share) else most):
        limit = f"{most * 100:g} % of {rows:,} rows" if isinstance(most, Share) else f"{most:,}"
        raise exceptions.MilvusRefusedError(
            f"{kept} {left:,} rows are of documents that the source does not have, and max_deleted is {limit}. Mend the "
            "source, or set max_deleted to the most rows that may be pruned."
        )


def _check_fields(request: SyncRequest, schema: Schema, failure: str) -> None:
    """:raises MilvusInvalidArgumentError: the collection cannot have the documents, or the hashes, in these fields."""
    types = {field.name: field.type for field in schema.fields}
    for argument, name in (("document_field", request.document_field), ("hash_field", request.hash_field)):
        dynamic = argument == "hash_field" and schema.enable_dynamic_field and name not in types
        if not dynamic and types.get(name) not in _TYPES:
            has = f"is of type {types[name]}" if name in types else "is no field of it"
            raise exceptions.MilvusInvalidArgumentError(
                f"{failure} cannot have {argument} {name!r}: {name!r} {has}, and has to be of type {' or '.join(_TYPES)}."
            )
