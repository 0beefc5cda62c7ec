"""Every block of Python and shell in the pages, and every example in a docstring, runs as it stands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest

from dev.servers.lite import LiteServer
from tests.docs.blocks import BLOCKS, EXAMPLES, PUBLIC, ROOT, Block, examples_of
from tests.integration.support import Connect, Milvus, build_collection

NOT_RUN = {"README.md": 1, "docs/installing.md": 3, "docs/tutorial.md": 2, "docs/versions.md": 2}
"""How many blocks of a page are not run here. Each has its reason in the page."""
COLLECTIONS = ("docs", "books", "events_20260131", "staging")
"""What the pages talk about."""
_REASON = re.compile(r"not run here: \S.*")
_BY_CI = re.compile(r"run by CI: (\S.*)")
_IN_A_COPY = re.compile(r"run in the copy|into \S+(?:, at the end)?")
"""By test_contributing.py."""
_NEEDS = re.compile(r"needs Airflow (\d+)\.(\d+)")
_BARE_DATE = re.compile(r"\{\{ *(ds|ts|logical_date|data_interval_\w+)(_nodash\w*)?\b|ds_add\(ds")
_AIRFLOW = tuple(map(int, version("apache-airflow").split(".")[:2]))


@pytest.fixture(scope="module")
def prepared(lite_process: LiteServer) -> Iterator[Milvus]:
    server = Milvus("lite", lite_process.uri, lite_process.process)
    with server.plain_client() as client:
        for name in COLLECTIONS:
            build_collection(client, name, rows=20, dim=4)
        yield server
        for name in COLLECTIONS:
            client.drop_collection(name)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """What a block is run as; dataclasses look for theirs by its name."""
    made = ModuleType("block")
    monkeypatch.setitem(sys.modules, made.__name__, made)
    return made


def run(block: Block, module: ModuleType) -> None:
    exec(compile(block.code, block.name, "exec"), vars(module))


def is_run(block: Block) -> bool:
    return not any(mark.fullmatch(block.mark) for mark in (_REASON, _BY_CI, _IN_A_COPY))


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "python" and is_run(block)], ids=str)
def test_python_runs(block: Block, prepared: Milvus, module: ModuleType, connect: Connect) -> None:
    if (needs := _NEEDS.fullmatch(block.mark)) and tuple(map(int, needs.groups())) > _AIRFLOW:
        pytest.skip(block.mark)
    connect(prepared.uri)
    run(block, module)


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_example_in_a_docstring_runs(example: Block, prepared: Milvus, module: ModuleType, connect: Connect) -> None:
    connect(prepared.uri)
    run(example, module)


def test_every_public_class_has_an_example() -> None:
    assert [name for name, kind in PUBLIC.items() if not list(examples_of(kind))] == []


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "sh" and is_run(block)], ids=str)
def test_shell_runs(block: Block, prepared: Milvus, connect: Connect, tmp_path: Path) -> None:
    connect(prepared.uri)
    copy = shutil.ignore_patterns(".*", "tests", "__pycache__")
    folder = shutil.copytree(ROOT, tmp_path / "clone", ignore=copy)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    ended = subprocess.run(
        ["bash", "-eu", "-c", block.code],
        cwd=folder,
        env={**os.environ, "PATH": path, "HOME": str(tmp_path), "AIRFLOW_HOME": str(tmp_path / "airflow")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_what_is_not_run_here_says_why_and_does_not_become_more() -> None:
    unknown = [
        f"{block.name}: {block.mark}" for block in BLOCKS if block.mark and is_run(block) and not _NEEDS.fullmatch(block.mark)
    ]
    assert unknown == []
    assert Counter(block.name.partition(":")[0] for block in BLOCKS if _REASON.fullmatch(block.mark)) == NOT_RUN


def test_what_is_left_to_ci_is_run_by_it() -> None:
    commands = (ROOT / ".ci" / "run").read_text().splitlines()
    claimed = [command for block in BLOCKS if (by_ci := _BY_CI.fullmatch(block.mark)) for command in by_ci[1].split(", ")]
    assert [command for command in claimed if command not in commands] == []


def test_no_page_takes_a_date_for_granted() -> None:
    """A run that is triggered by hand or by an asset has no logical date in Airflow 3, and none of the names made from it."""
    assert [block.name for block in BLOCKS if _BARE_DATE.search(block.code)] == []


def test_no_example_takes_a_date_for_granted() -> None:
    assert [example.name for example in EXAMPLES if _BARE_DATE.search(example.code)] == []
