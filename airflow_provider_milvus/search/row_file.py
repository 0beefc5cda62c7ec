"""Rows of an answer in a file of JSON Lines, on this machine or on any storage, which is there whole or not at all."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import IO, Any, Self

from airflow_provider_milvus.rows.json_text import write_json
from airflow_provider_milvus.rows.storage import is_local, storage


class RowFile:
    """Takes rows until the block ends; then the file replaces one that was there. After an error it is left as it was.

    :param path: it ends in ``.jsonl``, or in ``.jsonl.gz``.
    """

    def __init__(self, path: Any) -> None:
        self._path = path
        self._raw: Any = None
        self._file: IO[bytes] | Any = None

    def __enter__(self) -> Self:
        fs, inside = storage(self._path)
        if is_local(fs):
            fs.makedirs(fs._parent(inside), exist_ok=True)
        self._raw = self._file = fs.open(inside, "wb", autocommit=False)
        if inside.lower().endswith(".gz"):
            self._file = gzip.GzipFile(fileobj=self._raw, mode="wb")
        return self

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """:raises OSError: the storage does not take them."""
        self._file.writelines(write_json(row) + b"\n" for row in rows)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._file is not self._raw:
            self._file.close()
        self._raw.close()
        if kind is None:
            self._raw.commit()
        else:
            self._raw.discard()
