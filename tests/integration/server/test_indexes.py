"""Indexes: created and watched until they are built, dropped only where nobody needs them."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_milvus.exceptions import (
    MilvusCollectionNotFoundError,
    MilvusIndexFailedError,
    MilvusIndexNotFoundError,
    MilvusRefusedError,
    MilvusSchemaDriftError,
    MilvusTimeoutError,
)
from airflow_provider_milvus.operators.milvus import MilvusCreateIndexOperator, MilvusDropIndexOperator
from airflow_provider_milvus.sensors.milvus import MilvusIndexSensor
from dev.servers.scripted import ScriptedMilvus, change, unanswered
from tests.integration.ingest.task_state import TaskState, a_try
from tests.integration.support import MakeCollection, Milvus, deferral, finish, resume

IVF = {"field_name": "vector", "index_type": "IVF_FLAT", "metric_type": "L2", "index_params": {"nlist": 16}}
BUILDING = {"index_name": "vector", "field_name": "vector", "state": 2, "total_rows": 1000, "pending_index_rows": 1000}
BUILT = {**BUILDING, "state": 3, "indexed_rows": 1000, "pending_index_rows": 0}


def create_index(name: str, *, context: Any = None, **arguments: Any) -> dict[str, Any]:
    operator = MilvusCreateIndexOperator(task_id="index", collection_name=name, **{**IVF, "poll_interval": 0.1, **arguments})
    result: dict[str, Any] = finish(operator, context)
    return result


def drop_index(name: str, *, context: Any = None, **arguments: Any) -> dict[str, Any]:
    operator = MilvusDropIndexOperator(task_id="drop", collection_name=name, **arguments)
    result: dict[str, Any] = operator.execute(context or {})
    return result


class TestCreate:
    @pytest.mark.parametrize("deferrable", [False, True])
    def test_ends_when_every_row_is_in_it(self, milvus: Milvus, make_collection: MakeCollection, deferrable: bool) -> None:
        name = make_collection(rows=3000, index="")

        result = create_index(name, deferrable=deferrable)

        with milvus.plain_client() as client:
            description = client.describe_index(name, "vector")
        assert (description["index_type"], description["metric_type"], description["pending_index_rows"]) == (
            "IVF_FLAT",
            "L2",
            0,
        )
        assert milvus.is_lite or (description["state"], description["indexed_rows"]) == ("Finished", 3000)
        assert result.pop("seconds") < 60
        assert result == {"collection": name, "database": "default", "created": True, "index": "vector", "state": "Finished"}

    def test_of_what_has_one_skips_compares_or_fails(self, milvus: Milvus, make_collection: MakeCollection) -> None:
        name = make_collection(index="IVF_FLAT")
        other = {**IVF, "index_type": "FLAT", "index_params": None}

        assert create_index(name, if_exists="skip", **other)["created"] is False
        assert create_index(name, if_exists="check")["created"] is False
        with pytest.raises(MilvusSchemaDriftError, match="index_type is IVF_FLAT, not FLAT"):
            create_index(name, if_exists="check", **other)
        with pytest.raises(MilvusRefusedError, match=r"has the index 'vector' \(IVF_FLAT\)"):
            create_index(name, if_exists="fail")

        with milvus.plain_client() as client:
            assert client.describe_index(name, "vector")["index_type"] == "IVF_FLAT"

    def test_through_an_alias_is_of_the_collection_behind_it(self, milvus: Milvus, make_collection: MakeCollection) -> None:
        name = make_collection(index="")
        with milvus.plain_client() as client:
            client.create_alias(name, f"live_{name}")
            assert create_index(f"live_{name}")["collection"] == name
            assert client.list_indexes(name) == ["vector"]
            client.drop_alias(f"live_{name}")

    def test_of_no_collection_fails(self, milvus: Milvus) -> None:
        with pytest.raises(MilvusCollectionNotFoundError, match="nowhere"):
            create_index("nowhere")

    def test_need_not_wait(self, scripted: ScriptedMilvus) -> None:
        docs = scripted.add("docs", schema={"name": "docs", "fields": [{"name": "vector"}]})
        scripted.next("CreateIndex", lambda server, request, context: docs.indexes.append(dict(BUILDING)) or {})

        assert create_index("docs", wait=False)["state"] == "Submitted"

    def test_that_is_not_through_in_time_says_how_far_it_is(self, scripted: ScriptedMilvus) -> None:
        scripted.add("docs", schema={"name": "docs", "fields": [{"name": "vector"}]}, indexes=[BUILDING])

        with pytest.raises(
            MilvusTimeoutError, match=r"Index 'vector' of 'docs' did not reach the awaited state in time.*InProgress 0 %"
        ):
            create_index("docs", if_exists="skip", timeout=0.5)

    @pytest.mark.parametrize("deferrable", [False, True])
    def test_that_the_server_gives_up_fails_with_its_reason(self, scripted: ScriptedMilvus, deferrable: bool) -> None:
        docs = scripted.add("docs", schema={"name": "docs", "fields": [{"name": "vector"}]}, indexes=[dict(BUILDING)])
        failed = {"state": 4, "index_state_fail_reason": "no space left on device"}
        # The first look is the one for an index that is there already.
        scripted.next("DescribeIndex", change(list), change(lambda: docs.indexes[0].update(failed)))

        with pytest.raises(MilvusIndexFailedError, match="no space left on device"):
            create_index("docs", if_exists="skip", deferrable=deferrable)

    def test_is_watched_in_the_triggerer(self, scripted: ScriptedMilvus) -> None:
        docs = scripted.add("docs", schema={"name": "docs", "fields": [{"name": "vector"}]}, indexes=[dict(BUILDING)])
        operator = MilvusCreateIndexOperator(
            task_id="index", collection_name="docs", if_exists="skip", deferrable=True, poll_interval=0.1, **IVF
        )
        waiting = deferral(operator)
        scripted.next("DescribeIndex", change(list), change(lambda: docs.indexes[0].update(BUILT)))

        result = resume(operator, waiting)

        assert (result["state"], result["created"]) == ("Finished", False)
        assert len(scripted.received("DescribeIndex")) == 3

    def test_a_retry_takes_its_own_for_its_own(self, scripted: ScriptedMilvus) -> None:
        scripted.add("docs", schema={"name": "docs", "fields": [{"name": "vector"}]})
        state = TaskState()
        scripted.next("CreateIndex", unanswered)
        with pytest.raises(MilvusTimeoutError):
            create_index("docs", if_exists="fail", timeout=1, context=a_try(state))

        assert create_index("docs", if_exists="fail", context=a_try(state))["created"] is True

        with pytest.raises(MilvusRefusedError):
            create_index("docs", if_exists="fail", context=a_try(state))


@pytest.mark.newest
class TestDrop:
    def test_ends_when_it_is_gone(self, milvus: Milvus, make_collection: MakeCollection) -> None:
        name = make_collection()

        result = drop_index(name, field_name="vector")

        with milvus.plain_client() as client:
            assert client.list_indexes(name) == []
        assert result["dropped"] == ["vector"]

    def test_of_a_collection_in_memory_is_refused(self, milvus: Milvus, make_collection: MakeCollection) -> None:
        name = make_collection(load=True)

        with pytest.raises(MilvusRefusedError, match=f"'{name}' is Loaded.*Release it first"):
            drop_index(name, index_name="vector")

        with milvus.plain_client() as client:
            assert client.list_indexes(name) == ["vector"]

    def test_of_nothing_fails_or_is_skipped(self, milvus: Milvus, make_collection: MakeCollection) -> None:
        name = make_collection(index="")

        with pytest.raises(MilvusIndexNotFoundError, match=f"'{name}' has no index of field 'vector'"):
            drop_index(name, field_name="vector")
        assert drop_index(name, field_name="vector", if_missing="skip")["dropped"] == []
        with pytest.raises(MilvusCollectionNotFoundError, match="nowhere"):
            drop_index("nowhere", field_name="vector", if_missing="skip")

    def test_through_an_alias_is_refused(self, milvus: Milvus, make_collection: MakeCollection) -> None:
        name = make_collection()
        with milvus.plain_client() as client:
            client.create_alias(name, f"live_{name}")
            with pytest.raises(MilvusRefusedError, match="is an alias"):
                drop_index(f"live_{name}", field_name="vector")
            assert client.list_indexes(name) == ["vector"]
            client.drop_alias(f"live_{name}")

    def test_whose_end_was_not_seen_succeeds_in_the_retry(self, scripted: ScriptedMilvus) -> None:
        scripted.add("docs", indexes=[BUILT])
        state = TaskState()
        scripted.next("DropIndex", unanswered)
        with pytest.raises(MilvusTimeoutError):
            drop_index("docs", field_name="vector", timeout=1, context=a_try(state))

        assert drop_index("docs", field_name="vector", context=a_try(state))["dropped"] == ["vector"]


class TestSensor:
    @pytest.mark.parametrize("deferrable", [False, True])
    def test_waits_until_it_is_there_and_built(self, scripted: ScriptedMilvus, deferrable: bool) -> None:
        docs = scripted.add("docs")
        steps = [list, lambda: docs.indexes.append(dict(BUILDING)), list, lambda: docs.indexes[0].update(BUILT)]
        scripted.next("DescribeIndex", *map(change, steps))

        finish(MilvusIndexSensor(task_id="built", collection_name="docs", poke_interval=0.1, timeout=20, deferrable=deferrable))

        assert len(scripted.received("DescribeIndex")) == 4

    def test_fails_at_once_where_the_server_gave_up(self, scripted: ScriptedMilvus) -> None:
        scripted.add("docs", indexes=[{**BUILDING, "state": 4, "index_state_fail_reason": "no space left on device"}])

        with pytest.raises(MilvusIndexFailedError, match="no space left on device"):
            finish(MilvusIndexSensor(task_id="built", collection_name="docs", timeout=20))

    def test_sees_the_index_of_a_real_server(self, milvus: Milvus, make_collection: MakeCollection) -> None:
        name = make_collection()
        sensor = MilvusIndexSensor(task_id="built", collection_name=name, field_name="vector", poke_interval=0.1, timeout=20)
        assert finish(sensor) is None
        assert not MilvusIndexSensor(task_id="built", collection_name=name, field_name="id", timeout=20).poke({})
