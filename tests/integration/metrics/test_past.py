"""What a real Prometheus remembers, read in slices of any size: two jobs, two nodes, a counter that begins anew."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from airflow_provider_milvus.exceptions import MilvusMetricsError
from airflow_provider_milvus.metrics import Held, metrics_source, prometheus_past
from airflow_provider_milvus.metrics.past import Past, Sizes, Uses
from airflow_provider_milvus.metrics.prometheus_past import read_past
from airflow_provider_milvus.metrics.spans import Proxies
from dev.servers.pages import Answer, Pages, Request, pages_server, vector
from dev.servers.prometheus import PLATFORM_HAS_IT, prometheus_with_history
from tests.integration.past import Value, counted

pytestmark = [
    pytest.mark.newest,
    pytest.mark.skipif(not PLATFORM_HAS_IT, reason="there is no prometheus on the PATH"),
]

START, STEP, STEPS = 1_772_000_000, 600, 40
MOMENTS = [float(START + STEP * number) for number in range(STEPS)]
LONG_AGO = START - 9_000_000


def at(number: float) -> float:
    return START + STEP * number


def from_step(first: float, value: Value, last: float = STEPS) -> Value:
    """Scraped from one step to another only."""
    return lambda moment: value(moment) if at(first) <= moment <= at(last) else None


def series() -> Iterator[tuple[str, dict[str, str], Value]]:
    def one(moment: float) -> float:
        return 1.0

    for job in ("milvus", "twice"):
        process = {"instance": "a:9091", "job": job}
        yield "milvus_num_node", {**process, "role_name": "proxy"}, one
        yield "milvus_num_node", {**process, "role_name": "querynode"}, one
        yield "process_start_time_seconds", process, lambda moment: LONG_AGO
        # One collection on two nodes, of which the second one leaves with its rows and keeps its size.
        for node, size, last in (("1", 500, STEPS), ("2", 70, 25)):
            part = {**process, "collection_id": "7", "node_id": node, "segment_state": "Sealed"}
            yield "milvus_querynode_entity_size", part, lambda moment, size=size: size
            yield "milvus_querynode_entity_num", part, lambda moment, last=last: 10 if moment < at(last) else 0
        # Loaded late, and growing.
        part = {**process, "collection_id": "8", "node_id": "1", "segment_state": "Growing"}
        yield "milvus_querynode_entity_size", part, from_step(30, lambda moment: 100 if moment < at(33) else 200)
        yield "milvus_querynode_entity_num", part, from_step(30, one)
        # Released.
        part = {**process, "collection_id": "9", "node_id": "1", "segment_state": "Sealed"}
        yield "milvus_querynode_entity_size", part, lambda moment: 50
        yield "milvus_querynode_entity_num", part, lambda moment: 1 if moment < at(14) else 0
        for function, value in (
            ("Search", counted((at(3), 2), (at(11), 1), before=9)),
            # The first query of all.
            ("Query", from_step(20, counted(before=4))),
            # The process counts anew, for example since the page was made anew: from 1,000 to 3.
            ("HybridSearch", lambda moment: 1000 if moment < at(35) else 3),
        ):
            labels = {**process, "db_name": "default", "collection_name": "docs", "function_name": function, "status": "total"}
            yield "milvus_proxy_req_count", labels, value
        labels = {**process, "db_name": "default", "collection_name": "docs"}
        yield "milvus_proxy_received_nq", labels, counted((at(3), 20), (at(5), 1))
        # What no request counter tells is told by the vectors.
        yield "milvus_proxy_received_nq", {**labels, "collection_name": "old"}, counted((at(17), 6))


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory: Path = tmp_path_factory.mktemp("prometheus")
    lines: dict[str, list[str]] = {}
    for name, labels, value in series():
        shown = ",".join(f'{label}="{text}"' for label, text in labels.items())
        for moment in MOMENTS:
            if (now := value(moment)) is not None:
                lines.setdefault(name, []).append(f"{name}{{{shown}}} {now} {moment:.0f}\n")
    text = [*(line for of_name in lines.values() for line in of_name), "# EOF\n"]
    with prometheus_with_history(directory, text, look_back="10m") as served:
        yield served


@pytest.fixture
def pages() -> Iterator[Pages]:
    with pages_server() as served:
        yield served


@pytest.mark.parametrize("slice_", [1, 7, 39, 40, 240])
def test_every_slice_tells_the_same(url: str, slice_: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus_past, "FIRST_SLICE", slice_)
    monkeypatch.setattr(prometheus_past, "LARGEST_SLICE", slice_)
    past = asyncio.run(read_past(metrics_source(url), MOMENTS, proxies=Proxies(configured=2)))
    assert past == Past(
        START,
        at(STEPS - 1),
        STEP,
        {
            7: Sizes([at(0), at(25)], [570, 500]),
            8: Sizes([at(0), at(30), at(33)], [0, 100, 200]),
            9: Sizes([at(0), at(14)], [50, 0]),
        },
        {
            # The one step where no request is told is that of the vectors.
            ("default", "docs"): Uses([at(number) for number in (3, 5, 11, 20, 35)], [2, 1, 1, 4, 3]),
            ("default", "old"): Uses([at(17)], [6]),
        },
        [],
        [],
        names_databases=True,
    )


def test_a_slice_is_smaller_where_there_are_more_collections(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    read = prometheus_past._Reading.read

    async def noted(self: prometheus_past._Reading, client: object, first: int, count: int) -> int:
        asked.append((first, count))
        return await read(self, client, first, count)  # type: ignore[arg-type]

    monkeypatch.setattr(prometheus_past._Reading, "read", noted)
    monkeypatch.setattr(prometheus_past, "VALUES", 10)
    asyncio.run(read_past(metrics_source(url), MOMENTS, proxies=Proxies()))
    # Two collections are in memory at first, then one, then two.
    assert asked == [(0, 24), (24, 5), (29, 10), (39, 1)]


async def test_copies_of_two_prometheus_are_refused(tmp_path: Path) -> None:
    now = time.time() // 60 * 60
    lines: list[str] = []
    for name, labels, value in (
        ("milvus_num_node", {"role_name": "proxy"}, 1),
        ("milvus_num_node", {"role_name": "querynode"}, 1),
        ("process_start_time_seconds", {}, LONG_AGO),
        ("milvus_querynode_entity_size", {"collection_id": "7", "node_id": "1", "segment_state": "Sealed"}, 500),
        ("milvus_querynode_entity_num", {"collection_id": "7", "node_id": "1", "segment_state": "Sealed"}, 1),
        ("milvus_proxy_received_nq", {"collection_name": "docs"}, 5),
    ):
        for replica in "ab":
            process = {"instance": "a:9091", "job": "milvus", "prometheus_replica": replica, **labels}
            shown = ",".join(f'{label}="{text}"' for label, text in process.items())
            lines += [f"{name}{{{shown}}} {value} {now + 60 * minute:.0f}\n" for minute in range(-180, 10)]
    moments = [now - 3600, now - 1800, now]
    one = Proxies(configured=1)
    with prometheus_with_history(tmp_path / "prometheus", [*sorted(lines), "# EOF\n"]) as url:
        both, first = metrics_source(url), metrics_source(url, matchers='prometheus_replica="a"')
        for reading in (
            both.held(),
            both.attempts(),
            both.usage([timedelta(hours=1)], proxies=one),
            read_past(both, moments, proxies=one),
        ):
            with pytest.raises(MilvusMetricsError, match=r"it has 2 copies .* metrics_matchers"):
                await reading
        assert await first.held() == {7: Held(1, 500)}
        assert (await read_past(first, moments, proxies=one)).sizes == {7: Sizes([moments[0]], [500])}


async def test_a_server_that_moves_the_times_is_refused(pages: Pages) -> None:
    """As Thanos's query frontend does, which answers for multiples of the step."""

    def moved(request: Request) -> Answer:
        moments = [float(request.form["start"]) // STEP * STEP + STEP * number for number in range(3)]
        series = {"metric": {"instance": "a:9091", "job": "milvus"}, "values": [[moment, "1"] for moment in moments]}
        return Answer(json.dumps({"status": "success", "data": {"result": [series]}}))

    pages.at["/api/v1/query_range"] = moved
    pages.at["/api/v1/query"] = vector()
    source = metrics_source(pages.url)
    straight, askew = [1200.0, 1800.0, 2400.0], [1500.0, 2100.0, 2700.0]
    assert (await read_past(source, straight, proxies=Proxies(configured=1))).gaps != ()
    with pytest.raises(MilvusMetricsError, match="answers for other times than it was asked for"):
        await read_past(source, askew, proxies=Proxies(configured=1))
