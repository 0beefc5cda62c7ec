"""Checks scalars, texts, JSON and arrays against their field, a whole column at once, and one by one only to find bad values.

A value is converted only where nothing is lost but digits of a fraction: 3.0 is an integer, "3" and ``True`` are not.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from functools import partial
from itertools import accumulate, chain, pairwise
from numbers import Integral
from typing import Any

import numpy

from airflow_provider_milvus.rows.column import (
    BadValue,
    Column,
    Reasons,
    as_float,
    convert_each,
    is_number,
    listed,
    may_be_rounded,
    shorten,
    wrong_type,
)
from airflow_provider_milvus.rows.json_text import read_json
from airflow_provider_milvus.schema.model import LARGEST_ARRAY, LONGEST_TEXT, Field
from airflow_provider_milvus.schema.types import DATA_TYPES, FLOATS, INTEGERS, TEXTS, integer_range

LARGEST_JSON = 65536
"""Bytes of one JSON value. Milvus counts all dynamic values of a row as one."""

TAG_AND_LENGTH = 6
"""Bytes on the wire before a text or before bytes, at most; before short ones there are 2."""


def scalar_column(values: Any, field: Field) -> tuple[Column, Reasons]:
    """A column of any type but vectors. ``values`` holds no null."""
    if field.type in INTEGERS:
        return _integers(values, field)
    if field.type in FLOATS:
        return _floats(values, field)
    if field.type in TEXTS:
        return _texts(values, field)
    by_type: dict[str, Callable[[Any, Field], tuple[Column, Reasons]]] = {"BOOL": _booleans, "JSON": _json, "ARRAY": _arrays}
    return by_type[field.type](values, field)


def dynamic_column(values: Sequence[Mapping[Any, Any]]) -> tuple[Column, Reasons]:
    """The dynamic values of each row as one JSON object, which is how Milvus keeps them."""
    return _json_column(values, _to_json)


def _booleans(values: Any, field: Field) -> tuple[Column, Reasons]:
    if isinstance(values, numpy.ndarray) and values.dtype.kind == "b":
        return Column(values, 1), {}
    converted, reasons = convert_each(listed(values), _boolean, False)
    return Column(numpy.array(converted, dtype=bool), 1), reasons


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool | numpy.bool_):
        raise wrong_type("a boolean", value)
    return bool(value)


def _integers(values: Any, field: Field) -> tuple[Column, Reasons]:
    allowed = integer_range(field.type)
    reasons: Reasons = {}
    is_array = isinstance(values, numpy.ndarray) and values.dtype.kind in "iu"
    numbers = values if is_array else _array_of(values, {int}, "int64")
    if numbers is None or (numbers.size and not (int(numbers.min()) in allowed and int(numbers.max()) in allowed)):
        converted, reasons = convert_each(listed(values), partial(_integer, kind=field.type), 0)
        numbers = numpy.array(converted, dtype="int64")
    numbers = numbers.astype("int64", copy=False)
    return Column(numbers, _varint_sizes(numbers)), reasons


def _array_of(values: Any, types: set[type], dtype: str) -> Any:
    """A list of Python's own numbers as an array; ``None`` if it holds anything else, or a number that is too large."""
    if not isinstance(values, list) or not set(map(type, values)) <= types:
        return None
    try:
        return numpy.array(values, dtype=dtype)
    except OverflowError:
        return None


def _integer(value: Any, kind: str) -> int:
    if not is_number(value):
        raise wrong_type("an integer", value)
    if not isinstance(value, Integral) and not math.isfinite(as_float(value)):
        raise BadValue(f"{value} is not an integer")
    exact: Any = value
    if value != (whole := int(exact)):
        raise BadValue(f"{value} has a fraction, and the field is {kind}")
    if may_be_rounded(value):
        raise BadValue(f"{value!r} is a float, which may have been rounded; give an integer, in pandas of type Int64")
    if whole not in (allowed := integer_range(kind)):
        raise BadValue(f"{shorten(whole)} is out of range: {kind} goes from {allowed[0]} to {allowed[-1]}")
    return whole


def _varint_sizes(numbers: Any) -> Any:
    """The bytes that each integer takes on the wire: 1 to 9, and 10 for a negative integer."""
    steps = numpy.array([2 ** (7 * count) for count in range(1, 9)], dtype="int64")
    return numpy.where(numbers < 0, 10, numpy.searchsorted(steps, numbers, side="right") + 1)


def _floats(values: Any, field: Field) -> tuple[Column, Reasons]:
    dtype = numpy.dtype(DATA_TYPES[field.type].numpy)
    is_array = isinstance(values, numpy.ndarray) and values.dtype.kind in "fiu"
    numbers = values if is_array else _array_of(values, {int, float}, "float64")
    reasons: Reasons = {}
    if numbers is not None:
        with numpy.errstate(over="ignore"):
            numbers = numbers.astype(dtype, copy=False)
    if numbers is None or not numpy.isfinite(numbers).all():
        converted, reasons = convert_each(listed(values), partial(_float, kind=field.type), 0.0)
        numbers = numpy.array(converted, dtype=dtype)
    return Column(numbers, dtype.itemsize), reasons


def _float(value: Any, kind: str) -> float:
    if not is_number(value):
        raise wrong_type("a number", value)
    number = as_float(value)
    if math.isfinite(number):
        with numpy.errstate(over="ignore"):
            if numpy.isfinite(numpy.dtype(DATA_TYPES[kind].numpy).type(number)):
                return number
    if isinstance(value, Integral) or math.isfinite(number):
        raise BadValue(f"{shorten(value)} is too large for {kind}")
    raise BadValue(f"{value} is not a finite number")


def _texts(values: Any, field: Field) -> tuple[Column, Reasons]:
    texts = values.tolist() if isinstance(values, numpy.ndarray) else list(values)
    max_length = (field.max_length or LONGEST_TEXT) if field.type == "VARCHAR" else None
    if set(map(type, texts)) <= {str} and "".join(texts).isascii():
        lengths = numpy.fromiter(map(len, texts), numpy.int64, len(texts))
        if max_length is None or not len(lengths) or lengths.max() <= max_length:
            return Column(texts, lengths + TAG_AND_LENGTH), {}
    texts, reasons = convert_each(texts, partial(_text, field=field, max_length=max_length), "")
    return Column(texts, numpy.fromiter(map(_utf8_length, texts), numpy.int64, len(texts)) + TAG_AND_LENGTH), reasons


def _text(value: Any, field: Field, max_length: int | None) -> str:
    if isinstance(value, datetime) and field.type == "TIMESTAMPTZ":
        if value.tzinfo is None:
            raise BadValue(f"{value} has no time zone; give it one, or write the time as text")
        return value.isoformat()
    if not isinstance(value, str):
        raise wrong_type("a text", value, _hint(value))
    text = str.__str__(value)  # An enum's own `str` is its name.
    try:
        length = _utf8_length(text)
    except UnicodeEncodeError:
        raise BadValue("is a text with half a character (a lone surrogate), which UTF-8 cannot write") from None
    if max_length is not None and length > max_length:
        raise BadValue(f"is a text of {length} bytes in UTF-8; max_length is {max_length}")
    return text


def _utf8_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _json(values: Any, field: Field) -> tuple[Column, Reasons]:
    return _json_column(values, _json_object if field.narrow else _json_text)


def _json_column(values: Any, convert: Callable[[Any], bytes]) -> tuple[Column, Reasons]:
    texts, reasons = convert_each(values, convert, b"")
    return Column(texts, numpy.fromiter(map(len, texts), numpy.int64, len(texts)) + TAG_AND_LENGTH), reasons


def _json_text(value: Any) -> bytes:
    """As in pymilvus, text in a JSON field is JSON already. It is read, so that it is held to the same as a dict."""
    if not isinstance(value, str):
        return _to_json(value)
    try:
        read = read_json(value)
    except ValueError:
        hint = "a text in a JSON field is taken as JSON; write json.dumps(text) for a plain text"
        raise BadValue(f"{shorten(value)} is not JSON: {hint}") from None
    return _to_json(read)


def _json_object(value: Any) -> bytes:
    text = _json_text(value)
    if not text.startswith(b"{"):
        raise BadValue(f"{shorten(value)} is no JSON object, and this server takes no other JSON")
    return text


def _to_json(value: Any) -> bytes:
    import orjson

    try:
        text = orjson.dumps(value, _to_plain, orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS)
    except (TypeError, RecursionError) as error:
        raise BadValue(f"cannot be written as JSON: {error.__cause__ or error}") from None
    # orjson writes NaN and infinity as null.
    if b"null" in text and not _is_finite(value):
        raise BadValue("cannot be written as JSON: it holds NaN or infinity")
    if len(text) > LARGEST_JSON:
        raise BadValue(f"is JSON of {len(text)} bytes; Milvus takes {LARGEST_JSON}")
    return text


def _to_plain(value: Any) -> Any:
    """NumPy's values, which orjson does not know, as Python's. Dates and decimals are bad: JSON has no agreed form for them."""
    if isinstance(value, numpy.ndarray | numpy.generic) and value.dtype.kind in "biufU":
        return value.tolist()
    raise TypeError(f"{shorten(value)} ({type(value).__name__}){_hint(value)}")


def _hint(value: Any) -> str:
    """What to give in place of a value that is no text, and that JSON does not know either."""
    if isinstance(value, date | time):  # pandas' timestamps are among them.
        return "; give value.isoformat()"
    if isinstance(value, Decimal):
        return "; give float(value) or str(value)"
    return "; give str(value)" if is_number(value) or isinstance(value, numpy.datetime64 | numpy.timedelta64) else ""


def _is_finite(value: Any) -> bool:
    """Whether no number in the value is NaN or infinite."""
    remaining = [value]
    while remaining:
        part = remaining.pop()
        if isinstance(part, Enum):
            part = part.value
        if isinstance(part, numpy.ndarray | numpy.generic):
            part = part.tolist()
        if isinstance(part, Mapping):
            remaining.extend(part.values())
        elif isinstance(part, list | tuple):
            remaining.extend(part)
        elif isinstance(part, float) and not math.isfinite(part):
            return False
    return True


def _arrays(values: Any, field: Field) -> tuple[Column, Reasons]:
    """A column of lists. The elements of all rows are checked at once, as one column of the element type."""
    rows, reasons = convert_each(values, partial(as_list, max_capacity=field.max_capacity or LARGEST_ARRAY), [])
    element = replace(field, type=str(field.element_type), element_type=None)
    column, bad = scalar_column(list(chain.from_iterable(rows)), element)
    return Column(*in_rows(rows, column, bad, reasons)), reasons


def in_rows(rows: list[list[Any]], column: Column, bad: Reasons, reasons: Reasons, of: str = "") -> tuple[list[Any], Any]:
    """The elements of arrays, which were checked as one column, by the ``rows`` that they stand in, and the bytes of each row.

    The first bad element of a row is among its ``reasons``, after ``of``.
    """
    ends = list(accumulate(map(len, rows), initial=0))
    for position, reason in bad.items():
        row = bisect_right(ends, position) - 1
        reasons.setdefault(row, f"{of}at {position - ends[row]} of the array: {reason}")
    is_dense = isinstance(column.values, numpy.ndarray) and column.values.ndim == 2
    elements = column.values if is_dense else listed(column.values)
    totals = numpy.concatenate(([0], numpy.cumsum(numpy.broadcast_to(column.sizes, len(elements)))))
    # A message in a message in a list, each with its tag and length.
    row_sizes = numpy.diff(totals[ends]) + 3 * TAG_AND_LENGTH
    return [elements[first:end] for first, end in pairwise(ends)], row_sizes


def as_list(value: Any, max_capacity: int) -> list[Any]:
    """The elements of an array.

    :raises BadValue: it is no list, or has more than ``max_capacity`` elements.
    """
    # Of moments NumPy would make plain integers.
    if isinstance(value, numpy.ndarray) and value.ndim == 1 and value.dtype.kind not in "mM":
        value = value.tolist()
    if not isinstance(value, list | tuple):
        raise wrong_type("a list", value)
    if len(value) > max_capacity:
        raise BadValue(f"has {len(value)} elements; max_capacity is {max_capacity}")
    return list(value)
