"""How a server's collection differs from the requested one, each difference in words.

The input is plain data and a server's answers, the output is text. Not compared are settings that are left to the server,
descriptions, and the order of fields. Milvus Lite does not report everything that it was given; what it never reports is not
compared there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from airflow_provider_milvus.schema.definition import CONSISTENCY_LEVELS, Definition, Index
from airflow_provider_milvus.schema.model import Field, Function, Schema
from airflow_provider_milvus.schema.pairs import from_pairs, to_text

_FIELD_ATTRIBUTES = ("type", "dim", "max_capacity", "element_type", "is_primary", "auto_id", "is_partition_key", "nullable")
_FUNCTION_ATTRIBUTES = ("type", "input_field_names", "output_field_names")
_REPORTED_NAMES = {"mmap_enabled": "mmap.enabled"}
"""The server's names of parameters that pymilvus calls by another name."""


def drift(requested: Definition, described: Any, *, lite: bool = False) -> list[str]:
    """The differences in the schema and the settings; an empty list when there are none.

    ``described`` is the server's answer to DescribeCollection, ``lite`` whether the server is Milvus Lite.
    """
    reported = Schema.of_described(described)
    return [*_compare_schemas(requested.schema, reported, lite), *_compare_settings(requested, described, lite)]


def index_drift(requested: Index, reported: Index, *, lite: bool = False) -> list[str]:
    """The differences between two indexes of one field. Milvus Lite does not keep the parameters that newer pymilvus sends."""
    where = f"index {reported.name!r} of field {requested.field_name!r}"
    pairs: list[tuple[str, Any, Any]] = [("index_type", requested.index_type.upper(), reported.index_type.upper())]
    if requested.metric_type:
        pairs.append(("metric_type", requested.metric_type, reported.metric_type.upper()))
    if requested.index_name:
        pairs.append(("index_name", requested.index_name, reported.name))
    pairs += [
        (f"index_params.{key}", _to_text(value), _to_text(reported.index_params.get(key)))
        for key, value in requested.index_params.items()
        if key in reported.index_params or not lite
    ]
    return list(_differences(where, pairs))


def _compare_schemas(requested: Schema, reported: Schema, lite: bool) -> Iterator[str]:
    yield from _compare_all_fields(requested.fields, reported.fields, lite)
    if reported.has_namespaces:
        yield "the collection has namespaces, which are not requested"
    if requested.enable_dynamic_field != reported.enable_dynamic_field:
        yield f"enable_dynamic_field is {reported.enable_dynamic_field}, not {requested.enable_dynamic_field}"
    reported_functions = {function.name: function for function in reported.functions}
    for function in requested.functions:
        if function.name in reported_functions:
            yield from _compare_functions(function, reported_functions.pop(function.name))
        else:
            yield f"function {function.name!r} ({function.type}) is missing"
    for name in reported_functions:
        yield f"function {name!r} exists and is not requested"


def _compare_all_fields(requested: Iterable[Field], reported: Iterable[Field], lite: bool, of: str = "") -> Iterator[str]:
    """``of`` is the array of structs that the fields belong to, in words."""
    left = {field.name: field for field in reported}
    for field in requested:
        if field.name in left:
            there = left.pop(field.name)
            yield from _compare_fields(field, there, lite, of)
            yield from _compare_all_fields(field.struct_fields, there.struct_fields, lite, f" of {field.name!r}")
        else:
            yield f"field {field.name!r}{of} ({field.type}) is missing"
    for name, field in left.items():
        kind = f"{field.type} of {field.element_type}" if field.element_type else field.type
        yield f"field {name!r}{of} ({kind}) exists and is not requested"


def _compare_fields(requested: Field, reported: Field, lite: bool, of: str) -> Iterator[str]:
    pairs = _attribute_pairs(_FIELD_ATTRIBUTES, requested, reported)
    if not lite:
        pairs += _attribute_pairs(("is_clustering_key",), requested, reported)
        pairs += [
            (f"params.{key}", _to_text(value), _to_text(reported.params.get(_REPORTED_NAMES.get(key, key))))
            for key, value in requested.params.items()
        ]
    if not (lite and requested.type == "ARRAY"):
        pairs.append(("max_length", requested.max_length, reported.max_length))
    pairs.append(("default_value", _kept_default(requested), _kept_default(reported)))
    yield from _differences(f"field {requested.name!r}{of}", pairs)


def _compare_functions(requested: Function, reported: Function) -> Iterator[str]:
    pairs = _attribute_pairs(_FUNCTION_ATTRIBUTES, requested, reported)
    pairs += [(f"params.{key}", _to_text(value), _to_text(reported.params.get(key))) for key, value in requested.params.items()]
    yield from _differences(f"function {requested.name!r}", pairs)


def _compare_settings(requested: Definition, described: Any, lite: bool) -> Iterator[str]:
    properties = from_pairs(described.properties)
    pairs = [(key, _to_text(value), _to_text(properties.get(key))) for key, value in requested.properties.items()]
    yield from _differences("property", pairs)
    if lite:
        return
    level = int(described.consistency_level)
    settings = {
        "num_shards": int(described.shards_num),
        "num_partitions": int(described.num_partitions),
        "consistency_level": CONSISTENCY_LEVELS[level] if level < len(CONSISTENCY_LEVELS) else str(level),
    }
    for name, reported in settings.items():
        value = getattr(requested, name)
        if value is not None and value != reported:
            yield f"{name} is {reported}, not {value}"


def _attribute_pairs(names: tuple[str, ...], requested: Any, reported: Any) -> list[tuple[str, Any, Any]]:
    return [(name, getattr(requested, name), getattr(reported, name)) for name in names]


def _differences(where: str, pairs: list[tuple[str, Any, Any]]) -> Iterator[str]:
    for name, requested, reported in pairs:
        if requested != reported:
            yield f"{where}: {name} is {_in_words(reported)}, not {_in_words(requested)}"


def _in_words(value: Any) -> str:
    return "not set" if value is None else ", ".join(value) if isinstance(value, tuple) else str(value)


def _to_text(value: Any) -> str | None:
    """The text that is compared. pymilvus writes a boolean sometimes as ``true`` and sometimes as ``True``."""
    if value is None:
        return None
    text = to_text(value)
    return text.lower() if text.lower() in ("true", "false") else text


def _kept_default(field: Field) -> Any:
    """The default value as a server keeps it: of a FLOAT, the 32 bits; of a TIMESTAMPTZ the moment, in its own words."""
    value = field.default_value
    if field.type == "TIMESTAMPTZ" and isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return value
        return moment.astimezone(UTC) if moment.tzinfo else moment
    return struct.unpack("f", struct.pack("f", value))[0] if field.type == "FLOAT" and value is not None else value
