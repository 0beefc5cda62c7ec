"""The nightly reclaim: what goes, what stays and why, seen on the server afterwards."""

from __future__ import annotations

import gc
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_milvus.client.flow import Deadline
from airflow_provider_milvus.exceptions import (
    MilvusConfigurationError,
    MilvusInDoubtError,
    MilvusInvalidArgumentError,
    MilvusReclaimError,
    MilvusServerError,
)
from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.operators.milvus import MilvusReclaimMemoryOperator
from airflow_provider_milvus.reclaim.plan import read_plan
from airflow_provider_milvus.reclaim.survey import Surveyor
from dev.servers.dialects import DIALECTS, LITE_LIKE, Dialect
from dev.servers.scripted import LOADED, NOT_LOADED, ScriptedMilvus, change, loading, no_change, refuse, scripted_server
from tests.integration.ingest.task_state import TaskState, a_try
from tests.integration.support import SLACK, Connect, Milvus, build_collection, context_of_run, ends_within, load_all

NIGHT = datetime(2026, 3, 10, 2, tzinfo=UTC)
ON_LITE = pytest.mark.parametrize("milvus", ["lite"], indirect=True)


def reclaim(context: dict[str, Any] | None = None, **arguments: Any) -> dict[str, Any]:
    operator = MilvusReclaimMemoryOperator(task_id="reclaim", **arguments)
    result: dict[str, Any] = operator.execute(context if context is not None else context_of_run(NIGHT))
    return result


def names(entries: list[dict[str, str]]) -> list[str]:
    return [entry["collection"] for entry in entries]


def reasons(result: dict[str, Any]) -> dict[str, str]:
    return {entry["collection"]: entry["reason"] for entry in result["kept"]}


@pytest.fixture
def stock(milvus: Milvus) -> Iterator[Callable[[str], str]]:
    """Some loaded collections, as a team has them, in a server that has no others; and how to ask for their state."""
    loaded = ["events_20260101", "events_20260301", "events_20260309", "docs", "tmp_a", "tmp_b"]
    with milvus.plain_client() as client:
        for other in client.list_collections():
            client.drop_collection(other)
        for name in [*loaded, "events_20260102"]:
            build_collection(client, name, rows=10, dim=4)
        client.create_alias("docs", "live")
        client.release_collection("events_20260102")
        load_all(client, loaded)
        yield milvus.state_of
        client.drop_alias("live")
        for name in [*loaded, "events_20260102"]:
            client.drop_collection(name)


def test_patterns_age_and_aliases_decide_and_the_server_agrees(stock: Callable[[str], str]) -> None:
    rules = {"collections": ["events_*", "docs"], "exclude": ["*_20260301"], "older_than": timedelta(days=7)}

    planned = reclaim(**rules, dry_run=True)["planned"]

    assert names(planned) == ["events_20260101"]
    assert stock("events_20260101") == "Loaded"

    result = reclaim(**rules)

    assert names(result["released"]) == ["events_20260101"]
    assert result["failed"] == []
    assert result["released"] == [
        {
            "database": "default",
            "collection": "events_20260101",
            "state": "NotLoad",
            "reason": "matches 'events_*', 68 days 2 h old, over 7 days",
            "bytes": None,
            "bytes_source": "unknown",
        }
    ]
    assert reasons(result) == {
        "docs": "behind the alias live",
        "events_20260102": "not in memory",
        "events_20260301": "excluded by '*_20260301'",
        "events_20260309": "1 day 2 h old, not over 7 days",
        "tmp_a": "matches no pattern",
        "tmp_b": "matches no pattern",
    }
    assert stock("events_20260101") == "NotLoad"
    kept_in_memory = ["docs", "events_20260301", "events_20260309", "tmp_a", "tmp_b"]
    assert {stock(name) for name in kept_in_memory} == {"Loaded"}
    assert json.loads(json.dumps(result)) == result


@ON_LITE
def test_dry_run_tells_what_would_go(stock: Callable[[str], str], log_text: Callable[[], str]) -> None:
    result = reclaim(collections="*", keep_aliased=False, dry_run=True)

    assert result["dry_run"] is True
    assert result["released"] == []
    planned = ["docs", "events_20260101", "events_20260301", "events_20260309", "tmp_a", "tmp_b"]
    assert sorted(names(result["planned"])) == planned
    assert {stock(name) for name in planned} == {"Loaded"}
    assert "would release" in log_text()


@ON_LITE
def test_aliased_collection_goes_only_when_that_is_said(stock: Callable[[str], str]) -> None:
    result = reclaim(collections="docs", keep_aliased=False)

    assert names(result["released"]) == ["docs"]
    assert stock("docs") == "NotLoad"


@ON_LITE
def test_only_so_many_are_released_oldest_first(stock: Callable[[str], str]) -> None:
    result = reclaim(collections="events_*", older_than="PT1H", max_releases=2)

    assert names(result["released"]) == ["events_20260101", "events_20260301"]
    assert reasons(result)["events_20260309"].startswith("beyond max_releases (2)")
    assert stock("events_20260309") == "Loaded"


# What follows needs no real server: it is about the plan, or about what a server does on demand only.


@pytest.mark.parametrize("nothing", [{}, {"collections": []}, {"collections": None, "exclude": ["x"]}, {"older_than": ""}])
def test_neither_pattern_nor_age_is_an_error_and_never_everything(scripted: ScriptedMilvus, nothing: dict[str, Any]) -> None:
    scripted.add("docs", LOADED)

    with pytest.raises(MilvusInvalidArgumentError, match=r"no rule says what to release|is given, but empty"):
        reclaim(**nothing)

    assert scripted.calls == []


@pytest.mark.parametrize(
    ("argument", "bad"),
    [
        ("collections", 5),
        ("collections", [None]),
        ("collections", [""]),
        ("collections", "['events_*']"),
        ("exclude", [5]),
        ("older_than", "a week"),
        ("older_than", 7),
        ("older_than", timedelta(days=-1)),
        ("date_format", "%Q"),
        ("date_format", "%d"),
        ("timezone", "Mars/Olympus"),
        ("dry_run", "perhaps"),
        ("dry_run", ""),
        ("max_releases", 0),
        ("max_releases", "many"),
    ],
)
def test_argument_that_can_never_work_is_named_before_anything_is_asked(
    scripted: ScriptedMilvus, argument: str, bad: Any
) -> None:
    scripted.add("events_20200101", LOADED)

    with pytest.raises(MilvusInvalidArgumentError, match=argument):
        reclaim(**{"collections": "events_*", "older_than": "P1D", argument: bad})

    assert scripted.calls == []


def test_age_counts_from_the_start_of_the_day_in_its_time_zone(scripted: ScriptedMilvus) -> None:
    """At two in the night in UTC, Auckland's eighth of March began 63 hours ago, and Honolulu's 40."""
    scripted.add("events_20260308", LOADED)

    auckland = reclaim(collections="*", older_than="PT60H", timezone="Pacific/Auckland", dry_run=True)
    honolulu = reclaim(collections="*", older_than="PT60H", timezone="Pacific/Honolulu", dry_run=True)

    assert names(auckland["planned"]) == ["events_20260308"]
    assert names(honolulu["kept"]) == ["events_20260308"]


def test_another_format_of_the_date(scripted: ScriptedMilvus) -> None:
    scripted.add("events_2026_03_01", LOADED)
    scripted.add("events_20260301", LOADED)

    result = reclaim(collections="*", older_than="P1D", date_format="%Y_%m_%d")

    assert names(result["released"]) == ["events_2026_03_01"]
    assert reasons(result) == {"events_20260301": "no date in its name"}


def test_now_is_the_logical_date_and_not_the_clock(scripted: ScriptedMilvus) -> None:
    scripted.add("events_20200102", LOADED)

    result = reclaim(context_of_run(datetime(2020, 1, 3, tzinfo=UTC)), older_than="P7D")

    assert reasons(result) == {"events_20200102": "1 day old, not over 7 days"}


def test_manual_run_without_a_logical_date_counts_from_run_after(scripted: ScriptedMilvus) -> None:
    scripted.add("events_20200102", LOADED)
    run = SimpleNamespace(run_after=datetime(2020, 1, 3, tzinfo=UTC))
    context = {**context_of_run(), "logical_date": None, "dag_run": run}

    result = reclaim(context, older_than="P7D")

    assert names(result["kept"]) == ["events_20200102"]


def test_without_a_dag_run_ages_count_to_now(scripted: ScriptedMilvus) -> None:
    scripted.add("events_20200102", LOADED)

    assert names(reclaim({}, older_than="P7D")["released"]) == ["events_20200102"]


def test_number_of_calls_does_not_grow_with_what_is_not_in_memory(scripted: ScriptedMilvus) -> None:
    scripted.add("events_a", LOADED)
    reclaim(collections="events_*")
    few = len(scripted.calls)
    scripted.calls.clear()
    scripted.collections["events_a"].become([LOADED])
    for number in range(300):
        scripted.add(f"events_{number}", NOT_LOADED)

    result = reclaim(collections="events_*")

    assert result["totals"]["kept"] == 300
    assert len(scripted.calls) == few


def test_dry_run_asks_one_question_for_each_that_may_go_and_a_handful_for_all(scripted: ScriptedMilvus) -> None:
    for number in range(300):
        scripted.add(f"events_{number}", LOADED)
        scripted.add(f"docs_{number}", LOADED)

    reclaim(collections="events_*", dry_run=True)

    assert len(scripted.received("DescribeCollection")) == 300
    assert len(scripted.calls) <= 310


def test_where_the_server_describes_many_at_once_it_is_asked_so(connect: Connect) -> None:
    with scripted_server(DIALECTS["2.6.16"]) as server:
        connect(server.uri)
        for number in range(300):
            server.add(f"events_{number}", LOADED, aliases=[f"live_{number}"] if number < 10 else [])
        # Two have gone since they were listed.
        server.next("ListAliases", change(lambda: [server.collections.pop(f"events_{number}") for number in (20, 280)]))

        result = reclaim(collections="events_*", dry_run=True)

        assert len(server.received("BatchDescribeCollection")) == 2
        assert server.received("DescribeCollection") == []
    assert len(read_plan(result["plan"])) == 288


def test_many_that_cannot_be_described_fail_the_survey(connect: Connect) -> None:
    with scripted_server(DIALECTS["2.6.16"]) as server:
        connect(server.uri)
        for number in range(30):
            server.add(f"events_{number}", LOADED)
        refused = {"status": {"code": 5, "reason": "etcd is away"}, "collection_name": "events_7"}
        server.always("BatchDescribeCollection", lambda *_: {"responses": [refused]})

        with pytest.raises(MilvusServerError, match="'events_7' could not be described: etcd is away"):
            reclaim(collections="events_*", dry_run=True)


def test_one_failure_stops_no_other_and_the_result_is_pushed_first(
    scripted: ScriptedMilvus, log_text: Callable[[], str]
) -> None:
    for name in ("events_a", "events_b", "events_c"):
        scripted.add(name, LOADED)

    def breaks_for_b(server: ScriptedMilvus, request: Any, context: Any) -> Any:
        return refuse(65535, "segment is stuck")(server, request, context) if request.collection_name == "events_b" else None

    scripted.always("ReleaseCollection", breaks_for_b)
    context = context_of_run(NIGHT)

    with pytest.raises(MilvusReclaimError, match=r"2 released, 0 kept, 1 failed.*events_b.*segment is stuck"):
        reclaim(context, collections="events_*")

    ((key, pushed),) = context["ti"].pushed
    assert key == "return_value"
    assert names(pushed["released"]) == ["events_a", "events_c"]
    assert names(pushed["failed"]) == ["events_b"]
    assert json.loads(json.dumps(pushed)) == pushed
    assert scripted.collections["events_c"].now == NOT_LOADED
    assert "FAILED" in log_text()


def test_release_that_nobody_sees_is_a_failure_within_its_own_time(scripted: ScriptedMilvus) -> None:
    scripted.add("events_a", LOADED, on_release=[LOADED])
    scripted.add("events_b", LOADED)
    context = context_of_run(NIGHT)

    with ends_within(1 + SLACK), pytest.raises(MilvusReclaimError, match="still Loaded"):
        reclaim(context, collections="events_*", release_timeout=1)

    assert names(context["ti"].pushed[0][1]["released"]) == ["events_b"]


def test_server_that_goes_away_ends_the_run_and_says_what_was_not_tried(scripted: ScriptedMilvus) -> None:
    for name in "abcdefgh":
        scripted.add(f"events_{name}", LOADED)
    context = context_of_run(NIGHT)
    stopping = threading.Thread(target=scripted.stop)

    def stops(server: ScriptedMilvus, request: Any, grpc_context: Any) -> Any:
        if request.collection_name == "events_d":
            stopping.start()
            server.pause(5, grpc_context)

    scripted.always("ReleaseCollection", stops)
    with ends_within(6 + SLACK), pytest.raises(MilvusReclaimError):
        reclaim(context, collections="events_*", release_timeout=1)
    stopping.join()
    scripted.start()

    pushed = context["ti"].pushed[0][1]
    assert set(names(pushed["released"])) | set(names(pushed["failed"])) == set(scripted.collections)
    not_tried = {entry["collection"] for entry in pushed["failed"] if "not tried" in entry["reason"]}
    assert {"events_g", "events_h"} <= not_tried
    assert all(scripted.collections[name].now == LOADED for name in not_tried)


def test_collection_that_gets_an_alias_after_the_plan_is_kept(scripted: ScriptedMilvus) -> None:
    docs = scripted.add("docs", LOADED)
    scripted.next("DescribeCollection", no_change, change(lambda: docs.aliases.append("live")))

    result = reclaim(collections="docs")

    assert result["released"] == []
    assert "changed since it was planned" in reasons(result)["docs"]
    assert "live" in reasons(result)["docs"]
    assert docs.now == LOADED


def test_collection_that_begins_to_load_after_the_plan_is_kept(scripted: ScriptedMilvus) -> None:
    docs = scripted.add("docs", LOADED)
    scripted.next("GetReplicas", change(lambda: docs.become([loading(10)])))

    result = reclaim(collections="docs")

    assert "being loaded" in reasons(result)["docs"]
    assert [entry["state"] for entry in result["kept"]] == ["Loading"]
    assert scripted.received("ReleaseCollection") == []


def test_collection_that_is_dropped_after_the_plan_is_no_failure(scripted: ScriptedMilvus) -> None:
    scripted.add("docs", LOADED)
    scripted.next("DescribeCollection", no_change, change(lambda: scripted.collections.pop("docs")))

    result = reclaim(collections="docs")

    assert result["failed"] == []
    assert reasons(result) == {"docs": "dropped since it was planned, and perhaps created again"}


def test_who_comes_while_the_release_is_sent_gets_the_collection_back(scripted: ScriptedMilvus) -> None:
    docs, tmp = scripted.add("docs", LOADED), scripted.add("tmp", LOADED)
    scripted.next("ReleaseCollection", change(lambda: docs.aliases.append("live")))

    result = reclaim(collections=["docs", "tmp"])

    assert names(result["released"]) == ["tmp"]
    assert [entry["collection"] for entry in result["reloaded"]] == ["docs"]
    assert "live" in result["reloaded"][0]["reason"]
    assert (docs.now, tmp.now) == (LOADED, NOT_LOADED)


@pytest.mark.parametrize("rpc", ["ShowCollections", "ListAliases", "DescribeCollection"])
def test_what_is_made_anew_while_a_look_is_under_way_stays(scripted: ScriptedMilvus, rpc: str) -> None:
    scripted.add("docs", LOADED)
    survey = 2 if rpc == "ShowCollections" else 1
    scripted.next(rpc, *[no_change] * survey, change(lambda: scripted.add("docs", LOADED)))

    result = reclaim(collections="docs")

    assert result["released"] == []
    assert scripted.collections["docs"].now == LOADED


@pytest.mark.parametrize("rpc", ["ShowCollections", "BatchDescribeCollection"])
def test_where_no_look_for_all_is_answered_each_is_looked_at(connect: Connect, rpc: str) -> None:
    with scripted_server(DIALECTS["2.6.16"]) as server:
        connect(server.uri)
        for name in "abc":
            server.add(f"events_{name}", LOADED)
        denied = refuse(65535, "denied")
        server.always("ReleaseCollection", change(lambda: server.always(rpc, denied)))

        result = reclaim(collections="events_*", release_timeout=20)

    assert names(result["released"]) == ["events_a", "events_b", "events_c"]


def test_looks_before_and_after_releases_are_shared(connect: Connect) -> None:
    with scripted_server(DIALECTS["2.6.16"]) as server:
        connect(server.uri)
        for number in range(200):
            server.add(f"events_{number}", LOADED)

        result = reclaim(collections="events_*")

        made = Counter(call.name for call in server.calls)
    assert result["totals"]["released"] == 200
    assert (made["ReleaseCollection"], made["GetReplicas"]) == (200, 400)
    assert made.total() < 200 * 4


@pytest.mark.parametrize("others", [0, 100])
async def test_aliases_are_asked_of_themselves_or_of_the_collections_where_these_are_fewer(
    scripted: ScriptedMilvus, others: int
) -> None:
    scripted.add("docs", LOADED, aliases=["live", "old"])
    scripted.add("books", LOADED, aliases=["other"])
    for number in range(others):
        scripted.add(f"rest_{number}", LOADED, aliases=[f"alias_{number}"])

    async with await MilvusHook().shared_client() as client:
        seen = await Surveyor(client, Deadline(10)).look_at("default", ["docs", "books", "gone"])

    assert {state.collection: state.aliases for state in seen} == {"docs": ("live", "old"), "books": ("other",)}
    assert len(scripted.received("DescribeAlias")) == (0 if others else 3)
    assert len(scripted.received("ListAliases")) == (4 if others else 1)


def test_plan_in_a_file_is_carried_out(scripted: ScriptedMilvus, tmp_path: Path) -> None:
    for name in ("events_a", "events_b", "other"):
        scripted.add(name, LOADED)
    path = str(tmp_path / "plans" / "tonight.json")

    planned = reclaim(collections="events_*", dry_run=True, plan_path=path)

    assert planned["plan"] == path
    assert names(reclaim(plan=planned["plan"])["released"]) == ["events_a", "events_b"]
    assert scripted.collections["other"].now == LOADED


def test_plan_that_is_packed_is_carried_out(scripted: ScriptedMilvus) -> None:
    for number in range(400):
        scripted.add(f"events_{number}", LOADED)

    planned = reclaim(collections="events_*", dry_run=True)

    assert isinstance(planned["plan"], str)
    assert reclaim(plan=planned["plan"])["totals"]["released"] == 400


@pytest.mark.parametrize("plan", ["/nowhere/plan.json", "xz:", "[{'database': 'default'}]", "plan"])
def test_plan_that_cannot_be_read_is_an_error_before_anything_is_asked(scripted: ScriptedMilvus, plan: str) -> None:
    with pytest.raises(MilvusInvalidArgumentError, match="plan is not what a dry run returned"):
        reclaim(plan=plan)
    assert scripted.calls == []


def test_collection_that_is_loading_is_kept(scripted: ScriptedMilvus) -> None:
    scripted.add("docs", loading(0))

    assert reasons(reclaim(collections="docs")) == {"docs": "being loaded just now"}


def test_log_begins_and_ends_with_connection_server_and_database(scripted: ScriptedMilvus, log_text: Callable[[], str]) -> None:
    reclaim(dry_run=True, collections="*")

    where = f"Connection 'milvus_default' ({scripted.uri}), database 'default'."
    assert f"{where}\n" in (text := log_text())
    assert f"Reclaiming memory at {scripted.uri}." in text
    assert f"Nothing was changed. {where}" in text
    assert "Databases:" not in text


def test_log_names_other_databases(scripted: ScriptedMilvus, log_text: Callable[[], str]) -> None:
    scripted.add_database("books")

    reclaim(dry_run=True, collections="*", databases=["default", "books"])

    assert "Databases: default, books." in log_text()


def test_every_collection_has_a_reason_in_the_table(scripted: ScriptedMilvus, log_text: Callable[[], str]) -> None:
    scripted.add("events_20260101", LOADED)
    scripted.add("docs", LOADED, aliases=["live"])

    reclaim(collections=["*"], older_than="P7D")

    text = log_text()
    lines = [line for line in text.splitlines() if line.startswith(("released", "kept"))]
    assert any("events_20260101" in line and "68 days 2 h old" in line for line in lines)
    assert any("docs" in line and "behind the alias live" in line for line in lines)
    starts = {line.index("docs" if "docs" in line else "events_20260101") for line in lines}
    assert len(starts) == 1


def test_pattern_that_matches_nothing_is_a_warning(scripted: ScriptedMilvus, log_text: Callable[[], str]) -> None:
    scripted.add("docs", LOADED)

    reclaim(collections=["evnts_*"])

    assert "collections: the pattern 'evnts_*' matches no collection" in log_text()


def test_exclude_pattern_that_matches_nothing_is_a_warning_or_an_error(
    scripted: ScriptedMilvus, log_text: Callable[[], str]
) -> None:
    scripted.add("events_20260101", LOADED)
    arguments = {"collections": ["events_*"], "exclude": ["evnts_keep"]}

    with pytest.raises(MilvusInvalidArgumentError, match="exclude: the pattern 'evnts_keep' matches no collection"):
        reclaim(**arguments, fail_if_nothing_matches=True)
    assert scripted.received("ReleaseCollection") == []
    result = reclaim(**arguments)

    assert result["warnings"] == [
        "exclude: the pattern 'evnts_keep' matches no collection in 'default', where this user sees 1."
    ]


def test_arguments_are_templated(scripted: ScriptedMilvus) -> None:
    assert {"collections", "exclude", "older_than", "date_format", "dry_run", "max_releases"} <= set(
        MilvusReclaimMemoryOperator.template_fields
    )


@pytest.mark.parametrize("dialect", [DIALECTS["2.3.5"], LITE_LIKE], ids=lambda dialect: dialect.version)
def test_retry_leaves_what_somebody_has_loaded_since_the_release(connect: Connect, dialect: Dialect) -> None:
    with scripted_server(dialect) as milvus:
        connect(milvus.uri)
        first, _ = milvus.add("docs_1", LOADED), milvus.add("docs_2", LOADED)
        # By name, since both releases are under way at once and either may come first.
        refused = refuse(65535, "not now")
        milvus.always("ReleaseCollection", lambda *call: refused(*call) if call[1].collection_name == "docs_2" else None)
        context = a_try(TaskState()) | {"logical_date": NIGHT}
        with pytest.raises(MilvusReclaimError, match="1 released, 0 kept, 1 failed"):
            reclaim(context, collections="docs_*")
        milvus.always("ReleaseCollection", no_change)
        first.become([LOADED])
        milvus.count_load(first)

        if dialect is LITE_LIKE:
            with pytest.raises(MilvusInDoubtError, match="docs_1: in doubt, not released: an earlier try"):
                reclaim(context, collections="docs_*")
        else:
            result = reclaim(context, collections="docs_*")
            assert names(result["released"]) == ["docs_2"]
            assert "somebody has loaded it since" in reasons(result)["docs_1"]
        assert first.now == LOADED
        assert [call.request.collection_name for call in milvus.received("ReleaseCollection")].count("docs_1") == 1


def test_pythons_collector_is_as_before_when_a_run_has_ended(scripted: ScriptedMilvus, connect: Connect) -> None:
    before, meanwhile = gc.get_threshold(), list[int]()
    scripted.add("tmp_a", LOADED)
    scripted.next("ReleaseCollection", change(lambda: meanwhile.append(gc.get_threshold()[0])))

    reclaim(collections="tmp_*")

    assert meanwhile == [50_000]
    assert gc.get_threshold() == before
    scripted.always("ShowCollections", refuse(1100, "no such list"))
    with pytest.raises(MilvusInvalidArgumentError):
        reclaim(collections="tmp_*")
    assert gc.get_threshold() == before
    connect(scripted.uri, metrics_url="nonsense")
    with pytest.raises(MilvusConfigurationError):
        reclaim(collections="tmp_*")
    assert gc.get_threshold() == before
