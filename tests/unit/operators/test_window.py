"""``milvus_loaded`` as a DAG file sees it: a setup, a teardown, and what stands between them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.operators.milvus import milvus_loaded


def new_dag() -> DAG:
    return DAG("dag", start_date=datetime(2024, 1, 1, tzinfo=UTC), schedule=None)


@task
def work() -> None:
    """Stands for the job."""


def test_tasks_run_between_a_setup_and_its_teardown():
    with new_dag() as dag:
        with milvus_loaded("docs") as window:
            work() >> work.override(task_id="more")()
        work.override(task_id="outside")()

    assert (window.load.task_id, window.release.task_id) == ("load_docs", "release_docs")
    assert (window.load.is_setup, window.release.is_teardown) == (True, True)
    assert window.release.on_failure_fail_dagrun is False
    assert dag.get_task("work").upstream_task_ids == {"load_docs"}
    assert window.release.upstream_task_ids == {"load_docs", "more"}
    assert dag.get_task("outside").upstream_task_ids == set()


def test_release_reads_what_the_load_returned():
    with new_dag(), milvus_loaded("docs") as window:
        work()
    assert window.release.window.operator is window.load
    assert window.release.window.key == "return_value"


def test_windows_stand_within_each_other():
    with new_dag() as dag, milvus_loaded("docs"), milvus_loaded("books"):
        work()
    assert dag.get_task("load_books").upstream_task_ids == {"load_docs"}
    assert dag.get_task("work").upstream_task_ids >= {"load_books"}
    assert dag.get_task("release_docs").upstream_task_ids >= {"load_docs", "release_books"}


def test_options_reach_the_task_that_they_are_for():
    with (
        new_dag(),
        milvus_loaded(
            "{{ params.it }}",
            task_suffix="it",
            milvus_conn_id="m",
            database="books",
            timeout=900,
            release_timeout=90,
            at_most=3600,
            on_failure_fail_dagrun=True,
            replica_number=2,
            deferrable=True,
        ) as window,
    ):
        work()
    load, release = window.load, window.release
    assert (load.task_id, release.task_id) == ("load_it", "release_it")
    assert {(each.milvus_conn_id, each.database) for each in (load, release)} == {("m", "books")}
    assert (load.timeout, load.at_most, load.replica_number, load.deferrable) == (900, 3600, 2, True)
    assert (release.timeout, release.on_failure_fail_dagrun) == (90, True)


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("{{ params.it }}", {}, "task_suffix is needed with the template"),
        ("not a name", {}, "collection_name 'not a name'"),
        ("docs", {"timeout": 0}, "timeout must be"),
        ("docs", {"release_timeout": -1}, "timeout must be"),
        ("docs", {"at_most": "P1D"}, "at_most must be"),
    ],
)
def test_what_can_never_work_is_named_when_the_dag_is_parsed(name: str, arguments: dict[str, Any], said: str):
    with new_dag(), pytest.raises(MilvusInvalidArgumentError, match=said), milvus_loaded(name, **arguments):
        work()


@pytest.mark.parametrize("option", ["on_timeout", "release_on_kill"])
def test_what_a_window_decides_itself_is_no_option(option):
    with new_dag(), pytest.raises(TypeError, match=option), milvus_loaded("docs", **{option: "leave"}):
        work()
