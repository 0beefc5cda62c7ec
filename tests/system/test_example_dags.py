"""The example DAGs as they stand: run by Airflow, judged by what the server says afterwards."""

from __future__ import annotations

import html
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.exceptions import ParamValidationError

from dev import sample_collections
from dev.local_airflow import EXAMPLE_DAGS, LocalAirflow, RunDag
from dev.sample_collections import Sample
from dev.servers.mail import Mailbox, mail_server
from tests.integration.support import Milvus

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
failed = {Path(path).stem: error for path, error in bag.import_errors.items() if Path(path).stem not in sys.argv[2:]}
assert not failed, failed
print(*sorted(bag.dags), *({"pymilvus", "grpc", "pandas"} & sys.modules.keys()))
"""


@pytest.fixture
def samples(milvus: Milvus) -> Iterator[list[Sample]]:
    """The demo's collections, in memory."""
    samples = sample_collections.samples(NOW)
    sample_collections.create(milvus.uri, samples)
    yield samples
    with milvus.plain_client() as client:
        for sample in samples:
            if sample.alias:
                client.drop_alias(sample.alias)
            client.drop_collection(sample.name)


def test_they_import_without_errors_and_without_pymilvus(tmp_path: Path) -> None:
    cannot = NEED_AIRFLOW_3 if int(version("apache-airflow").partition(".")[0]) < 3 else set()
    imported = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IMPORT_ALL, str(EXAMPLE_DAGS), *cannot],
        env=LocalAirflow(tmp_path).environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert imported.returncode == 0, imported.stderr
    assert imported.stdout.splitlines()[-1].split() == sorted({path.stem for path in EXAMPLE_DAGS.glob("*.py")} - cannot)


@pytest.fixture(scope="module")
def dags() -> dict[str, Any]:
    """The example DAGs that this Airflow can import, by id."""
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:
        from airflow.models.dagbag import DagBag
    return dict(DagBag(str(EXAMPLE_DAGS)).dags)


def templates_in(value: Any) -> Iterator[str]:
    if isinstance(value, str) and "{{" in value:
        yield value
    elif isinstance(value, (list, tuple, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from templates_in(item)


RUNS = {
    "scheduled": {"dag_run": SimpleNamespace(logical_date=NOW, run_after=NOW), "logical_date": NOW, "ds": "2026-05-20"},
    # What `airflow dags trigger` and assets start in Airflow 3.
    "without a logical date": {"dag_run": SimpleNamespace(logical_date=None, run_after=NOW)},
    "in Airflow 2.11": {"dag_run": SimpleNamespace(logical_date=NOW), "logical_date": NOW, "ds": "2026-05-20"},
}


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_every_template_can_be_rendered_with_and_without_a_logical_date(dags: dict[str, Any], run: dict[str, Any]) -> None:
    task_instance = SimpleNamespace(xcom_pull=lambda task_ids: {"markdown": "", "plan": []})
    rendered = set()
    for dag in dags.values():
        # One form has a field without a default.
        params = {"collection": "docs"} | {name: value for name, value in dag.params.dump().items() if value is not None}
        context = {**run, "params": params, "ti": task_instance}
        for task in dag.tasks:
            fields = [getattr(task, name, None) for name in task.template_fields]
            rendered |= {str(dag.get_template_env().from_string(text).render(context)) for text in templates_in(fields)}
    days = {"20260520", "/data/docs/20260520.parquet"}
    assert days | {f"/data/docs/20260520T03/{file}.jsonl" for file in ("upserts", "deletes")} <= rendered


@pytest.mark.parametrize("empty", [None, "", [], {}], ids=repr)
def test_an_empty_field_of_a_form_is_an_error(dags: dict[str, Any], empty: Any) -> None:
    for dag in dags.values():
        for name in dag.params:
            with pytest.raises(ParamValidationError):
                dag.params.get_param(name).resolve(empty)


def test_nightly_reclaim_releases_what_is_old_or_temporary(
    airflow: LocalAirflow, run_dag: RunDag, milvus: Milvus, samples: list[Sample]
) -> None:
    run_dag("milvus_nightly_memory_reclaim", now=NOW, conf={"dry_run": False})

    after = sample_collections.load_states(milvus.uri)
    assert {sample.name: after[sample.name] for sample in samples} == {
        sample.name: "NotLoad" if sample.goes else "Loaded" for sample in samples
    }
    results = airflow.results("milvus_nightly_memory_reclaim")
    released = {entry["collection"] for result in results.values() for entry in result["released"]}
    assert released == {sample.name for sample in samples if sample.goes}


@ON_LITE
def test_nightly_reclaim_plans_by_other_rules_from_the_trigger_form(
    airflow: LocalAirflow, run_dag: RunDag, milvus: Milvus, samples: list[Sample]
) -> None:
    before = sample_collections.load_states(milvus.uri)
    form = {
        "collections": ["events_*", "docs"],
        "older_than": "any",
        "exclude": ["events_202605[!2]*"],
        "max_releases": "1",
    }
    run_dag("milvus_nightly_memory_reclaim", now=NOW, conf=form)

    assert sample_collections.load_states(milvus.uri) == before
    old, temporary = (airflow.results("milvus_nightly_memory_reclaim")[task] for task in ("release_old", "release_temporary"))
    assert [entry["collection"] for entry in old["planned"]] == ["events_20260520"]
    assert [entry["collection"] for entry in temporary["planned"]] == ["tmp_import"]


@ON_LITE
def test_nightly_reclaim_takes_a_budget_and_databases_from_the_trigger_form(
    airflow: LocalAirflow, run_dag: RunDag, milvus: Milvus, samples: list[Sample]
) -> None:
    form = {"older_than": "any", "memory_budget": "1MiB", "databases": ["*"], "exclude": ["-"]}
    run_dag("milvus_nightly_memory_reclaim", now=NOW, conf=form)

    old, temporary = (airflow.results("milvus_nightly_memory_reclaim")[task] for task in ("release_old", "release_temporary"))
    assert (old["plan"], old["totals"]["budget"]) == ([], 2**20)
    assert {entry["reason"] for entry in old["kept"] if entry["collection"].startswith("events_")} == {
        "behind the alias events_under_audit",
        "what is loaded fits into 1.0 MiB",
    }
    assert "tmp_reference_keep" in [entry["collection"] for entry in temporary["planned"]]


@ON_LITE
def test_reclaim_and_restore_ends_with_the_same_in_memory(
    airflow: LocalAirflow, run_dag: RunDag, milvus: Milvus, samples: list[Sample]
) -> None:
    before = sample_collections.load_states(milvus.uri)
    form = {"collections": ["events_*", "docs"], "first": ["events_202605*5", "events_*4"], "hours": 0}
    run_dag("milvus_reclaim_and_restore", now=NOW, conf=form)

    results = airflow.results("milvus_reclaim_and_restore")
    released = [entry["collection"] for entry in results["reclaim"]["released"]]
    back = [entry["collection"] for entry in results["restore"]["loaded"]]
    assert len(released) > 3
    assert sorted(back) == sorted(released)
    assert back[:2] == ["events_20260515", "events_20260514"]
    assert sample_collections.load_states(milvus.uri) == before


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as mailbox:
        yield mailbox


def with_mail(airflow: LocalAirflow, mailbox: Mailbox, **more: Any) -> LocalAirflow:
    extra = {"disable_ssl": True, "disable_tls": True}
    smtp = {"conn_type": "smtp", "host": "127.0.0.1", "port": mailbox.port, "extra": extra}
    return replace(airflow, settings={"AIRFLOW_CONN_SMTP_DEFAULT": json.dumps(smtp)}, **more)


@ON_LITE
def test_reclaim_and_tell_sends_what_it_would_release(
    airflow: LocalAirflow, milvus: Milvus, samples: list[Sample], mailbox: Mailbox
) -> None:
    before = sample_collections.load_states(milvus.uri)
    with_mail(airflow, mailbox).run_dag("milvus_reclaim_and_tell", now=NOW)

    (mail,) = mailbox.mails
    result = airflow.results("milvus_reclaim_and_tell")["reclaim"]
    text = html.unescape(mail.get_body().get_content())
    assert mail["To"] == "team@example.com"
    assert mail["Subject"] == f"Milvus: {result['summary']}"
    assert result["planned"]
    assert all(entry["collection"] in text for entry in result["planned"])
    assert f"Connection 'milvus_default' ({milvus.uri})" in text
    assert sample_collections.load_states(milvus.uri) == before


def test_reclaim_and_tell_sends_why_it_failed(migrated: LocalAirflow, mailbox: Mailbox, refused: str) -> None:
    connections = {"milvus_default": {"uri": refused, "timeout": "2"}}
    with pytest.raises(RuntimeError):
        with_mail(migrated, mailbox, connections=connections).run_dag("milvus_reclaim_and_tell", now=NOW)

    (mail,) = mailbox.mails
    assert mail["Subject"] == "Milvus: the reclaim failed"
    assert "the connection was refused" in mail.get_body().get_content()


@ON_STANDALONE
def test_load_use_release_leaves_the_collection_out_of_memory(
    airflow: LocalAirflow, run_dag: RunDag, milvus: Milvus, samples: list[Sample]
) -> None:
    with milvus.plain_client() as client:
        client.release_collection("docs")
    run_dag("milvus_load_use_release", conf={"collection": "docs"})

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
    (rows,) = [sample.rows for sample in samples if sample.name == "docs"]
    assert (results["count"]["rows"], len(results["newest"])) == (rows, 3)
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
