"""What importing a provider adds to the parsing of a DAG file, beyond Airflow's own base classes: CPU, with bytecode, of
all public names and of those that one DAG file imports.

Run with ``python -m benchmarks.parse_cost``. CPU is the median of nine fresh, warm processes; providers take turns. Where
``perf`` can count them, there are millions of instructions too: they tell two providers apart on a machine that is busy.
Other vector databases' providers are measured in the same run where they are installed::

    pip install apache-airflow-providers-weaviate apache-airflow-providers-qdrant apache-airflow-providers-pinecone
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

from benchmarks.figures import Figure
from benchmarks.machine import machine

RUNS = 9
HEAVY = ("pymilvus", "pandas", "numpy", "grpc")

PROVIDERS = {
    "milvus (hook, releases)": ["airflow_provider_milvus.hooks.milvus", "airflow_provider_milvus.operators.memory"],
    "milvus (all names)": [f"airflow_provider_milvus.{door}.milvus" for door in ("hooks", "operators", "sensors", "triggers")],
    "weaviate (operators)": ["airflow.providers.weaviate.operators.weaviate"],
    "qdrant (operators)": ["airflow.providers.qdrant.operators.qdrant"],
    "pinecone (hook, ingest)": ["airflow.providers.pinecone.hooks.pinecone", "airflow.providers.pinecone.operators.pinecone"],
    "import pymilvus": ["pymilvus"],
}

MEASURE = """
import importlib, json, sys, time
from airflow.providers.common.compat.sdk import BaseHook, BaseOperator, BaseSensorOperator, conf
from airflow.triggers.base import BaseTrigger, TriggerEvent
before = set(sys.modules)
began = time.process_time()
try:
    for module in sys.argv[1:]:
        door = importlib.import_module(module)
        [getattr(door, name) for name in dir(door)]
except ImportError as error:
    print(json.dumps({"missing": str(error)}))
else:
    print(json.dumps({"ms": (time.process_time() - began) * 1000, "new": sorted(set(sys.modules) - before)}))
"""


def measured(modules: list[str], counter: tuple[str, ...] = ()) -> dict[str, object]:
    # The first run writes the bytecode that an installed package comes with.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONHASHSEED"] = "0"
    command = [*counter, sys.executable, "-c", MEASURE, *modules]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    answer: dict[str, object] = json.loads(finished.stdout.splitlines()[-1])
    return answer


def instructions(modules: list[str]) -> float | None:
    """Millions of the whole process, without the kernel's: the least of three. ``None`` where they cannot be counted."""
    if not shutil.which("perf"):
        return None
    counts = []
    with tempfile.NamedTemporaryFile("r") as counted:
        for _ in range(3):
            measured(modules, ("perf", "stat", "-x,", "-e", "instructions:u", "-o", counted.name))
            with open(counted.name) as lines:
                told = [line.split(",")[0] for line in lines if "instructions" in line]
            # A virtual machine may not let them be counted.
            counts += [int(count) for count in told if count.isdigit()]
    return min(counts) / 1e6 if counts else None


def figures() -> list[Figure]:
    """Of what one DAG file imports, beside Pinecone's hook and its one operator where they are installed."""
    kinds = {
        "ours": PROVIDERS["milvus (hook, releases)"],
        "all": PROVIDERS["milvus (all names)"],
        "theirs": PROVIDERS["pinecone (hook, ingest)"],
    }
    there = [kind for kind, modules in kinds.items() if "missing" not in measured(modules)]
    runs = [{kind: float(str(measured(kinds[kind])["ms"])) for kind in there} for _ in range(RUNS)]
    medians = {kind: statistics.median(run[kind] for run in runs) for kind in there}
    beside = "Pinecone's provider" if "theirs" in medians else ""
    theirs, goal = medians.get("theirs"), 1.0 if beside else None
    return [
        Figure("parsing, hook and releases", "CPU", "ms", medians["ours"], beside, theirs, goal),
        Figure("parsing, all names", "CPU", "ms", medians["all"], beside, theirs),
    ]


def main() -> None:
    print(machine())
    print(f"{'provider':24}{'CPU ms':>10}{'min':>8}{'max':>8}{'instr.':>8}  brings in")
    first = {provider: measured(modules) for provider, modules in PROVIDERS.items()}
    there = [provider for provider in PROVIDERS if "missing" not in first[provider]]
    # In turn, so that a machine that is busy for a while is so for all.
    runs = [{provider: float(str(measured(PROVIDERS[provider])["ms"])) for provider in there} for _ in range(RUNS)]
    without = instructions([])
    for provider in PROVIDERS:
        if provider not in there:
            print(f"{provider:24}{'not installed':>10}  {first[provider]['missing']}")
            continue
        figures = [run[provider] for run in runs]
        heavy = [library for library in HEAVY if library in list(map(str, first[provider]["new"]))]  # type: ignore[call-overload]
        with_it = instructions(PROVIDERS[provider]) if without is not None else None
        counted = "" if without is None or with_it is None else f"{with_it - without:.1f}"
        print(
            f"{provider:24}{statistics.median(figures):10.1f}{min(figures):8.1f}{max(figures):8.1f}{counted:>8}  "
            f"{', '.join(heavy) or 'none of ' + ', '.join(HEAVY)}"
        )


if __name__ == "__main__":
    main()
