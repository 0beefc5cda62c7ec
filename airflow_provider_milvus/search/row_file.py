"""Rows in a file, on this machine or on any storage, which is there whole or not at all."""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self
from uuid import uuid4

from airflow_provider_milvus.rows.json_text import write_json
from airflow_provider_milvus.rows.storage import is_local, storage
from airflow_provider_milvus.rows.tables import lean, pyarrow

if TYPE_CHECKING:
    import pyarrow as pa


class NewFile:
    """The bytes of a file, until the block ends: then it replaces one that was there. After an error that is left as it was.

    On this machine a kill leaves a hidden file beside it, with 32 hexadecimal digits after its name.
    ``bytes`` and ``sha256`` are of what was written.
    """

    def __init__(self, path: Any) -> None:
        self._path = path
        self._file: Any = None
        self._commit: Callable[[], object]
        self._discard: Callable[[], object]
        self._hash = hashlib.sha256()
        self.bytes = 0
        self.closed = False

    def __enter__(self) -> Self:
        fs, inside = storage(self._path)
        if is_local(fs):
            # Beside it, since only within a file system a file takes another one's place in one step.
            folder, _, name = inside.rpartition("/")
            fs.makedirs(folder, exist_ok=True)
            unfinished = f"{folder}/.{name}.{uuid4().hex}"
            self._file = open(unfinished, "wb")
            self._commit, self._discard = partial(os.replace, unfinished, inside), partial(self._remove, unfinished)
        else:
            self._file = fs.open(inside, "wb", autocommit=False)
            self._commit, self._discard = self._file.commit, self._drop
        return self

    def _remove(self, unfinished: str) -> None:
        try:
            self._file.close()
        finally:
            os.unlink(unfinished)

    def _drop(self) -> None:
        from fsspec.spec import AbstractBufferedFile

        self._file.discard()
        if isinstance(self._file, AbstractBufferedFile):
            # Or it is closed when it is collected, and on Azure that makes it the new one, whatever ``open`` was told.
            self._file.closed = True

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def write(self, content: Any) -> int:
        """:raises OSError: the storage does not take it."""
        taken = memoryview(content).cast("B")
        self._hash.update(taken)
        self.bytes += len(taken)
        self._file.write(taken)
        return len(taken)

    def flush(self) -> None:
        """The whole is sent when the block ends."""

    def close(self) -> None:
        """As :meth:`flush`: who writes Parquet closes its file."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        with ExitStack() as undo:
            undo.callback(self._discard)
            if kind is None:
                self._file.close()
                self._commit()
                undo.pop_all()


class Readable(Protocol):
    """Rows of an answer."""

    def rows(self, *, to_be_written: bool = False) -> list[dict[str, Any]]: ...

    def arrow(self) -> pa.RecordBatch: ...


class RowFile:
    """Takes rows as JSON Lines until the block ends, as a :class:`NewFile`.

    :param path: it ends in ``.jsonl``, or in ``.jsonl.gz``.
    """

    def __init__(self, path: Any) -> None:
        self.whole = NewFile(path)
        self._file: Any = self.whole
        self._is_packed = str(path).lower().endswith(".gz")
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._open.enter_context(self.whole)
        if self._is_packed:
            self._file = self._open.enter_context(gzip.GzipFile(fileobj=self.whole, mode="wb"))
        return self

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """:raises OSError: the storage does not take them."""
        self._file.write(b"".join(write_json(row) + b"\n" for row in rows))

    def take(self, answer: Readable) -> None:
        """:raises OSError: the storage does not take it."""
        self.add(answer.rows(to_be_written=True))

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)


class ParquetFile:
    """Takes answers as Parquet until the block ends, as a :class:`NewFile`."""

    def __init__(self, path: Any) -> None:
        self.whole = NewFile(path)
        self._pa = pyarrow("Writing Parquet")
        self._writer: Any = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._open.enter_context(self.whole)
        self._open.enter_context(lean(self._pa))
        return self

    def take(self, answer: Readable) -> None:
        """Of single batches pyarrow keeps a million rows in memory before it writes them: each answer is a row group.

        :raises OSError: the storage does not take it.
        """
        batch = answer.arrow()
        if self._writer is None:
            # A dictionary of the numbers in vectors takes memory and saves nothing.
            with_dictionary = [column.name for column in batch.schema if not self._pa.types.is_nested(column.type)]
            self._writer = self._open.enter_context(
                self._pa.parquet.ParquetWriter(self.whole, batch.schema, use_dictionary=with_dictionary or False)
            )
        self._writer.write_table(self._pa.Table.from_batches([batch]))

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)


def row_file(path: Any) -> RowFile | ParquetFile:
    """By how ``path`` ends: in ``.parquet``, or in ``.jsonl`` or ``.jsonl.gz``."""
    return ParquetFile(path) if str(path).lower().endswith(".parquet") else RowFile(path)
