"""Play the cases: ``python -m dev.meanwhile``; ``--every``: on every dialect; ``--write``: write the tables of the docs."""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from tempfile import TemporaryDirectory


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m dev.meanwhile", description=__doc__)
    parser.add_argument("--every", action="store_true", help="play each moment and act on every dialect, not on one of them")
    parser.add_argument("--write", action="store_true", help="write the tables of docs/meanwhile.md")
    parser.add_argument("--only", default="", help="tasks whose name has this")
    arguments = parser.parse_args()
    with TemporaryDirectory() as home:
        # Airflow reads these once, when it is first imported.
        os.environ.update(AIRFLOW_HOME=home, AIRFLOW__CORE__LOAD_EXAMPLES="False", AIRFLOW__LOGGING__LOGGING_LEVEL="ERROR")
        from dev.meanwhile.judge import Kind
        from dev.meanwhile.run import played
        from dev.meanwhile.table import PAGE, with_tables
        from dev.meanwhile.tasks import SCENARIOS

        plays = [
            (one.name, dialect, arguments.every) for one in SCENARIOS if arguments.only in one.name for dialect in one.dialects
        ]
        # A process for each core: the tasks and the server that is played are both in it.
        with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
            ends = [pool.submit(played, *one) for one in plays]
        # A task that nobody disturbs and that still goes wrong has no cases; the others have theirs.
        unplayed = [
            f"{task} on {dialect}: {end.exception()}"
            for (task, dialect, _), end in zip(plays, ends, strict=True)
            if end.exception()
        ]
        rows = [row for end in ends if not end.exception() for row in end.result()]
        if arguments.write and not unplayed:
            PAGE.write_text(with_tables(PAGE.read_text(), rows))
        wrong = sum(row.kind is Kind.VIOLATION for row in rows)
        print("\n".join([*unplayed, f"{len(rows)} cases, {wrong} violations, {len(unplayed)} tasks not played"]))
        return 1 if wrong or unplayed else 0


if __name__ == "__main__":
    sys.exit(main())
