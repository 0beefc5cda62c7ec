"""What a path stands for: files on this machine, or on any storage that Airflow's connections or fsspec reach.

It also says how a path is shown: never with the credentials that its URL may hold.
"""

from __future__ import annotations

import gzip
import os
import re
import reprlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from typing import IO, TYPE_CHECKING, Any

from airflow_provider_milvus.exceptions import MilvusConfigurationError, MilvusInvalidArgumentError, MilvusSourceError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

KINDS = {
    ".parquet": "Parquet",
    ".jsonl": "JSON Lines",
    ".ndjson": "JSON Lines",
    ".json": "JSON Lines",
    ".csv": "CSV",
}
"""What a file holds, by the end of its name, before ``.gz``."""

_SECRETS = re.compile(r"(://)(?:[^/?#\s@]*@)?([^?\s]*)(\?\S*)?")
_LONGEST_PATH = 4096
_BUFFER = 1 << 18


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
    def version(self) -> str | None:
        """A text that changes with the contents; ``None`` where the storage does not tell."""
        if not {"http", "https"} & set((self.fs.protocol,) if isinstance(self.fs.protocol, str) else self.fs.protocol):
            return str(self.fs.ukey(self.path))
        # For fsspec what is at a web address never changes.
        info = self.fs.info(self.path)
        told = [str(info[name]) for name in ("ETag", "Last-Modified") if info.get(name)]
        return " ".join([*told, str(info.get("size"))]) if told else None

    @property
    def is_compressed(self) -> bool:
        return self.name.lower().endswith(".gz")

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
    """Whether it is text or a path object. There may be no such file."""
    return isinstance(value, str | os.PathLike) or (hasattr(value, "fs") and hasattr(value, "path"))


def is_local(fs: AbstractFileSystem) -> bool:
    return "file" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)


def kind_of(path: Any) -> str | None:
    """What a file holds, by its name; ``None`` where the name does not say it."""
    stem = _plain_name(str(path)).lower().removesuffix(".gz")
    return next((kind for suffix, kind in KINDS.items() if stem.endswith(suffix)), None)


def without_secrets(text: str) -> str:
    """A URL, or a text with a URL in it, without user, password and query."""
    return _SECRETS.sub(lambda match: f"{match[1]}{match[2]}{'?…' if match[3] else ''}", text)


def for_later(path: Any) -> str:
    """A path as a result has it, for a later task to open: without secrets, and with the id of Airflow's connection, or an
    Azure container, before the ``@``."""
    text = str(path)
    user = re.match(r"(?!https?:)\w+://([^/?#\s@:]*@)", text)
    return without_secrets(text) if user is None else without_secrets(text).replace("://", f"://{user[1]}", 1)


def storage(path: Any, **options: Any) -> tuple[AbstractFileSystem, str]:
    """The file system of a path, and the path's name there.

    Airflow opens a URL whose scheme it has a file system for, so ``s3://my_conn@bucket/key`` uses the connection ``my_conn``.
    fsspec opens every other URL, and every URL with ``options``: they are fsspec's own, such as keys.

    :raises MilvusConfigurationError: the package for this kind of URL is not installed.
    :raises MilvusInvalidArgumentError: nothing can open this kind of URL.
    """
    from fsspec.core import url_to_fs

    if hasattr(path, "fs") and hasattr(path, "path"):
        return path.fs, str(path.path)
    url = os.fspath(path)
    try:
        if "://" in url and "::" not in url and not options:
            from airflow.providers.common.compat.sdk import ObjectStoragePath

            # Airflow may have no file system for it.
            with suppress(ValueError):
                found = ObjectStoragePath(url)
                return found.fs, str(found.path)
        fs, inside = url_to_fs(url, **options)
        return fs, inside
    except ImportError as error:
        raise MilvusConfigurationError(
            f"{without_secrets(url)} cannot be reached: {error}. Airflow's provider for this storage installs the package; "
            "for s3:// pip install 'airflow-provider-milvus[bulk]' does, too."
        ) from error
    except ValueError as error:
        raise MilvusInvalidArgumentError(f"{without_secrets(url)} is not a URL of a known storage: {error}") from error


def files(path: Any) -> list[File]:
    """The files that a path names, sorted: one file, the files of a directory, or those that match a pattern.

    :raises MilvusSourceError: there is no such file.
    :raises MilvusInvalidArgumentError: it is not a path, or the name of a file does not say what the file holds.
    """
    if isinstance(path, str):
        _check_text(path)
    fs, inside = storage(path)
    shown = without_secrets(str(path))
    matches = _expand(fs, inside, shown)
    if matches is None:
        if isinstance(path, str) and "/" not in path and kind_of(path) is None:
            raise MilvusInvalidArgumentError(f"rows: {reprlib.repr(path)} is not a path; rows are dicts, tables or files.")
        raise MilvusSourceError(f"rows: there is no {shown}.")
    if not matches:
        raise MilvusSourceError(f"rows: there is no file that ends in {_endings()} at {shown}.")
    if unknown := next((file for file in matches if kind_of(file.path) is None), None):
        raise MilvusInvalidArgumentError(f"rows: the name of {unknown.url} does not end in {_endings()}, to say what it holds.")
    return matches


def _expand(fs: AbstractFileSystem, path: str, shown: str) -> list[File] | None:
    from fsspec.core import has_magic

    try:
        found = {path: fs.info(path)}
    except FileNotFoundError:
        if not has_magic(path):
            return None
        found = fs.glob(path, detail=True)
    return [
        file
        for name, info in sorted(found.items())
        for file in (_files_of_directory(fs, name, shown) if info["type"] == "directory" else [File(fs, name)])
    ]


def _files_of_directory(fs: AbstractFileSystem, path: str, shown: str) -> list[File]:
    """The files with rows. Hidden files, and what writers leave beside the data, such as ``_SUCCESS``, have none."""
    entries = sorted(fs.ls(path, detail=True), key=lambda entry: str(entry["name"]))
    entries = [entry for entry in entries if not _plain_name(entry["name"].rstrip("/")).startswith(("_", "."))]
    if deeper := next((entry["name"] for entry in entries if entry["type"] == "directory"), None):
        raise MilvusInvalidArgumentError(
            f"rows: {shown} has directories in it, such as {_plain_name(deeper)!r}. "
            "Name the files by a pattern, such as …/**/*.parquet."
        )
    return [File(fs, entry["name"]) for entry in entries if kind_of(entry["name"]) is not None]


def _check_text(text: str) -> None:
    start = text.lstrip()[:1]
    if start in ("[", "{") and kind_of(text) is None:
        raise MilvusInvalidArgumentError(
            f"rows: {reprlib.repr(text)} is text, not rows. A template that renders to rows needs "
            "render_template_as_native_obj=True in the DAG."
        )
    if not start or "\n" in text or "\0" in text or len(text) > _LONGEST_PATH:
        raise MilvusInvalidArgumentError(f"rows: {reprlib.repr(text)} is not the path of a file.")


def _plain_name(path: str) -> str:
    if "://" in path:
        path = path.partition("?")[0]
    return path.rpartition("/")[2]


def _endings() -> str:
    return f"{', '.join(KINDS)} (or that and .gz)"
