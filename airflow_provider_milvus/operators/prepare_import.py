"""Rows become files for a bulk import."""

from __future__ import annotations

import hashlib
import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.arguments import Argument, OptionalArgument
from airflow_provider_milvus.kinds import (
    check_columns,
    check_name,
    check_on_bad_row,
    check_text,
    one_of,
    take_any,
    whole_number,
)
from airflow_provider_milvus.operators.base import MilvusOperator
from airflow_provider_milvus.operators.given_rows import check_made, given, kept

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.schema.model import Schema

DEFAULT_FILE_BYTES = 32 * 1024 * 1024
BATCH_ROWS = 2_000
"""Rows that are read and checked at a time."""


class MilvusPrepareImportOperator(MilvusOperator):
    """Write rows as files for ``MilvusBulkImportOperator``, with pymilvus's own bulk writer.

    Rows are checked against the schema first, as before an insert. The files are numbered and go to a folder of this run under
    ``path``; each is there whole or not at all. A retry first removes the files of the earlier try, and nothing else. No row is
    sent to Milvus. It needs the extra ``bulk``: ``pip install 'airflow-provider-milvus[bulk]'``.

    Returns ``files`` as the import takes them (and on object storage ``urls``), ``path``, ``rows`` (written), ``refused`` (bad
    rows that were left out), and ``seconds``.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusPrepareImportOperator

        prepare = MilvusPrepareImportOperator(
            task_id="prepare", rows="/data/docs/*.parquet", collection_name="docs", path="/mnt/milvus/import"
        )

    :param rows: what ``MilvusUpsertOperator`` takes: paths or URLs of Parquet, JSON Lines or CSV files (templated), a list of
        dicts, a table, or a function or generator of rows.
    :param columns: for each field the column of ``rows`` that it is made of; other columns are not read. By default each column
        is the field of its name. (templated)
    :param key: make the primary key of columns, such as ``"uuid5(source, chunk)"``; by default the rows bring it. (templated)
    :param collection_name: the collection whose schema the rows have. (templated)
    :param schema: or the schema itself, a dict as for ``MilvusCreateCollectionOperator``; then no server is needed. (templated)
    :param path: a directory, or ``s3://bucket/prefix``. Milvus 2.3 with local storage must see the directory under the same
        path. (templated)
    :param storage_conn_id: for ``s3://``: an Airflow connection with the keys of the storage, as login and password or as an
        AWS connection has them in its extra, and ``endpoint_url`` there for what is not AWS. (templated)
    :param file_type: ``"parquet"`` or ``"json"``.
    :param file_bytes: begin a new file after this many bytes of rows; 32 MiB by default. pymilvus's writer needs about fifteen
        times as much memory.
    :param on_bad_row: ``"fail"`` at the first chunk with a bad row; ``"skip"`` to leave bad rows out; or a path that ends in
        .jsonl, where they go, each with its reason. (templated)
    :raises MilvusBadRowsError: there is a bad row; the message has its row number. Never retried.
    :raises MilvusConfigurationError: the extra is not installed, or the storage's connection lacks something.
    :raises MilvusCollectionNotFoundError: there is no such collection.
    :raises OSError: the storage failed; retried.
    """

    rows = Argument(take_any, empty_list="given")
    columns = OptionalArgument(check_columns)
    key = OptionalArgument(check_made)
    path = Argument(take_any)
    collection_name = OptionalArgument(check_name)
    schema = OptionalArgument(take_any)
    storage_conn_id = OptionalArgument(check_text)
    file_type = Argument(one_of("parquet", "json"))
    file_bytes = Argument(whole_number(1))
    on_bad_row = Argument(check_on_bad_row)
    # A generator cannot be copied, and Airflow copies operators.
    shallow_copy_attrs: Sequence[str] = ("rows",)

    def __init__(
        self,
        *,
        rows: Any,
        path: str,
        columns: Mapping[str, str] | None = None,
        key: str | None = None,
        collection_name: str | None = None,
        schema: Mapping[str, Any] | None = None,
        storage_conn_id: str | None = None,
        file_type: str = "parquet",
        file_bytes: int = DEFAULT_FILE_BYTES,
        on_bad_row: Any = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        rows = kept(rows)
        self.take(locals())
        if self.is_given("collection_name") == self.is_given("schema"):
            raise self.wrong("Give collection_name or schema, one of the two: it says which fields a row has.")

    def execute(self, context: Context) -> dict[str, Any]:
        import tempfile

        from airflow_provider_milvus.bulk_import.file_storage import BucketFolder, LocalFolder, import_folder
        from airflow_provider_milvus.rows.source import describe_source

        self.refuse_unrendered()
        began, folder = time.time(), import_folder(str(self.path), _name_of_run(context), self.storage_conn_id)
        schema = self._schema()
        if removed := folder.clear():
            self.log.info("%d files of an earlier try of this task are removed.", len(removed))
        files: list[list[str]] = []

        def keep(path: Path) -> None:
            files.append([folder.put(path)])
            self.log.info("File %d: %s", len(files), files[-1][0])

        if self.key is not None and schema.primary.auto_id:
            raise self.wrong("the server makes the keys of these rows (auto_id), so leave key out.")
        self.log.info("Preparing %s.", describe_source(given(self.rows)))
        # A file is moved in one step within a directory's own file system.
        beside = folder.path if isinstance(folder, LocalFolder) else None
        with tempfile.TemporaryDirectory(prefix=".preparing-", dir=beside) as working:
            rows, refused = self._write(schema, Path(working), keep)
        if not rows:
            self.log.warning("No file was written: there are no rows.")
        result = {"files": files, "path": str(self.path), "rows": rows, "refused": refused}
        if isinstance(folder, BucketFolder):
            result["urls"] = [[folder.url(file)] for (file,) in files]
        return {**result, "seconds": round(time.time() - began, 3)}

    def _schema(self) -> Schema:
        from airflow_provider_milvus.client.reads import describe
        from airflow_provider_milvus.schema.model import Schema
        from airflow_provider_milvus.schema.reading import read_schema

        if self.collection_name is None:
            return read_schema("schema", self.schema)
        hook = self.hook()
        with hook.client() as client:
            return Schema.of_described(client.run(describe(self.collection_name), hook.deadline()))

    def _write(self, schema: Schema, working: Path, keep: Callable[[Path], object]) -> tuple[int, int]:
        """The numbers of rows that were written, and of bad rows."""
        from airflow_provider_milvus.bulk_import.file_writer import ImportFileWriter
        from airflow_provider_milvus.exceptions import MilvusBadRowsError
        from airflow_provider_milvus.rows.bad_rows import BadRows
        from airflow_provider_milvus.rows.check import check
        from airflow_provider_milvus.rows.made import Made, with_made
        from airflow_provider_milvus.rows.source import describe_source, read_rows

        rows, path = given(self.rows), None if self.on_bad_row in ("fail", "skip") else self.on_bad_row
        with BadRows(path) as bad_rows:
            writer = ImportFileWriter(schema, working, file_type=self.file_type, file_bytes=self.file_bytes, keep=keep)
            read: dict[str, Any] = {"batch_rows": BATCH_ROWS, "columns": self.columns}
            made = {} if self.key is None else {schema.primary.name: Made.of("key", self.key)}
            for chunk in with_made(read_rows(rows, schema.without(made), **read), made):
                checked = check(chunk, schema)
                bad_rows.add(checked.bad)
                if bad_rows.count and self.on_bad_row == "fail":
                    raise MilvusBadRowsError(
                        f"{describe_source(rows)}: {bad_rows}. Nothing was sent to Milvus; do not import the files that are "
                        "there. Mend the source, or set on_bad_row to 'skip' or to a path that ends in .jsonl."
                    )
                writer.add(checked)
            writer.finish()
        if bad_rows.count:
            self.log.warning("%d bad rows were left out: %s", bad_rows.count, bad_rows)
        return writer.rows, bad_rows.count


def _name_of_run(context: Context) -> str:
    """The name of the folder of this task in this run. Outside a DAG run it is new each time."""
    task_instance, run_id = context.get("ti"), context.get("run_id")
    if not run_id or task_instance is None:
        return f"prepared-{uuid.uuid4().hex}"
    map_index = getattr(task_instance, "map_index", -1)
    whole = ".".join([task_instance.dag_id, task_instance.task_id, str(run_id), *([str(map_index)] if map_index >= 0 else [])])
    # Characters that are not safe in a path or a URL are replaced; the hash keeps apart the names that become the same.
    return f"{re.sub(r'[^A-Za-z0-9_.-]', '-', whole)[:180]}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"
