"""What a DAG author gives for a schema, indexes or properties: a Python value, or its text in JSON or YAML.

All operators read these arguments here, so that they accept and refuse the same.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.schema.model import Schema


def read_schema(argument: str, value: Any) -> Schema:
    """A schema from a dict, or from the JSON or YAML text of one.

    :raises MilvusInvalidArgumentError: it is neither, or no collection can have this schema. The message names the place.
    """
    return Schema.of(_read_dict(argument, value))


def read_properties(argument: str, value: Any) -> dict[str, str]:
    """A collection's properties as Milvus keeps them, from a dict or the JSON or YAML text of one; ``None`` means none.

    :raises MilvusInvalidArgumentError: it is no dict, or a value can never work.
    """
    if value is None:
        return {}
    properties = _read_dict(argument, value)
    return {str(key): _property_text(f"{argument}[{key!r}]", key, content) for key, content in properties.items()}


def read_text(argument: str, value: Any) -> Any:
    """What a JSON or YAML text stands for; any other value as it is.

    :raises MilvusInvalidArgumentError: the text is empty, or neither JSON nor YAML.
    """
    if not isinstance(value, str):
        return value
    if not value.strip():
        raise MilvusInvalidArgumentError(f"{argument} is empty.")
    import yaml  # type: ignore[import-untyped]

    try:
        return yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise MilvusInvalidArgumentError(f"{argument} is neither JSON nor YAML: {error}") from None


def _read_dict(argument: str, value: Any) -> Mapping[Any, Any]:
    value = read_text(argument, value)
    if not isinstance(value, Mapping):
        raise MilvusInvalidArgumentError(f"{argument} must be a dict, or JSON or YAML text of one, not {reprlib.repr(value)}.")
    return value


def _property_text(where: str, key: Any, value: Any) -> str:
    """Milvus takes any text for the properties that are checked here. Then it ignores them, or does worse."""
    if isinstance(value, bool):
        value = "true" if value else "false"
    text = str(value).strip() if isinstance(value, (str, int, float)) else ""
    if not text:
        raise MilvusInvalidArgumentError(f"{where} must be text, a number, true or false, not {value!r}.")
    if key == "collection.ttl.seconds" and not (text.isdecimal() or text == "-1"):
        raise MilvusInvalidArgumentError(f"{where} must be a whole number of seconds from 0 on, or -1 for none, not {value!r}.")
    if key == "mmap.enabled":
        text = text.lower()
        if text not in ("true", "false"):
            raise MilvusInvalidArgumentError(f"{where} must be true or false, not {value!r}.")
    return text
