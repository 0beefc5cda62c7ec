"""Parquet and JSON files, read a little at a time. CSV is in ``csv_text``, one JSON document in ``json_document``."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from airflow_provider_milvus.exceptions import MilvusError, MilvusInvalidArgumentError, MilvusSourceError
from airflow_provider_milvus.rows.csv_text import csv_rows
from airflow_provider_milvus.rows.json_document import document_rows, is_document, is_lone_object
from airflow_provider_milvus.rows.json_text import read_row
from airflow_provider_milvus.rows.pieces import Pieces, UnreadableRow
from airflow_provider_milvus.rows.renaming import Renaming
from airflow_provider_milvus.rows.storage import File, is_local, kind_of, without_secrets
from airflow_provider_milvus.rows.tables import batch_columns, lean, pyarrow
from airflow_provider_milvus.schema.model import Schema
from airflow_provider_milvus.schema.types import FLOAT_VECTORS

LONGEST_LINE = 64 << 20
"""Bytes of a line, or of a row of a JSON document. Milvus takes no larger call, and a file without line ends must not fill the
memory."""

_BUFFER = 1 << 18
"""Bytes of each column that are read ahead. By itself pyarrow loads whole row groups."""
_BEGINNING = 1 << 12
"""Bytes that show which form of JSON a file has."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def file_rows(file: File, schema: Schema, renaming: Renaming, batch_rows: int) -> Pieces:
    """The rows of one file.

    :raises MilvusSourceError: the file cannot be read, or not to its end.
    """
    with _as_source_error(file):
        kind = kind_of(file.path)
        if kind == "Parquet":
            yield from _parquet(file, schema, renaming, batch_rows)
            return
        with file.opened() as stream:
            if kind == "CSV":
                yield from csv_rows(_lines(stream), file.name, schema, renaming)
            else:
                for row in _json(stream, file, schema, renaming):
                    yield renaming.row(row)


@contextmanager
def _as_source_error(file: File) -> Iterator[None]:
    """Raise any error of a storage library again, with the file's name and without the secrets of its URL."""
    try:
        yield
    except MilvusError:
        raise
    except Exception as error:  # noqa: BLE001 - storage libraries have no common error, and every error is raised again
        text = f"{type(error).__name__}: {error}"
        shown = without_secrets(text)
        raise MilvusSourceError(f"{file.url} cannot be read: {shown}") from (error if shown == text else None)


def _parquet(file: File, schema: Schema, renaming: Renaming, batch_rows: int) -> Pieces:
    pa = pyarrow(f"{file.url}: reading Parquet")
    with lean(pa), _seekable(file) as source, pa.parquet.ParquetFile(source, buffer_size=_BUFFER, pre_buffer=False) as opened:
        read = renaming.of_header(opened.schema_arrow.names, file.name)
        # A column that is not read costs neither time nor memory.
        columns = None if renaming.columns is None else list(dict.fromkeys(read.values()))
        for batch in opened.iter_batches(batch_size=batch_rows, use_threads=False, columns=columns):
            yield from batch_columns(batch, schema, renaming, batch_rows)


@contextmanager
def _seekable(file: File) -> Iterator[Any]:
    """Parquet is read from its end, so a compressed file is unpacked into a temporary file."""
    if file.is_compressed:
        with tempfile.TemporaryFile() as plain:
            with file.opened() as packed:
                shutil.copyfileobj(packed, plain)
            plain.seek(0)
            yield plain
    elif is_local(file.fs):
        yield file.path
    else:
        with file.fs.open(file.path, "rb") as source:
            yield source


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    """The lines of a text in UTF-8, without a byte order mark."""
    for number, line in enumerate(iter(lambda: stream.readline(LONGEST_LINE), b""), 1):
        if len(line) == LONGEST_LINE:
            raise ValueError(f"line {number} is longer than {LONGEST_LINE >> 20} MiB")
        if number == 1 and line.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise ValueError("it is in UTF-16; save it as UTF-8")
        yield line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line


def _json(stream: Any, file: File, schema: Schema, renaming: Renaming) -> Pieces:
    beginning = stream.peek(1)[:_BEGINNING]
    vectors = [column for field in schema.fields if field.type in FLOAT_VECTORS if (column := renaming.of_field(field.name))]
    if is_document(beginning, schema):
        for number, text in enumerate(document_rows(stream, LONGEST_LINE), 1):
            yield _json_row(text, "row", number, file, vectors)
    elif is_lone_object(beginning):
        raise MilvusInvalidArgumentError(
            f"rows: {file.url} is one JSON object over several lines. Rows are JSON Lines, one object in each line, or one "
            'document: a list of objects, or {"rows": [...]}.'
        )
    else:
        for number, line in enumerate(_lines(stream), 1):
            if text := line.strip():
                yield _json_row(text, "line", number, file, vectors)


def _json_row(text: bytes, what: str, number: int, file: File, vectors: list[str]) -> Any:
    try:
        row = read_row(text, vectors)
    except UnicodeDecodeError as error:
        reason = f"is not UTF-8 (at byte {error.start})"
    except ValueError as error:
        reason = f"is not JSON: {error}"
    else:
        if isinstance(row, dict):
            return row
        reason = "is not a JSON object"
    return UnreadableRow(f"{what} {number} of {file.name} {reason}", text.decode("utf-8", "backslashreplace"))
