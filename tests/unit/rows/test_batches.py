"""Batches hold what pymilvus sends for the same rows, and no more bytes than allowed."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy
import pytest
from hypothesis import given, strategies as st

from airflow_provider_milvus.protocol.lazy_pymilvus import import_pymilvus
from airflow_provider_milvus.rows.batches import batches
from airflow_provider_milvus.rows.check import check
from airflow_provider_milvus.rows.chunk import Batch, Chunk
from airflow_provider_milvus.schema.model import Schema
from airflow_provider_milvus.schema.types import DATA_TYPES
from tests.bad_rows import GOOD, KEY, VECTOR, chunk_of

import_pymilvus()

from pymilvus.client.prepare import Prepare  # noqa: E402
from pymilvus.grpc_gen import milvus_pb2, schema_pb2  # noqa: E402

pytestmark = pytest.mark.newest

PLENTY = 1 << 24

BFLOAT16 = numpy.array([1.0, -2.0, 0.5, 0.0], "float32").view("uint32")

EACH_TYPE: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "BOOL": ({"type": "BOOL"}, [True, False, True]),
    "INT8": ({"type": "INT8"}, [-128, 0, 127]),
    "INT16": ({"type": "INT16"}, [-(2**15), 0, 2**15 - 1]),
    "INT32": ({"type": "INT32"}, [-(2**31), 0, 2**31 - 1]),
    "INT64": ({"type": "INT64"}, [-(2**63), 0, 2**63 - 1]),
    "FLOAT": ({"type": "FLOAT"}, [0.1, 0.0, -1e30]),
    "DOUBLE": ({"type": "DOUBLE"}, [0.1, 0.0, -1e300]),
    "VARCHAR": ({"type": "VARCHAR", "max_length": 20}, ["é", "", "a\0b"]),
    "TEXT": ({"type": "TEXT"}, ["é" * 100, "", "b"]),
    "TIMESTAMPTZ": ({"type": "TIMESTAMPTZ"}, ["2026-03-10T00:00:00Z", "2026-03-10T00:00:00+02:00", "2026-03-10"]),
    "GEOMETRY": ({"type": "GEOMETRY"}, ["POINT (1 2)", "POINT (3 4)", "LINESTRING (0 0, 1 1)"]),
    "JSON": ({"type": "JSON"}, [{"é": [1, 0.5, None, True]}, [], '{"text":1}']),
    "ARRAY of BOOL": ({"type": "ARRAY", "element_type": "BOOL", "max_capacity": 4}, [[True, False], [], [False]]),
    "ARRAY of INT8": ({"type": "ARRAY", "element_type": "INT8", "max_capacity": 4}, [[-128, 127], [], [0]]),
    "ARRAY of INT64": ({"type": "ARRAY", "element_type": "INT64", "max_capacity": 4}, [[2**62, -1], [], numpy.array([0])]),
    "ARRAY of FLOAT": ({"type": "ARRAY", "element_type": "FLOAT", "max_capacity": 4}, [[0.5, 0.1], [], [0.0]]),
    "ARRAY of DOUBLE": ({"type": "ARRAY", "element_type": "DOUBLE", "max_capacity": 4}, [[0.5, 0.1], [], [0.0]]),
    "ARRAY of VARCHAR": (
        {"type": "ARRAY", "element_type": "VARCHAR", "max_capacity": 4, "max_length": 9},
        [["é", ""], [], ["b"]],
    ),
    "FLOAT_VECTOR": ({"type": "FLOAT_VECTOR", "dim": 4}, [GOOD, numpy.array(GOOD, "float32"), [0.0, 1.0, -1.0, 1e-30]]),
    "BINARY_VECTOR": ({"type": "BINARY_VECTOR", "dim": 16}, [b"\x01\xff", b"\x00\x00", [1, 2]]),
    "FLOAT16_VECTOR": ({"type": "FLOAT16_VECTOR", "dim": 4}, [numpy.array(GOOD, "float16")] * 2 + [b"\x00\x3c" * 4]),
    "BFLOAT16_VECTOR": ({"type": "BFLOAT16_VECTOR", "dim": 4}, [(BFLOAT16 >> 16).astype("uint16").tobytes()] * 3),
    "INT8_VECTOR": (
        {"type": "INT8_VECTOR", "dim": 2},
        [numpy.array(vector, "int8") for vector in ([-128, 127], [0, 1], [2, 3])],
    ),
    "SPARSE_FLOAT_VECTOR": ({"type": "SPARSE_FLOAT_VECTOR"}, [{7: 1.0, 1: 0.5}, [(2**32 - 2, 0.25)], {0: 1.0}]),
}


def schema_with(field: dict[str, Any], **more: Any) -> dict[str, Any]:
    field = {"name": "x", **field}
    return {"fields": [KEY, field] if field["type"].endswith("VECTOR") else [KEY, field, VECTOR], **more}


def rows_with(schema: dict[str, Any], values: list[Any]) -> list[dict[str, Any]]:
    vector = {"vector": GOOD} if VECTOR in schema["fields"] else {}
    return [{"id": at - 1, "x": value, **vector} for at, value in enumerate(values)]


def ours(rows: list[dict[str, Any]], schema: dict[str, Any], *, upsert: bool = False) -> list[Batch]:
    done = check(chunk_of(rows), Schema.of(schema), upsert=upsert)
    assert not done.bad
    return list(batches(done, Schema.of(schema), max_bytes=PLENTY))


def pymilvus_fields(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The fields as pymilvus has them after it has described a collection."""
    described = []
    for field in schema["fields"]:
        params = {key: field[key] for key in ("dim", "max_length", "max_capacity") if key in field}
        flags = {key: field.get(key, False) for key in ("is_primary", "auto_id", "nullable")}
        element = {"element_type": DATA_TYPES[field["element_type"]].number} if "element_type" in field else {}
        described.append(
            {"name": field["name"], "type": DATA_TYPES[field["type"]].number, "params": params, **flags, **element}
        )
    return described


def theirs(rows: list[dict[str, Any]], schema: dict[str, Any], *, upsert: bool = False) -> Any:
    if int(version("pymilvus").partition(".")[0]) < 3 and any(field["type"] == "TEXT" for field in schema["fields"]):
        pytest.skip("pymilvus 2 does not send it")
    make = Prepare.row_upsert_param if upsert else Prepare.row_insert_param
    dynamic = schema.get("enable_dynamic_field", False)
    return make("c", rows, "", pymilvus_fields(schema), enable_dynamic=dynamic)


def request_of(batch: Batch, *, upsert: bool = False) -> Any:
    kind = milvus_pb2.UpsertRequest if upsert else milvus_pb2.InsertRequest
    return kind(collection_name="c", num_rows=len(batch), fields_data=batch.fields_data)


@pytest.mark.parametrize("name", EACH_TYPE)
def test_each_type_is_sent_as_pymilvus_sends_it(name):
    field, values = EACH_TYPE[name]
    schema = schema_with(field)
    rows = rows_with(schema, values)
    (batch,) = ours(rows, schema)
    assert request_of(batch).SerializeToString() == theirs(rows, schema).SerializeToString()


@pytest.mark.parametrize("pattern", [(0, None, 1, None, 2), (None, None), (0, 1, 2)], ids=["some", "all", "none"])
@pytest.mark.parametrize("name", EACH_TYPE)
def test_nulls_of_each_type_are_sent_as_pymilvus_sends_them(name, pattern):
    field, values = EACH_TYPE[name]
    schema = schema_with({**field, "nullable": True})
    rows = rows_with(schema, [None if at is None else values[at] for at in pattern])
    (batch,) = ours(rows, schema)
    sent = batch.fields_data[1]
    assert list(sent.valid_data) == [at is not None for at in pattern]
    assert sent.WhichOneof("field") == ("vectors" if name.endswith("VECTOR") else "scalars")
    if not (name == "SPARSE_FLOAT_VECTOR" and pattern == (None, None)):  # The versions of pymilvus differ here.
        assert request_of(batch).SerializeToString() == theirs(rows, schema).SerializeToString()


def test_every_data_type_is_tested():
    assert {field["type"] for field, _ in EACH_TYPE.values()} == set(DATA_TYPES)


def test_dynamic_values_are_sent_as_pymilvus_sends_them():
    schema = {"fields": [KEY, VECTOR], "enable_dynamic_field": True}
    rows: list[dict[str, Any]] = [
        {"id": 1, "vector": GOOD, "a": 1, "b": "é"},
        {"id": 2, "vector": GOOD},
        {"id": 3, "vector": GOOD, "b": None},
    ]
    (batch,) = ours(rows, schema)
    assert request_of(batch).SerializeToString() == theirs(rows, schema).SerializeToString()
    assert batch.fields_data[-1].is_dynamic


def test_an_upsert_is_sent_as_pymilvus_sends_it():
    schema = {"fields": [KEY, VECTOR]}
    rows = [{"id": 7, "vector": GOOD}, {"id": 8, "vector": GOOD}]
    (batch,) = ours(rows, schema, upsert=True)
    assert request_of(batch, upsert=True).SerializeToString() == theirs(rows, schema, upsert=True).SerializeToString()
    assert batch.keys == [7, 8]


def test_keys_are_plain_and_none_where_the_server_generates_them():
    text_key = {"name": "id", "type": "VARCHAR", "max_length": 9, "is_primary": True}
    (batch,) = ours([{"id": "a", "vector": GOOD}], {"fields": [text_key, VECTOR]})
    assert batch.keys == ["a"]
    (batch,) = ours([{"vector": GOOD}], {"fields": [{**KEY, "auto_id": True}, VECTOR]})
    assert batch.keys is None
    assert [message.field_name for message in batch.fields_data] == ["vector"]
    numbers = check(Chunk([1], {"id": numpy.array([5]), "vector": [GOOD]}), Schema.of({"fields": [KEY, VECTOR]}))
    (batch,) = batches(numbers, Schema.of({"fields": [KEY, VECTOR]}), max_bytes=PLENTY)
    assert batch.keys is not None
    assert type(batch.keys[0]) is int


EVERYTHING = {
    "fields": [KEY, *({"name": f"f{at}", "nullable": True, **field} for at, (field, _) in enumerate(EACH_TYPE.values()))],
    "enable_dynamic_field": True,
}


def everything(row: int, present: int) -> dict[str, Any]:
    """A row of all types. The bits of ``present`` decide which of them have a value."""
    values = (values_of_type[row % 3] for _, values_of_type in EACH_TYPE.values())
    return {"id": row, "more": row, **{f"f{at}": value if present >> at & 1 else None for at, value in enumerate(values)}}


@given(st.lists(st.integers(0, 2 ** len(EACH_TYPE) - 1), min_size=1, max_size=12), st.integers(500, 9000))
def test_batches_hold_all_rows_in_order_and_are_never_larger_than_allowed(nulls, max_bytes):
    rows = [everything(at, present) for at, present in enumerate(nulls)]
    done = check(chunk_of(rows, first=101), Schema.of(EVERYTHING))
    assert not done.bad
    made = list(batches(done, Schema.of(EVERYTHING), max_bytes=max_bytes))
    assert [number for batch in made for number in batch.row_numbers] == list(range(101, 101 + len(rows)))
    assert [key for batch in made for key in batch.keys or ()] == list(range(len(rows)))
    for batch in made:
        assert request_of(batch).ByteSize() <= batch.size + 20  # The request's own name and number of rows.
        assert batch.size <= max_bytes or len(batch) == 1
    (whole,) = batches(done, Schema.of(EVERYTHING), max_bytes=PLENTY)
    assert joined(made) == joined([whole])


def joined(made: list[Batch]) -> list[Any]:
    """The values of each field in all batches, and which rows have one."""
    fields = []
    for messages in zip(*(batch.fields_data for batch in made), strict=True):
        valid = [has_value for message in messages for has_value in message.valid_data]
        fields.append((messages[0].field_name, valid, [value for message in messages for value in values_of(message)]))
    return fields


def values_of(message: Any) -> list[Any]:
    if message.WhichOneof("field") == "scalars":
        kind = message.scalars.WhichOneof("data")
        values = list(getattr(message.scalars, kind).data)
        return [value.SerializeToString() for value in values] if kind == "array_data" else values
    kind = message.vectors.WhichOneof("data")
    if kind == "sparse_float_vector":
        return list(message.vectors.sparse_float_vector.contents)
    if kind == "float_vector":
        return list(message.vectors.float_vector.data)
    return list(getattr(message.vectors, kind)) if kind else []


def test_the_size_of_an_integer_is_known_exactly():
    values = [-1, -(2**63), *sorted({2**bits - step for bits in range(64) for step in (0, 1)} - {2**63})]
    schema = schema_with({"type": "INT64"})
    done = check(chunk_of(rows_with(schema, values)), Schema.of(schema))
    one_by_one = [schema_pb2.LongArray(data=[value]).ByteSize() - 2 for value in values]  # Without the tag and the length.
    assert done.columns["x"].sizes.tolist() == one_by_one


@pytest.mark.parametrize("text", ["", "x" * 100, "é" * 100, "x" * 20_000])
def test_a_text_takes_as_many_bytes_as_it_has_in_utf_8(text):
    schema = schema_with({"type": "VARCHAR", "max_length": 60_000})
    done = check(chunk_of(rows_with(schema, [text, "é"])), Schema.of(schema))
    assert schema_pb2.StringArray(data=[text]).ByteSize() <= done.columns["x"].sizes[0] == len(text.encode()) + 6


@pytest.mark.parametrize("name", EACH_TYPE)
def test_what_a_value_of_each_type_adds_to_a_call_is_known(name):
    """A message of 200 values is longer than one of 100 by 100 values, and by a few bytes for the lengths."""
    field, values = EACH_TYPE[name]
    schema = schema_with(field)
    for value in values:
        short, long = (ours(rows_with(schema, [value] * rows), schema)[0] for rows in (100, 200))
        sizes = check(chunk_of(rows_with(schema, [value])), Schema.of(schema)).columns["x"].row_sizes(1)
        added = long.fields_data[1].ByteSize() - short.fields_data[1].ByteSize()
        assert added - 8 <= 100 * int(numpy.max(sizes)) <= added + 100 * 30


def test_many_nulls_have_their_size_too():
    schema = {"fields": [KEY, VECTOR, *({"name": f"x{at}", "type": "INT64", "nullable": True} for at in range(10))]}
    made = ours([{"id": at, "vector": GOOD} for at in range(2000)], schema)
    assert [request_of(batch).ByteSize() <= batch.size for batch in made] == [True]


def test_as_many_rows_as_fit_go_into_a_batch():
    schema = schema_with({"type": "VARCHAR", "max_length": 1000})
    rows = rows_with(schema, ["x" * 1000] * 100)
    done = check(chunk_of(rows), Schema.of(schema))
    made = list(batches(done, Schema.of(schema), max_bytes=10_500))
    assert [len(batch) for batch in made] == [10] * 10
    assert all(9_000 < request_of(batch).ByteSize() <= 10_500 for batch in made)


def test_no_rows_make_no_batch():
    schema = Schema.of({"fields": [KEY, VECTOR]})
    assert list(batches(check(Chunk([], {}), schema), schema, max_bytes=100)) == []


def test_a_row_that_is_too_large_for_a_call_is_a_batch_of_its_own_unless_the_check_has_the_limit():
    schema = schema_with({"type": "VARCHAR", "max_length": 60000})
    rows = rows_with(schema, ["x", "x" * 50000, "x"])
    done = check(chunk_of(rows), Schema.of(schema))
    assert [list(batch.row_numbers) for batch in batches(done, Schema.of(schema), max_bytes=20000)] == [[1], [2], [3]]
    done = check(chunk_of(rows), Schema.of(schema), max_bytes=20000)
    assert [list(batch.row_numbers) for batch in batches(done, Schema.of(schema), max_bytes=20000)] == [[1, 3]]


def test_a_row_that_the_check_accepts_fits_into_a_batch():
    schema = schema_with({"type": "VARCHAR", "max_length": 60000})
    rows = rows_with(schema, ["x" * 1000])
    (alone,) = ours(rows, schema)
    assert [len(check(chunk_of(rows), Schema.of(schema), max_bytes=alone.size - less)) for less in (0, 1)] == [1, 0]


def test_the_numbers_of_a_long_array_arrive_bit_by_bit():
    """They are copied into the message as one piece, whose length takes more than one byte."""
    vectors = numpy.random.default_rng(0).standard_normal((300, 40), dtype="float32")
    schema = Schema.of({"fields": [KEY, {**VECTOR, "dim": 40}]})
    (batch,) = batches(
        check(Chunk(range(1, 301), {"id": numpy.arange(300), "vector": vectors}), schema), schema, max_bytes=PLENTY
    )
    sent = schema_pb2.FieldData.FromString(batch.fields_data[1].SerializeToString())
    assert numpy.array(sent.vectors.float_vector.data, "float32").tobytes() == vectors.tobytes()
