"""The nightly reclaim by size and use: the real Milvus, a real Prometheus, real searches."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from airflow_provider_milvus.operators.milvus import (
    MilvusMemoryReportOperator,
    MilvusReclaimMemoryOperator,
    MilvusRestoreLoadOperator,
)
from dev.servers.prometheus import PLATFORM_HAS_IT as PROMETHEUS_IS_HERE, PrometheusServer, prometheus_server
from dev.servers.standalone import PLATFORM_HAS_IT, StandaloneServer, standalone_server
from tests.integration.support import Connect, Milvus, build_collection, context_of_run, eventually, load_all

pytestmark = [
    pytest.mark.standalone,
    pytest.mark.newest,
    pytest.mark.skipif(not PLATFORM_HAS_IT, reason="there is no Milvus 2.3.5 for this platform"),
    pytest.mark.skipif(not PROMETHEUS_IS_HERE, reason="there is no prometheus on the PATH"),
]

NIGHT = datetime(2026, 3, 10, 2, tzinfo=UTC)
COVERED = 5
"""Seconds within which a search counts in these tests; Prometheus has seen the proxy for longer."""
DAYS = [f"events_202602{day:02}" for day in range(1, 11)]
ROWS = {name: 1500 + 500 * number for number, name in enumerate(DAYS)}
IN_MEMORY = [*DAYS, "docs_20260101", "busy_20260101"]
LATE = "late_20260101"
"""Only in memory while a test loads it."""


@dataclass(frozen=True, slots=True)
class Night:
    milvus: Milvus
    server: StandaloneServer
    prometheus: PrometheusServer

    def scraped(self) -> None:
        """Until Prometheus knows what holds now."""
        now = time.time()
        eventually(lambda: self.prometheus.scraped_since(now), patience=30)

    def sizes(self) -> dict[str, int]:
        """Bytes of each collection in memory, by the server's own metrics, read without the provider."""
        samples = [
            sample
            for family in text_string_to_metric_families(urlopen(self.server.metrics_url).read().decode())
            for sample in family.samples
        ]
        rows: dict[str, float] = {}
        for sample in samples:
            if sample.name == "milvus_querynode_entity_num":
                number = sample.labels["collection_id"]
                rows[number] = rows.get(number, 0) + sample.value
        with self.milvus.plain_client() as client:
            names = {str(client.describe_collection(name)["collection_id"]): name for name in client.list_collections()}
        sizes: dict[str, int] = {}
        for sample in samples:
            number = sample.labels.get("collection_id", "")
            if sample.name == "milvus_querynode_entity_size" and rows.get(number):
                name = names.get(number, "dropped")
                sizes[name] = sizes.get(name, 0) + int(sample.value)
        sizes.pop("dropped", None)
        return sizes


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    """Ten dated collections, one behind an alias, one that is searched and one that is loaded late."""
    folder = tmp_path_factory.mktemp("night")
    with standalone_server(folder / "milvus") as server:
        milvus = Milvus("standalone", server.uri, server.process)

        def build(name: str) -> None:
            with milvus.plain_client() as client:
                build_collection(client, name, rows=ROWS.get(name, 2000), dim=64)

        # It watches the proxy while the collections are made.
        with prometheus_server(folder / "prometheus", [f"127.0.0.1:{server.metrics_port}"]) as prometheus:
            began = time.time()
            with ThreadPoolExecutor(6) as threads:
                list(threads.map(build, [*IN_MEMORY, LATE]))
            with milvus.plain_client() as client:
                client.create_alias("docs_20260101", "docs")
            eventually(lambda: prometheus.scraped_since(began + COVERED + 2), patience=30)
            yield Night(milvus, server, prometheus)


@pytest.fixture
def night(running: Night, connect: Connect) -> Night:
    """All loaded, and the connection ``milvus_default`` knows the Prometheus."""
    connect(running.milvus.uri, metrics_url=running.prometheus.url, connect_timeout=2)
    with running.milvus.plain_client() as client:
        load_all(client, IN_MEMORY)
    eventually(lambda: len(running.sizes()) == len(IN_MEMORY))
    running.scraped()
    return running


def reclaim(**arguments: Any) -> dict[str, Any]:
    operator = MilvusReclaimMemoryOperator(task_id="reclaim", min_idle=f"PT{COVERED}S", **arguments)
    result: dict[str, Any] = operator.execute(context_of_run(NIGHT))
    return result


def names(entries: list[dict[str, Any]]) -> list[str]:
    return [entry["collection"] for entry in entries]


def reasons(result: dict[str, Any]) -> dict[str, str]:
    return {entry["collection"]: entry["reason"] for entry in result["kept"]}


@contextmanager
def searched(night: Night, name: str) -> Iterator[None]:
    """Somebody searches this collection all the time."""
    stop = threading.Event()
    began = threading.Event()

    def search() -> None:
        with night.milvus.plain_client() as client:
            while not stop.wait(0.2):
                client.search(name, data=[[0.5] * 64], limit=1)
                began.set()

    thread = threading.Thread(target=search)
    thread.start()
    try:
        assert began.wait(20)
        night.scraped()
        yield
    finally:
        stop.set()
        thread.join()


def test_report_has_the_sizes_that_the_server_measures_biggest_first(night: Night) -> None:
    report = MilvusMemoryReportOperator(task_id="report").execute({})

    sizes = {entry["collection"]: entry["bytes"] for entry in report["collections"]}
    assert sizes == night.sizes()
    assert list(sizes.values()) == sorted(sizes.values(), reverse=True)
    assert {entry["bytes_source"] for entry in report["collections"]} == {"measured"}
    rows = {entry["collection"]: entry["rows"] for entry in report["collections"]}
    assert rows == {**ROWS, "docs_20260101": 2000, "busy_20260101": 2000}
    (docs,) = [entry for entry in report["collections"] if entry["collection"] == "docs_20260101"]
    assert (docs["aliases"], docs["replicas"], docs["partitions_loaded"]) == (["docs"], 1, 1)


def test_budget_releases_exactly_the_coldest_that_are_needed(night: Night) -> None:
    before = night.sizes()
    # What is being loaded is counted by what it will take: rows of a key and 64 floats.
    late = 2000 * (8 + 64 * 4)
    budget = late + sum(before.values()) - sum(before[name] for name in DAYS[:3]) - 1000
    with searched(night, "busy_20260101"), night.milvus.plain_client() as client:
        client.load_collection(LATE, _async=True)
        try:
            result = reclaim(collections="*", memory_budget=budget)
        finally:
            client.release_collection(LATE)

    after = night.sizes()
    assert names(result["released"]) == DAYS[:4]
    assert late + sum(after.values()) <= budget < late + sum(after.values()) + before[DAYS[3]]
    assert reasons(result)["busy_20260101"].startswith("not known to be idle for 5 s: searched or queried")
    assert reasons(result)["docs_20260101"] == "behind the alias docs"
    assert reasons(result)[LATE] == "being loaded just now"
    assert {night.milvus.state_of(name) for name in [*DAYS[4:], "busy_20260101", "docs_20260101"]} == {"Loaded"}
    assert result["totals"]["bytes_reclaimed"] == sum(before[name] for name in DAYS[:4])
    assert result["totals"]["bytes_source"] == "measured"

    restore = MilvusRestoreLoadOperator(task_id="restore", restore_set=result, max_parallel=4, poll_interval=0.2)

    assert sorted(names(restore.execute({})["loaded"])) == DAYS[:4]
    assert {night.milvus.state_of(name) for name in DAYS[:4]} == {"Loaded"}
    eventually(lambda: night.sizes() == before)


def test_idle_collections_go_and_those_in_use_stay(night: Night) -> None:
    with searched(night, "busy_20260101"):
        result = reclaim(collections=["*_20260101", DAYS[0]], idle_for=f"PT{COVERED}S")

    assert names(result["released"]) == [DAYS[0]]
    assert result["released"][0]["reason"] == f"matches '{DAYS[0]}', neither searched nor queried for 5 s"
    assert night.milvus.state_of("busy_20260101") == "Loaded"


def test_collection_that_is_searched_after_the_plan_stays(night: Night) -> None:
    plan = reclaim(collections=DAYS[8:], idle_for=f"PT{COVERED}S", dry_run=True)["plan"]
    assert [entry["collection"] for entry in plan] == DAYS[8:]

    with searched(night, DAYS[8]):
        result = MilvusReclaimMemoryOperator(task_id="act", plan=plan).execute(context_of_run(NIGHT))

    assert names(result["released"]) == [DAYS[9]]
    assert reasons(result) == {DAYS[8]: "searched or queried since it was planned"}
    assert night.milvus.state_of(DAYS[8]) == "Loaded"


def test_outage_of_prometheus_releases_nothing_by_use(night: Night) -> None:
    night.prometheus.process.freeze()
    try:
        result = reclaim(collections="*", idle_for=f"PT{COVERED}S", memory_budget="1MiB")
    finally:
        night.prometheus.process.thaw()

    assert result["released"] == []
    assert "unknown" in reasons(result)[DAYS[0]]
    assert any("metrics" in warning for warning in result["warnings"])


def test_outage_of_prometheus_after_the_plan_keeps_what_was_planned(night: Night) -> None:
    plan = reclaim(collections=DAYS[:2], idle_for=f"PT{COVERED}S", dry_run=True)["plan"]

    night.prometheus.process.freeze()
    try:
        result = MilvusReclaimMemoryOperator(task_id="act", plan=plan).execute(context_of_run(NIGHT))
    finally:
        night.prometheus.process.thaw()

    assert result["released"] == []
    assert all("since it was planned is not known" in reason for reason in reasons(result).values())
    assert {night.milvus.state_of(name) for name in DAYS[:2]} == {"Loaded"}


def test_owner_says_never(night: Night) -> None:
    with night.milvus.plain_client() as client:
        client.alter_collection_properties(DAYS[0], {"airflow.reclaim": "never"})
    try:
        result = reclaim(collections=DAYS[:2])
    finally:
        with night.milvus.plain_client() as client:
            client.alter_collection_properties(DAYS[0], {"airflow.reclaim": ""})

    assert names(result["released"]) == [DAYS[1]]
    assert reasons(result)[DAYS[0]] == "its property airflow.reclaim is 'never'"
