"""A schema as the bytes that a CreateCollection request carries."""

from __future__ import annotations

from typing import Any

from airflow_provider_milvus.schema.model import FLAGS, FUNCTIONS, SIZES, Field, Schema
from airflow_provider_milvus.schema.pairs import to_pairs
from airflow_provider_milvus.schema.types import ARRAY_OF_VECTORS, DATA_TYPES


def schema_bytes(name: str, schema: Schema) -> bytes:
    """The encoded schema of a collection with this name."""
    from airflow_provider_milvus.protocol import schema_pb2

    message = schema_pb2.CollectionSchema(
        name=name,
        description=schema.description,
        enable_dynamic_field=schema.enable_dynamic_field,
        fields=[_field_message(field, field.name in schema.computed) for field in schema.fields if not field.struct_fields],
    )
    for field in schema.fields:
        if field.struct_fields:
            message.struct_array_fields.add(
                name=field.name,
                description=field.description,
                fields=[_array_message(inner, field.max_capacity) for inner in field.struct_fields],
                **({"nullable": True} if field.nullable else {}),
            )
    for function in schema.functions:
        message.functions.add(
            name=function.name,
            type=FUNCTIONS[function.type],
            input_field_names=function.input_field_names,
            output_field_names=function.output_field_names,
            params=_parameters(function.params),
        )
    return bytes(message.SerializeToString())


def _field_message(field: Field, computed: bool) -> Any:
    from airflow_provider_milvus.protocol import schema_pb2

    sizes = {size: value for size in SIZES if (value := getattr(field, size)) is not None}
    message = schema_pb2.FieldSchema(
        name=field.name,
        description=field.description,
        data_type=DATA_TYPES[field.type].number,
        element_type=DATA_TYPES[field.element_type].number if field.element_type else 0,
        is_function_output=computed,
        type_params=_parameters(sizes | field.params),
        **{reported: getattr(field, flag) for flag, reported in FLAGS.items()},
    )
    if field.default_value is not None:
        is_text = isinstance(field.default_value, str)
        member = "string_data" if is_text else DATA_TYPES[field.type].scalar_field
        setattr(message.default_value, member, field.default_value)
    return message


def _array_message(inner: Field, max_capacity: int | None) -> Any:
    """One field of an array of structs, which the protocol has as an array of its own."""
    message = _field_message(inner, computed=False)
    message.element_type = message.data_type
    message.data_type = ARRAY_OF_VECTORS if inner.is_vector else DATA_TYPES["ARRAY"].number
    message.type_params.add(key="max_capacity", value=str(max_capacity))
    return message


def _parameters(params: dict[str, Any]) -> list[dict[str, str]]:
    # The server reads mmap.enabled where pymilvus's users write mmap_enabled.
    return to_pairs({"mmap.enabled" if key == "mmap_enabled" else key: value for key, value in params.items()})
