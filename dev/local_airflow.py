"""An Airflow for the demo and the system tests: a home of its own, and none of the user's settings, DAGs or connections."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

EXAMPLE_DAGS = Path(__file__).resolve().parent.parent / "example_dags"
PATIENCE = 300.0
"""Seconds for one command of Airflow."""
LINES_SHOWN = 60


@dataclass(frozen=True, slots=True)
class LocalAirflow:
    """Airflow with SQLite in ``home``, which knows the DAGs in ``dags`` and nothing else. What it writes goes to ``log``."""

    home: Path
    milvus_uri: str = ""
    dags: Path = EXAMPLE_DAGS
    port: int = 8080
    """Where ``started("standalone")`` serves; the commands of one process need none."""
    connections: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """More connections, each with its extra; or another ``milvus_default``."""

    @property
    def log(self) -> Path:
        return self.home / "airflow.log"

    @property
    def environment(self) -> dict[str, str]:
        users_own = {key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW_")}
        milvus = urlsplit(self.milvus_uri)
        return {
            **users_own,
            # `airflow standalone` starts its parts by the name of the command.
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__BASE_URL": f"http://localhost:{self.port}",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "AIRFLOW_CONN_MILVUS_DEFAULT": json.dumps({"conn_type": "milvus", "host": milvus.hostname, "port": milvus.port}),
            **{
                f"AIRFLOW_CONN_{conn_id.upper()}": json.dumps({"conn_type": "milvus", "extra": dict(extra)})
                for conn_id, extra in self.connections.items()
            },
        }

    def migrate(self) -> None:
        """Create the database."""
        with self.started("db", "migrate") as process:
            self.finish(process)

    def run_dag(self, dag_id: str, *, now: datetime | None = None, conf: dict[str, Any] | None = None) -> None:
        """Run a DAG once, as ``airflow dags test`` does: in the foreground, deferred tasks included. Nothing is retried.

        :raises RuntimeError: a task failed; the message ends with what Airflow wrote last.
        """
        options = [*(["--conf", json.dumps(conf)] if conf else []), dag_id, *([now.isoformat()] if now else [])]
        with self.started("dags", "test", *options) as process:
            self.finish(process, failed=lambda: self._awaits_retry(dag_id))

    def results(self, dag_id: str) -> dict[str, Any]:
        """What the tasks of the DAG's last run returned."""
        rows = self._of_last_run(dag_id, "task_id, value FROM xcom WHERE key = 'return_value'")
        return {task: json.loads(value) for task, value in rows}

    def state_of(self, dag_id: str) -> str | None:
        """The state of the DAG's last run."""
        rows = self._of_last_run(dag_id, "state FROM dag_run WHERE state IS NOT NULL")
        return rows[0][0] if rows else None

    def _awaits_retry(self, dag_id: str) -> bool:
        return bool(self._of_last_run(dag_id, "task_id FROM task_instance WHERE state = 'up_for_retry'"))

    def _of_last_run(self, dag_id: str, what: str) -> list[Any]:
        # From the database rather than through Airflow's own classes: importing those takes longer than the question.
        last_run = "SELECT run_id FROM dag_run WHERE dag_id = :dag ORDER BY id DESC LIMIT 1"
        with contextlib.closing(sqlite3.connect(self.home / "airflow.db")) as database:
            return database.execute(f"SELECT {what} AND dag_id = :dag AND run_id = ({last_run})", {"dag": dag_id}).fetchall()

    @contextmanager
    def started(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """A command of Airflow in the background; nothing of it is left when the block ends."""
        self.home.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "airflow", *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=self.environment,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def finish(self, process: subprocess.Popen[bytes], failed: Callable[[], bool] = lambda: False) -> None:
        """Wait for a command to succeed, and give up early once ``failed`` says so.

        :raises RuntimeError: it failed; the message ends with what Airflow wrote last.
        """
        give_up = time.monotonic() + PATIENCE
        while (code := process.poll()) is None and time.monotonic() < give_up and not failed():
            time.sleep(0.5)
        if code != 0:
            outcome = f"exited with {code}" if code is not None else "was ended: a task failed, or it took too long"
            last = self.log.read_text(errors="replace").splitlines()[-LINES_SHOWN:]
            raise RuntimeError("\n".join([f"Airflow {outcome}. Its last lines:", *last]))
