"""Insert, upsert and delete as tasks: what the server holds afterwards, and what is refused before anything is sent."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from airflow_provider_milvus.exceptions import (
    MilvusBadRowsError,
    MilvusCollectionNotFoundError,
    MilvusDatabaseNotFoundError,
    MilvusInvalidArgumentError,
    MilvusNotLoadedError,
    MilvusPartitionNotFoundError,
    MilvusRefusedError,
    MilvusSourceError,
    MilvusUnsupportedError,
)
from airflow_provider_milvus.operators.milvus import MilvusDeleteOperator, MilvusInsertOperator, MilvusUpsertOperator
from airflow_provider_milvus.server.filters import render
from dev.servers.scripted import LOADED, ScriptedMilvus, collection_schema
from tests.bad_rows import BAD_ROWS, BadRowCase
from tests.integration.support import Milvus

DIM = 4
WRITES: dict[str, type[MilvusInsertOperator] | type[MilvusUpsertOperator]] = {
    "insert": MilvusInsertOperator,
    "upsert": MilvusUpsertOperator,
}
each_write = pytest.mark.parametrize("kind", WRITES)


@pytest.fixture(scope="module")
def collections() -> Iterator[dict[Any, Milvus]]:
    """The collection of each server's process, created once, since a load takes seconds."""
    made: dict[Any, Milvus] = {}
    yield made
    for milvus in made.values():
        with milvus.plain_client() as client:
            client.drop_alias("rows_alias")
            client.drop_collection("rows")


@pytest.fixture
def docs(milvus: Milvus, collections: dict[Any, Milvus]) -> str:
    """A loaded collection without rows; the alias ``rows_alias`` leads to it."""
    with milvus.plain_client() as client:
        if milvus.process not in collections:
            build(client, "rows")
            client.create_alias("rows", "rows_alias")
            collections[milvus.process] = milvus
        client.delete("rows", filter='id >= ""')
    return "rows"


def build(client: Any, name: str) -> None:
    from pymilvus import DataType

    schema = client.create_schema(enable_dynamic_field=True)
    schema.add_field("id", DataType.VARCHAR, max_length=200, is_primary=True)
    schema.add_field("number", DataType.INT64)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIM)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="L2")
    client.create_collection(name, schema=schema, index_params=index)
    client.create_partition(name, "part")
    client.load_collection(name)


def rows(count: int, start: int = 0, **more: Any) -> list[dict[str, Any]]:
    return [{"id": f"k{number}", "number": number, "vector": [float(number)] * DIM, **more} for number in range(start, count)]


def held(milvus: Milvus, name: str = "rows", partition: str | None = None) -> dict[str, dict[str, Any]]:
    """The rows on the server, by key. A key that is there twice fails the test."""
    partitions = {"partition_names": [partition]} if partition else {}
    with milvus.plain_client() as client:
        rows = client.query(name, 'id >= ""', output_fields=["*"], limit=16_000, consistency_level="Strong", **partitions)
        count = client.query(name, 'id >= ""', output_fields=["count(*)"], consistency_level="Strong", **partitions)
    assert count[0]["count(*)"] == len(rows)
    return {row["id"]: {**row, "vector": list(row["vector"])} for row in rows}


def by_key(*given: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in given}


def write(kind: str, given: Any, name: str = "rows", **more: Any) -> dict[str, Any]:
    operator = WRITES[kind](task_id="t", collection_name=name, rows=given, **{"timeout": 30, **more})
    result = operator.execute({})
    assert json.loads(json.dumps(result)) == result
    return result


def delete(**more: Any) -> dict[str, Any]:
    return MilvusDeleteOperator(task_id="t", **{"collection_name": "rows", "timeout": 30, **more}).execute({})


class TestWrite:
    @each_write
    def test_the_server_holds_the_rows(self, milvus: Milvus, docs: str, kind: str) -> None:
        given_rows = rows(300, colour="red", tags=["a", {"b": 1}])
        before = copy.deepcopy(given_rows)

        result = write(kind, given_rows, batch_rows=70)

        assert held(milvus) == by_key(*before)
        assert given_rows == before
        assert result.pop("seconds") > 0
        assert result.pop("bytes") > 300 * 4 * DIM
        assert result == {
            "collection": "rows",
            "database": "default",
            "rows_read": 300,
            "written": 300,
            "already_there": 0,
            "replaced": 0,
            "refused": 0,
            "batches": 5,
        }

    @each_write
    def test_columns_are_read_under_the_names_of_the_fields(self, milvus: Milvus, docs: str, kind: str) -> None:
        source = {"key": ["a", "b", "c"], "embedding": [[1.0] * DIM] * 3, "rank": [1, 2, 3], "unread": [object()] * 3}
        columns = {"id": "key", "vector": "embedding", "number": "rank", "copy": "rank"}

        result = write(kind, source, columns=columns, batch_rows=2)

        assert (result["rows_read"], result["written"]) == (3, 3)
        expected = zip("abc", range(1, 4), strict=True)
        assert held(milvus) == by_key(
            *({"id": key, "number": rank, "copy": rank, "vector": [1.0] * DIM} for key, rank in expected)
        )

    @each_write
    def test_a_column_that_does_not_exist_writes_nothing(self, milvus: Milvus, docs: str, kind: str) -> None:
        columns = {"id": "key", "vector": "vector", "number": "number"}
        with pytest.raises(MilvusInvalidArgumentError, match="no row has 'key'; the first has 'id', 'number', 'vector'"):
            write(kind, rows(3), columns=columns, on_bad_row="skip")
        assert held(milvus) == {}

    def test_an_upsert_replaces_and_the_last_row_of_a_key_stays(self, milvus: Milvus, docs: str) -> None:
        write("insert", rows(100, colour="old"))
        new = [{**row, "colour": f"new {turn}"} for turn in range(3) for row in rows(60, start=20)]

        result = write("upsert", new, batch_rows=50, max_parallel=4)

        assert held(milvus) == by_key(*rows(100, colour="old"), *rows(60, start=20, colour="new 2"))
        assert result["rows_read"] == 120
        # A chunk leaves out what a later row of the same chunk replaces.
        assert (result["written"], result["replaced"]) == (100, 20)

    @each_write
    def test_no_rows_are_a_success(self, milvus: Milvus, docs: str, kind: str) -> None:
        result = write(kind, [])

        assert (result["rows_read"], result["written"], result["batches"]) == (0, 0, 0)
        assert held(milvus) == {}

    def test_batches_are_no_larger_than_requested(self, milvus: Milvus, docs: str) -> None:
        result = write("upsert", rows(100, text="x" * 1000), batch_bytes=20_000)

        assert result["batches"] >= 6
        assert held(milvus) == by_key(*rows(100, text="x" * 1000))

    def test_through_an_alias_the_collection_is_written_and_named(self, milvus: Milvus, docs: str) -> None:
        result = write("upsert", rows(5), name="rows_alias")

        assert (result["collection"], result["alias"]) == ("rows", "rows_alias")
        assert held(milvus) == by_key(*rows(5))

    @each_write
    def test_a_partition_gets_the_rows(self, milvus: Milvus, docs: str, kind: str) -> None:
        write(kind, rows(5), partition_name="part")

        assert held(milvus, partition="part") == by_key(*rows(5))
        assert held(milvus, partition="_default") == {}

    def test_files_are_read(self, milvus: Milvus, docs: str, tmp_path: Path) -> None:
        for name, some in (("a.jsonl", rows(10)), ("b.jsonl", rows(25, start=10))):
            (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in some))

        result = write("upsert", str(tmp_path / "*.jsonl"), batch_rows=7)

        assert result["rows_read"] == 25
        assert held(milvus) == by_key(*rows(25))

    @each_write
    def test_an_error_names_what_does_not_exist(self, milvus: Milvus, docs: str, kind: str) -> None:
        with pytest.raises(MilvusCollectionNotFoundError, match="nowhere"):
            write(kind, rows(5), name="nowhere")
        with pytest.raises(MilvusPartitionNotFoundError, match="no partition 'nowhere'; it has '_default', 'part'"):
            write(kind, rows(5), partition_name="nowhere")
        with pytest.raises(MilvusDatabaseNotFoundError):
            write(kind, rows(5), database="nowhere")
        with pytest.raises(MilvusSourceError, match=r"nowhere\.parquet"):
            write(kind, "/nowhere.parquet")
        assert held(milvus) == {}


class TestBadRows:
    GOOD, BAD = rows(10), {"id": "bad", "number": 1, "vector": [0.5]}

    def test_by_default_they_fail_the_task_and_no_row_of_their_chunk_is_sent(self, milvus: Milvus, docs: str) -> None:
        with pytest.raises(MilvusBadRowsError) as failed:
            write("upsert", [*rows(25), self.BAD, *rows(40, start=30)], batch_rows=10)

        assert held(milvus) == by_key(*rows(20))
        assert "row 26, field 'vector': " in str(failed.value)
        assert "30 rows read, 20 written, 1 bad" in str(failed.value)

    def test_can_be_skipped(self, milvus: Milvus, docs: str, log_text: Callable[[], str]) -> None:
        result = write("upsert", [*rows(25), self.BAD, *rows(40, start=25)], batch_rows=10, on_bad_row="skip")

        assert held(milvus) == by_key(*rows(40))
        assert (result["rows_read"], result["written"], result["refused"]) == (41, 40, 1)
        assert "row 26, field 'vector'" in log_text()

    def test_can_be_kept_with_their_reasons(self, milvus: Milvus, docs: str, tmp_path: Path) -> None:
        path = tmp_path / "bad.jsonl"

        result = write("upsert", [self.BAD, *rows(25), {"number": 3}], batch_rows=10, on_bad_row=str(path))

        assert held(milvus) == by_key(*rows(25))
        assert result["refused"] == 2
        first, second = [json.loads(line) for line in path.read_text().splitlines()]
        assert (first["row"], first["field"], first["data"]) == (1, "vector", self.BAD)
        assert (second["row"], second["data"]) == (27, {"number": 3})

    def test_a_misspelt_word_is_not_taken_for_a_path(self, milvus: Milvus, docs: str) -> None:
        with pytest.raises(MilvusInvalidArgumentError, match="on_bad_row must be"):
            write("upsert", rows(5), on_bad_row="skpi")

        assert held(milvus) == {}

    @pytest.mark.newest
    @pytest.mark.parametrize("case", BAD_ROWS, ids=lambda case: case.id)
    def test_each_kind_fails_with_its_row_number_before_any_row_of_its_batch_is_sent(
        self, scripted: ScriptedMilvus, case: BadRowCase
    ) -> None:
        collection = scripted.add("rows", LOADED, schema=collection_schema("rows", case.schema))

        with pytest.raises(MilvusBadRowsError) as failed:
            write("upsert" if case.upsert else "insert", case.rows)

        assert f"row {case.number}" in str(failed.value)
        assert case.reason in str(failed.value)
        assert scripted.received("Insert") == scripted.received("Upsert") == []
        assert collection.keys == []


class TestDelete:
    @pytest.fixture(autouse=True)
    def filled(self, milvus: Milvus, docs: str) -> None:
        with milvus.plain_client() as client:
            client.insert("rows", rows(50))

    def test_by_keys_reports_how_many_rows_there_were(self, milvus: Milvus) -> None:
        result = delete(ids=["k3", "k4", "k4", "never there"])

        assert held(milvus) == by_key(*rows(3), *rows(50, start=5))
        assert (result["collection"], result["deleted"]) == ("rows", 2)

    @pytest.mark.parametrize("key", ['"] or true or id in ["', 'k1") or (id != "', "it's", "back\\slash", "日本\n"])
    def test_by_a_hostile_key_only_that_row_goes(self, milvus: Milvus, key: str) -> None:
        with milvus.plain_client() as client:
            client.insert("rows", [{**rows(1)[0], "id": key}])

        result = delete(ids=key)

        assert result["deleted"] == 1
        assert held(milvus) == by_key(*rows(50))

    def test_of_no_keys_deletes_nothing(self, milvus: Milvus) -> None:
        assert delete(ids=[])["deleted"] == 0
        assert held(milvus) == by_key(*rows(50))

    def test_by_filter_reports_how_many_rows_there_were(self, milvus: Milvus) -> None:
        result = delete(
            filter="number >= {low} and number < {high}", filter_params={"low": 10, "high": 20}, collection_name="rows_alias"
        )

        assert held(milvus) == by_key(*rows(10), *rows(50, start=20))
        assert (result["collection"], result["alias"], result["deleted"]) == ("rows", "rows_alias", 10)

    def test_by_a_filter_that_matches_nothing_is_a_success(self, milvus: Milvus) -> None:
        assert delete(filter="number == {it}", filter_params={"it": 99})["deleted"] == 0
        assert held(milvus) == by_key(*rows(50))

    def test_of_every_row_needs_allow_all(self, milvus: Milvus) -> None:
        with pytest.raises(MilvusRefusedError, match="matches all 50 rows of collection 'rows'"):
            delete(filter="number >= 0")
        assert held(milvus) == by_key(*rows(50))

        assert delete(filter="number >= 0", allow_all=True)["deleted"] == 50
        assert held(milvus) == {}

    def test_of_more_rows_than_max_deleted_is_refused(self, milvus: Milvus) -> None:
        more: dict[str, Any]
        for more in ({}, {"allow_all": True}):
            with pytest.raises(MilvusRefusedError, match=r"matches 50 rows of collection 'rows'; max_deleted is 49\."):
                delete(filter="number >= 0", max_deleted=49, **more)
        with pytest.raises(MilvusRefusedError, match=r"matches 1 rows of collection 'rows'; max_deleted is 0\."):
            delete(filter="number == 7", max_deleted=0)
        assert held(milvus) == by_key(*rows(50))

        assert delete(filter="number == 99", max_deleted="0")["deleted"] == 0
        assert delete(filter="number >= 1", max_deleted="any")["deleted"] == 49
        # The last document may go, too.
        assert delete(filter="number == 0", max_deleted=1)["deleted"] == 1
        assert held(milvus) == {}

    @pytest.mark.parametrize("what", [{"filter": "number < 55"}, {"ids": ["k3", "k50"]}], ids=["filter", "ids"])
    def test_in_a_partition_leaves_the_others(self, milvus: Milvus, what: dict[str, Any]) -> None:
        write("insert", rows(60, start=50), partition_name="part")

        if milvus.is_lite:
            with pytest.raises(MilvusUnsupportedError, match="would delete in all partitions"):
                delete(**what, partition_name="part")
            assert held(milvus) == by_key(*rows(60))
        else:
            left = rows(60, start=51 if "ids" in what else 55)
            assert delete(**what, partition_name="part")["deleted"] == 10 - len(left)
            assert held(milvus) == by_key(*rows(50), *left)

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            ({}, "Give either ids or filter"),
            ({"ids": ["k1"], "filter": "number == 1"}, "Give either ids or filter"),
            ({"filter": ""}, "filter is given, but empty"),
            ({"filter": "  "}, "filter is given, but empty"),
            ({"ids": ["k1"], "filter_params": {"a": 1}}, "filter_params"),
            ({"ids": ["k1"], "max_deleted": 1}, "max_deleted is for a filter"),
            ({"filter": "number == 1", "max_deleted": -1}, "max_deleted must be a whole number from 0 on"),
            ({"filter": "number == 1", "max_deleted": None}, "max_deleted is None"),
            ({"ids": [7]}, "'id' is of type VARCHAR.*makes a number of such a text"),
            ({"ids": [None]}, "'id' is of type VARCHAR"),
            ({"filter": "number == {it}"}, "filter_params has no 'it'"),
            ({"filter": "number == {it}", "filter_params": {"it": None}}, "NoneType"),
        ],
    )
    def test_an_ambiguous_request_is_refused(self, milvus: Milvus, arguments: dict[str, Any], reason: str) -> None:
        with pytest.raises(MilvusInvalidArgumentError, match=reason):
            delete(**arguments)

        assert held(milvus) == by_key(*rows(50))


@pytest.mark.standalone
@pytest.mark.newest
def test_rows_that_are_not_loaded_can_be_deleted_by_key_but_not_be_counted(
    standalone: Milvus, make_collection: Callable[..., str]
) -> None:
    name = make_collection(rows=20, load=False)

    assert delete(collection_name=name, ids=[3, "4"])["deleted"] == "unknown"
    with pytest.raises(MilvusNotLoadedError, match="Load it first"):
        delete(collection_name=name, filter="id < 10")

    with standalone.plain_client() as client:
        client.load_collection(name)
        rows = client.query(name, "id >= 0", output_fields=["id"], limit=100, consistency_level="Strong")
    assert {row["id"] for row in rows} == set(range(20)) - {3, 4}


@pytest.mark.newest
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(texts=st.lists(st.text(max_size=40), min_size=1, max_size=20, unique=True))
def test_a_filter_finds_the_text_it_was_given_and_nothing_else(milvus: Milvus, docs: str, texts: list[str]) -> None:
    with milvus.plain_client() as client:
        client.upsert("rows", [{**rows(1)[0], "id": f"k{at}", "text": text} for at, text in enumerate(texts)])

        def matching(filter: str, consistency: str = "Eventually", **params: Any) -> set[str]:
            condition = render(f"id in {{ids}} and {filter}", {"ids": [f"k{at}" for at in range(len(texts))], **params})
            answer = client.query("rows", condition, output_fields=["id"], consistency_level=consistency)
            return {row["id"] for row in answer}

        everything = {f"k{at}" for at in range(len(texts))}
        assert matching("text in {texts}", "Strong", texts=texts) == everything
        for at, text in enumerate(texts):
            assert matching("text == {text}", text=text) == {f"k{at}"}
            assert matching("text != {text}", text=text) == everything - {f"k{at}"}


def test_an_upsert_where_the_server_makes_the_keys_is_refused(scripted: ScriptedMilvus):
    """From Milvus 2.4 on it would give the rows new keys, and a retry would double them."""
    key = {"name": "id", "type": "INT64", "is_primary": True, "auto_id": True}
    schema = {"fields": [key, {"name": "v", "type": "FLOAT_VECTOR", "dim": 2}]}
    scripted.add("docs", LOADED, schema=collection_schema("docs", schema))
    with pytest.raises(MilvusUnsupportedError, match=r"'docs' was not written to: .*auto_id"):
        MilvusUpsertOperator(task_id="write", collection_name="docs", rows=[{"id": 7, "v": [0.1, 0.2]}]).execute({})
    assert scripted.received("Upsert") == []
