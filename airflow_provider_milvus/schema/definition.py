"""A collection as a DAG author requests it: its schema, indexes and settings, as plain data that has been checked.

This module imports neither Airflow nor pymilvus. ``schema/diff.py`` compares a definition with what a server has.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.kinds import check_field_name, check_name
from airflow_provider_milvus.schema.model import Schema
from airflow_provider_milvus.schema.pairs import from_pairs, to_pairs
from airflow_provider_milvus.schema.reading import read_properties, read_schema, read_text

CONSISTENCY_LEVELS = ("Strong", "Session", "Bounded", "Eventually")
"""The position of a name is its number in Milvus's ``ConsistencyLevel``."""


def quick(dimension: int) -> dict[str, Any]:
    """The collection that pymilvus makes of a dimension alone, as a DAG author would write it."""
    key = {"name": "id", "type": "INT64", "is_primary": True}
    vector = {"name": "vector", "type": "FLOAT_VECTOR", "dim": dimension}
    return {
        "schema": {"fields": [key, vector], "enable_dynamic_field": True},
        "indexes": [{"field_name": "vector", "index_type": "AUTOINDEX", "metric_type": "COSINE"}],
    }


@dataclass(frozen=True, slots=True)
class Index:
    """One index. An empty ``index_name`` means the field's name, an empty ``metric_type`` the server's choice."""

    field_name: str
    index_type: str
    metric_type: str = ""
    index_params: dict[str, Any] = field(default_factory=dict)
    index_name: str = ""

    @staticmethod
    def of(requested: Any, where: str = "index") -> Index:
        """An index as a DAG author writes it: a dict whose keys are these attributes. ``index_type`` defaults to ``AUTOINDEX``.

        :raises MilvusInvalidArgumentError: no server can create it.
        """
        known = ("field_name", "index_type", "metric_type", "index_params", "index_name")
        if not isinstance(requested, Mapping):
            raise MilvusInvalidArgumentError(f"{where} must be a dict, not {type(requested).__name__}.")
        if unknown := sorted(str(key) for key in requested if key not in known):
            hint = " Write index_params instead of params." if "params" in unknown else ""
            raise MilvusInvalidArgumentError(f"{where} has no {', '.join(unknown)}; it may have {', '.join(known)}.{hint}")
        params = requested.get("index_params") or {}
        if not isinstance(params, Mapping):
            raise MilvusInvalidArgumentError(f"{where}.index_params must be a dict, not {params!r}.")
        index_name = requested.get("index_name") or ""
        return Index(
            check_field_name(f"{where}.field_name", requested.get("field_name")),
            str(requested.get("index_type") or "AUTOINDEX"),
            str(requested.get("metric_type") or "").upper(),
            dict(params),
            check_name(f"{where}.index_name", index_name) if index_name else "",
        )

    @staticmethod
    def of_described(described: Any) -> Index:
        """An index in a server's answer to DescribeIndex."""
        params: dict[str, Any] = from_pairs(described.params)
        kind, metric = params.pop("index_type", ""), params.pop("metric_type", "")
        # Servers report some parameters by name, and others in a JSON object under ``params``.
        nested = json.loads(params.pop("params", "") or "{}")
        params |= nested if isinstance(nested, dict) else {}
        return Index(str(described.field_name), kind, metric, params, str(described.index_name))

    @property
    def name(self) -> str:
        """The index's name on the server."""
        return self.index_name or self.field_name.replace("[", "_").removesuffix("]")

    @property
    def extra_params(self) -> list[dict[str, str]]:
        """The parameters as a CreateIndex request carries them."""
        params = {"index_type": self.index_type, "metric_type": self.metric_type}
        if self.index_params:
            params["params"] = json.dumps(self.index_params)
        return to_pairs({key: value for key, value in params.items() if value})

    def as_dict(self) -> dict[str, Any]:
        """The index as a DAG author writes it, without what is empty."""
        attributes = asdict(self) | {"index_name": self.name}
        return {key: value for key, value in attributes.items() if value}


@dataclass(frozen=True, slots=True)
class Definition:
    """A collection as a DAG author requests it. ``None`` leaves a setting to the server."""

    name: str
    schema: Schema
    indexes: tuple[Index, ...] = ()
    properties: dict[str, str] = field(default_factory=dict)
    num_shards: int | None = None
    num_partitions: int | None = None
    consistency_level: str | None = None

    @staticmethod
    def of(
        name: str,
        schema: Any,
        *,
        description: str | None = None,
        indexes: Any = None,
        properties: Any = None,
        **settings: Any,
    ) -> Definition:
        """A collection as a DAG author writes it. ``description`` takes the place of the schema's own.

        The name and ``settings``, which are ``num_shards``, ``num_partitions`` and ``consistency_level``, have been checked.

        :raises MilvusInvalidArgumentError: no server can create it. The message names the place.
        """
        read = read_schema("schema", schema)
        if description is not None:
            read = replace(read, description=description)
        definition = Definition(name, read, _read_indexes(indexes), read_properties("properties", properties), **settings)
        _check_whole(definition)
        return definition


def _check_whole(definition: Definition) -> None:
    fields = [name for field in definition.schema.fields for name in (field.name, *field.names_in_structs)]
    for at, index in enumerate(definition.indexes):
        if index.field_name not in fields:
            raise MilvusInvalidArgumentError(
                f"indexes[{at}]: there is no field {index.field_name!r}; the fields are {', '.join(fields)}."
            )
    names = [index.name for index in definition.indexes]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise MilvusInvalidArgumentError(f"indexes: there are two indexes named {', '.join(map(repr, repeated))}.")
    if definition.num_partitions is not None and not any(field.is_partition_key for field in definition.schema.fields):
        raise MilvusInvalidArgumentError("num_partitions is for a schema with a partition key.")


def _read_indexes(value: Any) -> tuple[Index, ...]:
    requested = read_text("indexes", value)
    if isinstance(requested, (str, Mapping)) or not isinstance(requested, (Iterable, type(None))):
        raise MilvusInvalidArgumentError(f"indexes must be a list of dicts, not {type(requested).__name__}.")
    return tuple(Index.of(index, f"indexes[{at}]") for at, index in enumerate(requested or ()))
