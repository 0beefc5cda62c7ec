"""Scalars, texts, JSON and arrays against their field, a column at once; one by one only to find the culprits.

A value is converted only where nothing is lost but digits of a fraction: 3.0 is an integer, "3" and ``True`` are not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time
from decimal import Decimal
from functools import partial
from itertools import accumulate, chain, pairwise
from numbers import Integral, Real
from typing import Any

from airflow_provider_milvus.rows.column import Column, Reasons, Refused, as_float, not_a, one_by_one, shown
from airflow_provider_milvus.schema.model import LARGEST_ARRAY, LONGEST_TEXT, Field
from airflow_provider_milvus.schema.types import DATA_TYPES, FLOATS, INTEGERS, TEXTS, integer_range

LARGEST_JSON = 65536
"""Bytes of one JSON value; Milvus counts all dynamic values of a row as one."""

_TAG_AND_LENGTH = 6
"""Bytes that come before a text or bytes on the wire, at most; shorter ones have 2."""


def scalars(values: Any, field: Field) -> tuple[Column, Reasons]:
    """A column of any type but vectors. ``values`` holds no null."""
    if field.type in INTEGERS:
        return _integers(values, field)
    if field.type in FLOATS:
        return _floats(values, field)
    if field.type in TEXTS:
        return _texts(values, field)
    by_type: dict[str, Callable[[Any, Field], tuple[Column, Reasons]]] = {"BOOL": _booleans, "JSON": _json, "ARRAY": _arrays}
    return by_type[field.type](values, field)


def _booleans(values: Any, field: Field) -> tuple[Column, Reasons]:
    import numpy

    if isinstance(values, numpy.ndarray) and values.dtype.kind == "b":
        return Column(values, 1), {}
    found, reasons = one_by_one(values, _boolean, False)
    return Column(numpy.array(found, dtype=bool), 1), reasons


def _boolean(value: Any) -> bool:
    import numpy

    if not isinstance(value, bool | numpy.bool_):
        raise not_a("a boolean", value)
    return bool(value)


def _integers(values: Any, field: Field) -> tuple[Column, Reasons]:
    import numpy

    allowed = integer_range(field.type)
    reasons: Reasons = {}
    found = values if isinstance(values, numpy.ndarray) and values.dtype.kind in "iu" else _of_plain(values, {int}, "int64")
    if found is None or (found.size and not (int(found.min()) in allowed and int(found.max()) in allowed)):
        plain, reasons = one_by_one(values, partial(_integer, kind=field.type), 0)
        found = numpy.array(plain, dtype="int64")
    found = found.astype("int64", copy=False)
    return Column(found, _varint_sizes(found)), reasons


def _of_plain(values: Any, kinds: set[type], dtype: str) -> Any:
    """A list of nothing but Python's own numbers, as an array; ``None`` if it is something else, or too large for it."""
    import numpy

    if not isinstance(values, list) or not set(map(type, values)) <= kinds:
        return None
    try:
        return numpy.array(values, dtype=dtype)
    except OverflowError:
        return None


def _integer(value: Any, kind: str) -> int:
    import numpy

    if isinstance(value, bool | numpy.bool_) or not isinstance(value, Real | Decimal):
        raise not_a("an integer", value)
    if not isinstance(value, Integral) and not math.isfinite(as_float(value)):
        raise Refused(f"{value} is no integer")
    exactly: Any = value
    if value != (whole := int(exactly)):
        raise Refused(f"{value} has a fraction, and the field is {kind}")
    if whole not in (allowed := integer_range(kind)):
        raise Refused(f"{shown(whole)} is out of range: {kind} goes from {allowed[0]} to {allowed[-1]}")
    return whole


def _varint_sizes(found: Any) -> Any:
    """Bytes that each integer takes on the wire: 1 to 9, and 10 for a negative one."""
    import numpy

    steps = numpy.array([2 ** (7 * count) for count in range(1, 9)], dtype="int64")
    return numpy.where(found < 0, 10, numpy.searchsorted(steps, found, side="right") + 1)


def _floats(values: Any, field: Field) -> tuple[Column, Reasons]:
    import numpy

    dtype = numpy.dtype(DATA_TYPES[field.type].numpy)
    numbers = isinstance(values, numpy.ndarray) and values.dtype.kind in "fiu"
    found = values if numbers else _of_plain(values, {int, float}, "float64")
    reasons: Reasons = {}
    if found is not None:
        with numpy.errstate(over="ignore"):
            found = found.astype(dtype, copy=False)
    if found is None or not numpy.isfinite(found).all():
        plain, reasons = one_by_one(values, partial(_float, field=field), 0.0)
        found = numpy.array(plain, dtype=dtype)
    return Column(found, dtype.itemsize), reasons


def _float(value: Any, field: Field) -> float:
    import numpy

    if isinstance(value, bool | numpy.bool_) or not isinstance(value, Real | Decimal):
        raise not_a("a number", value)
    number = as_float(value)
    if math.isfinite(number):
        with numpy.errstate(over="ignore"):
            if numpy.isfinite(numpy.dtype(DATA_TYPES[field.type].numpy).type(number)):
                return number
    if isinstance(value, Integral) or math.isfinite(number):
        raise Refused(f"{shown(value)} is too large for {field.type}")
    raise Refused(f"{value} is not a finite number")


def _texts(values: Any, field: Field) -> tuple[Column, Reasons]:
    import numpy

    texts = values.tolist() if isinstance(values, numpy.ndarray) else list(values)
    longest = (field.max_length or LONGEST_TEXT) if field.type == "VARCHAR" else None
    if set(map(type, texts)) <= {str} and "".join(texts).isascii():
        lengths = numpy.fromiter(map(len, texts), numpy.int64, len(texts))
        if longest is None or not len(lengths) or lengths.max() <= longest:
            return Column(texts, lengths + _TAG_AND_LENGTH), {}
    texts, reasons = one_by_one(texts, partial(_text, field=field, longest=longest), "")
    lengths = numpy.fromiter((len(each) if each.isascii() else len(each.encode()) for each in texts), numpy.int64, len(texts))
    return Column(texts, lengths + _TAG_AND_LENGTH), reasons


def _text(value: Any, field: Field, longest: int | None) -> str:
    if isinstance(value, datetime) and field.type == "TIMESTAMPTZ":
        if value.tzinfo is None:
            raise Refused(f"{value} has no time zone; give it one, or write the moment as text")
        return value.isoformat()
    if not isinstance(value, str):
        raise not_a("a text; give value.isoformat(), or the like" if isinstance(value, date | time) else "a text", value)
    text = str(value)
    try:
        length = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError:
        raise Refused("is a text with half a character (a lone surrogate), which UTF-8 cannot write") from None
    if longest is not None and length > longest:
        raise Refused(f"is a text of {length} bytes in UTF-8; max_length is {longest}")
    return text


def _json(values: Any, field: Field) -> tuple[Column, Reasons]:
    return written_as_json(values, _json_text)


def dynamic_values(values: Sequence[Mapping[Any, Any]]) -> tuple[Column, Reasons]:
    """Each row's dynamic values as the one JSON object in which Milvus keeps them."""
    return written_as_json(values, as_json)


def written_as_json(values: Any, convert: Callable[[Any], bytes]) -> tuple[Column, Reasons]:
    import numpy

    found, reasons = one_by_one(values, convert, b"")
    return Column(found, numpy.fromiter(map(len, found), numpy.int64, len(found)) + _TAG_AND_LENGTH), reasons


def _json_text(value: Any) -> bytes:
    """As pymilvus has it: a text in a JSON field is JSON already."""
    import orjson

    if not isinstance(value, str):
        return as_json(value)
    try:
        orjson.loads(value)
    except (ValueError, RecursionError):
        advice = "a text in a JSON field is taken as JSON; write json.dumps(text) for a plain one"
        raise Refused(f"{shown(value)} is not JSON: {advice}") from None
    return _not_too_large(value.encode())


def as_json(value: Any) -> bytes:
    import orjson

    try:
        written = orjson.dumps(value, _plain, orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS)
    except (TypeError, RecursionError) as error:
        raise Refused(f"cannot be written as JSON: {error.__cause__ or error}") from None
    # orjson writes what is not finite as null.
    if b"null" in written and not _finite(value):
        raise Refused("cannot be written as JSON: it holds NaN or infinity")
    return _not_too_large(written)


def _not_too_large(written: bytes) -> bytes:
    if len(written) > LARGEST_JSON:
        raise Refused(f"is JSON of {len(written)} bytes; Milvus takes {LARGEST_JSON}")
    return written


def _plain(value: Any) -> Any:
    """What orjson does not know: NumPy's values, as Python's. Dates and decimals have no place in JSON that all agree on."""
    import numpy

    if isinstance(value, numpy.ndarray | numpy.generic) and value.dtype.kind in "biufU":
        return value.tolist()
    advice = {Decimal: "float(value) or str(value)", datetime: "value.isoformat()", date: "value.isoformat()"}
    said = advice.get(type(value))
    raise TypeError(f"{shown(value)} ({type(value).__name__})" + (f"; give {said}" if said else ""))


def _finite(value: Any) -> bool:
    """Whether no number in it is NaN or infinite."""
    import numpy

    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, numpy.ndarray | numpy.generic):
            each = each.tolist()
        if isinstance(each, Mapping):
            waiting.extend(each.values())
        elif isinstance(each, list | tuple):
            waiting.extend(each)
        elif isinstance(each, float) and not math.isfinite(each):
            return False
    return True


def _arrays(values: Any, field: Field) -> tuple[Column, Reasons]:
    """Each row a list. The elements of the whole column are checked at once, as a column of their own type."""
    import numpy

    rows, reasons = one_by_one(values, partial(_listed, most=field.max_capacity or LARGEST_ARRAY), [])
    element = replace(field, type=str(field.element_type), element_type=None)
    flat, wrong = scalars(list(chain.from_iterable(rows)), element)
    ends = list(accumulate(map(len, rows), initial=0))
    if wrong:
        for at, (first, end) in enumerate(pairwise(ends)):
            for place in range(first, end):
                if place in wrong:
                    reasons[at] = f"at {place - first} of the array: {wrong[place]}"
                    break
    elements = flat.values if isinstance(flat.values, list) else flat.values.tolist()
    sizes = flat.sizes if not isinstance(flat.sizes, int) else numpy.full(len(elements), flat.sizes)
    totals = numpy.concatenate(([0], numpy.cumsum(sizes)))
    # A message in a message in a list, each with its tag and length.
    return Column(
        [elements[first:end] for first, end in pairwise(ends)], numpy.diff(totals[ends]) + 3 * _TAG_AND_LENGTH
    ), reasons


def _listed(value: Any, most: int) -> list[Any]:
    import numpy

    if isinstance(value, numpy.ndarray) and value.ndim == 1:
        value = value.tolist()
    if not isinstance(value, list | tuple):
        raise not_a("a list", value)
    if len(value) > most:
        raise Refused(f"has {len(value)} elements; max_capacity is {most}")
    return list(value)
