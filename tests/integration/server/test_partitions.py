"""Partitions, one by one: Milvus calls a collection Loaded as soon as one of them is."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_milvus.exceptions import (
    MilvusInvalidArgumentError,
    MilvusPartitionNotFoundError,
    MilvusUnsupportedError,
)
from airflow_provider_milvus.operators.milvus import (
    MilvusLoadCollectionOperator,
    MilvusLoadPartitionsOperator,
    MilvusReleasePartitionsOperator,
)
from airflow_provider_milvus.sensors.milvus import MilvusLoadStateSensor
from tests.integration.support import MakeCollection, Milvus, finish


def load(name: str, partition_names: Any, **arguments: Any) -> Any:
    return finish(
        MilvusLoadPartitionsOperator(
            task_id="load", collection_name=name, partition_names=partition_names, poll_interval=0.2, **arguments
        )
    )


def release(name: str, partition_names: Any, **arguments: Any) -> Any:
    return MilvusReleasePartitionsOperator(
        task_id="release", collection_name=name, partition_names=partition_names, **arguments
    ).execute({})


def with_halves(server: Milvus, name: str) -> str:
    """A collection that is not loaded gets the partitions ``left`` and ``right`` beside the default one."""
    with server.plain_client() as client:
        client.create_partition(name, "left")
        client.create_partition(name, "right")
    return name


@pytest.fixture
def halves(milvus: Milvus, make_collection: MakeCollection) -> str:
    return with_halves(milvus, make_collection())


@pytest.fixture
def standalone_halves(standalone: Milvus, make_collection: MakeCollection) -> str:
    return with_halves(standalone, make_collection())


@pytest.mark.standalone
def test_only_the_named_partition_is_loaded_and_the_sensor_asks_for_it(standalone: Milvus, standalone_halves: str) -> None:
    result = load(standalone_halves, ["left"], deferrable=True)

    assert (result["previous_state"], result["state"], result["partitions"]) == ("NotLoad", "Loaded", ["left"])
    assert standalone.state_of(standalone_halves, "left") == "Loaded"
    assert standalone.state_of(standalone_halves, "right") == "NotLoad"
    assert standalone.state_of(standalone_halves) == "Loaded"

    def sees(partition_names: Any) -> bool:
        return MilvusLoadStateSensor(task_id="wait", collection_name=standalone_halves, partition_names=partition_names).poke(
            {}
        )

    assert sees("*")
    assert sees("left")
    assert not sees("right")
    assert not sees(["left", "right"])


@pytest.mark.standalone
def test_only_the_named_partitions_that_are_loaded_are_released(standalone: Milvus, standalone_halves: str) -> None:
    load(standalone_halves, ["left", "right"])

    result = release(standalone_halves, "left")

    assert (result["previous_state"], result["state"], result["partitions"]) == ("Loaded", "NotLoad", ["left"])
    assert standalone.state_of(standalone_halves, "left") == "NotLoad"
    assert standalone.state_of(standalone_halves, "right") == "Loaded"

    release(standalone_halves, ["left", "right"])

    assert standalone.state_of(standalone_halves, "right") == "NotLoad"


@pytest.mark.standalone
@pytest.mark.parametrize("deferrable", [False, True])
def test_loading_the_collection_is_done_when_all_of_it_is_served(
    standalone: Milvus, standalone_halves: str, deferrable: bool
) -> None:
    """2.3.5 says Loaded while a query finds the left half only, for up to ten seconds."""
    name = standalone_halves
    with standalone.plain_client() as client:
        for partition, key in (("left", 1001), ("right", 1002)):
            client.insert(name, [{"id": key, "vector": [0.1] * 8}], partition_name=partition)
        client.flush(name)
    load(name, ["left"])

    finish(MilvusLoadCollectionOperator(task_id="load", collection_name=name, poll_interval=0.2, deferrable=deferrable))

    with standalone.plain_client() as client:
        found = client.query(name, filter="id in [1001, 1002]", output_fields=["id"], consistency_level="Strong")
    assert sorted(row["id"] for row in found) == [1001, 1002]


@pytest.mark.standalone
def test_loading_the_collection_completes_it_and_a_kill_leaves_what_was_there(
    standalone: Milvus, standalone_halves: str
) -> None:
    load(standalone_halves, ["left"])
    operator = MilvusLoadCollectionOperator(
        task_id="load", collection_name=standalone_halves, poll_interval=0.2, release_on_kill=True
    )

    operator.execute({})
    operator.on_kill()

    assert standalone.state_of(standalone_halves, "left") == "Loaded"
    assert standalone.state_of(standalone_halves, "right") == "Loaded"


def test_missing_partition_fails_before_anything_is_changed(milvus: Milvus, halves: str) -> None:
    with pytest.raises(MilvusPartitionNotFoundError, match="'middle'"):
        load(halves, ["left", "middle"])
    assert milvus.state_of(halves) == "NotLoad"

    with milvus.plain_client() as client:
        client.load_collection(halves)
    with pytest.raises(MilvusPartitionNotFoundError, match="'middle'"):
        release(halves, ["left", "middle"])
    assert milvus.state_of(halves) == "Loaded"


def test_lite_cannot_do_it_and_changes_nothing(lite: Milvus, make_collection: MakeCollection) -> None:
    name = make_collection(load=True)

    with pytest.raises(MilvusUnsupportedError):
        release(name, "_default")

    assert lite.state_of(name) == "Loaded"


@pytest.mark.parametrize("partition_names", [[], "", [""], [None], "left right", 5, None])
def test_partition_names_that_can_never_be_are_refused(lite: Milvus, partition_names: Any) -> None:
    with pytest.raises(MilvusInvalidArgumentError, match="partition_names"):
        release("docs", partition_names)
    with pytest.raises(MilvusInvalidArgumentError, match="partition_names"):
        load("docs", partition_names)
