"""All figures in one run, as a table with the machine: ``python -m benchmarks``; it takes a quarter of an hour.

It writes docs/costs.md. With ``--check`` it writes nothing, and fails where CPU, memory or calls got worse by more than a fifth
against the table that is there. With names, such as ``waits``, only these are measured, and nothing is written.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from pathlib import Path

from benchmarks.figures import read_table, table, worse
from benchmarks.machine import machine

PAGE = Path(__file__).parents[1] / "docs" / "costs.md"
ALL = ("parse_cost", "task_cost", "waits", "reclaim_pace", "rows")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("names", nargs="*", choices=[*ALL, []])
    given = parser.parse_args()
    print(machine(), flush=True)
    figures = []
    for name in given.names or ALL:
        new = importlib.import_module(f"benchmarks.{name}").figures()
        figures += new
        print(table(new), flush=True)
    text = PAGE.read_text()
    if given.check:
        if reports := list(worse(figures, read_table(text))):
            sys.exit("\n".join(["Worse than the table in docs/costs.md:", *reports]))
    elif not given.names:
        PAGE.write_text(re.sub(r"\n[^\n]*\n\n\| what \|.*", lambda _: f"\n{machine()}:\n\n{table(figures)}", text, flags=re.S))


if __name__ == "__main__":
    main()
