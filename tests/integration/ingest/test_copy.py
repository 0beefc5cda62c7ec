"""Copies on real servers: equal, resumed after a kill, transformed, and never the collection itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pymilvus import DataType

from airflow_provider_milvus.exceptions import (
    MilvusBadRowsError,
    MilvusInvalidArgumentError,
    MilvusRefusedError,
    MilvusReplacedError,
    MilvusServerError,
)
from airflow_provider_milvus.ingest import copy as flow
from airflow_provider_milvus.operators.milvus import MilvusCopyCollectionOperator
from tests.integration.ingest.task_state import TaskState, WorkerLostError, a_try
from tests.integration.support import Connect, MakeCollection, Milvus, build_collection

pytestmark = pytest.mark.newest

Copying = Any


@pytest.fixture
def docs(make_collection: MakeCollection) -> str:
    return make_collection("docs", rows=250, load=True)


@pytest.fixture
def copy(milvus: Milvus, docs: str) -> Iterator[Copying]:
    """Copy ``docs``; the copy is dropped afterwards."""
    targets: set[str] = set()

    def run(context: Any = None, **arguments: Any) -> dict[str, Any]:
        asked = {"collection_name": docs, "target_name": f"{docs}_copy", **arguments}
        targets.add(asked["target_name"])
        result: dict[str, Any] = MilvusCopyCollectionOperator(task_id="copy", **asked).execute(context or {})
        return result

    yield run
    with milvus.plain_client() as client:
        for name in targets - {docs}:
            client.drop_collection(name)


def rows_of(milvus: Milvus, name: str) -> list[dict[str, Any]]:
    with milvus.plain_client() as client:
        rows = client.query(name, filter="id >= 0", output_fields=["*"], consistency_level="Strong", limit=10_000)
    return sorted(map(dict, rows), key=lambda row: row["id"])


def test_a_copy_serves_the_same_rows_with_the_same_definition(milvus: Milvus, docs: str, copy: Copying) -> None:
    told = copy()

    name = f"{docs}_copy"
    assert {key: told[key] for key in ("collection", "copied_from", "created", "rows", "written", "loaded")} == {
        "collection": name,
        "copied_from": docs,
        "created": True,
        "rows": 250,
        "written": 250,
        "loaded": True,
    }
    assert "changed" not in told
    assert rows_of(milvus, name) == rows_of(milvus, docs)
    assert "Loaded" in milvus.state_of(name)
    with milvus.plain_client() as client:
        assert client.describe_collection(name)["fields"] == client.describe_collection(docs)["fields"]
        assert [client.describe_index(one, "vector")["index_type"] for one in (docs, name)] == ["FLAT"] * 2


def test_some_rows_and_some_fields(milvus: Milvus, docs: str, copy: Copying) -> None:
    told = copy(filter="id < {end}", filter_params={"end": 7}, output_fields=["vector"], load=False)
    assert (told["rows"], told["loaded"]) == (7, False)
    with milvus.plain_client() as client:
        client.load_collection(told["collection"])
    assert rows_of(milvus, told["collection"]) == rows_of(milvus, docs)[:7]


def test_one_key_of_what_rows_hold_beside_the_schema(milvus: Milvus, copy: Copying) -> None:
    name = "beside"
    with milvus.plain_client() as client:
        client.create_collection(name, dimension=4)
        client.insert(name, [{"id": key, "vector": [0.5] * 4, "color": "red", "size": key} for key in range(9)])
        client.load_collection(name)

    told = copy(collection_name=name, target_name="beside_copy", output_fields=["vector", "color"])

    assert rows_of(milvus, told["collection"]) == [{"id": key, "vector": [0.5] * 4, "color": "red"} for key in range(9)]
    with milvus.plain_client() as client:
        client.drop_collection(name)


def test_rows_stay_in_their_partitions(milvus: Milvus, docs: str, copy: Copying) -> None:
    with milvus.plain_client() as client:
        client.release_collection(docs)
        for name in ("p1", "p2"):
            client.create_partition(docs, name)
        client.insert(docs, [{"id": key, "vector": [0.5] * 8} for key in range(1_000, 1_007)], partition_name="p2")
        client.load_collection(docs)

    told = copy()

    with milvus.plain_client() as client:
        counts = {
            name: client.query(
                told["collection"],
                filter="id >= 0",
                partition_names=[name],
                output_fields=["count(*)"],
                consistency_level="Strong",
            )[0]["count(*)"]
            for name in client.list_partitions(told["collection"])
        }
    assert counts == {"_default": 250, "p1": 0, "p2": 7}
    assert copy(target_name=f"{docs}_part", partition_names="p2")["rows"] == 7
    assert copy(target_name=f"{docs}_parts", partition_names=["p2", "p1", "_default"])["rows"] == 257


def test_a_partition_key_chooses_the_partitions_of_the_copy(milvus: Milvus, docs: str, copy: Copying) -> None:
    fields = [
        {"name": "id", "type": "INT64", "is_primary": True},
        {"name": "tenant", "type": "INT64", "is_partition_key": True},
        {"name": "vector", "type": "FLOAT_VECTOR", "dim": 8},
    ]
    with milvus.plain_client() as client:
        client.release_collection(docs)
        client.create_partition(docs, "p1")
        client.insert(docs, [{"id": key, "vector": [0.5] * 8} for key in range(1_000, 1_007)], partition_name="p1")
        client.load_collection(docs)
    asked = {"transform": lambda rows: ({**row, "tenant": row["id"] % 3} for row in rows), "schema": {"fields": fields}}
    told = copy(**asked, partition_names="_default")
    assert [row["tenant"] for row in rows_of(milvus, told["collection"])] == [key % 3 for key in range(250)]


def test_a_copy_has_as_many_partitions_behind_its_key(milvus: Milvus, docs: str, copy: Copying) -> None:
    name = f"{docs}_by_tenant"
    with milvus.plain_client() as client:
        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("tenant", DataType.INT64, is_partition_key=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=8)
        client.create_collection(name, schema=schema, num_partitions=7)
        index = client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="L2")
        client.create_index(name, index)
        client.insert(name, [{"id": key, "tenant": key % 3, "vector": [0.5] * 8} for key in range(9)])
        client.load_collection(name)

    told = copy(collection_name=name, target_name=f"{name}_copy")
    without = copy(collection_name=name, target_name=f"{name}_flat", output_fields=["vector"])

    with milvus.plain_client() as client:
        partitions = [client.describe_collection(one).get("num_partitions") for one in (name, told["collection"])]
        assert partitions[0] == partitions[1]
        assert milvus.is_lite or partitions[0] == 7
        assert [field["name"] for field in client.describe_collection(without["collection"])["fields"]] == ["id", "vector"]
        client.drop_collection(name)
    assert (told["rows"], without["rows"]) == (9, 9)


def test_a_retry_goes_on_where_the_rows_are_known_to_be_written(
    milvus: Milvus, docs: str, copy: Copying, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "ROWS_AT_ONCE", 50)
    monkeypatch.setattr(flow, "page_rows_of", lambda schema, wanted: 50)
    with pytest.raises(WorkerLostError):
        copy(a_try(state := TaskState(lost_at=4)))
    read: list[int] = []
    rows_as_read = flow.CopyRun._rows
    monkeypatch.setattr(flow.CopyRun, "_rows", lambda run, page: (read.extend(page.keys), rows_as_read(run, page))[1])
    state.lost_at = None

    told = copy(a_try(state))

    assert (told["created"], told["rows"], told["written"]) == (True, 250, 250)
    assert read == list(range(0 if milvus.is_lite else 100, 250))
    assert rows_of(milvus, told["collection"]) == rows_of(milvus, docs)


@pytest.mark.parametrize("milvus", ["standalone"], indirect=True)
@pytest.mark.parametrize("other", [{"filter": "id < 200"}, {"transform": lambda rows: list(rows)}])
def test_a_retry_that_would_copy_other_rows_says_so(
    milvus: Milvus, docs: str, copy: Copying, monkeypatch: pytest.MonkeyPatch, other: dict[str, Any]
) -> None:
    monkeypatch.setattr(flow, "ROWS_AT_ONCE", 50)
    monkeypatch.setattr(flow, "page_rows_of", lambda schema, wanted: 50)
    with pytest.raises(WorkerLostError):
        copy(a_try(state := TaskState(lost_at=4)), transform=lambda rows: [*rows])
    state.lost_at = None

    with pytest.raises(MilvusRefusedError, match=f"an earlier try of this task has copied other .* Drop '{docs}_copy', and"):
        copy(a_try(state), **{"transform": lambda rows: [*rows], **other})
    with milvus.plain_client() as client:
        client.drop_collection(f"{docs}_copy")

    assert copy(a_try(state), **other)["rows"] == (200 if "filter" in other else 250)


def test_a_function_makes_other_rows_of_them(milvus: Milvus, docs: str, copy: Copying) -> None:
    fields = [
        {"name": "id", "type": "INT64", "is_primary": True},
        {"name": "title", "type": "VARCHAR", "max_length": 20},
        {"name": "vector", "type": "FLOAT_VECTOR", "dim": 2},
    ]

    def halved(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        assert all(len(row["vector"]) == 8 for row in rows)
        return [{"id": row["id"], "title": f"row {row['id']}", "vector": row["vector"][:2]} for row in rows]

    told = copy(transform=halved, schema={"fields": fields})

    for before, after in zip(rows_of(milvus, docs), rows_of(milvus, told["collection"]), strict=True):
        assert after == {"id": before["id"], "title": f"row {before['id']}", "vector": before["vector"][:2]}
    with milvus.plain_client() as client:
        assert client.describe_index(told["collection"], "vector")["index_type"] == "FLAT"


def test_a_row_that_the_copy_does_not_take_is_named(docs: str, copy: Copying, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "ROWS_AT_ONCE", 50)
    monkeypatch.setattr(flow, "TRANSFORMED_ROWS", 50)
    wanted = "up to row 100 only: of those after it, counted from 1, row 8, field 'vector': .* Correct transform or schema"
    with pytest.raises(MilvusBadRowsError, match=wanted):
        copy(transform=lambda rows: [{**row, "vector": row["vector"][row["id"] == 107 :]} for row in rows])


def test_two_rows_with_the_same_key_are_no_copy(docs: str, copy: Copying, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "TRANSFORMED_ROWS", 100)
    with pytest.raises(MilvusServerError, match=r"has 100 rows, and 250 were written to it"):
        copy(transform=lambda rows: [{**row, "id": row["id"] % 100} for row in rows])


def test_a_collection_that_is_there_is_left_or_compared(milvus: Milvus, docs: str, copy: Copying) -> None:
    first = copy(filter="id < 10")
    with pytest.raises(MilvusRefusedError, match="it exists"):
        copy()
    assert len(rows_of(milvus, first["collection"])) == 10

    assert copy(if_exists="check", filter="id >= 5")["created"] is False

    assert rows_of(milvus, first["collection"]) == rows_of(milvus, docs)


def test_the_copy_is_never_the_collection_itself(milvus: Milvus, docs: str, copy: Copying) -> None:
    with pytest.raises(MilvusRefusedError, match="the copy would be the collection itself"):
        copy(target_name=docs, if_exists="check")
    with pytest.raises(MilvusInvalidArgumentError, match="they say where the copy is to be"):
        MilvusCopyCollectionOperator(task_id="copy", collection_name=docs)


def test_rows_that_change_meanwhile_are_an_error_or_told(
    milvus: Milvus, docs: str, copy: Copying, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = flow.finish

    def meanwhile(*arguments: Any, **more: Any) -> Any:
        with milvus.plain_client() as client:
            client.delete(docs, filter="id >= 240")
        return finish(*arguments, **more)

    monkeypatch.setattr(flow, "finish", meanwhile)
    told = copy(on_change="report")
    assert told["changed"] == "250 rows before, 240 after, 250 copied"
    with milvus.plain_client() as client:
        client.upsert(docs, [{"id": 240, "vector": [0.5] * 8}])
    with pytest.raises(MilvusRefusedError, match="changed while it was copied: 241 rows before, 240 after, 241 copied"):
        copy(target_name=f"{docs}_second")


def test_a_copy_that_is_dropped_meanwhile_is_no_other_one(
    milvus: Milvus, docs: str, copy: Copying, monkeypatch: pytest.MonkeyPatch
) -> None:
    if milvus.is_lite:
        pytest.skip("Milvus Lite tells no ids")
    write = flow.CopyRun._write

    def meanwhile(run: Any, *arguments: Any) -> None:
        with milvus.plain_client() as client:
            client.drop_collection(f"{docs}_copy")
            build_collection(client, f"{docs}_copy", rows=0, dim=8)
        write(run, *arguments)

    monkeypatch.setattr(flow.CopyRun, "_write", meanwhile)
    with pytest.raises(MilvusReplacedError, match=f"{docs}_copy"):
        copy()
    with milvus.plain_client() as client:
        client.load_collection(f"{docs}_copy")
    assert rows_of(milvus, f"{docs}_copy") == []


@pytest.mark.standalone
def test_to_another_database(standalone: Milvus, make_collection: MakeCollection) -> None:
    name = make_collection("docs", rows=20, load=True, on=standalone)
    with standalone.plain_client() as client:
        client.create_database("elsewhere")
    try:
        told = MilvusCopyCollectionOperator(task_id="copy", collection_name=name, target_database="elsewhere").execute({})
        assert (told["collection"], told["database"], told["rows"]) == (name, "elsewhere", 20)
        with standalone.plain_client(db_name="elsewhere") as client:
            assert client.query(name, output_fields=["count(*)"], consistency_level="Strong")[0]["count(*)"] == 20
            client.drop_collection(name)
    finally:
        with standalone.plain_client() as client:
            client.drop_database("elsewhere")


@pytest.mark.standalone
def test_the_collection_is_known_through_another_connection(
    standalone: Milvus, make_collection: MakeCollection, connect: Connect
) -> None:
    name = make_collection("docs", rows=20, load=True, on=standalone)
    connect(standalone.uri.replace("127.0.0.1", "localhost"), conn_id="milvus_there")
    copy = MilvusCopyCollectionOperator(
        task_id="copy", collection_name=name, target_conn_id="milvus_there", if_exists="check", transform=lambda rows: []
    )
    with pytest.raises(MilvusRefusedError, match="the copy would be the collection itself"):
        copy.execute({})
    assert len(rows_of(standalone, name)) == 20
