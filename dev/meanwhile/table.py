"""The tables of docs/meanwhile.md: how many cases of each task ended in which way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from dev.meanwhile.acts import ACTS
from dev.meanwhile.judge import Kind
from dev.meanwhile.moments import KINDS
from dev.meanwhile.run import Row
from dev.meanwhile.tasks import SCENARIOS

PAGE = Path(__file__).parents[2] / "docs" / "meanwhile.md"
BEGIN, END = "<!-- written by python -m dev.meanwhile --write -->\n", "<!-- end -->\n"


def with_tables(page: str, ended: Sequence[Row]) -> str:
    """The page with the tables of this run."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{tables(ended)}{END}{after}"


def tables(ended: Sequence[Row]) -> str:
    kinds = Counter(one.kind for one in ended)
    total = ", ".join(f"{kinds[kind]:,} {kind}" for kind in Kind)
    by_moment = _table(ended, "moment", KINDS, lambda one: one.moment)
    by_act = _table(ended, "act", tuple(ACTS), lambda one: one.act)
    return f"\n{len(ended):,} cases: {total}.\n\n{by_moment}\n{by_act}\n{_violations(ended)}"


def _table(ended: Iterable[Row], what: str, columns: Sequence[str], column_of: Callable[[Row], str]) -> str:
    counts = Counter((one.task, column_of(one), one.kind) for one in ended)
    lines = [f"| task, by {what} | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    for scenario in SCENARIOS:
        cells = [_cell([counts[scenario.name, column, kind] for kind in Kind]) for column in columns]
        lines.append(f"| `{scenario.name}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(counts: Sequence[int]) -> str:
    signs = ("", " f", " g", " V")
    return ", ".join(f"{count}{sign}" for count, sign in zip(counts, signs, strict=True) if count)


def _violations(ended: Iterable[Row]) -> str:
    wrong = [f"- {one}\n" for one in ended if one.kind is Kind.VIOLATION]
    return f"\nViolations:\n\n{''.join(wrong)}" if wrong else ""
