"""JSON as sources have it: read with NaN, which JSON does not know, and written whatever a row holds."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import Any

import numpy

_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")
_LONG = b"0" * 19
_LARGE = 2.0**63
_FLOATS = numpy.dtype("<f8")
_ZEROS = b"\0" * 6
"""How both 0 and 1 begin as 64-bit floats."""


def read_json(text: str | bytes) -> Any:
    """The value of a JSON text. NaN and infinity are read, so that the check of the rows can name them.

    :raises ValueError: the text is not JSON.
    """
    import orjson

    try:
        encoded = text.encode() if isinstance(text, str) else text
        # Ten times as fast for vectors, but it knows neither NaN nor half characters, and makes a float of a large integer.
        if not _may_have_large_integer(encoded):
            return orjson.loads(encoded)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        pass
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _may_have_large_integer(text: bytes) -> bool:
    """Whether it has 19 digits in a row, which may be a larger integer than 64 bits hold; those of a fraction do not count.

    With all digits made zeros a search finds them, in a tenth of the time that a regular expression takes.
    """
    digits = text.translate(_TO_ZERO)
    at = digits.find(_LONG)
    while at >= 0 and digits[at - 1 : at] == b".":
        at = digits.find(_LONG, at + len(_LONG))
    return at >= 0


def read_row(text: bytes, vectors: Collection[str]) -> Any:
    """The same of a row, with those of its values that are ``vectors`` of floats as by :func:`compacted`.

    :raises ValueError: the text is not JSON.
    """
    import orjson

    try:
        row = orjson.loads(text)
    except orjson.JSONDecodeError:
        row = read_json(text)
    if not isinstance(row, dict):
        return row
    for name in vectors:
        if name in row:
            row[name] = compacted(row[name])
    # In a vector a large integer becomes a float all the same.
    if any(map(_may_be_rounded, row.values())) and _may_have_large_integer(text):
        row |= {name: value for name, value in read_json(text).items() if row[name].__class__ is not numpy.ndarray}
    return row


def read_vector(text: str) -> Any:
    """The same of a vector of floats alone."""
    import orjson

    try:
        return compacted(orjson.loads(text))
    except orjson.JSONDecodeError:
        return compacted(read_json(text))


def compacted(numbers: Any) -> Any:
    """A list of numbers as an array of 64-bit floats, which takes a quarter of the memory; anything else as it is.

    It is made while the vector is at hand: a processor's cache holds a vector, and not a chunk of them.
    """
    if not isinstance(numbers, list):
        return numbers
    try:
        packed = _packer(len(numbers))(*numbers)
    except (struct.error, OverflowError):
        return numbers
    # A 0 or 1 may have been a boolean, which is no number. Few other numbers have that many zeros.
    if _ZEROS in packed and bool in set(map(type, numbers)):
        return numbers
    return numpy.frombuffer(packed, _FLOATS)


@lru_cache(maxsize=16)
def _packer(count: int) -> Callable[..., bytes]:
    return struct.Struct(f"<{count}d").pack


def _may_be_rounded(value: Any) -> bool:
    """Whether a value of orjson's may be, or hold, a float that is a large integer in the text."""
    kind = value.__class__
    return kind is list or kind is dict or (kind is float and not -_LARGE < value < _LARGE)


def write_json(values: Mapping[str, Any]) -> bytes:
    """A JSON object of any values: vectors and bytes as lists, what JSON cannot hold as its ``repr``."""
    text = json.dumps({key: _to_json_value(value) for key, value in values.items()}, ensure_ascii=False, allow_nan=False)
    # Half a character (a lone surrogate) becomes \udc80, which is how JSON writes it.
    return text.encode("utf-8", "backslashreplace")


def _to_json_value(value: Any) -> Any:
    try:
        return _to_plain(value)
    except RecursionError:
        return repr(value)  # It holds itself.


def _to_plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else repr(float(value))
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else repr(_to_plain(key)): _to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_plain(item) for item in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return list(bytes(value))
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers, array.array
        return _to_plain(value.tolist())
    return repr(value)
