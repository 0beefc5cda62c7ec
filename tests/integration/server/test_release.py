"""Releasing a collection: done when the server says NotLoad, refused where it would hurt somebody."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_milvus.exceptions import (
    MilvusCollectionNotFoundError,
    MilvusDatabaseNotFoundError,
    MilvusRefusedError,
    MilvusTimeoutError,
)
from airflow_provider_milvus.operators.milvus import MilvusReleaseCollectionOperator
from dev.servers.scripted import LOADED, NOT_LOADED, ScriptedMilvus, change, loading, lost, refuse, unanswered
from tests.integration.support import SLACK, MakeCollection, Milvus, ends_within, load_all, task_threads


def release(collection_name: str, **arguments: object) -> dict[str, object]:
    operator = MilvusReleaseCollectionOperator(task_id="release", collection_name=collection_name, **arguments)
    result: dict[str, object] = operator.execute({})
    return result


def test_release_ends_when_the_collection_is_out_of_memory(milvus: Milvus, make_collection: MakeCollection) -> None:
    name = make_collection(load=True)

    result = release(name)

    assert milvus.state_of(name) == "NotLoad"
    seconds = result.pop("seconds")
    assert isinstance(seconds, float)
    assert result == {"collection": name, "database": "default", "previous_state": "Loaded", "state": "NotLoad"}


def test_release_returns_what_fits_into_xcom(lite: Milvus, make_collection: MakeCollection) -> None:
    result = release(make_collection(load=True))

    assert json.loads(json.dumps(result)) == result


def test_releasing_what_is_not_in_memory_succeeds(milvus: Milvus, make_collection: MakeCollection) -> None:
    name = make_collection()

    result = release(name)

    assert (result["previous_state"], result["state"]) == ("NotLoad", "NotLoad")
    assert milvus.state_of(name) == "NotLoad"


def test_missing_collection_fails(milvus: Milvus) -> None:
    with pytest.raises(MilvusCollectionNotFoundError, match="nowhere"):
        release("nowhere")


def test_missing_collection_can_be_skipped(milvus: Milvus) -> None:
    result = release("nowhere", if_missing="skip")

    assert (result["previous_state"], result["state"]) == ("NotExist", "NotExist")


def test_missing_database_is_not_a_missing_collection(milvus: Milvus, make_collection: MakeCollection) -> None:
    name = make_collection(load=True)

    for if_missing in ("fail", "skip"):
        with pytest.raises(MilvusDatabaseNotFoundError) as refused:
            release(name, database="nowhere", if_missing=if_missing)

        assert "'nowhere'" in str(refused.value)
        assert "collection not found" not in str(refused.value).lower()
    assert milvus.state_of(name) == "Loaded"


def test_release_through_alias_is_refused_until_it_is_allowed(milvus: Milvus, make_collection: MakeCollection) -> None:
    name = make_collection(load=True)
    with milvus.plain_client() as client:
        client.create_alias(name, f"live_{name}")

        with pytest.raises(MilvusRefusedError, match=f"'{name}' was not released: .* is an alias of it"):
            release(f"live_{name}")

        assert milvus.state_of(name) == "Loaded"

        result = release(f"live_{name}", allow_alias=True)

        assert (result["collection"], result["alias"]) == (name, f"live_{name}")
        assert milvus.state_of(name) == "NotLoad"
        client.drop_alias(f"live_{name}")


def test_release_of_what_is_being_loaded_is_refused(scripted: ScriptedMilvus) -> None:
    scripted.add("docs", loading(40))

    with pytest.raises(MilvusRefusedError, match="being loaded"):
        release("docs")

    assert scripted.received("ReleaseCollection") == []


def test_release_of_what_is_being_loaded_can_be_forced(scripted: ScriptedMilvus) -> None:
    docs = scripted.add("docs", loading(40))

    result = release("docs", force=True)

    assert result["previous_state"] == "Loading"
    assert docs.now == NOT_LOADED


def test_release_without_an_answer_is_watched_and_not_sent_twice(scripted: ScriptedMilvus) -> None:
    """The server has it in its queue: the call times out, the collection leaves memory later."""
    docs = scripted.add("docs", LOADED, on_release=[LOADED, LOADED, NOT_LOADED])
    scripted.next("ReleaseCollection", unanswered)

    result = release("docs", timeout=3)

    assert result["state"] == "NotLoad"
    assert docs.now == NOT_LOADED
    assert len(scripted.received("ReleaseCollection")) == 1


def test_release_that_is_never_carried_out_fails_at_its_timeout(scripted: ScriptedMilvus) -> None:
    scripted.add("docs", LOADED, on_release=[LOADED])

    with (
        ends_within(1 + SLACK),
        pytest.raises(MilvusTimeoutError, match=r"still Loaded when it was seen last.*may still be releasing it"),
    ):
        release("docs", timeout=1)


def test_release_whose_answer_was_lost_and_that_was_forgotten_is_sent_again(scripted: ScriptedMilvus) -> None:
    """The load is the same as before, by its replicas; so nobody has loaded it since."""
    docs = scripted.add("docs", LOADED, on_release=[LOADED])
    scripted.next("ReleaseCollection", lost, change(lambda: setattr(docs, "on_release", [NOT_LOADED])))

    assert release("docs", timeout=20)["state"] == "NotLoad"
    assert len(scripted.received("ReleaseCollection")) == 2


def test_release_that_the_server_is_late_with_is_watched(scripted: ScriptedMilvus) -> None:
    """Its clock of the call may run out a moment before the client's does; it carries the release out all the same."""
    scripted.add("docs", LOADED, on_release=[LOADED, NOT_LOADED])

    def late(server: ScriptedMilvus, request: Any, context: Any) -> Any:
        server.carry_out(request)
        return refuse(65535, "proxy TaskCondition context Done")(server, request, context)

    scripted.next("ReleaseCollection", late)

    assert release("docs", timeout=20)["state"] == "NotLoad"
    assert len(scripted.received("ReleaseCollection")) == 1


def test_rate_limited_release_is_tried_again(scripted: ScriptedMilvus) -> None:
    docs = scripted.add("docs", LOADED)
    scripted.next("ReleaseCollection", *[refuse(8, "request is rejected by limiter, please retry later")] * 3)

    release("docs", timeout=20)

    assert docs.now == NOT_LOADED
    assert len(scripted.received("ReleaseCollection")) == 4


def test_release_asks_for_the_database_it_was_given(scripted: ScriptedMilvus) -> None:
    scripted.add_database("shop")
    scripted.add("docs", LOADED)

    release("docs", database="shop")

    (sent,) = scripted.received("ReleaseCollection")
    assert (sent.request.db_name, sent.metadata["dbname"]) == ("shop", "shop")


@pytest.mark.slow
@pytest.mark.newest
@pytest.mark.standalone
def test_forty_releases_at_once_all_succeed(standalone: Milvus, make_collection: MakeCollection) -> None:
    """The real server does one a second: the late ones outlast any single call's patience."""
    with task_threads(8) as builders:
        names = list(builders.map(lambda number: make_collection(f"forty_{number}", rows=10), range(40)))
    with standalone.plain_client() as client:
        load_all(client, names)

    with task_threads(40) as tasks:
        results = list(tasks.map(lambda name: release(name, timeout=120), names))

    assert [result["previous_state"] for result in results] == ["Loaded"] * 40
    assert {standalone.state_of(name) for name in names} == {"NotLoad"}
