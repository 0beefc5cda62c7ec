"""Many waits of a triggerer: one client, one list a poll, and for each wait an end of its own that the server confirms."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from airflow_provider_milvus.client.shared import _OF_LOOP
from airflow_provider_milvus.conditions import Condition, LoadFinished, LoadState
from airflow_provider_milvus.hooks.connections import _fetch
from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.triggers.milvus import MilvusConditionTrigger, outcome_of
from dev.servers.scripted import LOADED, NOT_LOADED, ScriptedMilvus, abort, loading, refuse, scripted_server
from tests.integration.support import Connect, MakeCollection, Milvus, event_of

POLL = 0.3


def waits_for(conditions: Sequence[Condition], seconds: float = 30, **arguments: Any) -> list[MilvusConditionTrigger]:
    end = time.time() + seconds
    return [
        MilvusConditionTrigger(condition=condition.serialize(), end=end, **{"poll_interval": POLL, **arguments})
        for condition in conditions
    ]


async def events_of(triggers: Sequence[MilvusConditionTrigger]) -> list[dict[str, Any]]:
    return list(await asyncio.gather(*map(event_of, triggers)))


def calls_of(server: ScriptedMilvus) -> Counter[str]:
    return Counter(call.name for call in server.calls)


async def asked(server: ScriptedMilvus, call: str = "ShowCollections", times: int = 2) -> None:
    """Until the server has answered it ``times`` more, however busy the machine is; which is after Connect."""
    wanted = calls_of(server)[call] + times
    async with asyncio.timeout(20):
        while calls_of(server)[call] < wanted:  # noqa: ASYNC110, the server is in threads of its own
            await asyncio.sleep(0.02)


async def test_they_connect_once_and_are_answered_by_one_list_a_poll(scripted: ScriptedMilvus) -> None:
    names = [f"docs_{number}" for number in range(50)]
    for name in names:
        scripted.add(name, loading(40))
    waiting = asyncio.create_task(events_of(waits_for([LoadFinished(name) for name in names])))
    await asked(scripted)
    before = calls_of(scripted)
    await asyncio.sleep(4 * POLL)
    during = calls_of(scripted) - before

    for name in names:
        scripted.collections[name].become([LOADED])
    events = await waiting

    assert calls_of(scripted)["Connect"] == 1
    assert set(during) == {"ShowCollections"}
    assert 1 <= during["ShowCollections"] <= 8
    assert [outcome_of(event).state for event in events] == ["Loaded"] * 50
    # A list ends no wait: the collection's own state does.
    assert calls_of(scripted)["GetLoadState"] == 50


async def test_an_end_is_seen_by_all_that_reach_it_and_by_nobody_else(scripted: ScriptedMilvus) -> None:
    for name in ("reached", "stays", "given_up", "dropped", "released"):
        scripted.add(name, loading(40))
    kinds = {
        "reached": LoadFinished("reached"),
        "stays": LoadFinished("stays"),
        "given_up": LoadFinished("given_up"),
        "dropped": LoadFinished("dropped"),
        "released": LoadState("released", target_state="NotLoad"),
        "never there": LoadState("nowhere"),
    }
    waiting = asyncio.create_task(events_of(waits_for(list(kinds.values()), seconds=4)))
    await asked(scripted)

    scripted.collections["reached"].become([LOADED])
    scripted.collections["given_up"].become([NOT_LOADED])
    scripted.collections["released"].become([NOT_LOADED])
    del scripted.collections["dropped"]
    events = dict(zip(kinds, await waiting, strict=True))

    assert events["reached"]["seen"]["state"] == "Loaded"
    assert events["released"]["seen"]["state"] == "NotLoad"
    assert {name: event["error"]["kind"] for name, event in events.items() if "error" in event} == {
        "stays": "MilvusTimeoutError",
        "given_up": "MilvusLoadFailedError",
        "dropped": "MilvusCollectionNotFoundError",
        "never there": "MilvusCollectionNotFoundError",
    }
    assert "Last seen Loading 40 %" in events["stays"]["error"]["message"]


@pytest.mark.parametrize("answer", [refuse(65535, "no such thing"), abort("PERMISSION_DENIED", "ShowCollections")])
async def test_where_no_list_can_be_had_each_looks_by_itself(scripted: ScriptedMilvus, answer: Any) -> None:
    scripted.always("ShowCollections", answer)
    for name in ("docs", "more"):
        scripted.add(name, loading(40), loading(60), LOADED)

    events = await events_of(waits_for([LoadState("docs"), LoadState("more")]))

    assert [outcome_of(event).state for event in events] == ["Loaded", "Loaded"]


async def test_what_the_list_does_not_name_looks_by_itself(scripted: ScriptedMilvus) -> None:
    """Milvus lists for a user only what he may see."""
    for name in ("docs", "more"):
        scripted.add(name, loading(40), loading(60), LOADED)
    scripted.always("ShowCollections", lambda server, request, context: {"collection_names": [], "inMemory_percentages": []})

    events = await events_of(waits_for([LoadState("docs"), LoadState("more")]))

    assert [outcome_of(event).state for event in events] == ["Loaded", "Loaded"]


async def test_databases_have_lists_of_their_own(scripted: ScriptedMilvus) -> None:
    scripted.add_database("shop")
    scripted.add("docs", loading(40))
    triggers = [
        *waits_for([LoadState("docs")] * 2, seconds=2.5 * POLL),
        *waits_for([LoadState("docs")] * 2, seconds=2.5 * POLL, database="shop"),
    ]

    await events_of(triggers)

    lists = [call for call in scripted.received("ShowCollections") if call.request.type == 1]
    assert {call.request.db_name for call in lists} == {"default", "shop"}
    assert {call.metadata["dbname"] for call in lists} == {"default", "shop"}


async def test_the_client_is_closed_after_the_last_and_opened_anew_for_the_next(scripted: ScriptedMilvus) -> None:
    scripted.add("docs", loading(40))
    for connects in (1, 2):
        waiting = asyncio.create_task(events_of(waits_for([LoadState("docs")] * 3)))
        await asked(scripted)
        assert len(_OF_LOOP[asyncio.get_running_loop()]) == 1

        waiting.cancel()
        await asyncio.wait([waiting])
        await asyncio.sleep(0.1)

        assert _OF_LOOP[asyncio.get_running_loop()] == []
        assert calls_of(scripted)["Connect"] == connects


async def test_a_connection_that_has_changed_is_not_shared_with_what_it_was(scripted: ScriptedMilvus, connect: Connect) -> None:
    scripted.add("docs", loading(40))
    with scripted_server() as other:
        other.add("docs", LOADED)
        waiting = asyncio.create_task(events_of(waits_for([LoadState("docs")])))
        await asked(scripted, "GetLoadState")

        connect(other.uri)
        (event,) = await events_of(waits_for([LoadState("docs")]))

        assert outcome_of(event).state == "Loaded"
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])


async def test_a_password_that_was_changed_meanwhile_is_read_again(scripted: ScriptedMilvus, connect: Connect) -> None:
    def only(token: str) -> Any:
        from base64 import b64encode

        expected = b64encode(token.encode()).decode()

        def check(server: Any, request: Any, context: Any) -> None:
            if dict(context.invocation_metadata()).get("authorization") != expected:
                abort("UNAUTHENTICATED", "auth check failure")(server, request, context)

        return check

    scripted.add("docs", loading(40))
    connect(scripted.uri, login="loader", password="old")
    waiting = asyncio.create_task(events_of(waits_for([LoadState("docs")] * 2)))
    await asked(scripted)
    connect(scripted.uri, login="loader", password="new")
    for call in ("Connect", "GetLoadState", "ShowCollections", "GetLoadingProgress"):
        scripted.always(call, only("loader:new"))
    await asyncio.sleep(2 * POLL)
    assert not waiting.done()

    scripted.collections["docs"].become([LOADED])
    events = await waiting

    assert [outcome_of(event).state for event in events] == ["Loaded", "Loaded"]


async def test_a_password_that_is_wrong_ends_the_wait(scripted: ScriptedMilvus, connect: Connect) -> None:
    scripted.add("docs", loading(40))
    scripted.always("GetLoadState", abort("UNAUTHENTICATED", "auth check failure"))

    (event,) = await events_of(waits_for([LoadState("docs")]))

    assert event["error"]["kind"] == "MilvusAuthenticationError"
    assert len(scripted.received("GetLoadState")) == 1


async def test_a_host_that_is_gone_does_not_slow_the_others(scripted: ScriptedMilvus, silent: str, connect: Connect) -> None:
    scripted.add("docs", loading(40), LOADED)
    connect(silent, conn_id="gone")
    gone = asyncio.create_task(events_of(waits_for([LoadState("docs")] * 20, seconds=5, milvus_conn_id="gone")))
    await asyncio.sleep(0.2)

    began = time.monotonic()
    await events_of(waits_for([LoadState("docs")] * 2))
    took = time.monotonic() - began
    events = await gone

    assert took < 4 * POLL + 1
    assert {event["error"]["kind"] for event in events} <= {"MilvusTimeoutError", "MilvusUnavailableError"}


async def test_a_server_that_comes_back_is_reached_by_one_connection(scripted: ScriptedMilvus) -> None:
    scripted.add("docs", loading(40))
    waiting = asyncio.create_task(events_of(waits_for([LoadState("docs")] * 30)))
    await asked(scripted)

    scripted.stop()
    await asyncio.sleep(2 * POLL)
    scripted.start()
    scripted.collections["docs"].become([LOADED])
    events = await waiting

    assert [outcome_of(event).state for event in events] == ["Loaded"] * 30
    assert calls_of(scripted)["Connect"] <= 4


async def test_real_servers_are_waited_for_together(milvus: Milvus, make_collection: MakeCollection) -> None:
    names = [make_collection(rows=10, load=False) for _ in range(4)]
    waiting = asyncio.create_task(events_of(waits_for([LoadState(name) for name in names], seconds=60)))
    released = asyncio.create_task(
        events_of(waits_for([LoadState(name, target_state="NotLoad") for name in names], seconds=60))
    )
    await released
    with milvus.plain_client() as client:
        for name in names:
            await asyncio.to_thread(client.load_collection, name)

    events = await waiting

    assert [outcome_of(event).state for event in events] == ["Loaded"] * 4
    assert [milvus.state_of(name) for name in names] == ["Loaded"] * 4


def test_hooks_of_one_connection_have_one_client(scripted: ScriptedMilvus) -> None:
    async def clients() -> list[Any]:
        hooks = [MilvusHook() for _ in range(2)]
        async with await hooks[0].shared_client() as first, await hooks[1].shared_client() as second:
            return [first, second]

    first, second = asyncio.run(clients())
    assert first is second


def test_waits_that_begin_together_share_one_read_of_their_connection(
    scripted: ScriptedMilvus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each read takes an airflow triggerer once through its database. Who comes later has what is in the connection then."""
    reads = 0
    kept = _fetch

    async def counted(conn_id: str) -> Any:
        nonlocal reads
        reads += 1
        return await kept(conn_id)

    monkeypatch.setattr("airflow_provider_milvus.hooks.connections._fetch", counted)

    async def addresses(count: int) -> set[str]:
        hooks = [MilvusHook() for _ in range(count)]
        await asyncio.gather(*(hook.shared_client() for hook in hooks))
        return {hook.settings.uri for hook in hooks}

    async def before_and_after() -> tuple[set[str], set[str]]:
        before = await addresses(200)
        moved = json.dumps({"conn_type": "milvus", "extra": {"uri": "http://elsewhere:1"}})
        monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", moved)
        return before, await addresses(3)

    assert asyncio.run(before_and_after()) == ({scripted.uri}, {"http://elsewhere:1"})
    assert reads == 2
