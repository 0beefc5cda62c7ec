"""What moves between the steps of an ingest: some consecutive rows, column by column, and the rows that were refused."""

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
    """A row that cannot be written. ``number`` counts the source's rows from 1; ``row`` is as the source had it."""

    number: int
    reason: str
    row: Mapping[str, Any] | str
    field: str | None = None

    def __str__(self) -> str:
        return f"row {self.number}" + (f", field {self.field!r}" if self.field else "") + f": {self.reason}"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of a source. ``columns`` maps each name that occurs in them to one value for each row.

    ``numbers`` are the rows' numbers in the source, from 1. ``bad`` are rows among them that could not even be read. A
    column is a list, with ``MISSING`` where a row does not have it, or, where the source is columnar, a NumPy array of one
    (scalars) or two dimensions (dense vectors). Nobody changes a column: it may be the caller's own.
    """

    numbers: Sequence[int]
    columns: Mapping[str, Any]
    bad: tuple[BadRow, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.numbers)

    def row(self, at: int) -> dict[str, Any]:
        """One row as a dict, for whoever has to be shown it."""
        found = {name: values[at] for name, values in self.columns.items()}
        return {name: value for name, value in found.items() if value is not MISSING}


@dataclass(frozen=True, slots=True)
class Batch:
    """Checked rows in the protocol's form, small enough for one call.

    ``fields_data`` are ``schema_pb2.FieldData`` messages. ``keys`` are the rows' primary keys, ``None`` where the server makes
    them. ``numbers`` are the rows' numbers in the source.
    """

    numbers: Sequence[int]
    keys: Sequence[int] | Sequence[str] | None
    fields_data: Sequence[Any]
    size: int

    def __len__(self) -> int:
        return len(self.numbers)
