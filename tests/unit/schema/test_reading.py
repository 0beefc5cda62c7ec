"""Schemas and properties mean the same in every operator that takes them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.operators.collection import MilvusCreateCollectionOperator
from airflow_provider_milvus.operators.maintenance import MilvusAlterCollectionOperator
from airflow_provider_milvus.operators.prepare_import import MilvusPrepareImportOperator
from airflow_provider_milvus.schema.model import Schema
from airflow_provider_milvus.schema.reading import read_properties, read_schema

pytestmark = pytest.mark.newest

SCHEMA: dict[str, Any] = {
    "fields": [
        {"name": "id", "type": "INT64", "is_primary": True},
        {"name": "vector", "type": "FLOAT_VECTOR", "dim": 8},
    ]
}
YAML = """
fields:
  - {name: id, type: INT64, is_primary: true}
  - {name: vector, type: FLOAT_VECTOR, dim: 8}
"""


def create(**arguments: Any) -> None:
    MilvusCreateCollectionOperator(task_id="t", collection_name="docs", **{"schema": SCHEMA, **arguments}).execute({})


def alter(**arguments: Any) -> None:
    MilvusAlterCollectionOperator(task_id="t", collection_name="docs", **arguments).execute({})


def prepare(**arguments: Any) -> None:
    MilvusPrepareImportOperator(task_id="t", rows=[], path="/tmp/never", **arguments).execute({})


class TestSchema:
    @pytest.mark.parametrize("written", [SCHEMA, json.dumps(SCHEMA), YAML], ids=["dict", "JSON", "YAML"])
    def test_is_the_same_however_it_is_written(self, written):
        assert read_schema("schema", written) == Schema.of(SCHEMA)

    @pytest.mark.parametrize("operator", [create, prepare])
    @pytest.mark.parametrize(
        ("written", "message"),
        [
            ("", "schema is given, but empty"),
            ("{fields: [", "schema is neither JSON nor YAML"),
            ("docs", "schema must be a dict, or JSON or YAML text of one, not 'docs'"),
            ("[1]", r"schema must be a dict, or JSON or YAML text of one, not \[1\]"),
            ([], "schema is given, but empty"),
            ({**SCHEMA, "dims": 8}, "schema has no 'dims'"),
            (YAML.replace("8", "0"), r"fields\[1\] \('vector'\)\.dim must be a whole number"),
        ],
    )
    def test_is_refused_by_both_operators_in_the_same_words(self, operator, written, message):
        with pytest.raises(MilvusInvalidArgumentError, match=message):
            operator(schema=written)


class TestProperties:
    @pytest.mark.parametrize(
        ("key", "value", "text"),
        [
            ("mmap.enabled", True, "true"),
            ("mmap.enabled", "False", "false"),
            ("collection.ttl.seconds", 0, "0"),
            ("collection.ttl.seconds", " 60 ", "60"),
            ("collection.ttl.seconds", -1, "-1"),
            ("x.y", 1.5, "1.5"),
            ("x.y", False, "false"),
        ],
    )
    def test_are_what_milvus_keeps(self, key, value, text):
        assert read_properties("properties", {key: value}) == {key: text}

    @pytest.mark.parametrize("written", ['{"mmap.enabled": true, "owner": "search"}', "mmap.enabled: true\nowner: search"])
    def test_may_be_text(self, written):
        assert read_properties("properties", written) == {"mmap.enabled": "true", "owner": "search"}

    def test_may_be_left_out(self):
        assert read_properties("properties", None) == {}

    @pytest.mark.parametrize("operator", [create, alter])
    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("mmap.enabled", "yes"),
            ("mmap.enabled", 1),
            ("collection.ttl.seconds", -2),
            ("collection.ttl.seconds", 1.5),
            ("collection.ttl.seconds", "1h"),
            ("collection.ttl.seconds", "soon"),
            ("collection.ttl.seconds", True),
            ("collection.ttl.seconds", ""),
            ("x.y", None),
            ("x.y", {"a": 1}),
            ("x.y", ""),
        ],
    )
    def test_that_servers_would_take_and_not_understand_are_refused_by_both_operators(self, operator, key, value):
        with pytest.raises(MilvusInvalidArgumentError, match=rf"properties\['{key}'\] must be"):
            operator(properties={key: value})

    @pytest.mark.parametrize("operator", [create, alter])
    @pytest.mark.parametrize(
        ("written", "message"),
        [
            (" ", "properties is given, but empty"),
            ("ttl", "properties must be a dict, or JSON or YAML text of one, not 'ttl'"),
            ("[1]", r"properties must be a dict, or JSON or YAML text of one, not \[1\]"),
            ("a: {", "properties is neither JSON nor YAML"),
        ],
    )
    def test_that_are_no_dict_are_refused_by_both_operators(self, operator, written, message):
        with pytest.raises(MilvusInvalidArgumentError, match=message):
            operator(properties=written)
