"""Tonight's reclaim on one machine: a Milvus server, Airflow, and the example DAG between them. ``make demo`` runs it.

Everything lives in a temporary directory and ends with the demo. The table's columns *before* and *after* are what the server
reported, not what the DAG returned. The exit code is 1 when the two disagree, or when anything failed.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import signal
import sys
import tempfile
import time
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from airflow_provider_milvus.reclaim.policy import NO_PATTERN
from airflow_provider_milvus.wording import human
from dev import sample_collections
from dev.local_airflow import LocalAirflow
from dev.sample_collections import Sample
from dev.servers.lite import LiteServer, lite_server
from dev.servers.standalone import PLATFORM_HAS_IT, StandaloneServer, standalone_server

DAG_ID = "milvus_nightly_memory_reclaim"
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_began = time.monotonic()


def say(text: str) -> None:
    print(f"{time.monotonic() - _began:5.1f} s  {text}", flush=True)


def stop(*_: object) -> NoReturn:
    """Clean up after Ctrl-C, a cancelled job or a closed terminal, and let no second signal interrupt that."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def start(server: str, directory: Path) -> AbstractContextManager[LiteServer | StandaloneServer]:
    return standalone_server(directory) if server == "standalone" else lite_server(directory)


def reasons(results: dict[str, Any]) -> dict[str, str]:
    """Why each collection was released or kept. Both tasks judge every collection; the one whose patterns it matches counts."""
    reasons: dict[str, str] = {}
    for outcome in ("kept", "released", "failed"):
        for result in results.values():
            for entry in result[outcome]:
                if entry["reason"] != NO_PATTERN or entry["collection"] not in reasons:
                    reasons[entry["collection"]] = entry["reason"]
    return reasons


def sizes(results: dict[str, Any]) -> dict[str, str]:
    """The memory that each collection took, where the server reports it: the real one does, Milvus Lite does not."""
    entries = [entry for result in results.values() for outcome in ("kept", "released") for entry in result[outcome]]
    return {entry["collection"]: human(entry["bytes"]) for entry in entries if entry["bytes"] is not None}


def show(before: dict[str, str], after: dict[str, str], memory: dict[str, str], why: dict[str, str]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for heading in ("collection", *(["memory"] if memory else []), "before", "after", "why"):
        table.add_column(heading, no_wrap=heading != "why", justify="right" if heading == "memory" else "left")
    for name in before:
        released = before[name] != after.get(name)
        cells = [name, *([memory.get(name, "")] if memory else []), before[name], after.get(name, "gone"), why.get(name, "?")]
        table.add_row(*cells, style="green" if released else None)
    print()
    Console(width=min(shutil.get_terminal_size((100, 24)).columns, 120), highlight=False).print(table)
    print()


def disagreements(samples: list[Sample], before: dict[str, str], after: dict[str, str], results: dict[str, Any]) -> list[str]:
    """Where the server differs from what should be, or from what the DAG's tasks returned."""
    expected = {sample.name: "NotLoad" if sample.goes else "Loaded" for sample in samples}
    wrong = [f"{name} was {before.get(name)} before, not Loaded" for name in expected if before.get(name) != "Loaded"]
    wrong += [f"{name} is {after.get(name)}, not {state}" for name, state in expected.items() if after.get(name) != state]
    wrong += [f"{name} was not expected" for name in after.keys() - expected.keys()]
    returned = {entry["collection"] for result in results.values() for entry in result["released"]}
    released = {name for name in before if before[name] == "Loaded" and after.get(name) == "NotLoad"}
    wrong += [f"the DAG returned {name} as released, but the server has it in memory" for name in returned - released]
    wrong += [f"the server released {name}, but no task of the DAG returned it" for name in released - returned]
    return wrong


def run(server: str, directory: Path) -> int:
    now = datetime.now(UTC)
    samples = sample_collections.samples(now)
    airflow = LocalAirflow(directory / "airflow")
    name = "Milvus 2.3.5" if server == "standalone" else "Milvus Lite"
    say(f"starting {name}, and creating a database for Airflow")
    with airflow.started("db", "migrate") as migration, start(server, directory / "milvus") as milvus:
        say(f"{name} serves at {milvus.uri}")
        sample_collections.create(milvus.uri, samples)
        before = sample_collections.load_states(milvus.uri)
        say(f"{len(before)} collections are in memory")
        airflow.finish(migration)
        say(f"Airflow's database is ready; running {DAG_ID}")
        measured = {"metrics_url": milvus.metrics_url} if isinstance(milvus, StandaloneServer) else {}
        connections = {"milvus_default": {"uri": milvus.uri, **measured}}
        airflow = LocalAirflow(airflow.home, connections=connections)
        # The DAG only plans until somebody asks for more.
        airflow.run_dag(DAG_ID, now=now, conf={"dry_run": False})
        results = airflow.results(DAG_ID)
        after = sample_collections.load_states(milvus.uri)
    say("the DAG succeeded; what the server itself says:")
    show(before, after, sizes(results), reasons(results))
    wrong = disagreements(samples, before, after, results)
    for disagreement in wrong:
        print(f"WRONG: {disagreement}")
    if wrong:
        return 1
    released = sum(state == "NotLoad" for state in after.values())
    say(f"{released} released, {len(after) - released} kept, as expected; nothing is left running")
    return 0


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m dev.demo", description=__doc__)
    arguments.add_argument("server", choices=["lite", "standalone"], help="what to run against")
    server = arguments.parse_args().server
    if server == "standalone" and not PLATFORM_HAS_IT:
        print("MILVUS=standalone needs x86-64 Linux or macOS: the package milvus==2.3.5 exists for nothing else.")
        return 1
    for number in STOPPING:
        signal.signal(number, stop)
    try:
        with tempfile.TemporaryDirectory(prefix="milvus-demo-", ignore_cleanup_errors=True) as directory:
            return run(server, Path(directory))
    except RuntimeError as error:
        print(f"\nFAILED: {error}")
        return 1
    except KeyboardInterrupt:
        print("\nStopped; nothing is left running.")
        return 130


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
