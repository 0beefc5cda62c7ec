"""Checked rows as files for a bulk import, written with pymilvus's own bulk writer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy

from airflow_provider_milvus.exceptions import MilvusConfigurationError, MilvusUnsupportedError
from airflow_provider_milvus.rows.check import DYNAMIC_FIELD, Checked
from airflow_provider_milvus.rows.column import Column, listed
from airflow_provider_milvus.rows.vectors import SPARSE_PAIR
from airflow_provider_milvus.schema.model import Field, Schema
from airflow_provider_milvus.schema.types import DATA_TYPES


class ImportFileWriter:
    """Takes rows and writes them to files, a new one after every ``file_bytes``.

    A file is written in ``directory``, named by its number from 1 and a digest of its content, and then handed to ``keep``: an
    import that is under way is found again by the names of its files. Rows that are not in a file yet
    are in memory, where pymilvus's writer holds vectors as lists and needs about fifteen times ``file_bytes``.

    :param file_type: ``"parquet"`` or ``"json"``.
    :param file_bytes: the size of the rows of a file, as pymilvus counts it. A Parquet file is about as large, a JSON file
        several times larger.
    :raises MilvusConfigurationError: pymilvus's bulk writer is not installed.
    """

    def __init__(
        self, schema: Schema, directory: Path, *, file_type: str, file_bytes: int, keep: Callable[[Path], object]
    ) -> None:
        self.rows = 0
        self.files = 0
        self._fields = {field.name: field for field in _written_fields(schema)}
        self._directory = directory
        self._file_type = file_type
        self._file_bytes = file_bytes
        self._keep = keep
        self._writer = _make_writer(schema, file_type)

    def add(self, checked: Checked) -> None:
        """Take all rows of ``checked``, which are checked as for an insert."""
        names = list(checked.columns)
        columns = [self._to_values(name, column) for name, column in checked.columns.items()]
        for values in zip(*columns, strict=True):
            self._writer.append_row(dict(zip(names, values, strict=True)))
            if self._writer.buffer_size >= self._file_bytes:
                self._write()

    def finish(self) -> None:
        """Write and hand over the last file."""
        if self._writer.buffer_row_count:
            self._write()

    def _write(self) -> None:
        self.files += 1
        path = self._directory / f"{self.files}.{self._file_type}"
        count, size = self._writer.buffer_row_count, self._writer.buffer_size
        # pymilvus's own writers do this in a thread, which only logs an error and loses the rows.
        buffer = self._writer._new_buffer()
        self._writer.commit()
        buffer.persist(local_path=str(path.with_suffix("")), buffer_size=size, buffer_row_count=count)
        with path.open("rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()[:12]
        self._keep(path.rename(path.with_stem(f"{self.files}-{digest}")))
        self.rows += count

    def _to_values(self, name: str, column: Column) -> Sequence[Any]:
        """One value for each row, as pymilvus's writer takes it."""
        field = self._fields.get(name) or Field(DYNAMIC_FIELD, "JSON")
        values = _to_list(field, column.values)
        if column.valid is None:
            return values
        present = iter(values)
        # pymilvus writes the field's default in place of None, if it has one.
        return [next(present) if is_valid else None for is_valid in column.valid.tolist()]


def _to_list(field: Field, values: Any) -> Sequence[Any]:
    if field.name == DYNAMIC_FIELD:
        import json

        return [json.loads(text) for text in values]
    if field.type == "JSON":
        return [text.decode() for text in values]
    if field.type == "SPARSE_FLOAT_VECTOR":
        return [dict(numpy.frombuffer(packed, SPARSE_PAIR).tolist()) for packed in values]
    if field.type == "BFLOAT16_VECTOR":
        from ml_dtypes import bfloat16

        return list(values.view(bfloat16))
    if field.is_vector:
        return list(values)
    return listed(values)


def _written_fields(schema: Schema) -> list[Field]:
    """The fields that a row brings; the server computes the others."""
    return [field for field in schema.fields if field.name not in schema.computed]


def _make_writer(schema: Schema, file_type: str) -> Any:
    from airflow_provider_milvus.protocol.lazy_pymilvus import import_pymilvus

    import_pymilvus()
    if structs := [field.name for field in _written_fields(schema) if field.struct_fields]:
        raise MilvusUnsupportedError(
            f"No file was written: field {structs[0]!r} is an array of structs, which is not written to files here. Insert the "
            "rows with MilvusUpsertOperator instead."
        )
    try:
        from pymilvus.bulk_writer import BulkFileType
        from pymilvus.bulk_writer.bulk_writer import BulkWriter
    except ModuleNotFoundError as error:
        raise MilvusConfigurationError(
            f"No file was written: pymilvus's bulk writer is not installed ({error}). Install it: "
            "pip install 'airflow-provider-milvus[bulk]'."
        ) from None
    return BulkWriter(_to_pymilvus_schema(schema), chunk_size=0, file_type=BulkFileType[file_type.upper()])


def _to_pymilvus_schema(schema: Schema) -> Any:
    from pymilvus import CollectionSchema, DataType, FieldSchema

    def convert(field: Field) -> FieldSchema:
        names = ("dim", "max_length", "max_capacity", "is_primary", "auto_id", "nullable", "default_value")
        settings = {name: value for name in names if (value := getattr(field, name)) not in (None, False)}
        if field.element_type:
            settings["element_type"] = DataType(DATA_TYPES[field.element_type].number)
        return FieldSchema(field.name, DataType(DATA_TYPES[field.type].number), **settings)

    fields = list(map(convert, _written_fields(schema)))
    return CollectionSchema(fields, enable_dynamic_field=schema.enable_dynamic_field)
