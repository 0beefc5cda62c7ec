"""Rows become files for a bulk import: all types, in a directory or a bucket, one set of them however often it is tried."""

from __future__ import annotations

import json
import re
import socket
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from fsspec.registry import _registry

from airflow_provider_milvus.bulk_import.file_storage import import_folder
from airflow_provider_milvus.exceptions import (
    MilvusBadRowsError,
    MilvusConfigurationError,
    MilvusInvalidArgumentError,
    MilvusSourceError,
)
from airflow_provider_milvus.operators.milvus import MilvusPrepareImportOperator
from airflow_provider_milvus.rows.batches import batches
from airflow_provider_milvus.rows.check import check
from airflow_provider_milvus.rows.source import read_rows
from airflow_provider_milvus.schema.model import Schema
from dev.servers.objects import Objects, objects_server
from tests.integration.ingest.task_state import TaskState, a_try
from tests.integration.support import SLACK, ends_within

SMALL = {"fields": [{"name": "id", "type": "INT64", "is_primary": True}, {"name": "v", "type": "FLOAT_VECTOR", "dim": 4}]}


EVERY_TYPE = {
    "fields": [
        {"name": "key", "type": "VARCHAR", "max_length": 10, "is_primary": True},
        {"name": "flag", "type": "BOOL"},
        {"name": "tiny", "type": "INT8"},
        {"name": "real", "type": "FLOAT"},
        {"name": "double", "type": "DOUBLE", "nullable": True},
        {"name": "text", "type": "VARCHAR", "max_length": 100, "default_value": "nothing"},
        {"name": "tree", "type": "JSON"},
        {"name": "tags", "type": "ARRAY", "element_type": "VARCHAR", "max_capacity": 4, "max_length": 9},
        {"name": "grades", "type": "ARRAY", "element_type": "FLOAT", "max_capacity": 4},
        {"name": "dense", "type": "FLOAT_VECTOR", "dim": 2},
        {"name": "bits", "type": "BINARY_VECTOR", "dim": 16},
        {"name": "half", "type": "FLOAT16_VECTOR", "dim": 2},
        {"name": "brain", "type": "BFLOAT16_VECTOR", "dim": 2},
        {"name": "bytes", "type": "INT8_VECTOR", "dim": 2},
        {"name": "sparse", "type": "SPARSE_FLOAT_VECTOR"},
    ],
    "enable_dynamic_field": True,
}
_FULL: dict[str, Any] = {
    "key": "a",
    "flag": True,
    "tiny": -3,
    "real": 1,
    "double": 2.5,
    "text": "é",
    "tree": {"a": [1, None]},
    "tags": ["x", "y"],
    "grades": [1, 0.5],
    "dense": [1, 2.5],
    "bits": [1, 255],
    "half": [1, -2.0],
    "brain": [1, -2.0],
    "bytes": [-128, 127],
    "sparse": {7: 0.5, 3: 1},
    "more": {"of": "it"},
}
_BARE = {key: value for key, value in _FULL.items() if key not in ("double", "text", "more")}
ROWS_OF_EVERY_TYPE = [_FULL, {**_BARE, "key": "b"}]


def prepare(rows: Any, path: Any, context: Any = None, **arguments: Any) -> dict[str, Any]:
    given = {"schema": SMALL, **arguments}
    operator = MilvusPrepareImportOperator(task_id="prepare", rows=rows, path=str(path), **given)
    result: dict[str, Any] = operator.execute(context or {})
    return result


def small(count: int, first: int = 0) -> list[dict[str, Any]]:
    return [{"id": key, "v": [key, 0.5, -1.0, 2]} for key in range(first, first + count)]


def read(files: list[list[str]]) -> list[dict[str, Any]]:
    return [row for (path,) in files for row in pyarrow.parquet.read_table(path).to_pylist()]


def everything(path: Path) -> list[str]:
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())


class TestFiles:
    def test_hold_exactly_the_rows_in_order(self, tmp_path: Path) -> None:
        result = prepare(iter(small(5_000)), tmp_path, file_bytes=24 * 2_000)

        assert (result["rows"], result["refused"], len(result["files"])) == (5_000, 0, 3)
        assert read(result["files"]) == [{"id": key, "v": [float(key), 0.5, -1.0, 2.0]} for key in range(5_000)]
        assert json.loads(json.dumps(result)) == result

    def test_have_the_fields_that_columns_are_made_of(self, tmp_path: Path) -> None:
        rows = {"key": [1, 2], "embedding": [[0.5, 1.0, 2.0, 4.0]] * 2, "unread": [object()] * 2}
        result = prepare(rows, tmp_path, columns={"id": "key", "v": "embedding"})
        assert read(result["files"]) == [{"id": key, "v": [0.5, 1.0, 2.0, 4.0]} for key in (1, 2)]

    def test_have_keys_that_are_made_of_columns(self, tmp_path: Path) -> None:
        schema = {
            "fields": [
                {"name": "id", "type": "VARCHAR", "max_length": 36, "is_primary": True},
                {"name": "source", "type": "VARCHAR", "max_length": 9},
                {"name": "v", "type": "FLOAT_VECTOR", "dim": 2},
            ]
        }
        rows = [{"source": "a", "v": [1, 2]}, {"id": "own", "source": "b", "v": [1, 2]}, {"v": [1, 2]}]
        result = prepare(rows, tmp_path, schema=schema, key="uuid5(source)", on_bad_row="skip")

        key = str(uuid.uuid5(uuid.NAMESPACE_URL, '["a"]'))
        assert read(result["files"]) == [{"id": key, "source": "a", "v": [1.0, 2.0]}]
        assert result["refused"] == 2

    def test_have_no_made_keys_where_the_server_makes_them(self, tmp_path: Path) -> None:
        key = {"name": "id", "type": "INT64", "is_primary": True, "auto_id": True}
        schema = {"fields": [key, {"name": "v", "type": "FLOAT_VECTOR", "dim": 2}]}
        with pytest.raises(MilvusInvalidArgumentError, match="leave key out"):
            prepare([{"v": [1, 2]}], tmp_path, schema=schema, key="int64(v)", on_bad_row="skip")

    def test_as_json_are_what_milvus_calls_row_based(self, tmp_path: Path) -> None:
        result = prepare(small(3), tmp_path, file_type="json")

        ((path,),) = result["files"]
        assert json.loads(Path(path).read_text())["rows"] == [
            {"id": key, "v": [float(key), 0.5, -1.0, 2.0]} for key in range(3)
        ]

    def test_take_every_type(self, tmp_path: Path) -> None:
        first, second = read(prepare(ROWS_OF_EVERY_TYPE, tmp_path, schema=EVERY_TYPE)["files"])

        for written in (first, second):
            written.update({name: json.loads(written[name]) for name in ("tree", "sparse", "$meta")})
        assert first == {
            "key": "a",
            "flag": True,
            "tiny": -3,
            "real": 1.0,
            "double": 2.5,
            "text": "é",
            "tree": {"a": [1, None]},
            "tags": ["x", "y"],
            "grades": [1.0, 0.5],
            "dense": [1.0, 2.5],
            "bits": [1, 255],
            # 1 and -2 in 16 bits each, the lower byte first.
            "half": [0x00, 0x3C, 0x00, 0xC0],
            "brain": [0x80, 0x3F, 0x00, 0xC0],
            "bytes": [-128, 127],
            "sparse": {"3": 1.0, "7": 0.5},
            "$meta": {"more": {"of": "it"}},
        }
        assert {name: second[name] for name in ("double", "text", "$meta")} == {"double": None, "text": "nothing", "$meta": {}}

    def test_leave_out_what_the_server_makes(self, tmp_path: Path) -> None:
        schema = {
            "fields": [
                {"name": "id", "type": "INT64", "is_primary": True, "auto_id": True},
                {"name": "text", "type": "VARCHAR", "max_length": 100, "params": {"enable_analyzer": "true"}},
                {"name": "bm25", "type": "SPARSE_FLOAT_VECTOR"},
                {"name": "v", "type": "FLOAT_VECTOR", "dim": 1},
            ],
            "functions": [
                {"name": "f", "type": "BM25", "input_field_names": ["text"], "output_field_names": ["bm25"]},
            ],
        }

        result = prepare([{"text": "a", "v": [1]}], tmp_path, schema=schema)

        assert read(result["files"]) == [{"text": "a", "v": [1.0]}]

    def test_of_no_rows_are_none(self, tmp_path: Path) -> None:
        assert prepare([], tmp_path)["files"] == []
        assert everything(tmp_path) == []


@pytest.mark.parametrize("file_type", ["parquet", "json"])
@pytest.mark.parametrize("as_whole", [True, False], ids=["result", "files"])
def test_what_is_prepared_can_be_read_again(tmp_path: Path, file_type: str, as_whole: bool) -> None:
    """Checked as for an insert, the rows of the files are those that were prepared, byte for byte."""
    result = prepare(ROWS_OF_EVERY_TYPE, tmp_path, schema=EVERY_TYPE, file_type=file_type)
    schema = Schema.of(EVERY_TYPE)

    def encoded(source: Any) -> list[bytes]:
        (chunk,) = read_rows(source, schema, batch_rows=100)
        done = check(chunk, schema)
        assert not done.bad
        (batch,) = batches(done, schema, max_bytes=1 << 20)
        return [field.SerializeToString(deterministic=True) for field in batch.fields_data]

    assert encoded(result if as_whole else result["files"]) == encoded(ROWS_OF_EVERY_TYPE)


class TestBadRows:
    ROWS = [*small(2), {"id": 9, "v": [1, 2]}, *small(2, 10)]

    def test_fail_the_task_with_their_numbers(self, tmp_path: Path) -> None:
        with pytest.raises(MilvusBadRowsError, match=r"row 3, field 'v': .*Nothing was sent"):
            prepare(self.ROWS, tmp_path)

    def test_are_left_out(self, tmp_path: Path) -> None:
        result = prepare(self.ROWS, tmp_path, on_bad_row="skip")

        assert (result["rows"], result["refused"]) == (4, 1)
        assert [row["id"] for row in read(result["files"])] == [0, 1, 10, 11]

    def test_go_to_a_file_with_their_reasons(self, tmp_path: Path) -> None:
        prepare(self.ROWS, tmp_path / "in", on_bad_row=str(tmp_path / "bad.jsonl"))

        (line,) = (tmp_path / "bad.jsonl").read_text().splitlines()
        assert (json.loads(line)["row"], json.loads(line)["data"]) == (3, {"id": 9, "v": [1, 2]})


class TestRetry:
    def test_leaves_one_set_of_files_and_what_is_not_its_own(self, tmp_path: Path) -> None:
        context = a_try(TaskState())

        def breaks() -> Iterator[dict[str, Any]]:
            yield from small(6_000)
            raise MilvusSourceError("the source broke")

        with pytest.raises(MilvusSourceError):
            prepare(breaks, tmp_path, context, file_bytes=24 * 1_000)
        (directory,) = tmp_path.iterdir()
        assert len(everything(directory)) > 3
        for name in ("notes.txt", "1.csv", "1.parquet", "1-0123456789ab.parquet.bak"):
            (directory / name).write_text("somebody else's")

        result = prepare(small(10), tmp_path, context)

        ((path,),) = result["files"]
        name = Path(path).name
        assert everything(directory) == sorted(["1-0123456789ab.parquet.bak", "1.csv", "1.parquet", name, "notes.txt"])
        assert path == str(directory / name)
        assert len(read(result["files"])) == 10

    @pytest.mark.parametrize("file_type", ["parquet", "json"])
    def test_has_the_names_of_the_try_before_only_for_the_same_rows(self, tmp_path: Path, file_type: str) -> None:
        # By its files' names an import finds the one that an earlier try of its own began.
        context = a_try(TaskState())
        first, same, others = (
            prepare(rows, tmp_path, context, file_type=file_type)["files"] for rows in (small(9), small(9), small(9, first=1))
        )
        assert first == same
        assert first != others

    def test_of_another_run_has_a_directory_of_its_own(self, tmp_path: Path) -> None:
        one, other = a_try(TaskState()), a_try(TaskState())
        other["run_id"] = "tomorrow night"

        files = [prepare(small(1), tmp_path, context)["files"] for context in (one, other, {}, {})]

        assert len({path for ((path,),) in files}) == 4

    def test_never_shows_half_a_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        context = a_try(TaskState())
        monkeypatch.setattr("os.replace", lambda *paths: (_ for _ in ()).throw(OSError("no space left")))

        with pytest.raises(OSError, match="no space left"):
            prepare(small(10), tmp_path, context)

        assert everything(tmp_path) == []


class TestBucket:
    @pytest.fixture
    def connect_storage(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
        def connect(endpoint: str) -> None:
            described = {
                "conn_type": "aws",
                "login": "access-key",
                "password": "secret-key",
                "extra": {"endpoint_url": endpoint, "region_name": "eu-west-1"},
            }
            monkeypatch.setenv("AIRFLOW_CONN_STORAGE", json.dumps(described))

        return connect

    @pytest.fixture
    def objects(self, connect_storage: Callable[[str], None]) -> Iterator[Objects]:
        with objects_server() as server:
            connect_storage(server.endpoint)
            yield server

    def test_gets_whole_files_and_the_import_gets_their_keys(self, objects: Objects, tmp_path: Path) -> None:
        result = prepare(
            small(3_000), "s3://a-bucket/files", a_try(TaskState()), storage_conn_id="storage", file_bytes=24 * 2_000
        )

        keys = [key for (key,) in result["files"]]
        assert sorted(objects.kept) == [f"a-bucket/{key}" for key in keys]
        names = [key.rpartition("/")[2] for key in keys]
        assert [re.sub(r"-[0-9a-f]{12}\.parquet", "", name) for name in names] == ["1", "2"]
        assert result["urls"] == [[f"s3://a-bucket/{key}"] for key in keys]
        for number, key in enumerate(keys):
            (tmp_path / str(number)).write_bytes(objects.kept[f"a-bucket/{key}"])
        assert [row["id"] for row in read([[str(tmp_path / "0")], [str(tmp_path / "1")]])] == list(range(3_000))

    def test_gets_nothing_of_no_rows(self, objects: Objects) -> None:
        result = prepare([], "s3://a-bucket/files", storage_conn_id="storage")

        assert (result["files"], result["urls"], objects.kept) == ([], [], {})

    def test_of_an_earlier_try_is_cleared_of_its_files_only(self, objects: Objects) -> None:
        context = a_try(TaskState())
        more = prepare(small(3_000), "s3://a-bucket/files", context, storage_conn_id="storage", file_bytes=24 * 1_000)
        folder = more["files"][0][0].rpartition("/")[0]
        others = [f"a-bucket/{folder}/readme.txt", f"a-bucket/{folder}/more/1.parquet", "a-bucket/files/1.parquet"]
        objects.kept.update(dict.fromkeys(others, b"somebody else's"))

        again = prepare(small(1), "s3://a-bucket/files", context, storage_conn_id="storage")

        assert sorted(objects.kept) == sorted([*others, *(f"a-bucket/{key}" for (key,) in again["files"])])

    def test_that_refuses_says_why_and_no_secret(self, objects: Objects) -> None:
        objects.refusing = "AccessDenied"

        with pytest.raises(OSError, match=r"are in s3://a-bucket/files/.*\(AccessDenied\).*it is refused") as refused:
            prepare(small(1), "s3://a-bucket/files", storage_conn_id="storage")
        assert "secret" not in str(refused.value)

    def test_that_does_not_answer_ends_in_time(
        self, connect_storage: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("airflow_provider_milvus.bulk_import.file_storage.CALL_TIMEOUT", 1.0)
        (tmp_path / "1.parquet").write_bytes(b"rows")
        with socket.create_server(("127.0.0.1", 0)) as silent:
            connect_storage(f"http://127.0.0.1:{silent.getsockname()[1]}")
            folder = import_folder("s3://a-bucket/files", "run", "storage")

            for call in (folder.clear, lambda: folder.put(tmp_path / "1.parquet")):
                with ends_within(1 + SLACK), pytest.raises(OSError, match="no answer within 1 s"):
                    call()
        assert (tmp_path / "1.parquet").exists()

    def test_that_is_not_there_is_named_without_a_secret(self, connect_storage: Callable[[str], None], refused: str) -> None:
        connect_storage(refused)

        with pytest.raises(OSError, match=f"s3://a-bucket/files/.*Could not connect.*{refused}") as failed:
            prepare(small(1), "s3://a-bucket/files", storage_conn_id="storage")
        assert [key for key in ("secret", "access-key") if key in str(failed.value)] == []

    def test_needs_the_extra(self, objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(_registry, "s3", raising=False)
        monkeypatch.setitem(sys.modules, "s3fs", None)

        with pytest.raises(MilvusConfigurationError, match=r"s3fs.*airflow-provider-milvus\[bulk\]"):
            prepare(small(1), "s3://a-bucket/files", storage_conn_id="storage")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"path": "gs://bucket/x"}, "must be a local directory or s3"),
        ({"path": "s3://bucket/x"}, "needs storage_conn_id"),
        ({"path": "/tmp", "storage_conn_id": "storage"}, "is for s3:// paths"),
        ({"path": "s3://key:secret@bucket/x"}, r"path 's3://bucket/x' must be"),
        ({"schema": "fields"}, "schema must be a dict"),
        ({"collection_name": "docs"}, "Give collection_name or schema"),
        ({"on_bad_row": "skpi"}, "on_bad_row must be 'fail', 'skip', or a path"),
    ],
)
def test_what_can_never_work_is_refused(arguments: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_STORAGE", json.dumps({"conn_type": "aws"}))
    given = {"rows": small(1), "path": "/tmp/never", "schema": SMALL, **arguments}
    with pytest.raises(MilvusInvalidArgumentError, match=words):
        MilvusPrepareImportOperator(task_id="prepare", **given).execute({})


@pytest.mark.parametrize("file_bytes", [0, -1, 1.5, "one", True])
def test_file_bytes_must_be_a_whole_number(file_bytes: Any) -> None:
    with pytest.raises(MilvusInvalidArgumentError, match="file_bytes"):
        MilvusPrepareImportOperator(task_id="prepare", rows=[], schema=SMALL, path="/tmp", file_bytes=file_bytes)


def test_the_extra_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pymilvus.bulk_writer", None)

    with pytest.raises(MilvusConfigurationError, match=r"airflow-provider-milvus\[bulk\]"):
        prepare(small(1), tmp_path)
