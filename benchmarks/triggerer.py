"""What a thousand deferred tasks cost a real ``airflow triggerer``, and how late they are resumed; beside a naive trigger.

Run with ``python -m benchmarks.triggerer``, or with ``--waits 200``. Each run has a fresh Airflow on SQLite, whose mapped tasks
are put into the database as deferred: a worker for each would take longer than what is measured. Then a triggerer starts.
After its steady state was measured all collections become Loaded at once, and a task counts as resumed when the triggerer has
handed it back to the scheduler. What a triggerer costs without a trigger is taken off. The naive trigger makes a pymilvus
``AsyncMilvusClient`` of its own and asks for the load state every few seconds, without any deadline.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from benchmarks.machine import machine
from benchmarks.stand_in import StandIn, stand_in
from dev.local_airflow import LocalAirflow

PATIENCE = 600.0
POLLS = 6
"""Polls of the steady state that are measured."""
SETTLE = 3
"""Polls before it."""

DAG = """
from datetime import datetime
from airflow.providers.common.compat.sdk import DAG, BaseOperator

class Wait(BaseOperator):
    def __init__(self, *, number, **kwargs):
        super().__init__(**kwargs)
        self.number = number

    def execute(self, context, event=None):
        pass

with DAG(dag_id="waits", schedule=None, start_date=datetime(2026, 1, 1)):
    Wait.partial(task_id="wait").expand(number=list(range({waits})))
"""
DEFER = """
import json, sys
from airflow.models import TaskInstance
from airflow.models.trigger import Trigger
from airflow.utils.session import create_session

with create_session() as session:
    for task in session.query(TaskInstance).filter(TaskInstance.dag_id == "waits"):
        classpath, arguments = json.loads(sys.stdin.readline())
        trigger = Trigger(classpath=classpath, kwargs=arguments)
        session.add(trigger)
        session.flush()
        task.state, task.trigger_id, task.next_method = "deferred", trigger.id, "execute"
"""


class NaiveTrigger(BaseTrigger):
    """What is written first."""

    def __init__(self, collection_name: str, poll: float) -> None:
        super().__init__()
        self.collection_name, self.poll = collection_name, poll

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return "benchmarks.triggerer.NaiveTrigger", {"collection_name": self.collection_name, "poll": self.poll}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        from pymilvus import AsyncMilvusClient

        client = AsyncMilvusClient(json.loads(os.environ["AIRFLOW_CONN_MILVUS_DEFAULT"])["extra"]["uri"], dedicated=True)
        while str((await client.get_load_state(self.collection_name))["state"]) != "Loaded":  # noqa: ASYNC110, naive
            await asyncio.sleep(self.poll)
        await client.close()
        yield TriggerEvent({"state": "Loaded"})  # type: ignore[no-untyped-call]


def of_provider(name: str, poll: float) -> BaseTrigger:
    from airflow_provider_milvus.conditions import LoadFinished
    from airflow_provider_milvus.triggers.milvus import MilvusConditionTrigger

    return MilvusConditionTrigger(condition=LoadFinished(name).serialize(), end=time.time() + 3600, poll_interval=poll)


KINDS: dict[str, Callable[[str, float], BaseTrigger]] = {"provider": of_provider, "naive": NaiveTrigger}


class Group:
    """The processes of a command."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._id = process.pid

    def _members(self) -> list[Path]:
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.getpgid(int(place.name)) == self._id:
                    found.append(place)
        return found

    def cpu(self) -> float:
        """Seconds."""
        ticks = 0
        for place in self._members():
            with contextlib.suppress(OSError):
                ticks += sum(map(int, (place / "stat").read_text().rpartition(")")[2].split()[11:13]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """KiB of its own, and its share of what is shared."""
        size = 0
        for place in self._members():
            with contextlib.suppress(OSError):
                lines = (place / "smaps_rollup").read_text().splitlines()
                size += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return size


class Tasks:
    """The tasks of the run, in Airflow's database."""

    def __init__(self, home: Path) -> None:
        self._file = home / "airflow.db"

    def count(self, what: str) -> int:
        with contextlib.closing(sqlite3.connect(self._file, timeout=60)) as database:
            return int(database.execute(f"SELECT count(*) FROM {what}").fetchone()[0])


def wait_until(holds: Callable[[], bool], pause: float = 0.2) -> None:
    give_up = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > give_up:
            raise TimeoutError("the triggerer does not get there")
        time.sleep(pause)


def play(kind: str, waits: int, poll: float, server: StandIn, home: Path) -> dict[str, Any]:
    """``kind`` empty: a triggerer without a trigger."""
    (home / "dags").mkdir()
    (home / "dags" / "waits.py").write_text(DAG.format(waits=waits))
    airflow = LocalAirflow(home, dags=home / "dags", connections={"milvus_default": {"uri": server.uri}})
    airflow.migrate()
    if kind:
        for command in (("dags", "reserialize"), ("dags", "trigger", "waits")):
            with airflow.started(*command) as process:
                airflow.finish(process)
        server.ask(f"[server.add(f'docs_{{number}}', loading(40)) for number in range({waits})] and None")
        triggers = [KINDS[kind](f"docs_{number}", poll).serialize() for number in range(waits)]
        lines = "".join(f"{json.dumps(trigger)}\n" for trigger in triggers)
        subprocess.run([sys.executable, "-c", DEFER], input=lines.encode(), env=airflow.environment, check=True)
    tasks, told = Tasks(home), dict[str, Any]()
    with airflow.started("triggerer", "--capacity", str(2 * waits)) as process:
        group = Group(process)
        wait_until(lambda: tasks.count("job WHERE job_type = 'TriggererJob' AND state = 'running'") == 1)
        if kind:
            wait_until(lambda: tasks.count("trigger WHERE triggerer_id IS NOT NULL") == waits)
        time.sleep(SETTLE * poll)
        told["start"], before = group.cpu(), server.calls()
        since = time.monotonic()
        time.sleep(POLLS * poll)
        told["steady"] = (group.cpu() - told["start"]) / (time.monotonic() - since)
        told["memory"] = group.memory()
        after = server.calls()
        told["calls"] = {name: count / POLLS for name, count in (after - before).items()}
        told["connects"] = after["Connect"]
        if kind:
            server.ask("[each.become([LOADED]) for each in server.collections.values()] and None")
            loaded, delays = time.monotonic(), list[float]()
            still = "task_instance WHERE state = 'deferred'"

            def all_resumed() -> bool:
                resumed = waits - tasks.count(still)
                delays.extend([time.monotonic() - loaded] * (resumed - len(delays)))
                return resumed == waits

            wait_until(all_resumed)
            told["p50"], told["p99"] = delays[waits // 2], delays[int(waits * 0.99)]
    return told


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--waits", type=int, default=1000)
    options.add_argument("--poll", type=float, default=5.0)
    options.add_argument("--only", choices=sorted(KINDS))
    chosen = options.parse_args()
    print(machine())
    print(f"{chosen.waits} deferred tasks, a poll every {chosen.poll:g} s, an airflow triggerer each")
    idle: dict[str, Any] = {}
    for kind in ["", *([chosen.only] if chosen.only else KINDS)]:
        with stand_in() as server, tempfile.TemporaryDirectory() as home:
            told = play(kind, chosen.waits, chosen.poll, server, Path(home))
        if not kind:
            idle = told
            used = f"{told['start']:.1f} s of CPU to start, {told['steady']:.1%} of a core, {told['memory'] / 1024:.0f} MiB"
            print(f"without a trigger: {used}")
            continue
        calls = ", ".join(f"{count:.1f} {name}" for name, count in told["calls"].items()) or "none"
        start, steady = told["start"] - idle["start"], told["steady"] - idle["steady"]
        memory = (told["memory"] - idle["memory"]) / chosen.waits
        print(
            f"{kind}, over that: start {start:.1f} s of CPU; steady {steady:.1%} of a core; {memory:.1f} KiB a wait; "
            f"{told['connects']} Connects; a poll: {calls}; "
            f"resumed p50 {told['p50']:.1f} s, p99 {told['p99']:.1f} s after Loaded"
        )


if __name__ == "__main__":
    main()
