"""Airflow's own pages with this provider in them, in a real browser, as ``make ui`` serves them: to an admin and to a viewer.

The tutorial comes first, done as it says, and it prints how long that takes; then forms with bad values, the connection's form,
an approval, the Milvus page, and Ctrl-C. What happened is asked of the Milvus and of Airflow, not of the browser. The pictures
of the documentation are taken on the way.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import psutil
import pytest

from airflow_provider_milvus.page import plugin
from dev import browser, sample_collections
from dev.history import DAYS
from dev.local_airflow import LocalAirflow
from tests.docs.blocks import ROOT, blocks_of
from tests.integration.support import Milvus, ends_within, eventually
from tests.system.visitor import Visitor

pytestmark = [pytest.mark.airflow, pytest.mark.newest]
needs_a_browser = pytest.mark.skipif(
    not (browser.IS_HERE and plugin.HAS_PAGES), reason="needs playwright, a Chromium that is installed, and Airflow 3.1"
)

TUTORIAL = " ".join((ROOT / "docs" / "tutorial.md").read_text().split())
NIGHTLY = "milvus_nightly_memory_reclaim"
APPROVAL = "milvus_reclaim_with_approval"
OWN_DAG = "milvus_quick_start"
SAVED = "milvus_saved"
ATTU = "http://attu:8000"
LINKED = f"""
from datetime import datetime

from airflow.providers.common.compat.sdk import DAG
from airflow_provider_milvus.operators.milvus import MilvusReleaseCollectionOperator

with DAG("linked", schedule=None, start_date=datetime(2026, 1, 1)):
    MilvusReleaseCollectionOperator(task_id="release", collection_name="docs", allow_alias=True, milvus_conn_id="{SAVED}")
"""


@dataclass(frozen=True, slots=True)
class Ui:
    """``make ui``, as it runs."""

    process: subprocess.Popen[str]
    milvus: Milvus
    airflow: LocalAirflow
    began: float
    terminal: Callable[[], AbstractContextManager[None]]
    """What is printed within goes there."""

    @property
    def address(self) -> str:
        return f"http://localhost:{self.airflow.port}"

    def tell(self, what: str) -> None:
        with self.terminal():
            print(f"\n{time.monotonic() - self.began:.0f} s after the start: {what}", end=" ", flush=True)

    def has(self, dag_id: str) -> bool:
        with suppress(HTTPError):
            return bool(self.airflow.ask("GET", f"/api/v2/dags/{dag_id}"))
        return False

    def trigger(self, dag_id: str, **conf: Any) -> str:
        """Without a browser: unpause the DAG, as the form does, and trigger it."""
        self.airflow.ask("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False})
        return self.airflow.trigger(dag_id, conf)

    def end_of(self, dag_id: str, run_id: str) -> str:
        """The state in which a run ends."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}"
        eventually(lambda: self.airflow.ask("GET", path)["state"] in ("success", "failed"), 240, 0.3)
        return str(self.airflow.ask("GET", path)["state"])

    def triggered(self) -> list[tuple[str, str, str]]:
        """The runs that somebody has triggered; unpausing a DAG makes its last scheduled one."""
        return [run for run in self.airflow.runs() if run[1] == "manual"]

    def states(self) -> dict[str, str]:
        return sample_collections.load_states(self.milvus.uri)

    def load(self, *names: str) -> None:
        with self.milvus.plain_client() as client:
            for name in names:
                client.load_collection(name)


def first_line(output: Any, pattern: str) -> re.Match[str]:
    for line in output:
        if found := re.search(pattern, line):
            return found
    raise AssertionError(f"it ended without {pattern}")


def home_of(process: psutil.Process) -> Path:
    """Where the Airflow has its database and log that this process has started."""
    for child in process.children(recursive=True):
        with suppress(psutil.Error):
            if "AIRFLOW__CORE__DAGS_FOLDER" in (environment := child.environ()):
                return Path(environment["AIRFLOW_HOME"])
    raise AssertionError("no Airflow was started")


@pytest.fixture(scope="module")
def ui(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    folder = tmp_path_factory.mktemp("tutorial")
    (save,) = [block for block in blocks_of(ROOT / "docs" / "tutorial.md") if "mkdir" in block.code]
    own = folder / ".venv" / "tutorial"
    (folder / "README.md").write_text((ROOT / "README.md").read_text())
    subprocess.run(["bash", "-eu", "-c", save.code], cwd=folder, check=True)
    (own / "linked.py").write_text(LINKED)
    began, server = time.monotonic(), request.config.getoption("--ui")
    command = [sys.executable, "-u", "-m", "dev.ui", server, "--port", "0", "--dags", str(own)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            uri = first_line(process.stdout, r"Milvus serves at (\S+)")[1]
            port = first_line(process.stdout, r"Airflow serves at http://localhost:(\d+)/dags/")[1]
            name, password = first_line(process.stdout, r"Log in as (\w+) with the password (\w+)").groups()
            assert name == password
            home = home_of(psutil.Process(process.pid))
            airflow = LocalAirflow(home, port=int(port), users={name: "admin", "viewer": "viewer"})
            terminal = request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled
            yield Ui(process, Milvus(server, uri), airflow, began, terminal)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def pictures(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ROOT / "docs" / "pictures" if request.config.getoption("--pictures") else tmp_path_factory.mktemp("pictures")


@pytest.fixture(scope="module")
def admin(ui: Ui, chromium: Any, pictures: Path) -> Visitor:
    return Visitor.logged_in(chromium, ui.address, "admin", pictures)


@pytest.fixture(scope="module")
def viewer(ui: Ui, chromium: Any, pictures: Path) -> Visitor:
    return Visitor.logged_in(chromium, ui.address, "viewer", pictures)


# ---- the tutorial


def test_the_tutorial_names_what_is_done_here() -> None:
    for part in ("make ui", f"/dags/{NIGHTLY}", "*Dry run*", "`viewer`", "`release_old`", OWN_DAG, f"{DAYS} days"):
        assert part in TUTORIAL
    assert f"{len(sample_collections.samples(datetime.now(UTC), DAYS))} demo collections" in TUTORIAL


def test_a_dry_run_and_then_a_reclaim_in_the_form(ui: Ui, request: pytest.FixtureRequest) -> None:
    """Where no browser is installed, through the API as the form does."""
    admin = request.getfixturevalue("admin") if browser.IS_HERE else None

    def trigger(picture: str = "", **changes: Any) -> str:
        if admin is None:
            return ui.trigger(NIGHTLY, **{title.lower().replace(" ", "_"): value for title, value in changes.items()})
        admin.open_trigger_form(NIGHTLY)
        for title, value in changes.items():
            admin.fill(title, value)
        if picture:
            admin.picture(picture)
        answer = admin.send("Trigger")
        assert answer.status == 200, answer
        return str(answer.body["dag_run_id"])

    ui.tell("Airflow serves")
    run = trigger(picture="trigger-form")
    assert ui.end_of(NIGHTLY, run) == "success"
    assert set(ui.states().values()) == {"Loaded"}
    ui.tell("the dry run has ended")
    if admin is not None:
        looks_at_log_and_xcom(admin, run)
        ui.tell("log and XCom were read")

    run = trigger(**{"Dry run": False})
    assert ui.end_of(NIGHTLY, run) == "success"
    ui.tell("the reclaim that was triggered in the form has ended")
    expected = {
        sample.name: "NotLoad" if sample.goes else "Loaded" for sample in sample_collections.samples(datetime.now(UTC), DAYS)
    }
    assert ui.states() == expected


def looks_at_log_and_xcom(admin: Visitor, run: str) -> None:
    admin.open_task(NIGHTLY, run, "release_old")
    table = admin.sees(re.compile(r"would release +events_\d+ .*over 7 days"))
    assert "behind the alias events_under_audit" in table.inner_text()
    admin.sees("Nothing was changed.")
    # Airflow's warning, where it takes what this provider has kept for a secret.
    assert admin.page.get_by_text("Skipping masking").count() == 0
    admin.picture("log")
    admin.open_task(NIGHTLY, run, "release_old", "xcom")
    admin.sees("return_value")


@needs_a_browser
def test_a_viewer_sees_the_dag_and_is_refused_the_rest(ui: Ui, viewer: Visitor) -> None:
    runs = ui.triggered()
    viewer.open(f"/dags/{NIGHTLY}")
    viewer.sees("release_old")
    viewer.open_trigger_form(NIGHTLY)
    assert viewer.send("Trigger").status == 403
    viewer.sees("403 Forbidden", viewer.form)
    assert ui.triggered() == runs
    viewer.open("/connections")
    viewer.sees("403 Forbidden")
    viewer.open("/plugin/milvus")
    viewer.sees("Forbidden", viewer.page.frame_locator("iframe"))
    for path in ("", "files/page.js", "api/connections", "api/connections/milvus_default"):
        assert viewer.page.request.get(f"{ui.address}{plugin.URL}/{path}").status == 403


# ---- forms


@needs_a_browser
def test_bad_values_are_refused_in_words_and_nothing_runs(ui: Ui, admin: Visitor) -> None:
    states, runs = ui.states(), ui.triggered()
    admin.open_trigger_form(NIGHTLY)
    admin.fill("Older than", "last week")
    assert admin.send("Trigger").status == 400
    admin.sees(re.compile("Invalid input for param older_than: 'last week' does not match"))

    admin.open_trigger_form(NIGHTLY)
    admin.fill("Dated collections", "")
    admin.sees("This field is required", admin.form)
    assert admin.form.get_by_role("button", name="Trigger", exact=True).last.is_disabled()
    assert ui.triggered() == runs

    # What the form cannot know the task refuses, at once and for good.
    admin.open_trigger_form(NIGHTLY)
    admin.fill("Memory budget", "0 GiB")
    run = admin.send("Trigger").body["dag_run_id"]
    assert ui.end_of(NIGHTLY, run) == "failed"
    assert ui.airflow.tasks_in("failed", NIGHTLY) == ["release_old"]
    admin.open_task(NIGHTLY, run, "release_old")
    admin.unfold("Pre Execute", until=re.compile("memory_budget must be a size such as"))
    assert ui.states() == states


@needs_a_browser
def test_a_connection_is_made_tested_used_and_tells_no_secret(ui: Ui, admin: Visitor) -> None:
    password = "a-password-of-milvus"
    host, port = ui.milvus.uri.removeprefix("http://").split(":")
    admin.open("/connections")
    admin.page.get_by_role("button", name="Add Connection").first.click()
    admin.fill("Connection ID", SAVED)
    admin.form.get_by_role("combobox", name="Connection Type").fill("milvus")
    admin.form.get_by_role("option", name="Milvus").click()
    for title, value in {"Host": host, "User": "airflow", "Password": password, "Port": port}.items():
        admin.fill(title, value)
    admin.picture("connection-form")
    admin.fill("Port", "1")
    admin.open_section("Database and access")
    # Airflow 3.1 has no such fields besides its own.
    assert admin.field("Token").get_attribute("type") == "password" or version("apache-airflow").startswith("3.1.")
    admin.open_section("Links")
    admin.fill("Console URL", ATTU)
    assert admin.send("Save").status == 201
    row = admin.page.get_by_role("row").filter(has_text=SAVED)

    def tested() -> str:
        return str(admin.answer_to(row.get_by_role("button", name="Test Connection").click).body["message"])

    with ends_within(10):
        assert "nothing listens" in tested()
    admin.sees(re.compile("nothing listens"))

    row.get_by_role("button", name="Edit Connection").click()
    assert admin.field("Password").input_value() == "***"
    admin.fill("Port", port)
    assert admin.send("Save").status == 200
    assert "answers at" in tested()
    admin.sees(re.compile(r"Milvus .* answers at"))
    admin.picture("connection-test")

    run = ui.trigger("linked")
    assert ui.end_of("linked", run) == "success"
    assert ui.states()["docs"] == "NotLoad"
    admin.open_task("linked", run, "release", "details")
    links = {
        name: admin.page.get_by_role("link", name=name).get_attribute("href") for name in ("Milvus console", "Milvus page")
    }
    assert links == {
        "Milvus console": f"{ATTU}/#/databases/default/docs/overview",
        "Milvus page": f"{ui.address}/plugin/milvus",
    }
    # Wherever Airflow or the page may show it.
    shown = [
        ui.airflow.ask("GET", path)
        for path in (
            f"/api/v2/connections/{SAVED}",
            "/api/v2/eventLogs?limit=100",
            f"/api/v2/dags/linked/dagRuns/{run}/taskInstances/release/logs/1",
            f"/api/v2/dags/linked/dagRuns/{run}/taskInstances",
        )
    ]
    shown.append(admin.page.request.get(f"{ui.address}{plugin.URL}/api/connections/{SAVED}").json())
    assert password not in json.dumps(shown)
    assert password not in ui.airflow.log.read_text(errors="replace")


# ---- approval, and the Milvus page


@needs_a_browser
def test_what_is_rejected_stays_and_what_is_approved_goes(ui: Ui, admin: Visitor) -> None:
    old, other = (sample.name for sample in sample_collections.samples(datetime.now(UTC), DAYS)[1:3])
    ui.load(old, other)

    def asked() -> str:
        admin.open_trigger_form(APPROVAL)
        admin.fill("Collections", ["events_*"])
        run = str(admin.send("Trigger").body["dag_run_id"])
        task = f"/api/v2/dags/{APPROVAL}/dagRuns/{run}/taskInstances/approve"
        waiting = ("awaiting_input", "deferred")
        eventually(lambda: ui.airflow.ask("GET", task)["state"] in waiting, 240, 0.3)
        # Airflow 3.3 fails a task that is resumed before the scheduler has heard of the end of the process that asked.
        heard_of = re.compile(rf"Received executor event with state success.*task_id='approve'.*{re.escape(run)}")
        eventually(lambda: heard_of.search(ui.airflow.log.read_text(errors="replace")) is not None, 240, 0.3)
        admin.open_task(APPROVAL, run, "approve", "required_actions")
        admin.sees("Release these collections from Milvus's memory?")
        return run

    run = asked()
    page = admin.page.locator("main, body").last.inner_text()
    assert old in page
    assert "milvus_default" in page
    assert admin.answer_to(admin.page.get_by_role("button", name="Reject").click).status == 200
    ui.end_of(APPROVAL, run)
    assert [ui.states()[name] for name in (old, other)] == ["Loaded", "Loaded"]

    run = asked()
    admin.picture("approval")
    assert admin.answer_to(admin.page.get_by_role("button", name="Approve").click).status == 200
    assert ui.end_of(APPROVAL, run) == "success"
    assert [ui.states()[name] for name in (old, other)] == ["NotLoad", "NotLoad"]


@needs_a_browser
def test_the_page_before_and_after_a_release(ui: Ui, admin: Visitor) -> None:
    old, new, kept = sample_collections.samples(datetime.now(UTC), DAYS)[1].name, "docs", "tmp_reference_keep"
    ui.load(old, new)
    admin.page.set_viewport_size({"width": 1500, "height": 900})
    admin.open("/plugin/milvus")
    frame = admin.page.frame_locator("iframe")

    def shown() -> list[str]:
        return [row.get_attribute("data-collection") for row in frame.locator("tr[data-collection]").all()]

    def row(name: str) -> Any:
        return frame.locator(f"tr[data-collection={name}]")

    frame.locator("#search").fill("DOCS")
    row(new).wait_for()
    assert shown() == [new]
    frame.locator("#search").fill(old)
    row(old).wait_for()
    assert re.search(r"\bLoaded\b", row(old).inner_text())

    run = ui.trigger(NIGHTLY, dry_run=False)
    assert ui.end_of(NIGHTLY, run) == "success"
    assert ui.states()[old] == "NotLoad"
    frame.locator("#refresh").click()
    row(old).get_by_text("NotLoad").wait_for()
    row(old).locator(".outcome.released").wait_for()
    frame.locator("#search").fill("")
    frame.locator("th[data-column=collection] button").click()
    assert shown()[0] == "docs"
    frame.locator("th[data-column=collection] button").click()
    assert shown()[0] == "tmp_reindex"
    admin.picture("page")
    frame.locator("#outcome").select_option("kept")
    frame.locator("#search").fill(kept)
    assert "excluded by '*_keep'" in row(kept).inner_text()

    runs = ui.triggered()
    row(kept).locator("input").check()
    frame.locator("#fill").click()
    frame.locator("#copy:enabled").wait_for()
    frame.locator("#dag").select_option(NIGHTLY)
    conf = json.loads(frame.locator("#conf").input_value())
    assert (conf["collections"], conf["databases"], conf["dry_run"]) == ([kept], ["default"], True)
    admin.picture("page-form")
    frame.locator("#copy").click()
    admin.page.wait_for_url(f"**/dags/{NIGHTLY}**")
    assert ui.triggered() == runs


# ---- the rest of the tutorial


def test_a_dag_of_ones_own_is_beside_the_examples(ui: Ui) -> None:
    eventually(lambda: ui.has(OWN_DAG), 120)
    run = ui.trigger(OWN_DAG)
    assert ui.end_of(OWN_DAG, run) == "success"
    assert ui.states()["quick_start_20250101"] == "NotLoad"


def test_ctrl_c_ends_it_all(ui: Ui) -> None:
    children = psutil.Process(ui.process.pid).children(recursive=True)
    assert len(children) > 3
    ui.process.send_signal(signal.SIGINT)
    assert ui.process.wait(timeout=60) == 0
    eventually(lambda: not any(child.is_running() for child in children), 20)
