"""Where a retry of an ingest begins, decided from what the try before it noted. Plain data in, plain data out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from airflow_provider_milvus.exceptions import MilvusInDoubtError


@dataclass(frozen=True, slots=True)
class Noted:
    """What a try notes before its first row and now and then after it.

    ``number`` is the server's id of the collection (0: it tells none). ``source`` tells files apart from others, and from what
    they were before; ``None`` where the rows are not known to come in the same order again. Rows of the source up to
    ``acknowledged`` were written or refused, and ``written`` of them were written; ``unsure``: more may have been sent.
    ``before`` is how many rows the collection had, where the server makes the keys and they could be counted.
    """

    collection: str
    number: int
    partition_name: str
    source: str | None
    acknowledged: int = 0
    written: int = 0
    unsure: bool = False
    before: int | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def of(said: Mapping[str, Any]) -> Noted | None:
        """``None`` where it is not what :meth:`as_dict` gave."""
        return Noted(**said) if said.keys() == {each.name for each in fields(Noted)} else None

    def is_of_collection(self, now: Noted) -> bool:
        return (self.collection, self.number, self.partition_name) == (now.collection, now.number, now.partition_name)


@dataclass(frozen=True, slots=True)
class Start:
    """Where a try begins, and ``why``, in words for the log.

    The rows of the source up to ``after``, and the first ``there`` of those that are right, are in the collection already: they
    are read and checked, and not sent. With ``upsert`` an insert has to replace what may be there.
    """

    after: int = 0
    there: int = 0
    upsert: bool = False
    why: str = ""


def with_keys(noted: Noted | None, now: Noted, *, retry: bool) -> Start:
    """For rows that bring their keys: whatever is in doubt may be written once more, as an upsert."""
    if not retry and noted is None:
        return Start()
    if noted is None:
        return Start(upsert=True, why="an earlier try left no note, so all rows are sent as an upsert")
    if noted.number and not noted.is_of_collection(now):
        return Start(why="the collection is another one than the earlier try wrote to, so all rows are sent")
    if now.source is None or noted.source != now.source or not now.number or not noted.is_of_collection(now):
        return Start(upsert=True, why="an earlier try may have written some rows, so all are sent, as an upsert")
    return Start(
        after=noted.acknowledged,
        upsert=True,
        why=f"an earlier try wrote the rows up to {noted.acknowledged:,}; those after it are sent as an upsert",
    )


def with_generated_keys(noted: Noted | None, now: Noted, counted: int | None) -> Start:
    """For rows whose keys the server makes: only counting tells how many have arrived.

    ``counted`` is how many rows there are now; ``None``: that cannot be counted.

    :raises MilvusInDoubtError: it cannot be told.
    """
    if noted is None:
        return Start()
    if noted.number and not noted.is_of_collection(now):
        return Start(why="the collection is another one than the earlier try wrote to, so all rows are sent")
    doubt = (
        f"An earlier try inserted {noted.written} rows or more into collection {now.collection!r}, whose keys the server makes"
    )
    if noted.source != now.source and (noted.written or noted.unsure):
        raise MilvusInDoubtError(f"{doubt}, and the source has changed since.")
    if not noted.unsure:
        there = noted.written
    elif noted.before is None or counted is None:
        raise MilvusInDoubtError(f"{doubt}; how many more cannot be counted, since it was not loaded then, or is not now.")
    elif (there := counted - noted.before) < noted.written:
        raise MilvusInDoubtError(
            f"{doubt}; it had {noted.before} rows before and has {counted} now, so somebody else has deleted some."
        )
    return Start(there=there, why=f"an earlier try inserted {there:,} rows; those after them are sent")
