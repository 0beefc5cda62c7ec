"""An export, as a flow: the rows of a collection in files, in the order of their keys, so that it goes on where it was."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.counting import row_count
from airflow_provider_milvus.client.flow import Flow, Report
from airflow_provider_milvus.rows.storage import kind_of, storage, without_secrets
from airflow_provider_milvus.rows.tables import pyarrow
from airflow_provider_milvus.schema.model import Schema
from airflow_provider_milvus.search.answer import ReadRows
from airflow_provider_milvus.search.decode import all_fields
from airflow_provider_milvus.search.manifest import Manifest, WrittenFile, bytes_of_manifest, read_manifest
from airflow_provider_milvus.search.row_file import ParquetFile, RowFile, row_file
from airflow_provider_milvus.search.source import changes, definition_of, find_source, page_rows_of
from airflow_provider_milvus.search.walk import Page, Walk

_LEFT_BY_A_KILL = re.compile(r"\.(\d{5}\.(parquet|jsonl)|_manifest\.json)\.[0-9a-f]{32}")


@dataclass(slots=True)
class Files:
    """Writes pages into numbered files of ``rows_per_file`` rows, each whole or not at all, and noted when finished."""

    folder: str
    file_type: str
    rows_per_file: int
    schema: Schema
    wanted: Sequence[str]
    manifest: Manifest
    _open: RowFile | ParquetFile | None = field(init=False, default=None)
    _noted: bytes | None = field(init=False, default=None)
    _rows: int = field(init=False, default=0)
    _last: Any = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.manifest.writer = uuid4().hex

    def take(self, page: Page) -> None:
        if self._open is None:
            self._open = row_file(f"{self.folder}/{self.manifest.next_name}").__enter__()
        self._open.take(ReadRows(page, self.schema, self.wanted))
        self._rows += len(page.keys)
        self._last = page.keys[-1]
        if self._rows >= self.rows_per_file:
            self.finish()

    def finish(self) -> None:
        """End the file that is open, if one is."""
        if self._open is None:
            return
        self._check_is_own()
        ended, self._open = self._open, None
        ended.__exit__(None, None, None)
        whole = ended.whole
        self.manifest.files.append(WrittenFile(self.manifest.next_name, self._rows, self._last, whole.bytes, whole.sha256))
        self.manifest.rows += self._rows
        self._rows = 0
        self.note()

    def note(self) -> None:
        """Write the manifest.

        :raises MilvusRefusedError: somebody else has written one since, or has removed it.
        """
        self._check_is_own()
        self._noted = self.manifest.write(self.folder)

    def check(self) -> None:
        """:raises MilvusRefusedError: the finished files are not those that were written."""
        sizes = {name: size for name, (_, size) in _listed(self.folder).items()}
        for file in self.manifest.files:
            if sizes.get(file.name) != file.bytes:
                raise self._refused(f"somebody else has written to {file.name} in {without_secrets(self.folder)}")

    def _check_is_own(self) -> None:
        if self._noted is not None and bytes_of_manifest(self.folder) != self._noted:
            raise self._refused(f"somebody else has written to {without_secrets(self.folder)}, or has removed what is there")

    def _refused(self, why: str) -> exceptions.MilvusRefusedError:
        collection = self.manifest.request["collection"]
        return exceptions.MilvusRefusedError(
            f"Collection {collection!r} was not exported: {why}. Give each export a path of its own."
        )

    def give_up(self, error: BaseException) -> None:
        """Leave out the file that is open."""
        if self._open is not None:
            self._open.__exit__(type(error), error, error.__traceback__)


def export(
    collection_name: str,
    folder: str,
    *,
    file_type: str = "parquet",
    filter: str = "",
    partition_names: Sequence[str] = (),
    output_fields: Sequence[str] | None = None,
    rows_per_file: int = 100_000,
    consistency_level: str = "Strong",
    on_change: str = "fail",
    earlier: Manifest | None = None,
    run: str = "",
    report: Report = lambda words: None,
) -> Flow[tuple[str, Manifest, int]]:
    """Write the rows into files of ``folder``; return the collection's own name, the manifest, and the rows of an earlier try.

    Rows are counted before and after. Where that, or what was read, differs, rows changed meanwhile.

    :param earlier: what an earlier try has left in the folder: its finished files stay, where they are of the same request.
    :param on_change: ``"fail"`` or ``"report"``, in the manifest.
    :raises MilvusNotLoadedError: not all rows are in memory.
    :raises MilvusReplacedError: there is another collection of that name by now.
    :raises MilvusRefusedError: the folder has files that no export has written, or somebody else has written to it since; or
        rows changed meanwhile, and then the files are there, and the manifest says so.
    """
    source = yield from find_source(collection_name, partition_names, "Collection {!r} was not exported.")
    described = source.subject.first
    schema, primary = source.schema, source.schema.primary
    wanted = list(output_fields or all_fields(schema))
    request = {
        "collection": source.collection,
        "collection_id": int(described.collectionID),
        "filter": filter,
        "partition_names": list(partition_names),
        "fields": wanted,
        "file_type": file_type,
    }
    definition = yield from definition_of(source)
    goes_on = earlier is not None and run and earlier.run == run and earlier.request == request and not earlier.complete
    manifest = earlier if earlier is not None and goes_on else Manifest(request, definition, run)
    before = manifest.rows
    if before:
        report(f"Going on after {before:,} rows, which an earlier try has written into {len(manifest.files)} files.")
    counted = yield from row_count(source.collection, filter, partition_names)
    if file_type == "parquet":
        pyarrow("An export to Parquet")
    _check_room(folder, earlier)
    if earlier is not None:
        unfinished = [] if earlier.complete else [earlier.next_name]
        manifest.replaced = [*earlier.replaced, *unfinished, *(file.name for file in earlier.files if not goes_on)]
    files = Files(folder, file_type, rows_per_file, schema, wanted, manifest)
    # Whoever goes on after a kill knows which files are to go.
    files.note()
    _remove(folder, manifest)
    walk = Walk(source.subject, primary, wanted, filter or source.match_all, partition_names, consistency_level)
    try:
        yield from walk.rows(files.take, page_rows=min(page_rows_of(schema, wanted), rows_per_file), after=manifest.last)
        files.finish()
    except BaseException as error:
        files.give_up(error)
        raise
    again = yield from row_count(source.collection, filter, partition_names)
    manifest.changed = changes(counted, again, manifest.rows, "written")
    files.check()
    manifest.complete = True
    files.note()
    if manifest.changed and on_change == "fail":
        raise exceptions.MilvusRefusedError(
            f"Rows of collection {source.collection!r} changed while it was exported: {manifest.changed}. The files are there. "
            'Export again when nobody writes, or set on_change="report".'
        )
    return source.collection, manifest, before


def _listed(folder: str) -> dict[str, tuple[str, int]]:
    """The files of a folder by their names: the path in the storage, and the bytes."""
    fs, inside = storage(folder)
    fs.invalidate_cache(inside)
    try:
        entries = fs.ls(inside, detail=True)
    except FileNotFoundError:
        return {}
    return {entry["name"].rstrip("/").rpartition("/")[2]: (entry["name"], entry["size"]) for entry in entries}


def _check_room(folder: str, earlier: Manifest | None) -> None:
    """:raises MilvusRefusedError: the folder is not as it was when ``earlier`` was read, or has files of somebody else."""
    there = read_manifest(folder)
    if there != earlier:
        raise exceptions.MilvusRefusedError(
            f"Nothing was exported: {without_secrets(folder)} has an export of collection {there.request.get('collection')!r}. "
            "Choose another path."
            if there is not None
            else f"Nothing was exported: somebody else has removed the export in {without_secrets(folder)}."
        )
    if earlier is None and (foreign := sorted(name for name in _listed(folder) if kind_of(name) is not None)):
        raise exceptions.MilvusRefusedError(
            f"Nothing was exported: {without_secrets(folder)} has files that no export has written, such as {foreign[0]!r}. "
            "Choose another path."
        )


def _remove(folder: str, manifest: Manifest) -> None:
    """Remove the files that are to go, and nothing else: whoever reads the folder takes all for rows."""
    fs, _ = storage(folder)
    there = _listed(folder)
    for name, (path, _) in there.items():
        if name in manifest.replaced or _LEFT_BY_A_KILL.fullmatch(name):
            fs.rm_file(path)
    manifest.replaced = []
