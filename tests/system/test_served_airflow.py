"""What needs a whole Airflow: a killed worker and its retry, a person's approval, a watcher that loads on demand."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from dev.local_airflow import EXAMPLE_DAGS, LocalAirflow
from dev.servers.process import free_ports
from dev.servers.prometheus import PLATFORM_HAS_IT as PROMETHEUS_IS_HERE, prometheus_server
from dev.servers.scripted import LOADED, NOT_LOADED, ScriptedMilvus, scripted_server
from dev.servers.standalone import PLATFORM_HAS_IT, standalone_server
from tests.integration.support import Milvus, build_collection, eventually, load_all

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.standalone,
    pytest.mark.skipif(not PLATFORM_HAS_IT, reason="there is no Milvus 2.3.5 for this platform"),
]

COUNT = 200
RECLAIM_MANY = """
import os
from datetime import datetime, timedelta
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG
from airflow_provider_milvus.operators.milvus import MilvusReclaimMemoryOperator


class Reclaim(MilvusReclaimMemoryOperator):
    def execute(self, context):
        with Path(__file__).with_name("pids").open("a") as pids:
            print(os.getpid(), file=pids)
        return super().execute(context)


with DAG(dag_id="reclaim_many", schedule=None, start_date=datetime(2026, 1, 1)):
    Reclaim(
        task_id="reclaim",
        milvus_conn_id="milvus_scripted",
        collections="events_*",
        retries=1,
        retry_delay=timedelta(seconds=1),
    )
"""

ROWS = 20_000
INGEST_MANY = """
import os
from datetime import datetime, timedelta
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG
from airflow_provider_milvus.operators.milvus import MilvusInsertOperator


class Ingest(MilvusInsertOperator):
    def execute(self, context):
        with Path(__file__).with_name("ingest_pids").open("a") as pids:
            print(os.getpid(), file=pids)
        return super().execute(context)


with DAG(dag_id="ingest_many", schedule=None, start_date=datetime(2026, 1, 1)):
    Ingest(
        task_id="ingest",
        collection_name="ingested",
        rows=str(Path(__file__).with_name("rows.jsonl")),
        # So small that it takes its time.
        batch_rows=4,
        retries=1,
        retry_delay=timedelta(seconds=1),
    )
"""


@dataclass(frozen=True, slots=True)
class Served:
    """An Airflow with scheduler, triggerer and API, a real Milvus behind ``milvus_default`` and a scripted one beside it."""

    airflow: LocalAirflow
    milvus: Milvus
    scripted: ScriptedMilvus

    def ended(self, dag_id: str, patience: float = 240) -> str | None:
        eventually(lambda: self.airflow.state_of(dag_id) in ("success", "failed"), patience)
        return self.airflow.state_of(dag_id)


@pytest.fixture(scope="module")
def served(migrated: LocalAirflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    dags = tmp_path_factory.mktemp("dags")
    (dags / "reclaim_many.py").write_text(RECLAIM_MANY)
    (dags / "ingest_many.py").write_text(INGEST_MANY)
    for name in ("milvus_reclaim_with_approval", "milvus_load_on_demand"):
        shutil.copy(EXAMPLE_DAGS / f"{name}.py", dags)
    with ExitStack() as running:
        server = running.enter_context(standalone_server(tmp_path_factory.mktemp("milvus")))
        scripted = running.enter_context(scripted_server())
        metrics_url = server.metrics_url
        if PROMETHEUS_IS_HERE:
            targets = [f"127.0.0.1:{server.metrics_port}"]
            metrics_url = running.enter_context(prometheus_server(tmp_path_factory.mktemp("prometheus"), targets)).url
        milvus = Milvus("standalone", server.uri, server.process)
        with milvus.plain_client() as client:
            for name in ("docs", "events_20260101", "events_20260102", "kept_keep"):
                build_collection(client, name, rows=100, dim=8)
        airflow = LocalAirflow(
            migrated.home,
            server.uri,
            dags,
            *free_ports(1),
            connections={
                "milvus_default": {"uri": server.uri, "metrics_url": metrics_url},
                "milvus_scripted": {"uri": scripted.uri},
            },
        )
        with airflow.served():
            yield Served(airflow, milvus, scripted)


def test_retry_of_a_killed_reclaim_releases_the_rest_and_reports_both(served: Served) -> None:
    scripted = served.scripted
    for number in range(COUNT):
        scripted.add(f"events_{number:03}", LOADED)
    one_at_a_time = threading.Lock()

    def in_turn(server: ScriptedMilvus, request: Any, context: Any) -> None:
        with one_at_a_time:
            server.pause(0.05, context)

    scripted.always("ReleaseCollection", in_turn)
    pids = served.airflow.dags / "pids"

    def released() -> int:
        return sum(collection.now == NOT_LOADED for collection in scripted.collections.values())

    served.airflow.trigger("reclaim_many")
    eventually(lambda: released() >= COUNT / 2, patience=240)
    os.kill(int(pids.read_text()), signal.SIGKILL)
    at_the_kill = released()

    assert served.ended("reclaim_many") == "success"
    assert COUNT / 2 <= at_the_kill < COUNT
    assert len(pids.read_text().split()) == 2
    result = served.airflow.results("reclaim_many")["reclaim"]
    assert released() == COUNT
    assert result["totals"]["released"] == COUNT
    assert result["failed"] == []
    assert result["restore"] == {"default": sorted(scripted.collections)}
    # The result names the first of those that were released, and the first try began with them.
    assert {entry["reason"].endswith("(released by an earlier try)") for entry in result["released"]} == {True}
    # What the server had taken up when the signal arrived may have been sent twice.
    assert COUNT <= len(scripted.received("ReleaseCollection")) <= COUNT + 10


def test_retry_of_a_killed_ingest_goes_on_and_leaves_each_row_once(served: Served) -> None:
    """Milvus keeps a key as often as it is inserted, so that a row that was sent twice would be counted twice."""
    dags = served.airflow.dags
    held = {key: [key % 7 + place / 8 for place in range(8)] for key in range(ROWS)}
    (dags / "rows.jsonl").write_text("".join(json.dumps({"id": key, "vector": held[key]}) + "\n" for key in held))
    with served.milvus.plain_client() as client:
        build_collection(client, "ingested", rows=0, dim=8)
        client.load_collection("ingested")

        def count() -> int:
            (row,) = client.query("ingested", "", output_fields=["count(*)"], consistency_level="Strong")
            return int(row["count(*)"])

        served.airflow.trigger("ingest_many")
        eventually(lambda: count() >= ROWS / 2, patience=240)
        os.kill(int((dags / "ingest_pids").read_text()), signal.SIGKILL)
        at_the_kill = count()
        assert served.ended("ingest_many") == "success"

        assert at_the_kill < ROWS
        assert len((dags / "ingest_pids").read_text().split()) == 2
        assert count() == ROWS
        rows = [
            row
            for first in range(0, ROWS, 10_000)
            for row in client.query("ingested", f"id >= {first}", output_fields=["vector"], limit=10_000)
        ]
    assert {row["id"]: row["vector"] for row in rows} == held
    result = served.airflow.results("ingest_many")["ingest"]
    assert 0 < result["already_there"] <= at_the_kill
    assert result["already_there"] + result["written"] == ROWS


def test_exactly_what_was_approved_is_released(served: Served) -> None:
    loaded = ["docs", "events_20260101", "events_20260102", "kept_keep"]
    with served.milvus.plain_client() as client:
        load_all(client, loaded)
    run = served.airflow.trigger("milvus_reclaim_with_approval", {"collections": ["*"], "older_than": "P7D"})
    task = f"/api/v2/dags/milvus_reclaim_with_approval/dagRuns/{run}/taskInstances/approve"
    answer = f"{task}/-1/hitlDetails"

    def asks_for_approval() -> bool:
        try:
            # It can be answered before the task waits for the answer, and then it waits for ever.
            waits = served.airflow.ask("GET", task)["state"] in ("awaiting_input", "deferred")
            return waits and "events_20260101" in served.airflow.ask("GET", answer)["body"]
        except OSError:
            return False

    eventually(asks_for_approval, patience=240)
    # Airflow 3.3 fails a task that is resumed before the scheduler has heard of the end of the process that asked.
    heard_of = re.compile(r"Received executor event with state success.*task_id='approve'")
    eventually(lambda: heard_of.search(served.airflow.log.read_text(errors="replace")) is not None, patience=240)
    assert {served.milvus.state_of(name) for name in loaded} == {"Loaded"}
    with served.milvus.plain_client() as client:
        client.create_alias("events_20260102", "needed_after_all")
    try:
        served.airflow.ask("PATCH", answer, {"chosen_options": ["Approve"], "params_input": {}})
        assert served.ended("milvus_reclaim_with_approval") == "success"
    finally:
        with served.milvus.plain_client() as client:
            client.drop_alias("needed_after_all")

    result = served.airflow.results("milvus_reclaim_with_approval")["release"]
    assert [entry["collection"] for entry in result["released"]] == ["events_20260101"]
    assert "needed_after_all" in result["kept"][0]["reason"]
    assert {name: served.milvus.state_of(name) for name in loaded} == {
        "docs": "Loaded",
        "events_20260101": "NotLoad",
        "events_20260102": "Loaded",
        "kept_keep": "Loaded",
    }


def test_search_of_a_released_collection_loads_it(served: Served) -> None:
    with served.milvus.plain_client() as client:
        client.release_collection("docs")
        give_up = time.monotonic() + 120
        # The watcher counts from its own first look, so one search may come too early.
        while served.milvus.state_of("docs") == "NotLoad":
            assert time.monotonic() < give_up, "nobody loaded it"
            with pytest.raises(Exception, match="not loaded"):
                client.search("docs", data=[[0.5] * 8], limit=1)
            time.sleep(1)
        eventually(lambda: served.milvus.state_of("docs") == "Loaded", patience=240)
        assert client.search("docs", data=[[0.5] * 8], limit=1)
