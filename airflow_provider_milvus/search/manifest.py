"""What an export has written: a file beside its rows, from which it goes on after a kill, and a collection is made anew."""

from __future__ import annotations

import json
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.rows.storage import storage, without_secrets
from airflow_provider_milvus.schema.model import Schema
from airflow_provider_milvus.search.row_file import NewFile

NAME = "_manifest.json"
"""Readers of a folder with rows take what begins so for no rows."""
LARGEST = 1 << 26
"""Bytes of a manifest: some 400,000 files."""


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A finished file. ``last`` is the key of its last row."""

    name: str
    rows: int
    last: Any
    bytes: int
    sha256: str


@dataclass(slots=True)
class Manifest:
    """``request`` is what was asked for and of which collection; ``run`` the run of a DAG that writes it, if there is one.

    ``definition`` is the collection's as ``MilvusCreateCollectionOperator`` takes it. ``complete``: no file is missing.
    """

    request: dict[str, Any]
    definition: dict[str, Any]
    run: str = ""
    rows: int = 0
    complete: bool = False
    changed: str = ""
    """What is known of rows that changed meanwhile; empty: nothing."""
    files: list[WrittenFile] = field(default_factory=list)
    writer: str = ""
    """The try that has written it."""
    replaced: list[str] = field(default_factory=list)
    """Files of an export before, or of a try that was killed, which are not among ``files`` and go."""

    @property
    def next_name(self) -> str:
        """Of the file after the last one."""
        return f"{len(self.files) + 1:05}.{self.request['file_type']}"

    @property
    def last(self) -> Any:
        return self.files[-1].last if self.files else None

    def write(self, folder: str) -> bytes:
        """Return what was written.

        :raises OSError: the storage does not take it.
        """
        content = json.dumps(asdict(self), indent=1).encode()
        with NewFile(f"{folder}/{NAME}") as file:
            file.write(content)
        return content


def bytes_of_manifest(folder: str) -> bytes | None:
    """``None`` where there is none."""
    fs, inside = storage(f"{folder}/{NAME}")
    try:
        with fs.open(inside, "rb") as file:
            content: bytes = file.read(LARGEST)
            return content
    except FileNotFoundError:
        return None


def read_manifest(folder: str) -> Manifest | None:
    """The manifest in a folder; ``None`` where there is none.

    :raises MilvusInvalidArgumentError: what is there is none.
    """
    content = bytes_of_manifest(folder)
    if content is None:
        return None
    try:
        read = json.loads(content)
        return Manifest(**{**read, "files": [WrittenFile(**written) for written in read["files"]]})
    except (ValueError, TypeError, KeyError) as error:
        raise MilvusInvalidArgumentError(
            f"{without_secrets(folder)}/{NAME} is not the manifest of an export: {error}. Choose another path."
        ) from None


def needed_manifest(folder: str) -> Manifest:
    """:raises MilvusInvalidArgumentError: there is no manifest in the folder."""
    manifest = read_manifest(folder.rstrip("/"))
    if manifest is None:
        raise MilvusInvalidArgumentError(f"definition: there is no export in {without_secrets(folder)}.")
    return manifest


def schema_as_dict(schema: Schema) -> dict[str, Any]:
    """A schema as a DAG author writes it, without what is as by default."""
    return {
        "fields": [_without_defaults(one) for one in schema.fields],
        "enable_dynamic_field": schema.enable_dynamic_field,
        **({"functions": [_without_defaults(one) for one in schema.functions]} if schema.functions else {}),
        **({"description": schema.description} if schema.description else {}),
    }


def _without_defaults(described: Any) -> dict[str, Any]:
    written: dict[str, Any] = {}
    for attribute in fields(described):
        value = getattr(described, attribute.name)
        default = attribute.default if attribute.default_factory is MISSING else attribute.default_factory()
        if attribute.name == "narrow" or value == default:
            continue
        nested = attribute.name == "struct_fields"
        written[attribute.name] = (
            [_without_defaults(one) for one in value] if nested else list(value) if isinstance(value, tuple) else value
        )
    return written
