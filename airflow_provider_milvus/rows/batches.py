"""Checked rows encoded for the protocol, and cut into batches that each fit into one call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy

from airflow_provider_milvus.rows.check import DYNAMIC_FIELD, Checked, overhead, row_sizes
from airflow_provider_milvus.rows.chunk import Batch
from airflow_provider_milvus.rows.column import Column, listed
from airflow_provider_milvus.schema.model import Field, Schema
from airflow_provider_milvus.schema.types import ARRAY_OF_STRUCTS, ARRAY_OF_VECTORS, DATA_TYPES, FLOATS


def batches(checked: Checked, schema: Schema, *, max_bytes: int) -> Iterator[Batch]:
    """The rows in order, in batches of at most ``max_bytes``.

    A batch's ``size`` is never less than what it takes on the wire. A single row that is larger makes a batch of its own, which
    no server takes: give ``check`` the same limit, and such a row is bad before anything is sent.
    """
    around = overhead(checked.columns)
    # The bytes before each row, and after the last.
    before = numpy.concatenate(([0], numpy.cumsum(row_sizes(checked.columns, len(checked)))))
    first = 0
    while first < len(checked):
        fitting = int(numpy.searchsorted(before, before[first] + max_bytes - around, side="right")) - 1
        end = max(fitting, first + 1)
        yield _batch(checked, schema, first, end, int(before[end] - before[first]) + around)
        first = end


def _batch(checked: Checked, schema: Schema, first: int, end: int, size: int) -> Batch:
    columns = {name: column.part(first, end) for name, column in checked.columns.items()}
    fields = {field.name: field for field in schema.fields}
    messages = [_message(fields.get(name) or Field(DYNAMIC_FIELD, "JSON"), column) for name, column in columns.items()]
    keys = columns.get(schema.primary.name)
    return Batch(checked.row_numbers[first:end], None if keys is None else listed(keys.values), messages, size)


def _message(field: Field, column: Column) -> Any:
    from airflow_provider_milvus.protocol import schema_pb2

    message = schema_pb2.FieldData(
        type=DATA_TYPES[field.type].number, field_name=field.name, is_dynamic=field.name == DYNAMIC_FIELD
    )
    if field.struct_fields:
        message.type = ARRAY_OF_STRUCTS
        _put_structs(message.struct_arrays, field, column)
        return message
    if field.may_be_missing:
        message.valid_data.extend(column.valid.tolist())
    if field.is_vector:
        _put_vectors(message.vectors, field, column.values)
    else:
        _put_scalars(message.scalars, field, column.values)
    return message


def _put_vectors(vectors: Any, field: Field, values: Any) -> None:
    vectors.SetInParent()
    if field.dim is not None:
        vectors.dim = field.dim
    if not len(values):
        return  # All of them are null.
    if field.type == "SPARSE_FLOAT_VECTOR":
        vectors.sparse_float_vector.contents.extend(values)
    elif field.type == "FLOAT_VECTOR":
        _put_packed(vectors.float_vector, values)
    else:
        setattr(vectors, field.type.lower(), values.tobytes())


def _put_scalars(scalars: Any, field: Field, values: Any) -> None:
    message = getattr(scalars, DATA_TYPES[field.type].scalar_field)
    message.SetInParent()
    if field.type in FLOATS:
        _put_packed(message, values)
    elif field.type == "ARRAY":
        for value in values:
            elements = getattr(message.data.add(), DATA_TYPES[str(field.element_type)].scalar_field)
            elements.SetInParent()
            elements.data.extend(value)
    else:
        message.data.extend(listed(values))


def _put_structs(struct_arrays: Any, field: Field, column: Column) -> None:
    """A column for each field of the structs, which has an array for each row."""
    for at, inner in enumerate(field.struct_fields):
        arrays = [structs[at] for structs in column.values]
        message = struct_arrays.fields.add(field_name=inner.name)
        if field.nullable:
            message.valid_data.extend(column.valid.tolist())
        if not inner.is_vector:
            message.type = DATA_TYPES["ARRAY"].number
            message.scalars.array_data.element_type = DATA_TYPES[inner.type].number
            _put_scalars(message.scalars, replace(inner, type="ARRAY", element_type=inner.type), arrays)
            continue
        message.type = ARRAY_OF_VECTORS
        message.vectors.dim = message.vectors.vector_array.dim = inner.dim
        message.vectors.vector_array.element_type = DATA_TYPES[inner.type].number
        for vectors in arrays:
            added = message.vectors.vector_array.data.add()
            _put_vectors(added, inner, vectors)
            if inner.type == "FLOAT_VECTOR":
                added.float_vector.SetInParent()  # Also where there is none.


def _put_packed(message: Any, values: Any) -> None:
    """Fill ``repeated float data = 1``. Packed, it is a tag, a length and the array's own bytes: no number is converted."""
    little_endian = numpy.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    if little_endian.size:
        message.MergeFromString(b"".join((b"\n", _varint(little_endian.nbytes), little_endian.data)))


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
