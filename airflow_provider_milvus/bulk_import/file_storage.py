"""Where the files for a bulk import go: a directory, or a bucket of S3 or of what speaks like it, such as Milvus's MinIO.

A folder belongs to one run of one task. What an earlier try of it left there is removed first, by its name, and nothing else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow_provider_milvus.bulk_import.storage_connection import StorageConnection
from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.rows.storage import storage, without_secrets

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

WRITTEN_NAME = re.compile(r"\d+-[0-9a-f]{12}\.(parquet|json)")
"""The names of the files that a run writes."""
CALL_TIMEOUT = 300.0
"""Seconds for one call to a bucket, such as the upload of a file. s3fs itself waits for ever for a server that takes a
connection and does not let it upload."""


@dataclass(frozen=True, slots=True)
class LocalFolder:
    """A directory, which is made when needed."""

    path: Path

    def clear(self) -> list[str]:
        """Remove the files of an earlier try. Returns their paths."""
        self.path.mkdir(parents=True, exist_ok=True)
        old = sorted(file for file in self.path.iterdir() if WRITTEN_NAME.fullmatch(file.name))
        for file in old:
            file.unlink()
        return list(map(str, old))

    def put(self, file: Path) -> str:
        """Move a finished file there, whole or not at all. Returns its path, as a Milvus that owns this storage reads it."""
        target = self.path / file.name
        os.replace(file, target)
        return str(target)


@dataclass(frozen=True, slots=True)
class BucketFolder:
    """Objects under ``path``, which is ``bucket/prefix``. As a :class:`LocalFolder`.

    :raises OSError: the storage refuses, fails or does not answer; the message has its reason and no secret.
    """

    fs: AbstractFileSystem = field(repr=False)
    path: str

    def clear(self) -> list[str]:
        with self._errors_in_words():
            try:
                entries = self.fs.ls(self.path, detail=True, timeout=CALL_TIMEOUT)
            except FileNotFoundError:
                return []
            files = [entry["name"] for entry in entries if entry["type"] == "file"]
            old = [file for file in files if WRITTEN_NAME.fullmatch(file.rpartition("/")[2])]
            for file in old:
                self.fs.rm_file(file, timeout=CALL_TIMEOUT)
        return old

    def put(self, file: Path) -> str:
        target = f"{self.path}/{file.name}"
        with self._errors_in_words():
            self.fs.pipe_file(target, file.read_bytes(), timeout=CALL_TIMEOUT)
        file.unlink()
        return target.partition("/")[2]

    def url(self, key: str) -> str:
        """The URL of a file that :meth:`put` moved, for a server that does not own the storage."""
        return f"s3://{self.path.partition('/')[0]}/{key}"

    @contextmanager
    def _errors_in_words(self) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError

        try:
            yield
        except (OSError, BotoCoreError) as error:
            # The storage's own code is in the cause only; a timeout has no words.
            reason = without_secrets(str(error.__cause__ or error)) or f"no answer within {CALL_TIMEOUT:g} s"
            raise OSError(
                f"Not all files for the import are in s3://{self.path}: {reason[:300]}. A retry writes them anew."
            ) from None


ImportFolder = LocalFolder | BucketFolder
"""The folder of one run."""


def import_folder(path: str, run: str, conn_id: str | None = None) -> ImportFolder:
    """The folder of ``run`` under ``path``: a local directory, or ``s3://bucket/prefix`` with an Airflow connection.

    :raises MilvusInvalidArgumentError: ``path`` is neither.
    :raises MilvusConfigurationError: the connection lacks something, or s3fs is not installed.
    """
    if "://" not in path:
        if conn_id:
            raise MilvusInvalidArgumentError(f"storage_conn_id is for s3:// paths, not for {path!r}.")
        return LocalFolder(Path(os.path.abspath(path)) / run)
    address = urlsplit(path)
    if address.scheme != "s3" or not address.hostname or address.username:
        raise MilvusInvalidArgumentError(
            f"path {without_secrets(path)!r} must be a local directory or s3://bucket/prefix, with the keys in storage_conn_id."
        )
    if not conn_id:
        raise MilvusInvalidArgumentError(f"path {path!r} needs storage_conn_id, an Airflow connection for that storage.")
    fs, inside = storage(path, **StorageConnection.read(conn_id).for_fsspec())
    return BucketFolder(fs, f"{inside.rstrip('/')}/{run}")
