"""CSV: the header names the fields, and since every value is text, the schema says how it is read."""

from __future__ import annotations

import csv
import re
import reprlib
from collections.abc import Callable, Iterator
from typing import Any

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.rows.json_text import read_json
from airflow_provider_milvus.rows.pieces import Pieces, Unread
from airflow_provider_milvus.schema.model import Schema
from airflow_provider_milvus.schema.types import FLOATS, INTEGERS, VECTORS

LONGEST_CELL = 4 << 20
"""Characters. The csv module's own limit, 128 Ki, is less than a vector of 32,768 dimensions takes."""

_WHOLE = re.compile(r"\s*([+-]?[0-9]+)(?:\.0*)?\s*")
_BOOLEANS = {"true": True, "false": False, "t": True, "f": False, "1": True, "0": False}


def csv_rows(lines: Iterator[bytes], name: str, schema: Schema) -> Pieces:
    """The rows of one file; a line that cannot be read is ``Unread``, with its number in the file.

    Text fields, and columns that the schema does not know, stay text. An empty value of any other type is missing.

    :raises MilvusInvalidArgumentError: the header lacks a name, or has one twice.
    """
    # For the whole process, but nobody can miss a refusal of long values.
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_CELL))
    texts = _Texts(lines)
    reader = csv.reader(texts, strict=True)
    header: list[str] | None = None
    readers: list[Callable[[str], Any] | None] = []
    while True:
        texts.begin()
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield Unread(f"{texts.where(name)} is no CSV: {error}", texts.seen)
            continue
        if cells is None:
            return
        if not cells:
            continue  # A blank line.
        if header is None:
            header = _header(cells, name)
            types = {each.name: each.type for each in schema.fields}
            readers = [_READERS.get(types.get(each, "")) for each in header]
        elif problem := _problem(cells, header):
            yield Unread(f"{texts.where(name)} {problem}", texts.seen)
        else:
            yield _row(cells, header, readers, texts, name)


class _Texts:
    """Lines as text, and which of them made the current row. What is not UTF-8 becomes half characters, for `_problem`."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines
        self._first = 1
        self._seen: list[str] = []

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            text = line.decode("utf-8", "surrogateescape")
            self._seen.append(text)
            yield text

    def begin(self) -> None:
        self._first += len(self._seen)
        self._seen = []

    @property
    def seen(self) -> str:
        return "".join(self._seen).rstrip("\r\n")

    def where(self, name: str) -> str:
        last = self._first + len(self._seen) - 1
        return f"line {self._first} of {name}" if last <= self._first else f"lines {self._first} to {last} of {name}"


def _header(cells: list[str], name: str) -> list[str]:
    if "" in cells:
        raise MilvusInvalidArgumentError(f"rows: column {cells.index('') + 1} of {name} has no name in the header.")
    if twice := sorted({each for each in cells if cells.count(each) > 1}):
        raise MilvusInvalidArgumentError(f"rows: the header of {name} has {', '.join(map(repr, twice))} twice.")
    return cells


def _problem(cells: list[str], header: list[str]) -> str | None:
    if len(cells) != len(header):
        return f"has {len(cells)} values; the header has {len(header)} names"
    for cell in cells:
        if not cell.isascii():
            try:
                cell.encode()
            except UnicodeEncodeError:
                return "is not UTF-8"
    return None


def _row(
    cells: list[str], header: list[str], readers: list[Callable[[str], Any] | None], texts: _Texts, name: str
) -> dict[str, Any] | Unread:
    row: dict[str, Any] = {}
    for field, cell, read in zip(header, cells, readers, strict=True):
        if read is None:
            row[field] = cell
        elif cell:
            try:
                row[field] = read(cell)
            except ValueError as error:
                reason = f"{texts.where(name)}: {reprlib.repr(cell)} {error}"
                return Unread(reason, dict(zip(header, cells, strict=True)), field)
    return row


def _whole(text: str) -> int | float:
    """What has a fraction stays a float, for the check to refuse with its reason."""
    if found := _WHOLE.fullmatch(text):
        return int(found[1])
    return _number(text, "an integer")


def _number(text: str, wanted: str = "a number") -> float:
    try:
        if "_" not in text:
            return float(text)
    except ValueError:
        pass
    raise ValueError(f"is not {wanted}")


def _boolean(text: str) -> bool:
    found = _BOOLEANS.get(text.strip().lower())
    if found is None:
        raise ValueError("is not true or false")
    return found


def _json(text: str) -> Any:
    try:
        return read_json(text)
    except ValueError:
        raise ValueError("is not JSON") from None


_READERS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(INTEGERS, _whole),
    **dict.fromkeys(FLOATS, _number),
    "BOOL": _boolean,
    **dict.fromkeys(("ARRAY", *VECTORS), _json),
    "JSON": str,  # In a JSON field, text is JSON already.
}
