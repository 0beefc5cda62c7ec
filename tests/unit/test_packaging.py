"""What users install: the wheel, built as it is released."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
import tomllib
from email.parser import Parser
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.version import Version

from airflow_provider_milvus import __version__

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "airflow_provider_milvus"

pytestmark = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("build", "hatchling", "hatch_fancy_pypi_readme")),
    reason="needs the packages build, hatchling and hatch-fancy-pypi-readme",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = folder.glob("*.whl")
    return ZipFile(path)


@pytest.fixture(scope="module")
def information(wheel: ZipFile) -> str:
    return f"airflow_provider_milvus-{__version__}.dist-info"


def test_holds_the_package_and_nothing_beside_it(wheel, information):
    """No ``airflow/`` above all: it would shadow Airflow's own namespace."""
    assert {name.partition("/")[0] for name in wheel.namelist()} == {"airflow_provider_milvus", information}


def test_holds_every_module_the_files_of_the_page_and_the_types_marker(wheel):
    source = {path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*.py*") if path.suffix in (".py", ".pyi")}
    page = {path.relative_to(ROOT).as_posix() for path in PACKAGE.glob("page/files/*")}
    assert {path.rpartition("/")[2] for path in page} == {"index.html", "page.css", "page.js"}
    assert source | page | {"airflow_provider_milvus/py.typed"} == {
        name for name in wheel.namelist() if name.startswith("airflow_provider_milvus/")
    }


def test_holds_the_licence(wheel, information):
    assert "Apache License" in wheel.read(f"{information}/licenses/LICENSE").decode()


def test_tells_airflow_where_to_look(wheel, information):
    entry_points = configparser.ConfigParser()
    entry_points.read_string(wheel.read(f"{information}/entry_points.txt").decode())
    assert dict(entry_points["apache_airflow_provider"]) == {
        "provider_info": "airflow_provider_milvus.get_provider_info:get_provider_info"
    }
    assert dict(entry_points["airflow.plugins"]) == {"milvus": "airflow_provider_milvus.page.plugin:MilvusPage"}


def test_says_on_a_package_index_what_the_readme_says_without_links_that_lead_nowhere(wheel, information):
    metadata = Parser().parsestr(wheel.read(f"{information}/METADATA").decode())
    told = metadata.get_payload()
    assert metadata["Description-Content-Type"] == "text/markdown"
    targets = re.compile(r"\]\(([^)]+)\)")
    assert "docs/nightly-reclaim.md" in targets.findall((ROOT / "README.md").read_text())
    assert [target for target in targets.findall(told) if not target.startswith("https://")] == []
    assert "| `MilvusReclaimMemoryOperator`, `MilvusRestoreLoadOperator` | release what is old, idle or too much" in " ".join(
        told.split()
    )


def test_says_what_it_is_and_what_it_needs(wheel, information):
    metadata = Parser().parsestr(wheel.read(f"{information}/METADATA").decode())
    assert (metadata["Name"], metadata["Version"]) == ("airflow-provider-milvus", __version__)
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    needed = {line.replace(" ", "") for line in metadata.get_all("Requires-Dist") if "extra ==" not in line}
    assert needed == {line.replace(" ", "") for line in declared}
    assert {"apache-airflow>=2.11.0", "pymilvus>=2.6.11"} <= needed
    assert metadata.get_all("Provides-Extra") == ["bulk", "lite", "picture"]


def test_the_floors_are_those_that_make_lowest_runs_with():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lowest = dict(
        line.split("==") for line in (ROOT / "constraints" / "airflow-lowest.txt").read_text().splitlines() if line[0] != "#"
    )
    declared = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    floors = {tuple(re.split(r"(?:\[.*\])?>=", line)) for line in declared}
    assert {(name, Version(floor)) for name, floor in floors} == {(name, Version(lowest[name])) for name, _ in floors}
