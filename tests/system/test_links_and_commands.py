"""What only Airflow itself shows: the links that it keeps of a task, and its own command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dev.local_airflow import LocalAirflow
from dev.servers.lite import LiteServer
from tests.unit.cli.test_main import ADDS_COMMANDS

pytestmark = pytest.mark.airflow

ATTU = "http://attu:8000"
DAG = """
from datetime import datetime
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_milvus.operators.milvus import MilvusListCollectionsOperator
from airflow_provider_milvus.sensors.milvus import MilvusCollectionSensor

with DAG("linked", schedule=None, start_date=datetime(2026, 1, 1)):
    MilvusListCollectionsOperator(task_id="linked")
    MilvusCollectionSensor(task_id="waits", collection_name="nowhere", exists=False)
    MilvusListCollectionsOperator(task_id="unlinked", milvus_conn_id="milvus_plain")
"""


@pytest.fixture
def airflow(of_any_version: LocalAirflow, lite_process: LiteServer, tmp_path: Path) -> LocalAirflow:
    (tmp_path / "linked.py").write_text(DAG)
    connections = {
        "milvus_default": {"uri": lite_process.uri, "console_url": ATTU},
        "milvus_plain": {"uri": lite_process.uri},
    }
    return LocalAirflow(of_any_version.home, lite_process.uri, tmp_path, connections=connections)


def run(airflow: LocalAirflow, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in airflow.environment.items() if key != "AIRFLOW_CONN_MILVUS_DEFAULT"}
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)


def test_a_task_has_a_link_where_its_connection_has_a_console(migrated: LocalAirflow, airflow: LocalAirflow) -> None:
    airflow.run_dag("linked")
    links = airflow.of_last_run("linked", "task_id, CAST(value AS TEXT) FROM xcom WHERE key = '_link_MilvusConsoleLink'")
    assert {task: json.loads(url) for task, url in links} == {
        "linked": f"{ATTU}/#/databases/default",
        "waits": f"{ATTU}/#/databases/default/nowhere/overview",
    }


@pytest.mark.skipif(not ADDS_COMMANDS, reason="Airflow takes commands of providers from 3.2 on")
@pytest.mark.parametrize("command", [("airflow", "milvus"), ("milvus-airflow",)], ids=["airflow milvus", "milvus-airflow"])
def test_a_connection_in_airflows_database_is_found(
    airflow: LocalAirflow, lite_process: LiteServer, command: tuple[str, ...]
) -> None:
    extra = json.dumps({"uri": lite_process.uri})
    described = ["--conn-type", "milvus", "--conn-extra", extra]
    run(airflow, "airflow", "connections", "add", "milvus_stored", *described)
    ended = run(airflow, *command, "memory", "--conn-id", "milvus_stored", "--output", "json")
    result: dict[str, Any] = json.loads(ended.stdout)
    assert result["summary"].startswith("0 of ")
    assert ended.returncode == 0, ended.stderr
