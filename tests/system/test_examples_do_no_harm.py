"""What a newcomer does first, the trigger form with a slip in it and then a dry run, changes nothing on the server."""

from __future__ import annotations

import urllib.error
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import pytest

from dev import sample_collections
from dev.local_airflow import EXAMPLE_DAGS, LocalAirflow
from dev.sample_collections import Sample
from dev.servers.lite import lite_server
from dev.servers.process import free_ports
from tests.integration.support import Milvus, eventually

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(int(version("apache-airflow").partition(".")[0]) < 3, reason="Airflow 2 has another API"),
]

NIGHTLY = "milvus_nightly_memory_reclaim"
REFUSED_FORMS: dict[str, Any] = {
    "milvus_blue_green_reindex": {"alias": ""},
    "milvus_columns_and_search": ["docs"],
    "milvus_embeddings": ["docs"],
    "milvus_incremental_upsert": {"collection": None},
    "milvus_ingest": ["docs"],
    "milvus_ingest_and_ask": {"question": ""},
    # Without Params, only a conf that is no dict is refused.
    "milvus_load_on_demand": ["docs"],
    "milvus_load_use_release": {},
    "milvus_loaded_window": {"collection": ["docs", "tmp_import"]},
    "milvus_mapped_ingest": ["docs"],
    "milvus_query": ["docs"],
    "milvus_read_rows": ["docs"],
    "milvus_reclaim_and_restore": {"collections": []},
    "milvus_reclaim_and_tell": {"to": ""},
    "milvus_reclaim_with_approval": {"older_than": ""},
    "milvus_release_collection_walkthrough": ["customized_setup"],
    "milvus_reembed": {"then": "keep"},
    "milvus_sync_documents": {"max_deleted": ""},
    "milvus_search": ["docs"],
    "milvus_upsert_rows": ["docs"],
    # The last to be unpaused: its scheduled run shows that the scheduler has looked at the others, too.
    NIGHTLY: {"dry_run": True, "older_than": "7 days"},
}


@pytest.fixture(scope="module")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Milvus]:
    """Collections in memory that the examples' patterns and defaults match, aliases, and one collection that is released."""
    matched = [Sample(name, goes=True) for name in ("office_mail", "office_search", "archive")]
    with lite_server(tmp_path_factory.mktemp("milvus")) as server:
        milvus = Milvus("lite", server.uri, server.process)
        sample_collections.create(server.uri, [*sample_collections.samples(datetime.now(UTC)), *matched])
        with milvus.plain_client() as client:
            client.release_collection("archive")
        yield milvus


@pytest.fixture(scope="module")
def airflow(milvus: Milvus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    airflow = LocalAirflow(tmp_path_factory.mktemp("airflow"), milvus.uri, port=free_ports(1)[0], paused=True)
    with airflow.served():
        yield airflow


def everything_on(milvus: Milvus) -> dict[str, Any]:
    """Every collection as the server describes it, with its load state, rows, indexes and aliases."""
    with milvus.plain_client() as client:
        return {
            name: {
                "state": str(client.get_load_state(name)["state"]),
                "rows": client.get_collection_stats(name)["row_count"],
                "indexes": client.list_indexes(name),
                "description": client.describe_collection(name),
                "aliases": client.list_aliases(name)["aliases"],
            }
            for name in client.list_collections()
        }


def test_a_refused_form_and_a_dry_run_change_nothing(airflow: LocalAirflow, milvus: Milvus) -> None:
    assert REFUSED_FORMS.keys() == {path.stem for path in EXAMPLE_DAGS.glob("*.py")}
    before = everything_on(milvus)
    assert {collection["state"] for name, collection in before.items() if name != "archive"} == {"Loaded"}

    for dag_id, form in REFUSED_FORMS.items():
        # In the order of the UI, which unpauses the DAG whatever becomes of the form.
        airflow.ask("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False})
        with pytest.raises(urllib.error.HTTPError) as refusal:
            airflow.ask("POST", f"/api/v2/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": form})
        assert refusal.value.code in (400, 422)
    airflow.trigger(NIGHTLY, {"dry_run": True})

    def all_have_ended() -> bool:
        runs = airflow.runs()
        is_scheduled = any(kind == "scheduled" for _, kind, _ in runs)
        return is_scheduled and not any(state in ("queued", "running") for _, _, state in runs)

    eventually(all_have_ended, patience=600)
    assert everything_on(milvus) == before
    assert airflow.runs() == [(NIGHTLY, "manual", "success"), (NIGHTLY, "scheduled", "success")]
    # There was something to release.
    assert airflow.results(NIGHTLY)["release_temporary"]["planned"]
