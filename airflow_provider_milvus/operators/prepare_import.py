"""Rows become files that a bulk import reads."""

from __future__ import annotations

import hashlib
import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.arguments import Argument, OptionalArgument
from airflow_provider_milvus.kinds import check_name, check_on_bad_row, check_text, one_of, take_any, whole_number
from airflow_provider_milvus.operators.base import MilvusOperator, given, kept

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.bulk_import.file_storage import Place
    from airflow_provider_milvus.schema.model import Schema

DEFAULT_FILE_BYTES = 32 * 1024 * 1024
BATCH_ROWS = 2_000
"""Rows that are read, checked and written at a time."""


class MilvusPrepareImportOperator(MilvusOperator):
    """Write rows as files for ``MilvusBulkImportOperator``, with pymilvus's own bulk writer.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusPrepareImportOperator

        prepare = MilvusPrepareImportOperator(
            task_id="prepare", rows="/data/docs/*.parquet", collection_name="docs", path="/mnt/milvus/import"
        )

    Rows are checked against the schema first, as before an insert. The files are numbered, in a directory of this run under
    ``path``, each whole or not there. A retry removes those of the earlier try, and nothing else, so one set of files stays. No
    row is sent to Milvus. Needs the extra ``bulk``: ``pip install 'airflow-provider-milvus[bulk]'``.

    Returns ``files`` as the import takes them (and ``urls``, on object storage), ``path``, ``rows`` written, ``refused``, and
    ``seconds``.

    :param rows: what ``MilvusUpsertOperator`` takes: paths or URLs of Parquet, JSON Lines or CSV files (templated), a list of
        dicts, a table, or a function or generator that gives rows.
    :param collection_name: take the schema of this collection. (templated)
    :param schema: or this one: a dict, or JSON or YAML text of one, as for ``MilvusCreateCollectionOperator``. No server is
        needed then. (templated)
    :param path: a directory, or ``s3://bucket/prefix``. Milvus 2.3 with local storage must see the directory under the same
        path. (templated)
    :param storage_conn_id: for ``s3://``: an Airflow connection with the keys as login and password (an AWS connection does),
        and the host, or ``endpoint_url`` in its extra, of what is not AWS. (templated)
    :param file_type: ``"parquet"`` or ``"json"``.
    :param file_bytes: begin a new file after so many bytes of rows. pymilvus's writer needs about fifteen times that in memory.
    :param on_bad_row: ``"fail"`` at the first chunk of rows with one that is wrong; ``"skip"``; or a path that ends in .jsonl:
        as skip, and those rows go there, each with its reason. (templated)
    :raises MilvusBadRowsError: a row is wrong, with its number; never retried.
    :raises MilvusConfigurationError: the extra is not installed, or the storage's connection lacks something.
    :raises MilvusCollectionNotFoundError: there is no such collection.
    """

    rows = Argument(take_any, empty_list="given")
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
        collection_name: str | None = None,
        schema: Mapping[str, Any] | str | None = None,
        storage_conn_id: str | None = None,
        file_type: str = "parquet",
        file_bytes: int = DEFAULT_FILE_BYTES,
        on_bad_row: Any = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.rows = kept(rows)
        self.path = path
        self.collection_name = collection_name
        self.schema = schema
        self.storage_conn_id = storage_conn_id
        self.file_type = file_type
        self.file_bytes = file_bytes
        self.on_bad_row = on_bad_row
        if self.is_given("collection_name") == self.is_given("schema"):
            raise self.wrong("Give collection_name or schema, one of the two: it says what a row is like.")

    def execute(self, context: Context) -> dict[str, Any]:
        import tempfile

        from airflow_provider_milvus.rows.source import describe_source

        self.refuse_unrendered()
        began, place = time.time(), self._place(context)
        schema = self._schema()
        if removed := place.clear():
            self.log.info("An earlier try of this task left %d files, which are removed.", len(removed))
        files: list[list[str]] = []
        urls: list[list[str]] = []

        def keep(path: Path, number: int) -> None:
            files.append([place.put(path, path.name)])
            if (url := place.url(path.name)) is not None:
                urls.append([url])
            self.log.info("File %d: %s", number, files[-1][0])

        self.log.info("Preparing %s.", describe_source(given(self.rows)))
        # Beside the directory it goes to, so that it can be moved there in one step.
        with tempfile.TemporaryDirectory(prefix=".preparing-", dir=getattr(place, "path", None)) as working:
            rows, refused = self._write(schema, Path(working), keep)
        if not rows:
            self.log.warning("There are no rows, so there is no file.")
        result = {"files": files, "path": str(self.path), "rows": rows, "refused": refused}
        if urls:
            result["urls"] = urls
        return {**result, "seconds": round(time.time() - began, 3)}

    def _place(self, context: Context) -> Place:
        from airflow_provider_milvus.bulk_import.file_storage import place

        connection = None
        if self.storage_conn_id:
            from airflow.providers.common.compat.sdk import BaseHook

            connection = BaseHook.get_connection(self.storage_conn_id)
        return place(str(self.path), _run_of(context), connection)

    def _schema(self) -> Schema:
        from airflow_provider_milvus.client.reads import describe
        from airflow_provider_milvus.schema.model import Schema
        from airflow_provider_milvus.schema.reading import read_schema

        if self.collection_name is None:
            return read_schema("schema", self.schema)
        hook = self.hook()
        with hook.client() as client:
            return Schema.of_described(client.run(describe(self.collection_name), hook.deadline()))

    def _write(self, schema: Schema, working: Path, keep: Callable[[Path, int], object]) -> tuple[int, int]:
        """The number of rows written, and of bad rows."""
        from airflow_provider_milvus.bulk_import.file_writer import ImportFiles
        from airflow_provider_milvus.exceptions import MilvusBadRowsError
        from airflow_provider_milvus.rows.bad_rows import BadRows
        from airflow_provider_milvus.rows.check import check
        from airflow_provider_milvus.rows.source import describe_source, read_rows

        rows, path = given(self.rows), None if self.on_bad_row in ("fail", "skip") else self.on_bad_row
        with BadRows(path) as bad_rows:
            files = ImportFiles(schema, working, file_type=self.file_type, file_bytes=self.file_bytes, keep=keep)
            for chunk in read_rows(rows, schema, batch_rows=BATCH_ROWS):
                checked = check(chunk, schema)
                bad_rows.add(checked.bad)
                if bad_rows.count and self.on_bad_row == "fail":
                    raise MilvusBadRowsError(
                        f"{describe_source(rows)}: {bad_rows}. Nothing was sent to Milvus; do not import the files made so "
                        "far. Correct the source, or set on_bad_row to 'skip' or to a path that ends in .jsonl."
                    )
                files.add(checked)
            files.finish()
        if bad_rows.count:
            self.log.warning("%d bad rows: %s", bad_rows.count, bad_rows)
        return files.rows, bad_rows.count


def _run_of(context: Context) -> str:
    """A directory's name for this run of this task; outside a DAG run, one that nobody else has."""
    task_instance, run_id = context.get("ti"), context.get("run_id")
    if not run_id or task_instance is None:
        return f"prepared-{uuid.uuid4().hex}"
    map_index = getattr(task_instance, "map_index", -1)
    whole = ".".join([task_instance.dag_id, task_instance.task_id, str(run_id), *([str(map_index)] if map_index >= 0 else [])])
    # What is not safe in a path, or in a URL, is replaced; the hash keeps apart what looks the same then.
    return f"{re.sub(r'[^A-Za-z0-9_.-]', '-', whole)[:180]}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"
