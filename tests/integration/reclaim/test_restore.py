"""The morning after: exactly what was released comes back, in order, as far as there is room, seen on the server afterwards."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from airflow_provider_milvus.exceptions import (
    MilvusAuthenticationError,
    MilvusDatabaseNotFoundError,
    MilvusInvalidArgumentError,
    MilvusRestoreError,
)
from airflow_provider_milvus.operators.milvus import MilvusReclaimMemoryOperator, MilvusRestoreLoadOperator
from dev.servers.scripted import LOADED, NOT_LOADED, ScriptedMilvus, Step, abort, change, loading, no_change, refuse
from tests.integration.support import (
    SLACK,
    MakeCollection,
    Milvus,
    build_collection,
    context_of_run,
    ends_within,
    load_all,
)

GIB = 1 << 30


def restore(*names: str, context: dict[str, Any] | None = None, **arguments: Any) -> dict[str, Any]:
    """Restore what was released in this order, coldest first."""
    arguments.setdefault("restore_set", {"restore": {"default": list(names)}})
    operator = MilvusRestoreLoadOperator(task_id="restore", poll_interval=0.2, **arguments)
    result: dict[str, Any] = operator.execute(context if context is not None else context_of_run())
    return result


def failing(*names: str, error: type[Exception] = MilvusRestoreError, **arguments: Any) -> dict[str, Any]:
    """The result of a restore that must fail, as it was pushed to XCom before."""
    context = context_of_run()
    with pytest.raises(error):
        restore(*names, context=context, **arguments)
    ((key, pushed),) = context["ti"].pushed
    assert key == "return_value"
    assert json.loads(json.dumps(pushed)) == pushed
    result: dict[str, Any] = pushed
    return result


def names(entries: list[dict[str, str]]) -> list[str]:
    return [entry["collection"] for entry in entries]


def test_brings_back_exactly_what_a_reclaim_released(milvus: Milvus, make_collection: MakeCollection) -> None:
    going = [make_collection(f"office_{name}") for name in ("a", "b", "c")]
    other = make_collection("other")
    with milvus.plain_client() as client:
        load_all(client, going)
    reclaimed = MilvusReclaimMemoryOperator(task_id="reclaim", collections="office_*").execute(context_of_run())
    assert {milvus.state_of(name) for name in going} == {"NotLoad"}
    with milvus.plain_client() as client:
        load_all(client, going[:1])

    result = restore(restore_set=json.loads(json.dumps(reclaimed)), max_parallel=2)

    assert {milvus.state_of(name) for name in going} == {"Loaded"}
    assert milvus.state_of(other) == "NotLoad"
    assert sorted(names(result["loaded"])) == sorted(going[1:])
    assert result["already"] == [
        {"database": "default", "collection": going[0], "state": "Loaded", "reason": "in memory already"}
    ]
    assert result["failed"] == []


def test_each_in_the_database_it_was_released_in(milvus: Milvus, make_collection: MakeCollection) -> None:
    here = make_collection("docs")
    with milvus.plain_client() as client:
        client.create_database("elsewhere")
    try:
        with milvus.plain_client(db_name="elsewhere") as client:
            build_collection(client, "docs", rows=10, dim=4)
            client.release_collection("docs")

        result = restore(restore_set={"restore": {"elsewhere": ["docs"], "default": [here]}}, max_parallel=2)

        assert sorted((entry["database"], entry["collection"]) for entry in result["loaded"]) == sorted(
            [("elsewhere", "docs"), ("default", here)]
        )
        assert milvus.state_of("docs", db_name="elsewhere") == "Loaded"
        assert milvus.state_of(here) == "Loaded"
    finally:
        with milvus.plain_client(db_name="elsewhere") as client:
            client.drop_collection("docs")
        with milvus.plain_client() as client:
            client.drop_database("elsewhere")


@pytest.mark.parametrize("if_missing", ["fail", "skip"])
def test_what_does_not_exist_any_more_is_told(milvus: Milvus, make_collection: MakeCollection, if_missing: str) -> None:
    there = make_collection("docs")
    gone, renamed = "gone_collection", f"was_{there}"
    with milvus.plain_client() as client:
        client.create_alias(there, renamed)
    try:
        run = failing if if_missing == "fail" else restore
        result = run(gone, renamed, there, if_missing=if_missing)
    finally:
        with milvus.plain_client() as client:
            client.drop_alias(renamed)

    assert names(result["loaded"]) == [there]
    entries = result["skipped" if if_missing == "skip" else "failed"]
    assert [(entry["collection"], entry["state"]) for entry in entries] == [(renamed, "NotExist"), (gone, "NotExist")]
    assert milvus.state_of(there) == "Loaded"


def test_missing_database_fails_also_where_the_missing_is_skipped(milvus: Milvus) -> None:
    restore_set = {"restore": {"no_such_database": ["docs"]}}
    result = failing(error=MilvusDatabaseNotFoundError, restore_set=restore_set, if_missing="skip")

    assert names(result["failed"]) == ["docs"]
    assert "no_such_database" in result["failed"][0]["reason"]


@pytest.mark.standalone
def test_nothing_is_loaded_into_full_query_nodes(standalone: Milvus, make_collection: MakeCollection) -> None:
    going = [make_collection(name) for name in ("a", "b")]

    full = failing(*going, max_memory_percent=0.0001)

    assert names(full["failed"]) == going[::-1]
    assert all("no head-room" in entry["reason"] for entry in full["failed"])
    assert {standalone.state_of(name) for name in going} == {"NotLoad"}
    assert names(restore(*going, max_memory_percent=99)["loaded"]) == going[::-1]


def test_server_that_does_not_tell_its_memory_gets_all(
    lite: Milvus, make_collection: MakeCollection, log_text: Callable[[], str]
) -> None:
    going = [make_collection(name) for name in ("a", "b")]

    result = restore(*going, max_memory_percent=50)

    assert names(result["loaded"]) == going[::-1]
    logged = log_text()
    assert logged.count("does not report its query nodes' memory") == logged.count("Reloading 2 collections") > 0


# What follows needs no real server.


def order_of_loads(server: ScriptedMilvus) -> list[str]:
    return [call.request.collection_name for call in server.received("LoadCollection")]


def test_priority_comes_first_and_then_the_hottest(scripted: ScriptedMilvus) -> None:
    for name in ("cold", "api_1", "warm", "api_2", "hot"):
        scripted.add(name)

    restore("cold", "api_1", "warm", "api_2", "hot", first=["warm", "api_*"])

    assert order_of_loads(scripted) == ["warm", "api_2", "api_1", "hot", "cold"]


def test_one_failure_stops_no_other(scripted: ScriptedMilvus, log_text: Callable[[], str]) -> None:
    for name in ("a", "b", "c"):
        scripted.add(name)
    scripted.collections["b"].on_load = [loading(10), NOT_LOADED]
    scripted.next("LoadCollection", lambda *_: None, lambda *_: None, refuse(65535, "no segments"))

    result = failing("a", "b", "c")

    assert names(result["loaded"]) == ["c"]
    assert names(result["failed"]) == ["b", "a"]
    assert "stopped loading it" in result["failed"][0]["reason"]
    assert "no segments" in result["failed"][1]["reason"]
    assert "FAILED" in log_text()


def test_load_that_is_late_has_its_own_time(scripted: ScriptedMilvus) -> None:
    scripted.add("a")
    scripted.add("b", on_load=[loading(40)])

    with ends_within(1 + SLACK):
        result = failing("a", "b", load_timeout=1)

    assert names(result["loaded"]) == ["a"]
    assert "Last seen Loading 40 %" in result["failed"][0]["reason"]


def test_run_that_is_late_tells_what_it_did_not_try(scripted: ScriptedMilvus) -> None:
    scripted.add("a")
    scripted.add("b", on_load=[loading(40)])

    with ends_within(1 + SLACK):
        result = failing("a", "b", timeout=1)

    assert result["failed"][1]["reason"] == "not tried: the run's timeout is used up"
    assert order_of_loads(scripted) == ["b"]


def test_server_that_goes_away_is_not_asked_for_the_rest(scripted: ScriptedMilvus) -> None:
    for name in ("a", "b", "c"):
        scripted.add(name)
    stopping = threading.Thread(target=scripted.stop)

    def stops(server: ScriptedMilvus, request: Any, context: Any) -> None:
        if request.collection_name == "b":
            stopping.start()
            server.pause(5, context)

    scripted.always("LoadCollection", stops)
    with ends_within(4 + SLACK):
        result = failing("a", "b", "c", load_timeout=1)
    stopping.join()
    scripted.start()

    assert names(result["loaded"]) == ["c"]
    assert names(result["failed"]) == ["b", "a"]
    assert "not tried" in result["failed"][1]["reason"]


def test_so_many_are_under_way_at_once(scripted: ScriptedMilvus) -> None:
    """The first is through only when the second was asked for as well."""
    first = scripted.add("first", on_load=[loading(0)])
    scripted.add("second")
    scripted.next("LoadCollection", lambda *_: None, change(lambda: first.become([LOADED])))

    assert names(restore("second", "first", max_parallel=2, load_timeout=10)["loaded"]) != []

    scripted.add("first", on_load=[loading(0)])
    scripted.add("second")
    assert names(failing("second", "first", load_timeout=1)["failed"]) == ["first"]


def test_no_more_than_so_many_are_under_way(scripted: ScriptedMilvus) -> None:
    going = [f"c{number}" for number in range(8)]
    for name in going:
        scripted.add(name, on_load=[loading(0), loading(50), LOADED])
    most = 0

    def count(server: ScriptedMilvus, request: Any, context: Any) -> None:
        nonlocal most
        most = max(most, 1 + sum(collection.now[0] == "Loading" for collection in server.collections.values()))

    scripted.always("LoadCollection", count)

    restore(*going, max_parallel=3)

    assert 1 < most <= 3


def memory(used: int, total: int = 100 * GIB) -> Step:
    """An answer to GetMetrics of two query nodes, of which each has half."""
    node = {"type": "querynode", "hardware_infos": {"memory": total // 2, "memory_usage": used // 2}}
    proxy = {"type": "proxy", "hardware_infos": {"memory": 1, "memory_usage": 1}}
    response = json.dumps({"nodes_info": [{"infos": node}, {"infos": proxy}, {"infos": node}]})
    return lambda server, request, context: {"response": response}


def test_loading_stops_when_there_is_no_head_room_left(scripted: ScriptedMilvus) -> None:
    for name in ("a", "b", "c", "d"):
        scripted.add(name)
    scripted.collections["a"].become([LOADED])
    scripted.next("GetMetrics", memory(80 * GIB))
    scripted.always("GetMetrics", memory(91 * GIB))

    result = failing("a", "b", "c", "d", max_memory_percent=90)

    assert names(result["loaded"]) == ["d"]
    assert [(entry["collection"], entry["state"]) for entry in result["failed"]] == [("c", "NotLoad"), ("b", "NotLoad")]
    assert result["failed"][0]["reason"].startswith("no head-room: the query nodes use 91.0 GiB of 100.0 GiB")
    assert names(result["already"]) == ["a"]
    assert order_of_loads(scripted) == ["d"]


@pytest.mark.parametrize(("size", "fits"), [(10 * GIB, True), (11 * GIB, False), (None, True)])
def test_size_of_what_is_to_come_counts(scripted: ScriptedMilvus, size: int | None, fits: bool) -> None:
    scripted.add("docs")
    scripted.always("GetMetrics", memory(80 * GIB))
    entry = {"database": "default", "collection": "docs", "bytes": size}

    with suppress(MilvusRestoreError):
        restore(restore_set={"restore": {"default": ["docs"]}, "released": [entry]}, max_memory_percent=90)

    assert order_of_loads(scripted) == (["docs"] if fits else [])


def test_what_is_less_wanted_does_not_slip_in_where_the_more_wanted_has_no_room(scripted: ScriptedMilvus) -> None:
    entries = []
    for name, size in (("small", GIB), ("big", 20 * GIB)):
        scripted.add(name)
        entries.append({"database": "default", "collection": name, "bytes": size})
    scripted.always("GetMetrics", memory(80 * GIB))

    result = failing(restore_set={"restore": {"default": ["small", "big"]}, "released": entries}, max_memory_percent=90)

    assert names(result["failed"]) == ["big", "small"]
    assert order_of_loads(scripted) == []


def test_what_is_under_way_counts_too(scripted: ScriptedMilvus) -> None:
    entries = []
    for name in ("a", "b"):
        scripted.add(name, on_load=[loading(0), loading(50), LOADED])
        entries.append({"database": "default", "collection": name, "bytes": 6 * GIB})
    scripted.always("GetMetrics", memory(80 * GIB))

    result = failing(
        restore_set={"restore": {"default": ["a", "b"]}, "released": entries}, max_memory_percent=90, max_parallel=2
    )

    assert names(result["loaded"]) == ["b"]
    assert "no head-room" in result["failed"][0]["reason"]


def test_load_that_somebody_else_began_is_joined(scripted: ScriptedMilvus) -> None:
    scripted.add("docs", loading(10), loading(60), LOADED)

    assert names(restore("docs")["loaded"]) == ["docs"]


def test_retry_does_what_is_left(scripted: ScriptedMilvus) -> None:
    for name in ("a", "b"):
        scripted.add(name)
    scripted.next("LoadCollection", refuse(65535, "not now"))
    failing("a", "b")

    result = restore("a", "b")

    assert (names(result["loaded"]), names(result["already"])) == (["b"], ["a"])


def test_nothing_to_restore_asks_nothing(scripted: ScriptedMilvus) -> None:
    assert restore() == {"loaded": [], "already": [], "skipped": [], "failed": []}
    assert scripted.calls == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"restore_set": None}, "Give either restore_set, or reclaim_dag_id and reclaim_task_id"),
        ({"restore_set": None, "reclaim_dag_id": "d"}, "Give either"),
        ({"reclaim_dag_id": "d", "reclaim_task_id": "t"}, "Give either"),
        ({"restore_set": "{'restore': {}}"}, "render_template_as_native_obj=True"),
        ({"restore_set": {"released": []}}, "restore_set is no restore set: it lacks"),
        ({"restore_set": {"restore": {"default": ["docs"]}, "dry_run": True, "planned": []}}, "dry run"),
        ({"restore_set": {"restore": {"default": ["1 docs"]}}}, "collection in restore_set"),
        ({"restore_set": {"restore": {"a b": ["docs"]}}}, "database in restore_set"),
        ({"first": [""]}, "first holds ''"),
        ({"max_parallel": 0}, "max_parallel"),
        ({"max_parallel": ""}, "max_parallel"),
        ({"max_memory_percent": 0}, "max_memory_percent"),
        ({"max_memory_percent": 101}, "max_memory_percent"),
        ({"if_missing": "ignore"}, "if_missing"),
        ({"load_timeout": 0}, "load_timeout"),
    ],
)
def test_what_can_never_work_is_named_and_nothing_is_asked(
    scripted: ScriptedMilvus, arguments: dict[str, Any], message: str
) -> None:
    scripted.add("docs")

    with pytest.raises(MilvusInvalidArgumentError, match=message):
        restore("docs", **arguments)

    assert scripted.calls == []


def test_credentials_that_are_rejected_midway_end_it_without_a_retry(scripted: ScriptedMilvus) -> None:
    for name in ("a", "b", "c"):
        scripted.add(name)
    scripted.next("LoadCollection", no_change, abort("UNAUTHENTICATED", "auth check failure"))

    with pytest.raises(
        MilvusAuthenticationError, match=r"1 loaded.*2 failed. Not back: b: .*rejected the credentials.*a: not tried"
    ):
        restore("a", "b", "c")
    assert order_of_loads(scripted) == ["c", "b"]
