"""Run the cases: ``python -m dev.faults`` runs all of them, and further arguments are pytest's.

``--write`` writes what became of the cases that were run into docs/faults.md. ``--calls`` finds out which calls each task
makes, and writes them to ``calls.json``: run it first when a task is new or makes other calls.
"""

from __future__ import annotations

import sys
from typing import Any

import pytest

from dev.faults import page
from dev.faults.cases import CALLS_FILE

TESTS = "tests/faults/test_wire.py"


class Results:
    """What the tests record, by their ids; also of those that run in other processes."""

    def __init__(self) -> None:
        self.by_id: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        key = report.nodeid.partition("[")[2].removesuffix("]")
        if report.when == "call" and report.user_properties:
            self.by_id[key] = dict(report.user_properties)
        if report.failed:
            # While it runs: the whole takes long.
            print(f"\n{key}: {report.longrepr.reprcrash.message}", flush=True)


def main(arguments: list[str]) -> int:
    write, calls = "--write" in arguments, "--calls" in arguments
    chosen = [argument for argument in arguments if argument not in ("--write", "--calls")]
    results = Results()
    everything = ["-q", "-n", "4", "--dist", "worksteal", "-m", "slow or long", "--reruns", "1", "--only-rerun", "TooSlowError"]
    only = ["-k", "nothing_happens_to"] if calls else []
    code = pytest.main([TESTS, *everything, *only, *chosen], plugins=[results])
    if calls:
        found = [properties for properties in results.by_id.values() if "calls" in properties]
        page.write_calls({properties["of"]: properties["calls"] for properties in found}, CALLS_FILE)
    if write:
        page.write({key: str(found["result"]) for key, found in results.by_id.items() if "result" in found})
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
