"""Files in parts: each file once, about the same number of bytes in each part, and the same parts whoever asks."""

from __future__ import annotations

import tempfile
from pathlib import Path

import fsspec
import pytest
from hypothesis import given, strategies as st

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError, MilvusSourceError
from airflow_provider_milvus.operators.milvus import split_files
from airflow_provider_milvus.operators.split_files import _address
from airflow_provider_milvus.rows.storage import File


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=20), st.integers(1, 8))
def test_each_file_is_in_one_part_and_the_parts_are_about_as_large(sizes: list[int], parts: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/{number:02}.jsonl" for number in range(len(sizes))]
        for path, size in zip(paths, sizes, strict=True):
            Path(path).write_bytes(b" " * size)

        split = split_files(folder, parts)

        assert sorted(path for part in split for path in part) == paths
        assert len(split) == min(parts, len(sizes))
        assert all(part == sorted(part) for part in split)
        assert split == split_files(paths[::-1], parts)
        bytes_of = [sum(Path(path).stat().st_size for path in part) for part in split]
        assert max(bytes_of) - min(bytes_of) <= max(sizes)
        assert all(split)


def test_a_file_that_is_named_twice_is_in_one_part(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id\n1\n")

    assert split_files([str(tmp_path), str(tmp_path / "*.csv")], 4) == [[str(tmp_path / "a.csv")]]


def test_a_connection_stays_in_the_address() -> None:
    file = File(fsspec.filesystem("s3", anon=True), "bucket/docs/a.parquet")

    assert _address("s3://aws@bucket/docs/", file) == "s3://aws@bucket/docs/a.parquet"
    assert _address("s3://bucket/docs/*.parquet", file) == "s3://bucket/docs/a.parquet"
    web = File(fsspec.filesystem("http"), "http://me@host/a.csv")
    assert _address("http://me@host/a.csv", web) == "http://me@host/a.csv"


def test_a_data_set_with_folders_is_named_by_a_pattern_as_for_the_operator(tmp_path: Path) -> None:
    paths = [tmp_path / f"day={day}" / "part-0.parquet" for day in (1, 2)]
    for path in paths:
        path.parent.mkdir()
        path.touch()

    assert split_files(f"file://{tmp_path}/**/*.parquet", 2) == [[str(path)] for path in paths]
    with pytest.raises(MilvusInvalidArgumentError, match="Name the files by a pattern"):
        split_files(tmp_path, 2)


@pytest.mark.parametrize(
    ("rows", "parts", "named"),
    [
        ([{"id": 1}], 2, "only files can be split"),
        ([], 2, "only files can be split"),
        ("/data/docs/", 0, "parts must be"),
        ("/data/docs/", "many", "parts must be"),
        ("/data/docs/", 1001, "parts must be"),
    ],
)
def test_what_cannot_be_split_is_refused_by_name(rows: object, parts: int, named: str) -> None:
    with pytest.raises(MilvusInvalidArgumentError, match=named):
        split_files(rows, parts)


def test_what_is_not_there_is_refused() -> None:
    with pytest.raises(MilvusSourceError, match="there is no file that ends in"):
        split_files("/no/such/*.parquet", 2)
