"""Checks arrays of structs: a list of dicts in each row, of which every dict has all fields of the struct and no other."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import chain
from typing import Any

import numpy

from airflow_provider_milvus.rows.column import BadValue, Column, Reasons, convert_each, wrong_type
from airflow_provider_milvus.rows.scalars import TAG_AND_LENGTH, as_list, in_rows, scalar_column
from airflow_provider_milvus.rows.vectors import dense_column
from airflow_provider_milvus.schema.model import LARGEST_ARRAY, Field


def struct_column(values: Any, field: Field) -> tuple[Column, Reasons]:
    """A column whose values are tuples, of a list or an array for each field of the structs.

    The values of one field in all structs of all rows are checked at once, as one column.
    """
    rows, reasons = convert_each(values, partial(_structs, field=field), [])
    sizes = numpy.full(len(rows), 2 * TAG_AND_LENGTH)
    columns = []
    for inner in field.struct_fields:
        flat = [struct[inner.name] for struct in chain.from_iterable(rows)]
        column, bad = dense_column(flat, inner) if inner.is_vector else scalar_column(flat, inner)
        arrays, bytes_of_rows = in_rows(rows, column, bad, reasons, f"{inner.name!r} ")
        columns.append(arrays)
        sizes += bytes_of_rows
    return Column(list(zip(*columns, strict=True)), sizes), reasons


def _structs(value: Any, field: Field) -> list[Mapping[str, Any]]:
    structs = as_list(value, max_capacity=field.max_capacity or LARGEST_ARRAY)
    names = {inner.name for inner in field.struct_fields}
    for at, struct in enumerate(structs):
        if not isinstance(struct, Mapping):
            raise BadValue(f"at {at} of the array: {wrong_type('a dict', struct)}")
        for words, wrong in (("lacks", names - struct.keys()), ("has, and the field has not,", struct.keys() - names)):
            if wrong:
                raise BadValue(f"the struct at {at} of the array {words} {', '.join(sorted(map(repr, wrong)))}")
    return structs
