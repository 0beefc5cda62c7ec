"""Rows of an answer as Arrow's columns, in the form in which an ingest and the server's import take them back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy

from airflow_provider_milvus.schema.model import Field, Schema
from airflow_provider_milvus.schema.types import DENSE_VECTORS, NAMES
from airflow_provider_milvus.search import decode, vectors

if TYPE_CHECKING:
    import pyarrow as pa


def arrow_schema(schema: Schema, names: Sequence[str]) -> pa.Schema:
    """The columns of these fields, which may be ``"*"``, and one of what is asked for beside the schema.

    JSON and sparse vectors are JSON text, vectors of 16 bits and of bits their bytes.
    """
    import pyarrow as pa

    fields = {field.name: field for field in schema.fields}
    dynamic = Field(decode.DYNAMIC_FIELD, "JSON", nullable=True)
    asked = [name for given in names for name in (decode.every_field(schema) if given == "*" else [given])]
    asked = [name if name in fields else dynamic.name for name in asked]
    return pa.schema([pa.field(name, _type_of(fields.get(name, dynamic)), nullable=True) for name in dict.fromkeys(asked)])


def _type_of(field: Field) -> Any:
    import pyarrow as pa

    scalars = {
        "BOOL": pa.bool_(),
        "INT8": pa.int8(),
        "INT16": pa.int16(),
        "INT32": pa.int32(),
        "INT64": pa.int64(),
        "FLOAT": pa.float32(),
        "DOUBLE": pa.float64(),
    }
    if field.type == "ARRAY":
        return pa.list_(scalars.get(str(field.element_type), pa.string()))
    if field.type in DENSE_VECTORS:
        return pa.list_({"FLOAT_VECTOR": pa.float32(), "INT8_VECTOR": pa.int8()}.get(field.type, pa.uint8()))
    return scalars.get(field.type, pa.string())


def record_batch(fields: Mapping[str, Any], rows: int, schema: Schema, wanted: Sequence[str]) -> pa.RecordBatch:
    """The ``FieldData`` messages of an answer as Arrow's columns; a column that the answer lacks is null."""
    import pyarrow as pa

    columns = arrow_schema(schema, wanted)
    arrays = [
        _array(fields[column.name], column.type) if column.name in fields else pa.nulls(rows, column.type) for column in columns
    ]
    beside = columns.get_field_index(decode.DYNAMIC_FIELD)
    dynamic = [field for field in fields.values() if field.is_dynamic]
    if beside >= 0 and dynamic and not {"*", decode.DYNAMIC_FIELD} & set(wanted):
        arrays[beside] = pa.array([json.dumps(row) for row in decode.rows(dynamic, schema, wanted)], pa.string())
    return pa.record_batch(arrays, schema=columns)


def _array(field: Any, kind: Any) -> Any:
    import pyarrow as pa

    valid = numpy.array(field.valid_data, bool) if len(field.valid_data) else None
    if field.WhichOneof("field") == "vectors" and NAMES[int(field.type)] in DENSE_VECTORS:
        return _dense(field, kind, valid)
    texts = field.scalars.WhichOneof("data") == "json_data"
    values = [value.decode() for value in field.scalars.json_data.data] if texts else decode.values_of(field)
    if field.WhichOneof("field") == "vectors":
        values = [None if value is None else json.dumps(value) for value in values]
    if valid is not None and texts:
        values = [value if is_valid else None for value, is_valid in zip(values, valid, strict=True)]
    return pa.array(values, kind)


def _dense(field: Any, kind: Any, valid: Any) -> Any:
    import pyarrow as pa

    encoded = vectors.as_bytes(field, NAMES[int(field.type)], int(field.vectors.dim))
    numbers = numpy.ascontiguousarray(encoded).reshape(-1).view(kind.value_type.to_pandas_dtype())
    width = len(numbers) // max(1, len(encoded))
    if valid is None:
        offsets = numpy.arange(len(encoded) + 1, dtype=numpy.int32) * width
        return pa.ListArray.from_arrays(pa.array(offsets), pa.array(numbers))
    present = valid if len(encoded) != len(valid) else numpy.ones(len(valid), bool)
    offsets = numpy.concatenate(([0], numpy.cumsum(present))).astype(numpy.int32) * width
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(numbers), mask=pa.array(~valid))
