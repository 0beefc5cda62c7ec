"""A collection as a DAG author writes it: checked, made plain, and in the protocol's form."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.schema.definition import CONSISTENCY_LEVELS, Definition, Index
from airflow_provider_milvus.schema.model import Schema
from airflow_provider_milvus.schema.proto import schema_bytes

SCHEMA: dict[str, Any] = {
    "fields": [
        {"name": "id", "type": "INT64", "is_primary": True},
        {"name": "vector", "type": "FLOAT_VECTOR", "dim": 8},
    ]
}


def test_the_names_of_consistency_levels_stand_at_milvus_numbers():
    from pymilvus.grpc_gen import common_pb2

    numbers = dict(common_pb2.ConsistencyLevel.items())
    assert {name: number for number, name in enumerate(CONSISTENCY_LEVELS)} == {
        name: numbers[name] for name in CONSISTENCY_LEVELS
    }


class TestDefinition:
    def test_leaves_to_the_server_what_is_not_said(self):
        made = Definition.of("docs", SCHEMA)
        assert (made.indexes, made.properties, made.num_shards, made.num_partitions, made.consistency_level) == (
            (),
            {},
            None,
            None,
            None,
        )

    def test_takes_numbers_that_a_template_made_text(self):
        assert Definition.of("docs", SCHEMA, num_shards="2").num_shards == 2

    def test_has_properties_as_the_protocol_carries_them(self):
        made = Definition.of(
            "docs", SCHEMA, properties={"collection.ttl.seconds": 3600, "mmap.enabled": True, "owner": "search"}
        )
        assert made.properties == {"collection.ttl.seconds": "3600", "mmap.enabled": "true", "owner": "search"}

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ({"name": "1docs"}, "collection_name '1docs' is not a Milvus name"),
            ({"schema": {}}, "fields must be a list"),
            ({"indexes": {"field_name": "vector"}}, "indexes must be a list of dicts, not dict"),
            ({"indexes": "vector"}, "indexes must be a list of dicts, not str"),
            ({"indexes": ["vector"]}, r"indexes\[0\] must be a dict, not str"),
            ({"indexes": [{"field_name": "vektor"}]}, r"indexes\[0\] is of 'vektor', which is no field; there are id, vector"),
            ({"indexes": [{"field": "vector"}]}, r"indexes\[0\] has no field; it may have field_name"),
            ({"indexes": [{"index_type": "FLAT"}]}, r"indexes\[0\].field_name must be a string"),
            ({"indexes": [{"field_name": "vector", "index_params": "nlist=16"}]}, r"indexes\[0\].index_params must be a dict"),
            (
                {"indexes": [{"field_name": "vector", "params": {}}]},
                r"indexes\[0\] has no params; .* Write index_params instead of",
            ),
            ({"indexes": [{"field_name": "vector"}, {"field_name": "vector"}]}, "indexes: vector stands there twice"),
            ({"properties": "ttl"}, "properties must be a dict, or JSON or YAML text of one, not 'ttl'"),
            ({"num_shards": 0}, "num_shards must be a whole number from 1 on, not 0"),
            ({"num_shards": True}, "num_shards must be a whole number from 1 on, not True"),
            ({"num_partitions": 16}, "num_partitions is for a schema with a partition key"),
            ({"consistency_level": "strong"}, "consistency_level must be one of 'Strong'"),
        ],
    )
    def test_refuses_by_name_what_can_never_be(self, arguments, said):
        with pytest.raises(MilvusInvalidArgumentError, match=f"^{said}"):
            Definition.of(**{"name": "docs", "schema": SCHEMA, **arguments})


class TestIndex:
    def test_is_called_after_its_field_and_autoindex_when_nothing_is_said(self):
        made = Index.of({"field_name": "vector"})
        assert (made.name, made.index_type) == ("vector", "AUTOINDEX")
        assert made.extra_params == [{"key": "index_type", "value": "AUTOINDEX"}]

    def test_is_sent_with_its_parameters_as_one_object(self):
        made = Index.of({"field_name": "vector", "index_type": "HNSW", "metric_type": "cosine", "index_params": {"M": 16}})
        assert {each["key"]: each["value"] for each in made.extra_params} == {
            "index_type": "HNSW",
            "metric_type": "COSINE",
            "params": '{"M": 16}',
        }

    @pytest.mark.parametrize("told", [{"params": '{"M": 16}'}, {"M": "16"}, {"M": "16", "params": ""}], ids=str)
    def test_has_its_parameters_however_a_server_tells_them(self, told):
        params = [SimpleNamespace(key=key, value=value) for key, value in {"index_type": "HNSW", **told}.items()]
        found = Index.of_described(SimpleNamespace(field_name="vector", index_name="v", params=params))
        assert {key: int(value) for key, value in found.index_params.items()} == {"M": 16}

    def test_survives_the_way_through_xcom(self):
        made = Index.of({"field_name": "vector", "index_type": "HNSW", "metric_type": "L2", "index_params": {"M": 16}})
        assert Index.of(made.as_dict()).extra_params == made.extra_params


RICH: dict[str, Any] = {
    "fields": [
        {"name": "id", "type": "VARCHAR", "max_length": 64, "is_primary": True, "description": "key"},
        {"name": "auto", "type": "INT64", "is_partition_key": True},
        {"name": "flag", "type": "BOOL", "default_value": True},
        {"name": "small", "type": "INT8", "default_value": -3},
        {"name": "long", "type": "INT64", "default_value": 2**40, "nullable": True},
        {"name": "half", "type": "FLOAT", "default_value": 0.5},
        {"name": "double", "type": "DOUBLE", "default_value": 0.1},
        {"name": "word", "type": "VARCHAR", "max_length": 9, "default_value": "none"},
        {"name": "more", "type": "JSON", "nullable": True, "is_clustering_key": False},
        {"name": "tags", "type": "ARRAY", "element_type": "VARCHAR", "max_capacity": 5, "max_length": 20},
        {
            "name": "text",
            "type": "VARCHAR",
            "max_length": 2000,
            "params": {"enable_analyzer": "true", "analyzer_params": '{"type": "english"}'},
        },
        {"name": "sparse", "type": "SPARSE_FLOAT_VECTOR"},
        {"name": "vector", "type": "FLOAT_VECTOR", "dim": 8},
    ],
    "functions": [
        {
            "name": "bm25",
            "type": "BM25",
            "input_field_names": ["text"],
            "output_field_names": ["sparse"],
            "params": {"bm25_k1": "1.2"},
        }
    ],
    "enable_dynamic_field": True,
    "description": "all there is",
}


class TestSchemaOnTheWire:
    def decoded(self, schema: dict[str, Any]) -> Any:
        from pymilvus.grpc_gen import schema_pb2

        return schema_pb2.CollectionSchema.FromString(schema_bytes("docs", Schema.of(schema)))

    def test_says_all_that_the_dict_says(self):
        """As a server that keeps everything would describe it."""
        found = Schema.of_described(SimpleNamespace(schema=self.decoded(RICH)))
        assert found == Schema.of(RICH)

    def test_is_what_pymilvus_would_send(self):
        """Built with its own classes, and encoded by it."""
        import numpy
        from pymilvus import DataType, Function, FunctionType, MilvusClient
        from pymilvus.client.prepare import Prepare

        schema = MilvusClient.create_schema(enable_dynamic_field=True, description="all there is")
        for each in RICH["fields"]:
            said = {key: value for key, value in each.items() if key not in ("name", "type", "params")} | each.get("params", {})
            if "element_type" in said:
                said["element_type"] = DataType[said["element_type"]]
            if each["type"] == "INT8":
                # pymilvus goes by Python's type, and the server refuses a 64-bit default here.
                said["default_value"] = numpy.int8(said["default_value"])
            schema.add_field(each["name"], DataType[each["type"]], **said)
        (function,) = RICH["functions"]
        named = {key: value for key, value in function.items() if key != "type"}
        schema.add_function(Function(function_type=FunctionType[function["type"]], **named))
        theirs = Prepare.get_schema_from_collection_schema("docs", schema)
        ours = self.decoded(RICH)
        for one, other in zip(ours.fields, theirs.fields, strict=True):
            # Ours are in another order.
            assert sorted(map(str, one.type_params)) == sorted(map(str, other.type_params))
            del one.type_params[:], other.type_params[:]
        assert ours == theirs

    def test_has_mmap_under_the_name_that_the_server_reads(self):
        schema = {"fields": [SCHEMA["fields"][0], {**SCHEMA["fields"][1], "params": {"mmap_enabled": True}}]}
        (_, vector) = self.decoded(schema).fields
        assert {each.key: each.value for each in vector.type_params} == {"dim": "8", "mmap.enabled": "true"}

    def test_names_the_collection(self):
        assert self.decoded(SCHEMA).name == "docs"


class TestDefaultValues:
    @pytest.mark.parametrize(
        ("kind", "value", "said"),
        [
            ({"type": "JSON"}, {"a": 1}, "Milvus has no defaults for fields of type JSON"),
            ({"type": "FLOAT_VECTOR", "dim": 2}, [0.0, 1.0], "Milvus has no defaults for fields of type FLOAT_VECTOR"),
            (
                {"type": "ARRAY", "element_type": "BOOL", "max_capacity": 2},
                [],
                "Milvus has no defaults for fields of type ARRAY",
            ),
            ({"type": "BOOL"}, 1, "must be a value of type BOOL, not 1"),
            ({"type": "INT64"}, True, "must be a value of type INT64, not True"),
            ({"type": "INT64"}, 1.5, "must be a value of type INT64, not 1.5"),
            ({"type": "INT64"}, "7", "must be a value of type INT64, not '7'"),
            ({"type": "FLOAT"}, "1.5", "must be a value of type FLOAT, not '1.5'"),
            ({"type": "VARCHAR", "max_length": 9}, 7, "must be a value of type VARCHAR, not 7"),
            ({"type": "INT8"}, 128, "128 does not fit into INT8"),
            ({"type": "INT64"}, -(2**63) - 1, "does not fit into INT64"),
        ],
    )
    def test_that_the_field_cannot_have_are_refused(self, kind, value, said):
        schema = {"fields": [*SCHEMA["fields"], {"name": "more", "default_value": value, **kind}]}
        with pytest.raises(MilvusInvalidArgumentError, match=rf"^fields\[2\] \('more'\)\.default_value.*{said}"):
            Schema.of(schema)

    @pytest.mark.parametrize(("kind", "value"), [("INT8", -128), ("INT64", 2**63 - 1), ("DOUBLE", 1), ("BOOL", False)])
    def test_at_the_edge_are_taken(self, kind, value):
        schema = {"fields": [*SCHEMA["fields"], {"name": "more", "type": kind, "default_value": value}]}
        assert Schema.of(schema).fields[2].default_value == value
