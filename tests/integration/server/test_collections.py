"""Creating, comparing, replacing and dropping collections on real servers; the truth is asked with a plain client."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_milvus.exceptions import (
    MilvusCollectionNotFoundError,
    MilvusDatabaseNotFoundError,
    MilvusError,
    MilvusRefusedError,
    MilvusSchemaDriftError,
    MilvusServerError,
    MilvusTimeoutError,
    MilvusUnavailableError,
    MilvusUnsupportedError,
)
from airflow_provider_milvus.operators.milvus import MilvusCreateCollectionOperator, MilvusDropCollectionOperator
from airflow_provider_milvus.sensors.milvus import MilvusCollectionSensor
from dev.servers.scripted import ScriptedMilvus, abort, lost, unanswered
from tests.integration.ingest.task_state import TaskState, a_try
from tests.integration.support import Milvus, finish

SCHEMA: dict[str, Any] = {
    "fields": [
        {"name": "id", "type": "INT64", "is_primary": True},
        {"name": "vector", "type": "FLOAT_VECTOR", "dim": 8},
    ]
}
FLAT = {"field_name": "vector", "index_type": "FLAT", "metric_type": "L2"}

RICH: dict[str, Any] = {
    "fields": [
        {"name": "id", "type": "VARCHAR", "max_length": 64, "is_primary": True, "description": "key"},
        {"name": "tenant", "type": "INT64", "is_partition_key": True},
        *[{"name": f"a_{kind.lower()}", "type": kind} for kind in ("BOOL", "INT8", "INT16", "INT32", "DOUBLE", "JSON")],
        {"name": "price", "type": "FLOAT", "default_value": 0.1},
        {"name": "small", "type": "INT8", "default_value": -3},
        {"name": "word", "type": "VARCHAR", "max_length": 9, "default_value": "none"},
        {"name": "tags", "type": "ARRAY", "element_type": "VARCHAR", "max_capacity": 5, "max_length": 20},
        {"name": "scores", "type": "ARRAY", "element_type": "DOUBLE", "max_capacity": 5},
        {"name": "vector", "type": "FLOAT_VECTOR", "dim": 8, "params": {"mmap_enabled": True}},
    ],
    "enable_dynamic_field": True,
    "description": "all there is",
}
RICH_ARGUMENTS: dict[str, Any] = {
    "schema": RICH,
    "indexes": [{**FLAT, "index_type": "HNSW", "metric_type": "cosine", "index_params": {"M": 16, "efConstruction": 64}}],
    "properties": {"collection.ttl.seconds": 86400, "mmap.enabled": True},
    "num_shards": 2,
    "num_partitions": 16,
    "consistency_level": "Session",
}


@pytest.fixture
def fresh(request: pytest.FixtureRequest) -> Iterator[Callable[[str], str]]:
    """A name that no collection has; what is made under it is dropped afterwards."""
    given: list[str] = []

    def name(stem: str = "made") -> str:
        given.append(f"{stem}_{uuid.uuid4().hex[:8]}")
        return given[-1]

    yield name
    server = next(request.getfixturevalue(name) for name in ("milvus", "standalone", "lite") if name in request.fixturenames)
    with server.plain_client() as client:
        for name in given:
            if client.has_collection(name):
                client.drop_collection(name)


def create(name: str, *, context: Any = None, **arguments: Any) -> dict[str, Any]:
    given = arguments if "dimension" in arguments else {"schema": SCHEMA, **arguments}
    operator = MilvusCreateCollectionOperator(task_id="create", collection_name=name, **given)
    result: dict[str, Any] = operator.execute(context or {})
    return result


def drop(name: str, *, context: Any = None, **arguments: Any) -> dict[str, Any]:
    operator = MilvusDropCollectionOperator(task_id="drop", collection_name=name, **arguments)
    result: dict[str, Any] = operator.execute(context or {})
    return result


def unknown_index(server: Milvus) -> dict[str, str]:
    """Milvus Lite takes any word for the index of a vector."""
    if server.is_lite:
        return {"field_name": "id", "index_type": "STL_SORT"}
    return {"field_name": "vector", "index_type": "NO_SUCH_INDEX", "metric_type": "L2"}


def identity(client: Any, name: str) -> int:
    """Which collection it is, and not only what it is called: its number, or, on Lite, which has none, its rows."""
    return int(client.describe_collection(name)["collection_id"] or client.get_collection_stats(name)["row_count"])


def insert(client: Any, name: str) -> None:
    client.insert(name, [{"id": number, "vector": [float(number)] * 8} for number in range(10)])


class TestCreate:
    def test_makes_what_was_asked_for(self, milvus: Milvus, fresh: Callable[..., str]) -> None:
        name = fresh()

        result = create(name, **RICH_ARGUMENTS)

        with milvus.plain_client() as client:
            description = client.describe_collection(name)
            assert [field["name"] for field in description["fields"]] == [field["name"] for field in RICH["fields"]]
            assert description["enable_dynamic_field"] is True
            assert description["properties"]["collection.ttl.seconds"] == "86400"
            described = {field["name"]: field for field in description["fields"]}
            assert described["id"]["params"] == {"max_length": 64}
            assert described["vector"]["params"]["dim"] == 8
            assert described["tags"]["params"]["max_capacity"] == 5
            assert described["tenant"]["is_partition_key"] is True
            if not milvus.is_lite:
                assert (description["description"], description["num_shards"], description["num_partitions"]) == (
                    "all there is",
                    2,
                    16,
                )
                session = 1  # Milvus's number of it; pymilvus 2 does not tell the name.
                assert (description["consistency_level"], described["id"]["description"]) == (session, "key")
            index = client.describe_index(name, "vector")
        assert (index["index_type"], index["metric_type"]) == ("HNSW", "COSINE")
        params = index["params"] if isinstance(index["params"], dict) else json.loads(index["params"])
        assert params == {"M": 16, "efConstruction": 64}
        assert result.pop("seconds") < 30
        assert result == {
            "collection": name,
            "database": "default",
            "created": True,
            "replaced": False,
            "indexes": [
                {
                    "field_name": "vector",
                    "index_type": "HNSW",
                    "metric_type": "COSINE",
                    "index_name": "vector",
                    "index_params": {"M": 16, "efConstruction": 64},
                }
            ],
            "indexes_created": ["vector"],
        }

    def test_a_default_value_reaches_the_rows(self, milvus: Milvus, fresh: Callable[..., str]) -> None:
        name = fresh()
        create(name, **RICH_ARGUMENTS)

        with milvus.plain_client() as client:
            row = {field["name"]: 0 for field in RICH["fields"] if "default_value" not in field}
            row |= {"id": "a", "a_bool": True, "a_json": {}, "tags": ["x"], "scores": [0.5], "vector": [1.0] * 8}
            client.insert(name, [row])
            client.load_collection(name)
            fields = ["price", "small", "word"]
            (row,) = client.query(name, filter="id == 'a'", output_fields=fields, consistency_level="Strong")
        assert row["price"] == pytest.approx(0.1)
        assert (row["small"], row["word"]) == (-3, "none")

    def test_of_a_dimension_is_what_pymilvus_makes_of_one(self, milvus: Milvus, fresh: Callable[..., str]) -> None:
        ours, theirs = fresh(), fresh()
        with milvus.plain_client() as client:
            client.create_collection(theirs, dimension=8)
            created = create(ours, dimension="8")
            described = [client.describe_collection(name) for name in (ours, theirs)]
            indexes = [client.describe_index(name, "vector") for name in (ours, theirs)]
        # Ours differs from theirs in nothing, and theirs from ours.
        assert create(theirs, dimension=8, if_exists="check")["indexes_created"] == []
        same = ("auto_id", "consistency_level", "enable_dynamic_field", "fields", "num_partitions", "num_shards")
        assert [described[0].get(key) for key in same] == [described[1].get(key) for key in same]
        same = ("field_name", "index_name", "index_type", "metric_type")
        assert [indexes[0][key] for key in same] == [indexes[1][key] for key in same]
        assert created["indexes_created"] == ["vector"]
        # Lite has a collection in memory from its first moment on.
        assert milvus.state_of(ours) == ("Loaded" if milvus.is_lite else "NotLoad")
        assert [(it["index_type"], it["metric_type"]) for it in created["indexes"]] == [("AUTOINDEX", "COSINE")]

    def test_of_a_dimension_takes_other_indexes(self, milvus: Milvus, fresh: Callable[..., str]) -> None:
        created = create(fresh(), dimension=8, indexes=[FLAT])
        assert [(it["index_type"], it["metric_type"]) for it in created["indexes"]] == [("FLAT", "L2")]

    def test_the_same_definition_shows_no_drift(self, milvus: Milvus, fresh: Callable[..., str]) -> None:
        name = fresh()
        create(name, **RICH_ARGUMENTS)

        result = create(name, if_exists="check", **RICH_ARGUMENTS)

        assert (result["created"], result["indexes_created"]) == (False, [])

    def test_what_pymilvus_made_of_the_same_shows_no_drift(self, milvus: Milvus, fresh: Callable[..., str]) -> None:
        from pymilvus import DataType

        name = fresh()
        with milvus.plain_client() as client:
            schema = client.create_schema(enable_dynamic_field=True)
            schema.add_field("id", DataType.INT64, is_primary=True)
            schema.add_field("vector", DataType.FLOAT_VECTOR, dim=8, mmap_enabled=True)
            client.create_collection(name, schema=schema, properties={"mmap.enabled": True})
            index = client.prepare_index_params("vector", index_type="IVF_FLAT", metric_type="L2", params={"nlist": 16})
            client.create_index(name, index)

        result = create(
            name,
            schema={
                "fields": [SCHEMA["fields"][0], {**SCHEMA["fields"][1], "params": {"mmap_enabled": True}}],
                "enable_dynamic_field": True,
            },
            indexes=[{**FLAT, "index_type": "IVF_FLAT", "index_params": {"nlist": 16}}],
            properties={"mmap.enabled": True},
            consistency_level="Bounded",
            if_exists="check",
        )

        assert (result["created"], result["indexes_created"]) == (False, [])

    def test_drift_is_named_and_nothing_is_changed(self, milvus: Milvus, fresh: Callable[..., str]) -> None:
        name = fresh()
        create(name, indexes=[FLAT])
        schema = {
            "fields": [
                SCHEMA["fields"][0],
                {**SCHEMA["fields"][1], "dim": 16},
                {"name": "text", "type": "VARCHAR", "max_length": 100},
            ],
            "enable_dynamic_field": True,
        }

        with pytest.raises(MilvusSchemaDriftError) as drifted:
            create(
                name,
                schema=schema,
                indexes=[{**FLAT, "metric_type": "IP"}],
                properties={"collection.ttl.seconds": 60},
                if_exists="check",
            )

        for difference in (
            "field 'vector': dim is 8, not 16",
            "field 'text' (VARCHAR) is missing",
            "enable_dynamic_field is False, not True",
            "property: collection.ttl.seconds is not set, not 60",
            "index 'vector' of field 'vector': metric_type is L2, not IP",
        ):
            assert difference in str(drifted.value)
        with milvus.plain_client() as client:
            assert "collection.ttl.seconds" not in client.describe_collection(name).get("properties", {})
            assert client.describe_index(name, "vector")["metric_type"] == "L2"

    def test_check_creates_a_missing_index(self, milvus: Milvus, fresh: Callable[..., str]) -> None:
        name = fresh()
        create(name)

        result = create(name, indexes=[FLAT], if_exists="check")

        assert (result["created"], result["indexes_created"]) == (False, ["vector"])
        with milvus.plain_client() as client:
            assert client.list_indexes(name) == ["vector"]

    def test_what_exists_is_refused_or_left_as_it_is(self, milvus: Milvus, fresh: Callable[..., str]) -> None:
        name = fresh()
        create(name)

        with pytest.raises(MilvusRefusedError, match=f"'{name}' was not created: it exists"):
            create(name, indexes=[FLAT])
        result = create(name, indexes=[FLAT], if_exists="skip")

        assert (result["created"], result["indexes"]) == (False, [])
        with milvus.plain_client() as client:
            assert client.list_indexes(name) == []

    def test_an_alias_is_no_place_for_a_collection(self, milvus: Milvus, fresh: Callable[..., str]) -> None:
        name = fresh()
        create(name)
        with milvus.plain_client() as client:
            client.create_alias(name, f"live_{name}")
            for if_exists in ("fail", "skip", "check", "replace"):
                with pytest.raises(MilvusRefusedError, match=f"'live_{name}' is an alias of the collection '{name}'"):
                    create(f"live_{name}", if_exists=if_exists)
            client.drop_alias(f"live_{name}")

    def test_an_index_that_the_server_does_not_know_leaves_nothing_behind(
        self, milvus: Milvus, fresh: Callable[..., str]
    ) -> None:
        name = fresh()

        with pytest.raises(MilvusError, match="STL_SORT" if milvus.is_lite else "NO_SUCH_INDEX"):
            create(name, indexes=[unknown_index(milvus)])

        with milvus.plain_client() as client:
            assert not client.has_collection(name)

    @pytest.mark.standalone
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"nullable": True}, "field 'text': nullable is False, not True"),
            ({"is_clustering_key": True}, "field 'text': is_clustering_key is False, not True"),
        ],
        ids=str,
    )
    def test_what_the_server_drops_without_a_word_is_an_error(
        self, standalone: Milvus, fresh: Callable[..., str], changes: dict[str, Any], message: str
    ) -> None:
        name = fresh()
        schema = {"fields": [*SCHEMA["fields"], {"name": "text", "type": "VARCHAR", "max_length": 99, **changes}]}

        with pytest.raises(MilvusUnsupportedError, match=message):
            create(name, schema=schema, indexes=[FLAT])

        with standalone.plain_client() as client:
            assert not client.has_collection(name)

    @pytest.mark.standalone
    def test_functions_need_a_newer_server(self, standalone: Milvus, fresh: Callable[..., str]) -> None:
        name = fresh()
        schema = {
            "fields": [
                SCHEMA["fields"][0],
                {"name": "text", "type": "VARCHAR", "max_length": 99, "params": {"enable_analyzer": True}},
                {"name": "sparse", "type": "SPARSE_FLOAT_VECTOR"},
            ],
            "functions": [
                {"name": "bm25", "type": "BM25", "input_field_names": ["text"], "output_field_names": ["sparse"]},
            ],
        }
        with pytest.raises(MilvusUnsupportedError, match=r"function 'bm25' \(BM25\) is missing"):
            create(name, schema=schema)
        with standalone.plain_client() as client:
            assert not client.has_collection(name)

    def test_functions_work_where_the_server_has_them(self, lite: Milvus, fresh: Callable[..., str]) -> None:
        name = fresh()
        schema = {
            "fields": [
                SCHEMA["fields"][0],
                {"name": "text", "type": "VARCHAR", "max_length": 99, "params": {"enable_analyzer": True}},
                {"name": "sparse", "type": "SPARSE_FLOAT_VECTOR"},
            ],
            "functions": [
                {"name": "bm25", "type": "BM25", "input_field_names": ["text"], "output_field_names": ["sparse"]},
            ],
        }
        create(
            name,
            schema=schema,
            indexes=[{"field_name": "sparse", "index_type": "SPARSE_INVERTED_INDEX", "metric_type": "BM25"}],
        )

        with lite.plain_client() as client:
            client.insert(name, [{"id": 1, "text": "a red fox"}, {"id": 2, "text": "a blue whale"}])
            ((hit,),) = client.search(name, ["whale"], anns_field="sparse", limit=1)
        assert hit["id"] == 2


@pytest.mark.newest
class TestReplace:
    def test_makes_it_anew(self, milvus: Milvus, fresh: Callable[..., str]) -> None:
        name = fresh()
        create(name, indexes=[FLAT])
        with milvus.plain_client() as client:
            insert(client, name)
            client.load_collection(name)

            result = create(name, indexes=[FLAT], if_exists="replace")

            assert (result["created"], result["replaced"]) == (True, True)
            client.load_collection(name)
            assert client.query(name, filter="id >= 0", consistency_level="Strong") == []
            assert [collection for collection in client.list_collections() if name in collection] == [name]

    def test_keeps_the_rows_when_the_new_one_cannot_be(self, milvus: Milvus, fresh: Callable[..., str]) -> None:
        name = fresh()
        create(name, indexes=[FLAT])
        with milvus.plain_client() as client:
            insert(client, name)
            before = identity(client, name)

            for bad in ({"indexes": [unknown_index(milvus)]}, {"schema": {"fields": []}}):
                with pytest.raises(MilvusError):
                    create(name, if_exists="replace", **bad)

            assert identity(client, name) == before
            assert [collection for collection in client.list_collections() if name in collection] == [name]

    def test_refuses_an_aliased_one(self, milvus: Milvus, fresh: Callable[..., str]) -> None:
        name = fresh()
        create(name, indexes=[FLAT])
        with milvus.plain_client() as client:
            insert(client, name)
            before = identity(client, name)
            client.create_alias(name, f"live_{name}")

            with pytest.raises(MilvusRefusedError, match=f"has the alias 'live_{name}'"):
                create(name, indexes=[FLAT], if_exists="replace")

            assert identity(client, name) == before
            assert create(name, indexes=[FLAT], if_exists="replace", drop_aliased=True)["replaced"]
            assert identity(client, name) != before


class TestDrop:
    def test_ends_when_it_is_gone(self, milvus: Milvus, fresh: Callable[..., str]) -> None:
        name = fresh()
        create(name, indexes=[FLAT])
        with milvus.plain_client() as client:
            client.load_collection(name)

            result = drop(name)

            assert not client.has_collection(name)
        assert result.pop("seconds") < 30
        assert result == {"collection": name, "database": "default", "dropped": True}

    def test_of_an_aliased_one_or_through_an_alias_is_refused(self, milvus: Milvus, fresh: Callable[..., str]) -> None:
        """Milvus Lite drops a collection through its alias; 2.3.5 refuses that, and drops aliases with the collection."""
        name = fresh()
        create(name)
        with milvus.plain_client() as client:
            client.create_alias(name, f"live_{name}")
            for target in (name, f"live_{name}"):
                with pytest.raises(MilvusRefusedError, match="alias"):
                    drop(target)
            with pytest.raises(MilvusRefusedError, match="is an alias"):
                drop(f"live_{name}", drop_aliased=True)
            assert client.has_collection(name)

            assert drop(name, drop_aliased=True)["dropped"]

            assert not client.has_collection(name)

    def test_of_nothing_fails_or_is_skipped(self, milvus: Milvus) -> None:
        with pytest.raises(MilvusCollectionNotFoundError, match="nowhere"):
            drop("nowhere")
        assert drop("nowhere", if_missing="skip")["dropped"] is False

    def test_of_a_missing_database_always_fails(self, milvus: Milvus) -> None:
        with pytest.raises(MilvusDatabaseNotFoundError):
            drop("docs", database="nowhere", if_missing="skip")


class TestRetry:
    """The server answers late or never; Airflow starts the task again."""

    def test_completes_what_the_first_try_left_half_made(self, scripted: ScriptedMilvus) -> None:
        state = TaskState()
        scripted.next("CreateIndex", *[abort("UNAVAILABLE")] * 3)
        with pytest.raises(MilvusUnavailableError):
            create("docs", indexes=[FLAT], timeout=0.5, context=a_try(state))
        assert scripted.collections["docs"].indexes == []

        result = create("docs", indexes=[FLAT], context=a_try(state))

        assert (result["created"], result["indexes_created"]) == (True, ["vector"])
        assert len(scripted.received("CreateCollection")) == 1

    def test_of_another_run_does_not_take_it_for_its_own(self, scripted: ScriptedMilvus) -> None:
        scripted.next("CreateIndex", *[abort("UNAVAILABLE")] * 3)
        with pytest.raises(MilvusUnavailableError):
            create("docs", indexes=[FLAT], timeout=0.5, context=a_try(TaskState()))

        with pytest.raises(MilvusRefusedError, match=r"created by nightly\.import, run tonight, "):
            create("docs", indexes=[FLAT], context=a_try(TaskState()))

    def test_after_success_is_none_and_somebody_who_clears_the_task_wants_it_anew(self, scripted: ScriptedMilvus) -> None:
        state = TaskState()
        create("docs", context=a_try(state))
        assert state.kept == {}

        with pytest.raises(MilvusRefusedError, match="exists"):
            create("docs", context=a_try(state))

    def test_of_a_creation_whose_answer_got_lost_succeeds_within_the_try(self, scripted: ScriptedMilvus) -> None:
        scripted.next("CreateCollection", lost)

        result = create("docs")

        assert result["created"] is True
        assert len(scripted.received("CreateCollection")) == 1

    def test_of_a_drop_whose_end_was_not_seen_succeeds(self, scripted: ScriptedMilvus) -> None:
        scripted.add("docs")
        state = TaskState()
        scripted.next("DropCollection", unanswered)
        with pytest.raises(MilvusTimeoutError):
            drop("docs", timeout=1, context=a_try(state))
        assert scripted.collections == {}

        assert drop("docs", context=a_try(state))["dropped"] is True

        with pytest.raises(MilvusCollectionNotFoundError):
            drop("docs", context=a_try(state))


class TestSensor:
    @pytest.mark.parametrize("deferrable", [False, True])
    def test_sees_a_collection_come_and_go(self, milvus: Milvus, fresh: Callable[..., str], deferrable: bool) -> None:
        name = fresh()
        arguments: dict[str, Any] = {"collection_name": name, "poke_interval": 0.1, "timeout": 20, "deferrable": deferrable}

        finish(MilvusCollectionSensor(task_id="gone", exists=False, **arguments))
        create(name)
        finish(MilvusCollectionSensor(task_id="there", **arguments))

        assert not MilvusCollectionSensor(task_id="gone", exists=False, **arguments).poke({"ti": SimpleNamespace()})

    def test_does_not_wait_for_a_database(self, milvus: Milvus) -> None:
        with pytest.raises(MilvusDatabaseNotFoundError):
            finish(MilvusCollectionSensor(task_id="there", collection_name="docs", database="nowhere", timeout=20))


def test_a_refused_definition_is_refused_in_the_servers_words(milvus: Milvus, fresh: Callable[..., str]) -> None:
    name = fresh()
    fields = [SCHEMA["fields"][0], {"name": "vector", "type": "BINARY_VECTOR" if milvus.is_lite else "FLOAT_VECTOR", "dim": 8}]
    schema = {"fields": [*fields, {"name": "second", "type": "FLOAT_VECTOR", "dim": 8}]}

    with pytest.raises(MilvusServerError, match="BinaryVector" if milvus.is_lite else "multiple vector fields"):
        create(name, schema=schema)
