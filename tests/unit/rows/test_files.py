"""Files of rows: Parquet, JSON Lines and CSV, on any storage, and the errors for files that cannot be read."""

from __future__ import annotations

import gzip
import importlib
import io
import json
import math
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from pyarrow import parquet
from upath import UPath

from airflow_provider_milvus.exceptions import MilvusConfigurationError, MilvusInvalidArgumentError, MilvusSourceError
from airflow_provider_milvus.rows.chunk import Chunk
from airflow_provider_milvus.rows.json_document import document_rows
from airflow_provider_milvus.rows.source import read_rows
from airflow_provider_milvus.rows.storage import for_later
from airflow_provider_milvus.schema.model import Schema

SCHEMA = Schema.of(
    {
        "fields": [
            {"name": "id", "type": "INT64", "is_primary": True},
            {"name": "text", "type": "VARCHAR", "max_length": 100, "nullable": True},
            {"name": "year", "type": "INT32", "nullable": True},
            {"name": "price", "type": "DOUBLE", "nullable": True},
            {"name": "flag", "type": "BOOL", "nullable": True},
            {"name": "meta", "type": "JSON", "nullable": True},
            {
                "name": "tags",
                "type": "ARRAY",
                "element_type": "VARCHAR",
                "max_capacity": 10,
                "max_length": 10,
                "nullable": True,
            },
            {"name": "words", "type": "SPARSE_FLOAT_VECTOR", "nullable": True},
            {"name": "vector", "type": "FLOAT_VECTOR", "dim": 2, "nullable": True},
        ],
        "enable_dynamic_field": True,
    }
)


def read(source: Any, batch_rows: int = 100) -> list[Chunk]:
    return list(read_rows(source, SCHEMA, batch_rows=batch_rows))


def rows(source: Any, batch_rows: int = 100) -> list[dict[str, Any]]:
    """The rows, with each vector as a list."""
    return [
        {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in chunk.row(at).items()}
        for chunk in read(source, batch_rows)
        for at in range(len(chunk))
    ]


def bad(source: Any) -> list[tuple[int, str | None, str]]:
    return [(row.number, row.field, row.reason) for chunk in read(source) for row in chunk.bad]


def ids(source: Any) -> list[int]:
    return [row["id"] for row in rows(source)]


@pytest.fixture
def file(tmp_path):
    """Write a file with this name and content, text or bytes."""

    def write(name: str, content: str | bytes) -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write


@pytest.fixture
def memory():
    """An empty file system that is not local."""
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    yield fs
    fs.store.clear()


def parquet_of(**columns: Any) -> bytes:
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


ONE_OF_EACH = {
    "docs.parquet": parquet_of(id=[1, 2, 3]),
    "docs.jsonl": b'{"id": 1}\n{"id": 2}\n{"id": 3}\n',
    "docs.ndjson": b'{"id": 1}\r\n{"id": 2}\r\n{"id": 3}\r\n',
    "docs.json": b'{"id": 1}\n{"id": 2}\n{"id": 3}',
    "docs.csv": b"id\n1\n2\n3\n",
}


# Where files are


@pytest.mark.newest
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_the_end_of_a_name_says_how_a_file_is_read(file, name, packed):
    content = ONE_OF_EACH[name]
    path = file(f"{name.upper()}.gz" if packed else name, gzip.compress(content) if packed else content)
    assert [(list(chunk.row_numbers), list(chunk.columns["id"])) for chunk in read(path, batch_rows=2)] == [
        ([1, 2], [1, 2]),
        ([3], [3]),
    ]


@pytest.mark.parametrize("kind", [str, Path, UPath, lambda path: f"file://{path}"], ids=["str", "Path", "UPath", "file://"])
def test_a_path_may_be_given_in_any_way(file, kind):
    assert ids(kind(file("docs.csv", "id\n1\n"))) == [1]


def test_airflows_object_storage_path_is_read(file):
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    assert ids(ObjectStoragePath(f"file://{file('docs.parquet', ONE_OF_EACH['docs.parquet'])}")) == [1, 2, 3]


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_url_is_read_through_fsspec(memory, name):
    memory.pipe(f"/bucket/{name}", ONE_OF_EACH[name])
    memory.pipe(f"/bucket/{name}.gz", gzip.compress(ONE_OF_EACH[name]))
    assert ids(f"memory://bucket/{name}") == [1, 2, 3]
    assert ids(UPath(f"memory://bucket/{name}.gz")) == [1, 2, 3]
    assert ids(f"memory://bucket/{name}*") == [1, 2, 3] * 2


def test_a_url_may_name_an_airflow_connection(monkeypatch):
    """Airflow keeps a file system for each scheme and connection; this one stands in for a real S3."""
    store = importlib.import_module("airflow.sdk.io.store" if find_spec("airflow.sdk") else "airflow.io.store")

    class Bucket(MemoryFileSystem):
        store: dict[str, Any] = {}
        pseudo_dirs = [""]

    bucket = Bucket(skip_instance_cache=True)
    store.attach("s3", "my_s3", fs=bucket)
    try:
        bucket.pipe("/docs/2024/a.csv", b"id\n1\n")
        bucket.pipe("/docs/2024/b.csv", b"id\n2\n")
        assert ids("s3://my_s3@docs/2024/b.csv") == [2]
        assert ids("s3://my_s3@docs/2024/*.csv") == [1, 2]
        assert ids("s3://my_s3@docs/2024/") == [1, 2]
    finally:
        store._STORE_CACHE.pop("s3-my_s3")


def test_a_storage_that_is_not_installed_is_a_configuration_error():
    with pytest.raises(MilvusConfigurationError, match=r"^gs://bucket/a.csv cannot be reached: .*gcsfs") as caught:
        read("gs://bucket/a.csv")
    assert "secret" not in str(caught.value)


@pytest.mark.newest
def test_a_directory_is_read_in_the_order_of_names_without_the_files_that_writers_add(file, tmp_path):
    file("b.csv", "id\n3\n")
    file("a.jsonl", '{"id": 1}\n{"id": 2}\n')
    file("_SUCCESS", "")
    file("_metadata.csv", "id\n9\n")
    file(".a.csv.crc", "id\n9\n")
    file("README.md", "what this is")
    chunks = read(tmp_path)
    assert [(list(chunk.row_numbers), chunk.columns["id"]) for chunk in chunks] == [([1, 2, 3], [1, 2, 3])]


@pytest.mark.newest
def test_a_pattern_finds_files_in_order_also_deeper_ones(file, tmp_path):
    for name, key in (("b/y.csv", 3), ("a/x.csv", 2), ("a.csv", 1)):
        file(name, f"id\n{key}\n")
    assert ids(f"{tmp_path}/**/*.csv") == [1, 2, 3]
    assert ids(f"{tmp_path}/?/[xy].csv") == [2, 3]


@pytest.mark.newest
def test_a_pattern_finds_directories_that_spark_wrote(file, tmp_path):
    file("monday.parquet/part-0.parquet", parquet_of(id=[1]))
    file("monday.parquet/_SUCCESS", "")
    file("tuesday.parquet", parquet_of(id=[2]))
    assert ids(f"{tmp_path}/*.parquet") == [1, 2]
    assert ids(f"{tmp_path}/monday.parquet") == [1]


@pytest.mark.newest
def test_a_file_whose_name_looks_like_a_pattern_is_itself(file):
    path = file("docs[1].csv", "id\n1\n")
    assert ids(path) == [1]


@pytest.mark.newest
def test_a_list_of_paths_keeps_its_order(file):
    later, sooner = file("b.csv", "id\n1\n"), file("a.csv", "id\n2\n")
    assert ids([later, Path(sooner)]) == [1, 2]


@pytest.mark.newest
def test_a_function_may_return_paths(file):
    path = file("a.csv", "id\n1\n")
    assert ids(lambda: path) == [1]


@pytest.mark.newest
def test_all_paths_are_looked_up_before_the_first_row(file, tmp_path):
    with pytest.raises(MilvusSourceError, match=f"there is no {tmp_path}/b.csv"):
        next(read_rows([file("a.csv", "id\n1\n"), tmp_path / "b.csv"], SCHEMA, batch_rows=1))


@pytest.mark.newest
@pytest.mark.parametrize("path", ["nothing/a.csv", "nothing/*.csv", "empty", "empty/*"])
def test_no_file_is_an_error_and_not_an_empty_source(tmp_path, path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(MilvusSourceError, match=r"there is no .*(nothing/|empty)"):
        read(tmp_path / path)


@pytest.mark.newest
def test_a_name_that_does_not_say_what_the_file_holds_is_refused(file, tmp_path):
    with pytest.raises(MilvusInvalidArgumentError, match=r"docs.txt does not end in .parquet, .jsonl"):
        read(file("docs.txt", "id\n1\n"))
    with pytest.raises(MilvusInvalidArgumentError, match=r"docs.txt does not end in"):
        read(f"{tmp_path}/*")


@pytest.mark.newest
def test_directories_in_a_directory_are_not_left_out_silently(file, tmp_path):
    file("a.csv", "id\n1\n")
    file("2024/b.csv", "id\n2\n")
    with pytest.raises(MilvusInvalidArgumentError, match="has directories in it, such as '2024'"):
        read(tmp_path)


# Files that are damaged


@pytest.mark.newest
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.parquet", b"PAR1 this is none", "ArrowInvalid"),
        ("a.parquet", b"", "ArrowInvalid"),
        ("a.parquet.gz", ONE_OF_EACH["docs.parquet"], "BadGzipFile"),
        ("a.csv.gz", b"id\n1\n", "BadGzipFile"),
        ("a.jsonl.gz", gzip.compress(b'{"id": 1}\n' * 100, mtime=0)[:-12], "EOFError"),
        ("a.csv", "id\n1\n".encode("utf-16"), "UTF-16"),
    ],
)
def test_a_damaged_file_is_named_with_the_cause(file, name, content, message):
    path = file(name, content)
    with pytest.raises(MilvusSourceError, match=f"{path} cannot be read: .*{message}"):
        read(path)


@pytest.mark.newest
def test_the_error_for_a_file_that_breaks_off_has_the_last_row_number(file):
    packed = gzip.compress(json.dumps({"id": 1}).encode() + b"\n" + b"{}\n" * 5)
    reading = read_rows([file("a.csv", "id\n1\n2\n"), file("b.jsonl.gz", packed[:-8])], SCHEMA, batch_rows=100)
    with pytest.raises(MilvusSourceError, match=r"b.jsonl.gz cannot be read: EOFError") as caught:
        next(reading)
    assert caught.value.__notes__ == ["The rows had been read up to row 8."]


@pytest.mark.newest
def test_a_line_without_an_end_does_not_fill_the_memory(file, monkeypatch):
    monkeypatch.setattr("airflow_provider_milvus.rows.files.LONGEST_LINE", 1 << 20)
    path = file("a.jsonl", b'{"id": 1}\n' + b"x" * (3 << 20))
    with pytest.raises(MilvusSourceError, match="line 2 is longer than 1 MiB"):
        read(path)


@pytest.mark.newest
def test_no_error_shows_the_credentials_of_a_url():
    class Private(MemoryFileSystem):
        def info(self, path: str, **more: Any) -> dict[str, Any]:
            return {"name": path, "type": "file"}

        def _open(self, path: str, *args: Any, **more: Any) -> Any:
            raise PermissionError(f"403 at https://me:hunter2@host{path}?sig=hunter2")

    path = SimpleNamespace(fs=Private(skip_instance_cache=True), path="/a.csv")
    with pytest.raises(MilvusSourceError, match=r"https://host/a.csv\?…") as caught:
        read(path)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


# JSON Lines


@pytest.mark.newest
def test_a_line_that_is_no_object_is_a_bad_row_with_its_line_number(file):
    lines = [b'{"id": 1}', b"", b"not json", b"  ", b"[1, 2]", b'"text"', b'{"id": 4', b'{"text": "\xff"}', b"", b'{"id": 6}']
    path = file("docs.jsonl", b"\n".join(lines))
    (chunk,) = read(path)
    assert (list(chunk.row_numbers), chunk.columns) == ([1, 7], {"id": [1, 6]})
    reasons = [(row.number, row.reason.partition(":")[0]) for row in chunk.bad]
    assert reasons == [
        (2, "line 3 of docs.jsonl is not JSON"),
        (3, "line 5 of docs.jsonl is not a JSON object"),
        (4, "line 6 of docs.jsonl is not a JSON object"),
        (5, "line 7 of docs.jsonl is not JSON"),
        (6, "line 8 of docs.jsonl is not UTF-8 (at byte 10)"),
    ]
    assert [row.row for row in chunk.bad][:2] == ["not json", "[1, 2]"]
    assert chunk.bad[4].row == '{"text": "\\xff"}'


@pytest.mark.newest
def test_a_unicode_line_separator_does_not_end_a_line(file):
    path = file("docs.jsonl", '\ufeff{"id": 1, "text": "a\u2028b\u0085c"}\n')
    assert rows(path) == [{"id": 1, "text": "a\u2028b\u0085c"}]


@pytest.mark.newest
def test_nan_is_read_so_that_the_check_can_name_it(file):
    (row,) = rows(file("docs.jsonl", '{"price": NaN, "vector": [Infinity, -Infinity, 1e999]}'))
    assert math.isnan(row["price"])
    assert row["vector"] == [math.inf, -math.inf, math.inf]


@pytest.mark.newest
def test_json_that_is_nested_without_end_is_a_bad_row(file):
    assert [problem[:2] for problem in bad(file("docs.jsonl", "[" * 100_000 + "\n"))] == [(1, None)]


@pytest.mark.newest
@pytest.mark.parametrize("name", ["docs.json", "docs.jsonl", "docs.json.gz"])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("wrap", [lambda rows: rows, lambda rows: {"rows": rows}], ids=["list", "rows"])
def test_one_json_document_is_read_row_by_row(file, name, indent, wrap):
    """What a bulk writer writes, and what most others call a JSON file."""
    given = [{"id": 1, "text": 'a]}",\\"b', "meta": {"a": [{}, []]}}, {"id": 2, "text": "é,[{"}, {"id": 3, "vector": [1.5, 2]}]
    text = json.dumps(wrap(given), indent=indent, ensure_ascii=False).encode()
    path = file(name, gzip.compress(text) if name.endswith("gz") else b"\xef\xbb\xbf " + text + b"\n")
    assert rows(path) == given


@pytest.mark.newest
@pytest.mark.parametrize("block", [1, 2, 7])
def test_a_json_document_is_the_same_wherever_a_block_ends(file, monkeypatch, block):
    monkeypatch.setattr("airflow_provider_milvus.rows.json_document._BLOCK", block)
    given = [{"id": key, "text": '\\"]' * key, "meta": {"a": [key]}} for key in range(5)]

    class InBlocks(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(max(block, 12) if self.tell() == 0 else size)

    texts = document_rows(InBlocks(json.dumps({"rows": given}).encode()), 1 << 20)
    assert [json.loads(text) for text in texts] == given


@pytest.mark.newest
@pytest.mark.parametrize("content", ["[]", '{"rows": []}', "[ \n ]\n"])
def test_a_json_document_without_a_row_has_none(file, content):
    assert read(file("docs.json", content)) == []


@pytest.mark.newest
def test_a_row_of_a_json_document_that_cannot_be_read_is_a_bad_row(file):
    path = file("docs.json", '[{"id": 1}, {"id": }, 7, , {"id": 5},]')
    assert ids(path) == [1, 5]
    assert [(number, reason.partition(":")[0]) for number, _, reason in bad(path)] == [
        (2, "row 2 of docs.json is not JSON"),
        (3, "row 3 of docs.json is not a JSON object"),
        (4, "row 4 of docs.json is not JSON"),
        (6, "row 6 of docs.json is not JSON"),
    ]


@pytest.mark.newest
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"id": 1}, {"id": 2', "it breaks off in row 2"),
        ('[{"id": 1}, {"text": "abc', "it breaks off in row 2"),
        ('{"rows": [{"id": 1}]', "it does not end after its list of rows"),
        ('[{"id": 1}] [{"id": 2}]', "it does not end after its list of rows"),
        ('{"rows": [{"id": 1}], "more": 1}', "it does not end after its list of rows"),
    ],
)
def test_a_json_document_that_is_not_whole_is_an_error(file, content, message):
    with pytest.raises(MilvusSourceError, match=message):
        read(file("docs.json", content))


@pytest.mark.newest
def test_a_row_without_an_end_does_not_fill_the_memory(file, monkeypatch):
    monkeypatch.setattr("airflow_provider_milvus.rows.files.LONGEST_LINE", 1 << 20)
    with pytest.raises(MilvusSourceError, match="row 2 is longer than 1 MiB"):
        read(file("docs.json", b'[{"id": 1}, {"text": "' + b"x" * (8 << 20)))


@pytest.mark.newest
def test_an_object_with_a_field_named_rows_is_a_row(file):
    path = file("docs.json", '{"rows": [{"a": 1}], "id": 1}\n')
    key, value = {"name": "id", "type": "INT64", "is_primary": True}, {"name": "rows", "type": "JSON"}
    schema = Schema.of({"fields": [key, value, {"name": "v", "type": "FLOAT_VECTOR", "dim": 1}]})
    (chunk,) = read_rows(path, schema, batch_rows=10)
    assert chunk.row(0) == {"rows": [{"a": 1}], "id": 1}


@pytest.mark.newest
def test_one_object_over_several_lines_is_refused_with_the_forms_that_are_read(file):
    with pytest.raises(MilvusInvalidArgumentError, match=r'docs.json is one JSON object over several lines.*\{"rows"'):
        read(file("docs.json", '\n{\n "id": 1\n}'))


@pytest.mark.newest
def test_a_list_among_the_lines_of_a_json_file_is_a_bad_row(file):
    path = file("docs.json", '{"id": 1}\n[2]\n{"id": 3}\n')
    assert ids(path) == [1, 3]
    assert bad(path) == [(2, None, "line 2 of docs.json is not a JSON object")]


# CSV


@pytest.mark.newest
def test_csv_is_read_as_the_schema_says(file):
    header = "id,text,year,price,flag,meta,tags,words,vector,other"
    line = '7,"say ""hi"",\nyou", 2024 ,-1.5e3,TRUE,"{""a"": [1]}","[""x"", ""y""]","{""12"": 0.5}","[0.25, -1]",5'
    (row,) = rows(file("docs.csv", f"\ufeff{header}\r\n{line}\r\n"))
    assert row == {
        "id": 7,
        "text": 'say "hi",\nyou',
        "year": 2024,
        "price": -1500.0,
        "flag": True,
        "meta": '{"a": [1]}',
        "tags": ["x", "y"],
        "words": {"12": 0.5},
        "vector": [0.25, -1],
        "other": "5",
    }


@pytest.mark.newest
def test_an_empty_value_is_missing_but_an_empty_text_is_a_text(file):
    header = "id,text,year,price,flag,meta,tags,words,vector,other"
    assert rows(file("docs.csv", f"{header}\n1,,,,,,,,,\n")) == [{"id": 1, "text": "", "other": ""}]


@pytest.mark.newest
@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("id", "+12", 12),
        ("id", "12.0", 12),
        ("id", "9007199254740993.0", 9007199254740993),
        ("id", "9223372036854775807", 2**63 - 1),
        ("id", "1.5", 1.5),
        ("id", "1e3", 1000.0),
        ("price", "3", 3.0),
        ("price", " 1e-3 ", 0.001),
        ("price", "inf", math.inf),
        ("flag", "f", False),
        ("flag", "1", True),
        ("vector", "[1, 2", None),
        ("vector", "0.1 0.2", None),
        ("words", "{3: 0.5}", None),
        ("tags", "x", None),
        ("id", "1_000", None),
        ("id", "0x10", None),
        ("id", "twelve", None),
        ("id", "9" * 5000, None),
        ("price", "1,5", None),
        ("price", "1_0.5", None),
        ("flag", "yes", None),
    ],
)
def test_a_csv_value_is_read_or_makes_a_bad_row_with_its_field(file, field, text, value):
    other, read_other = ("text", "7") if field == "id" else ("id", 7)
    path = file("docs.csv", f'{other},{field}\n7,"{text}"\n')
    (chunk,) = read(path)
    if value is not None:
        assert chunk.row(0) == {other: read_other, field: value}
        assert type(chunk.row(0)[field]) is type(value)
        return
    (bad_row,) = chunk.bad
    assert (bad_row.number, bad_row.field, bad_row.row) == (1, field, {other: "7", field: text})
    assert bad_row.reason.startswith("line 2 of docs.csv: ")


@pytest.mark.parametrize("first", ["id;text", "id\ttext", "ID,text", "1,hello"])
def test_a_header_without_a_field_that_each_row_needs_is_shown(file, first):
    """Another separator, other letters, or no header at all: else every row would be bad, or skipped."""
    with pytest.raises(
        MilvusInvalidArgumentError, match=r"the header of docs\.csv has no 'id', which each row needs"
    ) as refused:
        read(file("docs.csv", f"{first}\n2;b\n"))
    assert repr(first) in str(refused.value)


@pytest.mark.newest
@pytest.mark.parametrize("first", ["text;vector", "text\tvector", "text,Vector", "text"])
def test_a_header_is_shown_also_where_the_server_makes_the_keys(file, first):
    key, vector = {"name": "id", "type": "INT64", "is_primary": True, "auto_id": True}, {"type": "FLOAT_VECTOR", "dim": 1}
    schema = Schema.of({"fields": [key, {"name": "vector", **vector}], "enable_dynamic_field": True})
    with pytest.raises(MilvusInvalidArgumentError, match=r"the header of docs\.csv has no 'vector', which each row needs"):
        list(read_rows(file("docs.csv", f"{first}\n2;b\n"), schema, batch_rows=10))


@pytest.mark.newest
def test_csv_lines_that_cannot_be_read_are_bad_rows_with_their_line_numbers(file):
    lines = [
        b"id,text",
        b"1,a",
        b"",
        b"2",
        b"3,c,more",
        b'4,"d\nd"',
        b'5,"e" e',
        b"6,\xff",
        b"seven,g",
        b'8,"\xc3\xa4"',
        b'9,"never closed',
        b"10,j",
    ]
    path = file("docs.csv", b"\n".join(lines))
    (chunk,) = read(path)
    assert (list(chunk.row_numbers), chunk.columns["id"]) == ([1, 4, 8], [1, 4, 8])
    assert chunk.columns["text"] == ["a", "d\nd", "ä"]
    assert bad(path) == [
        (2, None, "line 4 of docs.csv has 1 values; the header has 2 names"),
        (3, None, "line 5 of docs.csv has 3 values; the header has 2 names"),
        (5, None, "line 8 of docs.csv is not CSV: ',' expected after '\"'"),
        (6, None, "line 9 of docs.csv is not UTF-8"),
        (7, "id", "line 10 of docs.csv: 'seven' is not an integer"),
        (9, None, "lines 12 to 13 of docs.csv is not CSV: unexpected end of data"),
    ]
    assert [row.row for row in chunk.bad if row.number in (3, 9)] == ["3,c,more", '9,"never closed\n10,j']


@pytest.mark.newest
def test_a_long_value_is_read(file):
    """The csv module's own limit is 128 Ki, and a vector of 32,768 dimensions takes more."""
    vector = [number / 7 for number in range(32_768)]
    (row,) = rows(file("docs.csv", f'id,vector\n1,"{json.dumps(vector)}"\n'))
    assert row["vector"] == vector


@pytest.mark.newest
@pytest.mark.parametrize(
    ("header", "message"),
    [("id,,text", "column 2 of docs.csv has no name"), ("id,text,id", "header of docs.csv has 'id' twice")],
)
def test_a_header_with_a_missing_or_repeated_name_is_refused(file, header, message):
    with pytest.raises(MilvusInvalidArgumentError, match=message):
        read(file("docs.csv", f"{header}\n1,2,3\n"))


@pytest.mark.newest
def test_each_csv_file_has_its_own_header(file):
    paths = [file("a.csv", "id,text\n1,a\n"), file("b.csv", "text,id\nb,2\n"), file("c.csv", "id\n")]
    assert rows(paths) == [{"id": 1, "text": "a"}, {"id": 2, "text": "b"}]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("s3://my_conn@bucket/x", "s3://my_conn@bucket/x"),
        ("abfs://container@account.dfs.core.windows.net/x", "abfs://container@account.dfs.core.windows.net/x"),
        ("s3://key:secret@bucket/x", "s3://bucket/x"),
        ("https://token@host/x", "https://host/x"),
        ("s3://my_conn@bucket/x?X-Amz-Signature=1", "s3://my_conn@bucket/x?…"),
        ("/data/a@b", "/data/a@b"),
        (Path("/data/x"), "/data/x"),
    ],
)
def test_a_later_task_can_open_a_path_that_a_result_has(path: Any, told: str) -> None:
    assert for_later(path) == told
