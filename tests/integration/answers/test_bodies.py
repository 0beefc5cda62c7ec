"""Bodies that have no end, burst or are no body at all: the caller is back in time, and small; metrics stay a warning."""

from __future__ import annotations

import asyncio
import resource
import threading
from collections.abc import Iterator

import pytest

from airflow_provider_milvus.answers import bodies
from airflow_provider_milvus.client.flow import Rest
from airflow_provider_milvus.client.rest import RestApi
from airflow_provider_milvus.exceptions import MilvusError, MilvusMetricsError, MilvusServerError, MilvusUnavailableError
from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.metrics import endpoints, metrics_source
from airflow_provider_milvus.operators.milvus import MilvusMemoryReportOperator, MilvusReclaimMemoryOperator
from dev.servers.pages import Answer, Pages, pages_server
from dev.servers.scripted import LOADED, ScriptedMilvus
from dev.servers.streams import STREAMS, streaming_server
from tests.integration.support import SLACK, Connect, context_of_run, ends_within

pytestmark = pytest.mark.newest

LINES = b'milvus_num_node{role_name="proxy"} 1\n' + b'milvus_proxy_received_nq{collection_name="docs"} 1\n' * 50
JSON = b'{"code": 0, "status": "success", "data": {"result": []}}'


@pytest.fixture
def pages() -> Iterator[Pages]:
    with pages_server() as server:
        yield server


class Growth:
    """What this process has needed more in memory than when it was made, in MiB."""

    def __init__(self) -> None:
        self._before = self._peak()

    def _peak(self) -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    def __float__(self) -> float:
        return self._peak() - self._before


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("path", ["/metrics", ""])
def test_metrics_without_an_end_are_a_warning_of_a_reclaim(
    scripted: ScriptedMilvus, connect: Connect, stream: str, path: str
) -> None:
    scripted.add("docs", LOADED)
    scripted.add("events_20200101", LOADED)
    with streaming_server(STREAMS[stream], LINES if path else JSON) as url:
        connect(scripted.uri, metrics_url=url + path, connect_timeout=1)
        reclaim = MilvusReclaimMemoryOperator(task_id="t", older_than="P7D", min_idle="P1D", timeout=10)
        threads, growth = threading.active_count(), Growth()

        with ends_within(10 + SLACK):
            result = reclaim.execute(context_of_run())

    assert "The metrics are not used: The metrics at http://127.0.0.1" in result["warnings"][0]
    assert result["released"] == []
    assert float(growth) < 250
    assert threading.active_count() <= threads + 12


def test_page_that_takes_long_to_take_apart_is_given_up_in_time(
    pages: Pages, scripted: ScriptedMilvus, connect: Connect
) -> None:
    """20 MB of nothing but wanted lines: some 6 s of work on the machine where it was written."""
    pages.at["/metrics"] = Answer((LINES * 8000).decode())
    scripted.add("docs", LOADED)
    connect(scripted.uri, metrics_url=f"{pages.url}/metrics", connect_timeout=0.5)

    with ends_within(2 + SLACK):
        result = MilvusMemoryReportOperator(task_id="t", timeout=2).execute({})

    assert "no answer within 0.5 s" in result["warnings"][0]


def test_operation_is_over_in_time_however_many_answers_there_are(
    scripted: ScriptedMilvus, connect: Connect, pages: Pages
) -> None:
    """Each answer drips, and comes within its own time."""
    pages.at["/api/v1/query"] = Answer(JSON.decode(), pause=0.02)
    scripted.add("docs", LOADED)
    connect(scripted.uri, metrics_url=pages.url, connect_timeout=5)

    with ends_within(2 + SLACK):
        result = MilvusMemoryReportOperator(task_id="t", timeout=2).execute({})

    assert "The metrics are not used" in result["warnings"][0]


@pytest.mark.parametrize("limit", ["LARGEST_PAGE", "MOST_SAMPLES"])
async def test_page_has_a_limit(pages: Pages, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    pages.at["/metrics"] = Answer(LINES.decode())
    source = metrics_source(f"{pages.url}/metrics")
    await source.attempts()
    monkeypatch.setattr(endpoints, limit, 40)

    with pytest.raises(MilvusMetricsError, match=r"longer than 40 B|more than 40 samples"):
        await source.attempts()


async def test_lines_that_are_cut_between_two_pieces_are_whole(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    pages.at["/metrics"] = Answer(LINES.decode())
    monkeypatch.setattr(bodies, "PIECE", 7)

    assert list((await metrics_source(f"{pages.url}/metrics").attempts()).values()) == [50]


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("repeatable", [True, False])
def test_rest_answer_without_an_end_fails_in_time(connect: Connect, stream: str, repeatable: bool) -> None:
    with streaming_server(STREAMS[stream], JSON) as url:
        connect("http://127.0.0.1:1", rest_url=url)
        hook = MilvusHook(timeout=1)
        call = Rest("/v2/vectordb/jobs/import/create", {"collectionName": "docs"}, repeatable=repeatable)
        growth, timeout = Growth(), 10 if stream == "endless_gzip" else 1

        with ends_within(timeout + SLACK), pytest.raises(MilvusError) as failed:
            asyncio.run(RestApi(hook.settings).post(call, "default", timeout))

    if stream == "endless_gzip":
        assert "longer than 16.0 MiB" in str(failed.value)
        assert isinstance(failed.value, MilvusServerError if repeatable else MilvusUnavailableError)
    assert float(growth) < 150
