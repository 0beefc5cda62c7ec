"""JSON as sources have it: read with NaN, which JSON does not know, and written whatever a row holds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")
_LONG = b"0" * 19


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
