"""Arrays of structs: the schema, the check, and what is sent, which is what pymilvus sends."""

from __future__ import annotations

from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import pytest
from pymilvus import DataType, MilvusClient
from pymilvus.client.prepare import Prepare
from pymilvus.grpc_gen import schema_pb2

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.rows.batches import batches
from airflow_provider_milvus.rows.check import check
from airflow_provider_milvus.schema.definition import Definition
from airflow_provider_milvus.schema.diff import drift
from airflow_provider_milvus.schema.model import Schema
from airflow_provider_milvus.schema.proto import schema_bytes
from tests.bad_rows import chunk_of

pytestmark = pytest.mark.newest

KEY = {"name": "id", "type": "INT64", "is_primary": True}
VECTOR = {"name": "vector", "type": "FLOAT_VECTOR", "dim": 2}
INNER = [
    {"name": "title", "type": "VARCHAR", "max_length": 20},
    {"name": "page", "type": "INT16"},
    {"name": "weight", "type": "FLOAT"},
    {"name": "meaning", "type": "FLOAT_VECTOR", "dim": 2},
]
CHAPTERS: dict[str, Any] = {
    "name": "chapters",
    "type": "ARRAY",
    "element_type": "STRUCT",
    "max_capacity": 3,
    "struct_fields": INNER,
}
SCHEMA = {"fields": [KEY, VECTOR, CHAPTERS]}


def chapter(page: int) -> dict[str, Any]:
    return {"title": f"Part {page}", "page": page, "weight": page / 2, "meaning": [0.25, float(page)]}


def row(key: int, *chapters: Any) -> dict[str, Any]:
    return {"id": key, "vector": [1.0, 2.0], "chapters": list(chapters)}


ROWS = [row(1, chapter(1), chapter(2)), row(2), row(3, chapter(3))]


def pymilvus_schema(**more: Any) -> Any:
    client = MilvusClient.__new__(MilvusClient)
    schema = client.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=2)
    struct = client.create_struct_field_schema()
    for field in INNER:
        sizes = {size: field[size] for size in ("dim", "max_length") if size in field}
        struct.add_field(field["name"], DataType[str(field["type"])], **sizes)
    schema.add_field("chapters", DataType.ARRAY, element_type=DataType.STRUCT, struct_schema=struct, max_capacity=3, **more)
    return schema


def by_name(messages: Any) -> dict[str, Any]:
    return {message.field_name if hasattr(message, "field_name") else message.name: message for message in messages}


def test_the_schema_is_sent_as_pymilvus_sends_it():
    sent = schema_pb2.CollectionSchema.FromString(schema_bytes("docs", Schema.of(SCHEMA)))
    theirs = Prepare.get_schema_from_collection_schema("docs", pymilvus_schema())
    (ours,), (their,) = sent.struct_array_fields, theirs.struct_array_fields
    assert (ours.name, [field.name for field in ours.fields]) == (their.name, [field.name for field in their.fields])
    for mine, other in zip(ours.fields, their.fields, strict=True):
        assert (mine.data_type, mine.element_type) == (other.data_type, other.element_type)
        assert {pair.key: pair.value for pair in mine.type_params} == {pair.key: pair.value for pair in other.type_params}
    assert [field.name for field in sent.fields] == ["id", "vector"]


@pytest.mark.parametrize("style", ["{name}", "chapters[{name}]"])
def test_the_schema_of_a_server_is_the_one_that_was_sent(style):
    """In either way in which servers name the inner fields."""
    sent = schema_pb2.CollectionSchema.FromString(schema_bytes("docs", Schema.of(SCHEMA)))
    for field in sent.struct_array_fields[0].fields:
        field.name = style.format(name=field.name)
    described = SimpleNamespace(schema=sent, properties=[], consistency_level=2, shards_num=1, num_partitions=1)
    assert Schema.of_described(described).fields == Schema.of(SCHEMA).fields
    assert drift(Definition.of("docs", SCHEMA), described) == []
    other = {"fields": [KEY, VECTOR, {**CHAPTERS, "struct_fields": [INNER[0], {**INNER[1], "type": "INT32"}, *INNER[3:]]}]}
    assert drift(Definition.of("docs", other), described) == [
        "field 'page' of 'chapters': type is INT16, not INT32",
        "field 'weight' of 'chapters' (FLOAT) exists and is not requested",
    ]


def theirs(rows: list[dict[str, Any]]) -> Any:
    if int(version("pymilvus").partition(".")[0]) < 3:
        pytest.skip("pymilvus 2 takes the structs in another form")
    described = pymilvus_schema().to_dict()
    return Prepare.row_insert_param(
        "c", rows, "", described["fields"], described.get("struct_fields"), enable_dynamic=False
    ).fields_data


def ours(rows: list[dict[str, Any]], schema: dict[str, Any] = SCHEMA) -> Any:
    done = check(chunk_of(rows), Schema.of(schema))
    assert not done.bad
    (batch,) = batches(done, Schema.of(schema), max_bytes=10**6)
    assert batch.size >= sum(len(message.SerializeToString()) for message in batch.fields_data)
    return batch.fields_data


@pytest.mark.parametrize(
    "rows", [ROWS, [row(1), row(2)], [row(1, chapter(1), chapter(2), chapter(3))]], ids=["some", "none", "full"]
)
def test_rows_are_sent_as_pymilvus_sends_them(rows):
    mine, other = by_name(ours(rows)), by_name(theirs(rows))
    assert mine.keys() == other.keys()
    assert mine["chapters"].type == other["chapters"].type
    inner, their_inner = by_name(mine["chapters"].struct_arrays.fields), by_name(other["chapters"].struct_arrays.fields)
    assert inner.keys() == their_inner.keys()
    for name, message in inner.items():
        assert message.type == their_inner[name].type
        assert list(message.scalars.array_data.data) == list(their_inner[name].scalars.array_data.data)
        assert message.vectors.vector_array == their_inner[name].vectors.vector_array


BAD: dict[str, tuple[Any, str]] = {
    "no list": (chapter(1), "is not a list"),
    "no dict": (["a"], "at 0 of the array: 'a' (str) is not a dict"),
    "too many": ([chapter(1)] * 4, "has 4 elements; max_capacity is 3"),
    "one is missing": (
        [{**chapter(1)}, {"title": "b", "page": 1, "weight": 0.5}],
        "the struct at 1 of the array lacks 'meaning'",
    ),
    "one too much": ([{**chapter(1), "author": "x"}], "the struct at 0 of the array has, and the field has not, 'author'"),
    "a wrong number": ([chapter(1), {**chapter(2), "page": 2**20}], "'page' at 1 of the array: 1048576 is out of range"),
    "a wrong vector": ([{**chapter(1), "meaning": [1.0]}], "'meaning' at 0 of the array:"),
    "a long text": ([{**chapter(1), "title": "x" * 21}], "'title' at 0 of the array:"),
    "no value": ([{**chapter(1), "title": None}], "'title' at 0 of the array:"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_value_is_named_with_its_place(case):
    value, reason = BAD[case]
    done = check(chunk_of([row(1, chapter(1)), {**row(2), "chapters": value}, row(3)]), Schema.of(SCHEMA))
    (bad,) = done.bad
    assert str(bad).startswith("row 2, field 'chapters': ")
    assert reason in str(bad)
    assert list(done.row_numbers) == [1, 3]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"struct_fields": None}, "struct_fields must be a list"),
        ({"struct_fields": [{"name": "a", "type": "JSON"}]}, "a struct holds no JSON"),
        ({"struct_fields": [{"name": "a", "type": "INT64", "is_primary": True}]}, "a field of a struct is no key"),
        ({"struct_fields": [{"name": "a", "type": "INT64", "nullable": True}]}, "a field of a struct is no key"),
        ({"element_type": "INT64"}, "has a meaning only for an ARRAY with the element_type STRUCT"),
        ({"max_capacity": None}, "lacks 'max_capacity'"),
    ],
)
def test_a_schema_that_can_never_work_is_refused(wrong, words):
    with pytest.raises(MilvusInvalidArgumentError, match=words):
        Schema.of({"fields": [KEY, VECTOR, {**CHAPTERS, **wrong}]})


def test_a_vector_in_structs_can_be_indexed():
    index = {"field_name": "chapters[meaning]", "index_type": "HNSW", "metric_type": "MAX_SIM_COSINE"}
    (made,) = Definition.of("docs", SCHEMA, indexes=[index]).indexes
    assert (made.field_name, made.name) == ("chapters[meaning]", "chapters_meaning")
    with pytest.raises(MilvusInvalidArgumentError, match="not a Milvus name"):
        Definition.of("docs", SCHEMA, indexes=[{**index, "field_name": "chapters[meaning"}])
    with pytest.raises(MilvusInvalidArgumentError, match=r"there is no field 'chapters\[author\]'"):
        Definition.of("docs", SCHEMA, indexes=[{**index, "field_name": "chapters[author]"}])
