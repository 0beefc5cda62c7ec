"""The rows of one JSON document, which is a list of objects, or such a list under the one key ``rows``.

The second is what Milvus's own import reads, and what pymilvus's bulk writer writes. The document is cut into the texts of its
rows as it is read, so that a row takes the memory, and not the document.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO

from airflow_provider_milvus.schema.model import Schema

_BLOCK = 1 << 17
_BEGIN = re.compile(rb'(?:\xef\xbb\xbf)?\s*(?:(\{)\s*"rows"\s*:\s*)?\[(?=\s*(?:\{|\]|\Z))')
_ALONE = re.compile(rb"(?:\xef\xbb\xbf)?\s*\{[ \t\r]*\n")
_STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*("?)'
_IN_A_ROW = re.compile(_STRING + rb"|[\[\]{}]", re.DOTALL)
_BETWEEN_ROWS = re.compile(_STRING + rb"|[\[\]{},]", re.DOTALL)


def is_document(beginning: bytes, schema: Schema) -> bool:
    """Whether a file that begins so is one document. In a collection with a field ``rows`` an object with that key is a row."""
    found = _BEGIN.match(beginning)
    return found is not None and not (found[1] and any(field.name == "rows" for field in schema.fields))


def is_lone_object(beginning: bytes) -> bool:
    """Whether a file that begins so is one object over several lines, which is neither a document with rows nor lines."""
    return _ALONE.match(beginning) is not None


def document_rows(stream: IO[bytes], longest: int) -> Iterator[bytes]:
    """The text of each row of a document that :func:`is_document` knows, in order.

    :raises ValueError: the document breaks off, has more after its rows, or has a row of more than ``longest`` bytes.
    """
    text = stream.read(_BLOCK)
    begin = _BEGIN.match(text)
    assert begin is not None
    first = at = begin.end()
    number, depth = 1, 0
    while True:
        mark = (_IN_A_ROW if depth else _BETWEEN_ROWS).search(text, at)
        if mark is None or mark[1] == b"":
            if len(text) - first > longest:
                raise ValueError(f"row {number} is longer than {longest >> 20} MiB")
            # What is read grows with the row, or a long text would be looked through again for each block of it.
            more = stream.read(max(_BLOCK, len(text) - first))
            if not more:
                raise ValueError(f"it breaks off in row {number}")
            at = (len(text) if mark is None else mark.start()) - first
            text = text[first:] + more
            first = 0
            continue
        at = mark.end()
        if mark[0] in (b"{", b"["):
            depth += 1
        elif depth and mark[0] in (b"}", b"]"):
            depth -= 1
        elif mark[0] in (b",", b"]"):
            row = text[first : mark.start()].strip()
            if row or number > 1 or mark[0] == b",":
                yield row
            first, number = at, number + 1
            if mark[0] == b"]":
                break
    if (text[at:] + stream.read(_BLOCK)).strip() != (b"}" if begin[1] else b""):
        raise ValueError("it does not end after its list of rows")
