"""What happens to the cluster while the cases are under way."""

from __future__ import annotations

from collections.abc import Sequence

from dev.cluster.airflow import eventually
from dev.cluster.case import Case, Stage


def kill_worker(stage: Stage, cases: Sequence[Case]) -> None:
    """The worker that runs the tasks is lost, and a new one of its name comes. Several, where one does not run them all."""
    lost: set[str] = set()
    for case in cases:
        workers = stage.cluster.workers_of(case.dag_id)
        if not workers & lost:
            lost.add(min(workers))
    for name in lost:
        stage.cluster.kill(name)
    for name in lost:
        stage.cluster.start(name)


def kill_triggerer(stage: Stage, cases: Sequence[Case]) -> None:
    """A triggerer is lost. What it waited for ends only when the other one has it, and then a new one comes."""
    lost = min(name for case in cases for name in stage.cluster.triggerers_of(case.dag_id))
    stage.cluster.kill(lost)
    eventually(
        lambda: all(lost not in stage.cluster.triggerers_of(case.dag_id) for case in cases),
        f"the triggers of {lost} are another one's",
        120,
    )
    stage.cluster.start(lost)


def cut_off_triggerer(stage: Stage, cases: Sequence[Case]) -> None:
    """A triggerer stands still until the other one has its triggers, and then goes on."""
    (case,) = cases
    (name,) = stage.cluster.triggerers_of(case.dag_id)
    with stage.cluster.frozen(name):
        eventually(lambda: name not in stage.cluster.triggerers_of(case.dag_id), f"the trigger of {name} is another one's", 120)


def mark_failed(stage: Stage, cases: Sequence[Case]) -> None:
    """Somebody marks the runs as failed."""
    airflow = stage.cluster.airflow
    for case in cases:
        ((run_id,),) = airflow.of_last_run(case.dag_id, "run_id FROM dag_run WHERE run_id IS NOT NULL")
        airflow.ask("PATCH", f"/api/v2/dags/{case.dag_id}/dagRuns/{run_id}", {"state": "failed"})


def restart_api_server(stage: Stage, cases: Sequence[Case]) -> None:
    """The API server is lost, and a new one comes."""
    stage.cluster.kill("api-server")
    stage.cluster.start("api-server")
    stage.cluster.airflow.wait_until_served()
