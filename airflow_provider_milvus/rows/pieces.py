"""What readers yield, and how it becomes numbered chunks: rows one by one, whole columns, and rows that could not be read."""

from __future__ import annotations

import reprlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import Any

from airflow_provider_milvus.rows.chunk import MISSING, BadRow, Chunk


@dataclass(frozen=True, slots=True)
class Columns:
    """Some rows of a table, at most as many as a chunk takes."""

    rows: int
    columns: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Unread:
    """A row that could not be read. It gets its number where rows are counted."""

    reason: str
    row: Mapping[str, Any] | str
    field: str | None = None


Pieces = Generator[Any, None, None]
"""``Columns``, ``Unread``, or single rows; what is none of them is a row that is no dict."""


def chunks(pieces: Pieces, batch_rows: int) -> Iterator[Chunk]:
    """Number the rows and put single ones together. An error of the source says how far it had come."""
    number = 0
    collected = _Collected()
    try:
        with closing(pieces):
            for piece in pieces:
                if isinstance(piece, Columns):
                    if collected:
                        yield collected.chunk()
                        collected = _Collected()
                    yield Chunk(range(number + 1, number + 1 + piece.rows), piece.columns)
                    number += piece.rows
                    continue
                number += 1
                collected.add(number, piece)
                if len(collected) >= batch_rows:
                    yield collected.chunk()
                    collected = _Collected()
    except Exception as error:
        if number:
            error.add_note(f"The rows had been read up to row {number}.")
        raise
    if collected:
        yield collected.chunk()


class _Collected:
    """Single rows that wait to be a chunk."""

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []
        self._numbers: list[int] = []
        self._bad: list[BadRow] = []

    def __len__(self) -> int:
        return len(self._rows) + len(self._bad)

    def add(self, number: int, row: Any) -> None:
        if isinstance(row, Mapping):
            # A copy: a generator may fill the same dict again and again.
            self._rows.append(dict(row))
            self._numbers.append(number)
        elif isinstance(row, Unread):
            self._bad.append(BadRow(number, row.reason, row.row, row.field))
        else:
            reason = f"is of type {type(row).__name__}, not a dict"
            self._bad.append(BadRow(number, reason, row if isinstance(row, str) else reprlib.repr(row)))

    def chunk(self) -> Chunk:
        rows, numbers = self._rows, self._numbers
        names = dict.fromkeys(chain.from_iterable(rows))
        columns = {name: [row.get(name, MISSING) for row in rows] for name in names}
        unbroken = bool(numbers) and numbers[-1] - numbers[0] == len(numbers) - 1
        return Chunk(range(numbers[0], numbers[-1] + 1) if unbroken else numbers, columns, tuple(self._bad))
