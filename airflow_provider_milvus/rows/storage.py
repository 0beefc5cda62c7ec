"""What a path stands for: files, on any storage that fsspec reaches, in which Airflow's connections count.

And how a path is shown: never with the credentials that its URL may hold.
"""

from __future__ import annotations

import gzip
import os
import re
import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from typing import IO, TYPE_CHECKING, Any

from airflow_provider_milvus.exceptions import (
    MilvusConfigurationError,
    MilvusInvalidArgumentError,
    MilvusSourceError,
)

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

KINDS = {
    ".parquet": "Parquet",
    ".jsonl": "JSON Lines",
    ".ndjson": "JSON Lines",
    ".json": "JSON Lines",
    ".csv": "CSV",
}
"""By the end of a file's name, before ``.gz``."""

_SECRETS = re.compile(r"(://)(?:[^/?#\s@]*@)?([^?\s]*)(\?\S*)?")
_LONGEST_PATH = 4096
_BUFFER = 1 << 20


@dataclass(frozen=True, slots=True)
class File:
    """One file to read. ``url`` is without credentials."""

    fs: AbstractFileSystem
    path: str

    @property
    def url(self) -> str:
        return without_secrets(str(self.fs.unstrip_protocol(self.path))).removeprefix("file://")

    @property
    def name(self) -> str:
        return _plain_name(self.path)

    @property
    def kind(self) -> str | None:
        return kind_of(self.path)

    @property
    def is_compressed(self) -> bool:
        return self.name.lower().endswith(".gz")

    @property
    def is_local(self) -> bool:
        return is_local(self.fs)

    @contextmanager
    def opened(self) -> Iterator[IO[bytes]]:
        """The file's bytes, buffered and decompressed."""
        with self.fs.open(self.path, "rb") as raw:
            if self.is_compressed:
                with gzip.GzipFile(fileobj=raw) as plain:
                    yield plain  # type: ignore[misc]
            else:
                yield BufferedReader(raw, _BUFFER)


def is_path(value: Any) -> bool:
    """Whether it is text or a path object; whether there is such a file is another question."""
    return isinstance(value, str | os.PathLike) or (hasattr(value, "fs") and hasattr(value, "path"))


def is_local(fs: AbstractFileSystem) -> bool:
    return "file" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)


def kind_of(path: Any) -> str | None:
    """What the name says a file holds, or ``None``."""
    stem = _plain_name(str(path)).lower().removesuffix(".gz")
    return next((kind for suffix, kind in KINDS.items() if stem.endswith(suffix)), None)


def without_secrets(text: str) -> str:
    """A URL, or a text that has one in it, without user, password and query."""
    return _SECRETS.sub(lambda found: f"{found[1]}{found[2]}{'?…' if found[3] else ''}", text)


def storage(path: Any, **options: Any) -> tuple[AbstractFileSystem, str]:
    """The file system of a path, and what the path is called there.

    A URL whose scheme Airflow has a file system for is Airflow's, so ``s3://my_conn@bucket/key`` uses the connection
    ``my_conn``; any other is fsspec's, and so is every URL with ``options``, which are fsspec's.

    :raises MilvusConfigurationError: what reads this kind of URL is not installed.
    """
    from fsspec.core import url_to_fs

    if hasattr(path, "fs") and hasattr(path, "path"):
        return path.fs, str(path.path)
    url = os.fspath(path)
    try:
        ask_airflow = "://" in url and "::" not in url and not options
        return (_of_airflow(url) if ask_airflow else None) or url_to_fs(url, **options)
    except ImportError as error:
        raise MilvusConfigurationError(
            f"{without_secrets(url)} cannot be reached: {error}. Airflow's provider for it brings it along; for s3:// so does "
            "pip install 'airflow-provider-milvus[bulk]'."
        ) from error
    except ValueError as error:
        raise MilvusInvalidArgumentError(f"{without_secrets(url)} is no URL that can be read: {error}") from error


def _of_airflow(url: str) -> tuple[AbstractFileSystem, str] | None:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    try:
        known = ObjectStoragePath(url)
        return known.fs, str(known.path)
    except ValueError:
        return None  # Airflow has no file system for it.


def files(path: Any) -> list[File]:
    """The files that a path names: itself, those of the directory, or those that match the pattern; sorted.

    :raises MilvusSourceError: there is none.
    :raises MilvusInvalidArgumentError: it is no path, or the name of a file does not say what it holds.
    """
    if isinstance(path, str):
        _check_text(path)
    fs, inside = storage(path)
    shown = without_secrets(str(path))
    found = _expanded(fs, inside, shown)
    if found is None:
        if isinstance(path, str) and "/" not in path and kind_of(path) is None:
            raise MilvusInvalidArgumentError(f"rows: {reprlib.repr(path)} is no path; rows are dicts, tables or files.")
        raise MilvusSourceError(f"rows: there is no {shown}.")
    if not found:
        raise MilvusSourceError(f"rows: there is no file that ends in {_endings()} at {shown}.")
    if unknown := next((each for each in found if each.kind is None), None):
        raise MilvusInvalidArgumentError(f"rows: {unknown.url} should end in {_endings()}, to tell what it holds.")
    return found


def _expanded(fs: AbstractFileSystem, path: str, shown: str) -> list[File] | None:
    from fsspec.core import has_magic

    try:
        kind = fs.info(path)["type"]
    except FileNotFoundError:
        if not has_magic(path):
            return None
        found = fs.glob(path, detail=True)
        return [
            file
            for name, info in sorted(found.items())
            for file in (_directory(fs, name, shown) if info["type"] == "directory" else [File(fs, name)])
        ]
    return _directory(fs, path, shown) if kind == "directory" else [File(fs, path)]


def _directory(fs: AbstractFileSystem, path: str, shown: str) -> list[File]:
    """What writers leave beside the data, such as ``_SUCCESS`` and hidden files, is no data."""
    entries = sorted(fs.ls(path, detail=True), key=lambda each: str(each["name"]))
    entries = [each for each in entries if not _plain_name(each["name"].rstrip("/")).startswith(("_", "."))]
    if deeper := next((each["name"] for each in entries if each["type"] == "directory"), None):
        raise MilvusInvalidArgumentError(
            f"rows: {shown} has directories in it, such as {_plain_name(deeper)!r}. "
            "Name the files by a pattern, such as …/**/*.parquet."
        )
    return [File(fs, each["name"]) for each in entries if kind_of(each["name"]) is not None]


def _check_text(text: str) -> None:
    start = text.lstrip()[:1]
    if start in ("[", "{") and kind_of(text) is None:
        raise MilvusInvalidArgumentError(
            f"rows: {reprlib.repr(text)} is text, not rows. A template that stands for rows needs "
            "render_template_as_native_obj=True in the DAG."
        )
    if not start or "\n" in text or "\0" in text or len(text) > _LONGEST_PATH:
        raise MilvusInvalidArgumentError(f"rows: {reprlib.repr(text)} is no path of a file.")


def _plain_name(path: str) -> str:
    if "://" in path:
        path = path.partition("?")[0]
    return path.rpartition("/")[2]


def _endings() -> str:
    return f"{', '.join(KINDS)} (or that and .gz)"
