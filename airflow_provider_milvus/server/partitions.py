"""Creating partitions, as flows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.flow import Flow, Pause, Report, Rpc, after, in_time
from airflow_provider_milvus.client.reads import partition_ids
from airflow_provider_milvus.client.subject import Subject, find_subject
from airflow_provider_milvus.client.tries import ONE_TRY, Tries
from airflow_provider_milvus.server.indexes import POLL


def create(
    name: str, partition_names: Sequence[str], *, skip_if_exists: bool, tries: Tries = ONE_TRY, report: Report
) -> Flow[tuple[Subject, list[str]]]:
    """Create partitions, one after the other; return the collection, and those that this task, in any of its tries, created.

    ``tries`` note the collection's id and the partitions just before they are sent.

    :raises MilvusRefusedError: one exists, without ``skip_if_exists``; nothing was changed then. Or the collection has a
        partition key.
    """
    subject = yield from find_subject(name)
    check_has_no_key(subject, "created")
    earlier = tries.earlier or {}
    sent = list(earlier["partitions"]) if earlier.get("collection_id") == subject.collection_id else []
    existing = yield from partition_ids(subject.name)
    taken = [partition for partition in partition_names if partition in existing and partition not in sent]
    if taken and not skip_if_exists:
        raise _taken(subject, taken)
    for partition in dict.fromkeys(partition_names):
        if partition in existing:
            report(f"Partition {partition!r} of collection {subject.name!r} exists: it is left as it is.")
            continue
        made = f"Partition {', '.join(map(repr, sent))} of collection {subject.name!r} was created before."
        known, with_this = ({"collection_id": subject.collection_id, "partitions": each} for each in (sent, [*sent, partition]))
        creation = create_partition(subject, partition, tries=replace(tries, earlier=known), note=with_this)
        if (yield from (after(made, creation) if sent else creation)):
            sent.append(partition)
        elif not skip_if_exists and partition not in sent:
            raise _taken(subject, [partition])
    return subject, [partition for partition in partition_names if partition in sent]


def _taken(subject: Subject, taken: Sequence[str]) -> exceptions.MilvusRefusedError:
    return exceptions.MilvusRefusedError(
        f"Partition {', '.join(map(repr, taken))} of collection {subject.name!r} was not created: it exists. Set if_exists to "
        "'skip', or choose another name."
    )


def create_partition(subject: Subject, partition_name: str, *, tries: Tries = ONE_TRY, note: Any = None) -> Flow[bool]:
    """Create a partition if there is none, and return when the server shows it: whether its creation was sent.

    Two tasks may do so at the same time: both succeed.
    """
    sent = False

    def is_due(lost: exceptions.MilvusError | None) -> Flow[bool]:
        nonlocal sent
        yield from subject.check(lost)
        if partition_name in (yield from partition_ids(subject.name)):
            return False
        sent = True
        return True

    fields = {"collection_name": subject.name, "partition_name": partition_name}
    yield from tries.send(Rpc("CreatePartition", fields, still=is_due), lambda: note)
    yield from in_time(
        _see(subject, partition_name, is_there=True),
        f"The server has answered the creation of partition {partition_name!r}, and does not show it",
    )
    return sent


def ensure(subject: Subject, partition_name: str) -> Flow[None]:
    """Create a partition if it is missing.

    :raises MilvusRefusedError: the collection has a partition key.
    """
    if partition_name not in (yield from partition_ids(subject.name)):
        check_has_no_key(subject, "created")
        yield from create_partition(subject, partition_name)


def _see(subject: Subject, partition_name: str, *, is_there: bool) -> Flow[None]:
    while (partition_name in (yield from partition_ids(subject.name))) is not is_there:
        yield Pause(POLL)


def check_has_no_key(subject: Subject, what: str) -> None:
    if any(described.is_partition_key for described in subject.first.schema.fields):
        raise exceptions.MilvusRefusedError(
            f"No partition of collection {subject.name!r} was {what}: it has a partition key, and Milvus manages its "
            "partitions itself. Nothing was changed."
        )
