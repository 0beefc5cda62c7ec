"""The page in Airflow's navigation, in a real browser with real logins: before and after a reclaim, and refused to a viewer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from airflow_provider_milvus.page import plugin
from dev import browser
from dev.local_airflow import LocalAirflow
from dev.servers.lite import lite_server
from dev.servers.process import free_ports
from tests.integration.support import Milvus, build_collection, eventually

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(not plugin.HAS_PAGES, reason="Airflow has such pages from 3.1 on"),
    pytest.mark.skipif(not browser.IS_HERE, reason="needs playwright, and a Chromium that is installed"),
]

DAG = "reclaim_from_the_page"
RECLAIM = """
from datetime import datetime

from airflow.providers.common.compat.sdk import DAG, Param
from airflow_provider_milvus.operators.milvus import MilvusReclaimMemoryOperator

NAMES = {"type": "array", "items": {"type": "string"}}
with DAG(
    dag_id="reclaim_from_the_page",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    render_template_as_native_obj=True,
    params={
        "collections": Param(["events_*"], **NAMES),
        "databases": Param(["default"], **NAMES),
        "dry_run": Param(True, type="boolean"),
    },
    tags=["milvus"],
):
    MilvusReclaimMemoryOperator(
        task_id="reclaim",
        collections="{{ params.collections }}",
        exclude=["*_keep"],
        databases="{{ params.databases }}",
        dry_run="{{ params.dry_run }}",
    )
"""
OLD, NEW, KEPT = "events_20260101", "docs", "events_20260102_keep"
USERS = {"ada": "admin", "vic": "viewer"}
PATIENCE = 60_000
"""Milliseconds for what the browser waits for."""


@dataclass(frozen=True, slots=True)
class Served:
    airflow: LocalAirflow
    milvus: Milvus
    browser: Any

    def page_of(self, user: str) -> Any:
        """Log in, choose Milvus in the navigation, and return the browser's page."""
        page = self.browser.new_context(viewport={"width": 1600, "height": 1000}).new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(f"http://localhost:{self.airflow.port}/")
        page.locator("input[name=username]").fill(user)
        page.locator("input[name=password]").fill(user)
        page.locator("button[type=submit]").click()
        page.wait_for_url(lambda url: "/auth/" not in url)
        page.goto(f"http://localhost:{self.airflow.port}/plugin/milvus")
        return page


@pytest.fixture(scope="module")
def served(migrated: LocalAirflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    dags = tmp_path_factory.mktemp("dags")
    (dags / f"{DAG}.py").write_text(RECLAIM)
    with ExitStack() as running:
        server = running.enter_context(lite_server(tmp_path_factory.mktemp("milvus")))
        milvus = Milvus("lite", server.uri, server.process)
        with milvus.plain_client() as client:
            for name in (OLD, NEW, KEPT):
                build_collection(client, name, rows=100, dim=8)
                client.load_collection(name)
        airflow = LocalAirflow(migrated.home, server.uri, dags, *free_ports(1), users=USERS)
        running.enter_context(airflow.served())
        yield Served(airflow, milvus, running.enter_context(browser.browser()))


def shown(frame: Any) -> list[str]:
    return [row.get_attribute("data-collection") for row in frame.locator("tr[data-collection]").all()]


def test_an_admin_sees_sorts_and_filters_before_and_after_a_reclaim(served: Served) -> None:
    page = served.page_of("ada")
    frame = page.frame_locator("iframe")
    frame.locator(f"tr[data-collection={OLD}]").wait_for()
    assert sorted(shown(frame)) == sorted([OLD, NEW, KEPT])
    assert "100" in frame.locator(f"tr[data-collection={OLD}]").inner_text()

    frame.locator("th[data-column=collection] button").click()
    assert shown(frame) == [NEW, OLD, KEPT]
    frame.locator("th[data-column=collection] button").click()
    assert shown(frame) == [KEPT, OLD, NEW]
    frame.locator("#search").fill("EVENTS")
    assert shown(frame) == [KEPT, OLD]
    frame.locator("#search").fill("")

    served.airflow.trigger(DAG, {"dry_run": False})
    eventually(lambda: served.airflow.state_of(DAG) in ("success", "failed"), 240, 1.0)
    assert served.airflow.state_of(DAG) == "success"
    assert served.milvus.state_of(OLD) == "NotLoad"
    frame.locator("#refresh").click()
    row = frame.locator(f"tr[data-collection={OLD}]")
    row.locator(".outcome.released").wait_for()
    assert "NotLoad" in row.inner_text()
    assert "excluded by '*_keep'" in frame.locator(f"tr[data-collection={KEPT}]").inner_text()
    frame.locator("#outcome").select_option("released")
    assert shown(frame) == [OLD]


def test_a_dags_form_is_filled_in_and_nothing_is_triggered(served: Served) -> None:
    page = served.page_of("ada")
    frame = page.frame_locator("iframe")
    runs = len(served.airflow.runs())
    frame.locator(f"tr[data-collection={NEW}] input").check()
    frame.locator("#fill").click()
    frame.locator("#copy:enabled").wait_for()
    conf = json.loads(frame.locator("#conf").input_value())
    assert (conf["collections"], conf["databases"], conf["dry_run"]) == ([NEW], ["default"], True)
    frame.locator("#copy").click()
    page.wait_for_url(f"**/dags/{DAG}**")
    assert len(served.airflow.runs()) == runs


def test_a_viewer_sees_nothing_of_it(served: Served) -> None:
    page = served.page_of("vic")
    frame = page.frame_locator("iframe")
    frame.get_by_text("Forbidden").wait_for()
    assert shown(frame) == []
    for path in ("", "files/page.js", "api/connections", "api/connections/milvus_default"):
        assert page.request.get(f"http://localhost:{served.airflow.port}{plugin.URL}/{path}").status == 403
