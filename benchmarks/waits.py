"""What many deferred waits cost a triggerer: CPU, memory, calls, and how late they end; beside a naive trigger.

Run with ``python -m benchmarks.waits``, or with ``--waits 5000 --poll 5``. The triggers run in one process and event loop, as
in a triggerer, each for a collection of its own which is loading; the stand-in runs in another one. After the steady state was
measured all collections become Loaded at once, or with ``--spread 60`` one after the other within a minute, as a server loads
them. The naive trigger makes a pymilvus ``AsyncMilvusClient`` of its own and asks for the load state every few seconds, without
any deadline. The goals for 1,000 waits at 5 s: at most 1.5 % of a core, 10 KiB a wait, one call a poll, one Connect, and an end
at most a poll and a second late.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure
from benchmarks.machine import machine
from benchmarks.stand_in import StandIn, stand_in

POLLS = 4
"""Polls of the steady state that are measured."""
SETTLE = 2
"""Polls before it."""


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def resident() -> float:
    """KiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024


def of_provider(name: str, poll: float) -> Awaitable[Any]:
    from airflow_provider_milvus.conditions import LoadFinished
    from airflow_provider_milvus.triggers.milvus import MilvusConditionTrigger

    condition = LoadFinished(name).serialize()
    trigger = MilvusConditionTrigger(condition=condition, end=time.time() + 3600, poll_interval=poll)
    return anext(trigger.run())  # type: ignore[call-overload,no-any-return]


async def naive(name: str, poll: float) -> None:
    from pymilvus import AsyncMilvusClient

    client = AsyncMilvusClient(json.loads(os.environ["AIRFLOW_CONN_MILVUS_DEFAULT"])["extra"]["uri"], dedicated=True)
    while str((await client.get_load_state(name))["state"]) != "Loaded":  # noqa: ASYNC110, naive
        await asyncio.sleep(poll)
    await client.close()


KINDS: dict[str, Callable[[str, float], Awaitable[Any]]] = {"provider": of_provider, "naive": naive}


async def one(kind: str, number: int, poll: float, ended: dict[int, float]) -> None:
    await KINDS[kind](f"docs_{number}", poll)
    ended[number] = time.monotonic()


async def become_loaded(server: StandIn, waits: int, spread: float) -> list[float]:
    """When each of them was."""
    moments: list[float] = []
    steps = max(1, round(10 * spread))
    for step in range(1, steps + 1):
        first, last = len(moments), waits * step // steps
        server.ask(f"[server.collections[f'docs_{{number}}'].become([LOADED]) for number in range({first}, {last})] and None")
        moments += [time.monotonic()] * (last - first)
        await asyncio.sleep(0.1)
    return moments


async def play(kind: str, waits: int, poll: float, spread: float, server: StandIn) -> dict[str, Any]:
    server.ask(f"[server.add(f'docs_{{number}}', loading(40)) for number in range({waits})] and None")
    ended: dict[int, float] = {}
    # What is imported, and connected, is not a wait's.
    first = asyncio.create_task(one(kind, 0, poll, {}))
    await asyncio.sleep(poll)
    gc.collect()
    memory, began, calls = resident(), cpu(), server.calls()
    tasks = [asyncio.create_task(one(kind, number, poll, ended)) for number in range(waits)]
    await asyncio.sleep(SETTLE * poll)
    gc.collect()
    told: dict[str, Any] = {"start": cpu() - began, "memory": (resident() - memory) / waits}
    began, since, before, lags = cpu(), time.monotonic(), server.calls(), []
    while time.monotonic() - since < POLLS * poll:
        asked = time.monotonic()
        await asyncio.sleep(0.1)
        lags.append(time.monotonic() - asked - 0.1)
    after = server.calls()
    told["steady"] = (cpu() - began) / (time.monotonic() - since)
    told["lag"] = max(lags)
    told["calls"] = {name: count / POLLS for name, count in (after - before).items()}
    told["connects"] = after["Connect"] - calls["Connect"] + 1
    loaded = await become_loaded(server, waits, spread)
    _, late = await asyncio.wait([first, *tasks], timeout=poll * 4 + 60)
    told["ended"] = len(ended)
    delays = sorted(moment - loaded[number] for number, moment in ended.items())
    told["p50"], told["p99"] = statistics.median(delays), delays[int(len(delays) * 0.99)]
    for task in late:
        task.cancel()
    return told


def measured(kind: str, waits: int, poll: float, spread: float = 0.0) -> dict[str, Any]:
    """In a fresh process."""
    command = [sys.executable, "-m", "benchmarks.waits", "--play", kind]
    options = ["--waits", str(waits), "--poll", str(poll), "--spread", str(spread)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    if done.returncode:
        return {"error": done.stderr.splitlines()[-1] if done.stderr else f"exit {done.returncode}"}
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def figures(waits: int = 1000, poll: float = 5.0) -> list[Figure]:
    ours, naive = (measured(kind, waits, poll) for kind in KINDS)
    what = f"{waits:,} waits, a poll every {poll:g} s"
    a_poll = [sum(told["calls"].values()) for told in (ours, naive)]
    return [
        Figure(f"{what}, start", "CPU", "s", ours["start"], "naive trigger", naive["start"]),
        Figure(f"{what}, steady", "CPU", "% of a core", 100 * ours["steady"], "naive trigger", 100 * naive["steady"]),
        Figure(f"{what}, of each", "memory", "KiB", ours["memory"], "naive trigger", naive["memory"]),
        Figure(f"{what}, a poll", "calls", "", a_poll[0], "naive trigger", a_poll[1]),
        Figure(f"{what}, Connect", "calls", "", ours["connects"], "naive trigger", naive["connects"]),
        Figure(f"{what}, ended after Loaded (p99)", "wall", "s", ours["p99"], "naive trigger", naive["p99"]),
    ]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--waits", type=int, default=1000)
    options.add_argument("--poll", type=float, default=5.0)
    options.add_argument("--spread", type=float, default=0.0, help="seconds within which the collections become Loaded")
    options.add_argument("--only", choices=sorted(KINDS))
    options.add_argument("--play", choices=sorted(KINDS), help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.play:
        with stand_in() as server, tempfile.TemporaryDirectory() as home:
            os.environ.update(
                AIRFLOW_HOME=home,
                AIRFLOW__LOGGING__LOGGING_LEVEL="ERROR",
                AIRFLOW_CONN_MILVUS_DEFAULT=json.dumps({"conn_type": "milvus", "extra": {"uri": server.uri}}),
            )
            print(json.dumps(asyncio.run(play(chosen.play, chosen.waits, chosen.poll, chosen.spread, server))))
        return
    print(machine())
    within = f"within {chosen.spread:g} s" if chosen.spread else "at once"
    print(f"{chosen.waits} waits, a poll every {chosen.poll:g} s; the collections become Loaded {within}")
    for kind in [chosen.only] if chosen.only else KINDS:
        told = measured(kind, chosen.waits, chosen.poll, chosen.spread)
        if "error" in told:
            print(f"{kind:9} does not work: {told['error']}")
            continue
        calls = ", ".join(f"{count:.1f} {name}" for name, count in told["calls"].items()) or "none"
        print(
            f"{kind:9} start {told['start']:.2f} s of CPU; {told['memory']:.1f} KiB a wait; "
            f"steady {told['steady']:.2%} of a core, lag {told['lag']:.2f} s; {told['connects']} Connects; a poll: {calls}; "
            f"{told['ended']} ended, p50 {told['p50']:.1f} s, p99 {told['p99']:.1f} s after Loaded"
        )


if __name__ == "__main__":
    main()
