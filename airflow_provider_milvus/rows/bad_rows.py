"""Where bad rows go: a file of JSON Lines, one line for each row, with the reason."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Iterable
from contextlib import ExitStack
from types import TracebackType
from typing import IO, Any, Self

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.rows.chunk import BadRow
from airflow_provider_milvus.rows.json_text import write_json
from airflow_provider_milvus.rows.storage import is_local, is_path, kind_of, storage, without_secrets

log = logging.getLogger(__name__)

QUOTED = 5
"""How many bad rows an error quotes."""


class BadRows:
    """Counts bad rows and writes them to ``path``, local or on object storage; ``None`` only counts.

    A line is ``{"row": 7, "field": "vector", "reason": "...", "data": {...}}``. ``data`` is the row as the source had it:
    vectors and bytes as lists, what JSON cannot hold as its ``repr``. The first bad row replaces a file that exists; without a
    bad row no file is created. A local file has each row at once; object storage shows the file when this is closed.

    :raises MilvusInvalidArgumentError: ``path`` does not end in .jsonl, .ndjson or .json, or in one of these and .gz. So a
        misspelt word is not taken for a path.
    """

    def __init__(self, path: Any = None) -> None:
        if path is not None and (not is_path(path) or kind_of(path) != "JSON Lines"):
            shown = without_secrets(repr(path))
            raise MilvusInvalidArgumentError(
                f"on_bad_row: {shown} is neither 'fail' nor 'skip' nor a path that ends in .jsonl."
            )
        self.count = 0
        self.first: list[BadRow] = []
        self._path = path
        self._file: IO[bytes] | None = None
        self._open_files = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Close the file, after an error as well: the bad rows before it are worth keeping."""
        self._open_files.close()

    def add(self, rows: Iterable[BadRow]) -> None:
        """Count and write more bad rows.

        :raises OSError: or what else the storage raises. No bad row is left out silently.
        """
        written = False
        for row in rows:
            self.count += 1
            if len(self.first) < QUOTED:
                self.first.append(row)
            if self._path is not None:
                line = {"row": row.number, "field": row.field, "reason": row.reason, "data": row.row}
                self._open().write(write_json(line) + b"\n")
                written = True
        if written:
            self._open().flush()

    def __str__(self) -> str:
        """The first few bad rows and the number of the others, for an error or a log."""
        more = self.count - len(self.first)
        return "; ".join(map(str, self.first)) + (f"; and {more} more" if more else "")

    def _open(self) -> IO[bytes]:
        if self._file is None:
            fs, path = storage(self._path)
            if is_local(fs):
                fs.makedirs(fs._parent(path), exist_ok=True)
            log.info("Bad rows are written to %s", without_secrets(str(self._path)))
            # Object storage cannot append: the file is opened once, sent in parts, and exists when it is closed.
            file = self._open_files.enter_context(fs.open(path, "wb"))
            if path.lower().endswith(".gz"):
                file = self._open_files.enter_context(gzip.GzipFile(fileobj=file, mode="wb"))
            self._file = file
        return self._file
