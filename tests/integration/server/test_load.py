"""Loading a collection: submitted, then watched, in the worker or in the triggerer, with the same end."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_milvus.exceptions import (
    MilvusCollectionNotFoundError,
    MilvusDatabaseNotFoundError,
    MilvusError,
    MilvusIndexNotFoundError,
    MilvusLoadFailedError,
    MilvusLoadStalledError,
    MilvusTimeoutError,
)
from airflow_provider_milvus.operators.milvus import MilvusLoadCollectionOperator
from dev.servers.scripted import LOADED, NOT_LOADED, ScriptedMilvus, change, loading, no_change, refuse
from dev.servers.standalone import PLATFORM_HAS_IT, standalone_server
from tests.integration.support import (
    SLACK,
    Connect,
    MakeCollection,
    Milvus,
    build_collection,
    deferral,
    ends_within,
    eventually,
    finish,
    resume,
    task_threads,
)

IN_BOTH_PLACES = pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "deferred"])


def load_operator(collection_name: str, **arguments: Any) -> MilvusLoadCollectionOperator:
    return MilvusLoadCollectionOperator(task_id="load", collection_name=collection_name, poll_interval=0.1, **arguments)


def test_load_ends_when_the_collection_is_in_memory(milvus: Milvus, make_collection: MakeCollection) -> None:
    name = make_collection()

    result = load_operator(name).execute({})

    assert milvus.state_of(name) == "Loaded"
    assert isinstance(result.pop("seconds"), float)
    assert result == {
        "collection": name,
        "database": "default",
        "previous_state": "NotLoad",
        "state": "Loaded",
        "progress": 100,
    }


@pytest.mark.standalone
def test_deferred_load_ends_as_one_in_the_worker_does(standalone: Milvus, make_collection: MakeCollection) -> None:
    name = make_collection(rows=2000)
    operator = load_operator(name, deferrable=True)

    result = resume(operator, deferral(operator))

    assert standalone.state_of(name) == "Loaded"
    assert {**result, "seconds": 0} == {
        "collection": name,
        "database": "default",
        "previous_state": "NotLoad",
        "state": "Loaded",
        "seconds": 0,
        "progress": 100,
    }


def test_loading_what_is_loaded_succeeds_without_deferring(milvus: Milvus, make_collection: MakeCollection) -> None:
    name = make_collection(load=True)

    result = load_operator(name, deferrable=True).execute({})

    assert (result["previous_state"], result["state"]) == ("Loaded", "Loaded")
    assert json.loads(json.dumps(result)) == result


def test_load_through_alias_names_both(milvus: Milvus, make_collection: MakeCollection) -> None:
    name = make_collection()
    with milvus.plain_client() as client:
        client.create_alias(name, f"live_{name}")

        result = load_operator(f"live_{name}").execute({})

        assert (result["collection"], result["alias"]) == (name, f"live_{name}")
        assert milvus.state_of(name) == "Loaded"
        client.drop_alias(f"live_{name}")


@IN_BOTH_PLACES
def test_progress_is_told_as_it_comes(scripted: ScriptedMilvus, log_text: Callable[[], str], deferrable: bool) -> None:
    scripted.add("docs", on_load=[loading(0), loading(40), loading(40), loading(80), LOADED])

    result = finish(load_operator("docs", deferrable=deferrable))

    assert (result["state"], result["progress"]) == ("Loaded", 100)
    progress = re.findall(r"Collection 'docs': (\w+ \d+ %)", log_text())
    # 2.11 hands a line to two places.
    assert list(dict.fromkeys(progress)) == ["Loading 0 %", "Loading 40 %", "Loading 80 %", "Loaded 100 %"]


@IN_BOTH_PLACES
def test_load_that_the_server_gives_up_fails_at_once_with_its_reason(scripted: ScriptedMilvus, deferrable: bool) -> None:
    """As 2.3.5 does beyond its memory: asked for the progress it answers with an error, and then it is NotLoad for ever."""
    docs = scripted.add("docs", on_load=[loading(0), loading(0), loading(40), NOT_LOADED])
    gives_up = change(lambda: docs.become([NOT_LOADED]))
    reason = refuse(65535, "show collection failed: unrecoverable error")
    scripted.next("GetLoadingProgress", no_change, no_change, lambda *call: (gives_up(*call), reason(*call))[1])

    with ends_within(5), pytest.raises(MilvusLoadFailedError, match="unrecoverable error"):
        finish(load_operator("docs", deferrable=deferrable, timeout=60))

    assert docs.now == NOT_LOADED


@IN_BOTH_PLACES
def test_loading_that_turns_into_not_loaded_fails_at_once(scripted: ScriptedMilvus, deferrable: bool) -> None:
    scripted.add("docs", on_load=[loading(0), loading(0), loading(40), NOT_LOADED])

    with ends_within(5), pytest.raises(MilvusLoadFailedError, match=r"not enough memory .* or a release by somebody else"):
        finish(load_operator("docs", deferrable=deferrable, timeout=60))


def test_load_that_never_begins_fails_at_once(scripted: ScriptedMilvus) -> None:
    scripted.add("docs", on_load=[NOT_LOADED])

    with ends_within(5), pytest.raises(MilvusLoadFailedError, match=r"never began"):
        finish(load_operator("docs", timeout=60))


@IN_BOTH_PLACES
def test_load_that_stands_still_fails_after_stall_timeout(scripted: ScriptedMilvus, deferrable: bool) -> None:
    docs = scripted.add("docs", on_load=[loading(0), loading(40)])

    with ends_within(0.5 + SLACK), pytest.raises(MilvusLoadStalledError, match=r"stood still at Loading 40 %"):
        finish(load_operator("docs", deferrable=deferrable, timeout=60, stall_timeout=0.5))

    assert docs.now == loading(40)


@IN_BOTH_PLACES
def test_load_left_at_its_timeout_goes_on(scripted: ScriptedMilvus, deferrable: bool) -> None:
    docs = scripted.add("docs", on_load=[loading(40)])

    with ends_within(1 + SLACK), pytest.raises(MilvusTimeoutError, match=r"Last seen Loading 40 %"):
        finish(load_operator("docs", deferrable=deferrable, timeout=1))

    assert docs.now == loading(40)
    assert scripted.received("ReleaseCollection") == []


@IN_BOTH_PLACES
@pytest.mark.parametrize("limit", [{"timeout": 1}, {"timeout": 60, "stall_timeout": 1}], ids=["timeout", "stall"])
def test_load_can_be_released_at_its_timeout(scripted: ScriptedMilvus, deferrable: bool, limit: dict[str, float]) -> None:
    docs = scripted.add("docs", on_load=[loading(40)])

    with (
        ends_within(1 + SLACK),
        pytest.raises(MilvusError, match="Collection 'docs' was released, since this task started the load"),
    ):
        finish(load_operator("docs", deferrable=deferrable, on_timeout="release", **limit))

    assert docs.now == NOT_LOADED
    assert len(scripted.received("ReleaseCollection")) == 1


@IN_BOTH_PLACES
def test_load_that_somebody_else_began_is_not_released(scripted: ScriptedMilvus, deferrable: bool) -> None:
    docs = scripted.add("docs", loading(40))

    with pytest.raises(MilvusTimeoutError, match="was left as it is: it was in memory before this task"):
        finish(load_operator("docs", deferrable=deferrable, timeout=1, on_timeout="release"))

    assert docs.now == loading(40)
    assert scripted.received("ReleaseCollection") == []


def test_options_reach_the_server(scripted: ScriptedMilvus) -> None:
    scripted.add("docs")

    load_operator(
        "docs", replica_number=2, resource_groups=["rg_a"], load_fields=["id", "vector"], skip_load_dynamic_field=True
    ).execute({})

    (sent,) = scripted.received("LoadCollection")
    assert sent.request.replica_number == 2
    assert list(sent.request.resource_groups) == ["rg_a"]
    assert list(sent.request.load_fields) == ["id", "vector"]
    assert sent.request.skip_load_dynamic_field is True


@pytest.mark.standalone
def test_without_an_index_it_says_so(standalone: Milvus, make_collection: MakeCollection) -> None:
    name = make_collection(index="")

    with ends_within(5), pytest.raises(MilvusIndexNotFoundError, match=r"[Cc]reate an index"):
        load_operator(name).execute({})

    assert standalone.state_of(name) == "NotLoad"


@pytest.mark.standalone
def test_more_replicas_than_nodes_are_refused_by_the_server(standalone: Milvus, make_collection: MakeCollection) -> None:
    name = make_collection()

    with ends_within(5), pytest.raises(MilvusError, match="nodes not enough"):
        load_operator(name, replica_number=2).execute({})

    assert standalone.state_of(name) == "NotLoad"


@IN_BOTH_PLACES
def test_missing_collection_fails(milvus: Milvus, deferrable: bool) -> None:
    with pytest.raises(MilvusCollectionNotFoundError, match="nowhere"):
        load_operator("nowhere", deferrable=deferrable).execute({})


def test_missing_database_is_not_a_missing_collection(milvus: Milvus, make_collection: MakeCollection) -> None:
    name = make_collection()

    with pytest.raises(MilvusDatabaseNotFoundError) as failed:
        load_operator(name, database="nowhere").execute({})

    assert "collection not found" not in str(failed.value).lower()
    assert milvus.state_of(name) == "NotLoad"


def test_killed_task_releases_the_load_it_began(scripted: ScriptedMilvus) -> None:
    docs = scripted.add("docs", on_load=[loading(40)])
    operator = load_operator("docs", release_on_kill=True, timeout=20)

    with task_threads(1) as worker:
        task = worker.submit(operator.execute, {})
        eventually(lambda: len(scripted.received("GetLoadingProgress")) > 2)
        operator.on_kill()

        with pytest.raises(MilvusLoadFailedError):
            task.result()

    assert docs.now == NOT_LOADED


def test_killed_task_leaves_its_load_by_default(scripted: ScriptedMilvus) -> None:
    scripted.add("docs", on_load=[loading(40)])
    operator = load_operator("docs", timeout=1)
    with pytest.raises(MilvusTimeoutError):
        operator.execute({})

    operator.on_kill()

    assert scripted.received("ReleaseCollection") == []


def test_killed_task_leaves_what_others_loaded(milvus: Milvus, make_collection: MakeCollection) -> None:
    name = make_collection(load=True)
    operator = load_operator(name, release_on_kill=True)
    operator.execute({})

    operator.on_kill()

    assert milvus.state_of(name) == "Loaded"


def test_task_killed_before_it_began_does_nothing(scripted: ScriptedMilvus) -> None:
    load_operator("docs", release_on_kill=True).on_kill()

    assert scripted.calls == []


@pytest.mark.standalone
def test_killed_task_releases_on_the_real_server(standalone: Milvus, make_collection: MakeCollection) -> None:
    name = make_collection(rows=2000)
    operator = load_operator(name, release_on_kill=True)

    with task_threads(1) as worker:
        task = worker.submit(operator.execute, {})
        eventually(lambda: operator._loading is not None)
        operator.on_kill()

        # On a busy machine the load may be through before the release is.
        with suppress(MilvusLoadFailedError):
            task.result()

    eventually(lambda: standalone.state_of(name) == "NotLoad")


@pytest.mark.slow
@pytest.mark.newest
@pytest.mark.standalone
def test_load_beyond_the_memory_ends_and_frees_what_it_took(tmp_path: Path, connect: Connect) -> None:
    """2.3.5 loads the segments that fit, tries the others again and again, and says Loading all the while."""
    if not PLATFORM_HAS_IT:
        pytest.skip("there is no Milvus 2.3.5 for this platform")
    with standalone_server(tmp_path, {"queryCoord.overloadedMemoryThresholdPercentage": "1"}) as running:
        connect(running.uri)
        server = Milvus("standalone", running.uri, running.process)
        with server.plain_client() as client:
            # A FLAT index counts for nothing in the server's estimate.
            build_collection(client, "docs", rows=40_000, dim=512, index="IVF_FLAT")

        with ends_within(60), pytest.raises(MilvusError, match="memory") as failed:
            load_operator("docs", timeout=55, stall_timeout=8, on_timeout="release").execute({})

        assert isinstance(failed.value, (MilvusLoadStalledError, MilvusLoadFailedError))
        assert server.state_of("docs") == "NotLoad"
