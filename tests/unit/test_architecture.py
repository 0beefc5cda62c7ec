"""What docs/architecture.md promises beside the layers, which `make lint` holds: light imports, small files, a true picture."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import airflow_provider_milvus

ROOT = Path(airflow_provider_milvus.__file__).parent
FILES = sorted(path for path in ROOT.rglob("*.py") if path.read_text().strip())
PAGE = (ROOT.parent / "docs" / "architecture.md").read_text()

HEAVY = {
    *("pymilvus", "grpc", "google", "pandas", "numpy", "pyarrow", "fsspec", "yaml", "pydantic", "httpx", "prometheus_client"),
    *("fastapi", "starlette", "sqlalchemy", "orjson"),
}
"""Libraries that no DAG file pays for at each parse."""
PARSED = {"", "operators", "sensors", "triggers", "hooks"}
"""Folders that a DAG file imports."""
WITHOUT_AIRFLOW = {"bulk_import", "client", "conditions", "ingest", "metrics", "recall", "reclaim", "rows", "schema", "server"}

every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))


def folder_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0] if path.parent != ROOT else ""


def imported_at_once(path: Path) -> set[str]:
    """The libraries that importing a file imports, functions and type checking aside."""
    statements = [node for node in ast.parse(path.read_text()).body if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = {name.name for node in statements if isinstance(node, ast.Import) for name in node.names}
    return {
        name.partition(".")[0]
        for name in names | {node.module or "" for node in statements if isinstance(node, ast.ImportFrom)}
    }


@every_file
def test_what_a_dag_file_imports_is_light(path):
    heavy = imported_at_once(path) & HEAVY
    assert not heavy & {"pymilvus", "grpc", "google", "pandas", "pyarrow"}
    assert not heavy or folder_of(path) not in PARSED


@every_file
def test_what_works_on_milvus_runs_without_airflow(path):
    """So that flows can be used, and tested, on their own."""
    assert folder_of(path) not in WITHOUT_AIRFLOW or "airflow" not in imported_at_once(path)


@every_file
def test_a_file_stays_small_and_says_what_it_is_for(path):
    text = path.read_text()
    assert len(text.splitlines()) < 400
    assert ast.get_docstring(ast.parse(text))


def test_the_root_has_few_files():
    assert len(list(ROOT.glob("*.py"))) <= 8


def test_the_page_draws_every_folder_and_file_that_there_is_and_no_other():
    drawn = re.search(r"```\nairflow_provider_milvus/\n(.*?)```", PAGE, re.S)
    assert drawn, "docs/architecture.md begins with a picture of the package"
    assert set(re.findall(r"\b[a-z_]+\.py\b", drawn.group(1))) == {path.name for path in FILES} - {"__init__.py"}
    assert set(re.findall(r"^  ([a-z_]+)/", drawn.group(1), re.M)) == {folder_of(path) for path in FILES} - {""}
