"""CSV: the header names the fields, and the schema says how each text is read, since every value is text."""

from __future__ import annotations

import csv
import re
import reprlib
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.rows.json_text import read_json, read_vector
from airflow_provider_milvus.rows.pieces import Pieces, UnreadableRow
from airflow_provider_milvus.rows.renaming import Renaming
from airflow_provider_milvus.schema.model import Schema
from airflow_provider_milvus.schema.types import FLOAT_VECTORS, FLOATS, INTEGERS, VECTORS

LONGEST_CELL = 4 << 20
"""Characters. The csv module's own limit, 128 Ki, is less than a vector of 32,768 dimensions takes."""

_WHOLE_NUMBER = re.compile(r"\s*([+-]?[0-9]+)(?:\.0*)?\s*")
_BOOLEANS = {"true": True, "false": False, "t": True, "f": False, "1": True, "0": False}


def csv_rows(lines: Iterator[bytes], name: str, schema: Schema, renaming: Renaming) -> Pieces:
    """The rows of one file. A line that cannot be read is an ``UnreadableRow``, whose reason has the line's number in the file.

    Text fields, and columns that the schema does not know, stay text. An empty value of any other type is missing.

    :raises MilvusInvalidArgumentError: the header lacks a field that each row needs, or has a column without a name, or a name
        twice. Of a file with another separator, or without a header, the first line shows it.
    """
    # This holds for the whole process; other code can only miss the error for long values.
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_CELL))
    texts = _Lines(lines)
    remaining = iter(texts)
    header: list[str] | None = None
    columns: list[_Column] = []
    while True:
        texts.begin_row()
        line = next(remaining, None)
        if line is None:
            return
        try:
            cells = _split(line) or next(csv.reader(chain((line,), remaining), strict=True))
        except csv.Error as error:
            yield UnreadableRow(f"{texts.where(name)} is not CSV: {error}", texts.row)
            continue
        if not cells:
            continue  # A blank line.
        if header is None:
            header = _check_header(cells, name, schema if renaming.columns is None else None)
            types = {field.name: field.type for field in schema.fields}
            columns = [
                (field, header.index(column), _READERS.get(types.get(field, "")))
                for field, column in renaming.of_header(header, f"the header of {name}").items()
            ]
        elif len(cells) != len(header):
            problem = f"has {len(cells)} values; the header has {len(header)} names"
            yield UnreadableRow(f"{texts.where(name)} {problem}", texts.row)
        elif texts.is_undecoded:
            yield UnreadableRow(f"{texts.where(name)} is not UTF-8", texts.row)
        else:
            yield _row(cells, header, columns, texts, name)


class _Lines:
    """Lines as text, and which of them made the current row. Bytes that are not UTF-8 become lone surrogates."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines
        self._first = 1
        self._of_row: list[str] = []
        self.is_undecoded = False
        """Whether the current row has bytes that are not UTF-8."""

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            try:
                text = line.decode()
            except UnicodeDecodeError:
                text, self.is_undecoded = line.decode("utf-8", "surrogateescape"), True
            self._of_row.append(text)
            yield text

    def begin_row(self) -> None:
        self._first += len(self._of_row)
        self._of_row, self.is_undecoded = [], False

    @property
    def row(self) -> str:
        return "".join(self._of_row).rstrip("\r\n")

    def where(self, name: str) -> str:
        last = self._first + len(self._of_row) - 1
        return f"line {self._first} of {name}" if last <= self._first else f"lines {self._first} to {last} of {name}"


def _split(line: str) -> list[str] | None:
    """The cells of a line; ``None`` where only the csv module knows them, which looks at every letter and takes much longer."""
    text = line.rstrip("\r\n")
    if not text or "\r" in text or "\0" in text or len(text) > LONGEST_CELL:
        return None
    plain, *others = text.split('"')
    if len(others) % 2 or "" in others[1:-1:2]:
        return None  # It goes on in the next line, or has two quotes for one.
    cells = plain.split(",")
    for quoted, plain in zip(others[::2], others[1::2], strict=True):
        if cells[-1] or plain[:1] not in ("", ","):
            return None  # A quote within a cell, or letters beside one.
        cells[-1:] = [quoted, *plain.split(",")[1:]]
    return cells


def _check_header(cells: list[str], name: str, schema: Schema | None) -> list[str]:
    """The names of the columns; with a ``schema`` they are those of its fields."""
    if schema is not None and (lacking := sorted(schema.needed - set(cells))):
        raise MilvusInvalidArgumentError(
            f"rows: the header of {name} has no {', '.join(map(repr, lacking))}, which each row needs; it reads "
            f"{reprlib.repr(','.join(cells))}. The first line has to name the fields, in the collection's letters, with commas."
        )
    if "" in cells:
        raise MilvusInvalidArgumentError(f"rows: column {cells.index('') + 1} of {name} has no name in the header.")
    if repeated := sorted({cell for cell in cells if cells.count(cell) > 1}):
        raise MilvusInvalidArgumentError(f"rows: the header of {name} has {', '.join(map(repr, repeated))} twice.")
    return cells


_Column = tuple[str, int, Callable[[str], Any] | None]
"""A field, the position of its cell, and what reads its text."""


def _row(
    cells: list[str], header: list[str], columns: list[_Column], texts: _Lines, name: str
) -> dict[str, Any] | UnreadableRow:
    row: dict[str, Any] = {}
    for field, at, read in columns:
        cell = cells[at]
        if read is None:
            row[field] = cell
        elif cell:
            try:
                row[field] = read(cell)
            except ValueError as error:
                reason = f"{texts.where(name)}: {reprlib.repr(cell)} {error}"
                return UnreadableRow(reason, dict(zip(header, cells, strict=True)), field)
    return row


def _read_integer(text: str) -> int | float:
    """A number with a fraction stays a float: the check of the rows names it with its reason."""
    if text.isdigit() and text.isascii():
        return int(text)
    if match := _WHOLE_NUMBER.fullmatch(text):
        return int(match[1])
    return _read_number(text, "an integer")


def _read_number(text: str, expected: str = "a number") -> float:
    try:
        if "_" not in text:
            return float(text)
    except ValueError:
        pass
    raise ValueError(f"is not {expected}")


def _read_boolean(text: str) -> bool:
    value = _BOOLEANS.get(text.strip().lower())
    if value is None:
        raise ValueError("is not true or false")
    return value


def _json_reader(read: Callable[[str], Any]) -> Callable[[str], Any]:
    def read_cell(text: str) -> Any:
        try:
            return read(text)
        except ValueError:
            raise ValueError("is not JSON") from None

    return read_cell


_READERS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(INTEGERS, _read_integer),
    **dict.fromkeys(FLOATS, _read_number),
    "BOOL": _read_boolean,
    **dict.fromkeys(("ARRAY", *VECTORS), _json_reader(read_json)),
    **dict.fromkeys(FLOAT_VECTORS, _json_reader(read_vector)),
    "JSON": str,  # In a JSON field, text is JSON already.
}
