"""Checked rows as files for a bulk import, written with pymilvus's own bulk writer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.exceptions import MilvusConfigurationError
from airflow_provider_milvus.rows.check import DYNAMIC_FIELD, Checked
from airflow_provider_milvus.rows.column import Column
from airflow_provider_milvus.rows.vectors import SPARSE_PAIR
from airflow_provider_milvus.schema.model import Field, Schema
from airflow_provider_milvus.schema.types import DATA_TYPES

if TYPE_CHECKING:
    from pymilvus import CollectionSchema

FILE_TYPES = ("parquet", "json")


class ImportFiles:
    """Takes rows and hands over whole files, one for each ``file_bytes`` of them.

    A file is made in ``directory`` and then handed to ``keep``, with its number from 1. What is not yet in a file is in memory,
    where pymilvus's writer needs about fifteen times its size: it holds vectors as lists.

    :param file_type: one of ``FILE_TYPES``.
    :param file_bytes: of the rows, by pymilvus's count; a Parquet file has about as many, a JSON file several times so.
    :raises MilvusConfigurationError: pymilvus's bulk writer is not installed.
    """

    def __init__(
        self, schema: Schema, directory: Path, *, file_type: str, file_bytes: int, keep: Callable[[Path, int], object]
    ) -> None:
        self.rows = 0
        self.files = 0
        self._fields = {each.name: each for each in _brought(schema)}
        self._directory = directory
        self._file_type = file_type
        self._file_bytes = file_bytes
        self._keep = keep
        self._writer = _writer(schema, file_type)

    def add(self, checked: Checked) -> None:
        """Take all rows of ``checked``, which was checked for an insert."""
        names = list(checked.columns)
        columns = [self._values(name, column) for name, column in checked.columns.items()]
        for values in zip(*columns, strict=True):
            self._writer.append_row(dict(zip(names, values, strict=True)))
            if self._writer.buffer_size >= self._file_bytes:
                self._write()

    def finish(self) -> None:
        """Hand over what is left."""
        if self._writer.buffer_row_count:
            self._write()

    def _write(self) -> None:
        number = self.files + 1
        path = self._directory / f"{number}.{self._file_type}"
        count, size = self._writer.buffer_row_count, self._writer.buffer_size
        # pymilvus's own writers do this in a thread, where an error is logged and the rows are lost.
        buffer = self._writer._new_buffer()
        self._writer.commit()
        buffer.persist(local_path=str(path.with_suffix("")), buffer_size=size, buffer_row_count=count)
        self._keep(path, number)
        self.files, self.rows = number, self.rows + count

    def _values(self, name: str, column: Column) -> Sequence[Any]:
        """One value for each row, as pymilvus's writer takes it."""
        field = self._fields.get(name) or Field(DYNAMIC_FIELD, "JSON")
        values = _plain(field, column.values)
        if column.valid is None:
            return values
        filled = iter(values)
        # pymilvus puts the field's default there, if it has one.
        return [next(filled) if there else None for there in column.valid.tolist()]


def _plain(field: Field, values: Any) -> Sequence[Any]:
    if field.name == DYNAMIC_FIELD:
        import json

        return [json.loads(each) for each in values]
    if field.type == "JSON":
        return [each.decode() for each in values]
    if field.type == "SPARSE_FLOAT_VECTOR":
        return [_sparse(each) for each in values]
    if field.type == "BFLOAT16_VECTOR":
        from ml_dtypes import bfloat16

        return list(values.view(bfloat16))
    if field.is_vector:
        return list(values)
    return values if isinstance(values, list) else list(values.tolist())


def _sparse(packed: bytes) -> dict[int, float]:
    """The protocol's pairs of an index and a value."""
    import numpy

    pairs = numpy.frombuffer(packed, SPARSE_PAIR)
    return dict(zip(pairs["index"].tolist(), pairs["value"].tolist(), strict=True))


def _brought(schema: Schema) -> list[Field]:
    return [each for each in schema.fields if each.name not in schema.computed]


def _writer(schema: Schema, file_type: str) -> Any:
    from airflow_provider_milvus.client.lazy_pymilvus import import_pymilvus

    import_pymilvus()
    try:
        from pymilvus.bulk_writer import BulkFileType
        from pymilvus.bulk_writer.bulk_writer import BulkWriter
    except ModuleNotFoundError as error:
        raise MilvusConfigurationError(
            f"pymilvus's bulk writer is not installed ({error}): pip install 'airflow-provider-milvus[bulk]'."
        ) from None
    return BulkWriter(_pymilvus_schema(schema), chunk_size=0, file_type=BulkFileType[file_type.upper()])


def _pymilvus_schema(schema: Schema) -> CollectionSchema:
    from pymilvus import CollectionSchema, DataType, FieldSchema

    def field(of: Field) -> FieldSchema:
        named = ("dim", "max_length", "max_capacity", "is_primary", "auto_id", "nullable", "default_value")
        said = {key: value for key in named if (value := getattr(of, key)) not in (None, False)}
        if of.element_type:
            said["element_type"] = DataType(DATA_TYPES[of.element_type].number)
        return FieldSchema(of.name, DataType(DATA_TYPES[of.type].number), **said)

    fields = [field(each) for each in _brought(schema)]
    return CollectionSchema(fields, enable_dynamic_field=schema.enable_dynamic_field)
