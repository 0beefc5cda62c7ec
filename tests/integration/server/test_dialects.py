"""Where the versions of Milvus differ: what comes out is the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_milvus.exceptions import MilvusDatabaseNotFoundError, MilvusLoadFailedError
from airflow_provider_milvus.operators.milvus import (
    MilvusCreateCollectionOperator,
    MilvusDropCollectionOperator,
    MilvusLoadCollectionOperator,
    MilvusReclaimMemoryOperator,
    MilvusReleaseCollectionOperator,
    MilvusRestoreLoadOperator,
)
from airflow_provider_milvus.sensors.milvus import MilvusCollectionSensor, MilvusLoadStateSensor
from dev.servers.dialects import DIALECTS
from dev.servers.scripted import DEFAULT_GROUP, LOADED, NO_ROOM, ScriptedMilvus, scripted_server
from tests.integration.support import Connect, ends_within

SCHEMA = {"fields": [{"name": "id", "type": "INT64", "is_primary": True}, {"name": "v", "type": "FLOAT_VECTOR", "dim": 4}]}


@pytest.fixture(params=DIALECTS.values(), ids=DIALECTS)
def milvus(request: pytest.FixtureRequest, connect: Connect) -> Iterator[ScriptedMilvus]:
    with scripted_server(request.param) as server:
        connect(server.uri)
        yield server


def missing(kind: Any, **arguments: Any) -> Any:
    with ends_within(4):
        return kind(task_id="task", collection_name="docs", timeout=6, **arguments).execute({})


class TestWhatDoesNotExist:
    def test_is_released_and_dropped_with_skip(self, milvus):
        assert missing(MilvusReleaseCollectionOperator, if_missing="skip")["state"] == "NotExist"
        assert missing(MilvusDropCollectionOperator, if_missing="skip")["dropped"] is False

    def test_can_be_created(self, milvus):
        assert missing(MilvusCreateCollectionOperator, schema=SCHEMA)["created"] is True
        assert milvus.collections.keys() == {"docs"}

    def test_is_seen_as_missing(self, milvus):
        missing(MilvusCollectionSensor, exists=False)

    def test_is_not_listed_with_all_others(self, milvus):
        """With ten thousand collections in memory that would be a long answer to a small question."""
        missing(MilvusReleaseCollectionOperator, if_missing="skip")
        assert [list(call.request.collection_names) for call in milvus.received("ShowCollections")] == [["docs"]]

    def test_is_told_from_a_missing_database(self, milvus):
        with pytest.raises(MilvusDatabaseNotFoundError):
            missing(MilvusReleaseCollectionOperator, if_missing="skip", database="books")


PLACES = [
    pytest.param([DEFAULT_GROUP], id="1"),
    pytest.param(["rg_a", "rg_b"], id="2"),
    pytest.param(["rg_a", "rg_a", "rg_a"], id="3 in one group"),
    pytest.param(["rg_a", "rg_b", "rg_c"], id="3"),
]


class TestReplicas:
    @pytest.mark.parametrize("groups", PLACES)
    def test_stay_when_what_is_loaded_is_loaded(self, milvus, groups):
        docs = milvus.add("docs", LOADED, groups=list(groups), load_fields=["id", "v"])
        MilvusLoadCollectionOperator(task_id="load", collection_name="docs", timeout=6).execute({})
        assert (docs.groups, docs.load_fields) == (groups, ["id", "v"])

    @pytest.mark.parametrize("groups", PLACES)
    def test_are_back_after_a_night(self, milvus, groups):
        docs = milvus.add("docs", LOADED, groups=list(groups))
        night = MilvusReclaimMemoryOperator(task_id="night", collections="docs", dry_run=False).execute({})
        assert docs.now[0] == "NotLoad"
        docs.groups = []
        MilvusRestoreLoadOperator(task_id="morning", restore_set=night, poll_interval=0.1).execute({})
        assert (docs.now, docs.groups) == (LOADED, groups)
        (load,) = milvus.received("LoadCollection")
        assert load.request.load_params["load_priority"] == "low"


class TestLoadThatFoundNoRoom:
    def load(self) -> Any:
        return MilvusLoadCollectionOperator(task_id="load", collection_name="docs", timeout=6).execute({})

    @pytest.fixture
    def docs(self, milvus):
        docs = milvus.add("docs", no_room=NO_ROOM)
        with pytest.raises(MilvusLoadFailedError, match=r"'docs' was not loaded"):
            self.load()
        return docs

    def test_can_be_tried_again(self, milvus, docs):
        docs.no_room = ""
        assert self.load()["state"] == "Loaded"

    def test_fails_again_with_its_reason(self, milvus, docs):
        with pytest.raises(MilvusLoadFailedError, match=r"memory limit exceeded\[predict|Usual causes: not enough memory"):
            self.load()

    def test_tells_its_reason_to_whoever_waits(self, milvus, docs, log_text):
        """Where the server tells it."""
        log_text()
        assert not MilvusLoadStateSensor(task_id="wait", collection_name="docs").poke({})
        assert ("memory limit exceeded" in log_text()) is milvus.dialect.remembers_failure

    def test_leaves_nothing_to_release(self, milvus, docs):
        released = MilvusReleaseCollectionOperator(task_id="release", collection_name="docs", timeout=6).execute({})
        assert released["state"] == "NotLoad"
