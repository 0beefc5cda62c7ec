"""What a reclaim does with metrics that come straight from the proxies, and when they vanish, lie, or are another server's."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.providers.common.compat import sdk

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError, MilvusUnsupportedError
from airflow_provider_milvus.operators.milvus import MilvusReclaimMemoryOperator
from dev.servers.dialects import DIALECTS
from dev.servers.pages import Answer, Pages, pages_server
from dev.servers.scripted import LOADED, ScriptedMilvus, scripted_server, slow
from tests.integration.support import Connect, context_of_run

pytestmark = pytest.mark.newest

NIGHT = datetime(2026, 3, 10, 2, tzinfo=UTC)
SECOND = "PT1S"
GIB = 2**30


class Cluster:
    """Some proxies and a query node of 10 GiB, whose metrics a test bends. The first proxy's page is the coordinator's too."""

    def __init__(self, pages: Pages, scripted: ScriptedMilvus, proxies: int = 2) -> None:
        self.pages = pages
        self.scripted = scripted
        self.started = time.time() - 3600
        self.sizes: dict[str, int] = {}
        self.attempts = [dict[str, int]() for _ in range(proxies)]
        self.gauge: int | None = proxies
        self.offset = 0
        # A cluster's proxy lists itself only.
        nodes = [{"infos": {"type": "proxy", "system_info": {"deploy_mode": "DISTRIBUTED"}}}]
        nodes.append({"infos": {"type": "querynode", "hardware_infos": {"memory": 10 * GIB, "memory_usage": 5 * GIB}}})
        scripted.always("GetMetrics", lambda *_: {"response": json.dumps({"nodes_info": nodes})})
        for proxy in range(proxies):
            pages.at[f"/{proxy}/metrics"] = lambda request, proxy=proxy: Answer(self.page(proxy))

    @property
    def url(self) -> str:
        return self.url_of(*range(len(self.attempts)))

    def url_of(self, *proxies: int) -> str:
        return ",".join(f"{self.pages.url}/{proxy}/metrics" for proxy in proxies)

    def add(self, name: str, size: int = GIB, **more: Any) -> None:
        self.scripted.add(name, LOADED, **more)
        self.sizes[name] = size

    def search(self, name: str, proxy: int = 1) -> None:
        self.attempts[proxy][name] = self.attempts[proxy].get(name, 0) + 1

    def page(self, proxy: int) -> str:
        lines = ['milvus_num_node{role_name="proxy"} 1', f"process_start_time_seconds {self.started}"]
        lines += [f"milvus_rootcoord_proxy_num {self.gauge}"] if proxy == 0 and self.gauge is not None else []
        for name, count in self.attempts[proxy].items():
            lines += [f'{family}{{collection_name="{name}"}} {count}' for family in COUNTERS]
        for name, size in self.sizes.items() if proxy == 0 else ():
            collection = self.scripted.collections[name]
            labels = f'collection_id="{collection.number + self.offset}",node_id="1",segment_state="Sealed"'
            lines.append(f"milvus_querynode_entity_num{{{labels}}} {1000 if collection.now == LOADED else 0}")
            lines.append(f"milvus_querynode_entity_size{{{labels}}} {size}")
        return "\n".join(lines) + "\n"


COUNTERS = ("milvus_proxy_collection_sq_latency_count", "milvus_proxy_received_nq")


@pytest.fixture
def cluster(scripted: ScriptedMilvus, connect: Connect) -> Iterator[Cluster]:
    with pages_server() as pages:
        cluster = Cluster(pages, scripted)
        connect(scripted.uri, metrics_url=cluster.url)
        yield cluster


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Airflow's Variables, without its database."""
    kept: dict[str, str] = {}

    class Variable:
        @staticmethod
        def get(key: str, default: Any = None) -> Any:
            return kept.get(key, default)

        @staticmethod
        def set(key: str, value: Any, description: str | None = None, serialize_json: bool = False) -> None:
            kept[key] = json.dumps(value)

    monkeypatch.setattr(sdk, "Variable", Variable, raising=False)
    return kept


def run(run_id: str = "tonight", **arguments: Any) -> dict[str, Any]:
    context = context_of_run(NIGHT, run_id=run_id)
    context["ti"].dag_id, context["ti"].task_id = "nightly", "reclaim"
    result: dict[str, Any] = MilvusReclaimMemoryOperator(task_id="reclaim", **arguments).execute(context)
    return result


def names(entries: list[dict[str, Any]]) -> list[str]:
    return [entry["collection"] for entry in entries]


def reasons(result: dict[str, Any]) -> dict[str, str]:
    return {entry["collection"]: entry["reason"] for entry in result["kept"]}


def watched_for_a_second(cluster: Cluster) -> None:
    """A first run has nothing to compare with; the next one has."""
    assert run("last night", collections="*", idle_for=SECOND)["released"] == []
    time.sleep(1.1)


def test_idle_is_what_no_proxy_counted_since_an_earlier_run(cluster: Cluster, variables: dict[str, str]) -> None:
    cluster.add("cold")
    cluster.add("searched")
    cluster.add("aliased", aliases=["live"])
    watched_for_a_second(cluster)
    cluster.search("searched")
    cluster.search("live")

    result = run(collections="*", idle_for=SECOND, keep_aliased=False)

    assert names(result["released"]) == ["cold"]
    assert reasons(result) == {
        "aliased": "searched or queried within the last 1 s",
        "searched": "searched or queried within the last 1 s",
    }


def test_restart_of_one_proxy_makes_everything_unknown(cluster: Cluster, variables: dict[str, str]) -> None:
    cluster.add("cold")
    watched_for_a_second(cluster)
    cluster.started = time.time()

    result = run(collections="*", idle_for=SECOND, memory_budget="1GiB")

    assert result["released"] == []
    assert "unknown" in reasons(result)["cold"]


def test_proxy_that_is_lost_in_the_middle_of_a_run_keeps_the_rest(cluster: Cluster, variables: dict[str, str]) -> None:
    for name in ("a", "b", "c", "d"):
        cluster.add(name)
    watched_for_a_second(cluster)

    def lose_a_proxy(server: ScriptedMilvus, request: Any, context: Any) -> Any:
        cluster.pages.at["/1/metrics"] = Answer("down", 503)
        return slow(2.5)(server, request, context)

    cluster.scripted.always("ReleaseCollection", lose_a_proxy)
    result = run(collections="*", idle_for=SECOND)

    # The server does two at a time to begin with, so two were on their way.
    assert names(result["released"]) == ["a", "b"]
    assert set(reasons(result)) == {"c", "d"}
    assert all("since it was planned is not known" in reason for reason in reasons(result).values())
    assert cluster.scripted.collections["c"].now == LOADED


def test_metrics_of_another_cluster_are_not_believed(cluster: Cluster, variables: dict[str, str]) -> None:
    cluster.add("cold")
    watched_for_a_second(cluster)
    cluster.offset = 1000

    result = run(collections="*", idle_for=SECOND, memory_budget="1MiB")

    assert result["released"] == []
    assert reasons(result)["cold"] == "not known to be idle for 1 h: unknown: the metrics cannot be used"
    assert any("of another server" in warning for warning in result["warnings"])


def test_proxy_that_nobody_scrapes_makes_everything_unknown(
    cluster: Cluster, variables: dict[str, str], connect: Connect
) -> None:
    connect(cluster.scripted.uri, metrics_url=f"{cluster.pages.url}/0/metrics")
    cluster.add("cold")
    watched_for_a_second(cluster)

    assert "unknown" in reasons(run(collections="*", idle_for=SECOND))["cold"]


def test_share_of_the_query_nodes_memory_is_a_budget(cluster: Cluster, variables: dict[str, str]) -> None:
    for day in range(1, 7):
        cluster.add(f"events_2026010{day}")
    watched_for_a_second(cluster)

    result = run(collections="*", memory_budget="40%", min_idle=SECOND)

    assert names(result["released"]) == ["events_20260101", "events_20260102"]
    assert result["totals"] | {"bytes_before": 6 * GIB, "bytes_after": 4 * GIB, "budget": 4 * GIB} == result["totals"]


def test_budget_that_cannot_be_met_is_a_warning(cluster: Cluster, variables: dict[str, str]) -> None:
    cluster.add("docs", aliases=["live"])

    result = run(collections="*", memory_budget="1MiB")

    assert result["released"] == []
    assert result["warnings"] == ["The budget is not met: 1.0 GiB stays, 1.0 MiB is allowed, and nothing else may be released."]


def test_share_of_a_memory_that_the_server_does_not_tell_is_an_error(scripted: ScriptedMilvus) -> None:
    scripted.add("docs", LOADED)

    with pytest.raises(MilvusUnsupportedError, match="as a size"):
        MilvusReclaimMemoryOperator(task_id="t", collections="*", memory_budget="50%").execute({})

    assert scripted.received("ReleaseCollection") == []


def test_idleness_without_metrics_is_an_error(scripted: ScriptedMilvus) -> None:
    with pytest.raises(MilvusInvalidArgumentError, match="metrics_url"):
        MilvusReclaimMemoryOperator(task_id="t", collections="*", idle_for="P1D").execute({})

    assert scripted.calls == []


def test_collection_that_every_run_has_seen_loaded_goes_in_time(scripted: ScriptedMilvus, variables: dict[str, str]) -> None:
    scripted.add("old", LOADED)
    assert run("1", collections="*", loaded_for=SECOND)["released"] == []
    time.sleep(1.1)
    scripted.add("new", LOADED)

    result = run("2", collections="*", loaded_for=SECOND)

    assert names(result["released"]) == ["old"]
    assert "not yet 1 s" in reasons(result)["new"]


def test_collection_that_was_made_anew_since_the_plan_is_left_alone(cluster: Cluster, variables: dict[str, str]) -> None:
    cluster.add("tmp_a")
    cluster.add("tmp_b")
    plan = run(collections="tmp_*", dry_run=True)["plan"]
    cluster.add("tmp_a")

    result = run(plan=plan)

    assert names(result["released"]) == ["tmp_b"]
    assert "perhaps created again" in reasons(result)["tmp_a"]


def test_third_try_counts_what_the_first_released_once(scripted: ScriptedMilvus, variables: dict[str, str]) -> None:
    for name in ("a", "b", "c"):
        scripted.add(name, LOADED)
    run(collections="a")
    run(collections="b")

    result = run(collections="*")

    assert sorted(names(result["released"])) == ["a", "b", "c"]
    assert run("tomorrow", collections="*")["released"] == []


def test_notes_that_are_not_ours_are_a_warning(scripted: ScriptedMilvus, variables: dict[str, str]) -> None:
    scripted.add("a", LOADED)
    variables["milvus_run_notes.nightly.reclaim.tonight"] = json.dumps({"change": {}, "note": ["what?"]})

    result = run(collections="a")

    assert names(result["released"]) == ["a"]
    assert "cannot be read" in result["warnings"][0]


def test_pattern_that_matches_nothing_can_end_the_run(scripted: ScriptedMilvus) -> None:
    scripted.add("docs", LOADED)

    for rules in ({"collections": ["docs", "evnts_*"]}, {"collections": "docs", "older_than": "P1D"}):
        with pytest.raises(MilvusInvalidArgumentError, match=r"matches no collection|has a date"):
            MilvusReclaimMemoryOperator(task_id="t", fail_if_nothing_matches=True, **rules).execute({})

    assert scripted.collections["docs"].now == LOADED


class TestThreeProxies:
    """Of a cluster of Milvus 2.6. Each of three collections is searched through another proxy, a fourth is not searched."""

    @pytest.fixture
    def three(self, connect: Connect) -> Iterator[Cluster]:
        with scripted_server(DIALECTS["2.6.16"]) as milvus, pages_server() as pages:
            cluster = Cluster(pages, milvus, proxies=3)
            for name in ("by_0", "by_1", "by_2", "idle"):
                cluster.add(name)
                cluster.search(name, 0)
            yield cluster

    def released(self, three: Cluster) -> list[str]:
        assert run("last night", collections="*", idle_for=SECOND)["released"] == []
        for proxy in range(3):
            three.search(f"by_{proxy}", proxy)
        time.sleep(1.1)
        return names(run(collections="*", idle_for=SECOND)["released"])

    @pytest.mark.parametrize("named", [[0], [2], [0, 1], [1, 2]])
    @pytest.mark.parametrize("told", ["by the coordinator", "by the connection", "by nobody"])
    def test_of_which_some_are_named_tell_nothing(self, three, connect, variables, named, told):
        three.gauge = 3 if told == "by the coordinator" else None
        connect(three.scripted.uri, metrics_url=three.url_of(*named), proxies=3 if told == "by the connection" else None)
        assert self.released(three) == []

    @pytest.mark.parametrize("told", ["by the coordinator", "by the connection"])
    def test_which_are_all_named_tell_what_is_idle(self, three, connect, variables, told):
        three.gauge = 3 if told == "by the coordinator" else None
        connect(three.scripted.uri, metrics_url=three.url, proxies=3 if told == "by the connection" else None)
        assert self.released(three) == ["idle"]

    def test_whose_number_nobody_tells_tell_nothing(self, three, connect, variables):
        three.gauge = None
        connect(three.scripted.uri, metrics_url=three.url)
        assert self.released(three) == []
