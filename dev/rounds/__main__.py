"""Play rounds: ``python -m dev.rounds``; ``--rounds`` of each pair; ``--write``: write the table of docs/races.md."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections import Counter
from tempfile import TemporaryDirectory


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m dev.rounds", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="of each pair; 200 by default")
    parser.add_argument("--server", choices=("lite", "standalone"), help="by default both")
    parser.add_argument("--only", default="", help="pairs whose name has this")
    parser.add_argument("--write", action="store_true", help="write the table of docs/races.md")
    arguments = parser.parse_args()
    with TemporaryDirectory() as home:
        # Airflow reads these once, when it is first imported.
        os.environ.update(AIRFLOW_HOME=home, AIRFLOW__CORE__LOAD_EXAMPLES="False", AIRFLOW__LOGGING__LOGGING_LEVEL="ERROR")
        from dev.faults.served import SERVERS, started
        from dev.rounds.pairs import PAIRS
        from dev.rounds.play import Kind, rounds_on
        from dev.tries.page import write_row

        logging.disable(logging.CRITICAL)
        wrong = 0
        for server in [arguments.server] if arguments.server else SERVERS:
            with started(server) as served, rounds_on(served) as rounds:
                for pair in PAIRS:
                    if arguments.only not in pair.name:
                        continue
                    judged = rounds.play(pair, arguments.rounds)
                    violations = [one.why for one in judged if one.kind is Kind.VIOLATION]
                    wrong += len(violations)
                    counts = Counter((str(one.kind), "" if one.kind is Kind.VIOLATION else one.why) for one in judged)
                    print(f"{server}, {pair.name}: {len(judged)} rounds", flush=True)
                    print("".join(f"  {count} {kind} ({why})\n" for (kind, why), count in sorted(counts.items())), end="")
                    print("".join(f"  violation: {why}\n" for why in violations[:5]), end="", flush=True)
                    if arguments.write:
                        kinds = Counter(one.kind for one in judged)
                        counted = {"rounds": len(judged), **{str(kind): kinds[kind] for kind in Kind}}
                        write_row("pair", pair.name, server, counted)
        return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
