"""What a collection's rows look like: fields, dynamic field and functions, from a plain dict or from a server's answer.

The dict uses pymilvus's own words (those of ``add_field``, ``Function`` and ``create_collection``). It can be written in a DAG,
kept in YAML or JSON, templated, or come from XCom::

    {"fields": [{"name": "id", "type": "INT64", "is_primary": True},
                {"name": "text", "type": "VARCHAR", "max_length": 2000},
                {"name": "vector", "type": "FLOAT_VECTOR", "dim": 384}],
     "enable_dynamic_field": True}

Plain data: this module imports neither Airflow nor pymilvus.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.kinds import LARGEST_DIM, check_flag, check_name, check_whole_number
from airflow_provider_milvus.schema.pairs import from_pairs
from airflow_provider_milvus.schema.types import (
    DATA_TYPES,
    DENSE_VECTORS,
    ELEMENTS,
    FLOATS,
    INTEGERS,
    KEYS,
    NAMES,
    STRUCT,
    VECTORS,
    integer_range,
)

FUNCTIONS: dict[str, int] = {"BM25": 1, "TEXTEMBEDDING": 2, "RERANK": 3, "MINHASH": 4}
"""The protocol's number of each function type."""

FLAGS = {
    "is_primary": "is_primary_key",
    "auto_id": "autoID",
    "is_partition_key": "is_partition_key",
    "is_clustering_key": "is_clustering_key",
    "nullable": "nullable",
}
"""What is true or false of a field, by its name here and in the protocol."""
SIZES = ("dim", "max_length", "max_capacity")

LONGEST_TEXT = 65535
"""Bytes in UTF-8."""
LARGEST_ARRAY = 4096


@dataclass(frozen=True, slots=True)
class Field:
    """One field. ``params`` holds Milvus's further type parameters, such as ``enable_analyzer`` or ``mmap_enabled``.

    An array of structs (Milvus 2.6.4) is an ARRAY whose ``element_type`` is STRUCT, with the ``struct_fields`` of each struct.
    """

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
    struct_fields: tuple[Field, ...] = ()
    narrow: bool = False
    """Whether the server takes less than others: in a JSON field only objects, and no sparse vector without an entry."""

    @property
    def is_vector(self) -> bool:
        return self.type in VECTORS

    @property
    def names_in_structs(self) -> list[str]:
        """The names by which indexes and searches mean the fields of its structs, such as ``chapters[meaning]``."""
        return [f"{self.name}[{inner.name}]" for inner in self.struct_fields]

    @property
    def may_be_missing(self) -> bool:
        """Whether a row may leave it out."""
        return self.nullable or self.default_value is not None


@dataclass(frozen=True, slots=True)
class Function:
    """What the server computes a field from, such as BM25's sparse vector from a text."""

    name: str
    type: str
    input_field_names: tuple[str, ...]
    output_field_names: tuple[str, ...]
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Schema:
    """The fields of a collection, checked. Make one with :meth:`of` or :meth:`of_described`."""

    fields: tuple[Field, ...]
    enable_dynamic_field: bool = False
    functions: tuple[Function, ...] = ()
    description: str = ""
    has_namespaces: bool = False
    """Whether a row belongs to a namespace, as a server of Milvus 2.6 and later reports it; none is created or written here."""

    @staticmethod
    def of(requested: Mapping[str, Any]) -> Schema:
        """A schema as a DAG author writes it.

        :raises MilvusInvalidArgumentError: no collection can have this schema. The message names the place, such as
            ``fields[2].dim``.
        """
        _check_keys("schema", requested, {"fields", "enable_dynamic_field", "functions", "description"})
        listed = _read_list("fields", requested.get("fields"))
        schema = Schema(
            tuple(_read_field(f"fields[{at}]", field) for at, field in enumerate(listed)),
            check_flag("enable_dynamic_field", requested.get("enable_dynamic_field", False)),
            tuple(_read_function(f"functions[{at}]", function) for at, function in enumerate(requested.get("functions") or ())),
            str(requested.get("description") or ""),
        )
        _check_whole(schema)
        return schema

    @staticmethod
    def of_described(described: Any) -> Schema:
        """The schema in a server's answer to DescribeCollection."""
        reported = described.schema
        described_fields = [_field_of_described(field) for field in reported.fields if not field.is_dynamic]
        described_fields += map(_struct_array_of_described, getattr(reported, "struct_array_fields", ()))
        return Schema(
            tuple(described_fields),
            bool(reported.enable_dynamic_field),
            tuple(_function_of_described(function) for function in reported.functions),
            str(reported.description),
            # The cached description of 2.6 has it among the properties only.
            bool(getattr(reported, "enable_namespace", False))
            or from_pairs(described.properties).get("namespace.enabled") == "true",
        )

    def narrowed(self, types: Collection[str]) -> Schema:
        """The schema for a server that takes less in fields of these types."""
        return replace(self, fields=tuple(replace(field, narrow=field.type in types) for field in self.fields))

    def without(self, names: Collection[str]) -> Schema:
        """The schema of rows that do not bring these fields."""
        return replace(self, fields=tuple(field for field in self.fields if field.name not in names))

    @property
    def primary(self) -> Field:
        return next(field for field in self.fields if field.is_primary)

    @property
    def needed(self) -> frozenset[str]:
        """The names of the fields that each row has to bring."""
        return frozenset(field.name for field in self.fields if not field.auto_id and not field.may_be_missing) - self.computed

    @property
    def computed(self) -> frozenset[str]:
        """The names of the fields that the server fills by a function."""
        return frozenset(name for function in self.functions for name in function.output_field_names)


def _read_field(where: str, requested: Any) -> Field:
    _check_keys(where, requested, {attribute.name for attribute in fields(Field)} - {"narrow"}, needed=("name", "type"))
    name = check_name(f"{where}.name", requested["name"])
    where = f"{where} ({name!r})"
    kind = _read_type_name(f"{where}.type", requested["type"])
    read: dict[str, Any] = {"name": name, "type": kind, "description": str(requested.get("description") or "")}
    for flag in FLAGS:
        read[flag] = check_flag(f"{where}.{flag}", requested.get(flag, False))
    read["params"] = dict(requested.get("params") or {})
    read["default_value"] = _read_default(f"{where}.default_value", requested.get("default_value"), kind)
    element = None
    if kind == "ARRAY":
        _check_needed(where, requested, ("element_type", "max_capacity"))
        element = str(getattr(requested["element_type"], "name", requested["element_type"])).upper()
        element = element if element == STRUCT else _read_type_name(f"{where}.element_type", requested["element_type"])
        if element not in (*ELEMENTS, STRUCT):
            allowed = _listed((*ELEMENTS, STRUCT))
            raise MilvusInvalidArgumentError(f"{where}.element_type must be one of {allowed}, not {element}.")
    read["struct_fields"] = _read_struct_fields(f"{where}.struct_fields", requested.get("struct_fields"), element == STRUCT)
    read["element_type"] = element
    sizes = {
        "dim": (kind in DENSE_VECTORS, LARGEST_DIM * (8 if kind == "BINARY_VECTOR" else 1)),
        "max_length": ("VARCHAR" in (kind, element), LONGEST_TEXT),
        "max_capacity": (kind == "ARRAY", LARGEST_ARRAY),
    }
    for size, (applies, largest) in sizes.items():
        if not applies and requested.get(size) is not None:
            raise MilvusInvalidArgumentError(f"{where}.{size} has no meaning for {kind}.")
        read[size] = check_whole_number(f"{where}.{size}", requested.get(size), 1, largest) if applies else None
    if kind == "BINARY_VECTOR" and read["dim"] % 8:
        raise MilvusInvalidArgumentError(f"{where}.dim of a BINARY_VECTOR must be a multiple of 8, not {read['dim']}.")
    for flag, key in (("is_primary", "primary"), ("is_partition_key", "partition")):
        if read[flag] and kind not in KEYS:
            raise MilvusInvalidArgumentError(f"{where}: a {key} key is INT64 or VARCHAR, not {kind}.")
    if read["auto_id"] and not read["is_primary"]:
        raise MilvusInvalidArgumentError(f"{where}: auto_id is for the primary key only.")
    if read["is_primary"] and (read["nullable"] or read["default_value"] is not None or read["is_partition_key"]):
        raise MilvusInvalidArgumentError(f"{where}: a primary key is neither nullable nor a partition key, and has no default.")
    return Field(**read)


def _read_struct_fields(where: str, requested: Any, applies: bool) -> tuple[Field, ...]:
    if not applies:
        if requested is not None:
            raise MilvusInvalidArgumentError(f"{where} has a meaning only for an ARRAY with the element_type STRUCT.")
        return ()
    read = tuple(_read_field(f"{where}[{at}]", field) for at, field in enumerate(_read_list(where, requested)))
    for at, inner in enumerate(read):
        if inner.type not in ELEMENTS and inner.type not in DENSE_VECTORS:
            raise MilvusInvalidArgumentError(f"{where}[{at}] ({inner.name!r}): a struct holds no {inner.type}.")
        if inner != Field(
            inner.name, inner.type, inner.dim, inner.max_length, description=inner.description, params=inner.params
        ):
            raise MilvusInvalidArgumentError(
                f"{where}[{at}] ({inner.name!r}): a field of a struct is no key, has no default and no null."
            )
    return read


def _read_function(where: str, requested: Any) -> Function:
    needed = ("name", "type", "input_field_names", "output_field_names")
    _check_keys(where, requested, {*needed, "params"}, needed=needed)
    kind = str(getattr(requested["type"], "name", requested["type"])).upper()
    if kind not in FUNCTIONS:
        raise MilvusInvalidArgumentError(f"{where}.type must be one of {_listed(FUNCTIONS)}, not {requested['type']!r}.")
    return Function(
        check_name(f"{where}.name", requested["name"]),
        kind,
        tuple(_read_list(f"{where}.input_field_names", requested["input_field_names"])),
        tuple(_read_list(f"{where}.output_field_names", requested["output_field_names"])),
        dict(requested.get("params") or {}),
    )


def _check_whole(schema: Schema) -> None:
    names = [field.name for field in schema.fields]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise MilvusInvalidArgumentError(f"fields: there are two fields named {_listed(repeated)}.")
    keys = {"primary key": "is_primary", "partition key": "is_partition_key", "clustering key": "is_clustering_key"}
    for key, flag in keys.items():
        count, least = sum(getattr(field, flag) for field in schema.fields), int(flag == "is_primary")
        if not least <= count <= 1:
            allowed = "exactly one" if least else "at most one"
            raise MilvusInvalidArgumentError(f"fields: there must be {allowed} {key}, not {count}.")
    if not any(field.is_vector for field in schema.fields):
        raise MilvusInvalidArgumentError("fields: there must be a vector field; Milvus creates no collection without one.")
    for at, function in enumerate(schema.functions):
        if missing := [name for name in (*function.input_field_names, *function.output_field_names) if name not in names]:
            raise MilvusInvalidArgumentError(
                f"functions[{at}] ({function.name!r}) names {_listed(missing)}, but there is no such field."
            )


def _field_of_described(described: Any) -> Field:
    params: dict[str, Any] = from_pairs(described.type_params)
    sizes: dict[str, Any] = {size: int(params.pop(size, 0)) or None for size in SIZES}
    flags: dict[str, Any] = {flag: bool(getattr(described, reported)) for flag, reported in FLAGS.items()}
    kind = NAMES.get(int(described.data_type), str(described.data_type))
    default = described.default_value.WhichOneof("data") if described.HasField("default_value") else None
    return Field(
        name=str(described.name),
        type=kind,
        element_type=NAMES.get(int(described.element_type)) if kind == "ARRAY" else None,
        default_value=getattr(described.default_value, default) if default else None,
        description=str(described.description),
        params=params,
        **sizes,
        **flags,
    )


def _struct_array_of_described(described: Any) -> Field:
    """The server reports a field of the structs as an array, and its name with that of the whole before it."""
    inner = []
    for array in described.fields:
        reported = _field_of_described(array)
        name = reported.name.removeprefix(f"{described.name}[").removesuffix("]")
        kind = NAMES.get(int(array.element_type), str(array.element_type))
        inner.append(replace(reported, name=name, type=kind, element_type=None))
    capacity = inner[0].max_capacity if inner else None
    return Field(
        str(described.name),
        "ARRAY",
        max_capacity=capacity,
        element_type=STRUCT,
        nullable=bool(getattr(described, "nullable", False)),
        description=str(described.description),
        struct_fields=tuple(replace(reported, max_capacity=None, nullable=False) for reported in inner),
    )


def _function_of_described(described: Any) -> Function:
    names = {number: name for name, number in FUNCTIONS.items()}
    return Function(
        str(described.name),
        names.get(int(described.type), str(described.type)),
        tuple(described.input_field_names),
        tuple(described.output_field_names),
        from_pairs(described.params),
    )


def _read_type_name(where: str, value: Any) -> str:
    """Milvus's name of a type that is given by name, by number or as ``pymilvus.DataType``."""
    name = NAMES.get(int(value), "") if isinstance(value, int) and not isinstance(value, bool) else str(value).upper()
    if name not in DATA_TYPES:
        raise MilvusInvalidArgumentError(f"{where} must be one of {_listed(DATA_TYPES)}, not {value!r}.")
    return name


def _read_default(where: str, value: Any, kind: str) -> Any:
    """A default that the type can hold. A default of a JSON field ends a server 2.3.5 with a panic."""
    if value is None:
        return None
    if kind in VECTORS or kind in ("ARRAY", "JSON"):
        raise MilvusInvalidArgumentError(f"{where}: Milvus has no defaults for fields of type {kind}.")
    expected = bool if kind == "BOOL" else int if kind in INTEGERS else (int, float) if kind in FLOATS else str
    if not isinstance(value, expected) or isinstance(value, bool) != (kind == "BOOL"):
        raise MilvusInvalidArgumentError(f"{where} must be a value of type {kind}, not {value!r}.")
    if kind in INTEGERS and int(value) not in integer_range(kind):
        raise MilvusInvalidArgumentError(f"{where}: {value} does not fit into {kind}.")
    return value


def _read_list(where: str, value: Any) -> list[Any]:
    if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable) or not (entries := list(value)):
        raise MilvusInvalidArgumentError(f"{where} must be a list with at least one entry, not {value!r}.")
    return entries


def _check_keys(where: str, requested: Any, known: set[str], needed: tuple[str, ...] = ()) -> None:
    if not isinstance(requested, Mapping):
        raise MilvusInvalidArgumentError(f"{where} must be a dict, not {type(requested).__name__}.")
    if unknown := set(map(str, requested)) - known:
        raise MilvusInvalidArgumentError(f"{where} has no {_listed(unknown)}; it may have {_listed(known)}.")
    _check_needed(where, requested, needed)


def _check_needed(where: str, requested: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    if missing := [key for key in keys if requested.get(key) in (None, "")]:
        raise MilvusInvalidArgumentError(f"{where} lacks {_listed(missing)}.")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, sorted(names)))
