"""Databases: created with their properties, altered, and dropped only where nothing is lost that was not named."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_milvus.exceptions import (
    MilvusDatabaseNotFoundError,
    MilvusError,
    MilvusInDoubtError,
    MilvusInvalidArgumentError,
    MilvusRefusedError,
    MilvusTimeoutError,
    MilvusUnsupportedError,
)
from airflow_provider_milvus.operators.milvus import (
    MilvusAlterDatabaseOperator,
    MilvusCreateDatabaseOperator,
    MilvusDropDatabaseOperator,
)
from dev.servers.dialects import DIALECTS, LITE_LIKE
from dev.servers.scripted import ScriptedMilvus, abort, change, lost, no_change, scripted_server, unanswered
from tests.integration.ingest.task_state import TaskState, a_try
from tests.integration.support import Connect, Milvus, build_collection

pytestmark = pytest.mark.newest

MOST = "database.max.collections"


def create(database: str, context: Any = None, **arguments: Any) -> Any:
    return MilvusCreateDatabaseOperator(task_id="create", database=database, **arguments).execute(context or {})


def alter(database: str, context: Any = None, **arguments: Any) -> Any:
    return MilvusAlterDatabaseOperator(task_id="alter", database=database, **arguments).execute(context or {})


def drop(database: str, context: Any = None, **arguments: Any) -> Any:
    return MilvusDropDatabaseOperator(task_id="drop", database=database, **arguments).execute(context or {})


def databases_of(server: Milvus) -> list[str]:
    with server.plain_client() as client:
        return list(client.list_databases())


@pytest.fixture
def tenant(milvus: Milvus) -> Iterator[str]:
    """The name of a database, which is dropped afterwards with all that is in it."""
    name = f"tenant_{uuid.uuid4().hex[:8]}"
    yield name
    if name in databases_of(milvus):
        with milvus.plain_client(db_name=name) as client:
            for collection in client.list_collections():
                for alias in client.list_aliases(collection)["aliases"]:
                    client.drop_alias(alias)
                client.drop_collection(collection)
        with milvus.plain_client() as client:
            client.drop_database(name)


@pytest.fixture
def modern(connect: Connect) -> Iterator[ScriptedMilvus]:
    """A stand-in that keeps properties of databases, as Milvus from 2.4 on."""
    with scripted_server(DIALECTS["2.6.16"]) as server:
        connect(server.uri)
        yield server


def test_a_database_comes_once_and_goes_when_it_is_empty(milvus: Milvus, tenant: str) -> None:
    assert create(tenant)["created"] is True
    assert tenant in databases_of(milvus)
    with pytest.raises(MilvusRefusedError, match="it exists"):
        create(tenant)
    assert create(tenant, if_exists="skip")["created"] is False

    assert drop(tenant) == {"database": tenant, "dropped": True, "collections": [], "seconds": pytest.approx(0, abs=30)}
    assert tenant not in databases_of(milvus)
    with pytest.raises(MilvusDatabaseNotFoundError):
        drop(tenant)
    assert drop(tenant, if_missing="skip")["dropped"] is False


def test_collections_keep_a_database_unless_they_may_go(milvus: Milvus, tenant: str) -> None:
    create(tenant)
    with milvus.plain_client(db_name=tenant) as client:
        for name in ("one", "two"):
            build_collection(client, name, rows=5, dim=4)
        client.create_alias("two", "live")
        client.load_collection("one")
    elsewhere = f"one_{uuid.uuid4().hex[:8]}"
    with milvus.plain_client() as client:
        build_collection(client, elsewhere, rows=5, dim=4)

    with pytest.raises(MilvusRefusedError, match="it has the collection 'one', 'two'"):
        drop(tenant)
    with pytest.raises(MilvusRefusedError, match=r"alias 'live'.*Nothing was changed"):
        drop(tenant, drop_collections=True)
    with milvus.plain_client(db_name=tenant) as client:
        assert sorted(client.list_collections()) == ["one", "two"]

    result = drop(tenant, drop_collections=True, drop_aliased=True)

    assert (result["dropped"], result["collections"]) == (True, ["one", "two"])
    assert tenant not in databases_of(milvus)
    with milvus.plain_client() as client:
        assert elsewhere in client.list_collections()
        client.drop_collection(elsewhere)


def test_properties_are_what_the_server_shows(lite: Milvus) -> None:
    name = f"tenant_{uuid.uuid4().hex[:8]}"
    create(name, properties={"database.replica.number": 2, MOST: 100})

    altered = alter(name, properties={MOST: 200}, drop_properties="database.replica.number")

    assert (altered["properties"][MOST], altered["changed"]) == ("200", ["database.max.collections", "database.replica.number"])
    with lite.plain_client() as client:
        described = client.describe_database(name)
    assert described[MOST] == "200"
    assert "database.replica.number" not in described
    assert alter(name, properties={MOST: 200})["changed"] == []
    with pytest.raises(MilvusDatabaseNotFoundError):
        alter("nowhere", properties={MOST: 200})
    drop(name)


@pytest.mark.standalone
def test_properties_are_nothing_that_2_3_has(standalone: Milvus) -> None:
    with pytest.raises(MilvusUnsupportedError, match="Database 'tenant' was not created"):
        create("tenant", properties={MOST: 100})
    assert "tenant" not in databases_of(standalone)
    with pytest.raises(MilvusUnsupportedError, match="Database 'default' was not altered"):
        alter("default", properties={MOST: 100})


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (drop, {"database": "default"}),
        (drop, {"database": ""}),
        (create, {"database": "a-b"}),
        (create, {"database": "tenant", "properties": {MOST: [1]}}),
        (alter, {"database": "tenant"}),
        (alter, {"database": "tenant", "properties": {MOST: 1}, "drop_properties": MOST}),
    ],
)
def test_what_can_never_work_is_refused(lite: Milvus, call: Any, arguments: dict[str, Any]) -> None:
    with pytest.raises(MilvusInvalidArgumentError):
        call(**arguments)


class TestAnswersThatGetLost:
    def test_are_looked_for(self, modern: ScriptedMilvus) -> None:
        for rpc in ("CreateDatabase", "AlterDatabase", "DropDatabase"):
            modern.next(rpc, lost)

        create("tenant", properties={MOST: 1}, timeout=20)
        assert modern.databases["tenant"].properties == {MOST: "1"}
        alter("tenant", properties={MOST: 2}, timeout=20)
        assert modern.databases["tenant"].properties == {MOST: "2"}
        assert drop("tenant", timeout=20)["dropped"] is True

        assert list(modern.databases) == ["default"]
        assert [len(modern.received(rpc)) for rpc in ("CreateDatabase", "AlterDatabase", "DropDatabase")] == [1, 1, 1]

    def test_are_sent_again_where_the_server_tells_the_database_from_another(self, modern: ScriptedMilvus) -> None:
        create("tenant")
        modern.next("DropDatabase", abort("UNAVAILABLE"))

        assert drop("tenant", timeout=20)["dropped"] is True
        assert len(modern.received("DropDatabase")) == 2

    def test_are_in_doubt_where_it_does_not(self, connect: Connect) -> None:
        with scripted_server(LITE_LIKE) as server:
            connect(server.uri)
            create("tenant")
            server.next("DropDatabase", abort("UNAVAILABLE"))

            with pytest.raises(MilvusInDoubtError):
                drop("tenant", timeout=20)

            assert "tenant" in server.databases

    def test_are_known_in_a_retry(self, modern: ScriptedMilvus) -> None:
        create("tenant")
        state = TaskState()
        modern.next("DropDatabase", unanswered)
        with pytest.raises(MilvusTimeoutError):
            drop("tenant", a_try(state), timeout=1)
        assert list(modern.databases) == ["default"]

        assert drop("tenant", a_try(state))["dropped"] is True

    def test_leave_a_database_that_somebody_has_made_since(self, modern: ScriptedMilvus) -> None:
        create("tenant")
        state = TaskState()
        modern.next("DropDatabase", unanswered)
        with pytest.raises(MilvusTimeoutError):
            drop("tenant", a_try(state), timeout=1)
        modern.add_database("tenant")

        with pytest.raises(MilvusRefusedError, match="Another one has its name now"):
            drop("tenant", a_try(state))

        assert "tenant" in modern.databases


def test_a_collection_that_came_between_two_tries_stays_until_somebody_clears_the_task(modern: ScriptedMilvus) -> None:
    create("tenant")
    modern.add("goods", database="tenant")
    state = TaskState()
    modern.next("DropCollection", no_change, abort("UNAUTHENTICATED"))
    modern.add("more", database="tenant")
    with pytest.raises(MilvusError):
        drop("tenant", a_try(state), drop_collections=True)
    modern.add("theirs", database="tenant")

    with pytest.raises(MilvusRefusedError, match="since an earlier try of this task somebody has made the collection 'theirs'"):
        drop("tenant", a_try(state), drop_collections=True)
    assert "theirs" in modern.collections

    assert drop("tenant", a_try(state), drop_collections=True)["dropped"] is True
    assert (modern.collections, list(modern.databases)) == ({}, ["default"])


def test_a_database_that_is_another_one_by_now_stays(modern: ScriptedMilvus) -> None:
    create("tenant")
    modern.next("ListDatabases", no_change, change(modern.databases.clear))

    with pytest.raises(MilvusRefusedError, match="another one has its name now"):
        drop("tenant")

    assert modern.received("DropDatabase") == []


def test_a_creation_that_somebody_was_quicker_with_is_not_this_tasks(modern: ScriptedMilvus) -> None:
    modern.next("ShowCollections", change(lambda: modern.add_database("tenant")))

    assert create("tenant", if_exists="skip")["created"] is False
    assert modern.received("CreateDatabase") == []
