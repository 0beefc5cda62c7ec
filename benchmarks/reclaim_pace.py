"""How fast the reclaim is on a fast server: beside sixteen threads of raw pymilvus, which look at a load state and release.

Run with ``python -m benchmarks.reclaim_pace``. The stand-in, in a process of its own, holds 2,000 collections in memory and
answers each call at once, after 20 ms, or after 200 ms (400 collections); both ways release them all, by turns, each in a fresh
process. The goals for the wall time: at most twice that of the threads where calls take no time, and 1.2 times where they do,
although the reclaim makes more calls: it looks before and after each release.

Then the memory report of 5,000 collections, whose sizes the metrics have: at most 1,000 calls.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from benchmarks.machine import machine
from benchmarks.reclaim_ways import PREFIX
from benchmarks.stand_in import StandIn, stand_in

CASES: Sequence[tuple[float, int, float, int]] = ((0.0, 2_000, 2.0, 3), (0.02, 2_000, 1.2, 3), (0.2, 400, 1.2, 1))
"""Seconds a call, collections, the goal, and pairs of runs."""
WAYS = ("threads", "operator")


def run(way: str, uri: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.reclaim_ways", way, uri]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    if finished.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{finished.stderr[-2000:]}")
    told: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return told


def fill(server: StandIn, count: int) -> None:
    server.ask(
        f"server.collections.clear() or [server.add(f'{PREFIX}{{each:05}}', LOADED) for each in range({count})] and None"
    )


def compare(server: StandIn, latency: float, count: int, goal: float, pairs: int) -> None:
    runs: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for _ in range(pairs):
        for way in WAYS:
            server.ask("setattr(server, 'latency', 0.0)")
            fill(server, count)
            server.ask(f"setattr(server, 'latency', {latency})")
            before = server.calls()
            told = run(way, server.uri)
            if told["released"] != count:
                raise RuntimeError(f"{way} released {told['released']} of {count}")
            told["calls"] = (server.calls() - before).total()
            runs[way].append(told)
    print(f"\n{count} collections, {1000 * latency:g} ms a call")
    medians = {way: {key: statistics.median(told[key] for told in runs[way]) for key in runs[way][0]} for way in WAYS}
    for way, told in medians.items():
        calls = told["calls"] / count
        print(f"{way:10} wall {told['wall']:6.1f} s, CPU {told['cpu']:5.2f} s, {calls:.2f} calls a collection", flush=True)
    ratio = medians["operator"]["wall"] / medians["threads"]["wall"]
    print(f"wall {ratio:.2f} x the threads' (goal {goal}): {'within' if ratio <= goal else 'BEYOND'}", flush=True)


def main() -> None:
    print(machine())
    with tempfile.TemporaryDirectory() as home, stand_in() as server:
        os.environ["AIRFLOW_HOME"] = home
        for latency, count, goal, pairs in CASES:
            compare(server, latency, count, goal, pairs)


if __name__ == "__main__":
    main()
