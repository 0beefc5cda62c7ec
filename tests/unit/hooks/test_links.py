"""Links from a task: where they lead, which tasks have them, and that Airflow stores none that leads nowhere."""

from __future__ import annotations

import json
from datetime import datetime
from importlib import import_module
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, BaseOperatorLink

from airflow_provider_milvus.client.connection import ConnectionSettings
from airflow_provider_milvus.get_provider_info import get_provider_info
from airflow_provider_milvus.hooks.links import MilvusConsoleLink, MilvusPageLink, console_url
from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.operators.milvus import MilvusLoadCollectionOperator
from tests.public import TASKS, make

stores_links = pytest.mark.skipif(not hasattr(BaseOperatorLink, "xcom_key"), reason="Airflow 3 stores links")
ATTU = "http://attu:8000"


def settings_with(connection: Any, console: str | None, database: str = "default") -> ConnectionSettings:
    return ConnectionSettings.of(connection(host="h", console_url=console, database=database))


@pytest.mark.parametrize(
    ("given", "collection", "url"),
    [
        (ATTU, "docs", f"{ATTU}/#/databases/default/docs/overview"),
        (f"{ATTU}/", "docs", f"{ATTU}/#/databases/default/docs/overview"),
        (f"{ATTU}/attu", None, f"{ATTU}/attu/#/databases/default"),
        ("https://c.example/{database}/x/{collection}?tab=1", "docs", "https://c.example/default/x/docs?tab=1"),
        ("https://c.example/{database}", None, "https://c.example/default"),
        ("https://c.example/{collection}", None, ""),
        (ATTU, "{database}/?", f"{ATTU}/#/databases/default/%7Bdatabase%7D%2F%3F/overview"),
        (None, "docs", ""),
    ],
)
def test_the_console_shows_the_collection_or_all(connection, given, collection, url):
    assert console_url(settings_with(connection, given), collection) == url


def test_a_database_is_named_as_an_address_needs_it(connection):
    assert console_url(settings_with(connection, ATTU, "my books"), None) == f"{ATTU}/#/databases/my%20books"


@stores_links
class TestTasks:
    @pytest.mark.parametrize("kind", TASKS, ids=lambda kind: kind.__name__)
    def test_each_has_the_link_in_its_dag(self, kind):
        assert [link.name for link in make(kind).operator_extra_links] == ["Milvus console"]

    @pytest.mark.parametrize("mapped", [False, True], ids=["plain", "mapped"])
    def test_airflow_reads_it_from_the_dag(self, mapped):
        from airflow.serialization.serialized_objects import DagSerialization

        with DAG("links", schedule=None, start_date=datetime(2026, 1, 1)) as dag:
            if mapped:
                MilvusLoadCollectionOperator.partial(task_id="load").expand(collection_name=["a", "b"])
            else:
                MilvusLoadCollectionOperator(task_id="load", collection_name="docs")
        (task,) = json.loads(json.dumps(DagSerialization.to_dict(dag)))["dag"]["tasks"]
        assert task["__var"]["_operator_extra_links"] == {"Milvus console": "_link_MilvusConsoleLink"}

    @pytest.mark.parametrize(("console", "names"), [(ATTU, ["Milvus console"]), (None, [])], ids=["a console", "none"])
    def test_one_that_leads_nowhere_is_not_stored(self, monkeypatch, console, names):
        described = {"conn_type": "milvus", "host": "h", "extra": {"console_url": console}}
        monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", json.dumps(described))
        task = MilvusLoadCollectionOperator(task_id="load", collection_name="docs")
        assert task.hook().settings.conn_id == "milvus_default"
        assert [link.name for link in task.operator_extra_links] == names
        assert [link.get_link(task, ti_key=None) for link in task.operator_extra_links] == [
            f"{ATTU}/#/databases/default/docs/overview" for _ in names
        ]

    def test_a_task_that_never_read_its_connection_has_none(self):
        task = MilvusLoadCollectionOperator(task_id="load", collection_name="docs")
        task.hook_in_use = MilvusHook("nowhere")
        assert task.operator_extra_links == ()


def test_the_page_is_below_airflows_own_address(monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example/night/")
    link = MilvusPageLink([MilvusLoadCollectionOperator])
    assert link.get_link(None, ti_key=None) == "https://airflow.example/night/plugin/milvus"
    assert link.operators == [MilvusLoadCollectionOperator]


def test_airflow_is_told_of_the_link():
    (path,) = get_provider_info()["extra-links"]
    module, _, name = path.rpartition(".")
    assert getattr(import_module(module), name) is MilvusConsoleLink
