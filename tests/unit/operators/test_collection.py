"""The operators for collections as a DAG author uses them: a definition as dict, text or file, rendered and checked."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.operators.milvus import (
    MilvusCreateCollectionOperator,
    MilvusDropIndexOperator,
    MilvusSwapAliasOperator,
)

SCHEMA: dict[str, Any] = {
    "description": "from a dict",
    "fields": [
        {"name": "id", "type": "INT64", "is_primary": True},
        {"name": "vector", "type": "FLOAT_VECTOR", "dim": 8},
    ],
}
INDEXES = [{"field_name": "vector", "index_type": "HNSW", "metric_type": "COSINE", "index_params": {"M": 16}}]
YAML = """
description: from a dict
fields:
  - {name: id, type: INT64, is_primary: true}
  - name: vector
    type: FLOAT_VECTOR
    dim: 8
"""


def create(**arguments: Any) -> MilvusCreateCollectionOperator:
    return MilvusCreateCollectionOperator(task_id="create", **{"collection_name": "docs", "schema": SCHEMA, **arguments})


class TestADefinition:
    @pytest.mark.parametrize("schema", [SCHEMA, json.dumps(SCHEMA), YAML], ids=["dict", "JSON", "YAML"])
    def test_is_the_same_however_it_is_written(self, schema):
        assert create(schema=schema)._requested() == create()._requested()

    @pytest.mark.parametrize("indexes", [INDEXES, json.dumps(INDEXES)], ids=["list", "JSON"])
    def test_has_its_indexes_however_they_are_written(self, indexes):
        (index,) = create(indexes=indexes)._requested().indexes
        assert (index.index_type, index.index_params) == ("HNSW", {"M": 16})

    @pytest.mark.parametrize(("name", "text"), [("docs.yaml", YAML), ("docs.json", json.dumps(SCHEMA))])
    def test_may_be_a_file_beside_the_dag_with_templates_in_it(self, tmp_path: Path, name: str, text: str):
        (tmp_path / name).write_text(text.replace("from a dict", "of {{ params.tenant }}"))
        with DAG("docs", schedule=None, template_searchpath=str(tmp_path)):
            task = create(schema=name)
        task.resolve_template_files()
        task.render_template_fields({"params": {"tenant": "acme"}})
        assert task._requested().schema.description == "of acme"
        assert [field.name for field in task._requested().schema.fields] == ["id", "vector"]

    def test_is_rendered_to_its_depths(self):
        fields = [SCHEMA["fields"][0], {**SCHEMA["fields"][1], "dim": "{{ params.dim }}"}]
        task = create(schema={"fields": fields}, num_shards="{{ params.shards }}", properties={"owner": "{{ params.owner }}"})
        task.render_template_fields({"params": {"dim": 384, "shards": 4, "owner": "search"}})
        requested = task._requested()
        assert (requested.schema.fields[1].dim, requested.num_shards, requested.properties) == (384, 4, {"owner": "search"})

    def test_takes_another_description(self):
        assert create(description="of tonight")._requested().schema.description == "of tonight"
        assert create()._requested().schema.description == "from a dict"

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            ({"schema": "{fields: ["}, "schema is neither JSON nor YAML"),
            ({"schema": "docs"}, "schema must be a dict, or JSON or YAML text of one"),
            ({"schema": "docs", "description": "of tonight"}, "schema must be a dict, or JSON or YAML text of one"),
            ({"schema": "fields"}, "schema must be a dict, or JSON or YAML text of one"),
            ({"indexes": "vector"}, "indexes must be a list of dicts, not str"),
            ({"properties": "[1]"}, "properties must be a dict, or JSON or YAML text of one"),
            ({"schema": {**SCHEMA, "dims": 8}}, "schema has no 'dims'"),
        ],
    )
    def test_that_cannot_be_read_is_refused_before_anything_is_sent(self, arguments, reason):
        with pytest.raises(MilvusInvalidArgumentError, match=reason):
            create(**arguments).execute({})

    @pytest.mark.parametrize(
        ("dimension", "reason"),
        [
            (0, "dimension must be a whole number from 1 to 32768, not 0"),
            (40_000, "dimension must be a whole number from 1 to 32768, not 40000"),
            ("wide", "dimension must be a whole number from 1 to 32768, not 'wide'"),
        ],
    )
    def test_of_no_dimension_that_can_be_is_refused(self, dimension, reason):
        with pytest.raises(MilvusInvalidArgumentError, match=reason):
            MilvusCreateCollectionOperator(task_id="create", collection_name="docs", dimension=dimension)

    def test_is_one_of_schema_dimension_and_definition(self):
        for given in ({}, {"schema": SCHEMA, "dimension": 8}, {"dimension": 8, "definition": "/data/export"}):
            with pytest.raises(MilvusInvalidArgumentError, match="Give schema, dimension or definition, one of the three"):
                MilvusCreateCollectionOperator(task_id="create", collection_name="docs", **given)

    def test_lets_no_word_choose_what_happens_to_what_exists(self):
        with pytest.raises(MilvusInvalidArgumentError, match=r"if_exists must be one of 'fail', 'skip', 'check', 'replace'"):
            create(if_exists="overwrite")


def test_a_drop_names_its_index():
    with pytest.raises(MilvusInvalidArgumentError, match="they name the index to drop"):
        MilvusDropIndexOperator(task_id="drop", collection_name="docs")


class TestGracePeriod:
    @pytest.mark.parametrize(
        ("grace_period", "seconds"), [(None, 0), (0, 0), (90, 90), ("90", 90), (timedelta(minutes=2), 120)]
    )
    def test_is_seconds(self, grace_period, seconds):
        task = MilvusSwapAliasOperator(task_id="swap", alias="live", collection_name="docs", grace_period=grace_period)
        assert (task.grace_period or 0) == seconds

    @pytest.mark.parametrize("grace_period", [-1, True, float("nan"), "soon", "nan", "-1"])
    def test_that_can_never_be_is_refused_when_the_dag_is_parsed(self, grace_period):
        with pytest.raises(MilvusInvalidArgumentError, match="grace_period"):
            MilvusSwapAliasOperator(task_id="swap", alias="live", collection_name="docs", grace_period=grace_period)

    @pytest.mark.parametrize("then", ["delete", ""])
    def test_ends_in_one_of_three(self, then):
        with pytest.raises(MilvusInvalidArgumentError, match="then "):
            MilvusSwapAliasOperator(task_id="swap", alias="live", collection_name="docs", then=then)
