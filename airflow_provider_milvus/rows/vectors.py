"""Checks vectors against their field. Dense vectors become one array of the protocol's numbers, sparse vectors its bytes.

The fast path takes a whole column at once. Rows are taken one by one only when it fails, or when it leaves a doubt.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain, pairwise
from typing import Any

import numpy

from airflow_provider_milvus.rows.column import (
    BadValue,
    Column,
    Reasons,
    as_float,
    convert_each,
    is_number,
    shorten,
    wrong_type,
)
from airflow_provider_milvus.rows.json_text import read_json
from airflow_provider_milvus.schema.model import Field
from airflow_provider_milvus.schema.types import DATA_TYPES, FLOAT_VECTORS

_TEXTS_AND_MAPS = (str, Mapping, set, frozenset)
SPARSE_PAIR = [("index", "<u4"), ("value", "<f4")]
"""NumPy's type of one entry of a sparse vector in the protocol's bytes."""
LARGEST_INDEX = 2**32 - 2
"""The largest index of a sparse vector. Milvus keeps 2**32 - 1 for itself."""


def dense_column(values: Any, field: Field) -> tuple[Column, Reasons]:
    """A column of dense vectors as one C-contiguous array of two dimensions, in the protocol's numbers."""
    width, dtype = _width(field), DATA_TYPES[field.type].numpy
    convert = partial(_convert_one, field=field)
    vectors = _convert_at_once(values, field, width)
    if vectors is None:
        rows, reasons = convert_each(values, convert, numpy.zeros(width, dtype))
        vectors = numpy.stack(rows) if rows else numpy.zeros((0, width), dtype)
    else:
        doubtful = _doubtful(vectors, values, field)
        _, bad = convert_each((values[row] for row in doubtful), convert, None)
        reasons = {doubtful[at]: reason for at, reason in bad.items()}
    return Column(numpy.ascontiguousarray(vectors), width * vectors.itemsize), reasons


def _width(field: Field) -> int:
    """How many of the protocol's numbers make a vector. Eight dimensions of a binary vector share a byte."""
    assert field.dim is not None
    return field.dim // 8 if field.type == "BINARY_VECTOR" else field.dim


def _convert_at_once(values: Any, field: Field, width: int) -> Any:
    """The column as an array, which may still hold NaN or infinity; ``None`` if it has to be converted row by row."""
    if isinstance(values, numpy.ndarray) and values.ndim == 2:
        if _holds_bytes(values, field, width):
            return numpy.ascontiguousarray(values).view(DATA_TYPES[field.type].numpy)
        return _convert(values, field) if values.shape[1] == width else None
    types = set(map(type, values))
    if types == {numpy.ndarray}:
        if len({(value.shape, value.dtype) for value in values}) != 1 or values[0].ndim != 1:
            return None
        # With equal lengths the same as numpy.stack, which cuts each array first.
        return _convert_at_once(numpy.concatenate(values).reshape(len(values), -1), field, width)
    if types == {bytes} and field.type != "FLOAT_VECTOR":
        dtype = numpy.dtype(DATA_TYPES[field.type].numpy)
        if set(map(len, values)) != {width * dtype.itemsize}:
            return None
        return numpy.frombuffer(b"".join(values), dtype).reshape(-1, width)
    return _convert_lists(values, field, width) if types and types <= {list, tuple} else None


def _holds_bytes(array: Any, field: Field, width: int) -> bool:
    """Whether it has the protocol's bytes of 16-bit vectors, one by one, as the files of pymilvus's bulk writer have them."""
    is_half = DATA_TYPES[field.type].bits == 16
    return is_half and array.dtype.name == "uint8" and bool(array.shape[-1] == 2 * width)


def _convert_lists(values: Sequence[Sequence[Any]], field: Field, width: int) -> Any:
    """Lists of Python's numbers. ``struct`` is faster than NumPy here, and refuses text, None and wrong lengths."""
    # A bfloat16 is packed as the float that it is rounded from.
    dtype = numpy.dtype("<f4" if field.type == "BFLOAT16_VECTOR" else DATA_TYPES[field.type].numpy)
    pack = struct.Struct(f"<{width}{dtype.char}")
    packed = bytearray(pack.size * len(values))
    try:
        for row, value in enumerate(values):
            pack.pack_into(packed, row * pack.size, *value)
    except (struct.error, OverflowError, TypeError, ValueError):
        return None
    return _convert(numpy.frombuffer(packed, dtype).reshape(-1, width), field)


def _convert(array: Any, field: Field) -> Any:
    """An array of any numbers as the protocol's numbers; ``None`` where more than digits of a fraction would be lost."""
    wire, kind = numpy.dtype(DATA_TYPES[field.type].numpy), array.dtype.kind
    if field.type not in FLOAT_VECTORS:
        limits = numpy.iinfo(wire)
        if kind not in "iu" or (array.size and (array.min() < limits.min or array.max() > limits.max)):
            return None
        return array.astype(wire, copy=False)
    if array.dtype.name == "bfloat16":
        is_same = field.type == "BFLOAT16_VECTOR"
        return numpy.ascontiguousarray(array).view("uint16") if is_same else _convert(array.astype("float32"), field)
    if kind not in "fiu":
        return None
    with numpy.errstate(over="ignore", invalid="ignore"):
        return array.astype(wire, copy=False) if wire.kind == "f" else _round_to_bfloat16(array.astype("float32", copy=False))


def _round_to_bfloat16(array: Any) -> Any:
    """The upper half of each float32, rounded to the nearest, and to the even number if two are equally near."""
    bits = numpy.ascontiguousarray(array).view("uint32")
    rounded = ((bits + numpy.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16).astype("uint16")
    # Rounding may carry a NaN's bits into the sign.
    return numpy.where(numpy.isnan(array), numpy.uint16(0x7FC0), rounded)


def _is_finite(vectors: Any, field: Field) -> Any:
    """Which numbers are neither NaN nor infinite, in an array of the protocol's numbers."""
    return (vectors & 0x7F80) != 0x7F80 if field.type == "BFLOAT16_VECTOR" else numpy.isfinite(vectors)


def _doubtful(vectors: Any, values: Any, field: Field) -> list[int]:
    """The rows that need a second look: those that are not finite, and those where a 0 or 1 may have been a boolean."""
    rows: set[int] = set()
    if field.type in FLOAT_VECTORS:
        rows.update(numpy.flatnonzero(~_is_finite(vectors, field).all(axis=1)).tolist())
    if isinstance(values, list) and values and isinstance(values[0], (list, tuple)):
        one = 0x3F80 if field.type == "BFLOAT16_VECTOR" else 1
        candidates = numpy.flatnonzero(((vectors == 0) | (vectors == one)).any(axis=1)).tolist()
        rows |= {row for row in candidates if not {bool, numpy.bool_}.isdisjoint(map(type, values[row]))}
    return sorted(rows)


def _convert_one(value: Any, field: Field) -> Any:
    """One vector as an array of the protocol's numbers."""
    width = _width(field)
    if isinstance(value, numpy.ndarray) and value.ndim == 1 and _holds_bytes(value, field, width):
        value = value.tobytes()
    vectors = _convert_at_once([value], field, width)
    if vectors is not None and not _doubtful(vectors, [value], field):
        return vectors[0]
    if isinstance(value, bytes | bytearray) or (isinstance(value, memoryview) and value.format == "B"):
        return _from_bytes(bytes(value), field, width)
    if isinstance(value, _TEXTS_AND_MAPS) or not hasattr(value, "__len__"):
        raise BadValue(f"{shorten(value)} is not a vector{_hint(value)}")
    if isinstance(value, numpy.ndarray) and value.dtype.kind == "O":
        value = value.tolist()
    if isinstance(value, list | tuple):
        for position, number in enumerate(value):
            if not is_number(number):
                raise BadValue(f"at {position} of the vector: {wrong_type('a number', number)}")
        value = [as_float(number) for number in value] if field.type in FLOAT_VECTORS else list(value)
    array = numpy.asarray(value)
    if array.ndim != 1:
        raise BadValue(f"is not a vector but an array of {array.ndim} dimensions")
    if len(array) != width:
        if field.type == "BINARY_VECTOR":
            raise BadValue(f"has {len(array)} bytes; a BINARY_VECTOR of dim {field.dim} has {width}")
        raise BadValue(f"has {len(array)} dimensions; the field has {field.dim}")
    return _convert_array(array, field)


def _convert_array(array: Any, field: Field) -> Any:
    vector = _convert(array, field)
    if vector is None:
        if array.dtype.kind in "iu":
            limits = numpy.iinfo(DATA_TYPES[field.type].numpy)
            number = array[(array < limits.min) | (array > limits.max)][0]
            raise BadValue(f"holds {number}, and {_with_article(field.type)} has numbers from {limits.min} to {limits.max}")
        raise BadValue(f"is a vector of {array.dtype}, which is not lossless as {_with_article(field.type)}")
    if field.type in FLOAT_VECTORS:
        if len(positions := numpy.flatnonzero(~numpy.isfinite(array.astype("float64")))):
            raise BadValue(f"holds {array[positions[0]]} at {positions[0]}, which no distance can be computed with")
        if len(positions := numpy.flatnonzero(~_is_finite(vector, field))):
            raise BadValue(f"holds {array[positions[0]]} at {positions[0]}, which is too large for {_with_article(field.type)}")
    return vector


def _from_bytes(value: bytes, field: Field, width: int) -> Any:
    if field.type == "FLOAT_VECTOR":
        raise BadValue("bytes are not a FLOAT_VECTOR; give numbers")
    dtype = numpy.dtype(DATA_TYPES[field.type].numpy)
    if len(value) != width * dtype.itemsize:
        size = width * dtype.itemsize
        raise BadValue(f"has {len(value)} bytes; {_with_article(field.type)} of dim {field.dim} has {size}")
    vector = numpy.frombuffer(value, dtype)
    if field.type != "BFLOAT16_VECTOR":
        return _convert_array(vector, field)
    if not _is_finite(vector, field).all():
        raise BadValue("holds NaN or infinity, which no distance can be computed with")
    return vector


def _hint(value: Any) -> str:
    is_sparks = isinstance(value, Mapping) and value.keys() == {"type", "size", "indices", "values"}
    return ", but a vector of Spark; write its column with pyspark.ml.functions.vector_to_array" if is_sparks else ""


def _with_article(kind: str) -> str:
    return f"an {kind}" if kind.startswith("INT8") else f"a {kind}"


def sparse_column(values: Any, field: Field) -> tuple[Column, Reasons]:
    """A column of sparse vectors: ``{index: value}``, pairs, ``{"indices": [...], "values": [...]}``, JSON text of these, or
    SciPy's rows."""
    rows, reasons = convert_each(values, _to_sparse_with_an_entry if field.narrow else _to_sparse, b"")
    # Each row has its own tag and length.
    return Column(rows, numpy.fromiter(map(len, rows), numpy.int64, len(rows)) + 6), reasons


def _to_sparse_with_an_entry(value: Any) -> bytes:
    packed = _to_sparse(value)
    if not any(number for _, number in struct.iter_unpack("<If", packed)):
        raise BadValue("has no entry but zeros, and this server takes no such sparse vector")
    return packed


def _to_sparse(value: Any) -> bytes:
    """The protocol's bytes: pairs of an unsigned integer and a float, in the order of the indices."""
    pairs = _pairs(value)
    try:
        # Text and other kinds of numbers go the slow path, which names what is wrong with them.
        is_plain = {type(index) for index, _ in pairs} <= {int} and {type(number) for _, number in pairs} <= {float, int}
        packed = struct.pack(f"<{'If' * len(pairs)}", *chain.from_iterable(sorted(pairs))) if is_plain else b""
    except (struct.error, OverflowError):
        is_plain = False
    if is_plain:
        array = numpy.frombuffer(packed, SPARSE_PAIR)
        index, number = array["index"], array["value"]
        if (index[1:] > index[:-1]).all() and (index <= LARGEST_INDEX).all() and ((number >= 0) & (number < numpy.inf)).all():
            return packed
    pairs = sorted(map(_convert_pair, pairs))
    for (index, _), (following, _) in pairwise(pairs):
        if index == following:
            raise BadValue(f"has the index {index} twice")
    return struct.pack(f"<{'If' * len(pairs)}", *chain.from_iterable(pairs))


def _pairs(value: Any) -> Sequence[tuple[Any, Any]]:
    if isinstance(value, str):
        # Tables have no type for sparse vectors. pymilvus's own bulk writer writes them as JSON text.
        try:
            value = read_json(value)
        except ValueError:
            raise BadValue(f"{shorten(value)} is not a sparse vector; as text it has to be JSON") from None
    if hasattr(value, "tocoo"):
        if value.ndim == 2 and value.shape[0] != 1:
            raise BadValue(f"is a matrix of {value.shape[0]} rows, not a sparse vector")
        coordinates = value.tocoo()
        return list(zip(coordinates.col.tolist(), coordinates.data.tolist(), strict=True))
    if isinstance(value, Mapping):
        if set(value) == {"indices", "values"}:
            indices, values = (_to_list(value[part]) for part in ("indices", "values"))
            if len(indices) != len(values):
                raise BadValue(f"has {len(indices)} indices and {len(values)} values")
            return list(zip(indices, values, strict=True))
        if hint := _hint(value):
            raise BadValue(f"{shorten(value)} is not a sparse vector{hint}")
        return list(value.items())
    if not isinstance(value, list | tuple) or not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in value):
        raise BadValue(f"{shorten(value)} is not a sparse vector; give a dict of index and value")
    return [(index, number) for index, number in value]


def _to_list(part: Any) -> list[Any]:
    if not hasattr(part, "__len__") or isinstance(part, str):
        raise BadValue(f"{shorten(part)} is not a list of indices or values")
    return list(part)


def _convert_pair(pair: tuple[Any, Any]) -> tuple[int, float]:
    index, number = pair
    # The keys of a JSON object are always text.
    if isinstance(index, str) and index.isascii() and index.isdecimal() and len(index) < 20:
        index = int(index)
    if isinstance(index, bool) or not hasattr(index, "__index__"):
        raise BadValue(f"the index {shorten(index)} is not a whole number")
    index = index.__index__()
    if not 0 <= index <= LARGEST_INDEX:
        raise BadValue(f"the index {index} is not in 0 to {LARGEST_INDEX}")
    value = f"the value {shorten(number)} at index {index}"
    if not is_number(number):
        raise BadValue(f"{value} is not a number")
    if not math.isfinite(as_float(number)):
        raise BadValue(f"{value} is not finite")
    try:
        struct.pack("<f", number)
    except OverflowError:
        raise BadValue(f"{value} is too large for a float") from None
    if number < 0:
        raise BadValue(f"{value} is negative, which no sparse index of Milvus takes")
    return index, as_float(number)
