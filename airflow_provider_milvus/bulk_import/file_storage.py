"""Where the files for a bulk import go: a directory, or a bucket of S3 or of what speaks like it, such as Milvus's MinIO.

A place belongs to one run of one task. What an earlier try of it left there is removed first, by its name, and nothing else.
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_milvus.bulk_import.storage_connection import StorageConnection
from airflow_provider_milvus.exceptions import MilvusConfigurationError, MilvusInvalidArgumentError

OURS = re.compile(r"\d+\.(parquet|json)")
"""The names of the files that are written."""


class Place(ABC):
    """One try's files. ``working_directory`` is where a file is made before it is put there."""

    @abstractmethod
    def clear(self) -> list[str]:
        """Remove what an earlier try left, and say what that was."""

    @abstractmethod
    def put(self, path: Path, name: str) -> str:
        """Move a finished file there, whole or not at all. The path by which a Milvus that owns this storage reads it."""

    def url(self, name: str) -> str | None:
        """The file for a server that does not own the storage; ``None`` where there is no such thing."""
        return None


@dataclass(frozen=True, slots=True)
class Directory(Place):
    """A directory that is made when needed."""

    path: Path

    def clear(self) -> list[str]:
        self.path.mkdir(parents=True, exist_ok=True)
        old = sorted(each for each in self.path.iterdir() if OURS.fullmatch(each.name))
        for each in old:
            each.unlink()
        return [str(each) for each in old]

    def put(self, path: Path, name: str) -> str:
        target = self.path / name
        os.replace(path, target)
        return str(target)


@dataclass(frozen=True, slots=True)
class Bucket(Place):
    """Objects under ``prefix`` of a bucket. ``client`` is a ``minio.Minio``."""

    client: Any = field(repr=False)
    bucket: str
    prefix: str

    def clear(self) -> list[str]:
        with _told(self.bucket):
            found = [str(each.object_name) for each in self.client.list_objects(self.bucket, prefix=f"{self.prefix}/")]
            old = [each for each in found if OURS.fullmatch(each.rpartition("/")[2])]
            for each in old:
                self.client.remove_object(self.bucket, each)
        return old

    def put(self, path: Path, name: str) -> str:
        key = f"{self.prefix}/{name}"
        with _told(self.bucket):
            self.client.fput_object(self.bucket, key, str(path))
        path.unlink()
        return key

    def url(self, name: str) -> str | None:
        return f"s3://{self.bucket}/{self.prefix}/{name}"


def place(path: str, run: str, conn_id: str | None = None) -> Place:
    """The place of ``run`` under ``path``: a local directory, or ``s3://bucket/prefix`` with an Airflow connection.

    :raises MilvusInvalidArgumentError: it is neither.
    :raises MilvusConfigurationError: the connection lacks something.
    """
    if "://" not in path:
        if conn_id:
            raise MilvusInvalidArgumentError(f"storage_conn_id is for s3:// paths, not for {path!r}.")
        return Directory(Path(os.path.abspath(path)) / run)
    address = urlsplit(path)
    if address.scheme != "s3" or not address.hostname or address.username:
        shown = path.rpartition("@")[2] if "@" in path else path
        raise MilvusInvalidArgumentError(
            f"path {shown!r} must be a local directory or s3://bucket/prefix, with credentials from storage_conn_id."
        )
    if not conn_id:
        raise MilvusInvalidArgumentError(f"path {path!r} needs storage_conn_id, an Airflow connection for that storage.")
    prefix = "/".join(part for part in (address.path.strip("/"), run) if part)
    return Bucket(_minio(StorageConnection.read(conn_id)), address.netloc, prefix)


def _minio(connection: StorageConnection) -> Any:
    try:
        from minio import Minio
    except ModuleNotFoundError:
        raise MilvusConfigurationError(
            "Object storage needs the package minio: pip install 'airflow-provider-milvus[bulk]'."
        ) from None
    scheme, _, endpoint = (connection.endpoint_url or "https://s3.amazonaws.com").partition("://")
    return Minio(
        endpoint=endpoint,
        access_key=connection.access_key,
        secret_key=connection.secret_key,
        session_token=connection.session_token or None,
        region=connection.region or None,
        secure=scheme == "https",
    )


class _told:  # noqa: N801, it reads as a word
    """minio's own errors and urllib3's become one that Airflow retries, without what they may hold of the request."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if error is None:
            return
        from minio.error import MinioException
        from urllib3.exceptions import HTTPError

        if isinstance(error, (MinioException, HTTPError)):
            words = getattr(error, "code", None) or type(error).__name__
            detail = getattr(error, "message", None) or str(error)
            raise OSError(f"Object storage, bucket {self._bucket!r}: {words}: {str(detail)[:300]}") from None
