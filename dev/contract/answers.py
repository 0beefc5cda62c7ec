"""The files in ``answers``, one for each version: the answer to each clause, and how it is known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from airflow_provider_milvus.contract.check import Asked
from airflow_provider_milvus.contract.clauses import READS, STORY
from dev.servers.dialects import DIALECTS

ANSWERS = Path(__file__).parent / "answers"
PAGE = Path(__file__).parents[2] / "docs" / "versions.md"
RUN = ("2.3.5", "lite")
"""The versions that are run here; the answers of all others were read in the server's source."""
VERSIONS = ("lite", *DIALECTS)
NAMES = {"lite": "Lite"}


def answers(version: str) -> dict[str, Any]:
    """The answer to each clause, by its name. A file has only what differs from the version before it."""
    file = _file(version)
    before = answers(file["before"]) if "before" in file else {}
    return before | {name: entry["answer"] for name, entry in file["answers"].items() if "answer" in entry}


def known(version: str) -> dict[str, str]:
    """How the answer to a clause is known, by its name: run, or where it was read. What is not known is left out."""
    file = _file(version)
    if version in RUN:
        return {name: "run: differs" if entry.get("only_on_lite") else "run" for name, entry in file["answers"].items()}
    before = known(file["before"]) if file["before"] not in RUN else {}
    return before | {name: entry["read_in"] for name, entry in file["answers"].items()}


def _file(version: str) -> dict[str, Any]:
    return dict(json.loads((ANSWERS / f"{version}.json").read_text()))


def write(version: str, asked: Sequence[Asked]) -> None:
    entries = {one.clause.name: {"answer": one.answer, **({"only_on_lite": True} if one.only_on_lite else {})} for one in asked}
    (ANSWERS / f"{version}.json").write_text(json.dumps({"answers": entries}, indent=2) + "\n")


def differences(version: str, asked: Sequence[Asked]) -> list[str]:
    """What was answered otherwise than the file says, in words."""
    expected = answers(version)
    return [
        f"{one.clause.name}: answered {one.answer}, expected {expected.get(one.clause.name)}"
        for one in asked
        if one.answer != expected.get(one.clause.name) or not one.holds
    ]


HEADING = f"| call | {' | '.join(NAMES.get(version, version) for version in VERSIONS)} |\n|---|{'---|' * len(VERSIONS)}\n"


def table() -> str:
    """The clauses, and for each version whether it was run, or read, or neither."""
    columns = [known(version) for version in VERSIONS]
    lines = []
    for clause in (*READS, *STORY):
        cells = [column.get(clause.name, "") for column in columns]
        words = [cell if not cell or cell.startswith("run") else "read" for cell in cells]
        lines.append(f"| `{clause.call}` {clause.situation} | {' | '.join(words)} |\n")
    return HEADING + "".join(lines)


def with_table(page: str) -> str:
    """The page with the table as it is now."""
    before, _, after = page.partition(HEADING)
    return before + table() + "".join(line for line in after.splitlines(keepends=True) if not line.startswith("| `"))
