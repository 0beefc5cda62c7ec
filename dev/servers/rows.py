"""Rows as the stand-in keeps and answers them: plain values by field, read from the messages of a write.

Types that no scenario has, such as vectors of 16 bits, are left out: a field without a value is answered as nothing at all.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy

Row = dict[str, Any]
_ARRAYS = {1: "bool_data", 2: "int_data", 3: "int_data", 4: "int_data", 5: "long_data", 10: "float_data", 11: "double_data"}
_ARRAYS |= {21: "string_data", 23: "json_data"}
"""The array of a type's values, by the type's number."""
_FLOAT_VECTOR = 101
_WORDS = {"true": True, "false": False, "null": None}


def rows_of(request: Any) -> list[Row]:
    """The rows of a write, without the fields that are not kept."""
    columns = {field.field_name: _values(field) for field in request.fields_data if _values(field) is not None}
    return [{name: values[at] for name, values in columns.items() if at < len(values)} for at in range(request.num_rows)]


def _values(field: Any) -> list[Any] | None:
    if field.type == _FLOAT_VECTOR:
        numbers, dim = list(field.vectors.float_vector.data), field.vectors.dim
        return [numbers[at : at + dim] for at in range(0, len(numbers), dim)]
    return list(getattr(field.scalars, _ARRAYS[field.type]).data) if field.type in _ARRAYS else None


def row_of(key: Any, schema: Any) -> Row:
    """The row of a key under which nothing was written."""
    number = float(key) if isinstance(key, int) else 0.0
    row: Row = {}
    for field in schema.fields:
        if field.is_primary_key:
            row[field.name] = key
        elif field.data_type == _FLOAT_VECTOR:
            dim = next(int(item.value) for item in field.type_params if item.key == "dim")
            row[field.name] = [number] * dim
    return row


def matches(expression: str, row: Mapping[str, Any]) -> bool:
    """Whether a row matches an expression, of which those that are sent here are Python's as well."""
    beside = json.loads(row.get("$meta", b"{}"))
    # It comes from the tests of this repository.
    return not expression or bool(eval(expression, {"__builtins__": {}, **_WORDS}, {**beside, **row}))


def as_fields(rows: Sequence[Row], schema: Any, wanted: Collection[str]) -> list[dict[str, Any]]:
    """The ``FieldData`` of rows, of those fields that all of them have."""
    fields = {field.name: field for field in schema.fields}
    answered = []
    for name in dict.fromkeys(wanted):
        values = [row[name] for row in rows if name in row]
        if not rows or len(values) != len(rows) or (name not in fields and name != "$meta"):
            continue
        number = 23 if name == "$meta" else fields[name].data_type
        field: dict[str, Any] = {"type": number, "field_name": name, "is_dynamic": name == "$meta"}
        if number == _FLOAT_VECTOR:
            numbers = [one for vector in values for one in vector]
            field["vectors"] = {"dim": len(values[0]), "float_vector": {"data": numbers}}
        else:
            field["scalars"] = {_ARRAYS[number]: {"data": values}}
        answered.append(field)
    return answered


def nearest(rows: Sequence[Row], name: str, asked: bytes, limit: int) -> list[tuple[float, Row]]:
    """The rows whose vectors are nearest to the one that is asked for, by L2."""
    vector = numpy.frombuffer(asked, "<f4")
    found = [(float(((numpy.array(row[name], "<f4") - vector) ** 2).sum()), row) for row in rows if name in row]
    return sorted(found, key=lambda one: one[0])[:limit]
