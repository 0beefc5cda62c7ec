"""Values of a result that may be too large for an XCom, and their text in its place."""

from __future__ import annotations

import json
import lzma
from base64 import b64decode, b64encode
from typing import Any

MOST = 32_000
"""Characters of JSON that a value has in an XCom as it is."""
_LARGEST = 1 << 26
"""Bytes of JSON that packed text may stand for."""
_MARK = "xz:"


def pack(value: Any) -> Any:
    """``value``, which is JSON, or the text that :func:`unpack` reads where it is long.

    The text has no brace: by chance it could look like a template to Jinja.
    """
    text = json.dumps(value, separators=(",", ":"))
    return value if len(text) <= MOST else _MARK + b64encode(lzma.compress(text.encode())).decode()


def unpack(value: Any) -> Any:
    """The value that was packed; any other is returned as it is.

    :raises ValueError: it begins as packed text does, and is none.
    """
    if not is_packed(value):
        return value
    unpacking = lzma.LZMADecompressor()
    try:
        text = unpacking.decompress(b64decode(value.removeprefix(_MARK), validate=True), _LARGEST)
    except (lzma.LZMAError, ValueError) as error:
        raise ValueError(f"its text cannot be unpacked: {error}") from None
    if not unpacking.eof:
        raise ValueError("its text cannot be unpacked: it is cut off, or too long")
    return json.loads(text)


def is_packed(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(_MARK)
