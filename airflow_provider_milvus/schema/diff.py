"""How a collection that a server has differs from what is asked for, each difference in words.

Plain data and a server's answers in, text out. What is left to the server is not compared, nor are descriptions, nor the order
of fields. Milvus Lite does not tell all that it was given: what it never tells is not compared there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from airflow_provider_milvus.client.protocol import from_pairs, to_text
from airflow_provider_milvus.schema.definition import CONSISTENCY_LEVELS, Definition, Index
from airflow_provider_milvus.schema.model import Field, Function, Schema

_FIELD = ("type", "dim", "max_capacity", "element_type", "is_primary", "auto_id", "is_partition_key", "nullable")
_PARAMETER = {"mmap_enabled": "mmap.enabled"}


def drift(wanted: Definition, described: Any, *, lite: bool = False) -> list[str]:
    """What differs in the schema and the settings; empty when all is as asked for.

    ``described`` is the server's answer to DescribeCollection, ``lite`` whether it is Milvus Lite's.
    """
    found = Schema.of_described(described)
    return [*_schema(wanted.schema, found, lite), *_settings(wanted, described, lite)]


def index_drift(wanted: Index, found: Index, *, lite: bool = False) -> list[str]:
    """What differs between two indexes of one field. Milvus Lite does not keep parameters that newer pymilvus sends."""
    where = f"index {found.name!r} of field {wanted.field_name!r}"
    pairs: list[tuple[str, Any, Any]] = [("index_type", wanted.index_type.upper(), found.index_type.upper())]
    if wanted.metric_type:
        pairs.append(("metric_type", wanted.metric_type, found.metric_type.upper()))
    if wanted.index_name:
        pairs.append(("index_name", wanted.index_name, found.name))
    asked = {key: value for key, value in wanted.params.items() if key in found.params or not lite}
    pairs += [(f"params.{key}", _text(value), _text(found.params.get(key))) for key, value in asked.items()]
    return list(_unequal(where, pairs))


def _schema(wanted: Schema, found: Schema, lite: bool) -> Iterator[str]:
    there = {each.name: each for each in found.fields}
    for each in wanted.fields:
        if each.name in there:
            yield from _field(each, there.pop(each.name), lite)
        else:
            yield f"field {each.name!r} ({each.type}) is missing"
    for name, left in there.items():
        yield f"field {name!r} ({left.type}) is there and not asked for"
    if wanted.enable_dynamic_field != found.enable_dynamic_field:
        yield f"enable_dynamic_field is {found.enable_dynamic_field}, not {wanted.enable_dynamic_field}"
    functions = {each.name: each for each in found.functions}
    for function in wanted.functions:
        if function.name in functions:
            yield from _function(function, functions.pop(function.name))
        else:
            yield f"function {function.name!r} ({function.type}) is missing"
    for name in functions:
        yield f"function {name!r} is there and not asked for"


def _field(wanted: Field, found: Field, lite: bool) -> Iterator[str]:
    pairs = [(each, getattr(wanted, each), getattr(found, each)) for each in _FIELD]
    if not lite:
        pairs.append(("is_clustering_key", wanted.is_clustering_key, found.is_clustering_key))
        told = {key: _text(value) for key, value in found.params.items()}
        pairs += [(f"params.{key}", _text(value), told.get(_PARAMETER.get(key, key))) for key, value in wanted.params.items()]
    if not (lite and wanted.type == "ARRAY"):
        pairs.append(("max_length", wanted.max_length, found.max_length))
    pairs.append(("default_value", _default(wanted), _default(found)))
    yield from _unequal(f"field {wanted.name!r}", pairs)


def _function(wanted: Function, found: Function) -> Iterator[str]:
    pairs: list[tuple[str, Any, Any]] = [
        (each, getattr(wanted, each), getattr(found, each)) for each in ("type", "input_field_names", "output_field_names")
    ]
    pairs += [(f"params.{key}", _text(value), _text(found.params.get(key))) for key, value in wanted.params.items()]
    yield from _unequal(f"function {wanted.name!r}", pairs)


def _settings(wanted: Definition, described: Any, lite: bool) -> Iterator[str]:
    told = from_pairs(described.properties)
    yield from _unequal("property", [(key, _text(value), _text(told.get(key))) for key, value in wanted.properties.items()])
    if lite:
        return
    level = int(described.consistency_level)
    settings = {
        "num_shards": int(described.shards_num),
        "num_partitions": int(described.num_partitions),
        "consistency_level": CONSISTENCY_LEVELS[level] if level < len(CONSISTENCY_LEVELS) else str(level),
    }
    for name, found in settings.items():
        asked = getattr(wanted, name)
        if asked is not None and asked != found:
            yield f"{name} is {found}, not {asked}"


def _unequal(where: str, pairs: list[tuple[str, Any, Any]]) -> Iterator[str]:
    for what, wanted, found in pairs:
        if wanted != found:
            yield f"{where}: {what} is {_shown(found)}, not {_shown(wanted)}"


def _shown(value: Any) -> str:
    return "not set" if value is None else ", ".join(value) if isinstance(value, tuple) else str(value)


def _text(value: Any) -> str | None:
    """As text; pymilvus writes a truth value now as ``true`` and now as ``True``."""
    if value is None:
        return None
    said = to_text(value)
    return said.lower() if said.lower() in ("true", "false") else said


def _default(field: Field) -> Any:
    """The default value as it comes back: of a FLOAT, what 32 bits hold of it."""
    value = field.default_value
    return struct.unpack("f", struct.pack("f", value))[0] if field.type == "FLOAT" and value is not None else value
