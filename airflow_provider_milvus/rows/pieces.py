"""What readers yield, and how it becomes numbered chunks: single rows, whole columns, and rows that cannot be read."""

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
    """Consecutive rows of a table, at most as many as a chunk takes. ``rows`` is their number."""

    rows: int
    columns: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class UnreadableRow:
    """A row that cannot be read. It gets its row number where rows are counted."""

    reason: str
    row: Mapping[str, Any] | str
    field: str | None = None


Pieces = Generator[Any, None, None]
"""``Columns``, ``UnreadableRow`` or single rows. Anything that is neither of these nor a dict is a bad row."""


def chunks(pieces: Pieces, batch_rows: int) -> Iterator[Chunk]:
    """Number the rows and collect single rows in chunks. An error of the source gets a note with the last row number."""
    number = 0
    collected = _CollectedRows()
    try:
        with closing(pieces):
            for piece in pieces:
                if isinstance(piece, Columns):
                    if collected:
                        yield collected.chunk()
                        collected = _CollectedRows()
                    yield Chunk(range(number + 1, number + 1 + piece.rows), piece.columns)
                    number += piece.rows
                    continue
                number += 1
                collected.add(number, piece)
                if len(collected) >= batch_rows:
                    yield collected.chunk()
                    collected = _CollectedRows()
    except Exception as error:
        if number:
            error.add_note(f"The rows had been read up to row {number}.")
        raise
    if collected:
        yield collected.chunk()


class _CollectedRows:
    """Single rows that become a chunk."""

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []
        self._row_numbers: list[int] = []
        self._bad: list[BadRow] = []

    def __len__(self) -> int:
        return len(self._rows) + len(self._bad)

    def add(self, number: int, row: Any) -> None:
        if isinstance(row, Mapping):
            # A copy: a generator may fill the same dict again and again.
            self._rows.append(dict(row))
            self._row_numbers.append(number)
        elif isinstance(row, UnreadableRow):
            self._bad.append(BadRow(number, row.reason, row.row, row.field))
        else:
            reason = f"is of type {type(row).__name__}, not a dict"
            self._bad.append(BadRow(number, reason, row if isinstance(row, str) else reprlib.repr(row)))

    def chunk(self) -> Chunk:
        rows, numbers = self._rows, self._row_numbers
        names = dict.fromkeys(chain.from_iterable(rows))
        columns = {name: [row.get(name, MISSING) for row in rows] for name in names}
        unbroken = bool(numbers) and numbers[-1] - numbers[0] == len(numbers) - 1
        return Chunk(range(numbers[0], numbers[-1] + 1) if unbroken else numbers, columns, tuple(self._bad))
