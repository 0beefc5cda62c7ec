"""The picture in docs/architecture.md, held to: imports run one way, and files stay small."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import airflow_provider_milvus

PACKAGE = "airflow_provider_milvus"
ROOT = Path(airflow_provider_milvus.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

MAY_IMPORT: dict[str, set[str]] = {
    "": set(),
    "get_provider_info": set(),
    "exceptions": set(),
    "arguments": {"exceptions"},
    "flow": {"exceptions"},
    "connection": {"exceptions", "arguments", "metrics"},
    "rpc_errors": {"exceptions"},
    "pymilvus_import": set(),
    "conditions.condition": {"exceptions", "flow"},
    "conditions.load": {"exceptions", "flow", "listing", "conditions.condition"},
    "conditions.collection": {"exceptions", "flow", "listing", "conditions.condition"},
    "imports.job": {"flow"},
    "imports.grpc": {"exceptions", "flow", "imports.job"},
    "imports.rest": {"exceptions", "flow", "imports.job"},
    "imports": {"exceptions", "flow", "listing", "imports.grpc", "imports.job", "imports.rest"},
    "imports.submit": {"exceptions", "flow", "conditions.condition", "imports.job"},
    "conditions.imports": {"exceptions", "flow", "conditions.condition", "imports", "imports.job"},
    "conditions.maintenance": {"exceptions", "flow", "conditions.condition"},
    "conditions.rows": {"flow", "counting", "conditions.condition"},
    "conditions": {
        "conditions.collection",
        "conditions.condition",
        "conditions.imports",
        "conditions.load",
        "conditions.maintenance",
        "conditions.rows",
    },
    "schema": {"exceptions", "arguments"},
    "definition": {"exceptions", "arguments", "schema"},
    "drift": {"definition", "schema"},
    "wire": {"definition", "schema"},
    "flows.indexes": {"exceptions", "flow", "conditions", "definition", "drift", "listing"},
    "flows.collection": {"exceptions", "flow", "conditions", "definition", "drift", "flows.indexes", "listing", "wire"},
    "flows.aliases": {"exceptions", "flow", "conditions", "flows.collection", "listing", "flows.memory"},
    "rows": set(),
    "rows.chunk": set(),
    "rows.json_text": set(),
    "rows.pieces": {"rows.chunk"},
    "rows.places": {"exceptions"},
    "rows.tables": {"exceptions", "schema", "rows.json_text", "rows.pieces"},
    "rows.csv_text": {"exceptions", "schema", "rows.json_text", "rows.pieces"},
    "rows.files": {
        "exceptions",
        "schema",
        "rows.csv_text",
        "rows.json_text",
        "rows.pieces",
        "rows.places",
        "rows.tables",
    },
    "rows.source": {"exceptions", "schema", "rows.chunk", "rows.files", "rows.pieces", "rows.places", "rows.tables"},
    "rows.refused": {"exceptions", "rows.chunk", "rows.json_text", "rows.places"},
    "rows.resumed": {"rows.check", "rows.places"},
    "rows.column": set(),
    "rows.scalars": {"schema", "rows.column"},
    "rows.vectors": {"schema", "rows.column"},
    "rows.check": {"exceptions", "schema", "rows.chunk", "rows.column", "rows.scalars", "rows.vectors"},
    "rows.wire": {"schema", "rows.check", "rows.chunk", "rows.column"},
    "counting": {"exceptions", "flow", "listing"},
    "filters": {"exceptions"},
    "flows.mutations": {"exceptions", "flow", "conditions", "counting", "listing", "schema", "rows.chunk"},
    "flows.deletion": {
        "exceptions",
        "flow",
        "conditions",
        "counting",
        "filters",
        "listing",
        "flows.mutations",
        "schema",
    },
    "runs.read_ahead": set(),
    "runs.resume": {"exceptions"},
    "runs.sending": {
        "exceptions",
        "flow",
        "client",
        "flows.mutations",
        "rows.check",
        "rows.chunk",
        "rows.resumed",
        "rows.wire",
        "runs.read_ahead",
        "runs.resume",
    },
    "runs.ingest": {
        "exceptions",
        "flow",
        "client",
        "hooks.milvus",
        "listing",
        "flows.mutations",
        "rows.chunk",
        "rows.refused",
        "rows.resumed",
        "rows.source",
        "runs.resume",
        "runs.sending",
    },
    "operators.data": {
        "exceptions",
        "arguments",
        "flows.deletion",
        "filters",
        "operators.base",
        "operators.checks",
        "operators.given_rows",
        "operators.retry_notes",
        "operators.writes",
        "runs.ingest",
    },
    "recall": set(),
    "recall.vectors": {"exceptions", "schema"},
    "recall.truth": set(),
    "recall.measure": {
        "exceptions",
        "flow",
        "conditions",
        "counting",
        "filters",
        "listing",
        "schema",
        "recall",
        "recall.vectors",
        "recall.truth",
    },
    "flows.memory": {"exceptions", "flow", "conditions", "listing"},
    "rest": {"exceptions", "flow", "connection", "rpc_errors"},
    "client": {"exceptions", "arguments", "flow", "connection", "rpc_errors", "pymilvus_import", "rest"},
    "hooks.milvus": {
        "exceptions",
        "arguments",
        "flow",
        "connection",
        "client",
        "pymilvus_import",
        "metrics",
        "get_provider_info",
    },
    "triggers.milvus": {"exceptions", "flow", "conditions", "hooks.milvus"},
    "sensors.base": {"exceptions", "flow", "conditions", "hooks.milvus", "triggers.milvus"},
    "sensors.collection": {"arguments", "conditions", "filters", "sensors.base"},
    "sensors.bulk_import": {"exceptions", "arguments", "conditions", "sensors.base"},
    "sensors.milvus": {"arguments", "conditions", "sensors.base", "sensors.bulk_import", "sensors.collection"},
    "operators.base": {"exceptions", "arguments", "hooks.milvus"},
    "assets": {"exceptions", "arguments"},
    "operators.writes": {"assets", "operators.base", "hooks.milvus", "rows.places"},
    "operators.collection": {
        "exceptions",
        "arguments",
        "flows.collection",
        "definition",
        "operators.base",
        "operators.indexes",
        "operators.retry_notes",
        "operators.swap_alias",
        "operators.writes",
    },
    "operators.indexes": {
        "exceptions",
        "arguments",
        "flows.indexes",
        "definition",
        "hooks.milvus",
        "triggers.milvus",
        "operators.base",
        "operators.retry_notes",
        "operators.watched",
    },
    "operators.swap_alias": {
        "exceptions",
        "arguments",
        "flows.aliases",
        "flow",
        "conditions",
        "hooks.milvus",
        "triggers.milvus",
        "operators.base",
        "operators.retry_notes",
        "operators.watched",
        "operators.writes",
    },
    "operators.import_files": {"exceptions"},
    "operators.retry_notes": {"operators.run_notes"},
    "operators.bulk_import": {
        "exceptions",
        "arguments",
        "flow",
        "client",
        "conditions",
        "conditions.collection",
        "counting",
        "imports",
        "imports.job",
        "imports.submit",
        "listing",
        "flows.memory",
        "hooks.milvus",
        "triggers.milvus",
        "operators.base",
        "operators.import_files",
        "operators.prepare_import",
        "operators.retry_notes",
        "operators.watched",
        "operators.writes",
    },
    "operators.given_rows": set(),
    "operators.prepare_import": {
        "exceptions",
        "arguments",
        "listing",
        "schema",
        "rows.check",
        "rows.import_files",
        "rows.import_places",
        "rows.refused",
        "rows.source",
        "operators.base",
        "operators.given_rows",
    },
    "rows.import_files": {"exceptions", "schema", "pymilvus_import", "rows.check", "rows.column"},
    "rows.import_places": {"exceptions"},
    "operators.watched": {"arguments", "flow", "conditions", "client", "triggers.milvus", "operators.base"},
    "operators.checks": {
        "exceptions",
        "arguments",
        "flow",
        "counting",
        "filters",
        "listing",
        "recall.measure",
        "operators.base",
    },
    "flows.maintenance": {"exceptions", "flow", "conditions", "counting", "listing"},
    "operators.snapshots": {
        "exceptions",
        "arguments",
        "flows.maintenance",
        "hooks.milvus",
        "triggers.milvus",
        "operators.base",
        "operators.retry_notes",
        "operators.watched",
        "operators.writes",
    },
    "operators.maintenance": {
        "exceptions",
        "arguments",
        "flows.maintenance",
        "hooks.milvus",
        "triggers.milvus",
        "operators.base",
        "operators.snapshots",
        "operators.watched",
        "operators.writes",
    },
    "operators.reclaim_rules": {"exceptions", "arguments"},
    "operators.run_notes": set(),
    "operators.memory_report": {"operators.base", "operators.reclaim_rules", "runs.survey", "reclaim.memory_report"},
    "operators.reclaim": {
        "exceptions",
        "arguments",
        "operators.base",
        "operators.reclaim_rules",
        "operators.run_notes",
        "runs.reclaim",
        "reclaim.plan",
        "reclaim.policy",
        "reclaim.report",
    },
    "listing": {"exceptions", "flow"},
    "runs.survey": {"exceptions", "flow", "client", "listing", "metrics", "reclaim.inventory", "reclaim.marks"},
    "runs.use": {"exceptions", "metrics", "reclaim.inventory", "reclaim.plan", "reclaim.usage"},
    "runs.releases": {"exceptions", "flow", "client", "flows.memory", "reclaim.pace", "reclaim.plan"},
    "runs.reclaim": {
        "exceptions",
        "client",
        "hooks.milvus",
        "listing",
        "metrics",
        "runs.survey",
        "runs.use",
        "runs.releases",
        "reclaim.history",
        "reclaim.inventory",
        "reclaim.plan",
        "reclaim.policy",
        "reclaim.report",
    },
    "flows.loaded_window": {"exceptions", "flow", "conditions", "listing", "flows.memory", "reclaim.marks"},
    "runs.restores": {
        "exceptions",
        "flow",
        "conditions",
        "listing",
        "flows.memory",
        "client",
        "reclaim.inventory",
        "reclaim.restore",
    },
    "operators.restore": {
        "exceptions",
        "arguments",
        "hooks.milvus",
        "operators.base",
        "operators.reclaim_rules",
        "reclaim.restore",
        "runs.restores",
    },
    "operators.window": {
        "triggers.milvus",
        "exceptions",
        "arguments",
        "flow",
        "flows.loaded_window",
        "flows.memory",
        "hooks.milvus",
        "operators.base",
        "operators.memory",
    },
    "operators.memory": {
        "exceptions",
        "arguments",
        "flow",
        "conditions",
        "flows.memory",
        "hooks.milvus",
        "triggers.milvus",
        "operators.base",
        "operators.reclaim",
        "operators.restore",
        "operators.watched",
    },
    "reclaim.restore": set(),
    "reclaim.marks": set(),
    "flows.demand": {"exceptions", "flow", "conditions", "listing", "connection", "metrics"},
    "triggers.demand": {"exceptions", "arguments", "client", "flows.demand", "metrics", "hooks.milvus"},
    "sensors.demand": {
        "exceptions",
        "arguments",
        "flows.demand",
        "metrics",
        "hooks.milvus",
        "triggers.demand",
        "sensors.base",
    },
    "reclaim.usage": set(),
    "reclaim.pace": set(),
    "reclaim.inventory": {"reclaim.usage"},
    "reclaim.history": {"reclaim.inventory"},
    "reclaim.memory_report": {"reclaim.inventory"},
    "reclaim.policy": {"reclaim.inventory", "reclaim.usage"},
    "reclaim.plan": {"reclaim.inventory", "reclaim.marks", "reclaim.policy"},
    "reclaim.report": {"reclaim.inventory", "reclaim.plan"},
    "metrics.source": {"exceptions", "reclaim.usage"},
    "metrics.history": {"reclaim.usage"},
    "metrics.prometheus": {"metrics.source", "reclaim.usage"},
    "metrics.endpoints": {"metrics.source", "metrics.history", "reclaim.usage"},
    "metrics": {"exceptions", "arguments", "metrics.source", "metrics.prometheus", "metrics.endpoints"},
    "reclaim": set(),
    "flows": set(),
    "hooks": set(),
    "runs": set(),
    "operators": set(),
    "sensors": set(),
    "triggers": set(),
}
"""Each module and what it may import from this package, also inside functions and for types only."""


def module_of(path: Path) -> str:
    return ".".join(part for part in path.relative_to(ROOT).with_suffix("").parts if part != "__init__")


def imports_of(path: Path) -> set[str]:
    """Full names of the modules that a file imports anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module is not None
            submodules = {f"{node.module}.{each.name}" for each in node.names}
            found |= {each for each in submodules if is_module(each)} or {node.module}
    return found


def is_module(name: str) -> bool:
    path = ROOT.parent.joinpath(*name.split("."))
    return name.startswith(PACKAGE) and (path.with_suffix(".py").exists() or (path / "__init__.py").exists())


def top_level_imports_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    plain = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    return {each.name for node in plain if isinstance(node, ast.Import) for each in node.names} | {
        node.module or "" for node in plain if isinstance(node, ast.ImportFrom)
    }


def belongs_to(library: str, imported: set[str]) -> set[str]:
    return {each for each in imported if each == library or each.startswith(f"{library}.")}


each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: module_of(path) or "package")


@each_file
def test_a_module_imports_only_what_stands_below_it(path):
    ours = {each.removeprefix(PACKAGE).removeprefix(".") for each in belongs_to(PACKAGE, imports_of(path))}
    assert module_of(path) in MAY_IMPORT, "a new module: give it its place here and in docs/architecture.md"
    assert ours <= MAY_IMPORT[module_of(path)]


def test_the_plan_has_no_ring_and_no_module_that_is_gone():
    assert set(MAY_IMPORT) == {module_of(path) for path in FILES}
    below: dict[str, set[str]] = {}

    def reach(module: str, on_the_way: tuple[str, ...]) -> set[str]:
        assert module not in on_the_way, " -> ".join((*on_the_way, module))
        if module not in below:
            below[module] = MAY_IMPORT[module].union(*(reach(each, (*on_the_way, module)) for each in MAY_IMPORT[module]))
        return below[module]

    for module in MAY_IMPORT:
        reach(module, ())


MAY_IMPORT_PYMILVUS = {"client", "pymilvus_import", "rpc_errors", "wire", "rows.wire", "rows.import_files", "recall.vectors"}
MAY_IMPORT_NUMPY = {f"rows.{each}" for each in ("check", "column", "resumed", "scalars", "tables", "vectors", "wire")} | {
    "rows.import_files",
    "recall.truth",
    "recall.vectors",
}
"""And pyarrow, and pandas."""


@each_file
def test_pymilvus_grpc_and_numpy_are_imported_in_a_few_files_and_only_when_used(path):
    for libraries, allowed in (
        (("pymilvus", "grpc"), MAY_IMPORT_PYMILVUS),
        (("pandas", "numpy", "pyarrow"), MAY_IMPORT_NUMPY),
    ):
        assert module_of(path) in allowed or not set().union(*(belongs_to(each, imports_of(path)) for each in libraries))
        assert not set().union(*(belongs_to(each, top_level_imports_of(path)) for each in libraries))


@pytest.mark.parametrize("path", [each for each in FILES if module_of(each).startswith("reclaim")], ids=module_of)
def test_reclaim_knows_neither_airflow_nor_milvus(path):
    assert not belongs_to("airflow", imports_of(path)) | belongs_to("pymilvus", imports_of(path))


BELOW_THE_HOOK = {
    "arguments",
    "client",
    "conditions",
    "connection",
    "counting",
    "flow",
    "flows",
    "imports",
    "listing",
    "recall",
    "rest",
    "rpc_errors",
}


@pytest.mark.parametrize("path", [each for each in FILES if module_of(each).split(".")[0] in BELOW_THE_HOOK], ids=module_of)
def test_what_is_below_the_hook_does_not_run_airflow(path):
    """Only for types: the flows can be used, and tested, without it."""
    assert not belongs_to("airflow", top_level_imports_of(path))


@each_file
def test_a_file_stays_small_and_says_what_it_is_for(path):
    text = path.read_text()
    assert len(text.splitlines()) < 400
    assert not text.strip() or ast.get_docstring(ast.parse(text))
