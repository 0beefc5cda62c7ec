"""What is read of Prometheus and of Milvus's own pages, over a real socket, where all is well and where something is wrong."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError, MilvusMetricsError
from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.metrics import Held, Proxies, metrics_source
from dev.servers.pages import Answer, Pages, Request, pages_server, vector
from dev.servers.tls import tls_end
from tests.certificates import Authority
from tests.integration.support import SLACK, Connect, ends_within

HOUR = timedelta(hours=1)
SECRET = "s3cret-of-metrics"

PAGE = """\
# HELP milvus_num_node number of nodes
# TYPE milvus_num_node gauge
milvus_num_node{node_id="1",role_name="proxy"} 1
milvus_num_node{node_id="1",role_name="querynode"} 1
process_start_time_seconds 1.7e+09
go_goroutines 400
milvus_proxy_collection_sq_latency_bucket{collection_name="docs",node_id="1",query_type="search",le="1"} 7
milvus_proxy_collection_sq_latency_count{collection_name="docs",node_id="1",query_type="search"} 7
milvus_proxy_received_nq{collection_name="docs",node_id="1",query_type="search"} 8
milvus_proxy_received_nq{collection_name="docs",node_id="1",query_type="query"} 1
milvus_proxy_req_count{function_name="GetLoadState",node_id="1",status="total"} 500
milvus_querynode_entity_num{collection_id="44",indexed_field_count="0",node_id="1",partition_id="1",segment_state="Growing"} 5
milvus_querynode_entity_num{collection_id="44",indexed_field_count="1",node_id="1",partition_id="1",segment_state="Sealed"} 10
milvus_querynode_entity_num{collection_id="44",indexed_field_count="1",node_id="1",partition_id="2",segment_state="Sealed"} 20
milvus_querynode_entity_num{collection_id="55",indexed_field_count="1",node_id="1",partition_id="3",segment_state="Sealed"} 0
milvus_querynode_entity_size{collection_id="44",node_id="1",segment_state="Growing"} 500
milvus_querynode_entity_size{collection_id="44",node_id="1",segment_state="Sealed"} 3000
milvus_querynode_entity_size{collection_id="55",node_id="1",segment_state="Sealed"} 9.9e+06
"""


@pytest.fixture
def pages() -> Iterator[Pages]:
    with pages_server() as server:
        yield server


def page(pages: Pages, text: str = PAGE, path: str = "/metrics") -> str:
    pages.at[path] = Answer(text)
    return pages.url + path


def plain_prometheus(request: Request) -> Answer:
    """One proxy that is always there, and no use at all."""
    query, target = request.form["query"], {"instance": "10.0.0.3:9091", "job": "milvus"}
    if query == "vector(time())":
        return vector(({}, time.time()))
    if query.startswith("count by (instance, job)"):
        return vector((target, 1))
    if "process_start_time_seconds" in query:
        return vector((target, time.time() - 30 * 86400))
    if query.startswith("count_over_time"):
        return vector((target, 1e6))
    return vector()


class TestAddress:
    @pytest.mark.parametrize(
        "url",
        [
            "",
            "prometheus:9090",
            "ftp://prometheus",
            "http://",
            "http://h:99999",
            "http://h:0",
            "http://h?x=1",
            "http://h/#x",
            "http://h h",
            "http://a:9090,http://b:9090",
            "http://a:9091/metrics,http://b:9090",
            "http://a:9091/metrics,",
            None,
            5,
        ],
    )
    def test_what_can_never_work_is_refused_by_name(self, url):
        with pytest.raises(MilvusInvalidArgumentError, match="metrics_url"):
            metrics_source(url)

    @pytest.mark.parametrize(
        "url",
        ["http://h", "https://h:9090/prom/", "http://a:1/metrics, http://b:1/metrics", "http://u:p@h:9091/metrics"],
    )
    def test_what_can_work_is_taken_without_a_request(self, url):
        metrics_source(url)

    @pytest.mark.parametrize("url", [f"http://u:{SECRET}@h?x", f"ftp://u:{SECRET}@h", f"http://u:{SECRET}@h:bad"])
    def test_a_refusal_does_not_repeat_the_password(self, url):
        with pytest.raises(MilvusInvalidArgumentError) as refused:
            metrics_source(url)
        assert SECRET not in str(refused.value)

    @pytest.mark.parametrize("matchers", ['namespace="prod"', 'a="1", b!~"x.*" ,', '_x=~"a\\"b"', "", None, "  "])
    def test_matchers_are_taken(self, matchers):
        metrics_source("http://h", matchers=matchers)

    @pytest.mark.parametrize("matchers", ["prod", 'a="1" or b="2"', 'a="1"} or x{b="2"', "a='1'", 'a="1",,b="2"', 'a="\n"'])
    def test_what_is_no_matcher_is_refused(self, matchers):
        with pytest.raises(MilvusInvalidArgumentError, match="metrics_matchers"):
            metrics_source("http://h", matchers=matchers)

    def test_matchers_are_for_prometheus_only(self):
        with pytest.raises(MilvusInvalidArgumentError, match="metrics_matchers"):
            metrics_source("http://h/metrics", matchers='a="1"')

    @pytest.mark.parametrize("timeout", [0, -1, float("inf")])
    def test_a_timeout_that_is_none_is_refused(self, timeout):
        with pytest.raises(MilvusInvalidArgumentError, match="timeout"):
            metrics_source("http://h", timeout=timeout)


@pytest.mark.parametrize("path", ["", "/metrics"])
class TestCannotBeRead:
    """The same of a Prometheus and of a page of Milvus."""

    async def test_nobody_listens(self, refused, path):
        with ends_within(SLACK), pytest.raises(MilvusMetricsError, match="metrics_url"):
            await metrics_source(refused + path).held()

    async def test_nobody_answers(self, silent, path):
        with ends_within(1 + SLACK), pytest.raises(MilvusMetricsError, match="no answer within 1 s"):
            await metrics_source(silent + path, timeout=1).held()

    def test_connect_timeout_bounds_each_answer_of_a_hooks_metrics(self, silent, connect, path):
        connect(silent, metrics_url=silent + path, connect_timeout=1)
        metrics = MilvusHook().needed_metrics()
        with ends_within(1 + SLACK), pytest.raises(MilvusMetricsError, match="no answer within 1 s"):
            asyncio.run(metrics.held())

    async def test_an_answer_that_drips(self, pages, path):
        pages.at[path or "/api/v1/query"] = Answer(PAGE, pause=0.1)
        with ends_within(1 + SLACK), pytest.raises(MilvusMetricsError, match="no answer within 1 s"):
            await metrics_source(pages.url + path, timeout=1).held()

    @pytest.mark.parametrize("status", [302, 401, 404, 500, 503])
    async def test_http_says_no(self, pages, path, status):
        pages.at[path or "/api/v1/query"] = Answer("<html>sorry</html>", status, {"Location": "/login"})
        with pytest.raises(MilvusMetricsError, match=f"HTTP {status}"):
            await metrics_source(pages.url + path).held()

    @pytest.mark.parametrize("body", ["<html><body>Welcome</body></html>", "", "[]", '{"status": 1}', "up 1\n"])
    async def test_something_else_answers(self, pages, path, body):
        pages.at[path or "/api/v1/query"] = Answer(body)
        with pytest.raises(MilvusMetricsError, match="not"):
            await metrics_source(pages.url + path).held()

    async def test_no_error_holds_the_password(self, pages, refused, path, log_text):
        for url in (pages.url, refused):
            with pytest.raises(MilvusMetricsError) as failed:
                await metrics_source(url.replace("//", f"//user:{SECRET}@") + path).held()
            assert SECRET not in str(failed.value)
        assert SECRET not in log_text()


async def test_user_info_is_sent_as_basic_authentication(pages):
    url = page(pages).replace("//", "//user:p%40ss@")
    await metrics_source(url).held()
    assert pages.requests[0].headers["Authorization"] == "Basic dXNlcjpwQHNz"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


@pytest.fixture
def secured(pages: Pages, authority: Authority) -> Iterator[str]:
    """A page behind TLS, whose certificate only ``authority`` vouches for."""
    page(pages)
    with tls_end(pages.port, *authority.issue("server")) as port:
        yield f"https://127.0.0.1:{port}/metrics"


@pytest.mark.parametrize("setting", ["ca_pem_path", "server_pem_path"])
async def test_the_connections_authority_is_trusted_for_the_metrics(
    secured: str, authority: Authority, connect: Connect, setting: str
) -> None:
    connect("https://milvus:19530", metrics_url=secured, **{setting: str(authority.path)})
    source = MilvusHook().metrics()
    assert source is not None
    assert await source.held() == {44: Held(35, 3500)}


async def test_another_authority_is_not(secured: str, tmp_path: Path, connect: Connect) -> None:
    connect("https://milvus:19530", metrics_url=secured, ca_pem_path=str(Authority(tmp_path, "other").path))
    source = MilvusHook().metrics()
    assert source is not None
    with pytest.raises(MilvusMetricsError, match="CERTIFICATE_VERIFY_FAILED"):
        await source.held()


class TestPrometheusRefuses:
    @pytest.fixture
    def prometheus(self, pages: Pages) -> Pages:
        pages.at["/api/v1/query"] = plain_prometheus
        return pages

    @pytest.mark.parametrize("status", [200, 400, 503])
    async def test_a_query(self, prometheus, status):
        body = json.dumps({"status": "error", "errorType": "execution", "error": "query timed out"})
        prometheus.at["/api/v1/query"] = Answer(body, status)
        with pytest.raises(MilvusMetricsError, match="query timed out"):
            await metrics_source(prometheus.url).usage([HOUR], proxies=Proxies(1))

    @pytest.mark.parametrize(
        "body",
        [
            {"status": "success"},
            {"status": "success", "data": {"result": [{"metric": {}, "value": [1]}]}},
            {"status": "success", "data": {"result": [{"metric": {}, "value": [1, "x"]}]}},
            {"status": "success", "data": {"result": [{"metric": {}, "value": [1, "NaN"]}]}},
            {"status": "success", "data": {"result": []}},
            {"status": "success", "data": []},
        ],
    )
    async def test_an_answer_of_another_shape(self, prometheus, body):
        prometheus.at["/api/v1/query"] = Answer(json.dumps(body))
        with pytest.raises(MilvusMetricsError, match=r"not Prometheus|Prometheus says nan where that cannot be"):
            await metrics_source(prometheus.url).held()

    async def test_an_answer_that_lacks_a_part(self, prometheus):
        """As Thanos answers when one of its stores is out of reach."""
        body = {"status": "success", "warnings": ["store 10.0.0.9 unavailable"], "data": {"result": []}}
        prometheus.at["/api/v1/query"] = Answer(json.dumps(body))
        with pytest.raises(MilvusMetricsError, match=r"incomplete.*10\.0\.0\.9"):
            await metrics_source(prometheus.url).held()

    async def test_nothing_when_all_is_well(self, prometheus):
        counted = await metrics_source(prometheus.url).usage([HOUR, 24 * HOUR], proxies=Proxies(1))
        assert [(span.length, span.unknown, span.used) for span in counted.spans] == [
            (HOUR, None, frozenset()),
            (24 * HOUR, None, frozenset()),
        ]
        assert counted.keep == {}

    @pytest.mark.parametrize(
        ("proxies", "words"), [(Proxies(), "is not known: add the coordinator"), (Proxies(2), "of 1 proxies, and Milvus has 2")]
    )
    async def test_another_number_of_proxies(self, prometheus, proxies, words):
        (window,) = (await metrics_source(prometheus.url).usage([HOUR], proxies=proxies)).spans
        assert words in window.unknown

    async def test_every_query_is_for_the_same_moment_and_has_the_matchers(self, prometheus):
        source = metrics_source(prometheus.url, matchers='namespace="prod"')
        await source.usage([HOUR, 24 * HOUR], proxies=Proxies(1))
        await source.held()
        await source.attempts()
        first, *others = [request.form for request in prometheus.requests if "milvus" in request.form["query"]]
        assert all('namespace="prod"' in form["query"] for form in (first, *others))
        assert len({form["time"] for form in (first, *others)}) <= 3

    async def test_the_number_of_queries_depends_on_the_spans_only(self, prometheus):
        await metrics_source(prometheus.url).usage([HOUR, 24 * HOUR, 168 * HOUR], proxies=Proxies(1))
        assert len(prometheus.requests) == 6 + 2 * 3


class TestPages:
    async def test_bytes_count_only_where_there_are_rows(self, pages):
        assert await metrics_source(page(pages)).held() == {44: Held(35, 3500)}

    async def test_several_nodes_are_added_up(self, pages):
        other = PAGE.replace('node_id="1"', 'node_id="2"').replace('role_name="proxy"', 'role_name="datanode"')
        both = f"{page(pages)}, {page(pages, other, '/2/metrics')}"
        assert await metrics_source(both).held() == {44: Held(70, 7000)}

    async def test_attempts_are_those_of_searches_and_queries(self, pages):
        source = metrics_source(page(pages))
        (proxy,) = {key[0] for key in await source.attempts()}
        assert await source.attempts() == {(proxy, None, "docs"): 9}
        assert proxy in pages.url

    async def test_newer_servers_name_the_database_and_count_requests(self, pages):
        more = PAGE + "".join(
            f'milvus_proxy_req_count{{collection_name="c",db_name="d",function_name="{function}",status="{status}"}} {count}\n'
            for function, status, count in (
                ("Search", "total", 3),
                ("HybridSearch", "total", 2),
                ("Query", "total", 1),
                ("Search", "success", 3),
                ("GetLoadState", "total", 99),
            )
        )
        attempts = await metrics_source(page(pages, more)).attempts()
        assert {key[1:]: count for key, count in attempts.items()} == {(None, "docs"): 9, ("d", "c"): 6}

    @pytest.mark.parametrize(
        "line",
        ['milvus_num_node{role_name="proxy"} many', 'milvus_proxy_received_nq{collection_name="a} 1', "milvus_num_node{"],
    )
    async def test_a_malformed_line_spoils_the_page(self, pages, line):
        with pytest.raises(MilvusMetricsError, match="malformed"):
            await metrics_source(page(pages, PAGE + line + "\n")).held()

    async def test_one_page_that_cannot_be_read_spoils_the_whole(self, pages, refused):
        with pytest.raises(MilvusMetricsError, match=refused):
            await metrics_source(f"{page(pages)},{refused}/metrics").held()

    async def test_use_is_what_moved_between_two_runs(self, pages):
        source, span = metrics_source(page(pages)), timedelta(seconds=0.5)
        first = await source.usage([span], proxies=Proxies(1))
        assert "first read" in first.spans[0].unknown
        await asyncio.sleep(0.6)
        kept = json.loads(json.dumps(first.keep))
        second = await source.usage([span, HOUR], proxies=Proxies(1), kept=kept)
        assert [(span.unknown is None, span.used) for span in second.spans] == [(True, frozenset()), (False, frozenset())]
        # Load states that are polled are no use; an attempt is, and so is a name never seen before.
        polled = PAGE.replace("} 500", "} 600").replace('query_type="search"} 8', 'query_type="search"} 9')
        page(pages, polled + 'milvus_proxy_received_nq{collection_name="new"} 1\n')
        third = await source.usage([span], proxies=Proxies(1), kept=kept)
        assert third.spans[0].unknown is None
        assert third.spans[0].used == {(None, "docs"), (None, "new")}

    async def test_aggregated_counters_are_used_under_the_name_all(self, pages):
        source, span = metrics_source(page(pages, PAGE.replace('"docs"', '"all"'))), timedelta(seconds=0.2)
        first = await source.usage([span], proxies=Proxies(1))
        await asyncio.sleep(0.3)
        page(pages, PAGE.replace('"docs"', '"all"').replace('query_type="search"} 7', 'query_type="search"} 8'))
        assert (await source.usage([span], proxies=Proxies(1), kept=first.keep)).spans[0].used == {(None, "all")}

    @pytest.mark.parametrize(
        ("proxies", "gauge", "words"),
        [
            (Proxies(), None, "number of Milvus's proxies is not known"),
            (Proxies(), 0, "number of Milvus's proxies is not known"),
            (Proxies(), 3, "of 1 proxies, and Milvus has 3"),
            (Proxies(standalone=True), 3, "of 1 proxies, and Milvus has 3"),
            (Proxies(2), 1, "of 1 proxies, and Milvus has 2"),
            (Proxies(), 1, "were first read then"),
            (Proxies(standalone=True), None, "were first read then"),
            (Proxies(1), 3, "of 1 proxies, and Milvus has 3"),
        ],
    )
    async def test_number_of_proxies_is_the_connections_the_coordinators_or_a_standalones(self, pages, proxies, gauge, words):
        more = "" if gauge is None else f"milvus_rootcoord_proxy_num {gauge}\n"
        (window,) = (await metrics_source(page(pages, PAGE + more)).usage([HOUR], proxies=proxies)).spans
        assert words in window.unknown

    async def test_only_proxies_count_as_proxies(self, pages):
        """The pages of query nodes are there for the bytes."""
        node = PAGE.replace('role_name="proxy"', 'role_name="datanode"')
        both = f"{page(pages)},{page(pages, node, '/2/metrics')}"
        counted = await metrics_source(both).usage([HOUR], proxies=Proxies(1))
        assert len(counted.keep["proxies"]) == 1

    async def test_what_another_server_kept_is_unknown_and_no_error(self, pages):
        kept = {"at": 1, "since": 0, "why": "", "proxies": {"other:9091": {"started": 1, "counts": {"/docs": [1, 1]}}}}
        (window,) = (await metrics_source(page(pages)).usage([HOUR], proxies=Proxies(1), kept=kept)).spans
        assert "there were other proxies before" in window.unknown

    async def test_what_is_kept_grows_with_the_names_and_not_with_the_runs(self, pages):
        names = [f'milvus_proxy_received_nq{{collection_name="collection_{n}"}} 1\n' for n in range(5000)]
        source, kept = metrics_source(page(pages, PAGE + "".join(names))), None
        for _ in range(3):
            kept = (await source.usage([HOUR], proxies=Proxies(1), kept=kept)).keep
        assert len(json.dumps(kept)) < 5000 * 60
