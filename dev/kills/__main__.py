"""Play the kills: ``python -m dev.kills``; ``--server`` and ``--only`` (a part of a task's name) play some of them."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from tempfile import TemporaryDirectory


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m dev.kills", description=__doc__)
    parser.add_argument("--server", choices=("lite", "standalone"), help="by default both")
    parser.add_argument("--only", default="", help="tasks whose name has this")
    parser.add_argument("--write", action="store_true", help="write the table of docs/races.md")
    arguments = parser.parse_args()
    with TemporaryDirectory() as home:
        # Airflow reads these once, when it is first imported; so do the processes of the tries.
        os.environ.update(AIRFLOW_HOME=home, AIRFLOW__CORE__LOAD_EXAMPLES="False", AIRFLOW__LOGGING__LOGGING_LEVEL="ERROR")
        from dev.faults.served import SERVERS, started
        from dev.kills.play import counted, play
        from dev.kills.tasks import KILLED
        from dev.tries.page import write_row

        results: Counter[str] = Counter()
        for server in [arguments.server] if arguments.server else SERVERS:
            with started(server) as served:
                for task in KILLED:
                    if server not in task.servers or arguments.only not in task.name:
                        continue
                    played = play(served, task)
                    results.update(one.result for one in played)
                    print(f"{server}, {task.name}: {dict(Counter(one.result for one in played))}", flush=True)
                    print("".join(f"  {one}\n" for one in played if one.violations), end="", flush=True)
                    if arguments.write and played:
                        write_row("task", f"`{task.name}`", server, counted(played))
        print(f"{results.total()} kills: {dict(results)}")
        return 1 if results["violation"] else 0


if __name__ == "__main__":
    sys.exit(main())
