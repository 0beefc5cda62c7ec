"""The manifest of an export: a schema as a DAG author writes it, and what is no manifest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.schema.model import Schema
from airflow_provider_milvus.search.manifest import Manifest, WrittenFile, needed_manifest, read_manifest, schema_as_dict

pytestmark = pytest.mark.newest

KEY = {"name": "id", "type": "INT64", "is_primary": True}
VECTOR = {"name": "vector", "type": "FLOAT_VECTOR", "dim": 4}
SCHEMAS = [
    {"fields": [KEY, VECTOR]},
    {"fields": [{**KEY, "auto_id": True}, VECTOR], "enable_dynamic_field": True, "description": "all of it"},
    {
        "fields": [
            KEY,
            {"name": "tenant", "type": "VARCHAR", "max_length": 9, "is_partition_key": True, "description": "whose"},
            {"name": "price", "type": "FLOAT", "nullable": True, "default_value": 0.5},
            {"name": "no", "type": "BOOL", "default_value": False},
            {"name": "tags", "type": "ARRAY", "element_type": "VARCHAR", "max_capacity": 3, "max_length": 5},
            {"name": "text", "type": "VARCHAR", "max_length": 99, "params": {"enable_analyzer": True}},
            {"name": "words", "type": "SPARSE_FLOAT_VECTOR"},
        ],
        "functions": [{"name": "f", "type": "BM25", "input_field_names": ["text"], "output_field_names": ["words"]}],
    },
    {
        "fields": [
            KEY,
            VECTOR,
            {
                "name": "chapters",
                "type": "ARRAY",
                "element_type": "STRUCT",
                "max_capacity": 5,
                "struct_fields": [
                    {"name": "title", "type": "VARCHAR", "max_length": 20},
                    {"name": "meaning", "type": "FLOAT_VECTOR", "dim": 2},
                ],
            },
        ]
    },
]


@pytest.mark.parametrize("written", SCHEMAS)
def test_a_schema_is_read_back_as_it_was(written):
    schema = Schema.of(written)
    again = json.loads(json.dumps(schema_as_dict(schema)))
    assert Schema.of(again) == schema
    assert [set(field) for field in again["fields"]] == [set(field) for field in written["fields"]]


def test_a_manifest_is_read_back_as_it_was(tmp_path: Path):
    manifest = Manifest(
        {"collection": "docs"}, {"schema": SCHEMAS[0]}, "run", 7, True, "", [WrittenFile("00001.jsonl", 7, "é", 9, "ab")]
    )
    manifest.write(str(tmp_path / "deep" / "folder"))
    assert read_manifest(str(tmp_path / "deep" / "folder")) == manifest


@pytest.mark.parametrize("text", ["", "[]", "{}", "no", '{"files": [{}], "request": {}, "definition": {}}', '{"files": 7}'])
def test_what_is_no_manifest_is_named(tmp_path: Path, text):
    (tmp_path / "_manifest.json").write_text(text)
    with pytest.raises(MilvusInvalidArgumentError, match=r"_manifest\.json is not the manifest of an export"):
        read_manifest(str(tmp_path))


def test_a_folder_without_one_is_named(tmp_path: Path):
    assert read_manifest(str(tmp_path)) is None
    with pytest.raises(MilvusInvalidArgumentError, match="there is no export in"):
        needed_manifest(f"{tmp_path}/")
