"""Rows of an answer as Python's own values, which are safe as JSON and which an ingest takes back."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy

from airflow_provider_milvus.exceptions import MilvusUnsupportedError
from airflow_provider_milvus.rows.json_text import read_json
from airflow_provider_milvus.rows.vectors import SPARSE_PAIR
from airflow_provider_milvus.schema.model import Schema
from airflow_provider_milvus.schema.types import NAMES
from airflow_provider_milvus.search import vectors

DYNAMIC_FIELD = "$meta"


def wanted_fields(schema: Schema, output_fields: Collection[str] | None) -> list[str]:
    """The fields to ask a server for: by default all but vectors, and what rows hold beside the schema."""
    if output_fields is not None:
        return list(output_fields)
    scalars = [field.name for field in schema.fields if not field.is_vector and not field.struct_fields]
    return [*scalars, *([DYNAMIC_FIELD] if schema.enable_dynamic_field else [])]


def all_fields(schema: Schema) -> list[str]:
    """What an ingest takes back: all but what the server computes."""
    named = [field.name for field in schema.fields if field.name not in schema.computed]
    return [*named, *([DYNAMIC_FIELD] if schema.enable_dynamic_field else [])]


def every_field(schema: Schema) -> list[str]:
    """What ``"*"`` stands for: a server gives back all but what it computes from a text for BM25."""
    hidden = {name for function in schema.functions if function.type == "BM25" for name in function.output_field_names}
    named = [field.name for field in schema.fields if field.name not in hidden]
    return [*named, *([DYNAMIC_FIELD] if schema.enable_dynamic_field else [])]


def rows(
    fields: Iterable[Any], schema: Schema, wanted: Collection[str], *, to_be_written: bool = False
) -> list[dict[str, Any]]:
    """The rows of ``FieldData`` messages. A vector is a list of numbers, of a binary vector those of its bytes; a sparse vector
    is ``{index: value}``, with the index as text.

    :param to_be_written: rows that an ingest gets: it takes a text in a JSON field as JSON, and None as no value, so that both
        are their JSON text.
    :raises MilvusUnsupportedError: a field holds structs.
    """
    columns = {field.field_name: values_of(field, to_be_written) for field in fields if not field.is_dynamic}
    dynamic = [values_of(field) for field in fields if field.is_dynamic]
    known = {field.name for field in schema.fields}
    # A server may answer one key beside the schema with all that a row holds there.
    beside = None if {"*", DYNAMIC_FIELD} & set(wanted) else set(wanted) - known
    names, count = list(columns), len(next(iter([*columns.values(), *dynamic]), ()))
    made = [dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)] or [
        {} for _ in range(count)
    ]
    for values in dynamic:
        for row, more in zip(made, values, strict=True):
            if isinstance(more, Mapping):
                row |= {key: value for key, value in more.items() if key not in row and (beside is None or key in beside)}
    return made


def values_of(field: Any, to_be_written: bool = False) -> list[Any]:
    """The values of one ``FieldData``, None for a null; ``to_be_written`` as of :func:`rows`."""
    kind = field.WhichOneof("field")
    if kind == "struct_arrays":
        raise MilvusUnsupportedError(
            f"Field {field.field_name!r} is an array of structs, which is not read here. Leave it out of output_fields."
        )
    values = _vectors(field) if kind == "vectors" else _scalars(field.scalars, to_be_written)
    valid = list(field.valid_data)
    if not valid:
        return values
    if len(values) == len(valid):
        return [value if is_valid else None for value, is_valid in zip(values, valid, strict=True)]
    present = iter(values)
    return [next(present) if is_valid else None for is_valid in valid]


def _scalars(scalars: Any, to_be_written: bool = False) -> list[Any]:
    kind = scalars.WhichOneof("data")
    if kind is None:
        return []
    values = list(getattr(scalars, kind).data)
    if kind == "json_data":
        kept = (b'"', b"n") if to_be_written else ()
        return [value.decode() if value.startswith(kept) else read_json(value) if value else None for value in values]
    return [_scalars(value) for value in values] if kind == "array_data" else values


def _vectors(field: Any) -> list[Any]:
    kind, dim = NAMES[int(field.type)], int(field.vectors.dim)
    if kind == "SPARSE_FLOAT_VECTOR":
        return [
            {str(index): value for index, value in numpy.frombuffer(packed, SPARSE_PAIR).tolist()}
            for packed in field.vectors.sparse_float_vector.contents
        ]
    encoded = vectors.as_bytes(field, kind, dim)
    numbers: list[Any] = (encoded if kind == "BINARY_VECTOR" else vectors.as_numbers(encoded, kind)).tolist()
    return numbers
