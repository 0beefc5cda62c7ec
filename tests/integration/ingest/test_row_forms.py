"""Rows of every type, checked and encoded by the provider, come back from a server unchanged."""

from __future__ import annotations

import json
import math
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest

from airflow_provider_milvus.client.flow import Deadline, Rpc
from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.operators.milvus import MilvusExportOperator, MilvusQueryOperator, MilvusUpsertOperator
from airflow_provider_milvus.rows.batches import batches
from airflow_provider_milvus.rows.check import check
from airflow_provider_milvus.rows.chunk import Chunk
from airflow_provider_milvus.rows.source import read_rows
from airflow_provider_milvus.schema.model import Schema
from airflow_provider_milvus.schema.types import DATA_TYPES
from tests.bad_rows import GOOD, KEY, VECTOR, chunk_of
from tests.integration.support import Milvus

pytestmark = pytest.mark.newest


class Collection:
    """A collection created by plain pymilvus, loaded and empty."""

    def __init__(self, server: Milvus, schema: dict[str, Any]) -> None:
        self.name = f"forms_{uuid.uuid4().hex[:8]}"
        self._server = server
        with server.plain_client() as client:
            self._create(client, schema)
        with MilvusHook().client() as bounded:
            described = bounded.run(_ask("DescribeCollection", collection_name=self.name), Deadline(30))
        self.schema = Schema.of_described(described)

    def _create(self, client: Any, schema: dict[str, Any]) -> None:
        made = client.create_schema(enable_dynamic_field=schema.get("enable_dynamic_field", False))
        indexes = client.prepare_index_params()
        for field in schema["fields"]:
            settings = {key: value for key, value in field.items() if key not in ("name", "type", "params")}
            if "element_type" in settings:
                settings["element_type"] = DATA_TYPES[settings["element_type"]].number
            made.add_field(field["name"], DATA_TYPES[field["type"]].number, **settings, **field.get("params", {}))
            if field["type"].endswith("VECTOR"):
                index, metric = _INDEXES.get(field["type"], ("FLAT", "L2"))
                indexes.add_index(field["name"], index_type=index, metric_type="BM25" if schema.get("functions") else metric)
        for function in schema.get("functions", ()):
            made.add_function(_function(function))
        client.create_collection(self.name, schema=made, consistency_level="Strong")
        client.create_index(self.name, indexes, sync=False)
        client.load_collection(self.name)

    def write(self, chunk: Chunk, *, upsert: bool = False, max_bytes: int = 1 << 20) -> list[int]:
        """Write the rows and return the number of rows in each call."""
        done = check(chunk, self.schema, upsert=upsert)
        assert not done.bad
        sizes = []
        with MilvusHook().client() as client:
            for batch in batches(done, self.schema, max_bytes=max_bytes):
                call = _ask(
                    "Upsert" if upsert else "Insert",
                    collection_name=self.name,
                    fields_data=batch.fields_data,
                    num_rows=len(batch),
                )
                answer = client.run(call, Deadline(30))
                assert (answer.upsert_cnt if upsert else answer.insert_cnt) == len(batch)
                sizes.append(len(batch))
        return sizes

    def rows(self) -> list[dict[str, Any]]:
        """The rows on the server, in the order of their keys."""
        with self._server.plain_client() as client:
            rows = client.query(self.name, filter="id >= -100", output_fields=["*"], consistency_level="Strong")
            theirs = sorted((dict(row) for row in rows), key=lambda row: int(row["id"]))
        ours = self._read()
        assert self._encoded(ours) == self._encoded(theirs)
        for file_type in ("parquet", "jsonl"):
            assert self._exported(file_type) == self._encoded(theirs)
        return theirs

    def _read(self) -> list[dict[str, Any]]:
        """The same rows, as the provider reads them."""
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "rows.jsonl"
            MilvusQueryOperator(
                task_id="query",
                collection_name=self.name,
                output_fields="*",
                limit="all",
                consistency_level="Strong",
                output_path=str(path),
            ).execute({})
            return [json.loads(line) for line in path.read_text().splitlines()]

    def _exported(self, file_type: str) -> list[bytes]:
        """The same rows, exported and read as the source of an ingest."""
        with tempfile.TemporaryDirectory() as directory:
            names = [field.name for field in self.schema.fields if not field.auto_id and field.name not in self.schema.computed]
            names += ["$meta"] if self.schema.enable_dynamic_field else []
            MilvusExportOperator(
                task_id="export", collection_name=self.name, path=directory, file_type=file_type, output_fields=names
            ).execute({})
            (chunk,) = read_rows(f"{directory}/*.{file_type}", self.schema, batch_rows=10_000)
            return self._on_the_wire(chunk)

    def _encoded(self, rows: list[dict[str, Any]]) -> list[bytes]:
        """Rows that were read, as an ingest would send them."""
        theirs = {*self.schema.computed, *(field.name for field in self.schema.fields if field.auto_id)}
        written = [{name: _unpacked(value) for name, value in row.items() if name not in theirs} for row in rows]
        return self._on_the_wire(chunk_of(written))

    def _on_the_wire(self, chunk: Chunk) -> list[bytes]:
        done = check(chunk, self.schema, upsert=False)
        assert not done.bad
        return [
            message.SerializeToString()
            for batch in batches(done, self.schema, max_bytes=1 << 26)
            for message in batch.fields_data
        ]

    def drop(self) -> None:
        with self._server.plain_client() as client:
            client.drop_collection(self.name)


def _unpacked(value: Any) -> Any:
    """pymilvus has a vector of bytes as a list with these bytes."""
    return value[0] if isinstance(value, list) and [type(item) for item in value] == [bytes] else value


_INDEXES = {"BINARY_VECTOR": ("BIN_FLAT", "HAMMING"), "SPARSE_FLOAT_VECTOR": ("SPARSE_INVERTED_INDEX", "IP")}


def _function(definition: dict[str, Any]) -> Any:
    from pymilvus import Function, FunctionType

    inputs, outputs = definition["input_field_names"], definition["output_field_names"]
    return Function(definition["name"], FunctionType[definition["type"]], input_field_names=inputs, output_field_names=outputs)


def _ask(name: str, **fields: Any) -> Any:
    return (yield Rpc(name, fields, repeatable=False))


@pytest.fixture
def collection(request: pytest.FixtureRequest) -> Iterator[Callable[[dict[str, Any]], Collection]]:
    made: list[Collection] = []

    def make(schema: dict[str, Any]) -> Collection:
        server = next(name for name in ("milvus", "standalone", "lite") if name in request.fixturenames)
        made.append(Collection(request.getfixturevalue(server), schema))
        return made[-1]

    yield make
    for collection in made:
        collection.drop()


def array_of(name: str, element: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": "ARRAY", "element_type": element, "max_capacity": 4, **more}


SCALARS = {
    "fields": [
        KEY,
        VECTOR,
        {"name": "bool", "type": "BOOL"},
        {"name": "int8", "type": "INT8"},
        {"name": "int16", "type": "INT16"},
        {"name": "int32", "type": "INT32"},
        {"name": "float", "type": "FLOAT"},
        {"name": "double", "type": "DOUBLE"},
        {"name": "text", "type": "VARCHAR", "max_length": 8},
        {"name": "json", "type": "JSON"},
        {"name": "filled", "type": "INT64", "default_value": 9},
        {"name": "word", "type": "VARCHAR", "max_length": 8, "default_value": "none"},
        array_of("bools", "BOOL"),
        array_of("bytes", "INT8"),
        array_of("longs", "INT64"),
        array_of("floats", "FLOAT"),
        array_of("doubles", "DOUBLE"),
        array_of("texts", "VARCHAR", max_length=4),
    ],
    "enable_dynamic_field": True,
}

LOWEST = {
    "id": -1,
    "vector": [-1.0, 0.0, 1e-30, -0.5],
    "bool": False,
    "int8": -128,
    "int16": -(2**15),
    "int32": -(2**31),
    "float": -1.5,
    "double": -0.1,
    "text": "",
    "json": {},
    "filled": -(2**63),
    "word": "",
    "bools": [],
    "bytes": [],
    "longs": [],
    "floats": [],
    "doubles": [],
    "texts": [],
}
HIGHEST = {
    "id": 2**62,
    "vector": [1e30, 0.25, 0.5, 1.0],
    "bool": True,
    "int8": 127,
    "int16": 2**15 - 1,
    "int32": 2**31 - 1,
    "float": 0.5,
    "double": 1e300,
    "text": "é" * 4,
    "json": {"é": [1, 0.5, None, {"deep": True}], "text": 'a"b'},
    "filled": 2**63 - 1,
    "word": "words",
    "bools": [True, False],
    "bytes": [-128, 127],
    "longs": [2**62, -1],
    "floats": [0.5, -1.5],
    "doubles": [0.1],
    "texts": ["éé", "", "ab"],
}


def as_float32(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "vector": numpy.array(row["vector"], "float32").tolist()}


def test_scalars_arrays_defaults_and_dynamic_values_come_back_as_they_were_given(milvus: Milvus, collection):
    made = collection(SCALARS)
    without_defaults = {key: value for key, value in HIGHEST.items() if key not in ("filled", "word")} | {"id": 7, "word": None}
    rows: list[dict[str, Any]] = [
        {**LOWEST, "more": {"a": [1, 2]}},
        {**HIGHEST, "color": "red", "weight": 0.5},
        without_defaults,
    ]
    assert made.write(chunk_of(rows)) == [3]
    expected = [rows[0], {**without_defaults, "filled": 9, "word": "none"}, rows[1]]
    assert [as_float32(row) for row in made.rows()] == [as_float32(row) for row in expected]


def test_many_batches_of_a_table_hold_the_whole_of_it(milvus: Milvus, collection):
    made = collection({"fields": [KEY, {**VECTOR, "dim": 64}, {"name": "text", "type": "VARCHAR", "max_length": 50}]})
    vectors = numpy.random.default_rng(0).standard_normal((1000, 64))
    texts = [f"é{number}" for number in range(1000)]
    chunk = Chunk(range(1, 1001), {"id": numpy.arange(1000, dtype="int32"), "vector": vectors, "text": texts})
    assert len(made.write(chunk, max_bytes=50_000)) > 3
    rows = made.rows()
    assert [row["text"] for row in rows] == texts
    assert numpy.array_equal(numpy.array([row["vector"] for row in rows], "float32"), vectors.astype("float32"))


def test_of_an_upsert_the_last_row_with_a_key_is_what_the_server_has(milvus: Milvus, collection):
    """Of two rows with one key, 2.3.5 keeps the first, counts both, and leaves other rows out of the answer to a query."""
    made = collection({"fields": [KEY, VECTOR]})
    made.write(chunk_of([{"id": 1, "vector": GOOD}]))
    values = [(1, 1.0), (2, 2.0), (1, 3.0), (3, 4.0), (1, 5.0)]
    made.write(chunk_of([{"id": key, "vector": [value] * 4} for key, value in values]), upsert=True)
    assert [(row["id"], row["vector"][0]) for row in made.rows()] == [(1, 5.0), (2, 2.0), (3, 4.0)]


@pytest.mark.standalone
def test_binary_vectors_come_back(standalone: Milvus, collection):
    made = collection({"fields": [KEY, {"name": "x", "type": "BINARY_VECTOR", "dim": 16}]})
    made.write(chunk_of([{"id": 0, "x": b"\x01\xff"}, {"id": 1, "x": [2, 3]}, {"id": 2, "x": numpy.array([4, 5], "uint8")}]))
    assert [row["x"] for row in made.rows()] == [[b"\x01\xff"], [b"\x02\x03"], [b"\x04\x05"]]


@pytest.mark.standalone
def test_half_precision_vectors_come_back(standalone: Milvus, collection):
    """One call only: the whole server 2.3.5 ends when a second call comes before it has stored the first."""
    made = collection({"fields": [KEY, {"name": "x", "type": "FLOAT16_VECTOR", "dim": 2}]})
    given = [[1.0, -2.5], numpy.array([0.1, 65504], "float32"), numpy.array([3, 4], "float16")]
    made.write(chunk_of([{"id": at, "x": value} for at, value in enumerate(given)]))
    expected = [numpy.array(vector, "float16").tobytes() for vector in given]
    assert [bytes(row["x"][0]) for row in made.rows()] == expected


def test_sparse_vectors_come_back(lite: Milvus, collection):
    made = collection({"fields": [KEY, {"name": "x", "type": "SPARSE_FLOAT_VECTOR"}]})
    given = [{7: 1.0, 1: 0.5}, [(2**32 - 2, 0.25), (0, 2.0)], {"indices": [5, 3], "values": [0.5, 0.25]}, {"9": 1.5}]
    made.write(chunk_of([{"id": at, "x": value} for at, value in enumerate(given)]))
    assert [row["x"] for row in made.rows()] == [{1: 0.5, 7: 1.0}, {0: 2.0, 2**32 - 2: 0.25}, {3: 0.25, 5: 0.5}, {9: 1.5}]


def test_nulls_come_back_as_none(lite: Milvus, collection):
    fields = [{**field, "nullable": True} for field in SCALARS["fields"][2:] if "default_value" not in field]  # type: ignore[index]
    made = collection({"fields": [KEY, VECTOR, *fields]})
    nothing = {field["name"]: None for field in fields}
    full = {key: value for key, value in HIGHEST.items() if key not in ("filled", "word")}
    rows: list[dict[str, Any]] = [
        {**full, "id": 0},
        {"id": 1, "vector": GOOD, **nothing},
        {"id": 2, "vector": GOOD},
        {**full, "id": 3},
    ]
    made.write(chunk_of(rows))
    held = made.rows()
    assert [as_float32(row) for row in held] == [as_float32({**nothing, **row}) for row in rows]
    made.write(chunk_of([{"id": 4, "vector": GOOD}]))  # A call in which all of a field is null.
    assert as_float32(made.rows()[4]) == as_float32({**nothing, "id": 4, "vector": GOOD})


def test_geometries_and_moments_come_back(lite: Milvus, collection):
    made = collection({"fields": [KEY, VECTOR, {"name": "place", "type": "GEOMETRY"}, {"name": "at", "type": "TIMESTAMPTZ"}]})
    made.write(chunk_of([{"id": 0, "vector": GOOD, "place": "POINT (1 2)", "at": "2026-03-10T00:00:00Z"}]))
    (row,) = made.rows()
    assert row["place"].replace(" ", "") == "POINT(12)"
    assert row["at"].startswith("2026-03-10T00:00:00")


def test_a_computed_field_is_left_to_the_server(lite: Milvus, collection):
    text = {"name": "text", "type": "VARCHAR", "max_length": 100, "params": {"enable_analyzer": True}}
    function = {"name": "bm25", "type": "BM25", "input_field_names": ["text"], "output_field_names": ["words"]}
    fields = [KEY, text, {"name": "words", "type": "SPARSE_FLOAT_VECTOR"}]
    made = collection({"fields": fields, "functions": [function]})
    made.write(chunk_of([{"id": 0, "text": "red apples"}, {"id": 1, "text": "green pears"}]))
    with lite.plain_client() as client:
        (hits,) = client.search(made.name, data=["pears"], anns_field="words", limit=1)
    assert [hit["id"] for hit in hits] == [1]


def test_the_server_generates_keys(milvus: Milvus, collection):
    made = collection({"fields": [{**KEY, "auto_id": True}, VECTOR]})
    made.write(chunk_of([{"vector": GOOD}, {"vector": GOOD}]))
    assert len({row["id"] for row in made.rows()}) == 2


def test_a_server_takes_a_nan_that_no_filter_finds_again(milvus: Milvus, collection):
    """This is why the check refuses NaN."""
    made = collection({"fields": [KEY, VECTOR, {"name": "x", "type": "DOUBLE"}]})
    row = {"id": 0, "vector": GOOD, "x": math.nan}
    assert [(row.field, row.number) for row in check(chunk_of([row]), made.schema).bad] == [("x", 1)]
    with milvus.plain_client() as client:
        client.insert(made.name, [row, {**row, "id": 1, "x": 1.0}])
        rows = client.query(made.name, filter="x < 0 or x >= 0", output_fields=["id"], consistency_level="Strong")
    assert [row["id"] for row in rows] == [1]


@pytest.mark.parametrize("servers", ["lite", pytest.param("standalone", marks=pytest.mark.standalone)])
@pytest.mark.parametrize("odd", [5, 1.5, True, [1], '"plain text"', "null"], ids=str)
def test_json_that_is_no_object_is_a_bad_row_where_the_server_cannot_keep_it(
    request: pytest.FixtureRequest, servers: str, odd: Any
) -> None:
    """2.3.5 would refuse the whole call; Lite would take a text, and return the row in no query any more."""
    collection = Collection(request.getfixturevalue(servers), {"fields": [KEY, VECTOR, {"name": "j", "type": "JSON"}]})
    given = [{"id": key, "vector": GOOD, "j": {"k": key}} for key in range(5)]
    given[3]["j"] = odd
    upsert = MilvusUpsertOperator(task_id="u", collection_name=collection.name, rows=given, on_bad_row="skip")
    assert upsert.execute({})["written"] == 4
    assert [row["id"] for row in collection.rows()] == [0, 1, 2, 4]
    collection.drop()


@pytest.mark.parametrize("empty", [{}, {7: 0.0}], ids=["no entry", "only zeros"])
def test_a_sparse_vector_without_an_entry_is_a_bad_row_on_lite(lite: Milvus, empty: dict[int, float]) -> None:
    collection = Collection(lite, {"fields": [KEY, {"name": "words", "type": "SPARSE_FLOAT_VECTOR"}]})
    given = [{"id": 1, "words": {1: 0.5}}, {"id": 2, "words": empty}]
    upsert = MilvusUpsertOperator(task_id="u", collection_name=collection.name, rows=given, on_bad_row="skip")
    assert upsert.execute({})["written"] == 1
    assert [row["id"] for row in collection.rows()] == [1]
    collection.drop()
