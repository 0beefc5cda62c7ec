"""A copy: the rows of one collection into another one, in the order of their keys, so that a retry goes on where it was."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import CodeType
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.counting import row_count
from airflow_provider_milvus.client.flow import Deadline, Flow, Report
from airflow_provider_milvus.client.reads import check_partitions, replicas
from airflow_provider_milvus.client.subject import Subject
from airflow_provider_milvus.client.tries import ONE_TRY
from airflow_provider_milvus.conditions import IndexBuilt, wait_for
from airflow_provider_milvus.ingest.run import IngestRequest, IngestRun
from airflow_provider_milvus.rows.tables import pyarrow
from airflow_provider_milvus.search.answer import ReadRows
from airflow_provider_milvus.search.decode import all_fields
from airflow_provider_milvus.search.source import Source, changes, definition_of, find_source, page_rows_of
from airflow_provider_milvus.search.walk import Page, Pages, Walk
from airflow_provider_milvus.server.load import load, placement
from airflow_provider_milvus.server.upkeep import submit_flush

if TYPE_CHECKING:
    from airflow_provider_milvus.client.client import BoundedClient
    from airflow_provider_milvus.hooks.milvus import MilvusHook

ROWS_AT_ONCE = 100_000
"""After this number of rows the progress is noted. A retry sends at most that many once more."""
TRANSFORMED_ROWS = 1_000
"""Rows that ``transform`` gets at a time: a model is fast with them, and their texts are small."""
POLL = 2.0

Transform = Callable[[list[dict[str, Any]]], Any]


@dataclass(frozen=True, slots=True)
class Original:
    """What is copied, as the first look saw it.

    ``definition`` is the copy's, ``placement`` loads it with as many replicas. ``partitions`` are copied each into the one of
    its name; there are none where the server chooses them by a key.
    """

    source: Source
    fields: Sequence[str]
    filter: str
    definition: dict[str, Any]
    partitions: Sequence[str]
    placement: dict[str, Any]
    rows: int

    def count(self) -> Flow[int]:
        return row_count(self.source.collection, self.filter, self.source.partition_names)


@dataclass(slots=True)
class Progress:
    """How far the copying has come: the rows up to the key ``after`` of ``partition``, and all of those before it, are there.

    ``ids`` are the two collections'; ``asked`` tells which rows were asked for, in which form. Every attribute is JSON-safe.
    """

    ids: list[int]
    asked: str = ""
    partition: str = ""
    after: Any = None
    read: int = 0
    written: int = 0
    replaced: int = 0
    batches: int = 0
    bytes: int = 0


def survey(
    collection_name: str, *, filter: str, partition_names: Sequence[str], output_fields: Collection[str] | None
) -> Flow[Original]:
    """:raises MilvusNotLoadedError: not all rows are in memory."""
    source = yield from find_source(collection_name, partition_names, "Collection {!r} was not copied.")
    schema = source.schema
    wanted = all_fields(schema) if "*" in (output_fields or "*") else list(output_fields or ())
    fields = list(dict.fromkeys([schema.primary.name, *wanted]))
    definition = _only(fields, (yield from definition_of(source)))
    has_partition_key = any(field.is_partition_key for field in schema.fields)
    partitions = sorted(partition_names or (yield from check_partitions(source.collection, ())))
    groups = sorted(((yield from replicas(source.collection)) or {}).values())
    rows = yield from row_count(source.collection, filter, partition_names)
    return Original(source, fields, filter, definition, [] if has_partition_key else partitions, placement(groups), rows)


def _only(fields: Collection[str], definition: dict[str, Any]) -> dict[str, Any]:
    """The definition with these fields only, and with what is computed from them. Keys are kept, not made anew (auto_id)."""
    schema = definition["schema"]
    functions = [one for one in schema.get("functions", ()) if set(one["input_field_names"]) <= set(fields)]
    kept = {*fields, *(name for function in functions for name in function["output_field_names"])}
    described = [{**one, "auto_id": False} for one in schema["fields"] if one["name"] in kept]
    if not any(one.get("is_partition_key") for one in described):
        definition = {key: value for key, value in definition.items() if key != "num_partitions"}
    return {
        **definition,
        "schema": {
            **schema,
            "fields": described,
            "functions": functions,
            # A name that no field has is a key beside the schema.
            "enable_dynamic_field": schema["enable_dynamic_field"] and bool(kept - {one["name"] for one in schema["fields"]}),
        },
        "indexes": [index for index in definition["indexes"] if index["field_name"].partition("[")[0] in kept],
    }


@dataclass(slots=True)
class CopyRun:
    """Copies rows into a collection that exists, within ``deadline``. ``note`` keeps the progress for a retry.

    :param earlier: the progress of an earlier try. It is of use only where the server tells both collections' ids.
    """

    client: BoundedClient
    target_hook: MilvusHook
    original: Original
    target: Subject
    deadline: Deadline
    note: Callable[[Progress], object]
    report: Report
    transform: Transform | None = None
    earlier: Mapping[str, Any] | None = None
    _done: Progress = field(init=False)

    def carry_out(self) -> Progress:
        """:raises MilvusBadRowsError: the copy does not take a row.
        :raises MilvusRefusedError: an earlier try has copied other rows into it, or in another form.
        """
        subject, name = self.original.source.subject, self.target.name
        self._done = Progress([subject.collection_id, self.target.collection_id], self._asked())
        earlier = Progress(**self.earlier) if self.earlier else None
        if earlier and all(earlier.ids) and earlier.ids[1] == self.target.collection_id:
            if (earlier.ids, earlier.asked) != (self._done.ids, self._done.asked):
                raise exceptions.MilvusRefusedError(
                    f"Collection {subject.name!r} was not copied into {name!r}: an earlier try of this task has copied other "
                    "rows into it, since the collection behind the name, the filter, the partitions, the fields or transform "
                    f"has changed meanwhile. Drop {name!r}, and clear the task."
                )
            self._done = earlier
            self.report(f"Going on after {self._done.read:,} rows, which an earlier try has copied.")
        begin = self._done.partition
        for partition in self.original.partitions or [""]:
            if partition >= begin:
                self._copy(partition)
        return self._done

    def _asked(self) -> str:
        """The same text for the same filter, partitions, fields and code of ``transform``."""
        original = self.original
        asked = [original.filter, *sorted(original.source.partition_names), "", *original.fields, "", *_code_of(self.transform)]
        return hashlib.sha256("\0".join(asked).encode()).hexdigest()[:16]

    def _copy(self, partition: str) -> None:
        """The rows of one partition, or of all where it is empty."""
        original, done = self.original, self._done
        schema, named = original.source.schema, [partition] if partition else list(original.source.partition_names)
        after = done.after if done.partition == partition else None
        match_all = Source(original.source.subject, schema, named).match_all
        walk = Walk(original.source.subject, schema.primary, original.fields, original.filter or match_all, named, "Strong")
        page_rows = page_rows_of(schema, original.fields)
        pages = Pages(walk, min(page_rows, TRANSFORMED_ROWS) if self.transform else page_rows, after=after)
        while not pages.at_end:
            before = pages.count
            self._write(partition, self.copied_rows(pages))
            done.partition, done.after = partition, pages.after
            done.read += pages.count - before
            self.note(done)

    def copied_rows(self, pages: Pages) -> Iterator[Any]:
        """The next rows, a page at a time. The ingest takes them from a thread of its own."""
        end = pages.count + ROWS_AT_ONCE
        while pages.count < end:
            page = self.client.run(pages.next(), self.deadline.at_most(self.deadline.remaining))
            if page is None:
                break
            yield self._rows(page)

    def _rows(self, page: Page) -> Any:
        read = ReadRows(page, self.original.source.schema, self.original.fields)
        if self.transform is not None:
            rows = self.transform(read.rows(to_be_written=True))
            return list(rows) if isinstance(rows, Iterator) else rows
        pyarrow("A copy without transform")
        return read.arrow()

    def _write(self, partition: str, rows: Iterator[Any]) -> None:
        request = IngestRequest(
            collection_name=self.target.name,
            rows=rows,
            upsert=True,
            partition_name=partition,
            create_partition=bool(partition),
            collection_id=self.target.collection_id,
        )
        run = IngestRun(self.target_hook, request, ONE_TRY, is_retry=bool(self.earlier), report=self.report)
        try:
            _, counts = asyncio.run(run.carry_out(self.deadline))
        except exceptions.MilvusBadRowsError:
            source, read = self.original.source.collection, self._done.read
            cause = "Correct transform or schema." if self.transform else "Give a schema that takes it, or a transform."
            raise exceptions.MilvusBadRowsError(
                f"Collection {source!r} was copied into {self.target.name!r} up to row {read:,} only: of those after "
                f"it, counted from 1, {run.bad_rows}. {cause}"
            ) from None
        self._done.written += counts.written
        self._done.replaced += counts.replaced
        self._done.batches += counts.batches
        self._done.bytes += counts.bytes


def finish(
    target: Subject, deadline: Deadline, options: Mapping[str, Any] | None, *, indexed: bool, report: Report
) -> Flow[int | None]:
    """Save the copy's rows, wait for its indexes, load it with ``options``, and return the number of its rows.

    Without ``options`` it is not loaded, and its rows are not counted.

    :raises MilvusReplacedError: the copy was dropped meanwhile.
    """
    written = "Rows were written to it before."
    yield from target.check(written)
    flushed = yield from submit_flush(target.name)
    for condition in [flushed, *([IndexBuilt(target.name)] if indexed else [])]:
        yield from wait_for(condition, deadline, poll_interval=POLL, eager=True, report=report)
    rows = None
    if options is not None:
        yield from target.check(written)
        yield from load(target.name, deadline, options=options, poll_interval=POLL, stall_timeout=None, report=report)
        rows = yield from row_count(target.name)
    yield from target.check(written)
    return rows


def _code_of(function: Any) -> list[str]:
    """What tells a function from another one, or from what it was before it was mended: not what it calls."""
    code = getattr(function, "__code__", function)
    if not isinstance(code, CodeType):
        return [type(function).__qualname__]
    texts = [code.co_code.hex(), *code.co_names]
    for one in code.co_consts:
        # A set shows its values in another order in each process.
        texts += (
            _code_of(one)
            if isinstance(one, CodeType)
            else sorted(map(repr, one))
            if isinstance(one, frozenset)
            else [repr(one)]
        )
    return texts


def check_equal(original: Original, copied: Progress, counted: int, target: str, now: int | None) -> str:
    """What is known of rows that changed meanwhile; empty: nothing.

    :raises MilvusServerError: the copy has another number of rows than were written to it.
    """
    given = copied.written + copied.replaced
    if now is not None and now != given:
        raise exceptions.MilvusServerError(
            f"Collection {target!r} has {now:,} rows, and {given:,} were written to it: somebody else writes to it, or "
            "transform gave two rows the same key."
        )
    return changes(original.rows, counted, copied.read, "copied")
