"""Checks arrays of structs: a list of dicts in each row, of which every dict has all fields of the struct and no other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import accumulate, chain, pairwise
from typing import Any

from airflow_provider_milvus.rows.column import BadValue, Column, Reasons, convert_each, wrong_type
from airflow_provider_milvus.rows.scalars import TAG_AND_LENGTH, as_list, scalar_column
from airflow_provider_milvus.rows.vectors import dense_column
from airflow_provider_milvus.schema.model import LARGEST_ARRAY, Field


def struct_column(values: Any, field: Field) -> tuple[Column, Reasons]:
    """A column whose values are tuples, of a list or an array for each field of the structs.

    The values of one field in all structs of all rows are checked at once, as one column.
    """
    import numpy

    rows, reasons = convert_each(values, partial(_structs, field=field), [])
    ends = list(accumulate(map(len, rows), initial=0))
    sizes = numpy.full(len(rows), 2 * TAG_AND_LENGTH)
    columns = []
    for inner in field.struct_fields:
        flat = [struct[inner.name] for struct in chain.from_iterable(rows)]
        column, bad = _column(flat, inner)
        for row, (first, end) in enumerate(pairwise(ends)):
            for position in range(first, end):
                if position in bad:
                    reasons.setdefault(row, f"{inner.name!r} at {position - first} of the array: {bad[position]}")
        columns.append([column.values[first:end] for first, end in pairwise(ends)])
        of_value = column.sizes if not isinstance(column.sizes, int) else numpy.full(len(flat), column.sizes)
        sizes += numpy.diff(numpy.concatenate(([0], numpy.cumsum(of_value)))[ends]) + 3 * TAG_AND_LENGTH
    return Column(list(zip(*columns, strict=True)), sizes), reasons


def _column(values: list[Any], inner: Field) -> tuple[Column, Reasons]:
    if inner.is_vector:
        return dense_column(values, inner)
    column, reasons = scalar_column(values, inner)
    return replace(column, values=column.values if isinstance(column.values, list) else column.values.tolist()), reasons


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
