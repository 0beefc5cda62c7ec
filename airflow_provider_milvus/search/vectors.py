"""Vectors in the protocol's messages, as bytes, and as numbers to compute with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.rows.vectors import dense_column, sparse_column
from airflow_provider_milvus.schema.model import Field
from airflow_provider_milvus.schema.types import DATA_TYPES


def bytes_of_one(kind: str, dim: int) -> int:
    return DATA_TYPES[kind].bits * dim // 8


def as_bytes(field: Any, kind: str, dim: int) -> np.ndarray[Any, Any]:
    """The vectors of a ``FieldData`` message, one row of bytes for each vector."""
    if kind == "FLOAT_VECTOR":
        # The floats stand packed at the end of the encoded message: many times faster than reading them one by one.
        floats = field.vectors.float_vector
        encoded = floats.SerializeToString()
        data = memoryview(encoded)[len(encoded) - 4 * len(floats.data) :]
    else:
        data = getattr(field.vectors, kind.lower())
    return np.frombuffer(data, np.uint8).reshape(-1, bytes_of_one(kind, dim))


def stack(vectors: Sequence[bytes]) -> np.ndarray[Any, Any]:
    """Several vectors as one array, one row of bytes for each vector."""
    return np.frombuffer(b"".join(vectors), np.uint8).reshape(len(vectors), -1)


def as_numbers(vectors: np.ndarray[Any, Any], kind: str) -> np.ndarray[Any, Any]:
    """Rows of bytes as rows of numbers. A bit of a binary vector becomes 0 or 1."""
    if kind == "BINARY_VECTOR":
        return np.unpackbits(vectors, axis=1).astype(np.float64)
    if kind == "BFLOAT16_VECTOR":
        # A bfloat16 is the upper half of a float32.
        return (vectors.view("<u2").astype("<u4") << 16).view("<f4").astype(np.float64)
    return vectors.view(DATA_TYPES[kind].numpy).astype(np.float64)


def encode_queries(queries: Sequence[Any], field: Field, where: str) -> list[bytes]:
    """Vectors that a DAG author gives, in any form in which an ingest takes one. ``where`` is what they are, for the message.

    :raises MilvusInvalidArgumentError: they do not fit the field.
    """
    column, reasons = (sparse_column if field.type == "SPARSE_FLOAT_VECTOR" else dense_column)(list(queries), field)
    for position, reason in reasons.items():
        raise MilvusInvalidArgumentError(f"{where}[{position}] {reason}.")
    return [value if isinstance(value, bytes) else value.tobytes() for value in column.values]


def placeholder(queries: Sequence[bytes], kind: int) -> bytes:
    """The queries of a search request. Placeholder types have the same numbers as data types."""
    from airflow_provider_milvus.protocol import common_pb2

    value = common_pb2.PlaceholderValue(tag="$0", type=kind, values=queries)
    encoded: bytes = common_pb2.PlaceholderGroup(placeholders=[value]).SerializeToString()
    return encoded
