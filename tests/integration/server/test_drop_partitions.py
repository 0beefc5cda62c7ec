"""Partitions: created once, and dropped only as they were looked at."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_milvus.exceptions import (
    MilvusCollectionNotFoundError,
    MilvusError,
    MilvusInDoubtError,
    MilvusInvalidArgumentError,
    MilvusPartitionNotFoundError,
    MilvusPermissionError,
    MilvusRefusedError,
)
from airflow_provider_milvus.operators.milvus import (
    MilvusCreatePartitionOperator,
    MilvusDropPartitionOperator,
    MilvusInsertOperator,
    MilvusUpsertOperator,
)
from airflow_provider_milvus.sensors.milvus import MilvusCollectionSensor
from dev.servers.dialects import LITE_LIKE
from dev.servers.scripted import LOADED, Collection, ScriptedMilvus, abort, change, lost, no_change, scripted_server
from tests.integration.ingest.task_state import TaskState, a_try
from tests.integration.support import Connect, MakeCollection, Milvus, context_of_run, task_threads

pytestmark = pytest.mark.newest

ROW = {"id": 1001, "vector": [0.5] * 8}


@pytest.fixture
def state() -> TaskState:
    return TaskState()


TODAY = datetime(2026, 3, 10, 2, tzinfo=UTC)


def create(name: str, partition_names: Any, **arguments: Any) -> Any:
    task = MilvusCreatePartitionOperator(task_id="create", collection_name=name, partition_names=partition_names, **arguments)
    return task.execute({})


def drop(name: str, context: Any = None, **arguments: Any) -> Any:
    return MilvusDropPartitionOperator(task_id="drop", collection_name=name, **arguments).execute(context or {})


def partitions_of(server: Milvus, name: str) -> set[str]:
    with server.plain_client() as client:
        return set(client.list_partitions(name)) - {"_default"}


def names(entries: list[dict[str, Any]]) -> list[str]:
    return [entry["partition"] for entry in entries]


def test_partitions_are_created_once(milvus: Milvus, make_collection: MakeCollection) -> None:
    name = make_collection()

    assert create(name, ["a", "b"])["created"] == ["a", "b"]
    assert partitions_of(milvus, name) == {"a", "b"}

    with pytest.raises(MilvusRefusedError, match=r"'b'.*it exists"):
        create(name, ["b", "c"])
    assert partitions_of(milvus, name) == {"a", "b"}

    again = create(name, ["b", "c"], if_exists="skip")
    assert (again["created"], again["partitions"]) == (["c"], ["b", "c"])
    assert partitions_of(milvus, name) == {"a", "b", "c"}


def test_what_cannot_have_partitions_is_told_first(milvus: Milvus, make_collection: MakeCollection) -> None:
    from pymilvus import DataType

    with pytest.raises(MilvusCollectionNotFoundError):
        create("nowhere", "a")
    name = make_collection("keyed")
    with milvus.plain_client() as client:
        client.drop_collection(name)
        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("tenant", DataType.INT64, is_partition_key=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=8)
        client.create_collection(name, schema=schema)
        of_the_server = set(client.list_partitions(name))

    for refused in (lambda: create(name, "a"), lambda: drop(name, pattern="*")):
        with pytest.raises(MilvusRefusedError, match="partition key"):
            refused()
    with milvus.plain_client() as client:
        assert set(client.list_partitions(name)) == of_the_server


def test_an_upsert_makes_the_partition_that_is_missing_also_two_at_once(
    milvus: Milvus, make_collection: MakeCollection
) -> None:
    name = make_collection(load=True)
    with pytest.raises(MilvusPartitionNotFoundError):
        MilvusUpsertOperator(task_id="write", collection_name=name, rows=[ROW], partition_name="day").execute({})

    def write(kind: Any, key: int) -> Any:
        rows = [{**ROW, "id": key}]
        return kind(task_id="write", collection_name=name, rows=rows, partition_name="day", create_partition=True).execute({})

    with task_threads(2) as pool:
        written = list(pool.map(write, [MilvusUpsertOperator, MilvusInsertOperator], [1001, 1002]))
    written.append(write(MilvusUpsertOperator, 1001))

    assert [each["written"] for each in written] == [1, 1, 1]
    assert partitions_of(milvus, name) == {"day"}
    with milvus.plain_client() as client:
        client.load_collection(name)
        found = client.query(name, "id > 1000", partition_names=["day"], consistency_level="Strong")
    assert sorted(row["id"] for row in found) == [1001, 1002]


def test_named_partitions_are_dropped_and_nothing_else(milvus: Milvus, make_collection: MakeCollection) -> None:
    name = make_collection()
    create(name, ["a", "b", "c"])
    with milvus.plain_client() as client:
        client.release_collection(name)

    result = drop(name, partition_names=["a", "b"])

    assert (names(result["dropped"]), result["kept"], result["missing"]) == (["a", "b"], [], [])
    assert partitions_of(milvus, name) == {"c"}
    with pytest.raises(MilvusPartitionNotFoundError, match="'a'"):
        drop(name, partition_names=["a", "c"])
    assert partitions_of(milvus, name) == {"c"}
    assert drop(name, partition_names=["a"], if_missing="skip")["missing"] == ["a"]


def test_retention_goes_by_the_date_in_the_name(milvus: Milvus, make_collection: MakeCollection) -> None:
    name = make_collection()
    create(name, ["day_20260101", "day_20260309", "day_20260102_fixed", "other_20260101", "day_forever"])
    with milvus.plain_client() as client:
        client.release_collection(name)
    rule: dict[str, Any] = {
        "pattern": ["day_*", "_*"],
        "exclude": "*_fixed",
        "older_than": "P30D",
        "date_format": "day_%Y%m%d",
    }

    dry = drop(name, context_of_run(TODAY), **rule, dry_run=True)

    assert names(dry["plan"]) == ["day_20260101"]
    assert {entry["partition"]: entry["reason"] for entry in dry["kept"]} == {
        "_default": "Milvus never drops it",
        "day_20260102_fixed": "excluded by '*_fixed'",
        "day_20260309": "1 day 2 h old, not over 30 days",
        "day_forever": "no date in its name",
    }
    assert len(partitions_of(milvus, name)) == 5

    result = drop(name, context_of_run(TODAY), **rule)

    assert names(result["dropped"]) == ["day_20260101"]
    assert partitions_of(milvus, name) == {"day_20260309", "day_20260102_fixed", "other_20260101", "day_forever"}


def test_a_plan_is_carried_out_only_for_what_is_as_it_was(milvus: Milvus, make_collection: MakeCollection) -> None:
    name = make_collection()
    create(name, ["p1", "p2", "p3"])
    with milvus.plain_client() as client:
        client.release_collection(name)
    plan = drop(name, pattern="p*", dry_run=True)["plan"]
    with milvus.plain_client() as client:
        client.insert(name, [ROW], partition_name="p2")
        client.flush(name)
        client.drop_partition(name, "p3")
        # Lite brings what is written to back into memory.
        client.release_collection(name)

    result = drop(name, plan=plan)

    assert names(result["dropped"]) == ["p1"]
    assert result["missing"] == ["p3"]
    assert [(kept["partition"], kept["reason"]) for kept in result["kept"]] == [("p2", "it has 1 rows, and had 0 in the plan")]
    assert partitions_of(milvus, name) == {"p2"}
    assert drop(name, plan=[])["dropped"] == []


@pytest.mark.standalone
def test_what_has_the_name_of_the_plan_and_is_another_one_stays(standalone: Milvus, make_collection: MakeCollection) -> None:
    name = make_collection()
    create(name, "p1")
    plan = drop(name, pattern="p*", dry_run=True)["plan"]
    with standalone.plain_client() as client:
        client.drop_partition(name, "p1")
        client.create_partition(name, "p1")

    result = drop(name, plan=plan)

    assert result["kept"] == [{"partition": "p1", "reason": "it is another one than the one in the plan"}]
    assert partitions_of(standalone, name) == {"p1"}


def test_a_partition_in_memory_stays_unless_its_release_is_asked_for(milvus: Milvus, make_collection: MakeCollection) -> None:
    name = make_collection()
    create(name, ["p1", "p2"])
    with milvus.plain_client() as client:
        client.load_collection(name)
        client.create_alias(name, f"{name}_live")

    with pytest.raises(MilvusRefusedError, match="it is in memory"):
        drop(name, partition_names=["p1"])
    assert drop(name, pattern="p*")["dropped"] == []
    with pytest.raises(MilvusRefusedError, match="through the alias"):
        drop(name, partition_names=["p1"], release=True)
    with pytest.raises(MilvusRefusedError, match="is an alias"):
        drop(f"{name}_live", partition_names=["p1"], release=True)
    assert partitions_of(milvus, name) == {"p1", "p2"}

    result = drop(name, partition_names=["p1"], release=True, drop_aliased=True)

    assert names(result["dropped"]) == ["p1"]
    assert partitions_of(milvus, name) == {"p2"}
    assert milvus.state_of(name, "p2") == "Loaded"
    with milvus.plain_client() as client:
        client.drop_alias(f"{name}_live")


def test_the_collections_owner_keeps_what_is_in_memory(milvus: Milvus, make_collection: MakeCollection) -> None:
    name = make_collection()
    create(name, "p1")
    with milvus.plain_client() as client:
        client.alter_collection_properties(name, {"airflow.reclaim": "never"})
        client.load_collection(name)

    with pytest.raises(MilvusRefusedError, match=r"airflow\.reclaim is 'never'"):
        drop(name, partition_names=["p1"], release=True)

    assert partitions_of(milvus, name) == {"p1"}


def test_the_sensor_waits_for_partitions(milvus: Milvus, make_collection: MakeCollection) -> None:
    name = make_collection()
    create(name, "p1")

    def is_met(partition_names: Any, **arguments: Any) -> bool:
        return bool(
            MilvusCollectionSensor(task_id="wait", collection_name=name, partition_names=partition_names, **arguments).poke({})
        )

    assert is_met("p1")
    assert is_met("*")
    assert not is_met(["p1", "p2"])
    assert not is_met("p1", exists=False)
    assert not is_met(["p1", "p2"], exists=False)
    assert is_met("p2", exists=False)


@pytest.mark.parametrize(
    "arguments",
    [{}, {"partition_names": "_default"}, {"partition_names": ["a"], "pattern": "a*"}, {"pattern": "a*", "date_format": "%d"}],
)
def test_what_can_never_be_dropped_is_refused(lite: Milvus, arguments: dict[str, Any]) -> None:
    with pytest.raises(MilvusInvalidArgumentError):
        drop("docs", **arguments)


class TestBetweenLookAndDrop:
    """What somebody does after the first look is seen in the second one, just before the drop is sent."""

    @pytest.fixture
    def docs(self, scripted: ScriptedMilvus) -> Collection:
        return scripted.add("docs", partitions={"_default": 1, "p1": 11, "p2": 12})

    @pytest.mark.parametrize(
        ("meanwhile", "reason"),
        [
            (lambda docs: docs.partition_rows.update(p1=3), "it has 3 rows, and had 0"),
            (lambda docs: docs.become([LOADED]), "somebody has loaded it"),
            (lambda docs: docs.partitions.update(p1=99), "another one has its name now"),
            (lambda docs: docs.aliases.append("live"), "it was given the alias 'live'"),
        ],
    )
    def test_keeps_the_partition(
        self, scripted: ScriptedMilvus, docs: Collection, meanwhile: Callable[[Collection], object], reason: str
    ) -> None:
        scripted.next("ListAliases", no_change, change(lambda: meanwhile(docs)))

        with pytest.raises(MilvusRefusedError, match=reason):
            drop("docs", partition_names=["p1"])

        assert "p1" in docs.partitions
        assert scripted.received("DropPartition") == []

    def test_of_a_pattern_keeps_this_one_and_drops_the_others(self, scripted: ScriptedMilvus, docs: Collection) -> None:
        looks = [no_change] * 3
        scripted.next("ShowPartitions", *looks, change(lambda: docs.partition_rows.update(p1=3)))

        result = drop("docs", pattern="p*")

        assert names(result["dropped"]) == ["p2"]
        assert names(result["kept"]) == ["p1"]
        assert docs.partitions.keys() == {"_default", "p1"}

    def test_a_lost_answer_is_looked_for(self, scripted: ScriptedMilvus, docs: Collection) -> None:
        scripted.next("DropPartition", lost)

        assert names(drop("docs", partition_names=["p1"], timeout=20)["dropped"]) == ["p1"]
        assert len(scripted.received("DropPartition")) == 1

    def test_a_drop_that_was_not_carried_out_is_sent_again(self, scripted: ScriptedMilvus, docs: Collection) -> None:
        scripted.next("DropPartition", abort("UNAVAILABLE"))

        assert names(drop("docs", partition_names=["p1"], timeout=20)["dropped"]) == ["p1"]
        assert len(scripted.received("DropPartition")) == 2

    def test_without_ids_what_has_the_name_after_a_lost_answer_is_in_doubt(self, connect: Connect) -> None:
        with scripted_server(LITE_LIKE) as server:
            connect(server.uri)
            docs = server.add("docs", partitions={"_default": 1, "p1": 11})
            server.next("DropPartition", abort("UNAVAILABLE"))

            with pytest.raises(MilvusInDoubtError, match="does not tell whether it is the same"):
                drop("docs", partition_names=["p1"], timeout=20)

            assert "p1" in docs.partitions


class TestRetry:
    def test_knows_what_the_try_before_has_dropped(self, scripted: ScriptedMilvus, state: TaskState) -> None:
        docs = scripted.add("docs", partitions={"_default": 1, "p1": 11, "p2": 12})
        scripted.next("DropPartition", no_change, abort("PERMISSION_DENIED"))
        with pytest.raises(MilvusPermissionError, match="1 partitions of collection 'docs' were dropped before"):
            drop("docs", a_try(state), partition_names=["p1", "p2"])

        result = drop("docs", a_try(state), partition_names=["p1", "p2"])

        assert sorted(names(result["dropped"])) == ["p1", "p2"]
        assert docs.partitions.keys() == {"_default"}

    def test_drops_no_other_one_of_the_name(self, scripted: ScriptedMilvus, state: TaskState) -> None:
        docs = scripted.add("docs", partitions={"_default": 1, "p1": 11})
        scripted.next("DropPartition", lost)
        scripted.next("ShowPartitions", *[no_change] * 4, abort("UNAUTHENTICATED"))
        with pytest.raises(MilvusError):
            drop("docs", a_try(state), partition_names=["p1"], timeout=10)
        docs.partitions["p1"] = 99

        with pytest.raises(MilvusRefusedError, match="dropped by an earlier try of this task, and another one"):
            drop("docs", a_try(state), partition_names=["p1"])

        assert docs.partitions["p1"] == 99
        # Whoever clears the task has looked.
        assert names(drop("docs", a_try(state), partition_names=["p1"])["dropped"]) == ["p1"]

    def test_keeps_what_was_written_to_since_the_try_before_looked(self, scripted: ScriptedMilvus, state: TaskState) -> None:
        docs = scripted.add("docs", LOADED, partitions={"_default": 1, "p1": 11})
        scripted.next("DropPartition", abort("UNAUTHENTICATED"))
        with pytest.raises(MilvusError, match="'p1' of collection 'docs' was released before"):
            drop("docs", a_try(state), partition_names=["p1"], release=True)
        docs.partition_rows["p1"] = 3

        with pytest.raises(MilvusRefusedError, match="it has 3 rows, and had 0 when an earlier try"):
            drop("docs", a_try(state), partition_names=["p1"], release=True)

        assert "p1" in docs.partitions
        drop("docs", a_try(state), partition_names=["p1"], release=True)
        assert "p1" not in docs.partitions

    def test_counts_what_the_try_before_has_created(self, scripted: ScriptedMilvus, state: TaskState) -> None:
        scripted.add("docs")
        scripted.next("CreatePartition", no_change, abort("PERMISSION_DENIED"))
        task = MilvusCreatePartitionOperator(task_id="task", collection_name="docs", partition_names=["p1", "p2"])
        with pytest.raises(MilvusPermissionError):
            task.execute(a_try(state))

        assert task.execute(a_try(state))["created"] == ["p1", "p2"]
