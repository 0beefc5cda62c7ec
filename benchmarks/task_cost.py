"""What one release costs in a process of its own, over Airflow's base classes: CPU and memory, beside raw pymilvus.

Run with ``python -m benchmarks.task_cost``. Three programs take turns, each in a fresh process: one imports Airflow's base
classes and reads the connection; one releases with pymilvus (the load state, the release, the load state); one executes the
operator, with all its looks. What the first needs is taken from the others. The goals: at most 0.35 of pymilvus's CPU, and at
most 0.25 of its memory.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile

from benchmarks.figures import Figure, table
from benchmarks.machine import machine
from benchmarks.stand_in import stand_in

RUNS = 9
GOALS = {"CPU": 0.35, "memory": 0.25}

BASE = """
import json, resource
from airflow.providers.common.compat.sdk import BaseHook, BaseOperator
from airflow.triggers.base import BaseTrigger, TriggerEvent
address = json.loads(BaseHook.get_connection("milvus_default").extra)["uri"]
"""
PROGRAMS = {
    "base": BASE,
    "pymilvus": BASE
    + """
from pymilvus import MilvusClient
client = MilvusClient(address, timeout=10)
client.get_load_state("docs")
client.release_collection("docs")
client.get_load_state("docs")
client.close()
""",
    "operator": BASE
    + """
from airflow_provider_milvus.operators.milvus import MilvusReleaseCollectionOperator
MilvusReleaseCollectionOperator(task_id="release", collection_name="docs").execute({})
""",
}
TELL = """
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"CPU": used.ru_utime + used.ru_stime, "memory": used.ru_maxrss / 1024}))
"""


def measured(program: str, environment: dict[str, str]) -> dict[str, float]:
    command = [sys.executable, "-c", program + TELL]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def figures() -> list[Figure]:
    with stand_in() as server, tempfile.TemporaryDirectory() as home:
        environment = {
            **{key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"},
            "AIRFLOW_HOME": home,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW_CONN_MILVUS_DEFAULT": json.dumps({"conn_type": "milvus", "extra": {"uri": server.uri}}),
        }
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in PROGRAMS}
        for turn in range(RUNS + 1):
            for name, program in PROGRAMS.items():
                server.ask("server.add('docs', LOADED) and None")
                before = server.calls()
                told = measured(program, environment)
                if turn:
                    # The first one writes the bytecode.
                    runs[name].append({**told, "calls": (server.calls() - before).total()})
    told_of = {}
    for measure in ("CPU", "memory", "calls"):
        medians = {name: statistics.median(run[measure] for run in runs[name]) for name in PROGRAMS}
        told_of[measure] = [medians[name] - medians["base"] for name in ("operator", "pymilvus")]
    units = {"CPU": "s", "memory": "MiB", "calls": ""}
    return [
        Figure("a release", measure, units[measure], ours, "pymilvus", theirs, GOALS.get(measure))
        for measure, (ours, theirs) in told_of.items()
    ]


if __name__ == "__main__":
    print(machine(), table(figures()), sep="\n")
