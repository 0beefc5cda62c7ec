"""Where a retry of an ingest begins, decided from the progress that the earlier try saved. Plain data in, plain data out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from airflow_provider_milvus.exceptions import MilvusInDoubtError


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a try has come. It is saved before the first row, and every few seconds after that.

    ``collection_id`` is the server's id of the collection; 0 where the server reports no id. ``source`` is the fingerprint of
    the files; ``None`` where the rows may come in another order the next time. Rows of the source up to ``acknowledged`` are
    written or bad, and ``written`` of them are written. ``unsure``: later rows may have been sent. ``rows_before`` is how many
    rows the collection had before the first try; ``None`` unless the server generates the keys and can count rows.
    """

    collection: str
    collection_id: int
    partition_name: str
    source: str | None
    acknowledged: int = 0
    written: int = 0
    unsure: bool = False
    rows_before: int | None = None

    @staticmethod
    def of(saved: Mapping[str, Any]) -> Progress | None:
        """The progress that :func:`asdict` gave; ``None`` for any other dict."""
        return Progress(**saved) if saved.keys() == {field.name for field in fields(Progress)} else None

    @property
    def destination(self) -> tuple[str, int, str]:
        return self.collection, self.collection_id, self.partition_name


@dataclass(frozen=True, slots=True)
class Start:
    """Where a try begins, and the ``reason`` in words for the log.

    The rows of the source up to row number ``after``, and the first ``already_there`` good rows, are in the collection. They
    are read and checked, and not sent. With ``upsert`` an insert has to replace rows that may be there.
    """

    after: int = 0
    already_there: int = 0
    upsert: bool = False
    reason: str = ""


_CLEARED = "A cleared task inserts all rows."
_ANOTHER_COLLECTION = "the collection is not the one that the earlier try wrote to"


def start_with_keys(saved: Progress | None, now: Progress, rows_now: int | None, *, retry: bool) -> Start:
    """For rows that bring their keys: rows in doubt are written once more, as an upsert.

    ``rows_now`` is the number of rows in the collection, or in the partition; ``None`` if they cannot be counted.
    """
    if saved is None:
        if not retry:
            return Start()
        return Start(upsert=True, reason="an earlier try saved no progress, so all rows are sent as an upsert")
    if saved.collection_id and saved.destination != now.destination:
        # The last rows of the earlier try may have come into this one.
        return Start(upsert=True, reason=f"{_ANOTHER_COLLECTION}, so all rows are sent as an upsert")
    if now.source is None or saved.source != now.source or not now.collection_id or saved.destination != now.destination:
        return Start(upsert=True, reason="an earlier try may have written some rows, so all rows are sent as an upsert")
    if rows_now is not None and rows_now < saved.written:
        # Somebody has deleted some since, or rows of the source have the same key.
        return Start(upsert=True, reason=f"it has {rows_now:,} rows by now, so all rows are sent as an upsert")
    return Start(
        after=saved.acknowledged,
        upsert=True,
        reason=f"an earlier try wrote the rows up to row {saved.acknowledged:,}; later rows are sent as an upsert",
    )


def start_with_generated_keys(saved: Progress | None, now: Progress, rows_now: int | None) -> Start:
    """For rows whose keys the server generates: only counting shows how many have arrived.

    ``rows_now`` is the number of rows in the collection; ``None`` if they cannot be counted.

    :raises MilvusInDoubtError: nothing shows how many have arrived.
    """
    if saved is None:
        return Start()
    if saved.collection_id and saved.destination != now.destination:
        if saved.unsure and rows_now != 0:
            raise MilvusInDoubtError(
                f"Nothing was inserted into collection {now.collection!r}: {_ANOTHER_COLLECTION}. It has "
                f"{'some' if rows_now is None else rows_now} rows, and nothing shows whether that try inserted some of them. "
                f"Truncate the collection, or look at it. {_CLEARED}"
            )
        return Start(reason=f"{_ANOTHER_COLLECTION}, so all rows are sent")
    if rows_now == 0:
        return Start(reason="the collection is empty by now, so all rows are sent")
    doubt = (
        f"Collection {now.collection!r} got at least {saved.written} rows from an earlier try, and the server made their keys"
    )
    if saved.source != now.source and (saved.written or saved.unsure):
        raise MilvusInDoubtError(f"{doubt}. The source has changed since, so nothing shows which rows are missing. {_CLEARED}")
    arrived = None if saved.rows_before is None or rows_now is None else rows_now - saved.rows_before
    if arrived is None and saved.unsure:
        raise MilvusInDoubtError(
            f"{doubt}. Whether more have arrived cannot be counted, since it was not loaded then, or is not loaded now. "
            f"{_CLEARED}"
        )
    if arrived is not None and arrived < saved.written:
        raise MilvusInDoubtError(
            f"{doubt}. It had {saved.rows_before} rows before and has {rows_now} now, so somebody else has deleted some. "
            f"{_CLEARED}"
        )
    already_there = arrived if arrived is not None and saved.unsure else saved.written
    return Start(0, already_there, reason=f"an earlier try inserted {already_there:,} rows; the rows after them are sent")
