"""Tables in memory as columns: pandas DataFrames, and any object that speaks Arrow (pyarrow, polars, DuckDB, ...).

Numbers and dense vectors stay arrays, without a copy where the table's memory can be used as it is. All other columns become
lists, with ``None`` for a null. The table itself is never changed.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.exceptions import MilvusConfigurationError, MilvusInvalidArgumentError
from airflow_provider_milvus.rows.pieces import Columns
from airflow_provider_milvus.rows.renaming import Renaming
from airflow_provider_milvus.schema.model import Field, Schema
from airflow_provider_milvus.schema.types import DENSE_VECTORS

if TYPE_CHECKING:
    import pandas
    import pyarrow as pa

_M_MMAP_THRESHOLD = -3
"""Of glibc's ``malloc.h``; other C libraries have no such option."""
_LARGE_BLOCK = 1 << 20


def is_table(source: Any) -> bool:
    return is_frame(source) or hasattr(source, "__arrow_c_stream__") or hasattr(source, "__arrow_c_array__")


def is_frame(source: Any) -> bool:
    """Whether it is a pandas DataFrame. Where pandas is not imported, nothing is."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(source, pandas.DataFrame)


def table_columns(source: Any, schema: Schema, renaming: Renaming, batch_rows: int) -> Iterator[Columns]:
    """The rows of a table, ``batch_rows`` at a time.

    :raises MilvusInvalidArgumentError: ``source`` is a single column, two of its columns have the same name, or it lacks a
        column that is to be read.
    :raises MilvusConfigurationError: ``source`` speaks Arrow, and pyarrow is not installed.
    """
    if is_frame(source):
        yield from _frame_columns(source, schema, renaming, batch_rows)
        return
    for batch in _batches(source, batch_rows):
        yield from batch_columns(batch, schema, renaming, batch_rows)


def batch_columns(batch: pa.RecordBatch, schema: Schema, renaming: Renaming, batch_rows: int) -> Iterator[Columns]:
    """The rows of one Arrow batch, ``batch_rows`` at a time."""
    names = batch.schema.names
    _check_names(names)
    columns = {name: names.index(column) for name, column in renaming.of_header(names, "the table").items()}
    fields = {field.name: field for field in schema.fields}
    for first in range(0, batch.num_rows, batch_rows):
        part = batch.slice(first, batch_rows)
        yield Columns(part.num_rows, {name: _values(part.column(at), fields.get(name)) for name, at in columns.items()})


def dict_columns(source: Mapping[str, Any], schema: Schema, renaming: Renaming, batch_rows: int) -> Iterator[Columns]:
    """The rows of a dict that has a list or an array of values for each column, ``batch_rows`` at a time.

    :raises MilvusInvalidArgumentError: it has something else, columns of different lengths, or lacks one that is to be read.
    """
    if single := [name for name, values in source.items() if not _is_column(values)]:
        raise MilvusInvalidArgumentError(
            f"rows: {single[0]!r} of the dict is of type {type(source[single[0]]).__name__}, and not a list of values for each "
            "row. If it is a single row, put it into a list."
        )
    lengths = {name: len(values) for name, values in source.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name!r} has {length}" for name, length in lengths.items())
        raise MilvusInvalidArgumentError(f"rows: the columns of the dict have different numbers of values: {listed}.")
    columns = renaming.of_header(source, "the dict")
    fields = {field.name: field for field in schema.fields}
    rows = next(iter(lengths.values()), 0)
    for first in range(0, rows, batch_rows):
        end = min(first + batch_rows, rows)
        parts = {name: _part(source[column], first, end) for name, column in columns.items()}
        values = {name: _part_values(part, fields.get(name), name not in schema.needed) for name, part in parts.items()}
        yield Columns(end - first, values)


def _is_column(values: Any) -> bool:
    return hasattr(values, "__len__") and hasattr(values, "__getitem__") and not isinstance(values, (str, bytes, Mapping))


def _part(values: Any, first: int, end: int) -> Any:
    # A pandas series looks its index up in brackets.
    return values.iloc[first:end] if hasattr(values, "iloc") else values[first:end]


def _part_values(values: Any, field: Field | None, optional: bool) -> Any:
    if hasattr(values, "iloc"):
        return _series_values(values, optional=optional)
    if hasattr(values, "__arrow_c_array__") or hasattr(values, "__arrow_c_stream__"):
        import pyarrow as pa

        array = pa.chunked_array(values).combine_chunks()
        return _values(array, field)
    if hasattr(values, "dtype"):
        return values if values.dtype.kind in "biuf" else values.tolist()
    return list(values)


def pyarrow(needed_for: str) -> Any:
    """The pyarrow module.

    :raises MilvusConfigurationError: it is not installed. The message says what to install.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MilvusConfigurationError(
            f"{needed_for} needs pyarrow, which is not installed: pip install 'airflow-provider-milvus[bulk]'"
        ) from error
    return pyarrow


@contextmanager
def lean(pa: Any) -> Iterator[None]:
    """Give memory back to the system, of which pyarrow's own pool keeps some 20 MiB. All of the process shares the pool.

    With each large block that is freed, glibc raises the size from which a block can be given back alone. Then pages of a
    million rows leave holes of 190 MiB in the heap. So the process keeps to a fixed size from the first block on.
    """
    if (set_option := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        set_option(_M_MMAP_THRESHOLD, _LARGE_BLOCK)
    before = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(before)


def _batches(source: Any, batch_rows: int) -> Iterator[pa.RecordBatch]:
    pa = pyarrow("an Arrow table")
    try:
        if not hasattr(source, "__arrow_c_stream__"):
            source = pa.Table.from_batches([pa.record_batch(source)])
        elif not isinstance(source, pa.Table):
            source = pa.RecordBatchReader.from_stream(source)
    except (TypeError, ValueError) as error:
        raise MilvusInvalidArgumentError(f"rows: a value of type {type(source).__name__} is not a table: {error}") from error
    if not isinstance(source, pa.Table):
        yield from source
        return
    for first in range(0, source.num_rows, batch_rows):
        # A table may consist of many tiny parts.
        yield from source.slice(first, batch_rows).combine_chunks().to_batches()


def _values(array: pa.Array, field: Field | None) -> Any:
    import pyarrow as pa

    if isinstance(array, pa.ExtensionArray) and field is not None and field.is_vector:
        array = array.storage
    kind = array.type
    if pa.types.is_dictionary(kind) and _can_be_decoded(kind.value_type):
        array = array.dictionary_decode()  # One value at a time takes thirty times as long.
        kind = array.type
    if (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)) and not array.null_count:
        return array.to_numpy(zero_copy_only=False)
    is_list = pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if field is not None and field.type in DENSE_VECTORS and is_list:
        return _vectors(array)
    return _to_list(array)


def _can_be_decoded(kind: pa.DataType) -> bool:
    """Whether Arrow takes a dictionary of such values apart. It does not of every kind of text."""
    import pyarrow as pa

    return bool(pa.types.is_primitive(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _to_list(array: pa.Array) -> list[Any]:
    """Python's values. A map, which Arrow would give as a list of pairs, becomes a dict, wherever it stands.

    :raises MilvusInvalidArgumentError: a map has a key twice.
    """
    if not _has_map(array.type):
        return list(array.to_pylist())
    try:
        return list(array.to_pylist(maps_as_pydicts="strict"))
    except (KeyError, ValueError) as error:
        raise MilvusInvalidArgumentError(f"rows: a map in the table has a key twice: {error}") from None


def _has_map(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_map(kind)) or any(_has_map(kind.field(at).type) for at in range(kind.num_fields))


def _vectors(array: pa.Array) -> Any:
    """An array of two dimensions if no vector is null and all have the same length, otherwise a list of arrays."""
    import pyarrow as pa
    import pyarrow.compute

    kind = array.type
    numbers = array.flatten()  # Without the memory behind nulls, and only this slice.
    if numbers.null_count or not (pa.types.is_integer(numbers.type) or pa.types.is_floating(numbers.type)):
        return array.to_pylist()
    flat = numbers.to_numpy(zero_copy_only=False)
    if pa.types.is_fixed_size_list(kind) and not array.null_count:
        return flat.reshape(len(array), kind.list_size)
    lengths = pa.compute.list_value_length(array).to_pylist()
    if not array.null_count and len(set(lengths)) == 1:
        return flat.reshape(len(array), lengths[0])
    vectors: list[Any] = []
    first = 0
    for length in lengths:
        vectors.append(None if length is None else flat[first : first + length])
        first += length or 0
    return vectors


def _frame_columns(frame: pandas.DataFrame, schema: Schema, renaming: Renaming, batch_rows: int) -> Iterator[Columns]:
    names = list(frame.columns)
    _check_names(names)
    columns = renaming.of_header(names, "the table")
    for first in range(0, len(frame), batch_rows):
        part = frame.iloc[first : first + batch_rows]
        series = {name: part[column] for name, column in columns.items()}
        yield Columns(len(part), {name: _series_values(it, optional=name not in schema.needed) for name, it in series.items()})


def _series_values(series: pandas.Series[Any], *, optional: bool) -> Any:
    """The values, ``None`` where pandas has a missing one. In a field that needs a number NaN stays, for the check to name."""
    import numpy

    missing = series.isna().to_numpy()
    plain = isinstance(series.dtype, numpy.dtype) and series.dtype.kind in "biuf"
    if plain and not (optional and missing.any()):
        return series.to_numpy()
    values = series.tolist()
    if not missing.any():
        return values
    return [None if is_missing else value for value, is_missing in zip(values, missing.tolist(), strict=True)]


def _check_names(names: list[Any]) -> None:
    if repeated := sorted({str(name) for name in names if names.count(name) > 1}):
        raise MilvusInvalidArgumentError(f"rows: the table has two columns named {', '.join(map(repr, repeated))}.")
