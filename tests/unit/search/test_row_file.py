"""Files that are there whole or not at all, and the columns of Parquet."""

from __future__ import annotations

import gc
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from fsspec import AbstractFileSystem
from fsspec.spec import AbstractBufferedFile

from airflow_provider_milvus.schema.model import Schema
from airflow_provider_milvus.search.columns import arrow_schema
from airflow_provider_milvus.search.row_file import NewFile, RowFile

pytestmark = pytest.mark.newest


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_its_place_in_one_step(tmp_path: Path) -> None:
    (tmp_path / "rows").write_text("before")
    with NewFile(tmp_path / "rows") as file:
        file.write(b"after")
        assert (tmp_path / "rows").read_text() == "before"
        # On the same file system: a move from another one is a copy, of which a kill leaves a part.
        assert len(names(tmp_path)) == 2

    assert names(tmp_path) == ["rows"]
    assert (tmp_path / "rows").read_text() == "after"


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_after_an_error_nothing_is_left(tmp_path: Path, name: str) -> None:
    with pytest.raises(ZeroDivisionError), RowFile(tmp_path / name) as file:
        file.add({"id": 1 // number} for number in (2, 1, 0))
    assert names(tmp_path) == []


def test_after_an_error_at_the_end_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*paths: str) -> None:
        raise OSError("no space")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="no space"), RowFile(tmp_path / "rows.jsonl") as file:
        file.add([{"id": 1}])
    assert names(tmp_path) == []


class FileOnAzure(AbstractBufferedFile):
    """As adlfs has it: what is closed has taken its place, and ``discard`` does nothing."""

    def _upload_chunk(self, final: bool = False) -> bool:
        self.fs.parts[self.path] = self.fs.parts.get(self.path, b"") + self.buffer.getvalue()
        if final:
            self.fs.files[self.path] = self.fs.parts.pop(self.path)
        return True


class Azure(AbstractFileSystem):
    protocol = "azure-like"
    files: ClassVar[dict[str, bytes]] = {}
    parts: ClassVar[dict[str, bytes]] = {}

    def _open(self, path: str, mode: str = "rb", **options: Any) -> FileOnAzure:
        return FileOnAzure(self, path, mode, **options)


def test_after_an_error_a_remote_file_is_as_it_was() -> None:
    path = SimpleNamespace(fs=Azure(skip_instance_cache=True), path="rows.jsonl")
    Azure.files["rows.jsonl"] = b"before"
    with pytest.raises(ZeroDivisionError), RowFile(path) as file:
        file.add({"id": 1 // number} for number in (1, 0))
    del file
    gc.collect()
    assert Azure.files == {"rows.jsonl": b"before"}
    with NewFile(path) as file:
        file.write(b"after")
    assert Azure.files == {"rows.jsonl": b"after"}


def test_a_star_stands_for_all_that_a_server_gives_back() -> None:
    text = {"name": "text", "type": "VARCHAR", "max_length": 9, "params": {"enable_analyzer": True}}
    schema = Schema.of(
        {
            "fields": [
                {"name": "id", "type": "INT64", "is_primary": True},
                text,
                {"name": "words", "type": "SPARSE_FLOAT_VECTOR"},
                {"name": "meaning", "type": "FLOAT_VECTOR", "dim": 2},
            ],
            "functions": [
                {"name": "bm25", "type": "BM25", "input_field_names": ["text"], "output_field_names": ["words"]},
                {"name": "model", "type": "TEXTEMBEDDING", "input_field_names": ["text"], "output_field_names": ["meaning"]},
            ],
            "enable_dynamic_field": True,
        }
    )
    assert arrow_schema(schema, ["*"]).names == ["id", "text", "meaning", "$meta"]
    assert arrow_schema(schema, ["color", "id", "size", "id"]).names == ["$meta", "id"]
