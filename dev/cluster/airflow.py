"""The parts of an Airflow with CeleryExecutor: started, killed, frozen and restarted, each by its own name."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from dev.local_airflow import LAST_RUN, LocalAirflow
from dev.servers.process import free_ports, freeze_tree

DAGS = Path(__file__).with_name("dags")
PART = "CLUSTER_PART"
HEARTBEAT_TIMEOUT = 30
"""Seconds after which a task without a heartbeat is taken for dead."""
TAKEN_OVER_AFTER = 10
"""Seconds after which the triggers of a triggerer without a heartbeat are another one's."""
PATIENCE = 900.0


def part_of_this_process() -> str:
    """Airflow's ``hostname_callable``: each part is a machine of its own, so that the database tells which one runs a task."""
    return os.environ.get(PART, "cluster")


def eventually(holds: Callable[[], bool], what: str, patience: float = PATIENCE, pause: float = 0.2) -> None:
    """:raises TimeoutError: it does not come to hold; the message says what."""
    give_up = time.monotonic() + patience
    while not holds():
        if time.monotonic() > give_up:
            raise TimeoutError(f"after {patience:g} s still not: {what}")
        time.sleep(pause)


def _settings(redis_url: str, database: str, port: int) -> dict[str, str]:
    values = {
        "CORE__EXECUTOR": "CeleryExecutor",
        "CORE__PARALLELISM": "32",
        "CORE__MAX_ACTIVE_TASKS_PER_DAG": "100",
        "CORE__HOSTNAME_CALLABLE": f"{__name__}.{part_of_this_process.__name__}",
        "CORE__EXECUTION_API_SERVER_URL": f"http://localhost:{port}/execution/",
        "API__SECRET_KEY": secrets.token_hex(32),
        "API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "CELERY__BROKER_URL": redis_url,
        "CELERY__RESULT_BACKEND": f"db+{database}",
        "CELERY__WORKER_CONCURRENCY": "4",
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(HEARTBEAT_TIMEOUT),
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "5",
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
        # The five of the default last some fifteen seconds together, and the API server is away for longer.
        "WORKERS__EXECUTION_API_RETRIES": "15",
        "WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "10",
        "TRIGGERER__JOB_HEARTBEAT_SEC": "2",
        "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": str(TAKEN_OVER_AFTER),
    }
    return {f"AIRFLOW__{name}": value for name, value in values.items()}


@dataclass(frozen=True, slots=True)
class Part:
    airflow: LocalAirflow
    process: subprocess.Popen[bytes]
    running: ExitStack


class ClusterAirflow:
    """Two workers, two triggerers and what they need, each a part that can be killed."""

    def __init__(self, home: Path, database: str, redis_url: str, milvus_uri: str) -> None:
        (port,) = free_ports(1)
        self.airflow = LocalAirflow(
            home,
            dags=DAGS,
            port=port,
            # Milvus answers late while it releases on a machine that does everything else as well.
            connections={"milvus_default": {"uri": milvus_uri, "timeout": "180"}},
            database=database,
            settings={
                **_settings(redis_url, database, port),
                # For the DAGs.
                "CLUSTER_SHARED": str(home / "shared"),
                "CLUSTER_MILVUS": milvus_uri.replace("http", "milvus", 1),
            },
        )
        (home / "shared").mkdir(parents=True)
        self.parts: dict[str, Part] = {}

    @property
    def shared(self) -> Path:
        """A directory that all parts see, as workers see a network's storage."""
        return self.airflow.home / "shared"

    @contextmanager
    def running(self) -> Iterator[None]:
        """All parts, until the block ends."""
        try:
            self.airflow.migrate()
            for name in ("api-server", "scheduler", "dag-processor", "worker-1", "worker-2", "triggerer-1", "triggerer-2"):
                self.start(name)
            self.airflow.wait_until_served(self._check_running)
            eventually(lambda: len(self._alive()) == 3, "a scheduler and two triggerers are alive")
            yield
        finally:
            for name in list(self.parts):
                self.kill(name)

    def _alive(self) -> list[Any]:
        return self.airflow.rows("SELECT id FROM job WHERE state = 'running' AND job_type IN ('SchedulerJob', 'TriggererJob')")

    def _check_running(self) -> None:
        """:raises RuntimeError: a part has ended by itself; the message ends with the last lines of its log."""
        for name, part in self.parts.items():
            if part.process.poll() is not None:
                raise part.airflow.failed(f"is without its {name}, which ended by itself")

    def _command(self, name: str) -> tuple[str, ...]:
        kind = name.partition("-")[0]
        if kind == "worker":
            return (
                *("celery", "worker", "-H", f"{name}@local", "--pid", str(self.airflow.home / f"{name}.pid")),
                *("--skip-serve-logs", "--without-mingle", "--without-gossip"),
            )
        return ("triggerer", "--skip-serve-logs") if kind == "triggerer" else (name,)

    def start(self, name: str, settings: Mapping[str, str] | None = None) -> None:
        """Start a part, with more settings of its own; it is not ready yet."""
        airflow = replace(self.airflow, part=name, settings={**self.airflow.settings, PART: name, **(settings or {})})
        running = ExitStack()
        self.parts[name] = Part(airflow, running.enter_context(airflow.started(*self._command(name))), running)

    def kill(self, name: str) -> None:
        """End a part at once, with all that it runs, as when its machine is lost."""
        self.parts.pop(name).running.close()

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """A part is as if it were not there, and goes on when the block ends, as when its machine was cut off."""
        processes = freeze_tree(self.parts[name].process.pid)
        try:
            yield
        finally:
            for process in processes:
                process.resume()

    def tree(self, name: str) -> list[psutil.Process]:
        part = psutil.Process(self.parts[name].process.pid)
        return [part, *part.children(recursive=True)]

    def workers_of(self, dag_id: str) -> set[str]:
        """The workers that run tasks of the DAG's last run now."""
        running = self.airflow.of_last_run(dag_id, "hostname FROM task_instance WHERE state = 'running'")
        return {worker for (worker,) in running}

    def triggerers_of(self, dag_id: str) -> set[str]:
        """The triggerers that have triggers of the DAG's last run now."""
        waiting = f"SELECT trigger_id FROM task_instance WHERE state = 'deferred' AND dag_id = :dag AND run_id = {LAST_RUN}"
        holders = f"SELECT hostname FROM job JOIN trigger ON triggerer_id = job.id WHERE trigger.id IN ({waiting})"
        return {triggerer for (triggerer,) in self.airflow.rows(holders, dag=dag_id)}

    def count(self, dag_id: str, state: str) -> int:
        """Task instances of the DAG's last run that are in this state, mapped ones one by one."""
        return len(self.airflow.tasks_in(state, dag_id))

    def tries(self, dag_id: str, task_id: str) -> list[int]:
        rows = self.airflow.of_last_run(dag_id, f"try_number FROM task_instance WHERE task_id = '{task_id}'")
        return sorted(number for (number,) in rows)

    def mapped_results(self, dag_id: str, task_id: str) -> list[Any]:
        """What the mapped tasks returned."""
        found = f"CAST(value AS TEXT) FROM xcom WHERE key = 'return_value' AND task_id = '{task_id}'"
        return [json.loads(value) for (value,) in self.airflow.of_last_run(dag_id, found)]
