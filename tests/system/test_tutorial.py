"""The tutorial, done as it says: ``make ui``, a dry run, a reclaim, a DAG of one's own, Ctrl-C. It prints how long it takes."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.error import HTTPError

import psutil
import pytest

from dev import sample_collections
from dev.history import DAYS
from dev.local_airflow import LocalAirflow
from tests.docs.blocks import ROOT, blocks_of
from tests.integration.support import eventually

pytestmark = [pytest.mark.airflow, pytest.mark.newest]

PAGE = " ".join((ROOT / "docs" / "tutorial.md").read_text().split())
DAG = "milvus_nightly_memory_reclaim"
OWN_DAG = "milvus_quick_start"


@dataclass(frozen=True, slots=True)
class Tutorial:
    process: subprocess.Popen[str]
    milvus: str
    airflow: LocalAirflow
    began: float

    def has(self, dag_id: str) -> bool:
        with suppress(HTTPError):
            return bool(self.airflow.ask("GET", f"/api/v2/dags/{dag_id}"))
        return False

    def trigger(self, dag_id: str, **conf: Any) -> str:
        """As the form does, which unpauses the DAG; the state in which the run ends."""
        self.airflow.ask("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False})
        run = self.airflow.trigger(dag_id, conf)
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run}"
        eventually(lambda: self.airflow.ask("GET", path)["state"] in ("success", "failed"), 240)
        return str(self.airflow.ask("GET", path)["state"])

    def tell(self, what: str) -> None:
        print(f"{time.monotonic() - self.began:.0f} s after the start: {what}")


def first_line(output: Any, pattern: str) -> re.Match[str]:
    for line in output:
        if found := re.search(pattern, line):
            return found
    raise AssertionError(f"it ended without {pattern}")


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tutorial]:
    folder = tmp_path_factory.mktemp("tutorial")
    (save,) = [block for block in blocks_of(ROOT / "docs" / "tutorial.md") if "mkdir" in block.code]
    own = folder / ".venv" / "tutorial"
    (folder / "README.md").write_text((ROOT / "README.md").read_text())
    subprocess.run(["bash", "-eu", "-c", save.code], cwd=folder, check=True)
    began = time.monotonic()
    command = [sys.executable, "-u", "-m", "dev.ui", "lite", "--port", "0", "--dags", str(own)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            milvus = first_line(process.stdout, r"Milvus serves at (\S+)")[1]
            port = first_line(process.stdout, r"Airflow serves at http://localhost:(\d+)/dags/")[1]
            name, password = first_line(process.stdout, r"Log in as (\w+) with the password (\w+)").groups()
            assert name == password
            # What Airflow writes is in a directory of its own.
            (folder / "airflow.log").touch()
            airflow = LocalAirflow(folder, port=int(port), users={name: "admin", "viewer": "viewer"})
            yield Tutorial(process, milvus, airflow, began)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)


def test_the_page_names_what_is_done_here() -> None:
    for part in ("make ui", f"/dags/{DAG}", "*Dry run*", "`viewer`", "`release_old`", OWN_DAG, f"{DAYS} days"):
        assert part in PAGE
    assert f"{len(sample_collections.samples(datetime.now(UTC), DAYS))} demo collections" in PAGE


def test_a_dry_run_and_then_a_reclaim_as_in_the_form(tutorial: Tutorial) -> None:
    tutorial.tell("Airflow serves")
    assert tutorial.trigger(DAG) == "success"
    assert set(sample_collections.load_states(tutorial.milvus).values()) == {"Loaded"}
    tutorial.tell("the dry run has ended")
    assert tutorial.trigger(DAG, dry_run=False) == "success"
    tutorial.tell("the reclaim that was triggered in the form has ended")
    expected = {
        sample.name: "NotLoad" if sample.goes else "Loaded" for sample in sample_collections.samples(datetime.now(UTC), DAYS)
    }
    assert sample_collections.load_states(tutorial.milvus) == expected


def test_who_may_only_look_cannot_trigger(tutorial: Tutorial) -> None:
    assert tutorial.airflow.ask("GET", f"/api/v2/dags/{DAG}", user="viewer")["dag_id"] == DAG
    with pytest.raises(HTTPError, match="403"):
        tutorial.airflow.ask("POST", f"/api/v2/dags/{DAG}/dagRuns", {"logical_date": None}, user="viewer")


def test_a_dag_of_ones_own_is_beside_the_examples(tutorial: Tutorial) -> None:
    eventually(lambda: tutorial.has(OWN_DAG), 120)
    assert tutorial.trigger(OWN_DAG) == "success"
    assert sample_collections.load_states(tutorial.milvus)["quick_start_20250101"] == "NotLoad"


def test_ctrl_c_ends_it_all(tutorial: Tutorial) -> None:
    children = psutil.Process(tutorial.process.pid).children(recursive=True)
    assert len(children) > 3
    tutorial.process.send_signal(signal.SIGINT)
    assert tutorial.process.wait(timeout=60) == 0
    eventually(lambda: not any(child.is_running() for child in children), 20)
