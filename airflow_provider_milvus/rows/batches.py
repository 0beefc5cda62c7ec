"""Checked rows in the protocol's form, cut so that each batch fits into one call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.rows.check import DYNAMIC_FIELD, Checked, row_sizes, size_around
from airflow_provider_milvus.rows.chunk import Batch
from airflow_provider_milvus.rows.column import Column
from airflow_provider_milvus.schema.model import Field, Schema
from airflow_provider_milvus.schema.types import DATA_TYPES, FLOATS

if TYPE_CHECKING:
    from pymilvus.grpc_gen.schema_pb2 import FieldData


def batches(checked: Checked, schema: Schema, *, most_bytes: int) -> Iterator[Batch]:
    """The rows in order, as many at a time as fit into ``most_bytes``.

    A batch's ``size`` is never less than what it takes on the wire. A row that alone is larger makes a batch of its own, which
    no server takes: give ``check`` the same limit, and it is refused before anything is sent.
    """
    import numpy

    around = size_around(checked.columns)
    # What stands before each row, and after the last.
    before = numpy.concatenate(([0], numpy.cumsum(row_sizes(checked.columns, len(checked)))))
    first = 0
    while first < len(checked):
        fitting = int(numpy.searchsorted(before, before[first] + most_bytes - around, side="right")) - 1
        end = max(fitting, first + 1)
        yield _batch(checked, schema, first, end, int(before[end] - before[first]) + around)
        first = end


def _batch(checked: Checked, schema: Schema, first: int, end: int, size: int) -> Batch:
    columns = {name: _part(column, first, end) for name, column in checked.columns.items()}
    by_name = {each.name: each for each in schema.fields}
    messages = [_message(by_name.get(name) or Field(DYNAMIC_FIELD, "JSON"), column) for name, column in columns.items()]
    keys = columns.get(schema.primary.name)
    return Batch(checked.numbers[first:end], None if keys is None else _listed(keys.values), messages, size)


def _part(column: Column, first: int, end: int) -> Column:
    """Some rows; sizes are not needed any more."""
    if column.valid is None:
        return Column(column.values[first:end], 0)
    before, among = int(column.valid[:first].sum()), int(column.valid[first:end].sum())
    return Column(column.values[before : before + among], 0, column.valid[first:end])


def _listed(values: Any) -> list[Any]:
    return values if isinstance(values, list) else list(values.tolist())


def _message(field: Field, column: Column) -> FieldData:
    from pymilvus.grpc_gen.schema_pb2 import FieldData

    message = FieldData(type=DATA_TYPES[field.type].number, field_name=field.name, is_dynamic=field.name == DYNAMIC_FIELD)
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
    numbers = getattr(scalars, DATA_TYPES[field.type].scalar_field)
    numbers.SetInParent()
    if field.type in FLOATS:
        _put_packed(numbers, values)
    elif field.type == "ARRAY":
        for each in values:
            into = getattr(numbers.data.add(), DATA_TYPES[str(field.element_type)].scalar_field)
            into.SetInParent()
            into.data.extend(each)
    else:
        numbers.data.extend(_listed(values))


def _put_packed(message: Any, values: Any) -> None:
    """Fill ``repeated float data = 1``. Packed it is a tag, a length and the array's own bytes: no number is touched."""
    import numpy

    little = numpy.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    if little.size:
        message.MergeFromString(b"".join((b"\n", _varint(little.nbytes), little.data)))


def _varint(number: int) -> bytes:
    written = bytearray()
    while number > 127:
        written.append(number & 127 | 128)
        number >>= 7
    written.append(number)
    return bytes(written)
