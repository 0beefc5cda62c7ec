"""Given the same server and the same Prometheus, the backtest of tonight decides as the reclaim of tonight."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_milvus.operators.milvus import MilvusReclaimBacktestOperator, MilvusReclaimMemoryOperator
from dev.servers.prometheus import PLATFORM_HAS_IT, prometheus_with_history
from dev.servers.scripted import LOADED, NOT_LOADED, ScriptedMilvus
from tests.integration import past as remembered
from tests.integration.past import RememberedPast
from tests.integration.support import Connect, context_of_run, finish

pytestmark = [
    pytest.mark.newest,
    pytest.mark.skipif(not PLATFORM_HAS_IT, reason="there is no prometheus on the PATH"),
]

DAYS, GIB = 5, 2**30
HOUR = 3600.0
OFTEN = 300
"""Seconds between two scrapes."""

POLICIES: list[dict[str, Any]] = [
    {"idle_for": "P1D"},
    {"idle_for": "P3D"},
    {"idle_for": "P1D", "keep_aliased": False},
    {"idle_for": "P2D", "collections": ["events_*"], "exclude": ["*3"]},
    {"idle_for": "P1D", "max_releases": 2},
    {"older_than": "P2D", "collections": ["events_*"]},
    {"older_than": "P1D", "idle_for": "P1D", "collections": ["*"]},
    {"collections": ["docs_*"]},
    {"memory_budget": "12GiB"},
    {"memory_budget": "1GiB", "min_idle": "P2D"},
    {"idle_for": "P3D", "memory_budget": "20GiB"},
]


def build(scripted: ScriptedMilvus, now: datetime) -> RememberedPast:
    told = RememberedPast(now - timedelta(days=DAYS), now + timedelta(minutes=15))

    def add(name: str, searched: float | None, size: int, state: Any = LOADED, **more: Any) -> None:
        """``searched``: hours ago."""
        collection = scripted.add(name, state, **more)
        told.holds(collection.number, size * GIB, until=now.timestamp() - 30 * HOUR if state is NOT_LOADED else float("inf"))
        told.searches(name, *([(now.timestamp() - searched * HOUR, 3)] if searched is not None else []))

    for day, searched in enumerate((2, 20, 30, 60, 100, None)):
        add(f"events_{now - timedelta(days=day):%Y%m%d}", searched, day + 1)
        add(f"docs_{day}", searched, 7 - day)
    add("aliased", None, 3, aliases=["live"])
    add("aliased_searched", None, 3, aliases=["used"])
    told.searches("used", (now.timestamp() - 5 * HOUR, 1))
    add("kept", None, 2, properties={"airflow.reclaim": "never"})
    add("away", None, 2, NOT_LOADED)
    return told


Change = Callable[[RememberedPast, float], None]


def nothing(told: RememberedPast, now: float) -> None: ...


def restarted(told: RememberedPast, now: float) -> None:
    told.started = lambda moment: 1.7e9 if moment < now - 40 * HOUR else now - 40 * HOUR


def away_between_two_steps(told: RememberedPast, now: float) -> None:
    away = now - 40 * HOUR
    told.series = [
        (name, labels, lambda moment, value=value: None if away + 400 < moment < away + 1400 else value(moment))
        for name, labels, value in told.series
    ]


def no_coordinator(told: RememberedPast, now: float) -> None:
    """For half an hour, two days ago: a run asks it for the number of proxies as it is now."""
    told.series = [
        (name, labels, lambda moment, value=value: None if abs(moment - now + 48 * HOUR) < 1800 else value(moment))
        if name == "milvus_rootcoord_proxy_num"
        else (name, labels, value)
        for name, labels, value in told.series
    ]


def second_proxy(told: RememberedPast, now: float) -> None:
    told.add("milvus_rootcoord_proxy_num", lambda moment: 2, instance="b:9091")


def no_query_node(told: RememberedPast, now: float) -> None:
    """Since ten minutes, with what it held."""
    told.series = [
        (name, labels, lambda moment, value=value: None if moment > now - 600 else value(moment))
        if "querynode" in name or labels.get("role_name") == "querynode"
        else (name, labels, value)
        for name, labels, value in told.series
    ]


@contextmanager
def told_by(folder: Path, scripted: ScriptedMilvus, connect: Connect, change: Change, now: datetime) -> Iterator[None]:
    told = build(scripted, now)
    change(told, now.timestamp())
    with prometheus_with_history(folder, told.text(), look_back="6m") as url:
        connect(scripted.uri, metrics_url=url)
        yield


@pytest.mark.parametrize("change", [nothing, restarted, away_between_two_steps, no_coordinator, second_proxy, no_query_node])
def test_decides_as_the_run_of_tonight(
    scripted: ScriptedMilvus, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Change
) -> None:
    monkeypatch.setattr(remembered, "SCRAPE", OFTEN)
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    run = context_of_run(now + timedelta(seconds=30))
    with told_by(tmp_path / "prometheus", scripted, connect, change, now):
        released = 0
        for rules in POLICIES:
            tonight = finish(MilvusReclaimMemoryOperator(task_id="reclaim", dry_run=True, **rules), run)
            backtest = MilvusReclaimBacktestOperator(task_id="backtest", since="P1D", at=f"{now:%H:%M}", **rules).execute(run)
            wanted = sorted((entry["collection"], entry["reason"]) for entry in tonight["planned"])
            assert sorted((entry["collection"], entry["reason"]) for entry in backtest["releases"]) == wanted, rules
            released += len(wanted)
        # Some rules need no metrics.
        assert released > (40 if change in (nothing, no_coordinator) else 10)
