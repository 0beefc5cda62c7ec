"""Rows are checked against the schema: good rows go on, and each bad row is named with its row number, field and reason.

For one bad row the server would refuse a whole batch without naming the row, or accept what it cannot serve later, such as a
NaN in a vector. So a chunk is checked before any of its rows is sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import compress
from typing import Any

import numpy

from airflow_provider_milvus.exceptions import MilvusUnsupportedError
from airflow_provider_milvus.rows.chunk import MISSING, BadRow, Chunk
from airflow_provider_milvus.rows.column import BadValue, Column, Reasons, convert_each, listed, shorten
from airflow_provider_milvus.rows.json_text import read_json
from airflow_provider_milvus.rows.scalars import dynamic_column, scalar_column
from airflow_provider_milvus.rows.structs import struct_column
from airflow_provider_milvus.rows.vectors import dense_column, sparse_column
from airflow_provider_milvus.schema.model import Field, Schema
from airflow_provider_milvus.schema.types import DATA_TYPES, DENSE_VECTORS, ELEMENTS

DYNAMIC_FIELD = "$meta"
"""Milvus's own name of the field in which it keeps dynamic values."""

_NO_VALUE = frozenset({type(None), type(MISSING)})


Problems = dict[int, tuple[str | None, str]]
"""The field and the reason for which a row is bad, by the row's position in the chunk. The first problem of a row counts."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The good rows of a chunk, column by column, and its bad rows.

    ``columns`` are in the schema's order, the dynamic values last. ``replaced`` are the row numbers that an upsert leaves out
    because a later row of the same chunk has their key and would overwrite them.
    """

    row_numbers: Sequence[int]
    columns: Mapping[str, Column]
    bad: tuple[BadRow, ...] = ()
    replaced: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.row_numbers)

    def without_first(self, count: int) -> Checked:
        """The same without the first ``count`` good rows."""
        if not count:
            return self
        columns = {name: column.part(count, len(self)) for name, column in self.columns.items()}
        return replace(self, row_numbers=self.row_numbers[count:], columns=columns)

    def where(self, keep: Any) -> Checked:
        """Only the good rows for which ``keep``, an array of booleans, is true."""
        columns = {name: column.where(keep) for name, column in self.columns.items()}
        return replace(self, row_numbers=list(compress(self.row_numbers, keep.tolist())), columns=columns)


def fields_to_write(schema: Schema) -> tuple[Field, ...]:
    """The fields that rows bring: all but those that the server fills itself.

    :raises MilvusUnsupportedError: the type of a field is one that this provider does not write.
    """
    fields = tuple(field for field in schema.fields if field.name not in schema.computed and not field.auto_id)
    if unsupported := [field for field in fields if field.type not in DATA_TYPES]:
        raise MilvusUnsupportedError(
            f"Field {unsupported[0].name!r} is of Milvus's data type {unsupported[0].type}, which this provider does not write."
        )
    return fields


def check(
    chunk: Chunk, schema: Schema, *, upsert: bool = False, same_keys: bool = False, max_bytes: int | None = None
) -> Checked:
    """Check all rows of ``chunk``. Nothing is sent, and the chunk is not changed.

    :param upsert: Of rows with the same key the last one counts. In an insert each later row with the same key is bad, since
        Milvus would keep both.
    :param same_keys: Leave rows with the same key to the caller.
    :param max_bytes: A row that takes more on the wire is bad. Give :func:`~rows.batches.batches` the same limit.
    :raises MilvusUnsupportedError: the type of a field is one that this provider does not write, such as an array of structs.
    """
    fields = fields_to_write(schema)
    problems: Problems = {}
    dynamic_names = _find_dynamic_names(chunk, schema, {field.name for field in fields}, problems)
    columns = {field.name: _column(chunk, field, problems) for field in fields}
    if schema.enable_dynamic_field:
        columns[DYNAMIC_FIELD] = _dynamic_column(chunk, dynamic_names, {field.name for field in schema.fields}, problems)
    if max_bytes is not None:
        _find_large_rows(chunk, columns, max_bytes, problems)
    keys = None if same_keys else columns.get(schema.primary.name)
    replaced = _find_same_keys(chunk, keys, schema.primary.name, upsert, problems)
    bad = tuple(
        BadRow(chunk.row_numbers[position], reason, chunk.row(position), name)
        for position, (name, reason) in sorted(problems.items())
    )
    if not problems and not replaced:
        return Checked(chunk.row_numbers, columns, chunk.bad)
    keep = numpy.ones(len(chunk), dtype=bool)
    keep[[*problems, *replaced]] = False
    left_out = tuple(chunk.row_numbers[position] for position in replaced)
    return Checked(chunk.row_numbers, columns, chunk.bad + bad, left_out).where(keep)


def overhead(columns: Mapping[str, Column]) -> int:
    """The bytes that a call takes besides its rows, at most: the name, type, tags and lengths of each field."""
    return sum(len(name.encode()) + 64 for name in columns)


def row_sizes(columns: Mapping[str, Column], rows: int) -> Any:
    """The bytes that each row takes on the wire, at most."""
    return sum((column.row_sizes(rows) for column in columns.values()), start=numpy.zeros(rows, dtype=numpy.int64))


def _find_dynamic_names(chunk: Chunk, schema: Schema, fields: set[str], problems: Problems) -> list[str]:
    """The names of dynamic values. A row with any other name that is not a field is bad."""
    names = []
    for name, values in chunk.columns.items():
        if name in fields:
            continue
        if reason := _why_not_dynamic(name, schema):
            for position, value in enumerate(values):
                if value is not MISSING:
                    problems.setdefault(position, (str(name), reason))
        else:
            names.append(name)
    return names


def _why_not_dynamic(name: Any, schema: Schema) -> str:
    if not isinstance(name, str):
        return f"the key {name!r} of the row is not a text"
    if name in schema.computed:
        return "the server computes this field; leave it out"
    if name == schema.primary.name:
        return "the server generates this key (auto_id); leave it out"
    if not schema.enable_dynamic_field:
        return "the collection has no such field, and no dynamic field that would take it"
    return ""


def _column(chunk: Chunk, field: Field, problems: Problems) -> Column:
    values = chunk.columns.get(field.name)
    if values is None:
        values = [MISSING] * len(chunk)
    if isinstance(values, numpy.ndarray) and (values.dtype.kind == "O" or (values.ndim > 1 and not field.is_vector)):
        values = list(values)
    if field.nullable and field.type in ("JSON", "SPARSE_FLOAT_VECTOR"):
        # As JSON text, which is how tables hold these, a null is one as well.
        values = [None if isinstance(value, str) and value.strip() == "null" else value for value in values]
    has_value = _have_values(values)
    if has_value is not None and field.default_value is not None and field.type in ELEMENTS:
        # 2.3.5 fills in defaults only where no row of the call has a value, and fails when the field is left out.
        values = [value if has else field.default_value for value, has in zip(values, has_value, strict=True)]
        has_value = None
    column, reasons = _converted(values if has_value is None else list(compress(values, has_value)), field)
    valid = numpy.ones(len(chunk), dtype=bool) if has_value is None else numpy.array(has_value, dtype=bool)
    positions = numpy.flatnonzero(valid)
    for position, reason in reasons.items():
        problems.setdefault(int(positions[position]), (field.name, reason))
    if not field.may_be_missing:
        if has_value is None:
            return column
        _find_nulls(values, field, problems)
    # In a field that takes no null, until the rows without a value are left out.
    return replace(column, valid=valid)


def _have_values(values: Any) -> list[bool] | None:
    """Whether each row has a value; ``None`` if all rows have one."""
    if not isinstance(values, list | tuple) or not _NO_VALUE & set(map(type, values)):
        return None
    return [value is not None and value is not MISSING for value in values]


def _find_nulls(values: Any, field: Field, problems: Problems) -> None:
    """Rows without a value are bad, since the field takes no null."""
    for position, value in enumerate(values):
        if value is MISSING:
            problems.setdefault(position, (field.name, "is missing"))
        elif value is None:
            problems.setdefault(position, (field.name, "is None, and the field is not nullable"))


def _converted(values: Any, field: Field) -> tuple[Column, Reasons]:
    if field.type in DENSE_VECTORS:
        return dense_column(values, field)
    if field.struct_fields:
        return struct_column(values, field)
    return sparse_column(values, field) if field.type == "SPARSE_FLOAT_VECTOR" else scalar_column(values, field)


def _dynamic_column(chunk: Chunk, names: list[str], fields: set[str], problems: Problems) -> Column:
    if not names:
        values: list[dict[str, Any]] = [{}] * len(chunk)
    else:
        rows = zip(*(chunk.columns[name] for name in names), strict=True)
        values = [{name: value for name, value in zip(names, row, strict=True) if value is not MISSING} for row in rows]
    if DYNAMIC_FIELD in names:
        values, reasons = convert_each(values, partial(_with_own_field, fields=fields), {})
        for position, reason in reasons.items():
            problems.setdefault(position, (DYNAMIC_FIELD, reason))
    column, reasons = dynamic_column(values)
    for position, reason in reasons.items():
        problems.setdefault(position, (_bad_key(values[position]), reason))
    return column


def _with_own_field(values: dict[str, Any], fields: set[str]) -> dict[str, Any]:
    """The dynamic values, together with those that the row has in Milvus's own field: a dict, or a JSON text, as in files for a
    bulk import."""
    own = values.get(DYNAMIC_FIELD)
    if own is None:
        return {name: value for name, value in values.items() if name != DYNAMIC_FIELD}
    try:
        own = read_json(own) if isinstance(own, str) else own
    except ValueError:
        raise BadValue(f"{shorten(own)} is not JSON") from None
    if not isinstance(own, Mapping):
        raise BadValue(f"{shorten(own)} is no dict of dynamic values")
    for name in own:
        if name in fields or name in values:
            raise BadValue(f"has {name!r}, which the row or the collection has under this name as well")
    return {name: value for name, value in values.items() if name != DYNAMIC_FIELD} | dict(own)


def _bad_key(values: dict[str, Any]) -> str | None:
    """The dynamic key whose value is bad; ``None`` if each value is good and only all of them together are bad."""
    return next((name for name, value in values.items() if dynamic_column([{name: value}])[1]), None)


def _find_large_rows(chunk: Chunk, columns: Mapping[str, Column], max_bytes: int, problems: Problems) -> None:
    sizes = row_sizes(columns, len(chunk)) + overhead(columns)
    if len(sizes) and sizes.max() > max_bytes:
        for position in (sizes > max_bytes).nonzero()[0].tolist():
            problems.setdefault(position, (None, f"takes {sizes[position]} bytes; one call takes {max_bytes}"))


def _find_same_keys(chunk: Chunk, keys: Column | None, name: str, upsert: bool, problems: Problems) -> list[int]:
    """The positions of rows that an upsert leaves out, since a later row has their key. In an insert the later row is bad."""
    if keys is None:
        return []
    values = listed(keys.values)
    if len(set(values)) == len(values):
        return []
    positions = range(len(chunk)) if keys.valid is None else keys.valid.nonzero()[0].tolist()
    last: dict[Any, int] = {}
    replaced = []
    for position, key in zip(positions, values, strict=True):
        if position in problems:
            continue
        if key not in last:
            last[key] = position
        elif upsert:
            replaced.append(last[key])
            last[key] = position
        else:
            problems[position] = (name, f"row {chunk.row_numbers[last[key]]} has the same key {key!r}")
    return replaced
