"""Milvus's data types in one table. Whatever depends on a type is derived from it."""

from __future__ import annotations

from typing import NamedTuple


class DataType(NamedTuple):
    """One data type.

    ``number`` is the protocol's number of the type. ``bits`` is the size of a value, or of one dimension of a vector; 0 where
    values differ in size. ``numpy`` is NumPy's name for one of the numbers that the protocol packs into bytes; empty where it
    packs none. ``scalar_field`` is the member of the protocol's ``ScalarField`` that holds the values; empty for vectors.
    """

    number: int
    bits: int = 0
    numpy: str = ""
    scalar_field: str = ""


DATA_TYPES = {
    "BOOL": DataType(1, 8, scalar_field="bool_data"),
    "INT8": DataType(2, 8, scalar_field="int_data"),
    "INT16": DataType(3, 16, scalar_field="int_data"),
    "INT32": DataType(4, 32, scalar_field="int_data"),
    "INT64": DataType(5, 64, scalar_field="long_data"),
    "FLOAT": DataType(10, 32, "<f4", "float_data"),
    "DOUBLE": DataType(11, 64, "<f8", "double_data"),
    "VARCHAR": DataType(21, scalar_field="string_data"),
    "ARRAY": DataType(22, scalar_field="array_data"),
    "JSON": DataType(23, scalar_field="json_data"),
    "GEOMETRY": DataType(24, scalar_field="geometry_wkt_data"),
    "TEXT": DataType(25, scalar_field="string_data"),
    "TIMESTAMPTZ": DataType(26, scalar_field="string_data"),
    "BINARY_VECTOR": DataType(100, 1, "<u1"),
    "FLOAT_VECTOR": DataType(101, 32, "<f4"),
    "FLOAT16_VECTOR": DataType(102, 16, "<f2"),
    # NumPy has no bfloat16: its 16 bits are handled as an integer.
    "BFLOAT16_VECTOR": DataType(103, 16, "<u2"),
    "SPARSE_FLOAT_VECTOR": DataType(104),
    "INT8_VECTOR": DataType(105, 8, "<i1"),
}
"""By Milvus's name of the type."""
STRUCT = "STRUCT"
"""The element type of an array of structs. The protocol has such an array as a column for each of its fields."""
ARRAY_OF_VECTORS, ARRAY_OF_STRUCTS = 106, 200
"""The protocol's numbers of types that only it speaks of."""
NAMES = {data_type.number: name for name, data_type in DATA_TYPES.items()}

INTEGERS = frozenset({"INT8", "INT16", "INT32", "INT64"})
FLOATS = frozenset({"FLOAT", "DOUBLE"})
TEXTS = frozenset({"VARCHAR", "TEXT", "GEOMETRY", "TIMESTAMPTZ"})
VECTORS = frozenset(name for name in DATA_TYPES if name.endswith("VECTOR"))
DENSE_VECTORS = VECTORS - {"SPARSE_FLOAT_VECTOR"}
FLOAT_VECTORS = frozenset({"FLOAT_VECTOR", "FLOAT16_VECTOR", "BFLOAT16_VECTOR"})
ELEMENTS = frozenset({"BOOL", "VARCHAR", *INTEGERS, *FLOATS})
"""What an array may hold."""
KEYS = frozenset({"INT64", "VARCHAR"})
"""What a primary key or a partition key may be."""


def integer_range(kind: str) -> range:
    """The values that an integer type can hold."""
    half = 1 << DATA_TYPES[kind].bits - 1
    return range(-half, half)
