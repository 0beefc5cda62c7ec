"""Run the cases: ``python -m dev.cluster``; ``--short`` takes small ones, several together.

The exit code is 1 when anything is wrong, and 2 where the cluster cannot run.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.machine import machine
from dev.cluster.airflow import ClusterAirflow
from dev.cluster.case import Case, Stage
from dev.cluster.disturbances import cut_off_triggerer, kill_triggerer, kill_worker, mark_failed, restart_api_server
from dev.cluster.figures import figures
from dev.cluster.loads import AbandonedWindow, HeldWindow, TakenOver
from dev.cluster.reclaim import Reclaim
from dev.cluster.rows import BulkImport, Ingest, MappedIngest
from dev.cluster.services import MissingPackageError, check_packages, postgresql, redis
from dev.cluster.truth import Truth
from dev.cluster.waits import Waits
from dev.servers.standalone import PLATFORM_HAS_IT, standalone_server

Act = tuple[Callable[[Stage, Sequence[Case]], None], list[Case]]
"""A disturbance, and the cases that are under way meanwhile."""
NOT_HERE = 2
LEASE = 600
"""Seconds that Milvus may be frozen for: after its lease, 30 seconds by default, 2.3.5 refuses every call for ever."""

_began = time.monotonic()


def _long() -> list[Act]:
    return [
        (kill_worker, [Reclaim(200)]),
        (kill_worker, [MappedIngest(6)]),
        (kill_worker, [BulkImport(100_000)]),
        (kill_worker, [HeldWindow(10_000)]),
        (kill_triggerer, [Waits(100)]),
        (cut_off_triggerer, [TakenOver(10_000)]),
        (mark_failed, [AbandonedWindow(10_000)]),
        (restart_api_server, [Ingest(16_000)]),
    ]


def _short() -> list[Act]:
    return [
        (kill_worker, [HeldWindow(1_000), BulkImport(5_000), MappedIngest(3), Reclaim(16)]),
        (kill_triggerer, [Waits(8)]),
        (cut_off_triggerer, [TakenOver(1_000)]),
        (mark_failed, [AbandonedWindow(1_000)]),
        (restart_api_server, [Ingest(8_000)]),
    ]


def say(text: str) -> None:
    print(f"{time.monotonic() - _began:6.1f} s  {text}", flush=True)


def play(stage: Stage, acts: list[Act]) -> list[str]:
    """Play the acts one after another, and return what is wrong."""
    failures = []
    for disturb, cases in acts:
        for case in cases:
            case.begin(stage)
            case.wait_until_under_way(stage)
        disturb(stage, cases)
        for case in cases:
            case.after_disturbance(stage)
        for case in cases:
            seen, wrong = case.judged(stage)
            say(f"{case.dag_id}, {disturb.__name__}: {'WRONG: ' + '; '.join(wrong) if wrong else f'ok, {seen}'}")
            failures += wrong
    return failures


def run(acts: list[Act], directory: Path) -> int:
    say(f"{machine()}; starting PostgreSQL, Redis, Milvus 2.3.5 and Airflow")
    with (
        postgresql() as database,
        redis(directory / "redis") as redis_url,
        standalone_server(directory / "milvus", {"common.session.ttl": str(LEASE)}) as milvus,
        Truth.of(milvus.uri) as truth,
    ):
        cluster = ClusterAirflow(directory / "airflow", database, redis_url, milvus.uri)
        stage = Stage(cluster, truth, milvus)
        with cluster.running():
            say("Airflow serves; making collections and files")
            truth.make("costs", rows=10)
            for _, cases in acts:
                for case in cases:
                    case.prepare(stage)
            say("all is ready")
            wrong = play(stage, acts)
            print(f"\n{figures(stage)}\n")
    say("WRONG" if wrong else "nothing was lost, nothing was doubled, and nothing was released that was served")
    return 1 if wrong else 0


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m dev.cluster", description=__doc__)
    options.add_argument("--short", action="store_true", help="small cases, several at once: at most six minutes on two cores")
    options.add_argument("--only", nargs="*", default=[""], help="cases whose DAG's name has one of these")
    options.add_argument("--keep", type=Path, help="a new directory that stays, with all logs")
    chosen = options.parse_args()
    try:
        check_packages()
    except MissingPackageError as error:
        print(error)
        return NOT_HERE
    if not PLATFORM_HAS_IT:
        print("the cluster needs x86-64 Linux: the package milvus==2.3.5 exists for nothing else.")
        return NOT_HERE
    acts = [
        (disturb, [case for case in cases if any(part in case.dag_id for part in chosen.only)])
        for disturb, cases in (_short() if chosen.short else _long())
    ]
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="milvus-cluster-", ignore_cleanup_errors=True) as directory:
            return run([act for act in acts if act[1]], chosen.keep or Path(directory))
    except (RuntimeError, TimeoutError) as error:
        print(f"\nFAILED: {error}")
        return 1
    except KeyboardInterrupt:
        print("\nStopped; nothing is left running.")
        return 130


if __name__ == "__main__":
    sys.exit(main())
