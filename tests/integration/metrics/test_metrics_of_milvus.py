"""What the metrics of the real Milvus say, on its own page and through a real Prometheus."""

from __future__ import annotations

import asyncio
import re
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_milvus.exceptions import MilvusMetricsError
from airflow_provider_milvus.metrics import Held, MetricsSource, Proxies, UsageAnswer, metrics_source
from dev.servers import prometheus
from dev.servers.prometheus import PrometheusServer, prometheus_server
from dev.servers.standalone import StandaloneServer, standalone_server
from tests.integration.support import Milvus, build_collection, eventually, load_all

pytestmark = [pytest.mark.standalone, pytest.mark.newest]

needs_prometheus = pytest.mark.skipif(
    not prometheus.PLATFORM_HAS_IT, reason="there is no prometheus on the PATH; Debian has it as the package prometheus"
)
LOOK_BACK = 2
"""Seconds that a sample counts as the present one."""
SPAN = 2
"""Seconds within which a search counts in these tests."""


@pytest.fixture(scope="module")
def scraping(standalone_process: StandaloneServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    if not prometheus.PLATFORM_HAS_IT:
        pytest.skip("there is no prometheus on the PATH; Debian has it as the package prometheus")
    target = f"127.0.0.1:{standalone_process.metrics_port}"
    with prometheus_server(tmp_path_factory.mktemp("prometheus"), [target], look_back=f"{LOOK_BACK}s") as server:
        yield server


@dataclass(frozen=True, slots=True)
class Stock:
    """Each loaded collection is for one test, and nobody has searched it."""

    growing: Iterator[str]
    sealed: Iterator[str]
    released: str


@pytest.fixture(scope="module")
def stock(standalone_process: StandaloneServer) -> Iterator[Stock]:
    """Made and loaded all at once: one by one, each would take some 4 s."""
    milvus = Milvus("standalone", standalone_process.uri, standalone_process.process)
    growing, sealed = [f"growing_{number}" for number in range(8)], ["sealed_0", "sealed_1"]

    def build(name: str) -> None:
        with milvus.plain_client() as client:
            build_collection(client, name, **({"rows": 2000, "dim": 16} if name in sealed else {"rows": 50, "dim": 8}))

    made = [*growing, *sealed, "released"]
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(build, made))
    with milvus.plain_client() as client:
        load_all(client, made[:-1])
        yield Stock(iter(growing), iter(sealed), "released")
        for name in made:
            client.drop_collection(name)


@pytest.fixture(params=["page", "prometheus"])
def source(request: pytest.FixtureRequest, standalone_process: StandaloneServer) -> MetricsSource:
    if request.param == "page":
        return metrics_source(standalone_process.metrics_url)
    return metrics_source(request.getfixturevalue("scraping").url)


def held(source: MetricsSource) -> dict[int, Held]:
    return asyncio.run(source.held())


def attempts(source: MetricsSource, name: str) -> float:
    return sum(count for (_, _, label), count in asyncio.run(source.attempts()).items() if label == name)


def usage(source: MetricsSource, *spans: float, kept: Any = None, proxies: int | None = None) -> UsageAnswer:
    return asyncio.run(
        source.usage([timedelta(seconds=span) for span in spans], proxies=Proxies(proxies, standalone=True), kept=kept)
    )


def collection_id(server: Milvus, name: str) -> int:
    with server.plain_client() as client:
        return int(client.describe_collection(name)["collection_id"])


def search(server: Milvus, name: str) -> None:
    with server.plain_client() as client:
        client.search(name, data=[[0.1] * 8])


def covered(source: MetricsSource, span: float, kept: Any) -> None:
    """Wait until there is nothing unknown in the span."""
    eventually(lambda: usage(source, span, kept=kept).spans[0].unknown is None, patience=30)


@dataclass(slots=True)
class Runs:
    """One run after the other looks at the last ``SPAN``, each with what the one before it kept."""

    source: MetricsSource
    kept: Any = None
    used: set[str] = field(default_factory=set)

    def know(self) -> bool:
        """Look; whether all of the span is known."""
        counted = usage(self.source, SPAN, kept=self.kept)
        self.kept, self.used = counted.keep, {name for _, name in counted.spans[0].used}
        return counted.spans[0].unknown is None


class TestBytes:
    def test_are_what_the_server_says_and_vanish_with_a_release(self, standalone, standalone_process, stock, source):
        loaded, growing, released = next(stock.sealed), next(stock.growing), stock.released
        ids = {name: collection_id(standalone, name) for name in (loaded, growing, released)}
        eventually(lambda: ids[loaded] in held(source) and ids[growing] in held(source))
        page = urllib.request.urlopen(standalone_process.metrics_url, timeout=10).read().decode()
        sizes = [
            float(line.split()[-1])
            for line in page.splitlines()
            if line.startswith("milvus_querynode_entity_size") and f'collection_id="{ids[loaded]}"' in line
        ]
        found = held(source)
        assert found[ids[loaded]] == Held(2000, int(sum(sizes)))
        assert found[ids[loaded]].bytes >= 2000 * 16 * 4
        assert found[ids[growing]].rows == 50
        assert ids[released] not in found
        with standalone.plain_client() as client:
            client.release_collection(loaded)
        eventually(lambda: ids[loaded] not in held(source))
        still_there = urllib.request.urlopen(standalone_process.metrics_url, timeout=10).read().decode()
        assert re.search(rf'entity_size{{collection_id="{ids[loaded]}".* [1-9]', still_there), "what is guarded against is gone"


class TestUse:
    def test_nothing_is_idle_before_the_span_is_covered(self, standalone, source):
        assert usage(source, 7 * 86400).spans[0].unknown is not None

    def test_a_search_counts_until_it_wears_off_and_so_does_the_next_one(self, standalone, source, stock):
        """The first one makes the counter appear, the second only moves it."""
        searched, quiet = next(stock.growing), next(stock.growing)
        runs = Runs(source)
        eventually(runs.know, patience=30)
        for count in (1, 2):
            search(standalone, searched)
            eventually(lambda count=count: attempts(source, searched) == count)
            assert runs.know()
            assert searched in runs.used
            assert quiet not in runs.used

            def worn_off() -> bool:
                # Polled load states do not bring it back.
                standalone.state_of(searched)
                return runs.know() and searched not in runs.used

            eventually(worn_off)

    def test_a_search_through_an_alias_is_told_under_the_alias(self, standalone, source, stock):
        behind = next(stock.growing)
        alias = f"alias_of_{behind}"
        runs = Runs(source)
        eventually(runs.know, patience=30)
        with standalone.plain_client() as client:
            client.create_alias(behind, alias)
            client.search(alias, data=[[0.1] * 8])
            eventually(lambda: attempts(source, alias) == 1)
            assert runs.know()
            assert alias in runs.used
            assert attempts(source, behind) == 0
            client.drop_alias(alias)

    def test_failing_searches_and_queries_of_a_released_collection_are_attempts(self, standalone, source, make_collection):
        released = make_collection()
        with standalone.plain_client() as client:
            for ask in (lambda: client.search(released, data=[[0.1] * 8]), lambda: client.query(released, filter="id == 1")):
                with suppress(Exception):
                    ask()
        eventually(lambda: attempts(source, released) == 2)

    def test_a_wrong_number_of_proxies_makes_it_unknown(self, standalone, source):
        eventually(lambda: held(source) is not None and usage(source, 1, proxies=2).spans[0].unknown is not None)
        assert "Milvus has 2" in usage(source, 1, proxies=2).spans[0].unknown


@needs_prometheus
def test_matchers_choose_among_what_prometheus_scrapes(scraping):
    ours, others = (metrics_source(scraping.url, matchers=f'job="{job}", instance!=""') for job in ("milvus", "other"))
    covered(ours, 2, None)
    assert usage(others, 2).spans[0].unknown == "the metrics are of 0 proxies, and Milvus has 1"
    assert held(others) == {}


@needs_prometheus
def test_the_page_of_prometheus_itself_is_not_taken_for_milvus(scraping):
    with pytest.raises(MilvusMetricsError, match="not Milvus's metrics page"):
        held(metrics_source(f"{scraping.url}/metrics"))


@needs_prometheus
def test_a_gap_in_what_prometheus_has_is_unknown(standalone, scraping):
    source = metrics_source(scraping.url)
    covered(source, 3, None)
    stopped = time.time()
    scraping.process.kill()
    # A shorter one is none.
    time.sleep(LOOK_BACK + 0.5)
    scraping.process.start()
    eventually(lambda: usage(source, 1).spans[0].unknown is None, patience=30)
    assert "was not scraped all the time" in usage(source, time.time() - stopped + 1).spans[0].unknown


def test_a_restart_of_the_proxy_is_unknown(tmp_path):
    with standalone_server(tmp_path / "milvus") as server:
        page = metrics_source(server.metrics_url)
        kept = usage(page, 1).keep
        covered(page, 1, kept)
        if not prometheus.PLATFORM_HAS_IT:
            restart(server)
        else:
            target = f"127.0.0.1:{server.metrics_port}"
            with prometheus_server(tmp_path / "prometheus", [target], look_back=f"{LOOK_BACK}s") as scraping:
                source = metrics_source(scraping.url)
                covered(source, 1, None)
                stopped = time.time()
                restart(server)
                eventually(lambda: "restarted" in str(usage(source, time.time() - stopped + 1).spans[0].unknown), patience=30)
        assert "restarted" in usage(page, 1, kept=kept).spans[0].unknown


def restart(server: StandaloneServer) -> None:
    server.process.kill()
    server.process.start()
