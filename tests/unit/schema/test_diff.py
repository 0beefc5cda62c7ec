"""Schema drift: each difference is named, and nothing else."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_milvus.schema.definition import Definition, Index
from airflow_provider_milvus.schema.diff import drift, index_drift
from airflow_provider_milvus.schema.model import Schema
from airflow_provider_milvus.schema.proto import schema_bytes

pytestmark = pytest.mark.newest

SCHEMA: dict[str, Any] = {
    "fields": [
        {"name": "id", "type": "INT64", "is_primary": True},
        {"name": "tenant", "type": "VARCHAR", "max_length": 64, "is_partition_key": True},
        {"name": "text", "type": "VARCHAR", "max_length": 2000, "params": {"enable_analyzer": True}},
        {"name": "tags", "type": "ARRAY", "element_type": "VARCHAR", "max_capacity": 5, "max_length": 20},
        {"name": "price", "type": "FLOAT", "default_value": 0.1},
        {"name": "sparse", "type": "SPARSE_FLOAT_VECTOR"},
        {"name": "vector", "type": "FLOAT_VECTOR", "dim": 8, "params": {"mmap_enabled": True}},
    ],
    "functions": [
        {"name": "bm25", "type": "BM25", "input_field_names": ["text"], "output_field_names": ["sparse"], "params": {"k1": 1.2}}
    ],
    "enable_dynamic_field": True,
    "description": "all there is",
}
SETTINGS: dict[str, Any] = {
    "properties": {"collection.ttl.seconds": 3600, "mmap.enabled": True},
    "num_shards": 2,
    "num_partitions": 16,
    "consistency_level": "Session",
}


def described(schema: dict[str, Any] = SCHEMA, **more: Any) -> Any:
    """The answer of a server that keeps everything that it is given."""
    from pymilvus.grpc_gen import common_pb2, milvus_pb2, schema_pb2

    properties = {"collection.ttl.seconds": "3600", "mmap.enabled": "True", "airflow.created_by": "somebody"}
    answer: dict[str, Any] = {
        "schema": schema_pb2.CollectionSchema.FromString(schema_bytes("docs", Schema.of(schema))),
        "shards_num": 2,
        "num_partitions": 16,
        "consistency_level": 1,
        "properties": [common_pb2.KeyValuePair(key=key, value=value) for key, value in properties.items()],
    }
    return milvus_pb2.DescribeCollectionResponse(**{**answer, **more})


def changed(**of_field: Any) -> dict[str, Any]:
    """The schema with attributes of one field changed; ``None`` removes an attribute."""
    schema = copy.deepcopy(SCHEMA)
    ((name, attributes),) = of_field.items()
    field = next(field for field in schema["fields"] if field["name"] == name)
    field.update(attributes)
    for key in [key for key, value in field.items() if value is None]:
        del field[key]
    return schema


def differences(reported: Any, schema: dict[str, Any] = SCHEMA, *, lite: bool = False, **settings: Any) -> list[str]:
    return drift(Definition.of("docs", schema, **{**SETTINGS, **settings}), reported, lite=lite)


MOMENT = {"name": "at", "type": "TIMESTAMPTZ"}


def of_moments(default: str) -> dict[str, Any]:
    return {"fields": [*SCHEMA["fields"][:2], SCHEMA["fields"][-1], {**MOMENT, "default_value": default}]}


def has_struct_arrays() -> bool:
    from pymilvus.grpc_gen import schema_pb2

    return "struct_array_fields" in schema_pb2.CollectionSchema.DESCRIPTOR.fields_by_name


class TestNoDrift:
    def test_where_the_server_keeps_everything(self):
        assert differences(described()) == []

    @pytest.mark.parametrize("reported", ["2025-01-01T00:00:00Z", "2025-01-01T01:00:00+01:00", "2025-01-01 08:00:00+08:00"])
    def test_where_the_server_writes_a_moment_in_its_own_words(self, reported):
        assert differences(described(of_moments(reported)), of_moments("2025-01-01 08:00:00+08:00")) == []

    def test_in_the_order_of_fields(self):
        assert differences(described({**SCHEMA, "fields": SCHEMA["fields"][::-1]})) == []

    def test_in_descriptions(self):
        assert differences(described({**changed(id={"description": "key"}), "description": "other"})) == []

    def test_in_what_is_not_requested(self):
        plain = Definition.of("docs", SCHEMA)
        assert drift(plain, described(shards_num=7, num_partitions=64, consistency_level=0)) == []

    def test_in_properties_that_others_set(self):
        assert differences(described(), properties={"mmap.enabled": True}) == []

    def test_in_what_milvus_lite_never_reports(self):
        forgetful = described(changed(tags={"max_length": 20}), shards_num=1, num_partitions=17, consistency_level=0)
        for field in forgetful.schema.fields:
            kept = [
                pair for pair in field.type_params if pair.key in ("dim", "max_capacity") or field.name in ("tenant", "text")
            ]
            kept = [pair for pair in kept if pair.key != "enable_analyzer"]
            del field.type_params[:]
            field.type_params.extend(kept)
        assert differences(forgetful, lite=True) == []
        assert differences(forgetful) != []


class TestDriftIsNamed:
    @pytest.mark.parametrize(
        ("reported", "difference"),
        [
            (changed(id={"auto_id": True}), "field 'id': auto_id is True, not False"),
            (changed(tenant={"max_length": 128}), "field 'tenant': max_length is 128, not 64"),
            (changed(tenant={"is_partition_key": False}), "field 'tenant': is_partition_key is False, not True"),
            (changed(text={"nullable": True}), "field 'text': nullable is True, not False"),
            (changed(text={"params": {"enable_analyzer": False}}), "field 'text': params.enable_analyzer is false, not true"),
            (changed(text={"params": None}), "field 'text': params.enable_analyzer is not set, not true"),
            (changed(tags={"max_capacity": 6}), "field 'tags': max_capacity is 6, not 5"),
            (changed(tags={"max_length": 21}), "field 'tags': max_length is 21, not 20"),
            (
                changed(price={"default_value": 0.2}),
                "field 'price': default_value is 0.20000000298023224, not 0.10000000149011612",
            ),
            (changed(price={"default_value": None}), "field 'price': default_value is not set, not 0.10000000149011612"),
            (changed(vector={"type": "FLOAT16_VECTOR"}), "field 'vector': type is FLOAT16_VECTOR, not FLOAT_VECTOR"),
            (changed(price={"is_clustering_key": True}), "field 'price': is_clustering_key is True, not False"),
            (changed(vector={"dim": 16}), "field 'vector': dim is 16, not 8"),
            (changed(vector={"params": None}), "field 'vector': params.mmap_enabled is not set, not true"),
            ({**SCHEMA, "fields": SCHEMA["fields"][:4] + SCHEMA["fields"][5:]}, "field 'price' (FLOAT) is missing"),
            (
                {**SCHEMA, "fields": [*SCHEMA["fields"], {"name": "more", "type": "JSON"}]},
                "field 'more' (JSON) exists and is not requested",
            ),
            ({**SCHEMA, "enable_dynamic_field": False}, "enable_dynamic_field is False, not True"),
            ({**SCHEMA, "functions": []}, "function 'bm25' (BM25) is missing"),
            (
                {**SCHEMA, "functions": [*SCHEMA["functions"], {**SCHEMA["functions"][0], "name": "more"}]},
                "function 'more' exists and is not requested",
            ),
            (
                {**SCHEMA, "functions": [{**SCHEMA["functions"][0], "params": {"k1": 2}}]},
                "function 'bm25': params.k1 is 2, not 1.2",
            ),
            (
                {**SCHEMA, "functions": [{**SCHEMA["functions"][0], "input_field_names": ["tenant"]}]},
                "function 'bm25': input_field_names is tenant, not text",
            ),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_in_the_schema(self, reported, difference):
        assert differences(described(reported)) == [difference]

    @pytest.mark.parametrize(
        ("reported", "difference"),
        [
            ({"shards_num": 1}, "num_shards is 1, not 2"),
            ({"num_partitions": 64}, "num_partitions is 64, not 16"),
            ({"consistency_level": 2}, "consistency_level is Bounded, not Session"),
            ({"consistency_level": 4}, "consistency_level is 4, not Session"),
            (
                {"properties": [{"key": "mmap.enabled", "value": "true"}]},
                "property: collection.ttl.seconds is not set, not 3600",
            ),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_in_the_settings(self, reported, difference):
        assert differences(described(**reported)) == [difference]

    def test_in_several_places(self):
        there = described({**changed(vector={"dim": 16}), "enable_dynamic_field": False}, shards_num=1)
        assert differences(there) == [
            "field 'vector': dim is 16, not 8",
            "enable_dynamic_field is False, not True",
            "num_shards is 1, not 2",
        ]

    def test_on_milvus_lite_in_what_it_reports(self):
        assert differences(described(changed(vector={"dim": 16})), lite=True) == ["field 'vector': dim is 16, not 8"]
        assert differences(described(changed(tenant={"max_length": 9})), lite=True) == [
            "field 'tenant': max_length is 9, not 64"
        ]


class TestIndexDrift:
    REQUESTED = Index("vector", "HNSW", "COSINE", {"M": 16, "efConstruction": 200})

    def reported(self, **params: str) -> Index:
        pairs = [SimpleNamespace(key=key, value=value) for key, value in params.items()]
        return Index.of_described(SimpleNamespace(field_name="vector", index_name="vector", params=pairs))

    @pytest.mark.parametrize(
        "params",
        [
            {"params": '{"M": 16, "efConstruction": 200}'},
            {"params": '{"M":"16","efConstruction":"200"}'},
            {"M": "16", "efConstruction": "200", "mmap.enabled": "false"},
        ],
        ids=str,
    )
    def test_is_none_however_a_server_reports_it(self, params):
        assert index_drift(self.REQUESTED, self.reported(index_type="HNSW", metric_type="COSINE", **params)) == []

    def test_is_none_in_parameters_that_milvus_lite_does_not_keep(self):
        there = self.reported(index_type="HNSW", metric_type="COSINE")
        assert index_drift(self.REQUESTED, there, lite=True) == []
        assert len(index_drift(self.REQUESTED, there)) == 2
        changed = self.reported(index_type="HNSW", metric_type="COSINE", params='{"M": 8}')
        assert index_drift(self.REQUESTED, changed, lite=True) == [
            "index 'vector' of field 'vector': index_params.M is 8, not 16"
        ]

    def test_is_none_in_a_metric_that_is_left_to_the_server(self):
        assert index_drift(Index("vector", "flat"), self.reported(index_type="FLAT", metric_type="L2")) == []

    def test_names_each_difference(self):
        there = self.reported(index_type="IVF_FLAT", metric_type="L2", params='{"M": 8}')
        where = "index 'vector' of field 'vector'"
        assert index_drift(Index("vector", "HNSW", "COSINE", {"M": 16, "efConstruction": 200}, "by_vector"), there) == [
            f"{where}: index_type is IVF_FLAT, not HNSW",
            f"{where}: metric_type is L2, not COSINE",
            f"{where}: index_name is vector, not by_vector",
            f"{where}: index_params.M is 8, not 16",
            f"{where}: index_params.efConstruction is not set, not 200",
        ]


def test_another_moment_is_a_difference():
    (words,) = differences(described(of_moments("2025-01-01T08:00:00Z")), of_moments("2025-01-01 08:00:00+08:00"))
    assert "default_value is 2025-01-01 08:00:00+00:00, not 2025-01-01 00:00:00+00:00" in words


@pytest.mark.skipif(not has_struct_arrays(), reason="the installed pymilvus knows no arrays of structs")
def test_an_array_of_structs_is_seen_by_its_name():
    reported = described()
    reported.schema.struct_array_fields.add(name="chapters")
    assert differences(reported) == ["field 'chapters' (ARRAY of STRUCT) exists and is not requested"]


@pytest.mark.parametrize("told", ["by the schema", "by a property"])
def test_namespaces_are_seen(told):
    reported = described()
    if told == "by a property":
        reported.properties.add(key="namespace.enabled", value="true")
    elif "enable_namespace" in type(reported.schema).DESCRIPTOR.fields_by_name:
        reported.schema.enable_namespace = True
    else:
        pytest.skip("the installed pymilvus knows no namespaces")
    assert differences(reported) == ["the collection has namespaces, which are not requested"]
