"""A collection's URI, as a DAG may write it and as an operator emits it, and the events that go with a change."""

from __future__ import annotations

import json
import pkgutil
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from airflow.providers.common.compat.sdk import DAG, Asset, AssetAlias

from airflow_provider_milvus.assets import collection_uri, convert_asset_to_openlineage, create_asset, sanitize_uri
from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.get_provider_info import get_provider_info
from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.operators.base import MilvusWriteOperator

DOCS = "milvus://vectors.example.com:19530/default/docs"
HAS_NAMES = hasattr(Asset, "ref")
"""Before Airflow 3 an asset is its URI."""


class TestUri:
    @pytest.mark.parametrize(
        "written",
        [
            DOCS,
            "milvus://vectors.example.com/default/docs",
            "milvus://Vectors.Example.COM:19530/default/docs/",
            "milvus://vectors.example.com/docs",
            "MILVUS://vectors.example.com:19530/docs",
            "milvus://vectors.example.com//docs/",
        ],
    )
    def test_is_the_same_text_however_it_is_written(self, written):
        assert Asset(uri=written).uri == DOCS

    def test_is_the_one_that_an_operator_emits(self):
        emitted = collection_uri("http://Vectors.example.com", "default", "docs")
        assert emitted == DOCS
        assert Asset(uri=emitted).uri == emitted

    @pytest.mark.parametrize("different", ["Docs", "docs_2", "other/docs", "x/default"])
    def test_names_of_databases_and_collections_keep_their_letters(self, different):
        assert Asset(uri=f"milvus://vectors.example.com/{different}").uri.endswith(f"/{different}")
        assert Asset(uri=f"milvus://vectors.example.com/{different}").uri != DOCS

    @pytest.mark.parametrize(
        ("written", "complaint"),
        [
            ("milvus://root:secret@vectors.example.com/docs", "no credentials"),
            ("milvus://token@vectors.example.com/docs", "no credentials"),
            ("milvus://vectors.example.com", "collection is empty"),
            ("milvus://vectors.example.com/", "collection is empty"),
            ("milvus:///default/docs", "no host"),
            ("milvus://vectors.example.com:0/docs", "no usable port"),
            ("milvus://vectors.example.com:99999/docs", "between 1 and 65535"),
            ("milvus://vectors.example.com/a/b/c", "more than two parts"),
            ("milvus://vectors.example.com/default/docs_{{ ds }}", "not a Milvus name"),
            ("milvus://vectors.example.com/docs?ttl=1", "has more than"),
        ],
    )
    def test_that_can_never_be_one_is_refused_without_a_secret(self, written, complaint):
        with pytest.raises(ValueError, match=complaint) as refused:
            sanitize_uri(urlsplit(written))
        assert isinstance(refused.value, MilvusInvalidArgumentError)
        assert "secret" not in str(refused.value)

    @pytest.mark.parametrize(
        ("server", "uri"),
        [
            ("http://h", "milvus://h:19530/db/docs"),
            ("http://h:1", "milvus://h:1/db/docs"),
            ("https://in01.cloud.example.com", "milvus://in01.cloud.example.com:443/db/docs"),
            ("https://h:19531", "milvus://h:19531/db/docs"),
            ("unix:/run/milvus.sock", None),
            ("/data/docs.db", None),
        ],
    )
    def test_is_made_of_the_address_that_pymilvus_would_connect_to(self, server, uri):
        assert collection_uri(server, "db", "docs") == uri

    def test_of_the_factory_is_the_same(self):
        assert create_asset(host="vectors.example.com", collection="docs").uri == DOCS

    def test_becomes_a_data_set_of_the_server_for_openlineage(self, monkeypatch):
        import airflow.providers.common.compat.openlineage.facet as facet

        monkeypatch.setattr(facet, "Dataset", lambda **said: said, raising=False)
        assert convert_asset_to_openlineage(Asset(uri=DOCS), None) == {
            "namespace": "milvus://vectors.example.com:19530",
            "name": "default.docs",
        }


@pytest.mark.parametrize("known_as", ["asset", "dataset"])
def test_airflow_finds_what_knows_the_uri(known_as):
    """2.11 looks for data sets, 3 for assets."""
    (said,) = get_provider_info()[f"{known_as}-uris"]
    assert said.pop("schemes") == ["milvus"]
    assert {what: pkgutil.resolve_name(path) for what, path in said.items()} == {
        "handler": sanitize_uri,
        "factory": create_asset,
        "to_openlineage_converter": convert_asset_to_openlineage,
    }


class Write(MilvusWriteOperator):
    """An operator that has changed ``docs``."""

    def __init__(self, *, said: dict[str, Any] | None = None, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.said = said or {}

    def execute(self, context: Any) -> None:
        self.wrote(context, MilvusHook(self.milvus_conn_id), "docs", **self.said)


def write(said: dict[str, Any] | None = None, **keywords: Any) -> Write:
    return Write(said=said, **{"task_id": "t", **keywords})


@pytest.fixture(autouse=True)
def address(monkeypatch):
    described = {"conn_type": "milvus", "host": "Vectors.example.com", "login": "root", "password": "secret"}
    monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", json.dumps(described))


@pytest.fixture
def events(monkeypatch) -> Any:
    """Airflow's own, where no DAG names any asset but ``docs_live``, which one calls by another name."""
    if not HAS_NAMES:
        from airflow.utils.context import OutletEventAccessors

        return OutletEventAccessors()
    from airflow.sdk.exceptions import ErrorType
    from airflow.sdk.execution_time import context, task_runner
    from airflow.sdk.execution_time.comms import AssetResult, ErrorResponse

    def answer(message: Any) -> Any:
        if message.uri.endswith("/docs_live"):
            return AssetResult(name="what is served", uri=message.uri, group="asset")
        return ErrorResponse(error=ErrorType.ASSET_NOT_FOUND)

    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", SimpleNamespace(send=answer), raising=False)
    monkeypatch.setattr(context._AssetRefResolutionMixin, "_asset_ref_cache", {})
    return context.OutletEventAccessors()


def through(events: Any, alias: str) -> list[tuple[str, dict[str, Any]]]:
    """URI and extra of each event that goes through an alias."""
    found = events[AssetAlias(alias)]
    if HAS_NAMES:
        return [(event.dest_asset_key.uri, event.extra) for event in found.asset_alias_events]
    return [(event["dest_dataset_uri"], event["extra"]) for event in found.dataset_alias_events]


class TestEvents:
    def test_go_through_an_alias_of_the_task_with_the_counts(self, events):
        with DAG(dag_id="pipeline", schedule=None):
            task = write({"written": 3, "partition": "p"}, task_id="load")
        task.execute({"outlet_events": events})
        assert task.outlets == [AssetAlias("milvus.pipeline.load")]
        assert through(events, "milvus.pipeline.load") == [(DOCS, {"written": 3, "partition": "p"})]

    def test_are_left_to_a_check_that_emits_one_for_all_parts(self, events):
        task = write({"written": 3}, asset_event=False)
        task.execute({"outlet_events": events})
        assert task.outlets == []
        docs = Asset("milvus://vectors.example.com/docs")
        own = write({"written": 3}, asset_event=False, outlets=[AssetAlias("mine"), docs])
        own.execute({"outlet_events": events})
        assert (through(events, "mine"), events[docs].extra) == ([], {})

    def test_hold_plain_values_only(self, events):
        """2.11 cannot store an event whose extra holds a list."""
        write({"written": 3, "keys": [1, 2], "by": {"a": 1}, "nothing": None}).execute({"outlet_events": events})
        ((_, extra),) = through(events, "milvus.t")
        assert extra == {"written": 3}

    def test_of_a_write_through_an_alias_name_both(self, events):
        write({"alias": "docs_live"}).execute({"outlet_events": events})
        assert [uri for uri, _ in through(events, "milvus.t")] == [DOCS, DOCS.replace("docs", "docs_live")]

    @pytest.mark.skipif(not HAS_NAMES, reason="assets have no names before Airflow 3")
    def test_reach_an_asset_that_a_dag_calls_by_another_name(self, events):
        write({"alias": "docs_live"}).execute({"outlet_events": events})
        named = [event.dest_asset_key.name for event in events[AssetAlias("milvus.t")].asset_alias_events]
        assert named == [DOCS, "what is served"]

    def test_go_through_the_users_own_alias_instead(self, events):
        task = write({"written": 1}, outlets=[AssetAlias("mine")])
        task.execute({"outlet_events": events})
        assert task.outlets == [AssetAlias("mine")]
        assert through(events, "mine") == [(DOCS, {"written": 1})]

    def test_of_the_users_own_asset_get_the_counts_if_it_is_the_collections(self, events):
        docs, other = Asset("milvus://vectors.example.com/docs"), Asset("milvus://vectors.example.com/other")
        write({"written": 1}, outlets=[docs, other]).execute({"outlet_events": events})
        assert (events[docs].extra, events[other].extra) == ({"written": 1}, {})

    @pytest.mark.skipif(HAS_NAMES, reason="Airflow 3 makes an alias that it has not heard of")
    def test_make_their_alias_known_where_airflow_cannot_store_them_otherwise(self, events):
        from airflow.models.dataset import DatasetAliasModel
        from airflow.utils.session import create_session

        for _ in range(2):
            write({"written": 1}, task_id="mapped").execute({"outlet_events": events})
        with create_session() as session:
            assert session.query(DatasetAliasModel).filter_by(name="milvus.mapped").count() == 1

    def test_are_none_for_a_server_without_a_host(self, events, monkeypatch, log_text):
        described = {"conn_type": "milvus", "extra": {"uri": "unix:/run/milvus.sock"}}
        monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", json.dumps(described))
        write().execute({"outlet_events": events})
        assert through(events, "milvus.t") == []
        assert "There is no asset event" in log_text()

    def test_hold_no_secret(self, events):
        write({"written": 1}).execute({"outlet_events": events})
        assert "secret" not in repr(through(events, "milvus.t"))


def test_lineage_is_told_what_was_read_and_what_was_written(monkeypatch):
    from airflow.providers.common.compat.lineage import hook

    told: list[tuple[str, str]] = []
    collector = SimpleNamespace(
        add_input_asset=lambda context, uri: told.append(("in", Asset(uri=uri).uri)),
        add_output_asset=lambda context, uri: told.append(("out", Asset(uri=uri).uri)),
    )
    monkeypatch.setattr(hook, "get_hook_lineage_collector", lambda: collector)
    files = ["/data/rows of today.parquet", "s3://bucket/rows.parquet", "s3://key:secret@bucket/rows.csv?token=secret"]
    write({"from_files": files, "from_collections": ["docs_1"]}).execute({})

    assert told == [
        ("in", "file:///data/rows%20of%20today.parquet"),
        ("in", "s3://bucket/rows.parquet"),
        ("in", "s3://bucket/rows.csv"),
        ("in", DOCS.replace("docs", "docs_1")),
        ("out", DOCS),
    ]
