"""A collection as a DAG author writes it is checked, and encoded for the protocol."""

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


def test_consistency_levels_are_listed_in_the_order_of_their_numbers():
    from pymilvus.grpc_gen import common_pb2

    numbers = dict(common_pb2.ConsistencyLevel.items())
    assert {name: number for number, name in enumerate(CONSISTENCY_LEVELS)} == {
        name: numbers[name] for name in CONSISTENCY_LEVELS
    }


class TestDefinition:
    def test_leaves_to_the_server_what_is_not_requested(self):
        made = Definition.of("docs", SCHEMA)
        assert (made.indexes, made.properties, made.num_shards, made.num_partitions, made.consistency_level) == (
            (),
            {},
            None,
            None,
            None,
        )

    def test_has_properties_as_the_protocol_carries_them(self):
        made = Definition.of(
            "docs", SCHEMA, properties={"collection.ttl.seconds": 3600, "mmap.enabled": True, "owner": "search"}
        )
        assert made.properties == {"collection.ttl.seconds": "3600", "mmap.enabled": "true", "owner": "search"}

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"schema": {}}, "fields must be a list"),
            ({"indexes": {"field_name": "vector"}}, "indexes must be a list of dicts, not dict"),
            ({"indexes": "vector"}, "indexes must be a list of dicts, not str"),
            ({"indexes": ["vector"]}, r"indexes\[0\] must be a dict, not str"),
            ({"indexes": [{"field_name": "vektor"}]}, r"indexes\[0\]: there is no field 'vektor'; the fields are id, vector"),
            ({"indexes": [{"field": "vector"}]}, r"indexes\[0\] has no field; it may have field_name"),
            ({"indexes": [{"index_type": "FLAT"}]}, r"indexes\[0\].field_name must be a string"),
            ({"indexes": [{"field_name": "vector", "index_params": "nlist=16"}]}, r"indexes\[0\].index_params must be a dict"),
            (
                {"indexes": [{"field_name": "vector", "params": {}}]},
                r"indexes\[0\] has no params; .* Write index_params instead of",
            ),
            (
                {"indexes": [{"field_name": "vector"}, {"field_name": "vector"}]},
                "indexes: there are two indexes named 'vector'",
            ),
            ({"properties": "ttl"}, "properties must be a dict, or JSON or YAML text of one, not 'ttl'"),
            ({"num_partitions": 16}, "num_partitions is for a schema with a partition key"),
        ],
    )
    def test_refuses_what_no_server_can_create_and_names_the_place(self, arguments, message):
        with pytest.raises(MilvusInvalidArgumentError, match=f"^{message}"):
            Definition.of(**{"name": "docs", "schema": SCHEMA, **arguments})


class TestIndex:
    def test_has_the_name_of_its_field_and_the_type_autoindex_by_default(self):
        made = Index.of({"field_name": "vector"})
        assert (made.name, made.index_type) == ("vector", "AUTOINDEX")
        assert made.extra_params == [{"key": "index_type", "value": "AUTOINDEX"}]

    def test_is_sent_with_its_parameters_as_one_object(self):
        made = Index.of({"field_name": "vector", "index_type": "HNSW", "metric_type": "cosine", "index_params": {"M": 16}})
        assert {pair["key"]: pair["value"] for pair in made.extra_params} == {
            "index_type": "HNSW",
            "metric_type": "COSINE",
            "params": '{"M": 16}',
        }

    @pytest.mark.parametrize("reported", [{"params": '{"M": 16}'}, {"M": "16"}, {"M": "16", "params": ""}], ids=str)
    def test_has_its_parameters_however_a_server_reports_them(self, reported):
        params = [SimpleNamespace(key=key, value=value) for key, value in {"index_type": "HNSW", **reported}.items()]
        index = Index.of_described(SimpleNamespace(field_name="vector", index_name="v", params=params))
        assert {key: int(value) for key, value in index.index_params.items()} == {"M": 16}

    def test_can_be_read_back_from_its_dict(self):
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


class TestEncodedSchema:
    def decoded(self, schema: dict[str, Any]) -> Any:
        from pymilvus.grpc_gen import schema_pb2

        return schema_pb2.CollectionSchema.FromString(schema_bytes("docs", Schema.of(schema)))

    def test_holds_everything_that_the_dict_holds(self):
        """Read as the answer of a server that keeps everything."""
        assert Schema.of_described(SimpleNamespace(schema=self.decoded(RICH), properties=[])) == Schema.of(RICH)

    def test_is_what_pymilvus_would_send(self):
        """The same schema, built and encoded by pymilvus."""
        import numpy
        from pymilvus import DataType, Function, FunctionType, MilvusClient
        from pymilvus.client.prepare import Prepare

        schema = MilvusClient.create_schema(enable_dynamic_field=True, description="all there is")
        for field in RICH["fields"]:
            arguments = {key: value for key, value in field.items() if key not in ("name", "type", "params")}
            arguments |= field.get("params", {})
            if "element_type" in arguments:
                arguments["element_type"] = DataType[arguments["element_type"]]
            if field["type"] == "INT8":
                # pymilvus sends a Python int as 64 bits, which the server refuses as the default of an INT8 field.
                arguments["default_value"] = numpy.int8(arguments["default_value"])
            schema.add_field(field["name"], DataType[field["type"]], **arguments)
        (function,) = RICH["functions"]
        named = {key: value for key, value in function.items() if key != "type"}
        schema.add_function(Function(function_type=FunctionType[function["type"]], **named))
        theirs = Prepare.get_schema_from_collection_schema("docs", schema)
        ours = self.decoded(RICH)
        for one, other in zip(ours.fields, theirs.fields, strict=True):
            # The order of the parameters differs.
            assert sorted(map(str, one.type_params)) == sorted(map(str, other.type_params))
            del one.type_params[:], other.type_params[:]
        assert ours == theirs

    def test_has_mmap_under_the_name_that_the_server_reads(self):
        schema = {"fields": [SCHEMA["fields"][0], {**SCHEMA["fields"][1], "params": {"mmap_enabled": True}}]}
        (_, vector) = self.decoded(schema).fields
        assert {param.key: param.value for param in vector.type_params} == {"dim": "8", "mmap.enabled": "true"}

    def test_names_the_collection(self):
        assert self.decoded(SCHEMA).name == "docs"


class TestDefaultValues:
    @pytest.mark.parametrize(
        ("kind", "value", "message"),
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
    def test_that_the_field_cannot_have_are_refused(self, kind, value, message):
        schema = {"fields": [*SCHEMA["fields"], {"name": "more", "default_value": value, **kind}]}
        with pytest.raises(MilvusInvalidArgumentError, match=rf"^fields\[2\] \('more'\)\.default_value.*{message}"):
            Schema.of(schema)

    @pytest.mark.parametrize(("kind", "value"), [("INT8", -128), ("INT64", 2**63 - 1), ("DOUBLE", 1), ("BOOL", False)])
    def test_at_the_limit_are_accepted(self, kind, value):
        schema = {"fields": [*SCHEMA["fields"], {"name": "more", "type": kind, "default_value": value}]}
        assert Schema.of(schema).fields[2].default_value == value
