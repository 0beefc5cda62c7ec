"""Play the cases: ``python -m dev.meanwhile``; ``--every``: on every dialect; ``--write``: write the tables of the docs."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from concurrent.futures import ThreadPoolExecutor
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
        from dev.meanwhile.play import without_airflow
        from dev.meanwhile.run import Ended, run
        from dev.meanwhile.table import PAGE, with_tables
        from dev.meanwhile.tasks import SCENARIOS, Scenario

        logging.disable(logging.CRITICAL)

        def played(pair: tuple[Scenario, str]) -> list[Ended]:
            ended = run(*pair, every=arguments.every)
            wrong = [one for one in ended if one.judged.kind is Kind.VIOLATION]
            print(f"{pair[0].name} on {pair[1]}: {len(ended)} cases, {len(wrong)} violations", flush=True)
            print("".join(f"  {one.case.moment}, {one.case.act}: {one.judged.why}\n" for one in wrong), end="", flush=True)
            return ended

        pairs = [(one, dialect) for one in SCENARIOS if arguments.only in one.name for dialect in one.dialects]
        with without_airflow(), ThreadPoolExecutor(2) as pool:
            ended = [one for several in pool.map(played, pairs) for one in several]
        if arguments.write:
            PAGE.write_text(with_tables(PAGE.read_text(), ended))
        wrong = sum(one.judged.kind is Kind.VIOLATION for one in ended)
        print(f"{len(ended)} cases, {wrong} violations")
        return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
