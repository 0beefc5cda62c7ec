"""What the protocol wants as a message inside a message: a schema, in bytes, as CreateCollection carries it."""

from __future__ import annotations

from typing import Any

from airflow_provider_milvus.schema.definition import text
from airflow_provider_milvus.schema.model import FUNCTIONS, Field, Schema
from airflow_provider_milvus.schema.types import DATA_TYPES


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
            params=_pairs(each.params),
        )
    return bytes(made.SerializeToString())


def _field(field: Field, computed: bool) -> Any:
    from pymilvus.grpc_gen import schema_pb2

    sizes = {"dim": field.dim, "max_length": field.max_length, "max_capacity": field.max_capacity}
    made = schema_pb2.FieldSchema(
        name=field.name,
        description=field.description,
        data_type=DATA_TYPES[field.type].number,
        element_type=DATA_TYPES[field.element_type].number if field.element_type else 0,
        is_primary_key=field.is_primary,
        autoID=field.auto_id,
        is_partition_key=field.is_partition_key,
        is_clustering_key=field.is_clustering_key,
        is_function_output=computed,
        nullable=field.nullable,
        type_params=_pairs({key: value for key, value in sizes.items() if value is not None} | field.params),
    )
    if field.default_value is not None:
        is_text = isinstance(field.default_value, str)
        place = "string_data" if is_text else DATA_TYPES[field.type].scalar_field
        setattr(made.default_value, place, field.default_value)
    return made


def _pairs(params: dict[str, Any]) -> list[dict[str, str]]:
    # pymilvus's word for it is not the server's.
    return [{"key": "mmap.enabled" if key == "mmap_enabled" else key, "value": text(value)} for key, value in params.items()]
