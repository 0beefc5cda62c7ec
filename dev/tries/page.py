"""The tables of docs/races.md: a row for each task or pair on each server, which a run writes anew for what it has played."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "races.md"
TITLES = {"lite": "Milvus Lite", "standalone": "Milvus 2.3.5"}


def write_row(of: str, name: str, server: str, counts: Mapping[str, int]) -> None:
    """Put a row into the table whose first column is called ``of``, in place of the last one of the same name and server."""
    heading = f"| {of} | server | {' | '.join(counts)} |\n|---|---|{'---|' * len(counts)}\n"
    before, found, rest = PAGE.read_text().partition(heading)
    if not found:
        raise ValueError(f"{PAGE.name} has no table with the heading {heading!r}")
    lines = rest.splitlines(keepends=True)
    table = list(takewhile(lambda line: line.startswith("|"), lines))
    beginning = f"| {name} | {TITLES[server]} | "
    rows = [row for row in table if not row.startswith(beginning)]
    rows.append(f"{beginning}{' | '.join(map(str, counts.values()))} |\n")
    PAGE.write_text("".join([before, heading, *sorted(rows), *lines[len(table) :]]))
