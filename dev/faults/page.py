"""The page of results, docs/faults.md: a table for each server, whose rows are tasks at a call and whose columns are faults."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from dev.faults.cases import CASES, FAULTS, Case

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
TITLES = {"lite": "Milvus Lite", "standalone": "Milvus 2.3.5"}
NOT_A_CASE = ""
NOT_RUN = "not run"
WORDS = {
    "success": "done",
    "MilvusTimeoutError": "late",
    "AirflowSensorTimeout": "late",
    "MilvusUnavailableError": "away",
    "MilvusInDoubtError": "in doubt",
    "MilvusUnsupportedError": "unsupported",
    "MilvusRestoreError": "named",
    "MilvusReclaimError": "named",
    "violation": "**no**",
}
"""How a result is called in a cell; another error by its own name."""


def word_of(result: str) -> str:
    return WORDS.get(result, result.removeprefix("Milvus").removesuffix("Error"))


def heading(server: str) -> str:
    return f"### {TITLES[server]}\n\n| task | way | at the call | {' | '.join(FAULTS)} |\n|{'---|' * (3 + len(FAULTS))}\n"


def rows_of(server: str) -> dict[tuple[str, str, str], dict[str, Case]]:
    rows: dict[tuple[str, str, str], dict[str, Case]] = {}
    for case in CASES:
        if case.server == server:
            rows.setdefault(case.row, {})[case.fault_name] = case
    return dict(sorted(rows.items()))


def table(server: str, results: Mapping[str, str], page: str) -> str:
    """One table. A case that was not run keeps the cell that ``page`` has for it."""
    lines = [heading(server)]
    for row, cases in rows_of(server).items():
        task, way, call = row
        before = dict(zip(FAULTS, next(iter(cells_of(page, server, row)), ()), strict=False))
        cells = [_cell(cases.get(fault), results, before.get(fault, "")) for fault in FAULTS]
        lines.append(f"| `{task}` | {way} | {call} | {' | '.join(cells)} |\n")
    return "".join(lines)


def _cell(case: Case | None, results: Mapping[str, str], before: str) -> str:
    if case is None:
        return NOT_A_CASE
    return word_of(results[case.id]) if case.id in results else before or NOT_RUN


def cells_of(page: str, server: str, row: tuple[str, str, str]) -> list[list[str]]:
    """The cells of a row in the page, a list for each time that it is there."""
    _, _, rest = page.partition(heading(server))
    task, way, call = row
    beginning = f"| `{task}` | {way} | {call} | "
    lines = [line for line in rest.partition("\n### ")[0].splitlines() if line.startswith(beginning)]
    return [[cell.strip() for cell in line.removeprefix(beginning).removesuffix("|").split("|")] for line in lines]


def write(results: Mapping[str, str]) -> None:
    """Put the results into the page's tables."""
    page = PAGE.read_text()
    before, _, _ = page.partition("### ")
    PAGE.write_text(before + "\n".join(table(server, results, page) for server in TITLES))


def write_calls(found: Mapping[str, list[str]], path: Path) -> None:
    """Put the calls that were found, by server, task and way, into the file; what was not run stays."""
    calls = json.loads(path.read_text())
    for key, points in found.items():
        server, task, way = key.split("/")
        ways = calls[server].setdefault(task, {})
        ways.pop(way, None)
        if points:
            ways[way] = points
    path.write_text(json.dumps(calls, indent=1, sort_keys=True) + "\n")
