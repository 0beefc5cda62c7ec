"""What moves between the steps of an ingest: consecutive rows, column by column, and the bad rows among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


class _Missing:
    """Stands in a column where a row has no such key; ``None`` is a value."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING = _Missing()


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be written. ``number`` is its row number in the source, from 1; ``row`` is as the source had it."""

    number: int
    reason: str
    row: Mapping[str, Any] | str
    field: str | None = None

    def __str__(self) -> str:
        return f"row {self.number}" + (f", field {self.field!r}" if self.field else "") + f": {self.reason}"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows of a source. ``columns`` maps each name that occurs in them to a column, with one value for each row.

    ``row_numbers`` count from 1 over the whole source. ``bad`` are the rows among them that could not be read. A column is a
    list, with ``MISSING`` where a row has no such key. Where the source is a table, a column may also be a NumPy array with one
    dimension (scalars) or two (dense vectors). A column may belong to the caller, so nobody changes it.
    """

    row_numbers: Sequence[int]
    columns: Mapping[str, Any]
    bad: tuple[BadRow, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.row_numbers)

    def row(self, position: int) -> dict[str, Any]:
        """One row as a dict."""
        values = {name: column[position] for name, column in self.columns.items()}
        return {name: value for name, value in values.items() if value is not MISSING}


@dataclass(frozen=True, slots=True)
class Batch:
    """Checked and encoded rows, small enough for one call.

    ``fields_data`` are ``schema_pb2.FieldData`` messages. ``keys`` are the rows' primary keys, ``None`` where the server
    generates them. ``row_numbers`` count from 1 over the whole source. ``size`` is in bytes.
    """

    row_numbers: Sequence[int]
    keys: Sequence[int] | Sequence[str] | None
    fields_data: Sequence[Any]
    size: int

    def __len__(self) -> int:
        return len(self.row_numbers)
