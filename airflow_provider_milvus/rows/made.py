"""Columns that are made of other columns of the same row, such as a key: ``uuid5(source, chunk)``.

The same values make the same text or number, in every run and on every machine. docs/documents.md tells how, so that other
programs can make it, too.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import compress
from typing import Any

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.rows.chunk import MISSING, BadRow, Chunk
from airflow_provider_milvus.rows.column import may_be_rounded

FUNCTIONS: dict[str, Callable[[str], Any]] = {
    "uuid5": lambda text: str(uuid.uuid5(uuid.NAMESPACE_URL, text)),
    "sha256": lambda text: hashlib.sha256(text.encode()).hexdigest(),
    "int64": lambda text: int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1,
}
"""What is made of the values of some columns, which are given as the text of a JSON list."""
_CALL = re.compile(r"\s*(\w+)\s*\(([^()]*)\)\s*")


@dataclass(frozen=True, slots=True)
class Made:
    """A function of some columns of a row. ``takes_none``: a value may be None, but no column may be missing."""

    function: str
    columns: tuple[str, ...]
    takes_none: bool = False

    @staticmethod
    def of(argument: str, text: Any, *, takes_none: bool = False) -> Made:
        """What a text such as ``"uuid5(source, chunk)"`` says.

        :raises MilvusInvalidArgumentError: it says something else.
        """
        call = _CALL.fullmatch(text) if isinstance(text, str) else None
        columns = tuple(name.strip() for name in call[2].split(",")) if call else ()
        if call is None or call[1] not in FUNCTIONS or not all(columns) or len(set(columns)) < len(columns):
            raise MilvusInvalidArgumentError(
                f"{argument} must be one of {', '.join(FUNCTIONS)} of one or more columns, such as 'uuid5(source, chunk)', not "
                f"{text!r}."
            )
        return Made(call[1], columns, takes_none)

    def value(self, values: Sequence[Any]) -> Any:
        """What is made of the values of a row.

        :raises ValueError: nothing can be made of one of them.
        """
        for name, value in zip(self.columns, values, strict=True):
            if value is MISSING:
                raise ValueError(f"is made of {name!r}, which is missing")
            if value is None and not self.takes_none:
                raise ValueError(f"is made of {name!r}, which is None")
            if may_be_rounded(value) and not self.takes_none:
                raise ValueError(f"is made of {name!r}, of which {value!r} is a float that may have been rounded")
        try:
            text = json.dumps(
                [plain(value) for value in values],
                ensure_ascii=False,
                allow_nan=False,
                separators=(",", ":"),
                sort_keys=True,
                default=_dated,
            )
            return FUNCTIONS[self.function](text)
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"cannot be made of {', '.join(self.columns)}: {error}") from None


def with_made(chunks: Iterable[Chunk], made: Mapping[str, Made]) -> Iterator[Chunk]:
    """The chunks with these columns. A row of which one cannot be made, or that brings one itself, is a bad row."""
    return (_with_made(chunk, made) for chunk in chunks) if made else iter(chunks)


def plain(value: Any) -> Any:
    """A value as Python's own, and a whole float as an integer: tables make floats of integers."""
    if hasattr(value, "item") and hasattr(value, "dtype") and not getattr(value, "shape", ()):
        value = value.item()
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _dated(value: Any) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"a value is of type {type(value).__name__}")


def _with_made(chunk: Chunk, made: Mapping[str, Made]) -> Chunk:
    missing = [MISSING] * len(chunk)
    bad: dict[int, BadRow] = {}
    columns = dict(chunk.columns)
    for name, function in made.items():
        own = chunk.columns.get(name, missing)
        rows = zip(*(chunk.columns.get(column, missing) for column in function.columns), strict=True)
        values: list[Any] = []
        for position, row in enumerate(rows):
            value, reason = None, ""
            if own[position] is not MISSING:
                reason = "is made of other columns, and the row brings it as well"
            else:
                try:
                    value = function.value(row)
                except ValueError as error:
                    reason = str(error)
            values.append(value)
            if reason:
                bad.setdefault(position, BadRow(chunk.row_numbers[position], reason, chunk.row(position), name))
        columns[name] = values
    if not bad:
        return replace(chunk, columns=columns)
    keep = [position not in bad for position in range(len(chunk))]
    return Chunk(
        list(compress(chunk.row_numbers, keep)),
        {name: _kept(column, keep) for name, column in columns.items()},
        chunk.bad + tuple(bad.values()),
    )


def _kept(column: Any, keep: list[bool]) -> Any:
    return column[keep] if hasattr(column, "dtype") else list(compress(column, keep))
