"""Refreshing a loaded collection: bounded everywhere, and honest on Milvus Lite, which never reports its progress."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_milvus.exceptions import (
    MilvusCollectionNotFoundError,
    MilvusLoadStalledError,
    MilvusRefusedError,
    MilvusTimeoutError,
    MilvusUnsupportedError,
)
from airflow_provider_milvus.operators.milvus import MilvusRefreshLoadOperator
from dev.servers.scripted import LOADED, ScriptedMilvus, loading
from tests.integration.support import SLACK, MakeCollection, Milvus, ends_within, finish

IN_BOTH_PLACES = pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "deferred"])


def refresh(collection_name: str, **arguments: Any) -> Any:
    return finish(MilvusRefreshLoadOperator(task_id="refresh", collection_name=collection_name, poll_interval=0.2, **arguments))


@pytest.mark.standalone
def test_refresh_ends_and_the_collection_stays_loaded(standalone: Milvus, make_collection: MakeCollection) -> None:
    name = make_collection(load=True)

    result = refresh(name, deferrable=True)

    assert standalone.state_of(name) == "Loaded"
    assert {**result, "seconds": 0} == {
        "collection": name,
        "database": "default",
        "previous_state": "Loaded",
        "state": "Loaded",
        "seconds": 0,
    }


@pytest.mark.standalone
def test_refresh_of_what_is_not_loaded_is_refused(standalone: Milvus, make_collection: MakeCollection) -> None:
    name = make_collection()

    with pytest.raises(MilvusRefusedError, match="is NotLoad, and only a loaded collection"):
        refresh(name)

    assert standalone.state_of(name) == "NotLoad"


def test_lite_says_that_it_cannot_tell_and_keeps_the_collection(lite: Milvus, make_collection: MakeCollection) -> None:
    name = make_collection(load=True)

    with ends_within(3), pytest.raises(MilvusUnsupportedError, match="never reports the progress of a refresh"):
        refresh(name, timeout=3)

    assert lite.state_of(name) == "Loaded"


def test_missing_collection_fails(milvus: Milvus) -> None:
    with pytest.raises(MilvusCollectionNotFoundError, match="nowhere"):
        refresh("nowhere")


@IN_BOTH_PLACES
def test_refresh_that_never_ends_fails_at_its_timeout(scripted: ScriptedMilvus, deferrable: bool) -> None:
    docs = scripted.add("docs", LOADED, refresh_progress=50)

    with ends_within(1 + SLACK), pytest.raises(MilvusTimeoutError, match="Last seen Refreshing 50 %"):
        refresh("docs", timeout=1, deferrable=deferrable)

    assert docs.now == LOADED


@IN_BOTH_PLACES
def test_refresh_that_stands_still_fails_after_stall_timeout(scripted: ScriptedMilvus, deferrable: bool) -> None:
    scripted.add("docs", LOADED, refresh_progress=50)

    with ends_within(0.5 + SLACK), pytest.raises(MilvusLoadStalledError, match="stood still at Refreshing 50 %"):
        refresh("docs", timeout=60, stall_timeout=0.5, deferrable=deferrable)


def test_refresh_asks_for_one(scripted: ScriptedMilvus) -> None:
    scripted.add("docs", LOADED, aliases=["live"])

    result = refresh("live")

    (sent,) = scripted.received("LoadCollection")
    assert (sent.request.collection_name, sent.request.refresh) == ("docs", True)
    assert result["collection"] == "docs"


def test_collection_that_is_loading_is_not_refreshed(scripted: ScriptedMilvus) -> None:
    scripted.add("docs", loading(40))

    with pytest.raises(MilvusRefusedError, match="is Loading"):
        refresh("docs")

    assert scripted.received("LoadCollection") == []
