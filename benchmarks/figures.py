"""The figures of a run as one table, and whether they got worse than those of the table before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

WORSE = 1.2
"""How many times as much of CPU, memory or calls is reported."""
HEADING = "| what | measure | ours | beside it | theirs | ratio | goal |\n|---|---|---|---|---|---|---|\n"


@dataclass(frozen=True, slots=True)
class Figure:
    """``theirs`` is of ``beside``, measured in turns with ours in the same run. ``goal`` is the most that the ratio may be, or
    ours where there is nothing beside it; wall time is only told.
    """

    what: str
    measure: str
    unit: str
    ours: float
    beside: str = ""
    theirs: float | None = None
    goal: float | None = None

    @property
    def compared(self) -> float:
        return self.ours if self.theirs is None else self.ours / max(self.theirs, 1e-9)

    @property
    def key(self) -> str:
        return f"{self.what}, {self.measure}"

    def __str__(self) -> str:
        theirs = "" if self.theirs is None else _number(self.theirs, self.unit)
        ratio = "" if self.theirs is None else f"{self.compared:.2f}"
        missed = " (missed)" if self.goal is not None and self.compared > self.goal else ""
        goal = "" if self.goal is None else f"{self.goal:g}{missed}"
        return (
            f"| {self.what} | {self.measure} | {_number(self.ours, self.unit)} | {self.beside} | {theirs} | {ratio} | {goal} |"
        )


def _number(value: float, unit: str) -> str:
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{digits}f} {unit}".rstrip()


def table(figures: Iterable[Figure]) -> str:
    return HEADING + "".join(f"{figure}\n" for figure in figures)


def read_table(text: str) -> dict[str, float]:
    """What the figures of a page are compared by: the ratio, or ours where there is none."""
    read = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("| ") and len(cells) == 7 and cells[0] != "what":
            what, measure, ours, _, _, ratio, _ = cells
            read[f"{what}, {measure}"] = float(ratio or ours.partition(" ")[0])
    return read


def worse(figures: Iterable[Figure], before: dict[str, float]) -> Iterator[str]:
    """The figures of CPU, memory or calls that are more than a fifth above those before, in words."""
    for figure in figures:
        was = before.get(figure.key)
        if was is not None and figure.measure != "wall" and figure.compared > was * WORSE:
            yield f"{figure.key}: {figure.compared:.2f}, and it was {was:.2f}"
