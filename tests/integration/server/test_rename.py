"""A collection under another name, an alias that is dropped, and the names that are there."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from airflow_provider_milvus.exceptions import (
    MilvusAliasMovedError,
    MilvusAliasNotFoundError,
    MilvusCollectionNotFoundError,
    MilvusDatabaseNotFoundError,
    MilvusInDoubtError,
    MilvusInvalidArgumentError,
    MilvusPermissionError,
    MilvusRefusedError,
    MilvusTimeoutError,
    MilvusUnsupportedError,
)
from airflow_provider_milvus.operators.milvus import (
    MilvusDropAliasOperator,
    MilvusListCollectionsOperator,
    MilvusListDatabasesOperator,
    MilvusListPartitionsOperator,
    MilvusRenameCollectionOperator,
)
from dev.servers.dialects import LITE_LIKE
from dev.servers.scripted import ScriptedMilvus, abort, change, lost, no_change, scripted_server, unanswered
from tests.integration.ingest.task_state import TaskState, a_try
from tests.integration.support import Connect, MakeCollection, Milvus

pytestmark = pytest.mark.newest


def rename(name: str, new_name: str, context: Any = None, **arguments: Any) -> Any:
    task = MilvusRenameCollectionOperator(task_id="rename", collection_name=name, new_name=new_name, **arguments)
    return task.execute(context or {})


def drop_alias(alias: str, context: Any = None, **arguments: Any) -> Any:
    return MilvusDropAliasOperator(task_id="drop", alias=alias, **arguments).execute(context or {})


class TestRename:
    def test_to_its_own_name_is_refused_at_once(self, standalone: Milvus, make_collection: MakeCollection) -> None:
        name = make_collection()
        with pytest.raises(MilvusRefusedError, match=f"'{name}' was not renamed: '{name}' is its name already"):
            rename(name, name, new_database="default")

    def test_keeps_rows_aliases_and_memory(self, milvus: Milvus, make_collection: MakeCollection) -> None:
        old, other = make_collection(load=True), make_collection("other")
        new, alias = f"new_{uuid.uuid4().hex[:8]}", f"{old}_live"
        with milvus.plain_client() as client:
            client.create_alias(old, alias)
        for taken in (other, alias, old):
            with pytest.raises((MilvusRefusedError, MilvusInvalidArgumentError)):
                rename(old, taken)
        with pytest.raises(MilvusRefusedError, match="is an alias of"):
            rename(alias, new)
        with pytest.raises(MilvusCollectionNotFoundError):
            rename("nowhere", new)

        result = rename(old, new)

        assert (result["collection"], result["renamed_from"]) == (new, old)
        with milvus.plain_client() as client:
            assert old not in client.list_collections()
            assert client.describe_alias(alias)["collection_name"] == new
            if milvus.is_lite:
                # It closes the collection, and forgets that it was in memory.
                client.load_collection(new)
            assert len(client.query(alias, "id >= 0", limit=100, consistency_level="Strong")) == 50
            assert str(client.get_load_state(new)["state"]) == "Loaded"
            client.drop_alias(alias)
            client.rename_collection(new, old)

    @pytest.mark.standalone
    def test_to_another_database(self, standalone: Milvus, make_collection: MakeCollection) -> None:
        name, alias, database = make_collection(), f"a_{uuid.uuid4().hex[:8]}", f"d_{uuid.uuid4().hex[:8]}"
        with standalone.plain_client() as client:
            client.create_database(database)
            client.create_alias(name, alias)
        with pytest.raises(MilvusRefusedError, match=f"has the alias '{alias}'"):
            rename(name, name, new_database=database)
        with standalone.plain_client() as client:
            client.drop_alias(alias)
        with pytest.raises(MilvusDatabaseNotFoundError):
            rename(name, "moved", new_database="nowhere")

        result = rename(name, "moved", new_database=database)

        assert (result["collection"], result["database"]) == ("moved", database)
        with standalone.plain_client(db_name=database) as client:
            assert client.list_collections() == ["moved"]
            client.drop_collection("moved")
        with standalone.plain_client() as client:
            assert name not in client.list_collections()
            client.drop_database(database)

    def test_to_another_database_is_nothing_that_lite_can_do(self, lite: Milvus, make_collection: MakeCollection) -> None:
        name = make_collection()
        with pytest.raises(MilvusUnsupportedError, match="Nothing was changed"):
            rename(name, "moved", new_database="default")
        with lite.plain_client() as client:
            assert name in client.list_collections()
            assert "moved" not in client.list_collections()

    def test_is_sent_once_where_the_answer_is_lost(self, scripted: ScriptedMilvus) -> None:
        scripted.add("docs")
        scripted.next("RenameCollection", lost)

        assert rename("docs", "docs_2", timeout=20)["collection"] == "docs_2"
        assert len(scripted.received("RenameCollection")) == 1
        assert scripted.collections.keys() == {"docs_2"}

    def test_that_was_not_carried_out_is_sent_again(self, scripted: ScriptedMilvus) -> None:
        scripted.add("docs")
        scripted.next("RenameCollection", abort("UNAVAILABLE"))

        rename("docs", "docs_2", timeout=20)

        assert len(scripted.received("RenameCollection")) == 2

    def test_of_what_may_be_another_collection_is_in_doubt(self, connect: Connect) -> None:
        with scripted_server(LITE_LIKE) as server:
            connect(server.uri)
            server.add("docs")
            server.next("RenameCollection", abort("UNAVAILABLE"))

            with pytest.raises(MilvusInDoubtError):
                rename("docs", "docs_2", timeout=20)

    def test_leaves_what_somebody_has_made_under_the_new_name(self, scripted: ScriptedMilvus) -> None:
        scripted.add("docs")
        scripted.next("DescribeCollection", no_change, change(lambda: scripted.add("docs_2")))

        with pytest.raises(MilvusRefusedError, match="name of another collection"):
            rename("docs", "docs_2")

        assert scripted.received("RenameCollection") == []

    def test_in_a_retry_knows_the_collection_by_its_id(self, scripted: ScriptedMilvus) -> None:
        scripted.add("docs")
        state = TaskState()
        scripted.next("RenameCollection", unanswered)
        with pytest.raises(MilvusTimeoutError):
            rename("docs", "docs_2", a_try(state), timeout=1)
        assert scripted.collections.keys() == {"docs_2"}
        # Somebody's, which has the old name now.
        scripted.add("docs")

        assert rename("docs", "docs_2", a_try(state))["collection"] == "docs_2"
        assert len(scripted.received("RenameCollection")) == 1
        with pytest.raises(MilvusRefusedError):
            rename("docs", "docs_2", a_try(state))

    def test_in_a_retry_leaves_another_collection_of_the_name(self, scripted: ScriptedMilvus) -> None:
        scripted.add("docs")
        state = TaskState()
        scripted.next("RenameCollection", unanswered)
        with pytest.raises(MilvusTimeoutError):
            rename("docs", "docs_2", a_try(state), timeout=1)
        del scripted.collections["docs_2"]
        scripted.add("docs")

        with pytest.raises(MilvusInDoubtError, match="'docs' is another one than that of an earlier try"):
            rename("docs", "docs_2", a_try(state))
        assert scripted.collections.keys() == {"docs"}
        # Whoever clears the task has looked.
        assert rename("docs", "docs_2", a_try(state))["collection"] == "docs_2"


class TestDropAlias:
    def test_drops_the_alias_alone(self, milvus: Milvus, make_collection: MakeCollection) -> None:
        name = make_collection()
        alias = f"{name}_live"
        with milvus.plain_client() as client:
            client.create_alias(name, alias)
        with pytest.raises(MilvusRefusedError, match=f"points to '{name}'"):
            drop_alias(alias, expected_old="another")

        result = drop_alias(alias, expected_old=name)

        assert (result["collection"], result["alias"], result["dropped"]) == (name, alias, True)
        with milvus.plain_client() as client:
            assert client.list_aliases(name)["aliases"] == []
            assert name in client.list_collections()
        with pytest.raises(MilvusAliasNotFoundError):
            drop_alias(alias)
        assert drop_alias(alias, if_missing="skip")["dropped"] is False
        # The name of a collection is no alias.
        with pytest.raises(MilvusAliasNotFoundError):
            drop_alias(name)

    def test_leaves_an_alias_that_somebody_has_moved(self, scripted: ScriptedMilvus) -> None:
        docs, docs_2 = scripted.add("docs", aliases=["live"]), scripted.add("docs_2")
        moved = change(lambda: (docs.aliases.clear(), docs_2.aliases.append("live")))
        scripted.next("DescribeAlias", no_change, moved)

        with pytest.raises(MilvusAliasMovedError):
            drop_alias("live")

        assert docs_2.aliases == ["live"]

    def test_looks_for_a_lost_answer(self, scripted: ScriptedMilvus) -> None:
        docs = scripted.add("docs", aliases=["live"])
        scripted.next("DropAlias", lost)
        assert drop_alias("live", timeout=20)["dropped"] is True
        assert len(scripted.received("DropAlias")) == 1

        docs.aliases.append("live")
        scripted.next("DropAlias", abort("UNAVAILABLE"))
        with pytest.raises(MilvusInDoubtError, match="as before"):
            drop_alias("live", timeout=20)

    def test_in_a_retry_knows_that_it_was_sent(self, scripted: ScriptedMilvus) -> None:
        scripted.add("docs", aliases=["live"])
        state = TaskState()
        scripted.next("DropAlias", unanswered)
        with pytest.raises(MilvusTimeoutError):
            drop_alias("live", a_try(state), timeout=1)

        result = drop_alias("live", a_try(state))

        assert (result["collection"], result["dropped"]) == ("docs", True)

    def test_that_was_refused_is_no_try(self, scripted: ScriptedMilvus) -> None:
        scripted.add("docs", aliases=["live"])
        state = TaskState()
        scripted.next("DropAlias", abort("PERMISSION_DENIED"))
        with pytest.raises(MilvusPermissionError):
            drop_alias("live", a_try(state))

        assert drop_alias("live", a_try(state))["dropped"] is True


class TestList:
    def test_collections(self, milvus: Milvus, make_collection: MakeCollection) -> None:
        cold, warm = make_collection("list_b"), make_collection("list_a", load=True)

        def names(**arguments: Any) -> Any:
            return MilvusListCollectionsOperator(task_id="list", **arguments).execute({})

        assert names(pattern="list_*") == sorted([cold, warm])
        assert names(pattern=["list_a*", "none"]) == [warm]
        assert names(pattern="list_*", exclude="list_a*") == [cold]
        assert names(pattern="list_*", in_memory=True) == [warm]
        assert set(names()) >= {cold, warm}
        assert names(pattern="nothing_like_it") == []

    def test_partitions_and_databases(self, milvus: Milvus, make_collection: MakeCollection) -> None:
        name = make_collection()
        with milvus.plain_client() as client:
            client.create_partition(name, "tenant_a")

        def partitions(**arguments: Any) -> Any:
            return MilvusListPartitionsOperator(task_id="list", **arguments).execute({})

        assert partitions(collection_name=name) == ["_default", "tenant_a"]
        assert partitions(collection_name=name, exclude="_default") == ["tenant_a"]
        with pytest.raises(MilvusCollectionNotFoundError):
            partitions(collection_name="nowhere")
        assert "default" in MilvusListDatabasesOperator(task_id="list").execute({})
        assert MilvusListDatabasesOperator(task_id="list", pattern="nothing_*").execute({}) == []
