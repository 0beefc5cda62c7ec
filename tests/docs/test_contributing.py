"""What CONTRIBUTING.md says of a new operator, done as it says in a copy of this repository, whose tests are run then."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, Block, blocks_of

pytestmark = [pytest.mark.slow, pytest.mark.newest]

BLOCKS = list(blocks_of(ROOT / "CONTRIBUTING.md"))
_PLACE = re.compile(r"into (?P<file>[^\s,]+)(?P<at_the_end>, at the end)?")
_COMMAND = re.compile(r"^make test ARGS=(.+)$", re.M)


def put(block: Block, folder: Path) -> None:
    place = _PLACE.fullmatch(block.mark)
    assert place, block
    file = folder / place["file"]
    if place["at_the_end"]:
        before = f"{file.read_text()}\n\n" if file.exists() else ""
        file.write_text(before + block.code)
        return
    lines = [(line[0], line[1:]) for line in block.code.splitlines(keepends=True)]
    old, new = ("".join(line for sign, line in lines if sign != other) for other in "+-")
    text = file.read_text()
    assert text.count(old) == 1, f"{place['file']} does not have, once:\n{old}"
    file.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("contributing") / "clone"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".*", "__pycache__", "build", "dist"))
    for block in BLOCKS:
        if block.mark.startswith("into "):
            put(block, folder)
    return folder


def run(folder: Path, *arguments: str) -> str:
    """Python in the copy, whose package comes before the one that is installed."""
    ended = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "AIRFLOW_HOME": str(folder.parent / "airflow")},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-2000:]
    return ended.stdout


def commands() -> list[list[str]]:
    (block,) = [block for block in BLOCKS if block.mark == "run in the copy"]
    return [shlex.split(shlex.split(given)[0]) for given in _COMMAND.findall(block.code)]


@pytest.mark.parametrize("arguments", commands(), ids=lambda it: it[0])
def test_its_tests_pass(copy: Path, arguments: list[str]) -> None:
    passed = re.search(r"(\d+) passed", run(copy, "-m", "pytest", "-q", *arguments))
    assert passed
    assert int(passed[1]) > 1


def test_its_scenario_tells_what_it_may_do_and_what_it_changes(copy: Path) -> None:
    code = """
        from dev.faults.tasks import TASKS
        from dev.roles import calls_of, privileges_of
        (task,) = [task for task in TASKS if task.name == "MilvusListAliasesOperator"]
        print(*privileges_of(calls_of(task.name), "2.6.16"), dict(task.effects))
    """
    assert run(copy, "-c", textwrap.dedent(code)).splitlines()[-1] == "ListAliases {}"


def test_it_is_written_as_the_rest_is(copy: Path) -> None:
    run(copy, "-m", "ruff", "check", ".")
    run(copy, "-m", "ruff", "format", "--check", ".")
