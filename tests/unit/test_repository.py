"""What stands beside the code for GitHub, git and the package index: it does what it says, and holds no secret."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_provider_milvus import __version__

pytestmark = pytest.mark.newest

ROOT = Path(__file__).parents[2]
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / ".github" / "workflows").glob("*.yaml")}
FORMS = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")}
MAKEFILE = (ROOT / "Makefile").read_text()
every_workflow = pytest.mark.parametrize("workflow", WORKFLOWS.values(), ids=WORKFLOWS)


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job.get("steps", [])]


@every_workflow
def test_a_workflow_may_only_read_unless_a_job_says_more(workflow: dict[str, Any]) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    assert "secrets." not in str(workflow)


@every_workflow
def test_every_job_ends(workflow: dict[str, Any]) -> None:
    assert [name for name, job in workflow["jobs"].items() if not ("uses" in job or job.get("timeout-minutes"))] == []


@every_workflow
def test_every_action_has_a_version_and_no_checkout_keeps_a_token(workflow: dict[str, Any]) -> None:
    actions = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert [action for action in actions if not re.search(r"@(v\d+|release/v\d+|[0-9a-f]{40})$", action)] == []
    checkouts = [step for step in steps(workflow) if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@every_workflow
def test_what_a_workflow_makes_there_is(workflow: dict[str, Any]) -> None:
    made = {target for step in steps(workflow) for target in re.findall(r"^make (\w[\w-]*)", step.get("run", ""), re.M)}
    assert [target for target in made if not re.search(rf"^{target}:", MAKEFILE, re.M)] == []


def test_only_what_publishes_may_prove_who_it_is_and_only_after_all_checks() -> None:
    jobs = {(name, job): WORKFLOWS[name]["jobs"][job] for name in WORKFLOWS for job in WORKFLOWS[name]["jobs"]}
    assert [job for job, it in jobs.items() if "permissions" in it] == [("release", "publish")]
    publish = jobs["release", "publish"]
    assert publish["permissions"] == {"id-token": "write", "attestations": "write"}
    assert publish["needs"] == ["checks", "build"]
    assert jobs["release", "checks"]["uses"] == "./.github/workflows/checks.yaml"
    assert steps(WORKFLOWS["checks"])[-1]["run"] == "bash .ci/run"


def test_the_changelog_has_this_version_as_a_release_asks_for_it() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    version, state = headings[0].split(" ", 1)
    assert version == __version__
    assert re.fullmatch(r"\(unreleased\)|\(\d{4}-\d{2}-\d{2}\)", state)
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ \(\d{4}-\d{2}-\d{2}\)", heading) for heading in headings[1:])


def test_git_asks_before_a_commit_what_make_lint_asks() -> None:
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert {hook["language"] for hook in local["hooks"]} == {"system"}
    lint = re.search(r"^lint:.*\n((?:\t.+\n)+)", MAKEFILE, re.M)
    assert lint
    asked = [re.split(r" (?:--check )?\.$", line.partition("bin/")[2])[0] for line in lint[1].splitlines()]
    assert [hook["entry"].removesuffix(" --force-exclude") for hook in local["hooks"]] == asked


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_form_asks_each_thing_once(form: dict[str, Any]) -> None:
    ids = [part["id"] for part in form["body"] if part["type"] != "markdown"]
    assert form["name"]
    assert form["description"]
    assert len(ids) == len(set(ids)) > 0


def test_nobody_is_named_whom_nobody_has_given() -> None:
    """No address and no URL of a repository, an index or a site that does not exist yet."""
    texts = [
        *ROOT.glob(".github/**/*.y*ml"),
        ROOT / "SECURITY.md",
        ROOT / ".readthedocs.yaml",
        ROOT / ".pre-commit-config.yaml",
    ]
    found = [
        (path.name, found)
        for path in texts
        for found in re.findall(r"https?://(?!localhost)\S+|\S+@\S+\.\w+", path.read_text())
    ]
    assert found == []
