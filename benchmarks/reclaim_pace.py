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
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.figures import Figure, table
from benchmarks.machine import machine
from benchmarks.reclaim_ways import PREFIX
from benchmarks.stand_in import StandIn, stand_in
from dev.servers.pages import Answer, pages_server

CASES: Sequence[tuple[float, int, float, int]] = ((0.0, 2_000, 2.0, 3), (0.02, 2_000, 1.2, 3), (0.2, 400, 1.2, 1))
"""Seconds a call, collections, the goal, and pairs of runs."""
WAYS = ("threads", "operator")
REPORTED = 5_000


def run(way: str, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.reclaim_ways", way, *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    if finished.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{finished.stderr[-2000:]}")
    told: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return told


def fill(server: StandIn, count: int) -> None:
    server.ask(
        f"server.collections.clear() or [server.add(f'{PREFIX}{{each:05}}', LOADED) for each in range({count})] and None"
    )


def compare(server: StandIn, latency: float, count: int, goal: float, pairs: int) -> Iterator[Figure]:
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
            runs[way].append({**told, "calls": (server.calls() - before).total() / count})
    what = f"reclaim of {count:,}, {1000 * latency:g} ms a call"
    for measure, unit in (("wall", "s"), ("cpu", "s"), ("calls", "")):
        theirs, ours = (statistics.median(told[measure] for told in runs[way]) for way in WAYS)
        name, limit = (measure, goal) if measure == "wall" else (measure.replace("cpu", "CPU"), None)
        words = f"{what}, of each" if measure == "calls" else what
        yield Figure(words, name, unit, ours, "sixteen threads", theirs, limit)


def report(server: StandIn) -> Figure:
    """The memory report of collections whose sizes the metrics have."""
    server.ask("setattr(server, 'latency', 0.0)")
    fill(server, REPORTED)
    held = server.ask("[collection.number for collection in server.collections.values()]")
    labels = [f'{{collection_id="{number}",node_id="1",segment_state="Sealed"}}' for number in held]
    lines = (f"milvus_querynode_entity_size{each} 1048576" for each in labels)
    rows = (f"milvus_querynode_entity_num{each} 1000" for each in labels)
    with pages_server() as pages:
        pages.at["/metrics"] = Answer("\n".join(['milvus_num_node{role_name="querynode"} 1', *lines, *rows, ""]))
        before = server.calls()
        run("report", server.uri, f"{pages.url}/metrics")
        calls = (server.calls() - before).total()
    return Figure(f"memory report of {REPORTED:,}", "calls", "", calls, goal=1_000)


def figures() -> list[Figure]:
    with tempfile.TemporaryDirectory() as home, stand_in() as server:
        os.environ["AIRFLOW_HOME"] = home
        compared = [figure for case in CASES for figure in compare(server, *case)]
        return [*compared, report(server)]


if __name__ == "__main__":
    print(machine(), table(figures()), sep="\n")
