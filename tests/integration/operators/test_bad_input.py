"""Input that can never work: a clear error that names the argument or setting, before anything is changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_milvus.exceptions import (
    MilvusAuthenticationError,
    MilvusConfigurationError,
    MilvusDatabaseNotFoundError,
    MilvusError,
    MilvusInvalidArgumentError,
)
from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.operators.milvus import (
    MilvusLoadCollectionOperator,
    MilvusLoadPartitionsOperator,
    MilvusReclaimMemoryOperator,
    MilvusRefreshLoadOperator,
    MilvusReleaseCollectionOperator,
    MilvusReleasePartitionsOperator,
)
from airflow_provider_milvus.sensors.milvus import MilvusLoadStateSensor
from dev.servers.scripted import LOADED, ScriptedMilvus, abort
from tests.integration.support import Connect, ends_within

NAMED = {
    "load": lambda name: MilvusLoadCollectionOperator(task_id="t", collection_name=name),
    "release": lambda name: MilvusReleaseCollectionOperator(task_id="t", collection_name=name),
    "skipping release": lambda name: MilvusReleaseCollectionOperator(task_id="t", collection_name=name, if_missing="skip"),
    "refresh": lambda name: MilvusRefreshLoadOperator(task_id="t", collection_name=name),
    "load partitions": lambda name: MilvusLoadPartitionsOperator(task_id="t", collection_name=name, partition_names="p"),
    "release partitions": lambda name: MilvusReleasePartitionsOperator(task_id="t", collection_name=name, partition_names="p"),
    "sensor": lambda name: MilvusLoadStateSensor(task_id="t", collection_name=name),
    "deferred sensor": lambda name: MilvusLoadStateSensor(task_id="t", collection_name=name, deferrable=True),
}

BAD_NAMES = [
    "",
    " ",
    "\t",
    5,
    5.5,
    None,
    True,
    ["docs"],
    {},
    "d" * 300,
    "größe",
    "文档",
    "'docs'",
    '"docs"',
    "bad name!",
    "1abc",
    "default.docs",
    "docs\n",
    "a;b",
    "{{ x }}",
]


@pytest.mark.parametrize("bad", BAD_NAMES, ids=lambda bad: repr(bad)[:12])
@pytest.mark.parametrize("kind", NAMED)
def test_collection_name_that_can_never_be_is_refused(scripted: ScriptedMilvus, kind: str, bad: Any) -> None:
    with pytest.raises(MilvusInvalidArgumentError, match="collection_name") as refused:
        NAMED[kind](bad).execute({})

    assert scripted.calls == []
    assert "collection not found" not in str(refused.value)


@pytest.mark.parametrize(
    "bad",
    [
        "",
        " ",
        5,
        True,
        ["shop"],
        "d" * 300,
        "größe",
        "'shop'",
        "1abc",
        "sh op",
    ],
    ids=lambda bad: repr(bad)[:12],
)
@pytest.mark.parametrize(
    "act",
    [
        lambda bad: MilvusReleaseCollectionOperator(task_id="t", collection_name="docs", database=bad).execute({}),
        lambda bad: MilvusLoadStateSensor(task_id="t", collection_name="docs", database=bad).execute({}),
        lambda bad: MilvusReclaimMemoryOperator(task_id="t", collections="*", database=bad).execute({}),
        lambda bad: MilvusHook(database=bad),
    ],
    ids=["operator", "sensor", "reclaim", "hook"],
)
def test_database_that_can_never_be_is_refused(scripted: ScriptedMilvus, act: Callable[[Any], Any], bad: Any) -> None:
    with pytest.raises(MilvusInvalidArgumentError, match="database"):
        act(bad)

    assert scripted.calls == []


TIMED = {
    "release": lambda **bad: MilvusReleaseCollectionOperator(task_id="t", collection_name="docs", **bad),
    "load": lambda **bad: MilvusLoadCollectionOperator(task_id="t", collection_name="docs", **bad),
    "refresh": lambda **bad: MilvusRefreshLoadOperator(task_id="t", collection_name="docs", **bad),
    "reclaim": lambda **bad: MilvusReclaimMemoryOperator(task_id="t", collections="*", **bad),
}


@pytest.mark.parametrize(
    "bad", [0, -1, "", float("nan"), float("inf"), True, [], object()], ids=lambda bad: repr(bad).partition(" at ")[0]
)
@pytest.mark.parametrize("kind", TIMED)
def test_timeout_that_can_never_work_is_refused_when_the_dag_is_parsed(kind: str, bad: Any) -> None:
    with pytest.raises(MilvusInvalidArgumentError, match="timeout"):
        TIMED[kind](timeout=bad)


@pytest.mark.parametrize("bad", [0, -1, float("nan"), True], ids=repr)
@pytest.mark.parametrize("argument", ["poll_interval", "stall_timeout"])
def test_intervals_that_can_never_work_are_refused(argument: str, bad: Any) -> None:
    with pytest.raises(MilvusInvalidArgumentError, match=argument):
        TIMED["load"](**{argument: bad})


@pytest.mark.parametrize(
    ("argument", "bad"),
    [
        ("on_timeout", "explode"),
        ("replica_number", 0),
        ("replica_number", "two"),
        ("replica_number", True),
    ],
)
def test_choices_that_do_not_exist_are_refused(argument: str, bad: Any) -> None:
    with pytest.raises(MilvusInvalidArgumentError, match=argument):
        TIMED["load"](**{argument: bad})


def test_other_choices_that_do_not_exist_are_refused() -> None:
    with pytest.raises(MilvusInvalidArgumentError, match="if_missing"):
        MilvusReleaseCollectionOperator(task_id="t", collection_name="docs", if_missing="ignore")
    with pytest.raises(MilvusInvalidArgumentError, match="target_state"):
        MilvusLoadStateSensor(task_id="t", collection_name="docs", target_state="Loading")


@pytest.mark.parametrize(
    ("setting", "described"),
    [
        ("uri", {"extra": {"uri": "localhost:19530"}}),
        ("uri", {"extra": {"uri": "ftp://localhost"}}),
        ("uri", {"extra": {"uri": "http://localhost:0"}}),
        ("uri", {"extra": {"uri": "http://:19530"}}),
        ("uri", {"extra": {"uri": 5}}),
        ("host", {"host": "localhost:19530"}),
        ("host", {"host": "local host"}),
        ("host", {}),
        ("port", {"host": "localhost", "port": 70000}),
        ("port", {"host": "localhost", "port": -1}),
        ("colour", {"host": "localhost", "extra": {"colour": "blue"}}),
        ("extra", {"host": "localhost", "extra": "no json"}),
        ("extra", {"host": "localhost", "extra": "[1]"}),
        ("timeout", {"host": "localhost", "extra": {"timeout": -1}}),
        ("timeout", {"host": "localhost", "extra": {"timeout": "soon"}}),
        ("connect_timeout", {"host": "localhost", "extra": {"connect_timeout": 0}}),
        ("ca_pem_path", {"host": "localhost", "extra": {"ca_pem_path": "/nowhere/ca.pem"}}),
        ("client_key_path", {"host": "localhost", "extra": {"client_pem_path": __file__}}),
        ("secure", {"host": "localhost", "extra": {"secure": "perhaps"}}),
        ("secure", {"extra": {"uri": "http://localhost", "secure": True}}),
        ("token", {"host": "localhost", "login": "root", "password": "longenough", "extra": {"token": "another"}}),
        ("password", {"host": "localhost", "login": "root"}),
        ("database", {"host": "localhost", "schema": "one", "extra": {"database": "two"}}),
        ("type", {"host": "localhost", "conn_type": "postgres"}),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_wrong_connection_names_the_setting(monkeypatch: pytest.MonkeyPatch, setting: str, described: dict[str, Any]) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", json.dumps({"conn_type": "milvus", **described}))

    with ends_within(5), pytest.raises(MilvusConfigurationError, match=setting) as wrong:
        MilvusReleaseCollectionOperator(task_id="t", collection_name="docs").execute({})
    works, message = MilvusHook().test_connection()

    assert "'milvus_default'" in str(wrong.value)
    assert not works
    assert setting in message


@pytest.mark.parametrize("port", [0, None])
def test_port_zero_means_that_none_is_set(monkeypatch: pytest.MonkeyPatch, port: int | None) -> None:
    """The form sends 0 for an empty field."""
    monkeypatch.setenv(
        "AIRFLOW_CONN_MILVUS_DEFAULT", json.dumps({"conn_type": "milvus", "host": "localhost", "port": port, "extra": {}})
    )

    assert MilvusHook().settings.uri == "http://localhost:19530"


def test_wrong_token_is_told_before_anything_is_changed(scripted: ScriptedMilvus, connect: Connect) -> None:
    connect(scripted.uri, token="mistaken")
    docs = scripted.add("docs", LOADED)
    scripted.always("Connect", abort("UNAUTHENTICATED", "auth check failure"))

    with pytest.raises(MilvusAuthenticationError, match="token"):
        MilvusReleaseCollectionOperator(task_id="t", collection_name="docs").execute({})

    assert docs.now == LOADED
    assert {call.name for call in scripted.calls} == {"Connect"}


@pytest.mark.parametrize("kind", NAMED)
def test_wrong_database_is_told_as_such_before_anything_is_changed(
    scripted: ScriptedMilvus, connect: Connect, kind: str
) -> None:
    connect(scripted.uri, database="nowhere")
    docs = scripted.add("docs", LOADED)

    with pytest.raises(MilvusDatabaseNotFoundError, match="'nowhere'") as failed:
        NAMED[kind]("docs").execute({})

    assert "collection not found" not in str(failed.value).lower()
    assert docs.now == LOADED


def test_reclaim_in_a_wrong_database_is_told_as_such(scripted: ScriptedMilvus, connect: Connect) -> None:
    connect(scripted.uri, database="nowhere")

    with pytest.raises(MilvusDatabaseNotFoundError, match="'nowhere'"):
        MilvusReclaimMemoryOperator(task_id="t", collections="*").execute({})


def test_lite_file_in_a_folder_that_does_not_exist_is_named(connect: Connect, tmp_path: Path) -> None:
    connect(str(tmp_path / "missing" / "milvus.db"))

    with pytest.raises(MilvusConfigurationError, match="folder that does not exist"):
        MilvusReleaseCollectionOperator(task_id="t", collection_name="docs").execute({})


def test_errors_of_input_end_the_task_without_a_retry(scripted: ScriptedMilvus) -> None:
    from airflow.providers.common.compat.sdk import AirflowFailException

    with pytest.raises(AirflowFailException):
        NAMED["release"]("").execute({})
    with pytest.raises(MilvusError):
        NAMED["release"]("").execute({})
