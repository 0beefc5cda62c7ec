"""Numbers that cannot be, in each answer that has one: no error of another kind, and nothing more is released."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_milvus.exceptions import MilvusError
from airflow_provider_milvus.operators.milvus import (
    MilvusBulkImportOperator,
    MilvusLoadCollectionOperator,
    MilvusMemoryReportOperator,
    MilvusReclaimMemoryOperator,
)
from airflow_provider_milvus.sensors.milvus import MilvusBulkImportSensor
from dev.servers import rest
from dev.servers.pages import Answer, Pages, Request, pages_server, vector
from dev.servers.rest import RestMilvus, rest_server
from dev.servers.scripted import FIRST_ID, LOADED, ScriptedMilvus, loading
from tests.integration.support import SLACK, Connect, context_of_run, ends_within

pytestmark = [pytest.mark.newest, pytest.mark.slow]

TEXTS = {
    "negative": "-5",
    "huge": "1e300",
    "nan": "NaN",
    "infinite": "Infinity",
    "text": '"many"',
    "null": "null",
    "true": "true",
    "nested": '[{"a": [1]}]',
    "digits": '"' + "9" * 5000 + '"',
    "missing": "",
}
"""Values as a JSON writes them."""
WHOLE = {"negative": -5, "least": -(2**63), "huge": 2**63 - 1}
"""Values of a protobuf's integer."""

VALUES = pytest.mark.parametrize("value", TEXTS)
WHOLE_VALUES = pytest.mark.parametrize("value", WHOLE)

BIG, SMALL = FIRST_ID + 1, FIRST_ID + 2
PAGE = f"""milvus_num_node{{role_name="proxy"}} @nodes
milvus_rootcoord_proxy_num @proxies
process_start_time_seconds @started
milvus_proxy_received_nq{{collection_name="big",query_type="search"}} @nq
milvus_proxy_collection_sq_latency_count{{collection_name="big",query_type="search"}} @succeeded
milvus_proxy_req_count{{collection_name="big",db_name="default",function_name="Search",status="total"}} @requests
milvus_querynode_entity_num{{collection_id="{BIG}",node_id="1",segment_state="Sealed"}} @rows
milvus_querynode_entity_size{{collection_id="{BIG}",node_id="1",segment_state="Sealed"}} @bytes
milvus_querynode_entity_num{{collection_id="{SMALL}",node_id="1",segment_state="Sealed"}} 10
milvus_querynode_entity_size{{collection_id="{SMALL}",node_id="1",segment_state="Sealed"}} 5e8
"""
ON_A_PAGE = {
    "nodes": "1",
    "proxies": "1",
    "started": "1600000000",
    "nq": "3",
    "succeeded": "3",
    "requests": "3",
    "rows": "10",
    "bytes": "1e9",
}


@pytest.fixture
def pages() -> Iterator[Pages]:
    with pages_server() as server:
        yield server


@pytest.fixture
def two(scripted: ScriptedMilvus) -> ScriptedMilvus:
    """Collections ``big`` and ``small``, with the ids 1 and 2, in memory."""
    scripted.add("big", LOADED)
    scripted.add("small", LOADED)
    return scripted


def page(**values: str) -> Answer:
    text = PAGE
    for place, right in ON_A_PAGE.items():
        value = values.get(place, right)
        if value:
            text = text.replace(f"@{place}", value)
        else:
            text = "".join(line for line in text.splitlines(keepends=True) if f"@{place}" not in line)
    return Answer(text)


def reclaimed(**rules: Any) -> set[str] | str:
    """What would be released, or the kind of the error."""
    reclaim = MilvusReclaimMemoryOperator(task_id="t", dry_run=True, timeout=10, **rules)
    with ends_within(10 + SLACK):
        try:
            planned = reclaim.execute(context_of_run())["planned"]
        except MilvusError as error:
            return type(error).__name__
    assert isinstance(planned, list)
    return {entry["collection"] for entry in planned}


def reported() -> dict[str, Any]:
    result: dict[str, Any] = MilvusMemoryReportOperator(task_id="t", timeout=10).execute({})
    assert all(entry["bytes"] is None or 0 <= entry["bytes"] < 2**60 for entry in result["collections"])
    json.dumps(result, allow_nan=False)
    return result


def no_more_than(now: set[str] | str, before: set[str] | str) -> bool:
    return isinstance(now, str) or (isinstance(before, set) and now <= before)


@VALUES
@pytest.mark.parametrize("place", ON_A_PAGE)
def test_on_a_page_of_metrics(two: ScriptedMilvus, connect: Connect, pages: Pages, place: str, value: str) -> None:
    connect(two.uri, metrics_url=f"{pages.url}/metrics")
    pages.at["/metrics"] = page()
    rules: dict[str, Any] = {"memory_budget": "1GiB", "min_idle": "P1D"}
    before = reclaimed(**rules)
    pages.at["/metrics"] = page(**{place: TEXTS[value].strip('"')})

    assert no_more_than(reclaimed(**rules), before)
    result = reported()

    sizes = {entry["collection"]: entry["bytes_source"] for entry in result["collections"]}
    if place in ("rows", "bytes") and value in ("negative", "huge", "nan", "infinite"):
        assert sizes == {"big": "estimated", "small": "measured"} or sizes == {"big": "unknown", "small": "measured"}
        assert "a size that cannot be for 1 collection, such as 'big'" in result["warnings"][0]


QUERIES = {
    "time": "vector(time())",
    "present": "count by (instance, job)",
    "started": "process_start_time_seconds",
    "gauge": "milvus_rootcoord_proxy_num",
    "steps": "count_over_time",
    "used": "count by (db_name, collection_name)",
    "rows": "milvus_querynode_entity_num",
    "bytes": "milvus_querynode_entity_size",
    "attempts": "milvus_proxy_received_nq",
}


@VALUES
@pytest.mark.parametrize("place", QUERIES)
def test_in_an_answer_of_prometheus(two: ScriptedMilvus, connect: Connect, pages: Pages, place: str, value: str) -> None:
    connect(two.uri, metrics_url=pages.url)
    played = {"wrong": ""}

    def answer(request: Request) -> Answer:
        query, target = request.form["query"], {"instance": "a:9091", "job": "milvus"}
        right = (
            vector(({}, time.time()))
            if query == QUERIES["time"]
            else vector((target, 1))
            if query.startswith(QUERIES["present"])
            else vector((target, time.time() - 90 * 86400))
            if QUERIES["started"] in query
            else vector((target, 1e6))
            if query.startswith(QUERIES["steps"])
            else vector(*(({"collection_id": str(id), "node_id": "1", "segment_state": "Sealed"}, 9e8) for id in (BIG, SMALL)))
            if "querynode" in query
            else vector(({}, 1))
            if QUERIES["gauge"] in query
            else vector(({"db_name": "default", "collection_name": "small", "instance": "a:9091"}, 4))
        )
        if not played["wrong"] or QUERIES[place] not in query:
            return right
        body = json.loads(right.body)
        sample = body["data"]["result"][0]
        sample["value"] = [sample["value"][0], "@"] if value != "missing" else []
        return Answer(
            json.dumps(body).replace(
                '"@"', TEXTS[value] if value in ("null", "true", "nested") else f'"{TEXTS[value]}"'.replace('""', '"')
            )
        )

    pages.at["/api/v1/query"] = answer
    rules: dict[str, Any] = {"memory_budget": "1GiB", "min_idle": "P1D"}
    before = reclaimed(**rules)
    played["wrong"] = "yes"

    assert no_more_than(reclaimed(**rules), before)
    reported()


@VALUES
@pytest.mark.parametrize("field", ["memory", "memory_usage", "hardware_infos", "infos", "deploy_mode", "nodes_info"])
def test_of_the_nodes(two: ScriptedMilvus, field: str, value: str) -> None:
    def tell(hardware: str, second: dict[str, Any] | None = None) -> Callable[..., dict[str, str]]:
        return lambda server, request, context: {"response": hardware}

    def nodes(of_second: dict[str, Any]) -> str:
        infos = [
            {"type": "querynode", "hardware_infos": {"memory": 8 << 30, "memory_usage": 1 << 30}, "system_info": {}},
            {
                "type": "querynode",
                "hardware_infos": {"memory": 8 << 30, "memory_usage": 1 << 30, **of_second},
                "system_info": {},
            },
        ]
        return json.dumps({"nodes_info": [{"infos": info} for info in infos]})

    wrong = TEXTS[value] or "null"
    if field in ("memory", "memory_usage"):
        told = nodes({field: "@"}).replace('"@"', wrong) if value != "missing" else nodes({}).replace(f'"{field}"', '"x"', 1)
    elif field == "deploy_mode":
        told = nodes({}).replace('"system_info": {}', f'"system_info": {{"deploy_mode": {wrong}}}')
    else:
        told = json.dumps({"nodes_info": "@"}).replace('"@"', wrong)
        if field == "infos":
            told = f'{{"nodes_info": [{{"infos": {wrong}}}]}}'
        if field == "hardware_infos":
            told = f'{{"nodes_info": [{{"infos": {{"type": "querynode", "hardware_infos": {wrong}}}}}]}}'
    two.always("GetMetrics", tell(nodes({})))
    before = reclaimed(memory_budget="70%")
    two.always("GetMetrics", tell(told))

    assert no_more_than(reclaimed(memory_budget="70%"), before)
    result = reported()
    if field == "memory":
        assert result["totals"]["capacity"] is None
        assert "The memory of the query nodes is not known" in result["warnings"][0]


@pytest.mark.parametrize("told", ["", "{", "[]", "null", "5", '"x"', "[" * 100_000, '{"nodes_info": 5}', '{"nodes_info": [5]}'])
def test_nodes_that_are_no_json(two: ScriptedMilvus, told: str) -> None:
    two.always("GetMetrics", lambda server, request, context: {"response": told})

    assert reported()["totals"]["capacity"] is None


@WHOLE_VALUES
@pytest.mark.parametrize("field", ["inMemory_percentages", "created_utc_timestamps", "collection_ids"])
def test_of_a_listing(two: ScriptedMilvus, field: str, value: str) -> None:
    before = reclaimed(collections="*")

    def tell(server: ScriptedMilvus, request: Any, context: Any) -> Any:
        answer = server.carry_out(request)
        number = WHOLE[value] % 2**64 if field == "created_utc_timestamps" else WHOLE[value]
        return {**answer, field: [number] * len(answer[field])}

    two.always("ShowCollections", tell)

    assert no_more_than(reclaimed(collections="*"), before)
    states = {entry["state"] for entry in reported()["collections"]}
    assert states == ({"Loading"} if field == "inMemory_percentages" else {"Loaded"})


def test_listing_with_fewer_percentages_than_names(two: ScriptedMilvus) -> None:
    two.always(
        "ShowCollections",
        lambda server, request, context: {**server.carry_out(request), "inMemory_percentages": [100]},
    )

    assert {entry["collection"]: entry["state"] for entry in reported()["collections"]} == {"big": "Loaded", "small": "Loading"}


@VALUES
@pytest.mark.parametrize("field", ["row_count", "dim", "max_length"])
def test_in_a_text(two: ScriptedMilvus, field: str, value: str) -> None:
    pair = [] if value == "missing" else [{"key": field, "value": TEXTS[value].strip('"')}]
    if field == "row_count":
        two.always("GetCollectionStatistics", lambda server, request, context: {"stats": pair})
    else:

        def describe(server: ScriptedMilvus, request: Any, context: Any) -> Any:
            kind = 101 if field == "dim" else 21
            fields = [{"name": "v", "data_type": kind, "type_params": pair}]
            return {**server.carry_out(request), "schema": {"name": request.collection_name, "fields": fields}}

        two.always("DescribeCollection", describe)

    reported()
    reclaimed(memory_budget="1MiB")


@WHOLE_VALUES
@pytest.mark.parametrize("field", ["progress", "refresh_progress"])
def test_of_a_load(scripted: ScriptedMilvus, field: str, value: str, log_text: Callable[[], str]) -> None:
    number = WHOLE[value]
    scripted.add("docs", on_load=[loading(0), loading(number), LOADED])
    scripted.next("GetLoadingProgress", *[lambda server, request, context: {field: number}] * 2)

    result = MilvusLoadCollectionOperator(task_id="t", collection_name="docs", timeout=5, poll_interval=0.1).execute({})

    assert result["state"] == "Loaded"
    assert field == "refresh_progress" or f"a progress of {number} %, which cannot be" in log_text()


@pytest.mark.parametrize("state", [-1, 4, 2**31 - 1])
def test_load_state_that_nobody_knows_is_no_success(scripted: ScriptedMilvus, state: int) -> None:
    scripted.add("docs")
    scripted.always("GetLoadState", lambda server, request, context: {"state": state})

    with pytest.raises(MilvusError, match=f"load state {state}, which this provider does not know"):
        MilvusLoadCollectionOperator(task_id="t", collection_name="docs", timeout=2).execute({})


@VALUES
@pytest.mark.parametrize("field", ["code", "progress", "importedRows", "totalRows", "details", "state", "data", "jobId"])
def test_of_an_import(
    scripted: ScriptedMilvus, connect: Connect, monkeypatch: pytest.MonkeyPatch, field: str, value: str
) -> None:
    scripted.version = "v2.4.15"
    scripted.add("docs")
    with rest_server() as server:
        connect(scripted.uri, rest_url=server.url)

        def tell(endpoint: str) -> Callable[[RestMilvus, dict[str, Any]], rest.Answer]:
            def step(played: RestMilvus, body: dict[str, Any]) -> rest.Answer:
                answer = json.loads(played.carry_out(endpoint, body).text)
                place = answer if field in answer else answer["data"]
                if value == "missing":
                    place.pop(field, None)
                else:
                    place[field] = "@"
                return rest.Answer(json.dumps(answer).replace('"@"', TEXTS[value]))

            return step

        for endpoint in ("create", "describe", "list"):
            server.next(endpoint, *[tell(endpoint)] * (1 if endpoint == "create" else 4))
        for task in (
            MilvusBulkImportOperator(task_id="t", collection_name="docs", files=["a.parquet"], timeout=2, poll_interval=0.1),
            MilvusBulkImportSensor(task_id="s", collection_name="docs", job_ids="1", timeout=1, poke_interval=0.1),
        ):
            with ends_within(2 + SLACK):
                try:
                    task.execute({})
                except MilvusError:
                    pass
                except Exception as error:
                    assert type(error).__name__ == "AirflowSensorTimeout"  # noqa: PT017
