"""What the protocol wants as a message inside a message: a schema, in bytes, as CreateCollection carries it."""

from __future__ import annotations

from typing import Any

from airflow_provider_milvus.client.protocol import to_pairs
from airflow_provider_milvus.schema.model import FUNCTIONS, TYPES, Field, Schema

_DEFAULTS = {
    "BOOL": "bool_data",
    "INT8": "int_data",
    "INT16": "int_data",
    "INT32": "int_data",
    "INT64": "long_data",
    "FLOAT": "float_data",
    "DOUBLE": "double_data",
}
"""Where a type's default value goes in the protocol's ``ValueField``; all others are text."""


def schema_bytes(name: str, schema: Schema) -> bytes:
    """The schema of a collection called ``name``, encoded."""
    from pymilvus.grpc_gen import schema_pb2

    made = schema_pb2.CollectionSchema(
        name=name,
        description=schema.description,
        enable_dynamic_field=schema.enable_dynamic_field,
        fields=[_field(each, each.name in schema.computed) for each in schema.fields],
    )
    for each in schema.functions:
        made.functions.add(
            name=each.name,
            type=FUNCTIONS[each.type],
            input_field_names=each.input_field_names,
            output_field_names=each.output_field_names,
            params=_parameters(each.params),
        )
    return bytes(made.SerializeToString())


def _field(field: Field, computed: bool) -> Any:
    from pymilvus.grpc_gen import schema_pb2

    sizes = {"dim": field.dim, "max_length": field.max_length, "max_capacity": field.max_capacity}
    made = schema_pb2.FieldSchema(
        name=field.name,
        description=field.description,
        data_type=TYPES[field.type],
        element_type=TYPES[field.element_type] if field.element_type else 0,
        is_primary_key=field.is_primary,
        autoID=field.auto_id,
        is_partition_key=field.is_partition_key,
        is_clustering_key=field.is_clustering_key,
        is_function_output=computed,
        nullable=field.nullable,
        type_params=_parameters({key: value for key, value in sizes.items() if value is not None} | field.params),
    )
    if field.default_value is not None:
        setattr(made.default_value, _DEFAULTS.get(field.type, "string_data"), field.default_value)
    return made


def _parameters(params: dict[str, Any]) -> list[dict[str, str]]:
    # pymilvus's word for it is not the server's.
    return to_pairs({"mmap.enabled" if key == "mmap_enabled" else key: value for key, value in params.items()})
