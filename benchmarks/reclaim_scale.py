"""What it costs to release many collections: the reclaim operator, a plain loop, and one mapped task for each.

Run with ``python -m benchmarks.reclaim_scale [COUNT]``; it takes ten minutes. First come 2,000 collections, 1,000 of them
loaded, on the server of ``dev/servers/scripted.py``, which releases at once: what is left is the cost of the way itself. Then
``COUNT`` collections (200, which the goals are for) are made on the real Milvus 2.3.5, released, loaded and released again.

Each way runs in fresh processes (``benchmarks/reclaim_ways.py``). Their wall time is from start to end, imports included. Their
CPU includes what Python and Airflow need to start; it is also told without that, since LocalExecutor forks its tasks on Linux.
Of the tasks, one for each collection, only some are run, as many at a time as LocalExecutor was given, and time, CPU and RPCs
are scaled to all. What Airflow's scheduler, API server and database do for each task comes on top and is not counted.

RPCs are what the server received. The scripted one counts them all, the real one's proxy (``milvus_proxy_req_count``) leaves
out Connect, GetVersion and GetMetrics. The server's own time is ``milvus_querycoord_release_latency``, of the same run: Milvus
2.3.5 releases one at a time, and what the proxy says a release took has the wait for those before it in it.
"""

from __future__ import annotations

import collections
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.managers import BaseManager
from pathlib import Path
from typing import Any, Protocol

from benchmarks.machine import machine
from benchmarks.reclaim_ways import PREFIX
from dev.sample_collections import Sample, create
from dev.servers.scripted import LOADED, NOT_LOADED, ScriptedMilvus
from dev.servers.standalone import PLATFORM_HAS_IT, standalone_server

LOADED_COUNT, OTHER_COUNT = 1_000, 1_000
REAL_COUNT = 200
SAMPLE, PARALLEL = 12, 4
AT_ONCE = 20
"""Collections that are created before they are waited for."""
LOAD_PATIENCE = 600.0
MEBI = 1024 * 1024


class Server(Protocol):
    def uri(self) -> str: ...

    def fill(self, loaded: int, others: int = 0) -> None:
        """Have so many collections loaded, and so many others."""

    def received(self) -> dict[str, int]:
        """How many calls of each RPC there were since it was started."""

    def release_seconds(self) -> float:
        """Its own time for all releases since then; 0 where it takes none."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Seconds, counts and bytes. ``server`` is its own time for the releases; ``airflow`` the part of ``cpu`` that Python and
    Airflow need to start; ``peak`` is of the largest process, ``together`` of those that run at a time."""

    wall: float
    server: float
    cpu: float
    airflow: float
    rpcs: dict[str, int]
    peak: int
    together: int

    @property
    def own_cpu(self) -> float:
        return self.cpu - self.airflow

    def times(self, factor: float) -> Figures:
        seconds = {each: getattr(self, each) * factor for each in ("wall", "server", "cpu", "airflow")}
        return replace(self, **seconds, rpcs={name: round(count * factor) for name, count in self.rpcs.items()})

    def __str__(self) -> str:
        return (
            f"{self.wall:9.1f}{self.server:10.1f}{self.cpu:9.1f}{self.own_cpu:17.1f}{sum(self.rpcs.values()):8}"
            f"{self.peak / MEBI:10.0f}{self.together / MEBI:13.0f}"
        )


HEADING = f"{'wall s':>9}{'server s':>10}{'CPU s':>9}{'without Airflow':>17}{'RPCs':>8}{'peak MiB':>10}{'all at once':>13}"


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else REAL_COUNT
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as directory:
        os.environ.setdefault("AIRFLOW_HOME", directory)
        # Servers, and clients that prepare them, are processes of their own: their CPU and memory are not counted.
        with _Apart(ctx=get_context("spawn")) as apart:
            on_scripted_server(apart.scripted())  # type: ignore[attr-defined]
        if PLATFORM_HAS_IT:
            with standalone_server(Path(directory) / "milvus") as real, _Apart(ctx=get_context("spawn")) as apart:
                on_real_server(apart.real(real.uri, real.metrics_url), count)  # type: ignore[attr-defined]


def on_scripted_server(server: Server) -> None:
    print(f"\nThe scripted server, {LOADED_COUNT + OTHER_COUNT} collections, {LOADED_COUNT} of them loaded")
    compare(server, LOADED_COUNT, OTHER_COUNT)
    inventories = []
    for others in (0, 2 * OTHER_COUNT):
        server.fill(LOADED_COUNT, others)
        inventories.append(measured(server, [["plan"]]).rpcs)
    alone, beside = (sum(each.values()) for each in inventories)
    verdict(
        f"RPCs of the inventory of {LOADED_COUNT} loaded: {alone} alone, {beside} beside {2 * OTHER_COUNT} that are not loaded",
        inventories[0] == inventories[1],
        "the same",
    )


def on_real_server(server: Server, count: int) -> None:
    print(f"\nMilvus 2.3.5, {count} collections, all of them loaded")
    found = compare(server, count)
    ours, tasks = found["operator"], found["tasks"]
    ratio = ours.wall / ours.server
    verdict(f"Wall time of the operator: {ratio:.3f} x the server's own for the releases", ratio <= 1.1, "at most 1.1")
    for what, cpu, theirs in (("CPU", ours.cpu, tasks.cpu), ("CPU without Airflow's start", ours.own_cpu, tasks.own_cpu)):
        verdict(f"{what} of the operator: 1/{theirs / cpu:.0f} of that of {count} tasks", theirs >= 50 * cpu, "at most 1/50")


def compare(server: Server, loaded: int, others: int = 0) -> dict[str, Figures]:
    print(f"{'':28}{HEADING}", flush=True)
    found = {}
    for way, what in (("operator", "MilvusReclaimMemoryOperator"), ("loop", "plain pymilvus loop")):
        server.fill(loaded, others)
        found[way] = measured(server, [[way]])
        print(f"{what:28}{found[way]}", flush=True)
    sample = min(SAMPLE, loaded)
    server.fill(sample, others)
    found["tasks"] = measured(server, [["task", name] for name in names(sample)]).times(loaded / sample)
    print(f"{'one mapped task for each':28}{found['tasks']}", flush=True)
    print(f"The tasks are scaled from {sample}, {PARALLEL} at a time. Airflow's scheduler and database come on top.")
    print("All at once: the sum of the peaks of those that run at a time, shared pages counted in each.", flush=True)
    return found


def measured(server: Server, ways: Sequence[Sequence[str]]) -> Figures:
    """Run processes, :data:`PARALLEL` at a time, which release what :meth:`Server.fill` had loaded."""
    received, released_in = server.received(), server.release_seconds()
    uri, cpu, began = server.uri(), cpu_of_children(), time.perf_counter()
    with ThreadPoolExecutor(PARALLEL) as some_at_a_time:
        told = list(some_at_a_time.map(lambda way: run(way[0], uri, *way[1:]), ways))
    wall, cpu = time.perf_counter() - began, cpu_of_children() - cpu
    rpcs = dict(collections.Counter(server.received()) - collections.Counter(received))
    released = sum(each["released"] for each in told)
    if rpcs.get("ReleaseCollection", 0) < released:
        raise RuntimeError(f"{released} collections were said to be released, but the server received {rpcs}")
    airflow, peaks = sum(each["airflow"] for each in told), sorted((each["peak"] for each in told), reverse=True)
    return Figures(wall, server.release_seconds() - released_in, cpu, airflow, rpcs, peaks[0], sum(peaks[:PARALLEL]))


def run(way: str, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.reclaim_ways", way, *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{finished.stderr[-2000:]}")
    told: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return told


def cpu_of_children() -> float:
    """Of the processes that have ended: a server still runs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def names(count: int) -> list[str]:
    return [f"{PREFIX}{each:05}" for each in range(count)]


def verdict(figures: str, holds: bool, goal: str) -> None:
    print(f"{figures}: {'within' if holds else 'BEYOND'} the goal ({goal})", flush=True)


class ScriptedServer:
    def __init__(self) -> None:
        self._milvus = ScriptedMilvus()
        self._milvus.start()

    def uri(self) -> str:
        return self._milvus.uri

    def fill(self, loaded: int, others: int = 0) -> None:
        self._milvus.collections.clear()
        for name in names(loaded):
            self._milvus.add(name, LOADED)
        for each in range(others):
            self._milvus.add(f"other_{each:05}", NOT_LOADED)

    def received(self) -> dict[str, int]:
        return dict(collections.Counter(each.name for each in self._milvus.calls))

    def release_seconds(self) -> float:
        return 0.0


class RealServer:
    """All its collections are loaded by :meth:`fill` or released by who is measured: it has no others."""

    def __init__(self, uri: str, metrics_url: str) -> None:
        self._uri = uri
        self._metrics_url = metrics_url
        self._made = 0

    def uri(self) -> str:
        return self._uri

    def fill(self, loaded: int, others: int = 0) -> None:
        while self._made < loaded:
            progress(f"{self._made} of {loaded} collections are made")
            create(self._uri, [Sample(each, goes=True) for each in names(loaded)[self._made : self._made + AT_ONCE]])
            self._made = min(self._made + AT_ONCE, loaded)
        progress(f"{loaded} collections are being loaded")
        load(self._uri, names(loaded))

    def received(self) -> dict[str, int]:
        counts = self._samples("milvus_proxy_req_count")
        return {each.labels["function_name"]: int(each.value) for each in counts if each.labels["status"] == "total"}

    def release_seconds(self) -> float:
        return sum(float(each.value) for each in self._samples("milvus_querycoord_release_latency_sum")) / 1000

    def _samples(self, name: str) -> list[Any]:
        from prometheus_client.parser import text_string_to_metric_families

        with urllib.request.urlopen(self._metrics_url, timeout=30) as page:
            lines = [line for line in page.read().decode().splitlines() if line.startswith(name)]
        return [sample for family in text_string_to_metric_families("\n".join(lines) + "\n") for sample in family.samples]


def load(uri: str, wanted: Sequence[str]) -> None:
    from pymilvus import MilvusClient

    client = MilvusClient(uri)
    for each in wanted:
        client.load_collection(each, _async=True)
    give_up = time.monotonic() + LOAD_PATIENCE
    while waiting := [each for each in wanted if str(client.get_load_state(each)["state"]) != "Loaded"]:
        if time.monotonic() > give_up:
            raise RuntimeError(f"not loaded after {LOAD_PATIENCE:g} s: {', '.join(waiting)}")
        time.sleep(0.5)


def progress(what: str) -> None:
    print(f"  {time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


class _Apart(BaseManager):
    pass


_Apart.register("scripted", ScriptedServer)
_Apart.register("real", RealServer)


if __name__ == "__main__":
    main()
