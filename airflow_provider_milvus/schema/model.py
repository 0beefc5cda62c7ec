"""What a collection's rows look like: fields, dynamic field and functions, as a plain dict says it and as a server does.

The dict has pymilvus's own words (those of ``add_field``, ``Function`` and ``create_collection``), so it can be written in a
DAG, kept in YAML or JSON, templated, or come from XCom::

    {"fields": [{"name": "id", "type": "INT64", "is_primary": True},
                {"name": "text", "type": "VARCHAR", "max_length": 2000},
                {"name": "vector", "type": "FLOAT_VECTOR", "dim": 384}],
     "enable_dynamic_field": True}

Plain data: no Airflow and no pymilvus in here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from airflow_provider_milvus.arguments import name as checked_name
from airflow_provider_milvus.arguments import whole_number
from airflow_provider_milvus.client.protocol import from_pairs
from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError

TYPES: dict[str, int] = {
    "BOOL": 1,
    "INT8": 2,
    "INT16": 3,
    "INT32": 4,
    "INT64": 5,
    "FLOAT": 10,
    "DOUBLE": 11,
    "VARCHAR": 21,
    "ARRAY": 22,
    "JSON": 23,
    "GEOMETRY": 24,
    "TEXT": 25,
    "TIMESTAMPTZ": 26,
    "BINARY_VECTOR": 100,
    "FLOAT_VECTOR": 101,
    "FLOAT16_VECTOR": 102,
    "BFLOAT16_VECTOR": 103,
    "SPARSE_FLOAT_VECTOR": 104,
    "INT8_VECTOR": 105,
}
"""Milvus's ``DataType``, by name. Arrays of structs are not supported here."""
NAMES = {number: name for name, number in TYPES.items()}

DENSE_VECTORS = frozenset({"BINARY_VECTOR", "FLOAT_VECTOR", "FLOAT16_VECTOR", "BFLOAT16_VECTOR", "INT8_VECTOR"})
VECTORS = DENSE_VECTORS | {"SPARSE_FLOAT_VECTOR"}
ELEMENTS = frozenset({"BOOL", "INT8", "INT16", "INT32", "INT64", "FLOAT", "DOUBLE", "VARCHAR"})
KEYS = frozenset({"INT64", "VARCHAR"})

FUNCTIONS: dict[str, int] = {"BM25": 1, "TEXTEMBEDDING": 2, "RERANK": 3, "MINHASH": 4}
"""Milvus's ``FunctionType``, by name."""

LONGEST_DIM = 32768
LONGEST_TEXT = 65535
LARGEST_ARRAY = 4096


@dataclass(frozen=True, slots=True)
class Field:
    """One field. ``params`` are further type parameters of Milvus's, such as ``enable_analyzer`` or ``mmap_enabled``."""

    name: str
    type: str
    dim: int | None = None
    max_length: int | None = None
    max_capacity: int | None = None
    element_type: str | None = None
    is_primary: bool = False
    auto_id: bool = False
    is_partition_key: bool = False
    is_clustering_key: bool = False
    nullable: bool = False
    default_value: Any = None
    description: str = ""
    params: dict[str, Any] = field(default_factory=dict)

    @property
    def is_vector(self) -> bool:
        return self.type in VECTORS

    @property
    def may_be_missing(self) -> bool:
        """Whether a row may leave it out."""
        return self.nullable or self.default_value is not None

    def as_dict(self) -> dict[str, Any]:
        """As it is written in a DAG: what is not said is left out."""
        said = {each.name: getattr(self, each.name) for each in fields(self)}
        return {key: value for key, value in said.items() if value not in (None, False, "", {})}


@dataclass(frozen=True, slots=True)
class Function:
    """What the server computes a field from, such as BM25's sparse vector from a text."""

    name: str
    type: str
    input_field_names: tuple[str, ...]
    output_field_names: tuple[str, ...]
    params: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        said = {
            "name": self.name,
            "type": self.type,
            "input_field_names": list(self.input_field_names),
            "output_field_names": list(self.output_field_names),
        }
        return {**said, **({"params": self.params} if self.params else {})}


@dataclass(frozen=True, slots=True)
class Schema:
    """The fields of a collection, checked. Make one with :meth:`of` or :meth:`of_described`."""

    fields: tuple[Field, ...]
    enable_dynamic_field: bool = False
    functions: tuple[Function, ...] = ()
    description: str = ""

    @staticmethod
    def of(said: Mapping[str, Any]) -> Schema:
        """A schema as a DAG author writes it.

        :raises MilvusInvalidArgumentError: it can never be created; the message names the place, such as ``fields[2].dim``.
        """
        known = {"fields", "enable_dynamic_field", "functions", "description"}
        _only("schema", said, known)
        made = tuple(_field(f"fields[{at}]", each) for at, each in enumerate(_list("fields", said.get("fields"))))
        functions = tuple(_function(f"functions[{at}]", each) for at, each in enumerate(said.get("functions") or ()))
        schema = Schema(
            made,
            _flag("enable_dynamic_field", said.get("enable_dynamic_field", False)),
            functions,
            str(said.get("description") or ""),
        )
        _check_whole(schema)
        return schema

    @staticmethod
    def of_described(described: Any) -> Schema:
        """The schema in a server's answer to DescribeCollection."""
        found = described.schema
        return Schema(
            tuple(_field_of(each) for each in found.fields if not each.is_dynamic),
            bool(found.enable_dynamic_field),
            tuple(_function_of(each) for each in found.functions),
            str(found.description),
        )

    @property
    def primary(self) -> Field:
        return next(each for each in self.fields if each.is_primary)

    @property
    def computed(self) -> frozenset[str]:
        """Names of the fields that the server fills by a function."""
        return frozenset(name for each in self.functions for name in each.output_field_names)

    @property
    def written(self) -> tuple[Field, ...]:
        """The fields that a row brings: all but a generated key and what functions compute."""
        return tuple(each for each in self.fields if not each.auto_id and each.name not in self.computed)

    def as_dict(self) -> dict[str, Any]:
        """As a DAG author would write it; JSON-safe, and :meth:`of` takes it back."""
        said: dict[str, Any] = {"fields": [each.as_dict() for each in self.fields]}
        if self.enable_dynamic_field:
            said["enable_dynamic_field"] = True
        if self.functions:
            said["functions"] = [each.as_dict() for each in self.functions]
        if self.description:
            said["description"] = self.description
        return said


def _field(where: str, said: Any) -> Field:
    known = {each.name for each in fields(Field)}
    _only(where, said, known)
    _needs(where, said, ("name", "type"))
    name = checked_name(f"{where}.name", said["name"])
    where = f"{where} ({name!r})"
    kind = type_name(f"{where}.type", said["type"])
    wanted: dict[str, Any] = {"name": name, "type": kind, "description": str(said.get("description") or "")}
    for flag in ("is_primary", "auto_id", "is_partition_key", "is_clustering_key", "nullable"):
        wanted[flag] = _flag(f"{where}.{flag}", said.get(flag, False))
    wanted["params"] = dict(said.get("params") or {})
    wanted["default_value"] = _default(f"{where}.default_value", said.get("default_value"), kind)
    element = None
    if kind == "ARRAY":
        _needs(where, said, ("element_type", "max_capacity"))
        element = type_name(f"{where}.element_type", said["element_type"])
        if element not in ELEMENTS:
            raise MilvusInvalidArgumentError(f"{where}.element_type must be one of {_words(ELEMENTS)}, not {element}.")
    wanted["element_type"] = element
    sizes = {
        "dim": (kind in DENSE_VECTORS, LONGEST_DIM * (8 if kind == "BINARY_VECTOR" else 1)),
        "max_length": ("VARCHAR" in (kind, element), LONGEST_TEXT),
        "max_capacity": (kind == "ARRAY", LARGEST_ARRAY),
    }
    for size, (applies, most) in sizes.items():
        wanted[size] = _size(f"{where}.{size}", said.get(size), applies, most, kind)
    if kind == "BINARY_VECTOR" and wanted["dim"] % 8:
        raise MilvusInvalidArgumentError(f"{where}.dim of a BINARY_VECTOR must be a multiple of 8, not {wanted['dim']}.")
    if wanted["is_primary"] and kind not in KEYS:
        raise MilvusInvalidArgumentError(f"{where}: a primary key is INT64 or VARCHAR, not {kind}.")
    if wanted["is_partition_key"] and kind not in KEYS:
        raise MilvusInvalidArgumentError(f"{where}: a partition key is INT64 or VARCHAR, not {kind}.")
    if wanted["auto_id"] and not wanted["is_primary"]:
        raise MilvusInvalidArgumentError(f"{where}: auto_id is for the primary key only.")
    if wanted["is_primary"] and (wanted["nullable"] or wanted["default_value"] is not None or wanted["is_partition_key"]):
        raise MilvusInvalidArgumentError(f"{where}: a primary key is neither nullable nor a partition key, and has no default.")
    return Field(**wanted)


def _function(where: str, said: Any) -> Function:
    _only(where, said, {"name", "type", "input_field_names", "output_field_names", "params"})
    _needs(where, said, ("name", "type", "input_field_names", "output_field_names"))
    kind = str(getattr(said["type"], "name", said["type"])).upper()
    if kind not in FUNCTIONS:
        raise MilvusInvalidArgumentError(f"{where}.type must be one of {_words(FUNCTIONS)}, not {said['type']!r}.")
    return Function(
        checked_name(f"{where}.name", said["name"]),
        kind,
        tuple(_list(f"{where}.input_field_names", said["input_field_names"])),
        tuple(_list(f"{where}.output_field_names", said["output_field_names"])),
        dict(said.get("params") or {}),
    )


def _check_whole(schema: Schema) -> None:
    names = [each.name for each in schema.fields]
    if twice := sorted({each for each in names if names.count(each) > 1}):
        raise MilvusInvalidArgumentError(f"fields: {_words(twice)} stands there twice.")
    for what, count, allowed in (
        ("primary key", sum(each.is_primary for each in schema.fields), (1, 1)),
        ("partition key", sum(each.is_partition_key for each in schema.fields), (0, 1)),
        ("clustering key", sum(each.is_clustering_key for each in schema.fields), (0, 1)),
    ):
        if not allowed[0] <= count <= allowed[1]:
            raise MilvusInvalidArgumentError(f"fields: there must be {_words_of(allowed)} {what}, not {count}.")
    if not any(each.is_vector for each in schema.fields):
        raise MilvusInvalidArgumentError("fields: there must be a vector field; Milvus creates no collection without one.")
    for at, function in enumerate(schema.functions):
        if missing := [each for each in (*function.input_field_names, *function.output_field_names) if each not in names]:
            raise MilvusInvalidArgumentError(f"functions[{at}] ({function.name!r}) names {_words(missing)}, which is no field.")


def _field_of(found: Any) -> Field:
    params: dict[str, Any] = from_pairs(found.type_params)
    sizes = {key: int(params.pop(key)) if params.get(key) else None for key in ("dim", "max_length", "max_capacity")}
    kind = NAMES.get(int(found.data_type), str(found.data_type))
    default = found.default_value.WhichOneof("data") if found.HasField("default_value") else None
    return Field(
        name=str(found.name),
        type=kind,
        element_type=NAMES.get(int(found.element_type)) if kind == "ARRAY" else None,
        is_primary=bool(found.is_primary_key),
        auto_id=bool(found.autoID),
        is_partition_key=bool(found.is_partition_key),
        is_clustering_key=bool(found.is_clustering_key),
        nullable=bool(found.nullable),
        default_value=getattr(found.default_value, default) if default else None,
        description=str(found.description),
        params=params,
        **sizes,
    )


def _function_of(found: Any) -> Function:
    names = {number: name for name, number in FUNCTIONS.items()}
    return Function(
        str(found.name),
        names.get(int(found.type), str(found.type)),
        tuple(found.input_field_names),
        tuple(found.output_field_names),
        from_pairs(found.params),
    )


def type_name(where: str, said: Any) -> str:
    """Milvus's name of a type that was given by name, number or ``pymilvus.DataType``."""
    name = NAMES.get(int(said), "") if isinstance(said, int) and not isinstance(said, bool) else str(said).upper()
    if name not in TYPES:
        raise MilvusInvalidArgumentError(f"{where} must be one of {_words(TYPES)}, not {said!r}.")
    return name


def _size(where: str, said: Any, applies: bool, most: int, kind: str) -> int | None:
    if not applies:
        if said is not None:
            raise MilvusInvalidArgumentError(f"{where} has no meaning for {kind}.")
        return None
    return whole_number(where, said, 1, most)


def _default(where: str, said: Any, kind: str) -> Any:
    """A default that the type can hold. Over one of a JSON field the server 2.3.5 ends with a panic."""
    if said is None:
        return None
    if kind in VECTORS or kind in ("ARRAY", "JSON"):
        raise MilvusInvalidArgumentError(f"{where}: Milvus has no defaults for fields of type {kind}.")
    bits = int(kind.removeprefix("INT")) if kind.startswith("INT") else 0
    expected = bool if kind == "BOOL" else int if bits else (int, float) if kind in ("FLOAT", "DOUBLE") else str
    if not isinstance(said, expected) or isinstance(said, bool) != (kind == "BOOL"):
        raise MilvusInvalidArgumentError(f"{where} must be a value of type {kind}, not {said!r}.")
    if bits and not -(1 << bits - 1) <= int(said) < 1 << bits - 1:
        raise MilvusInvalidArgumentError(f"{where}: {said} does not fit into {kind}.")
    return said


def _flag(where: str, said: Any) -> bool:
    if isinstance(said, str) and said.lower() in ("true", "false"):
        return said.lower() == "true"
    if not isinstance(said, bool):
        raise MilvusInvalidArgumentError(f"{where} must be true or false, not {said!r}.")
    return said


def _list(where: str, said: Any) -> list[Any]:
    if isinstance(said, (str, Mapping)) or not isinstance(said, Iterable) or not (made := list(said)):
        raise MilvusInvalidArgumentError(f"{where} must be a list with at least one entry, not {said!r}.")
    return made


def _only(where: str, said: Any, known: set[str]) -> None:
    if not isinstance(said, Mapping):
        raise MilvusInvalidArgumentError(f"{where} must be a dict, not {type(said).__name__}.")
    if unknown := sorted(map(str, set(said) - known)):
        raise MilvusInvalidArgumentError(f"{where} has no {_words(unknown)}; it may have {_words(known)}.")


def _needs(where: str, said: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    if missing := [each for each in keys if said.get(each) in (None, "")]:
        raise MilvusInvalidArgumentError(f"{where} lacks {_words(missing)}.")


def _words(names: Iterable[str]) -> str:
    return ", ".join(map(repr, sorted(names)))


def _words_of(allowed: tuple[int, int]) -> str:
    return "exactly one" if allowed == (1, 1) else "at most one"
