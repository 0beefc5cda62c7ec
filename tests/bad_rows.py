"""Kinds of bad rows, each among good rows: the row number, the field and the reason.

For the tests of the check and of the operators that use it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import numpy
import pandas

from airflow_provider_milvus.rows.chunk import MISSING, Chunk

KEY = {"name": "id", "type": "INT64", "is_primary": True}
VECTOR = {"name": "vector", "type": "FLOAT_VECTOR", "dim": 4}
GOOD = [0.1, 0.2, 0.3, 0.4]


@dataclass(frozen=True, slots=True)
class BadRowCase:
    """Rows of which one is bad. ``number`` is its row number; ``reason`` is a part of the reason that the check gives."""

    id: str
    schema: dict[str, Any]
    rows: list[dict[Any, Any]]
    number: int
    field: str | None
    reason: str
    upsert: bool = False


def chunk_of(rows: list[dict[Any, Any]], first: int = 1) -> Chunk:
    """Rows as a source yields them."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [row.get(name, MISSING) for row in rows] for name in names}
    return Chunk(range(first, first + len(rows)), columns)


def _of_field(id: str, field: dict[str, Any], good: Any, bad: Any, reason: str) -> BadRowCase:
    """Three rows with a key, the field and, unless the field is a vector, a vector. The second row has the ``bad`` value."""
    field = {"name": "x", **field}
    fields = [KEY, field] if field["type"].endswith("VECTOR") else [KEY, field, VECTOR]
    vector = {} if len(fields) == 2 else {"vector": GOOD}
    rows = [{"id": number, "x": value, **vector} for number, value in enumerate((good, bad, good))]
    return BadRowCase(id, {"fields": fields}, rows, 2, "x", reason)


def _vector(id: str, bad: Any, reason: str, kind: str = "FLOAT_VECTOR", good: Any = GOOD, dim: int = 4) -> BadRowCase:
    return _of_field(id, {"type": kind, "dim": dim}, good, bad, reason)


def _sparse(id: str, bad: Any, reason: str) -> BadRowCase:
    return _of_field(id, {"type": "SPARSE_FLOAT_VECTOR"}, {1: 0.5, 7: 1.0}, bad, reason)


def _int(id: str, kind: str, bad: Any, reason: str) -> BadRowCase:
    return _of_field(id, {"type": kind}, 1, bad, reason)


def _text(id: str, bad: Any, reason: str) -> BadRowCase:
    return _of_field(id, {"type": "VARCHAR", "max_length": 8}, "good", bad, reason)


def _json(id: str, bad: Any, reason: str) -> BadRowCase:
    return _of_field(id, {"type": "JSON"}, {"a": 1}, bad, reason)


def _array(id: str, element: str, bad: Any, reason: str) -> BadRowCase:
    field = {"type": "ARRAY", "element_type": element, "max_capacity": 3}
    size = {"max_length": 4} if element == "VARCHAR" else {}
    return _of_field(id, {**field, **size}, ["a"] if element == "VARCHAR" else [1], bad, reason)


def _of_row(
    id: str, change: dict[Any, Any], field: str | None, reason: str, *, without: str = "", upsert: bool = False, **schema: Any
) -> BadRowCase:
    """Three rows of a key and a vector, of which the second is changed."""
    rows: list[dict[Any, Any]] = [{"id": number, "vector": GOOD} for number in range(3)]
    rows[1] = {name: value for name, value in {**rows[1], **change}.items() if name != without}
    return BadRowCase(id, {"fields": [KEY, VECTOR], **schema}, rows, 2, field, reason, upsert)


_AUTO_ID = [{**KEY, "auto_id": True}, VECTOR]
_BM25 = [
    KEY,
    VECTOR,
    {"name": "text", "type": "VARCHAR", "max_length": 100, "default_value": "none", "params": {"enable_analyzer": True}},
    {"name": "words", "type": "SPARSE_FLOAT_VECTOR"},
]
_FUNCTION = {"name": "bm25", "type": "BM25", "input_field_names": ["text"], "output_field_names": ["words"]}

_SPARKS = {"size": 4, "indices": [], "values": [0.1, 0.2, 0.3, 0.4]}
_NAN_BYTES = numpy.frombuffer(numpy.full(4, numpy.nan, "float16").tobytes(), "uint8")


class Unknown(Enum):
    VALUE = math.nan


BAD_ROWS = [
    # Dense vectors.
    _vector("too few dimensions", [1.0, 2.0, 3.0], "has 3 dimensions; the field has 4"),
    _vector("too many dimensions", numpy.ones(5, "float32"), "has 5 dimensions; the field has 4"),
    _vector("an empty vector", [], "has 0 dimensions"),
    _vector("NaN in a list", [1.0, math.nan, 3.0, 4.0], "holds nan at 1"),
    _vector("NaN in an array", numpy.array([1, 2, numpy.nan, 4]), "holds nan at 2"),
    _vector("infinity", [1.0, 2.0, 3.0, -math.inf], "holds -inf at 3"),
    _vector("a number for a vector", 5.0, "5.0 is not a vector"),
    _vector("text for a vector", "[0.1, 0.2, 0.3, 0.4]", "is not a vector"),
    _vector("a dict for a vector", {"a": 1.0}, "is not a vector"),
    _vector("a vector of Spark", {**_SPARKS, "type": 1}, "but a vector of Spark; write its column with"),
    _vector("float16 NaN in an array of bytes", _NAN_BYTES, "holds nan", "FLOAT16_VECTOR", _NAN_BYTES * 0),
    _vector("a matrix for a vector", numpy.ones((2, 2)), "an array of 2 dimensions"),
    _vector("a vector of texts", ["0.1", "0.2", "0.3", "0.4"], "at 0 of the vector: '0.1' (str) is not a number"),
    _vector("None in a vector", [0.1, None, 0.3, 0.4], "at 1 of the vector: None is not a number"),
    _vector("a boolean in a vector", [0.1, 0.2, True, 0.4], "at 2 of the vector: True (bool) is not a number"),
    _vector("bytes for floats", b"\x00" * 16, "bytes are not a FLOAT_VECTOR"),
    _vector("an array of booleans", numpy.ones(4, bool), "is a vector of bool"),
    _vector("None for a vector", None, "None, and the field is not nullable"),
    _vector("float32 overflow", [1.0, 1e39, 3.0, 4.0], "holds 1e+39 at 1, which is too large"),
    _vector("float32 overflow of an array", numpy.array([1.0, 1e39, 3.0, 4.0]), "too large for a FLOAT_VECTOR"),
    _vector("float16 overflow", [1.0, 70000.0, 3.0, 4.0], "too large for a FLOAT16_VECTOR", "FLOAT16_VECTOR"),
    _vector("float16 NaN in bytes", numpy.full(4, numpy.nan, "float16").tobytes(), "holds nan", "FLOAT16_VECTOR"),
    _vector("float16 of too few bytes", b"\x00" * 6, "has 6 bytes", "FLOAT16_VECTOR", b"\x00" * 8),
    _vector("float16 of half a number", b"\x00" * 7, "has 7 bytes", "FLOAT16_VECTOR", b"\x00" * 8),
    _vector("bfloat16 overflow", [1.0, 3.3961776e38, 3.0, 4.0], "too large for a BFLOAT16_VECTOR", "BFLOAT16_VECTOR"),
    _vector("bfloat16 NaN in bytes", b"\xc0\x7f" * 4, "holds NaN or infinity", "BFLOAT16_VECTOR"),
    _vector("int8 out of range", [1, 2, 3, 128], "holds 128", "INT8_VECTOR", [1, 2, 3, -128]),
    _vector("int8 too small", numpy.array([1, 2, 3, -129]), "holds -129", "INT8_VECTOR", [1, 2, 3, -128]),
    _vector("a fraction for an int8", [1, 2, 3, 4.5], "vector of float64", "INT8_VECTOR", [1, 2, 3, -128]),
    _vector("binary of a byte too many", b"abc", "has 3 bytes", "BINARY_VECTOR", b"ab", 16),
    _vector("binary of a byte too few", [1], "has 1 bytes", "BINARY_VECTOR", [1, 255], 16),
    _vector("a byte out of range", [1, 256], "holds 256", "BINARY_VECTOR", [1, 255], 16),
    # Sparse vectors.
    _sparse("a sparse vector of Spark", {**_SPARKS, "type": 0}, "but a vector of Spark"),
    _sparse("plain text for a sparse vector", "three", "'three' is not a sparse vector; as text it has to be JSON"),
    _sparse("a negative index", {-1: 0.5}, "the index -1 is not in 0 to 4294967294"),
    _sparse("an index too large", {2**32 - 1: 0.5}, "the index 4294967295 is not in"),
    _sparse("an index twice", [(3, 0.5), (3, 0.6)], "has the index 3 twice"),
    _sparse("an index twice, once as text", {3: 0.5, "3": 0.6}, "has the index 3 twice"),
    _sparse("an index with a fraction", {1.5: 0.5}, "the index 1.5 is not a whole number"),
    _sparse("a sparse NaN", {3: math.nan}, "the value nan at index 3"),
    _sparse("a sparse infinity", {3: math.inf}, "the value inf at index 3"),
    _sparse("a negative weight", {3: -0.5}, "the value -0.5 at index 3 is negative"),
    _sparse("a sparse text", {3: "0.5"}, "'0.5' at index 3 is not a number"),
    _sparse("a dense vector for a sparse one", [0.1, 0.2], "is not a sparse vector"),
    _sparse("an index of many digits", {"9" * 5000: 0.5}, "is not a whole number"),
    _sparse("pairs of which one is none", [(1, 0.5), [2]], "is not a sparse vector"),
    _sparse("an index for all values", {"indices": 1, "values": [0.5]}, "1 is not a list of indices"),
    _sparse("indices without their values", {"indices": [1, 2], "values": [0.5]}, "2 indices and 1 values"),
    # Numbers.
    _int("int8 too large", "INT8", 128, "128 is out of range: INT8 goes from -128 to 127"),
    _int("int16 too small", "INT16", -32769, "out of range"),
    _int("int32 too large", "INT32", 2**31, "out of range"),
    _int("int64 too large", "INT64", 2**63, "out of range"),
    _int("a fraction for an integer", "INT32", 1.5, "1.5 has a fraction"),
    _int("a decimal with a fraction for an integer", "INT64", Decimal("1.5"), "1.5 has a fraction"),
    _int("NaN for an integer", "INT64", math.nan, "nan is not an integer"),
    _int("a boolean for an integer", "INT64", True, "True (bool) is not an integer"),
    _int("a span of time for an integer", "INT64", numpy.timedelta64(5, "s"), "(timedelta64) is not an integer"),
    _int("text for an integer", "INT64", "5", "'5' (str) is not an integer"),
    _int("None for an integer", "INT64", None, "None, and the field is not nullable"),
    _of_field("an integer for a boolean", {"type": "BOOL"}, True, 1, "1 (int) is not a boolean"),
    _of_field("text for a float", {"type": "FLOAT"}, 0.5, "0.5", "(str) is not a number"),
    _of_field("a boolean for a float", {"type": "FLOAT"}, 0.5, False, "(bool) is not a number"),
    _of_field("NaN for a float", {"type": "FLOAT"}, 0.5, math.nan, "nan is not a finite number"),
    _of_field("infinity for a double", {"type": "DOUBLE"}, 0.5, math.inf, "inf is not a finite number"),
    _of_field("a float too large", {"type": "FLOAT"}, 0.5, 1e39, "too large for FLOAT"),
    _of_field("an integer too large for a double", {"type": "DOUBLE"}, 0.5, 10**400, "too large for DOUBLE"),
    # Texts. Milvus counts bytes.
    _text("text too long", "nine long", "is a text of 9 bytes in UTF-8; max_length is 8"),
    _text("text too long in bytes alone", "ééééé", "is a text of 10 bytes"),
    _text("half a character", "\ud800", "lone surrogate"),
    _text("a number for a text", 5, "5 (int) is not a text; give str(value)"),
    _text("a moment of pandas for a text", pandas.Timestamp("2026-03-10"), "give value.isoformat()"),
    _text("bytes for a text", b"good", "(bytes) is not a text"),
    _text("a date for a text", date(2026, 3, 10), "give value.isoformat()"),
    _of_field(
        "a moment without a zone", {"type": "TIMESTAMPTZ"}, "2026-03-10T00:00:00Z", datetime(2026, 3, 10), "no time zone"
    ),
    _of_field("a pair for a geometry", {"type": "GEOMETRY"}, "POINT (1 2)", (1, 2), "not a text"),
    # JSON.
    _json("NaN in JSON", {"a": [1.0, math.nan]}, "NaN or infinity"),
    _json("a date in JSON", {"a": datetime(2026, 3, 10, tzinfo=UTC)}, "give value.isoformat()"),
    _json("a decimal in JSON", {"a": Decimal("1.5")}, "give float(value) or str(value)"),
    _json("a set in JSON", {"a": {1, 2}}, "cannot be written as JSON"),
    _json("a number as a key in JSON", {"a": {1: "one"}}, "Dict key must be str"),
    _json("an integer too large for JSON", {"a": 2**64}, "cannot be written as JSON"),
    _json("half a character in JSON", {"a": "\ud800"}, "cannot be written as JSON"),
    _json("plain text for JSON", "plain", "is not JSON"),
    _json("NaN in JSON text", '{"a": NaN}', "NaN or infinity"),
    _json("an integer too large in JSON text", '{"a": 123456789012345678901234567890}', "cannot be written as JSON"),
    _json("half a character in JSON text", '{"a": "\\ud800"}', "cannot be written as JSON"),
    _json("an enum of NaN in JSON", {"a": Unknown.VALUE}, "NaN or infinity"),
    _json("a moment of pandas in JSON", {"a": pandas.Timestamp("2026-03-10")}, "give value.isoformat()"),
    _json("a moment of NumPy in JSON", {"a": numpy.datetime64("2026-03-10")}, "give str(value)"),
    _json("JSON too large", {"a": "x" * 65536}, "is JSON of 65544 bytes; Milvus takes 65536"),
    # Arrays.
    _array("too many elements", "INT32", [1, 2, 3, 4], "has 4 elements; max_capacity is 3"),
    _array("an element of the wrong type", "INT32", [1, "2"], "at 1 of the array: '2' (str) is not an integer"),
    _array("an element out of range", "INT8", [1, 200], "at 1 of the array: 200 is out of range"),
    _array("None in an array", "INT64", [1, None], "at 1 of the array: None is not an integer"),
    _array("an element too long", "VARCHAR", ["a", "ééé"], "at 1 of the array: is a text of 6 bytes"),
    _array("moments for an array", "INT64", numpy.array(["2026-03-10"], "datetime64[ns]"), "is not a list"),
    _array("text for an array", "VARCHAR", "abc", "'abc' (str) is not a list"),
    # Rows.
    _of_row("a missing field", {}, "vector", "is missing", without="vector"),
    _of_row("a missing key", {}, "id", "is missing", without="id"),
    _of_row("a key that is None", {"id": None}, "id", "is None"),
    _of_row("a key of the wrong type", {"id": "1"}, "id", "'1' (str) is not an integer"),
    _of_row("a key with a fraction", {"id": 1.5}, "id", "1.5 has a fraction"),
    _of_row("an unknown field", {"color": "red"}, "color", "the collection has no such field"),
    BadRowCase(
        "a key that the server makes",
        {"fields": _AUTO_ID},
        [{"vector": GOOD}, {"id": 1, "vector": GOOD}],
        2,
        "id",
        "the server generates this key",
    ),
    _of_row("an upsert without the key", {}, "id", "is missing", without="id", upsert=True),
    _of_row("a field that the server computes", {"words": {1: 0.5}}, "words", "computes", fields=_BM25, functions=[_FUNCTION]),
    _of_row("Milvus's own field, which is no object", {"$meta": [1]}, "$meta", "no dict of dynamic", enable_dynamic_field=True),
    _of_row("Milvus's own field as plain text", {"$meta": "a"}, "$meta", "'a' is not JSON", enable_dynamic_field=True),
    _of_row("a field among the dynamic values", {"$meta": {"id": 7}}, "$meta", "has 'id', which", enable_dynamic_field=True),
    _of_row("a dynamic value twice", {"$meta": {"a": 7}, "a": 7}, "$meta", "has 'a', which", enable_dynamic_field=True),
    _of_row("dynamic values in themselves", {"$meta": {"$meta": {}}}, "$meta", "has '$meta'", enable_dynamic_field=True),
    _of_row("Milvus's own field without one", {"$meta": {}}, "$meta", "the collection has no such field"),
    _of_row("a dynamic name that is no text", {7: "a"}, "7", "is not a text", enable_dynamic_field=True),
    _of_row("a dynamic value that is not JSON", {"a": {1}}, "a", "cannot be written as JSON", enable_dynamic_field=True),
    _of_row("a dynamic NaN", {"a": 1.0, "b": math.nan}, "b", "NaN or infinity", enable_dynamic_field=True),
    _of_row("dynamic values too large", {"a": "x" * 40000, "b": "x" * 40000}, None, "JSON of 80015", enable_dynamic_field=True),
    _of_row("a key twice", {"id": 0}, "id", "row 1 has the same key 0"),
]
