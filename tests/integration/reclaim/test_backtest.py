"""A policy played back on a past that a real Prometheus remembers, with answers that were computed by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError, MilvusMetricsError
from airflow_provider_milvus.operators.milvus import MilvusReclaimBacktestOperator
from dev.servers.prometheus import PLATFORM_HAS_IT, prometheus_with_history
from dev.servers.scripted import LOADED, NOT_LOADED, ScriptedMilvus
from tests.integration.past import RememberedPast
from tests.integration.support import Connect, context_of_run

pytestmark = [
    pytest.mark.newest,
    pytest.mark.skipif(not PLATFORM_HAS_IT, reason="there is no prometheus on the PATH"),
]

GIB = 2**30
FIRST, NOW = datetime(2026, 2, 20, tzinfo=UTC), datetime(2026, 3, 12, tzinfo=UTC)


def march(day: int, hour: int = 0, minute: int = 0) -> float:
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC).timestamp()


@pytest.fixture
def past(scripted: ScriptedMilvus) -> RememberedPast:
    """``a`` is searched on 1 and 7 March, ``aliased`` never, ``c`` on the 1st and 2nd (somebody releases it
    on the 6th), ``busy`` daily."""
    told = RememberedPast(FIRST, NOW)
    numbers = {
        name: scripted.add(name, *states).number
        for name, *states in (("a", LOADED), ("aliased", LOADED), ("c", NOT_LOADED), ("busy", LOADED))
    }
    scripted.collections["aliased"].aliases.append("live")
    told.holds(numbers["a"], 2 * GIB)
    told.holds(numbers["aliased"], GIB)
    told.holds(numbers["c"], GIB, until=march(6, 12))
    told.holds(numbers["busy"], GIB)
    told.holds(999, GIB)
    told.searches("a", (march(1, 12, 5), 3), (march(7, 9, 5), 4))
    told.searches("c", (march(1, 12, 5), 1), (march(2, 12, 5), 1))
    told.searches("busy", *((march(day, 12, 5), 2) for day in range(1, 12)))
    return told


@pytest.fixture
def play(past: RememberedPast, scripted: ScriptedMilvus, connect: Connect, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def run(**arguments: Any) -> dict[str, Any]:
        with prometheus_with_history(tmp_path / "prometheus", past.text(), look_back="25m") as url:
            connect(scripted.uri, metrics_url=url)
            task = MilvusReclaimBacktestOperator(task_id="backtest", since="P10D", idle_for="P3D", **arguments)
            result: dict[str, Any] = task.execute(context_of_run(NOW))
            return result

    return run


def released(result: dict[str, Any]) -> list[tuple[str, str, float | None, str | None, int | str]]:
    return [
        (
            entry["at"][5:16],
            entry["collection"],
            entry["gib_hours"],
            (entry["next_use"] or "")[5:16] or None,
            entry["missed"] if entry["all_missed_known"] else f"{entry['missed']} or more",
        )
        for entry in result["releases"]
    ]


def figures(result: dict[str, Any]) -> dict[str, tuple[int, float, int, int]]:
    return {
        each["policy"]: (each["releases"], each["gib_hours"], each["missed"], each["reloads"]) for each in result["policies"]
    }


def test_says_what_every_night_would_have_released_and_who_would_have_missed_it(
    play: Callable[..., dict[str, Any]], scripted: ScriptedMilvus
) -> None:
    result = play(price=0.5, policies={"1 day": {"idle_for": "P1D"}})

    assert released(result) == [
        # Two GiB until the step in which it is searched again.
        ("03-05T03:00", "a", 54.5 * 2, "03-07T09:30", 4),
        ("03-06T03:00", "c", 9.0, None, 0),
        ("03-11T03:00", "a", 21 * 2, None, 0),
    ]
    assert figures(result) == {"this policy": (3, 160.0, 4, 1), "1 day": (3, 102.5 * 2 + 69 * 2 + 57, 4, 1)}
    assert [policy["saved"] for policy in result["policies"]] == [80.0, 200.0]
    # What is not played takes no part: the fifth collection has been dropped since.
    assert [night["bytes_before"] / GIB for night in result["nights"]] == [5, 5, 5, 5, 3, 2, 4, 4, 4, 4]
    assert (result["unknown"], len(result["warnings"])) == ([], 1)
    assert "dropped or belong to another database: 1 of the collections" in result["warnings"][0]
    assert [policy["assumed"] for policy in result["policies"]] == [True, True]
    assert "freed 160.0 GiB-hours, 80.00 of the bill with 3 releases (assumed)." in result["summary"]
    assert json.loads(json.dumps(result)) == result
    assert {call.name for call in scripted.calls} & {"ReleaseCollection", "LoadCollection", "AlterCollection"} == set()


def test_suggests_what_frees_most_and_misses_few_enough(play: Callable[..., dict[str, Any]]) -> None:
    # In ten days a third of it.
    assert play(most_missed=12)["suggested"] == "idle for 1 day"
    assert play(most_missed=11)["suggested"] is None


def test_a_policy_of_ones_own_keeps_its_name(play: Callable[..., dict[str, Any]]) -> None:
    result = play(most_missed=0, policies={"idle for 1 day": {"collections": ["c"]}})
    named = [policy for policy in result["policies"] if policy["policy"] == "idle for 1 day"]
    assert [policy["releases"] for policy in named] == [1]
    with pytest.raises(MilvusInvalidArgumentError, match="'this policy', which is the task's own"):
        play(policies={"this policy": {"idle_for": "P1D"}})


def test_a_share_is_of_the_memory_of_today(play: Callable[..., dict[str, Any]], scripted: ScriptedMilvus) -> None:
    node = {"type": "querynode", "hardware_infos": {"memory": 40 * GIB, "memory_usage": 0}}
    scripted.always("GetMetrics", lambda *_: {"response": json.dumps({"nodes_info": [{"infos": node}]})})
    result = play(memory_budget="10%")
    assert {night["budget"] for night in result["nights"]} == {4 * GIB}
    assert "A budget that is a share is one of the memory that the query nodes have today." in result["warnings"]


def test_a_restart_of_the_proxy_makes_the_use_before_it_unknown(
    past: RememberedPast, play: Callable[..., dict[str, Any]]
) -> None:
    past.started = lambda moment: 1.7e9 if moment < march(5) else march(5) - 60

    result = play()

    assert released(result) == [("03-11T03:00", "a", 42.0, None, 0)]
    (unknown,) = result["unknown"]
    assert unknown["reason"] == "proxy a:9091 was restarted"
    assert (unknown["start"][5:16], unknown["end"][5:16]) == ("03-04T23:30", "03-05T00:00")


def test_searches_while_the_proxy_was_not_scraped_are_not_known(
    past: RememberedPast, play: Callable[..., dict[str, Any]]
) -> None:
    # The scrapes of the night of the 6th are missing, after the release of the 5th.
    past.series = [
        (name, labels, lambda moment, value=value: None if march(6, 20) < moment < march(6, 22) else value(moment))
        for name, labels, value in past.series
    ]

    result = play(exclude=["c"])

    # The size is not known for that time, either.
    assert released(result) == [("03-05T03:00", "a", None, "03-07T09:30", "4 or more"), ("03-11T03:00", "a", 42.0, None, 0)]
    assert result["policies"][0]["unknown"] == 1


def test_too_few_proxies_make_all_use_unknown(past: RememberedPast, play: Callable[..., dict[str, Any]]) -> None:
    past.add("milvus_rootcoord_proxy_num", lambda moment: 2, instance="b:9091")

    result = play()

    assert released(result) == []
    assert "the metrics are of 1 proxies, and Milvus has 2" in [unknown["reason"] for unknown in result["unknown"]]


@pytest.mark.parametrize("picture", ["nights.png", "nights.svg"])
def test_draws_the_nights(play: Callable[..., dict[str, Any]], tmp_path: Path, picture: str) -> None:
    pytest.importorskip("matplotlib")
    result = play(picture=str(tmp_path / "pictures" / picture), memory_budget="2GiB")
    drawn = Path(result["picture"]).read_bytes()
    assert drawn.startswith(b"\x89PNG" if picture.endswith("png") else b"<?xml")


def test_pages_without_a_past_are_refused(scripted: ScriptedMilvus, connect: Connect) -> None:
    for settings, words in (
        ({}, "has no metrics_url"),
        ({"metrics_url": "http://127.0.0.1:9/metrics"}, "tell the present only"),
    ):
        connect(scripted.uri, **settings)
        with pytest.raises(MilvusMetricsError, match=words):
            MilvusReclaimBacktestOperator(task_id="backtest", idle_for="P3D").execute(context_of_run(NOW))
