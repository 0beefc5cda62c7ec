"""What changes a collection's rows: insert, upsert and delete, as flows that write each row once.

An upsert or a delete may be sent again: the second does what the first did. An insert may not, since Milvus keeps rows of the
same key side by side. When an insert's fate is unknown, rows that bring their key are sent again as an upsert, and where the
server makes the keys, counting tells whether they have arrived.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.client.flow import Flow, Pause, Rpc
from airflow_provider_milvus.client.reads import check_partitions, describe, real_name, row_count
from airflow_provider_milvus.exceptions import (
    MilvusInDoubtError,
    MilvusNotLoadedError,
    MilvusServerError,
    MilvusTimeoutError,
    MilvusUnavailableError,
)
from airflow_provider_milvus.schema.model import Schema

if TYPE_CHECKING:
    from airflow_provider_milvus.client.flow import Report
    from airflow_provider_milvus.rows.chunk import Batch

WRITE_ATTEMPT = 60.0
"""Seconds that one attempt to write may take."""
SETTLE = 2.0
"""Seconds between the first sign of life after an attempt was lost and what is done about it. A server that was frozen works
off what lay in its sockets; the lost attempt must not come after the one that is to mend it."""

_UNKNOWN_FATE = (MilvusUnavailableError, MilvusTimeoutError)


@dataclass(frozen=True, slots=True)
class Target:
    """The collection that is written to. ``number`` is the server's id of it, 0 where it tells none (Milvus Lite)."""

    collection: str
    schema: Schema
    number: int = 0
    alias: str | None = None
    partition_name: str = ""

    @property
    def generates_keys(self) -> bool:
        return self.schema.primary.auto_id

    @property
    def partitions(self) -> list[str]:
        return [self.partition_name] if self.partition_name else []

    def fields(self, **more: Any) -> dict[str, Any]:
        """Of a request that writes."""
        return {"collection_name": self.collection, "partition_name": self.partition_name, **more}


def find_target(name: str, partition_name: str = "") -> Flow[Target]:
    """The collection behind a name or an alias, and what its rows look like.

    :raises MilvusCollectionNotFoundError, MilvusPartitionNotFoundError, MilvusDatabaseNotFoundError: which it is.
    """
    described = yield from describe(name)
    collection = real_name(described)
    if partition_name:
        yield from check_partitions(collection, [partition_name])
    return Target(
        collection,
        Schema.of_described(described),
        int(described.collectionID),
        name if collection != name else None,
        partition_name,
    )


def upsert(target: Target, batch: Batch) -> Flow[None]:
    """Write rows in place of those with the same keys.

    :raises MilvusServerError: the server says that it took fewer rows than it was sent.
    """
    answer = yield Rpc("Upsert", _rows(target, batch), WRITE_ATTEMPT)
    _check_counts(target, answer, int(answer.upsert_cnt), batch)


def insert(target: Target, batch: Batch, report: Report) -> Flow[None]:
    """Add rows that bring their own keys; in doubt they are upserted."""
    try:
        answer = yield Rpc("Insert", _rows(target, batch), WRITE_ATTEMPT, repeatable=False)
    except _UNKNOWN_FATE as error:
        report(f"Rows {_span(batch)} may or may not have arrived, so they are sent again as an upsert: {error}")
        yield from settle(target)
        yield from upsert(target, batch)
    else:
        _check_counts(target, answer, int(answer.insert_cnt), batch)


def insert_generated(target: Target, batch: Batch, before: int | None, report: Report) -> Flow[None]:
    """Add rows whose keys the server makes. ``before`` is how many rows there were; ``None``: they cannot be counted.

    Nobody else may write to the collection meanwhile, or the count tells nothing when it is needed.

    :raises MilvusInDoubtError: whether the rows have arrived cannot be told.
    """
    while True:
        try:
            answer = yield Rpc("Insert", _rows(target, batch), WRITE_ATTEMPT, repeatable=False)
        except _UNKNOWN_FATE as error:
            if (yield from _arrived(target, batch, before, error)):
                report(f"No answer to rows {_span(batch)}, but counting says that they have arrived: {error}")
                return
            report(f"Counting says that rows {_span(batch)} have not arrived; they are sent again: {error}")
        else:
            _check_counts(target, answer, int(answer.insert_cnt), batch)
            return


def settle(target: Target) -> Flow[None]:
    """Wait until the server answers again, and a moment more."""
    yield from describe(target.collection)
    yield Pause(SETTLE)


def count(target: Target) -> Flow[int | None]:
    """How many rows there are in what is written to; ``None`` where that cannot be counted, since it is not in memory."""
    try:
        return (yield from row_count(target.collection, partition_names=target.partitions))
    except MilvusNotLoadedError:
        return None


def delete(target: Target, expression: str) -> Flow[int]:
    """Delete what ``expression`` matches. Returns the server's own count, which for a list of keys is the list's length.

    :raises MilvusNotLoadedError: it is more than a list of keys, and the collection is not in memory.
    """
    answer = yield Rpc("Delete", target.fields(expr=expression), WRITE_ATTEMPT)
    return int(answer.delete_cnt)


def _rows(target: Target, batch: Batch) -> dict[str, Any]:
    return target.fields(fields_data=batch.fields_data, num_rows=len(batch))


def _check_counts(target: Target, answer: Any, taken: int, batch: Batch) -> None:
    refused: Sequence[int] = answer.err_index
    if taken == len(batch) and not refused:
        return
    which = ", ".join(str(batch.numbers[at]) for at in refused[:10] if at < len(batch))
    raise MilvusServerError(
        f"Collection {target.collection!r}: the server took {taken} of {len(batch)} rows ({_span(batch)} of the source)"
        + (f" and refused {which}." if which else ".")
        + " What it took is in the collection."
    )


def _arrived(target: Target, batch: Batch, before: int | None, error: Exception) -> Flow[bool]:
    doubt = f"Whether rows {_span(batch)} have arrived in {target.collection!r} is unknown: the server makes its keys"
    if before is None:
        raise MilvusInDoubtError(f"{doubt}, and its rows could not be counted, since it was not loaded. {error}")
    yield from settle(target)
    now = yield from count(target)
    if now not in (before, before + len(batch)):
        raise MilvusInDoubtError(f"{doubt}, and it has {now} rows, where {before} and {len(batch)} new ones were. {error}")
    return now != before


def _span(batch: Batch) -> str:
    return f"{batch.numbers[0]} to {batch.numbers[-1]}"
