"""A collection as it is to be: its schema, its indexes and its settings, as plain data that has been checked.

No Airflow and no pymilvus in here. What a server has is compared with it in ``schema/diff.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_milvus.arguments import name as checked_name
from airflow_provider_milvus.arguments import one_of, whole_number
from airflow_provider_milvus.client.protocol import from_pairs, to_pairs, to_text
from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.schema.model import Schema

CONSISTENCY_LEVELS = ("Strong", "Session", "Bounded", "Eventually")
"""Milvus's ``ConsistencyLevel``, by number."""


@dataclass(frozen=True, slots=True)
class Index:
    """One index. An empty ``index_name`` is the field's name, an empty ``metric_type`` the server's choice."""

    field_name: str
    index_type: str
    metric_type: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    index_name: str = ""

    @staticmethod
    def of(said: Any, where: str = "index") -> Index:
        """An index as a DAG author writes it, a dict with these fields; ``index_type`` is ``AUTOINDEX`` when left out.

        :raises MilvusInvalidArgumentError: it can never be created.
        """
        known = ("field_name", "index_type", "metric_type", "params", "index_name")
        if not isinstance(said, Mapping):
            raise MilvusInvalidArgumentError(f"{where} must be a dict, not {type(said).__name__}.")
        if unknown := sorted(str(each) for each in said if each not in known):
            raise MilvusInvalidArgumentError(f"{where} has no {', '.join(unknown)}; it may have {', '.join(known)}.")
        params = said.get("params") or {}
        if not isinstance(params, Mapping):
            raise MilvusInvalidArgumentError(f"{where}.params must be a dict, not {params!r}.")
        field_name, index_name = said.get("field_name"), said.get("index_name") or ""
        return Index(
            checked_name(f"{where}.field_name", field_name),
            str(said.get("index_type") or "AUTOINDEX"),
            str(said.get("metric_type") or "").upper(),
            dict(params),
            checked_name(f"{where}.index_name", index_name) if index_name else "",
        )

    @staticmethod
    def of_described(described: Any) -> Index:
        """An index in a server's answer to DescribeIndex."""
        said = from_pairs(described.params)
        kind, metric = said.pop("index_type", ""), said.pop("metric_type", "")
        return Index(str(described.field_name), kind, metric, _flat(said), str(described.index_name))

    @property
    def name(self) -> str:
        """The name it has on the server."""
        return self.index_name or self.field_name

    @property
    def extra_params(self) -> list[dict[str, str]]:
        """As CreateIndex wants it."""
        said = {"index_type": self.index_type, "metric_type": self.metric_type}
        if self.params:
            said["params"] = json.dumps(self.params)
        return to_pairs({key: value for key, value in said.items() if value})

    def as_dict(self) -> dict[str, Any]:
        said: dict[str, Any] = {"field_name": self.field_name, "index_type": self.index_type, "metric_type": self.metric_type}
        said |= {"index_name": self.name, **({"params": self.params} if self.params else {})}
        return {key: value for key, value in said.items() if value}


@dataclass(frozen=True, slots=True)
class Definition:
    """A collection as it is to be. What is ``None`` is left to the server."""

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
        schema: Mapping[str, Any],
        *,
        indexes: Iterable[Any] | None = None,
        properties: Mapping[str, Any] | None = None,
        num_shards: Any = None,
        num_partitions: Any = None,
        consistency_level: str | None = None,
    ) -> Definition:
        """A collection as a DAG author writes it.

        :raises MilvusInvalidArgumentError: it can never be created; the message names the place.
        """
        made = Definition(
            checked_name("collection_name", name),
            Schema.of(schema),
            _indexes(indexes),
            _properties(properties),
            _count("num_shards", num_shards),
            _count("num_partitions", num_partitions),
            None if consistency_level is None else one_of("consistency_level", consistency_level, CONSISTENCY_LEVELS),
        )
        fields = [each.name for each in made.schema.fields]
        for at, each in enumerate(made.indexes):
            if each.field_name not in fields:
                raise MilvusInvalidArgumentError(
                    f"indexes[{at}] is of {each.field_name!r}, which is no field; there are {', '.join(fields)}."
                )
        names = [each.name for each in made.indexes]
        if twice := sorted({each for each in names if names.count(each) > 1}):
            raise MilvusInvalidArgumentError(f"indexes: {', '.join(twice)} stands there twice.")
        if made.num_partitions is not None and not any(each.is_partition_key for each in made.schema.fields):
            raise MilvusInvalidArgumentError("num_partitions is for a schema with a partition key.")
        return made


def _indexes(said: Any) -> tuple[Index, ...]:
    if isinstance(said, (str, Mapping)) or not isinstance(said, (Iterable, type(None))):
        raise MilvusInvalidArgumentError(f"indexes must be a list of dicts, not {type(said).__name__}.")
    return tuple(Index.of(each, f"indexes[{at}]") for at, each in enumerate(said or ()))


def _properties(said: Any) -> dict[str, str]:
    if said is not None and not isinstance(said, Mapping):
        raise MilvusInvalidArgumentError(f"properties must be a dict, not {type(said).__name__}.")
    return {str(key): to_text(value) for key, value in (said or {}).items()}


def _count(argument: str, said: Any) -> int | None:
    return None if said is None else whole_number(argument, said, 1)


def _flat(said: dict[str, Any]) -> dict[str, Any]:
    """Servers give the parameters as they were sent, some in a JSON object under ``params``."""
    nested = json.loads(said.pop("params", "") or "{}")
    return {**said, **(nested if isinstance(nested, dict) else {})}
