"""What readers yield, and how it becomes numbered chunks: single rows, whole columns, and rows that cannot be read."""

from __future__ import annotations

import reprlib
from collections.abc import Collection, Generator, Iterator, Mapping
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
    collected: dict[int, dict[str, Any] | BadRow] = {}
    try:
        with closing(pieces):
            for piece in pieces:
                if isinstance(piece, Columns):
                    if collected:
                        yield _chunk(collected)
                        collected = {}
                    yield Chunk(range(number + 1, number + 1 + piece.rows), piece.columns)
                    number += piece.rows
                    continue
                number += 1
                # A copy: a generator may fill the same dict again and again.
                collected[number] = dict(piece) if isinstance(piece, (dict, Mapping)) else _bad_row(number, piece)
                if len(collected) >= batch_rows:
                    yield _chunk(collected)
                    collected = {}
    except Exception as error:
        if number:
            error.add_note(f"The rows had been read up to row {number}.")
        raise
    if collected:
        yield _chunk(collected)


def columns_of(rows: Collection[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The values of rows, by name; ``MISSING`` is that of a row which lacks it."""
    names = dict.fromkeys(chain.from_iterable(rows))
    return {name: [row.get(name, MISSING) for row in rows] for name in names}


def _bad_row(number: int, row: Any) -> BadRow:
    if isinstance(row, UnreadableRow):
        return BadRow(number, row.reason, row.row, row.field)
    reason = f"is of type {type(row).__name__}, not a dict"
    return BadRow(number, reason, row if isinstance(row, str) else reprlib.repr(row))


def _chunk(collected: Mapping[int, dict[str, Any] | BadRow]) -> Chunk:
    """A chunk of single rows, by their row numbers."""
    bad = tuple(row for row in collected.values() if isinstance(row, BadRow))
    rows = {number: row for number, row in collected.items() if not isinstance(row, BadRow)}
    columns = columns_of(rows.values())
    numbers = list(rows)
    unbroken = bool(numbers) and numbers[-1] - numbers[0] == len(numbers) - 1
    return Chunk(range(numbers[0], numbers[-1] + 1) if unbroken else numbers, columns, bad)
