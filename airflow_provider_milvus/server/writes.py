"""Changing a collection's rows: insert, upsert and delete, as flows that write each row once.

An upsert or a delete may be sent twice: the second does what the first did. An insert may not, since Milvus keeps rows with the
same key side by side. When an insert is not answered, rows that have their key are sent again as an upsert. Where the server
generates the keys, counting the rows tells whether they have arrived.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.counting import row_count_if_loaded
from airflow_provider_milvus.client.flow import Flow, Pause, Report, Rpc
from airflow_provider_milvus.client.reads import check_partitions, describe, is_before, is_lite, version_for
from airflow_provider_milvus.client.subject import Subject, find_subject
from airflow_provider_milvus.rows.chunk import Batch
from airflow_provider_milvus.schema.model import Schema
from airflow_provider_milvus.server import partitions

WRITE_ATTEMPT = 60.0
"""Seconds that one attempt to write may take."""
SETTLE = 2.0
"""Seconds between the first answer after a lost attempt and the next attempt. A server that was frozen first does what is in
its sockets, and the lost attempt must not arrive after the next one."""

_UNANSWERED = (exceptions.MilvusUnavailableError, exceptions.MilvusTimeoutError)


@dataclass(frozen=True, slots=True)
class WriteTarget:
    """The collection that is written to. ``collection_id`` is 0 where the server reports none (Milvus Lite)."""

    collection: str
    schema: Schema
    collection_id: int = 0
    alias: str | None = None
    partition_name: str = ""

    @property
    def generates_keys(self) -> bool:
        return self.schema.primary.auto_id

    @property
    def partitions(self) -> list[str]:
        return [self.partition_name] if self.partition_name else []

    @property
    def subject(self) -> Subject:
        return Subject(self.collection, self.collection_id)

    def fields(self, **fields: Any) -> dict[str, Any]:
        """The fields of a request that writes: ``fields``, and where to."""
        return {"collection_name": self.collection, "partition_name": self.partition_name, **fields}


def find_target(
    name: str, partition_name: str = "", *, create_partition: bool = False, collection_id: int = 0
) -> Flow[WriteTarget]:
    """The collection that has a name or an alias, and its schema.

    :param create_partition: make the partition if it is missing.
    :param collection_id: that of the collection which has to have the name still, where it is known.
    :raises MilvusReplacedError: another one has it.
    :raises MilvusCollectionNotFoundError, MilvusPartitionNotFoundError, MilvusDatabaseNotFoundError: it does not exist.
    """
    subject = yield from find_subject(name)
    described, collection = subject.first, subject.name
    if collection_id not in (0, subject.collection_id):
        raise Subject(collection, collection_id).replaced()
    if partition_name and not create_partition:
        yield from check_partitions(collection, [partition_name])
    if (schema := Schema.of_described(described)).has_namespaces:
        raise exceptions.MilvusUnsupportedError(
            f"Collection {collection!r} was not written to: it has namespaces, and this provider writes to none."
        )
    if partition_name and create_partition:
        yield from partitions.ensure(subject, partition_name)
    return WriteTarget(
        collection,
        schema.narrowed((yield from _narrow_types(collection, schema))),
        subject.collection_id,
        subject.alias,
        partition_name,
    )


def _narrow_types(collection_name: str, schema: Schema) -> Flow[Collection[str]]:
    """The types of which this server takes less than others, as far as the schema has them; seen on 2.3.5 and Lite 3.2.

    2.3.5 takes only objects in a JSON field. Lite takes a text, and no query returns its row any more; of a sparse vector
    without an entry it refuses the whole call.
    """
    if not {"JSON", "SPARSE_FLOAT_VECTOR"} & {field.type for field in schema.fields}:
        return ()
    version = yield from version_for(collection_name)
    if is_lite(version):
        return ("JSON", "SPARSE_FLOAT_VECTOR")
    return ("JSON",) if is_before(version, (2, 4)) else ()


def upsert(target: WriteTarget, batch: Batch) -> Flow[None]:
    """Write rows; they replace rows with the same keys.

    :raises MilvusServerError: the server reports that it took fewer rows. Those are in the collection.
    """
    answer = yield Rpc("Upsert", _rows(target, batch), WRITE_ATTEMPT, still=target.subject.still)
    _check_counts(target, answer, int(answer.upsert_cnt), batch)


def insert(target: WriteTarget, batch: Batch, report: Report) -> Flow[None]:
    """Add rows that have their keys. An insert that is not answered is sent again as an upsert."""
    try:
        answer = yield Rpc("Insert", _rows(target, batch), WRITE_ATTEMPT, still=partial(_unless_sent, target))
    except _UNANSWERED as error:
        report(f"The insert of rows {_range(batch)} was not answered, so they are sent again as an upsert: {error}")
        yield from settle(target)
        yield from upsert(target, batch)
    else:
        _check_counts(target, answer, int(answer.insert_cnt), batch)


def insert_generated(target: WriteTarget, batch: Batch, before: int | None, report: Report) -> Flow[None]:
    """Add rows whose keys the server generates. ``before`` is the number of rows so far; ``None``: they cannot be counted.

    Nobody else may write to the collection meanwhile, or counting cannot tell whether the rows have arrived.

    :raises MilvusInDoubtError: it is unknown whether the rows have arrived.
    """
    while True:
        try:
            answer = yield Rpc("Insert", _rows(target, batch), WRITE_ATTEMPT, still=partial(_unless_sent, target))
        except _UNANSWERED as error:
            if (yield from _arrived(target, batch, before, error)):
                report(f"The insert of rows {_range(batch)} was not answered, but counting shows that they arrived: {error}")
                return
            report(f"Counting shows that rows {_range(batch)} did not arrive, so they are sent again: {error}")
        else:
            _check_counts(target, answer, int(answer.insert_cnt), batch)
            return


def _unless_sent(target: WriteTarget, lost: exceptions.MilvusError | None) -> Flow[bool]:
    """The look before an insert, which is never sent again after a lost answer."""
    if lost is not None:
        raise lost
    return (yield from target.subject.still(None))


def settle(target: WriteTarget) -> Flow[None]:
    """Wait until the server answers again, and then ``SETTLE`` seconds."""
    yield from describe(target.collection)
    yield Pause(SETTLE)


def count(target: WriteTarget, expression: str = "") -> Flow[int | None]:
    """The rows of the target, or those that match ``expression``; ``None`` where they are not in memory."""
    return (yield from row_count_if_loaded(target.collection, expression, target.partitions))


def delete(target: WriteTarget, expression: str) -> Flow[int]:
    """Delete the rows that match ``expression``. Returns the server's count, which for a list of keys is its length.

    :raises MilvusNotLoadedError: the expression is not a list of keys, and the collection is not in memory.
    """
    answer = yield Rpc("Delete", target.fields(expr=expression), WRITE_ATTEMPT, still=target.subject.still)
    return int(answer.delete_cnt)


def _rows(target: WriteTarget, batch: Batch) -> dict[str, Any]:
    return target.fields(fields_data=batch.fields_data, num_rows=len(batch))


def _check_counts(target: WriteTarget, answer: Any, taken: int, batch: Batch) -> None:
    refused: Sequence[int] = answer.err_index
    if taken == len(batch) and not refused:
        return
    which = ", ".join(str(batch.row_numbers[position]) for position in refused[:10] if position < len(batch))
    raise exceptions.MilvusServerError(
        f"Collection {target.collection!r} did not get all rows: the server took {taken} of {len(batch)} rows "
        f"({_range(batch)} of the source)"
        + (f" and refused {which}." if which else ".")
        + " The rows that it took are in the collection."
    )


def _arrived(target: WriteTarget, batch: Batch, before: int | None, error: Exception) -> Flow[bool]:
    doubt = (
        f"It is unknown whether rows {_range(batch)} are in collection {target.collection!r}: the insert was not answered. It "
        "was not sent again, since the server generates the keys and might add the rows twice."
    )
    if before is None:
        raise exceptions.MilvusInDoubtError(
            f"{doubt} The rows could not be counted, since the collection was not loaded. {error}"
        )
    try:
        yield from settle(target)
        yield from target.subject.check(f"{doubt} {error}")
        now = yield from count(target)
    except (*_UNANSWERED, exceptions.MilvusReplacedError):
        raise
    except exceptions.MilvusError as unseen:
        # An error of the look says nothing of the rows: after one such as a wrong password a retry would insert them twice.
        raise exceptions.MilvusInDoubtError(f"{doubt} {error} The rows could not be counted: {unseen}") from None
    if now not in (before, before + len(batch)):
        raise exceptions.MilvusInDoubtError(
            f"{doubt} The collection has {now} rows instead of {before} or {before + len(batch)}. {error}"
        )
    return now != before


def _range(batch: Batch) -> str:
    return f"{batch.row_numbers[0]} to {batch.row_numbers[-1]}"
