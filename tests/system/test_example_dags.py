"""The example DAGs as they stand: run by Airflow, judged by what the server says afterwards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest

from dev import sample_collections
from dev.local_airflow import EXAMPLE_DAGS, LocalAirflow, RunDag
from dev.sample_collections import Sample
from tests.integration.support import Milvus

pytestmark = pytest.mark.airflow

# A DAG costs some 10 s: what is done on both servers by the integration tests is done here on one.
ON_LITE = pytest.mark.parametrize("milvus", ["lite"], indirect=True)
ON_STANDALONE = pytest.mark.parametrize("milvus", [pytest.param("standalone", marks=pytest.mark.standalone)], indirect=True)

NOW = datetime(2026, 5, 20, 3, tzinfo=UTC)

NEED_AIRFLOW_3 = {"milvus_load_on_demand", "milvus_reclaim_with_approval"}

IMPORT_ALL = """
import sys
from pathlib import Path
try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:
    from airflow.models.dagbag import DagBag
bag = DagBag(sys.argv[1])
failed = {Path(each).stem: error for each, error in bag.import_errors.items() if Path(each).stem not in sys.argv[2:]}
assert not failed, failed
print(*sorted(bag.dags), *({"pymilvus", "grpc", "pandas"} & sys.modules.keys()))
"""


@pytest.fixture
def samples(milvus: Milvus) -> Iterator[list[Sample]]:
    """The demo's collections, in memory."""
    wanted = sample_collections.samples(NOW)
    sample_collections.create(milvus.uri, wanted)
    yield wanted
    with milvus.plain_client() as client:
        for each in wanted:
            if each.alias:
                client.drop_alias(each.alias)
            client.drop_collection(each.name)


def test_they_import_without_errors_and_without_pymilvus(tmp_path: Path) -> None:
    cannot = NEED_AIRFLOW_3 if int(version("apache-airflow").partition(".")[0]) < 3 else set()
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IMPORT_ALL, str(EXAMPLE_DAGS), *cannot],
        env=LocalAirflow(tmp_path).environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[-1].split() == sorted({path.stem for path in EXAMPLE_DAGS.glob("*.py")} - cannot)


def test_nightly_reclaim_releases_what_is_old_or_temporary(
    airflow: LocalAirflow, run_dag: RunDag, milvus: Milvus, samples: list[Sample]
) -> None:
    run_dag("milvus_nightly_memory_reclaim", now=NOW)

    after = sample_collections.load_states(milvus.uri)
    assert {each.name: after[each.name] for each in samples} == {
        each.name: "NotLoad" if each.goes else "Loaded" for each in samples
    }
    results = airflow.results("milvus_nightly_memory_reclaim")
    claimed = {each["collection"] for result in results.values() for each in result["released"]}
    assert claimed == {each.name for each in samples if each.goes}


@ON_LITE
def test_nightly_reclaim_takes_other_rules_and_a_dry_run_from_the_trigger_form(
    airflow: LocalAirflow, run_dag: RunDag, milvus: Milvus, samples: list[Sample]
) -> None:
    before = sample_collections.load_states(milvus.uri)
    form = {
        "collections": ["events_*", "docs"],
        "older_than": None,
        "exclude": ["events_202605[!2]*"],
        "max_releases": 1,
        "dry_run": True,
    }
    run_dag("milvus_nightly_memory_reclaim", now=NOW, conf=form)

    assert sample_collections.load_states(milvus.uri) == before
    old, temporary = (airflow.results("milvus_nightly_memory_reclaim")[task] for task in ("release_old", "release_temporary"))
    assert [each["collection"] for each in old["planned"]] == ["events_20260520"]
    assert [each["collection"] for each in temporary["planned"]] == ["tmp_import"]


@ON_LITE
def test_nightly_reclaim_takes_a_budget_and_databases_from_the_trigger_form(
    airflow: LocalAirflow, run_dag: RunDag, milvus: Milvus, samples: list[Sample]
) -> None:
    form = {"older_than": None, "memory_budget": "1MiB", "databases": ["*"], "exclude": None, "dry_run": True}
    run_dag("milvus_nightly_memory_reclaim", now=NOW, conf=form)

    old, temporary = (airflow.results("milvus_nightly_memory_reclaim")[task] for task in ("release_old", "release_temporary"))
    assert (old["plan"], old["totals"]["budget"]) == ([], 2**20)
    assert {each["reason"] for each in old["kept"] if each["collection"].startswith("events_")} == {
        "behind the alias events_under_audit",
        "what is loaded fits into 1.0 MiB",
    }
    assert "tmp_reference_keep" in [each["collection"] for each in temporary["planned"]]


@ON_LITE
def test_reclaim_and_restore_ends_with_the_same_in_memory(
    airflow: LocalAirflow, run_dag: RunDag, milvus: Milvus, samples: list[Sample]
) -> None:
    before = sample_collections.load_states(milvus.uri)
    form = {"collections": ["events_*", "docs"], "first": ["events_202605*5", "events_*4"], "hours": 0}
    run_dag("milvus_reclaim_and_restore", now=NOW, conf=form)

    results = airflow.results("milvus_reclaim_and_restore")
    released = [each["collection"] for each in results["reclaim"]["released"]]
    back = [each["collection"] for each in results["restore"]["loaded"]]
    assert len(released) > 3
    assert sorted(back) == sorted(released)
    assert back[:2] == ["events_20260515", "events_20260514"]
    assert sample_collections.load_states(milvus.uri) == before


@ON_STANDALONE
def test_load_use_release_leaves_the_collection_out_of_memory(
    airflow: LocalAirflow, run_dag: RunDag, milvus: Milvus, samples: list[Sample]
) -> None:
    with milvus.plain_client() as client:
        client.release_collection("docs")
    run_dag("milvus_load_use_release")

    results = airflow.results("milvus_load_use_release")
    assert results["load"]["state"] == "Loaded"
    assert len(results["search"]) == 5
    assert sample_collections.load_states(milvus.uri)["docs"] == "NotLoad"


@ON_LITE
def test_loaded_window_releases_what_it_loaded_and_nothing_else(
    airflow: LocalAirflow, run_dag: RunDag, milvus: Milvus, samples: list[Sample]
) -> None:
    with milvus.plain_client() as client:
        client.release_collection("docs")
    run_dag("milvus_loaded_window")

    results = airflow.results("milvus_loaded_window")
    assert (results["count"]["rows"], len(results["newest"])) == (sample_collections.ROWS, 3)
    assert results["release_collection"]["released"] is True
    assert sample_collections.load_states(milvus.uri)["docs"] == "NotLoad"

    run_dag("milvus_loaded_window", conf={"collection": "tmp_reference_keep"})

    assert "in memory before this window" in airflow.results("milvus_loaded_window")["release_collection"]["reason"]
    assert sample_collections.load_states(milvus.uri)["tmp_reference_keep"] == "Loaded"


def test_walkthrough_ends_released_and_can_be_run_again(airflow: LocalAirflow, run_dag: RunDag, milvus: Milvus) -> None:
    for _ in range(2):
        run_dag("milvus_release_collection_walkthrough")
        assert sample_collections.load_states(milvus.uri)["customized_setup"] == "NotLoad"
        assert airflow.results("milvus_release_collection_walkthrough")["load"]["state"] == "Loaded"

    with milvus.plain_client() as client:
        assert sorted(client.list_indexes("customized_setup")) == ["my_id", "my_vector"]
        client.drop_collection("customized_setup")
