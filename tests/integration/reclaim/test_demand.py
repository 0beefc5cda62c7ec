"""Searches that arrive for a collection which is not in memory: the trigger for ever, and the sensor once."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException
from airflow.triggers import base

from airflow_provider_milvus.exceptions import (
    MilvusCollectionNotFoundError,
    MilvusConfigurationError,
    MilvusError,
    MilvusInvalidArgumentError,
    MilvusMetricsError,
    MilvusUnavailableError,
)
from airflow_provider_milvus.sensors.milvus import MilvusDemandSensor
from airflow_provider_milvus.triggers.milvus import MilvusDemandTrigger, read_demand
from dev.servers.pages import Answer, Pages, pages_server
from dev.servers.scripted import LOADED, NOT_LOADED, ScriptedMilvus
from dev.servers.standalone import StandaloneServer
from tests.integration.support import SLACK, Connect, MakeCollection, Milvus, deferral, ends_within, finish, rebuilt, resume

MODES = {"poke": {"mode": "poke"}, "deferred": {"deferrable": True}}


class Counters:
    """The page of a proxy whose counters a test moves."""

    def __init__(self, pages: Pages) -> None:
        self.pages = pages
        self.url = f"{pages.url}/metrics"
        self.counts: dict[str, int] = {}
        self.write()

    def write(self, text: str | None = None) -> None:
        lines = ['milvus_num_node{role_name="proxy"} 1']
        lines += [f'milvus_proxy_received_nq{{collection_name="{name}"}} {count}' for name, count in self.counts.items()]
        self.pages.at["/metrics"] = Answer("\n".join(lines) + "\n" if text is None else text)

    def attempt(self, name: str = "docs") -> None:
        self.counts[name] = self.counts.get(name, 0) + 1
        self.write()

    def wait_for_looks(self, count: int = 2) -> None:
        """Wait until this many more looks have begun: a look that had begun before may have seen the old counters."""
        so_far = len(self.pages.requests)
        end = time.monotonic() + 15
        while len(self.pages.requests) < so_far + count:
            assert time.monotonic() < end, "nobody looks"
            time.sleep(0.02)


@pytest.fixture
def counters(scripted: ScriptedMilvus, connect: Connect) -> Iterator[Counters]:
    with pages_server() as pages:
        counters = Counters(pages)
        connect(scripted.uri, metrics_url=counters.url)
        yield counters


def in_a_while(*steps: Any) -> threading.Thread:
    """Take the steps in another thread, one after the other."""

    def run() -> None:
        for step in steps:
            step()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


async def first_events(trigger: MilvusDemandTrigger, count: int, *, within: float = 30) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    async with asyncio.timeout(within):
        async for event in rebuilt(trigger).run():
            events.append(json.loads(json.dumps(event.payload)))
            if len(events) == count:
                break
    return events


def watcher(*names: str, **arguments: Any) -> MilvusDemandTrigger:
    return MilvusDemandTrigger(collections=list(names) or ["docs"], **{"poll_interval": 0.1, **arguments})


class TestTrigger:
    def test_its_arguments_are_json_and_rebuild_it(self):
        trigger = watcher("docs", "books", database="shop", min_attempts=3, end=5.0, milvus_conn_id="m")
        assert rebuilt(trigger).serialize() == trigger.serialize()

    @pytest.mark.skipif(not hasattr(base, "BaseEventTrigger"), reason="Airflow 2 has no AssetWatcher")
    def test_an_asset_watcher_takes_it(self):
        from airflow.sdk import Asset, AssetWatcher

        assert isinstance(watcher(), base.BaseEventTrigger)
        Asset("wanted", watchers=[AssetWatcher(name="demand", trigger=watcher())])

    @pytest.mark.parametrize(
        "wrong",
        [
            {"collections": []},
            {"collections": ["bad name"]},
            {"poll_interval": 0},
            {"min_attempts": 0},
            {"min_attempts": True},
            {"min_attempts": 1.5},
        ],
    )
    def test_what_can_never_work_is_refused(self, wrong):
        with pytest.raises(MilvusInvalidArgumentError, match=next(iter(wrong))):
            MilvusDemandTrigger(**{"collections": ["docs"], **wrong})

    def test_it_fires_again_only_after_the_collection_was_loaded(self, scripted, counters):
        docs = scripted.add("docs", NOT_LOADED)
        steps = in_a_while(
            counters.wait_for_looks,
            counters.attempt,
            counters.wait_for_looks,
            counters.attempt,
            counters.wait_for_looks,
            lambda: docs.become([LOADED]),
            counters.wait_for_looks,
            lambda: docs.become([NOT_LOADED]),
            counters.attempt,
        )
        events = asyncio.run(first_events(watcher(), 2))
        steps.join()
        assert events == [{"collection": "docs", "database": "default", "attempts": 1}] * 2

    def test_an_outage_of_the_metrics_or_of_the_server_does_not_end_it(self, scripted, counters):
        scripted.add("docs", NOT_LOADED)

        def milvus_is_away() -> None:
            with scripted.outage(0.5):
                counters.attempt()

        steps = in_a_while(
            counters.wait_for_looks,
            lambda: counters.write("<html>"),
            counters.wait_for_looks,
            lambda: counters.pages.at.clear(),
            counters.wait_for_looks,
            counters.write,
            milvus_is_away,
        )
        (event,) = asyncio.run(first_events(watcher(), 1))
        steps.join()
        assert event["attempts"] == 1

    def test_a_connection_that_is_wrong_does_not_end_a_watcher_but_fires_nothing(self, scripted, log_text):
        """An event would start a DAG run."""
        with pytest.raises(TimeoutError):
            asyncio.run(first_events(watcher(), 1, within=1))
        assert "has no metrics_url" in log_text()

    def test_a_connection_that_is_wrong_ends_what_a_task_waits_for(self, scripted):
        (event,) = asyncio.run(first_events(watcher(end=time.time() + 30), 1))
        with pytest.raises(MilvusConfigurationError, match="has no metrics_url"):
            read_demand(event)

    def test_at_its_end_it_says_so(self, scripted, counters):
        scripted.add("docs", NOT_LOADED)
        with ends_within(1 + SLACK):
            (event,) = asyncio.run(first_events(watcher(end=time.time() + 1), 1))
        assert event["error"]["kind"] == "MilvusTimeoutError"
        assert "docs" in event["error"]["message"]

    def test_at_its_end_it_says_what_was_in_the_way(self, scripted, counters):
        counters.write("<html>")
        (event,) = asyncio.run(first_events(watcher(end=time.time() + 0.5), 1))
        assert "not Milvus's metrics page" in event["error"]["message"]

    def test_it_never_changes_the_server(self, scripted, counters):
        scripted.add("docs", NOT_LOADED)
        steps = in_a_while(counters.wait_for_looks, counters.attempt)
        asyncio.run(first_events(watcher(), 1))
        steps.join()
        changing = ("LoadCollection", "ReleaseCollection", "LoadPartitions", "ReleasePartitions")
        assert [call for name in changing for call in scripted.received(name)] == []

    @pytest.mark.parametrize("event", [None, {}, {"seen": 1}, "x"])
    def test_an_event_of_something_else_is_an_error(self, event):
        with pytest.raises(MilvusError, match="not one of its own"):
            read_demand(event)


def sensor(**arguments: Any) -> MilvusDemandSensor:
    return MilvusDemandSensor(task_id="wait", **{"collections": "docs", "poke_interval": 0.1, "timeout": 30, **arguments})


@pytest.mark.parametrize("mode", list(MODES))
class TestSensor:
    def test_it_returns_what_is_wanted(self, scripted, counters, mode):
        scripted.add("docs", NOT_LOADED)
        counters.attempt()
        # A deferred sensor begins to count when the triggerer takes it up.
        steps = in_a_while(lambda: counters.wait_for_looks(4), counters.attempt)
        assert finish(sensor(**MODES[mode])) == {"collection": "docs", "database": "default", "attempts": 1}
        steps.join()

    def test_at_its_timeout_it_fails_without_a_retry(self, scripted, counters, mode):
        scripted.add("docs", NOT_LOADED)
        with ends_within(1 + SLACK), pytest.raises(AirflowSensorTimeout):
            finish(sensor(timeout=1, **MODES[mode]))

    def test_at_its_timeout_it_can_be_skipped(self, scripted, counters, mode):
        scripted.add("docs", NOT_LOADED)
        with pytest.raises(AirflowSkipException):
            finish(sensor(timeout=1, soft_fail=True, **MODES[mode]))

    def test_metrics_that_cannot_be_read_at_first_are_an_ordinary_failure(self, scripted, counters, mode):
        scripted.add("docs", NOT_LOADED)
        counters.write("<html>")
        with pytest.raises(MilvusMetricsError):
            finish(sensor(**MODES[mode]))

    def test_a_server_that_is_down_at_first_is_an_ordinary_failure(self, counters, refused, connect, mode):
        connect(refused, metrics_url=counters.url, timeout=1)
        with pytest.raises(MilvusUnavailableError):
            finish(sensor(**MODES[mode]))

    def test_later_outages_are_ridden_out(self, scripted, counters, mode):
        scripted.add("docs", NOT_LOADED)
        steps = in_a_while(
            lambda: counters.wait_for_looks(4),
            lambda: counters.write("<html>"),
            counters.wait_for_looks,
            counters.attempt,
        )
        assert finish(sensor(**MODES[mode]))["attempts"] == 1
        steps.join()

    def test_a_collection_that_does_not_exist_ends_it_at_once(self, scripted, counters, mode):
        with pytest.raises(MilvusCollectionNotFoundError):
            finish(sensor(collections=["nowhere"], **MODES[mode]))

    def test_a_connection_without_metrics_is_refused(self, scripted, mode):
        with pytest.raises(MilvusConfigurationError, match="metrics_url"):
            finish(sensor(**MODES[mode]))


def test_reschedule_would_forget_and_is_refused():
    with pytest.raises(MilvusInvalidArgumentError, match="deferrable=True"):
        sensor(mode="reschedule")
    sensor(mode="reschedule", deferrable=True)


@pytest.mark.standalone
class TestOnTheRealServer:
    @pytest.fixture(autouse=True)
    def with_metrics(self, standalone: Milvus, standalone_process: StandaloneServer, connect: Connect) -> None:
        connect(standalone.uri, metrics_url=standalone_process.metrics_url)

    def search(self, standalone: Milvus, name: str) -> None:
        with standalone.plain_client() as client, suppress(Exception):
            client.search(name, data=[[0.1] * 8])

    def test_a_search_of_a_released_collection_wants_it_back(self, standalone, make_collection: MakeCollection):
        released, loaded = make_collection(), make_collection(load=True)
        steps = in_a_while(
            lambda: time.sleep(3), lambda: self.search(standalone, loaded), lambda: self.search(standalone, released)
        )
        (event,) = asyncio.run(first_events(watcher(loaded, released, poll_interval=0.5), 1))
        steps.join()
        assert event == {"collection": released, "database": "default", "attempts": 1}

    def test_a_search_through_an_alias_wants_it_back(self, standalone, make_collection: MakeCollection):
        released = make_collection()
        alias = f"alias_of_{released}"
        with standalone.plain_client() as client:
            client.create_alias(released, alias)
        deferred_sensor = sensor(collections=[released], deferrable=True, poke_interval=0.5)
        waiting = deferral(deferred_sensor)
        steps = in_a_while(lambda: time.sleep(3), lambda: self.search(standalone, alias))
        assert resume(deferred_sensor, waiting)["collection"] == released
        steps.join()
        with standalone.plain_client() as client:
            client.drop_alias(alias)
