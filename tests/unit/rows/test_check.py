"""The check of rows: which are bad and why, how good values are converted, and that the caller's data is not changed."""

from __future__ import annotations

import array
import copy
import json
import math
import struct
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from types import SimpleNamespace
from typing import Any

import numpy
import pytest
from hypothesis import given, strategies as st

from airflow_provider_milvus.exceptions import MilvusUnsupportedError
from airflow_provider_milvus.rows.check import Checked, check
from airflow_provider_milvus.rows.chunk import BadRow, Chunk
from airflow_provider_milvus.schema.model import Schema
from tests.bad_rows import BAD_ROWS, GOOD, KEY, VECTOR, BadRowCase, chunk_of

pytestmark = pytest.mark.newest

PLAIN = {"fields": [KEY, VECTOR]}


def checked(rows: list[dict[Any, Any]], schema: dict[str, Any] = PLAIN, **how: Any) -> Checked:
    return check(chunk_of(rows), Schema.of(schema), **how)


def checked_column(field: dict[str, Any], values: list[Any], **schema: Any) -> tuple[Any, tuple[BadRow, ...]]:
    """The values of one column after the check, and the bad rows."""
    vector = field["type"].endswith("VECTOR")
    fields = [KEY, {"name": "x", **field}] if vector else [KEY, {"name": "x", **field}, VECTOR]
    rows = [{"id": at, "x": value, **({} if vector else {"vector": GOOD})} for at, value in enumerate(values)]
    done = checked(rows, {"fields": fields, **schema})
    return done.columns["x"].values, done.bad


@pytest.mark.parametrize("case", BAD_ROWS, ids=lambda case: case.id)
def test_a_bad_row_has_its_number_field_and_reason_and_the_others_go_on(case: BadRowCase):
    done = checked(case.rows, case.schema, upsert=case.upsert)
    (bad,) = done.bad
    assert (bad.number, bad.field) == (case.number, case.field)
    assert case.reason in bad.reason
    assert list(done.row_numbers) == [number for number in range(1, len(case.rows) + 1) if number != case.number]
    assert bad.row == case.rows[case.number - 1]
    assert f"row {case.number}" in str(bad)


@pytest.mark.parametrize("number", [2.0**53, -(2.0**62), numpy.float64(1234567890123456789), numpy.float32(2**24), 1e18])
def test_a_large_integer_that_came_as_a_float_is_bad(number: Any):
    """It may have been another one: pandas makes floats of integers beside a missing one."""
    (_, (bad,)) = checked_column({"type": "INT64"}, [7, number])
    assert (bad.number, bad.field) == (2, "x")
    assert "which may have been rounded" in bad.reason
    values, none = checked_column({"type": "INT64"}, [2.0**53 - 1, Decimal(2**53 + 1), 2**53 + 1])
    assert (values.tolist(), none) == ([2**53 - 1, 2**53 + 1, 2**53 + 1], ())


@pytest.mark.parametrize("case", BAD_ROWS, ids=lambda case: case.id)
def test_the_other_rows_are_as_they_are_without_the_bad_row(case: BadRowCase):
    """The slow path, which finds the bad value, gives the same as the fast path."""
    with_it = checked(case.rows, case.schema, upsert=case.upsert)
    good = [row for number, row in enumerate(case.rows, 1) if number != case.number]
    without_it = checked(good, case.schema, upsert=case.upsert)
    assert not without_it.bad
    assert list(with_it.columns) == list(without_it.columns)
    for name, column in without_it.columns.items():
        other = with_it.columns[name]
        assert type(other.values) is type(column.values), name
        assert getattr(other.values, "dtype", None) == getattr(column.values, "dtype", None), name
        assert plain(other.values) == plain(column.values), name
        # One byte more where a row without a value was among them.
        assert numpy.all(other.row_sizes(len(good)) - column.row_sizes(len(good)) <= 1), name


def plain(values: Any) -> Any:
    return values.tolist() if isinstance(values, numpy.ndarray) else values


def test_there_are_at_least_thirty_kinds():
    assert len({case.id for case in BAD_ROWS}) == len(BAD_ROWS) >= 30


@pytest.mark.parametrize(
    "vector",
    [
        GOOD,
        tuple(GOOD),
        array.array("f", GOOD),
        memoryview(numpy.array(GOOD, "float32")),
        [numpy.float32(number) for number in GOOD],
        [Decimal("0.1"), Decimal("0.2"), 0.3, 0.4],
        numpy.array(GOOD),
        numpy.array(GOOD, ">f4"),
        numpy.array(GOOD, object),
        numpy.array([GOOD, GOOD], "float32")[:, ::-1][0][::-1],
    ],
    ids=["list", "tuple", "array", "memoryview", "float32s", "decimals", "float64", "big-endian", "objects", "strided"],
)
def test_a_vector_comes_in_many_forms(vector):
    values, bad = checked_column({"type": "FLOAT_VECTOR", "dim": 4}, [vector, vector])
    assert not bad
    assert values.dtype == numpy.float32
    assert values.flags.c_contiguous
    assert values.tolist() == [numpy.array(GOOD, "float32").tolist()] * 2


def test_integers_make_a_float_vector_too():
    for ones in ([1, 0, 1, 1], numpy.array([1, 0, 1, 1]), [numpy.int64(1), 0, 1, 1.0]):
        values, bad = checked_column({"type": "FLOAT_VECTOR", "dim": 4}, [ones])
        assert not bad
        assert values.tolist() == [[1.0, 0.0, 1.0, 1.0]]


def test_forms_may_change_from_row_to_row():
    values, bad = checked_column({"type": "FLOAT_VECTOR", "dim": 2}, [[1, 2], (3.0, 4.0), numpy.array([5, 6]), None])
    assert [row.number for row in bad] == [4]
    assert values.tolist() == [[1, 2], [3, 4], [5, 6]]


def test_a_table_may_have_arrays_as_columns():
    chunk = Chunk(range(11, 14), {"id": numpy.arange(3), "vector": numpy.ones((3, 4)) * [[1], [numpy.nan], [3]]})
    done = check(chunk, Schema.of(PLAIN))
    assert [(row.number, row.field) for row in done.bad] == [(12, "vector")]
    assert list(done.row_numbers) == [11, 13]
    assert done.columns["vector"].values.tolist() == [[1.0] * 4, [3.0] * 4]
    assert done.columns["vector"].values.dtype == numpy.float32


def test_vectors_are_c_contiguous_whatever_the_order_of_the_array():
    turned = numpy.arange(8, dtype="float32").reshape(4, 2).T
    column = check(Chunk([1, 2], {"id": [0, 1], "vector": turned}), Schema.of(PLAIN)).columns["vector"]
    assert column.values.flags.c_contiguous
    assert column.values.tolist() == [[0, 2, 4, 6], [1, 3, 5, 7]]


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int32", "uint8"])
def test_each_row_of_an_array_of_vectors_of_the_wrong_width_is_bad(dtype):
    chunk = Chunk(range(1, 3), {"id": numpy.arange(2), "vector": numpy.ones((2, 3), dtype)})
    assert [str(row) for row in check(chunk, Schema.of(PLAIN)).bad] == [
        f"row {number}, field 'vector': has 3 dimensions; the field has 4" for number in (1, 2)
    ]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("BOOL", numpy.array([0.0, 1.0])),
        ("INT64", numpy.array([True, False])),
        ("DOUBLE", numpy.array([True, False])),
        ("TEXT", numpy.array([1, 2])),
        ("TEXT", numpy.array(["2026-03-10", "2026-03-11"], "datetime64[s]")),
        ("FLOAT_VECTOR", numpy.array([1.0, 2.0])),
        ("FLOAT_VECTOR", numpy.ones((2, 4), bool)),
        ("SPARSE_FLOAT_VECTOR", numpy.ones((2, 4))),
    ],
)
def test_each_row_of_an_array_of_the_wrong_type_is_bad(kind, values):
    dim = {"dim": 4} if kind == "FLOAT_VECTOR" else {}
    schema = Schema.of({"fields": [KEY, VECTOR, {"name": "x", "type": kind, **dim}]})
    done = check(Chunk([1, 2], {"id": [0, 1], "vector": [GOOD, GOOD], "x": values}), schema)
    assert [(row.number, row.field) for row in done.bad] == [(1, "x"), (2, "x")]


def test_a_column_of_two_dimensions_is_no_scalar():
    schema = Schema.of({"fields": [KEY, VECTOR, {"name": "x", "type": "INT64"}]})
    chunk = Chunk([1, 2], {"id": [0, 1], "vector": [GOOD, GOOD], "x": numpy.arange(4).reshape(2, 2)})
    assert [(row.number, row.field) for row in check(chunk, schema).bad] == [(1, "x"), (2, "x")]


def test_half_precision_is_rounded_as_numpy_and_as_bfloat16_does():
    exact = [1.0, -2.5, 0.1, 65504.0]
    values, _ = checked_column(
        {"type": "FLOAT16_VECTOR", "dim": 4}, [exact, numpy.array(exact), numpy.array(exact, "float16").tobytes()]
    )
    assert values.tolist() == [numpy.array(exact, "float16").tolist()] * 3
    # To the nearest, and to the even number if two are equally near, as they are to 1 + 1/256 and to 1 + 3/256.
    values, _ = checked_column({"type": "BFLOAT16_VECTOR", "dim": 4}, [[1.0, 1 + 1 / 256, 1 + 3 / 256, -1.0]])
    assert values.dtype == numpy.uint16
    assert [f"{number:04x}" for number in values[0]] == ["3f80", "3f80", "3f82", "bf80"]


def test_a_bfloat16_vector_may_be_an_array_of_ml_dtypes():
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    numbers = numpy.array([[1.0, -2.0], [0.1, 3.0]], "float32").astype(bfloat16)
    schema = {"type": "BFLOAT16_VECTOR", "dim": 2}
    values, bad = checked_column(schema, list(numbers))
    assert (values.tobytes(), bad) == (numbers.tobytes(), ())
    values, bad = checked_column(schema, numbers.astype("float32").tolist())
    assert (values.tobytes(), bad) == (numbers.tobytes(), ())
    values, bad = checked_column({"type": "FLOAT_VECTOR", "dim": 2}, list(numbers))
    assert (values.tolist(), bad) == (numbers.astype("float32").tolist(), ())


def test_bytes_are_accepted_for_the_types_that_are_bytes():
    for kind, dim, value in (
        ("BINARY_VECTOR", 16, b"\x01\xff"),
        ("INT8_VECTOR", 2, b"\x01\xff"),
        ("FLOAT16_VECTOR", 1, b"\x00\x3c"),
        ("BFLOAT16_VECTOR", 1, b"\x80\x3f"),
    ):
        values, bad = checked_column({"type": kind, "dim": dim}, [value, bytearray(value), memoryview(value)])
        assert not bad
        assert values.tobytes() == value * 3


@pytest.mark.parametrize(
    "vector",
    [
        {7: 1.0, 1: 0.5},
        {"7": 1.0, "1": 0.5},
        [(7, 1.0), (1, 0.5)],
        [(7, 1), [1, 0.5]],
        {"indices": [7, 1], "values": [1.0, 0.5]},
        {numpy.int32(7): numpy.float32(1), 1: Decimal("0.5")},
    ],
    ids=["dict", "dict of JSON", "tuples", "tuple and list", "indices and values", "NumPy's"],
)
def test_a_sparse_vector_comes_in_many_forms(vector):
    values, bad = checked_column({"type": "SPARSE_FLOAT_VECTOR"}, [vector])
    assert not bad
    assert numpy.frombuffer(values[0], [("index", "<u4"), ("value", "<f4")]).tolist() == [(1, 0.5), (7, 1.0)]


def test_a_sparse_vector_may_be_a_row_of_scipy():
    """A stand-in with what is used of it, since SciPy is not installed."""

    def row(*shape: int) -> SimpleNamespace:
        triples = SimpleNamespace(col=numpy.array([7, 1], "int32"), data=numpy.array([1.0, 0.5], "float32"))
        return SimpleNamespace(ndim=len(shape), shape=shape, tocoo=lambda: triples)

    values, bad = checked_column({"type": "SPARSE_FLOAT_VECTOR"}, [row(1, 9), row(9), row(2, 9)])
    assert [(row.number, row.reason) for row in bad] == [(3, "is a matrix of 2 rows, not a sparse vector")]
    assert [numpy.frombuffer(vector, [("index", "<u4"), ("value", "<f4")]).tolist() for vector in values] == [
        [(1, 0.5), (7, 1.0)]
    ] * 2


def test_a_sparse_vector_may_be_empty():
    values, bad = checked_column({"type": "SPARSE_FLOAT_VECTOR"}, [{}, {0: 0.0}])
    assert (values, bad) == ([b"", bytes(8)], ())


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("INT64", [5, 5.0, Decimal(5), numpy.int8(5), numpy.float32(5)], [5] * 5),
        ("INT64", [2**63 - 1, numpy.int64(2**60 + 1), -(2**63)], [2**63 - 1, 2**60 + 1, -(2**63)]),
        ("INT8", [-128, 127], [-128, 127]),
        ("INT32", [2**31 - 1, -(2**31)], [2**31 - 1, -(2**31)]),
        ("BOOL", [True, numpy.bool_(False)], [True, False]),
        ("DOUBLE", [1, 0.1, Decimal("0.1"), numpy.float64(0.1)], [1.0, 0.1, 0.1, 0.1]),
        ("FLOAT", [1, 0.1, numpy.float32(0.1)], [1.0, float(numpy.float32(0.1)), float(numpy.float32(0.1))]),
        ("TEXT", ["a" * 70000, "é"], ["a" * 70000, "é"]),
        ("GEOMETRY", ["POINT (1 2)"], ["POINT (1 2)"]),
        ("TIMESTAMPTZ", [datetime(2026, 3, 10, tzinfo=UTC), "2026-03-10"], ["2026-03-10T00:00:00+00:00", "2026-03-10"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_value_is_converted_where_nothing_is_lost(kind, values, expected):
    converted, bad = checked_column({"type": kind}, values)
    assert not bad
    assert plain(converted) == expected


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("INT64", numpy.array([1, 2], "uint8"), [1, 2]),
        ("INT8", numpy.array([1.0, 2.0]), [1, 2]),
        ("FLOAT", numpy.array([1, 2]), [1.0, 2.0]),
        ("DOUBLE", numpy.array([1, 2], "float32"), [1.0, 2.0]),
        ("BOOL", numpy.array([True, False]), [True, False]),
        ("VARCHAR", numpy.array(["a", "é"]), ["a", "é"]),
        ("VARCHAR", numpy.array(["a", "é"], object), ["a", "é"]),
        ("ARRAY", numpy.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
    ],
)
def test_an_array_of_scalars_may_be_of_another_width(kind, values, expected):
    more = {"VARCHAR": {"max_length": 5}, "ARRAY": {"element_type": "INT8", "max_capacity": 5}}.get(kind, {})
    schema = Schema.of({"fields": [KEY, {"name": "x", "type": kind, **more}, VECTOR]})
    done = check(Chunk(range(1, 3), {"id": [0, 1], "x": values, "vector": [GOOD, GOOD]}), schema)
    assert not done.bad
    assert plain(done.columns["x"].values) == expected


def test_max_length_counts_bytes():
    values, bad = checked_column({"type": "VARCHAR", "max_length": 4}, ["abcd", "éé", "éaa", "", "é" * 3])
    assert [row.number for row in bad] == [5]
    assert values == ["abcd", "éé", "éaa", ""]


def test_json_is_written_with_numpys_values_as_plain_ones():
    value = {
        "a": numpy.int64(1),
        "b": numpy.array([0.5, 1.5]),
        "c": (True, None),
        "é": numpy.float32(0.5),
        "d": numpy.bool_(True),
    }
    values, bad = checked_column({"type": "JSON"}, [value, [1, 2], 5, '{"already": "JSON"}'])
    assert not bad
    assert [json.loads(text) for text in values] == [
        {"a": 1, "b": [0.5, 1.5], "c": [True, None], "é": 0.5, "d": True},
        [1, 2],
        5,
        {"already": "JSON"},
    ]


def test_in_json_null_is_good_and_nan_is_bad():
    values, bad = checked_column(
        {"type": "JSON"}, [{"a": None}, {"a": math.nan}, {"null": math.inf}, {"a": numpy.array([math.nan])}]
    )
    assert values == [b'{"a":null}']
    assert [row.number for row in bad] == [2, 3, 4]


def test_a_key_that_is_no_field_goes_to_the_dynamic_field():
    rows: list[dict[Any, Any]] = [
        {"id": 0, "vector": GOOD, "a": 1, "b": None},
        {"id": 1, "vector": GOOD},
        {"id": 2, "vector": GOOD, "b": numpy.float32(0.5)},
    ]
    done = checked(rows, {**PLAIN, "enable_dynamic_field": True})
    assert not done.bad
    assert list(done.columns) == ["id", "vector", "$meta"]
    assert [json.loads(text) for text in done.columns["$meta"].values] == [{"a": 1, "b": None}, {}, {"b": 0.5}]


def test_a_row_without_dynamic_values_has_an_empty_object():
    done = checked([{"id": 0, "vector": GOOD}], {**PLAIN, "enable_dynamic_field": True})
    assert done.columns["$meta"].values == [b"{}"]


def test_a_nullable_field_may_be_none_or_left_out():
    schema = {"fields": [KEY, VECTOR, {"name": "x", "type": "INT64", "nullable": True}]}
    rows: list[dict[Any, Any]] = [{"x": 1}, {"x": None}, {}, {"x": 4}, {"x": "5"}]
    done = checked([{"id": at, "vector": GOOD, **row} for at, row in enumerate(rows)], schema)
    column = done.columns["x"]
    assert [row.number for row in done.bad] == [5]
    assert (column.values.tolist(), column.valid.tolist()) == ([1, 4], [True, False, False, True])
    assert column.row_sizes(4).tolist() == [2, 1, 1, 2]


def test_a_column_that_no_row_has_may_be_missing_when_it_is_nullable():
    schema = {"fields": [KEY, {**VECTOR, "nullable": True}]}
    done = checked([{"id": 0}, {"id": 1}], schema)
    assert not done.bad
    assert done.columns["vector"].values.shape == (0, 4)
    assert done.columns["vector"].valid.tolist() == [False, False]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ({"type": "INT64", "default_value": 9}, [5, 9, 9]),
        ({"type": "VARCHAR", "max_length": 9, "default_value": "none"}, ["5", "none", "none"]),
        ({"type": "BOOL", "default_value": False}, [True, False, False]),
        ({"type": "DOUBLE", "default_value": 0.0}, [0.5, 0.0, 0.0]),
        ({"type": "INT64", "default_value": 9, "nullable": True}, [5, 9, 9]),
    ],
    ids=["INT64", "VARCHAR", "BOOL", "DOUBLE", "nullable"],
)
def test_a_default_value_is_filled_in_before_sending(field, expected):
    """Milvus 2.3.5 does not fill it in where some rows of a call have a value."""
    rows: list[dict[Any, Any]] = [{"x": expected[0]}, {"x": None}, {}]
    done = checked(
        [{"id": at, "vector": GOOD, **row} for at, row in enumerate(rows)], {"fields": [KEY, VECTOR, {"name": "x", **field}]}
    )
    assert not done.bad
    assert plain(done.columns["x"].values) == expected
    assert done.columns["x"].valid.tolist() == [True] * 3


def test_in_an_upsert_the_last_row_with_a_key_counts():
    rows = [{"id": key, "vector": [value] * 4} for key, value in ((1, 0.1), (2, 0.2), (1, 0.3), (1, 0.4), (3, 0.5))]
    done = checked(rows, upsert=True)
    assert (done.bad, done.replaced) == ((), (1, 3))
    assert list(done.row_numbers) == [2, 4, 5]
    assert done.columns["id"].values.tolist() == [2, 1, 3]
    assert done.columns["vector"].values[:, 0].tolist() == pytest.approx([0.2, 0.4, 0.5])


def test_a_bad_row_replaces_no_good_one():
    done = checked([{"id": 1, "vector": GOOD}, {"id": 1, "vector": [math.nan] * 4}], upsert=True)
    assert (list(done.row_numbers), done.replaced) == ([1], ())
    assert [row.number for row in done.bad] == [2]


def test_rows_without_a_key_do_not_confuse_those_with_one():
    rows = [{"vector": GOOD}, {"id": 1, "vector": GOOD}, {"vector": GOOD}, {"id": 1, "vector": [1.0] * 4}]
    done = checked(rows, upsert=True)
    assert [row.number for row in done.bad] == [1, 3]
    assert (list(done.row_numbers), done.replaced) == ([4], (2,))
    assert done.columns["vector"].values.tolist() == [[1.0] * 4]


def test_in_an_insert_each_later_row_with_the_same_key_is_bad():
    done = checked([{"id": key, "vector": GOOD} for key in (7, 8, 7, 7)])
    assert [str(row) for row in done.bad] == [f"row {number}, field 'id': row 1 has the same key 7" for number in (3, 4)]
    assert list(done.row_numbers) == [1, 2]


def test_dynamic_values_may_stand_in_milvus_s_own_field():
    """As files for a bulk import have them."""
    rows = [{"$meta": {"a": 1}}, {"$meta": '{"a": [2]}', "b": 3}, {"b": 4}, {"$meta": None, "b": None}, {"$meta": {}}]
    done = checked(
        [{"id": key, "vector": GOOD, **row} for key, row in enumerate(rows)],
        {"fields": [KEY, VECTOR], "enable_dynamic_field": True},
    )
    assert [json.loads(text) for text in done.columns["$meta"].values] == [
        {"a": 1},
        {"b": 3, "a": [2]},
        {"b": 4},
        {"b": None},
        {},
    ]


def test_the_values_of_an_enum_are_written_and_not_their_names():
    class Colour(str, Enum):  # noqa: UP042 - the `str` of a StrEnum is its value
        RED = "red"

    fields = [KEY, VECTOR, {"name": "text", "type": "VARCHAR", "max_length": 9}, {"name": "tree", "type": "JSON"}]
    done = checked([{"id": 1, "vector": GOOD, "text": Colour.RED, "tree": {"a": Colour.RED}}], {"fields": fields})
    assert (done.columns["text"].values, done.columns["tree"].values) == (["red"], [b'{"a":"red"}'])


def test_json_text_is_held_to_the_same_as_a_dict():
    (text,), _ = checked_column({"type": "JSON"}, [' { "a" : 1, "a": 2 } '])
    assert text == b'{"a":2}'


@pytest.mark.parametrize("kind", ["JSON", "SPARSE_FLOAT_VECTOR"])
def test_a_null_as_json_text_is_null(kind):
    fields = [KEY, VECTOR, {"name": "x", "type": kind, "nullable": True}]
    done = checked([{"id": 1, "vector": GOOD, "x": " null"}, {"id": 2, "vector": GOOD, "x": '{"3": 1}'}], {"fields": fields})
    assert done.columns["x"].valid.tolist() == [False, True]


@pytest.mark.parametrize(("kind", "dtype"), [("FLOAT16_VECTOR", "float16"), ("BFLOAT16_VECTOR", "bfloat16")])
@pytest.mark.parametrize("shape", [numpy.stack, list], ids=["matrix", "arrays"])
def test_vectors_of_16_bits_may_come_as_arrays_of_their_bytes(kind, dtype, shape):
    import ml_dtypes

    numbers = numpy.array([[1, -2.5], [0.1, 3]], ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    given = shape([numpy.frombuffer(vector.tobytes(), "uint8") for vector in numbers])
    schema = Schema.of({"fields": [KEY, {"name": "x", "type": kind, "dim": 2}]})
    done = check(Chunk(range(1, 3), {"id": [1, 2], "x": given}), schema)
    assert not done.bad
    assert done.columns["x"].values.tobytes() == numbers.tobytes()


def test_sparse_vectors_may_be_json_text():
    """As tables hold them, and pymilvus's bulk writer writes them."""
    done = checked(
        [{"id": 1, "x": '{"3": 0.5, "70000": 1.0}'}], {"fields": [KEY, {"name": "x", "type": "SPARSE_FLOAT_VECTOR"}]}
    )
    assert done.columns["x"].values == [struct.pack("<IfIf", 3, 0.5, 70000, 1.0)]


def test_a_row_has_one_reason_and_all_bad_rows_are_named():
    rows: list[dict[Any, Any]] = [
        {"id": "a", "vector": None},
        {"id": 1, "vector": GOOD},
        {"id": None, "vector": []},
        {"vector": GOOD, "color": 1},
    ]
    done = checked(rows)
    assert [(row.number, row.field) for row in done.bad] == [(1, "id"), (3, "id"), (4, "color")]


def test_rows_that_cannot_be_read_stay_bad():
    unreadable = BadRow(2, "is not JSON", "{")
    done = check(Chunk([1], {"id": [1], "vector": [GOOD]}, (unreadable,)), Schema.of(PLAIN))
    assert done.bad == (unreadable,)
    done = check(Chunk([1, 3], {"id": [1, "3"], "vector": [GOOD, GOOD]}, (unreadable,)), Schema.of(PLAIN))
    assert [row.number for row in done.bad] == [2, 3]
    assert list(done.row_numbers) == [1]


def test_a_row_that_is_too_large_for_a_call_is_bad():
    field = {"name": "x", "type": "VARCHAR", "max_length": 60000}
    rows = [{"id": at, "vector": GOOD, "x": "x" * size} for at, size in enumerate((10, 50000, 20))]
    done = checked(rows, {"fields": [KEY, VECTOR, field]}, max_bytes=20000)
    (bad,) = done.bad
    assert (bad.number, bad.field) == (2, None)
    assert bad.reason == "takes 50224 bytes; one call takes 20000"


def test_a_type_that_is_not_supported_is_an_error_and_no_bad_row():
    schema = Schema.of(PLAIN)
    unsupported = replace(schema, fields=(*schema.fields, replace(schema.fields[0], name="x", type="201", is_primary=False)))
    with pytest.raises(MilvusUnsupportedError, match=r"Field 'x' is of Milvus's data type 201"):
        check(chunk_of([{"id": 1, "vector": GOOD}]), unsupported)


def test_no_rows_are_no_problem():
    done = check(Chunk([], {}), Schema.of({**PLAIN, "enable_dynamic_field": True}), max_bytes=100)
    assert (len(done), done.bad) == (0, ())


def test_the_callers_data_is_not_changed():
    vectors = numpy.array([[1.0, numpy.nan], [3.0, 4.0]])
    rows: list[dict[Any, Any]] = [
        {"id": 1, "vector": [math.nan, 1.0], "x": {"a": [1, {"b": 2}]}, "y": 1},
        {"id": 1, "vector": [2.0, 3.0], "x": "[1]", "y": {"z": [1]}},
    ]
    before, vectors_before = copy.deepcopy(rows), vectors.copy()
    schema = Schema.of(
        {
            "fields": [KEY, {**VECTOR, "dim": 2}, {"name": "x", "type": "JSON"}],
            "enable_dynamic_field": True,
        }
    )
    check(chunk_of(rows), schema, upsert=True)
    check(Chunk(range(1, 3), {"id": [1, 2], "vector": vectors, "x": ["1", "2"]}), schema)
    assert repr(rows) == repr(before)
    assert numpy.array_equal(vectors, vectors_before, equal_nan=True)


numbers = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.booleans(),
    st.none(),
    st.text(max_size=3),
    st.decimals(),
    st.floats(width=32).map(numpy.float32),
    st.integers(-5, 5).map(numpy.int64),
)


@given(st.lists(st.lists(numbers, min_size=2, max_size=3), min_size=1, max_size=6))
def test_an_accepted_vector_is_finite_and_no_good_vector_is_bad(vectors):
    values, bad = checked_column({"type": "FLOAT_VECTOR", "dim": 2}, vectors)
    bad_numbers = {row.number for row in bad}
    assert numpy.isfinite(values).all()
    assert len(values) == len(vectors) - len(bad_numbers)
    for number, vector in enumerate(vectors, 1):
        plain_numbers = all(type(number) in (int, float) and abs(number) < 1e38 for number in vector)
        assert not (plain_numbers and len(vector) == 2 and number in bad_numbers)
        if any(number is None or isinstance(number, (bool, str)) for number in vector) or len(vector) != 2:
            assert number in bad_numbers


@given(st.lists(numbers, min_size=1, max_size=8), st.sampled_from(["INT8", "INT16", "INT32", "INT64"]))
def test_an_accepted_integer_is_that_integer(given_values, kind):
    values, bad = checked_column({"type": kind}, given_values)
    bad_numbers = {row.number for row in bad}
    taken = [value for number, value in enumerate(given_values, 1) if number not in bad_numbers]
    assert values.tolist() == taken
    bits = int(kind[3:])
    for number, value in enumerate(given_values, 1):
        fits = type(value) is int and -(2 ** (bits - 1)) <= value < 2 ** (bits - 1)
        assert not (fits and number in bad_numbers)


@given(st.lists(st.one_of(st.text(max_size=6), numbers), min_size=1, max_size=8))
def test_an_accepted_text_is_that_text_and_not_too_long(texts):
    values, bad = checked_column({"type": "VARCHAR", "max_length": 5}, texts)
    bad_numbers = {row.number for row in bad}
    good = [text for text in texts if isinstance(text, str) and len(text.encode()) <= 5]
    assert values == good
    assert len(bad_numbers) == len(texts) - len(good)
