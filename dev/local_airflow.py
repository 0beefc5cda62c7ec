"""An Airflow for the demo and the system tests: a home of its own, and none of the user's settings, DAGs or connections."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy
from sqlalchemy.pool import NullPool

from dev.servers.process import end_tree

EXAMPLE_DAGS = Path(__file__).resolve().parent.parent / "example_dags"
PATIENCE = 600.0
"""Seconds for one command of Airflow."""
LINES_SHOWN = 60
LAST_RUN = "(SELECT run_id FROM dag_run WHERE dag_id = :dag ORDER BY id DESC LIMIT 1)"

RunDag = Callable[..., None]
ONE_PROCESS = """
import json, os, sys, traceback
from airflow.cli.cli_parser import get_parser

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
parser = get_parser()
for line in sys.stdin:
    command = parser.parse_args(json.loads(line))
    try:
        command.func(command)
        outcome = 0
    except SystemExit as exit:
        outcome = exit.code or 0
    except BaseException:
        traceback.print_exc()
        outcome = 1
    print(outcome, file=answers, flush=True)
"""
"""Commands of Airflow, one a line; each one's outcome goes to what was the standard output."""


@dataclass(frozen=True, slots=True)
class LocalAirflow:
    """An Airflow in ``home``, which knows the DAGs in ``dags`` and nothing else. What it writes goes to ``log``."""

    home: Path
    milvus_uri: str = ""
    dags: Path = EXAMPLE_DAGS
    port: int = 8080
    """The port of :meth:`served`; the commands of one process need none."""
    connections: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """More connections, by id, each with its extra; or another ``milvus_default``."""
    users: Mapping[str, str] = field(default_factory=dict)
    """Who may log in, with their roles (``admin``, ``viewer``); the password is the name. With none, everybody is an admin."""
    paused: bool = False
    """Whether a DAG is paused until somebody unpauses it, as in an Airflow that nobody has configured."""
    database: str = ""
    """SQLAlchemy's URL of the database; by default SQLite in ``home``."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """More of the environment, such as ``AIRFLOW__CORE__EXECUTOR``."""
    part: str = "airflow"
    """The name of the log."""

    @property
    def log(self) -> Path:
        return self.home / f"{self.part}.log"

    @property
    def _database(self) -> str:
        # SQLite has one writer at a time, and answers the others with an error after five seconds.
        return self.database or f"sqlite:///{self.home / 'airflow.db'}?timeout=60"

    @property
    def _passwords(self) -> Path:
        return self.home / "passwords.json"

    @property
    def _logins(self) -> dict[str, str]:
        setting = "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER"
        if not self.users:
            return {f"{setting}_ALL_ADMINS": "True"}
        users = ",".join(f"{name}:{role}" for name, role in self.users.items())
        return {f"{setting}_USERS": users, f"{setting}_PASSWORDS_FILE": str(self._passwords)}

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
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": str(self.paused),
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self._database,
            # A task that waits five seconds for a busy API would fail, and wait minutes for its retry.
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
            **self._logins,
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__BASE_URL": f"http://localhost:{self.port}",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "AIRFLOW_CONN_MILVUS_DEFAULT": json.dumps({"conn_type": "milvus", "host": milvus.hostname, "port": milvus.port}),
            **{
                f"AIRFLOW_CONN_{conn_id.upper()}": json.dumps({"conn_type": "milvus", "extra": dict(extra)})
                for conn_id, extra in self.connections.items()
            },
            **self.settings,
        }

    def migrate(self) -> None:
        """Create the database."""
        with self.started("db", "migrate") as process:
            self.finish(process)

    def run_dag(self, dag_id: str, *, now: datetime | None = None, conf: dict[str, Any] | None = None) -> None:
        """Run a DAG once, as ``airflow dags test`` does: in the foreground, deferred tasks included. Nothing is retried.

        :raises RuntimeError: a task failed; the message ends with what Airflow wrote last.
        """
        with self.started(*_dags_test(dag_id, now, conf)) as process:
            self.finish(process, failed=lambda: self._awaits_retry(dag_id))

    @contextmanager
    def in_one_process(self) -> Iterator[RunDag]:
        """:meth:`run_dag` for many runs: Airflow and pymilvus are imported once, which takes longer than a small DAG."""
        with self._started([sys.executable, "-c", ONE_PROCESS], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            commands, answers = process.stdin, process.stdout

            def run_dag(dag_id: str, *, now: datetime | None = None, conf: dict[str, Any] | None = None) -> None:
                commands.write(f"{json.dumps(_dags_test(dag_id, now, conf))}\n".encode())
                commands.flush()
                give_up = time.monotonic() + PATIENCE
                while not select.select([answers], [], [], 0.5)[0]:
                    if time.monotonic() > give_up or self._awaits_retry(dag_id):
                        raise self.failed("does not come to an end: a task awaits its retry, or it takes too long")
                if (code := answers.readline().decode().strip()) != "0":
                    raise self.failed(f"ended the run with {code or 'its process'}")

            yield run_dag

    @contextmanager
    def served(self) -> Iterator[None]:
        """A whole Airflow, with scheduler, triggerer and API. When the block begins, it has read all files in ``dags``.

        :raises RuntimeError: it has not, although a lot of time has passed; the message ends with what Airflow wrote last.
        """
        with self.started("standalone"):
            self.wait_until_served()
            yield

    def wait_until_served(self, check: Callable[[], None] = lambda: None) -> None:
        """Wait until the API serves and all files in ``dags`` were read. ``check`` is called meanwhile.

        :raises RuntimeError: they were not, although a lot of time has passed; the message ends with the last lines of the log.
        """
        dag_ids = {path.stem for path in self.dags.glob("*.py")}
        give_up = time.monotonic() + PATIENCE
        while not dag_ids <= self._served_dags():
            check()
            if time.monotonic() > give_up:
                raise self.failed(f"does not serve {', '.join(sorted(dag_ids - self._served_dags()))}")
            time.sleep(1)

    def _served_dags(self) -> set[str]:
        try:
            return {dag["dag_id"] for dag in self.ask("GET", "/api/v2/dags?limit=100")["dags"]}
        except OSError:
            return set()

    def ask(self, method: str, path: str, body: Any = None, *, user: str = "") -> Any:
        """Ask the API, inside of :meth:`served`, as ``user``, or else as the first one.

        :raises urllib.error.HTTPError: the answer is a refusal; with what Airflow wrote last as a note.
        """
        authorization = {}
        if path.startswith("/api/"):
            name = user or next(iter(self.users), "")
            login = ("POST", "/auth/token", {"username": name, "password": name}) if name else ("GET", "/auth/token")
            authorization["Authorization"] = f"Bearer {self.ask(*login)['access_token']}"
        request = urllib.request.Request(
            f"http://localhost:{self.port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **authorization},
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as refusal:
            refusal.add_note(self._last_lines())
            raise

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> str:
        """Trigger a DAG as the form does, and return the run's id.

        :raises urllib.error.HTTPError: the API refuses the run, for example because ``conf`` does not fit the Params.
        """
        run = self.ask("POST", f"/api/v2/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf or {}})
        return str(run["dag_run_id"])

    def results(self, dag_id: str) -> dict[str, Any]:
        """What the tasks of the DAG's last run returned."""
        rows = self.of_last_run(dag_id, "task_id, CAST(value AS TEXT) FROM xcom WHERE key = 'return_value'")
        return {task: json.loads(value) for task, value in rows}

    def state_of(self, dag_id: str) -> str | None:
        """The state of the DAG's last run."""
        rows = self.of_last_run(dag_id, "state FROM dag_run WHERE state IS NOT NULL")
        return rows[0][0] if rows else None

    def runs(self) -> list[tuple[str, str, str]]:
        """DAG, type and state of every run."""
        return self.rows("SELECT dag_id, run_type, state FROM dag_run ORDER BY dag_id, run_type")

    def tasks_in(self, state: str, dag_id: str) -> list[str]:
        """The tasks of the DAG's last run that ended in this state."""
        return [task for (task,) in self.of_last_run(dag_id, f"task_id FROM task_instance WHERE state = '{state}'")]

    def asset_events(self, dag_id: str) -> list[tuple[str, str, dict[str, Any]]]:
        """Task, URI and extra of each asset event of the DAG's last run, in the order they came. Airflow 3 only."""
        columns = "source_task_id, asset.uri, event.extra"
        last_run = f"{LAST_RUN} = event.source_run_id AND source_dag_id = :dag"
        query = f"SELECT {columns} FROM asset_event event JOIN asset ON asset.id = asset_id WHERE {last_run} ORDER BY event.id"
        return [(task, uri, json.loads(extra)) for task, uri, extra in self.rows(query, dag=dag_id)]

    def is_queued_by_an_asset(self, dag_id: str) -> bool:
        """Whether the scheduler, were it running, would start the DAG now."""
        return bool(self.rows("SELECT 1 FROM asset_dag_run_queue WHERE target_dag_id = :dag", dag=dag_id))

    def _awaits_retry(self, dag_id: str) -> bool:
        return bool(self.of_last_run(dag_id, "task_id FROM task_instance WHERE state = 'up_for_retry'"))

    def of_last_run(self, dag_id: str, what: str) -> list[tuple[Any, ...]]:
        """Ask the database for ``what`` (columns, a table and WHERE) of the DAG's last run."""
        return self.rows(f"SELECT {what} AND dag_id = :dag AND run_id = {LAST_RUN}", dag=dag_id)

    def rows(self, query: str, **values: object) -> list[tuple[Any, ...]]:
        """Ask the database. Airflow's own classes take longer to import than the question takes."""
        engine = sqlalchemy.create_engine(self._database, poolclass=NullPool)
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sqlalchemy.text(query), values)]

    def started(self, *arguments: str) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """A command of Airflow in the background; nothing of it is left when the block ends."""
        return self._started([sys.executable, "-m", "airflow", *arguments])

    @contextmanager
    def _started(
        self, command: list[str], stdin: int = subprocess.DEVNULL, stdout: int | None = None
    ) -> Iterator[subprocess.Popen[bytes]]:
        self.home.mkdir(parents=True, exist_ok=True)
        if self.users:
            self._passwords.write_text(json.dumps({name: name for name in self.users}))
        with self.log.open("ab") as output:
            process = subprocess.Popen(
                command,
                stdout=stdout or output,
                stderr=output,
                stdin=stdin,
                env=self.environment,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            # Airflow gives each task a group of its own.
            if process.poll() is None:
                end_tree(process.pid)
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
            raise self.failed(f"exited with {code}" if code is not None else "was ended: a task failed, or it took too long")

    def failed(self, outcome: str) -> RuntimeError:
        """An error that ends with the last lines of the log."""
        return RuntimeError(f"Airflow {outcome}. {self._last_lines()}")

    def _last_lines(self) -> str:
        last = self.log.read_text(errors="replace").splitlines()[-LINES_SHOWN:]
        return "\n".join(["Its last lines:", *last])


def _dags_test(dag_id: str, now: datetime | None, conf: dict[str, Any] | None) -> list[str]:
    options = [*(["--conf", json.dumps(conf)] if conf else []), dag_id, *([now.isoformat()] if now else [])]
    return ["dags", "test", *options]
