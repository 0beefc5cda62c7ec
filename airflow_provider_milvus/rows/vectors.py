"""Vectors against their field: dense ones as one array of the protocol's own numbers, sparse ones as its bytes.

The fast path takes a column at once. Only when it fails, or finds something to look at, are rows taken one by one.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from itertools import chain, pairwise
from numbers import Real
from typing import Any

from airflow_provider_milvus.rows.column import Column, Reasons, Refused, as_float, not_a, one_by_one, shown
from airflow_provider_milvus.schema.model import Field
from airflow_provider_milvus.schema.types import DATA_TYPES, FLOAT_VECTORS

_TEXTS_AND_MAPS = (str, Mapping, set, frozenset)
SPARSE_PAIR = [("index", "<u4"), ("value", "<f4")]
"""What NumPy calls an entry of a sparse vector in the protocol's form."""
LARGEST_INDEX = 2**32 - 2
"""The largest index that a sparse vector of Milvus has; 2**32 - 1 is kept for itself."""


def width_of(field: Field) -> int:
    """How many numbers of the protocol make a vector: eight dimensions of a binary vector share a byte."""
    assert field.dim is not None
    return field.dim // 8 if field.type == "BINARY_VECTOR" else field.dim


def dense(values: Any, field: Field) -> tuple[Column, Reasons]:
    """A column of dense vectors as one array of two dimensions, C-contiguous, in the protocol's own numbers."""
    import numpy

    width = width_of(field)
    found = _all_at_once(values, field, width)
    if found is None:
        rows, reasons = one_by_one(values, partial(_one_dense, field=field), numpy.zeros(width, DATA_TYPES[field.type].numpy))
        found = numpy.stack(rows) if rows else numpy.zeros((0, width), DATA_TYPES[field.type].numpy)
    else:
        reasons = {}
        for at in _doubtful(found, values, field):
            try:
                _one_dense(values[at], field)
            except Refused as refused:
                reasons[at] = str(refused)
    return Column(numpy.ascontiguousarray(found), width * found.itemsize), reasons


def _all_at_once(values: Any, field: Field, width: int) -> Any:
    """The column as an array, which may still hold what is not finite; ``None`` if it has to be looked at row by row."""
    import numpy

    if isinstance(values, numpy.ndarray) and values.ndim == 2:
        return _converted(values, field) if values.shape[1] == width else None
    kinds = set(map(type, values))
    if kinds == {numpy.ndarray}:
        if {each.shape for each in values} != {(width,)} or len({each.dtype for each in values}) != 1:
            return None
        return _converted(numpy.concatenate(values).reshape(len(values), width), field)
    if kinds == {bytes} and field.type != "FLOAT_VECTOR":
        dtype = numpy.dtype(DATA_TYPES[field.type].numpy)
        if set(map(len, values)) != {width * dtype.itemsize}:
            return None
        return numpy.frombuffer(b"".join(values), dtype).reshape(-1, width)
    return _packed(values, field, width) if kinds and kinds <= {list, tuple} else None


def _packed(values: Sequence[Sequence[Any]], field: Field, width: int) -> Any:
    """Lists of Python's numbers. ``struct`` is faster than NumPy here, and refuses text, None and wrong lengths."""
    import numpy

    # A bfloat16 is packed as the float that it is rounded from.
    dtype = numpy.dtype("<f4" if field.type == "BFLOAT16_VECTOR" else DATA_TYPES[field.type].numpy)
    pack = struct.Struct(f"<{width}{dtype.char}")
    packed = bytearray(pack.size * len(values))
    try:
        for at, value in enumerate(values):
            pack.pack_into(packed, at * pack.size, *value)
    except (struct.error, OverflowError, TypeError, ValueError):
        return None
    return _converted(numpy.frombuffer(packed, dtype).reshape(-1, width), field)


def _converted(found: Any, field: Field) -> Any:
    """An array of any numbers as one of the protocol's, or ``None`` where something would be lost but digits of a fraction."""
    import numpy

    wire, kind = numpy.dtype(DATA_TYPES[field.type].numpy), found.dtype.kind
    if field.type not in FLOAT_VECTORS:
        if kind not in "iu" or (found.size and (found.min() < numpy.iinfo(wire).min or found.max() > numpy.iinfo(wire).max)):
            return None
        return found.astype(wire, copy=False)
    if found.dtype.name == "bfloat16":
        same = field.type == "BFLOAT16_VECTOR"
        return numpy.ascontiguousarray(found).view("uint16") if same else _converted(found.astype("float32"), field)
    if kind not in "fiu":
        return None
    with numpy.errstate(over="ignore", invalid="ignore"):
        return found.astype(wire, copy=False) if wire.kind == "f" else _bfloat16(found.astype("float32", copy=False))


def _bfloat16(found: Any) -> Any:
    """The upper half of each float32, rounded to the nearest, and to the even one of two."""
    import numpy

    bits = numpy.ascontiguousarray(found).view("uint32")
    rounded = ((bits + numpy.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16).astype("uint16")
    # Rounding may carry a NaN's bits into the sign.
    return numpy.where(numpy.isnan(found), numpy.uint16(0x7FC0), rounded)


def _doubtful(found: Any, values: Any, field: Field) -> list[int]:
    """The rows that need a second look: those that are not finite, and those where a 0 or 1 may have been a boolean."""
    import numpy

    if field.type in FLOAT_VECTORS:
        fine = (found & 0x7F80) != 0x7F80 if field.type == "BFLOAT16_VECTOR" else numpy.isfinite(found)
        rows = set(numpy.flatnonzero(~fine.all(axis=1)).tolist())
    else:
        rows = set()
    if isinstance(values, list) and values and isinstance(values[0], (list, tuple)):
        one = 0x3F80 if field.type == "BFLOAT16_VECTOR" else 1
        maybe = numpy.flatnonzero(((found == 0) | (found == one)).any(axis=1)).tolist()
        rows |= {at for at in maybe if not {bool, numpy.bool_}.isdisjoint(map(type, values[at]))}
    return sorted(rows)


def _one_dense(value: Any, field: Field) -> Any:
    """One vector as an array of the protocol's numbers."""
    import numpy

    width = width_of(field)
    found = _all_at_once([value], field, width)
    if found is not None and not _doubtful(found, [value], field):
        return found[0]
    if isinstance(value, bytes | bytearray) or (isinstance(value, memoryview) and value.format == "B"):
        return _from_bytes(bytes(value), field, width)
    if isinstance(value, _TEXTS_AND_MAPS) or not hasattr(value, "__len__"):
        raise Refused(f"{shown(value)} is not a vector")
    if isinstance(value, numpy.ndarray) and value.dtype.kind == "O":
        value = value.tolist()
    if isinstance(value, list | tuple):
        for at, each in enumerate(value):
            if isinstance(each, bool | numpy.bool_) or not isinstance(each, Real | Decimal):
                raise Refused(f"at {at} of the vector: {not_a('a number', each)}")
        value = [as_float(each) for each in value] if field.type in FLOAT_VECTORS else list(value)
    array = numpy.asarray(value)
    if array.ndim != 1:
        raise Refused(f"is not a vector but an array of {array.ndim} dimensions")
    if len(array) != width:
        raise Refused(_wrong_width(field, len(array)))
    return _one_converted(array, field)


def _one_converted(array: Any, field: Field) -> Any:
    import numpy

    found = _converted(array, field)
    if found is None:
        if array.dtype.kind in "iu":
            limits = numpy.iinfo(DATA_TYPES[field.type].numpy)
            wrong = array[(array < limits.min) | (array > limits.max)][0]
            raise Refused(f"holds {wrong}, and {_a(field.type)} has numbers from {limits.min} to {limits.max}")
        raise Refused(f"is a vector of {array.dtype}, which is not lossless as {_a(field.type)}")
    if field.type in FLOAT_VECTORS:
        if len(wrong := numpy.flatnonzero(~numpy.isfinite(array.astype("float64")))):
            raise Refused(f"holds {array[wrong[0]]} at {wrong[0]}, which no distance can be computed with")
        fine = (found & 0x7F80) != 0x7F80 if field.type == "BFLOAT16_VECTOR" else numpy.isfinite(found)
        if len(wrong := numpy.flatnonzero(~fine)):
            raise Refused(f"holds {array[wrong[0]]} at {wrong[0]}, which is too large for {_a(field.type)}")
    return found


def _from_bytes(value: bytes, field: Field, width: int) -> Any:
    import numpy

    if field.type == "FLOAT_VECTOR":
        raise Refused("bytes are not a FLOAT_VECTOR; give numbers")
    dtype = numpy.dtype(DATA_TYPES[field.type].numpy)
    if len(value) != width * dtype.itemsize:
        raise Refused(f"has {len(value)} bytes; {_a(field.type)} of dim {field.dim} has {width * dtype.itemsize}")
    return _one_converted(numpy.frombuffer(value, dtype), field) if field.type != "BFLOAT16_VECTOR" else _halves(value)


def _halves(value: bytes) -> Any:
    import numpy

    found = numpy.frombuffer(value, "uint16")
    if ((found & 0x7F80) == 0x7F80).any():
        raise Refused("holds NaN or infinity, which no distance can be computed with")
    return found


def _wrong_width(field: Field, width: int) -> str:
    if field.type == "BINARY_VECTOR":
        return f"has {width} bytes; a BINARY_VECTOR of dim {field.dim} has {width_of(field)}"
    return f"has {width} dimensions; the field has {field.dim}"


def _a(kind: str) -> str:
    return f"an {kind}" if kind.startswith("INT8") else f"a {kind}"


def sparse(values: Any, field: Field) -> tuple[Column, Reasons]:
    """A column of sparse vectors: ``{index: value}``, pairs, ``{"indices": [...], "values": [...]}`` or SciPy's rows."""
    import numpy

    rows, reasons = one_by_one(values, _one_sparse, b"")
    # Each has its own tag and length.
    return Column(rows, numpy.fromiter(map(len, rows), numpy.int64, len(rows)) + 6), reasons


def _one_sparse(value: Any) -> bytes:
    """The protocol's bytes: pairs of an unsigned integer and a float, by index."""
    import numpy

    pairs = _pairs(value)
    try:
        # A list of another kind of numbers, or of text, is for the slow path, which says what is wrong with it.
        plain = {type(index) for index, _ in pairs} <= {int} and {type(number) for _, number in pairs} <= {float, int}
        packed = struct.pack(f"<{'If' * len(pairs)}", *chain.from_iterable(sorted(pairs))) if plain else b""
    except (struct.error, OverflowError):
        plain = False
    if plain:
        found = numpy.frombuffer(packed, SPARSE_PAIR)
        index, number = found["index"], found["value"]
        if (index[1:] > index[:-1]).all() and (index <= LARGEST_INDEX).all() and ((number >= 0) & (number < numpy.inf)).all():
            return packed
    pairs = sorted(map(_pair, pairs))
    for (index, _), (following, _) in pairwise(pairs):
        if index == following:
            raise Refused(f"has the index {index} twice")
    return struct.pack(f"<{'If' * len(pairs)}", *chain.from_iterable(pairs))


def _pairs(value: Any) -> Sequence[tuple[Any, Any]]:
    if hasattr(value, "tocoo"):
        if value.ndim == 2 and value.shape[0] != 1:
            raise Refused(f"is a matrix of {value.shape[0]} rows, not a sparse vector")
        made = value.tocoo()
        return list(zip(made.col.tolist(), made.data.tolist(), strict=True))
    if isinstance(value, Mapping):
        if set(value) == {"indices", "values"}:
            indices, values = (_listed(value[part]) for part in ("indices", "values"))
            if len(indices) != len(values):
                raise Refused(f"has {len(indices)} indices and {len(values)} values")
            return list(zip(indices, values, strict=True))
        return list(value.items())
    if not isinstance(value, list | tuple) or not all(isinstance(each, list | tuple) and len(each) == 2 for each in value):
        raise Refused(f"{shown(value)} is not a sparse vector; give a dict of index and value")
    return [(index, number) for index, number in value]


def _listed(part: Any) -> list[Any]:
    if not hasattr(part, "__len__") or isinstance(part, str):
        raise Refused(f"{shown(part)} is not a list of indices or values")
    return list(part)


def _pair(pair: tuple[Any, Any]) -> tuple[int, float]:
    index, number = pair
    # JSON has no other keys than text.
    if isinstance(index, str) and index.isascii() and index.isdecimal() and len(index) < 20:
        index = int(index)
    if isinstance(index, bool) or not hasattr(index, "__index__"):
        raise Refused(f"the index {shown(index)} is not a whole number")
    index = index.__index__()
    if not 0 <= index <= LARGEST_INDEX:
        raise Refused(f"the index {index} is not in 0 to {LARGEST_INDEX}")
    if isinstance(number, bool) or not isinstance(number, Real | Decimal):
        raise Refused(f"the value {shown(number)} at index {index} is not a number")
    if not math.isfinite(as_float(number)):
        raise Refused(f"the value {shown(number)} at index {index} is not finite")
    try:
        struct.pack("<f", number)
    except OverflowError:
        raise Refused(f"the value {shown(number)} at index {index} is too large for a float") from None
    if number < 0:
        raise Refused(f"the value {shown(number)} at index {index} is negative, which no sparse index of Milvus takes")
    return index, as_float(number)
