"""What importing a provider adds to the parsing of a DAG file, beyond Airflow's own base classes: CPU, with bytecode, of all
public names.

Run with ``python -m benchmarks.parse_cost``. Each figure is the median of five fresh, warm processes. Other vector databases'
providers are measured in the same run where they are installed::

    pip install apache-airflow-providers-weaviate apache-airflow-providers-qdrant apache-airflow-providers-pinecone
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys

from benchmarks.machine import machine

RUNS = 5
HEAVY = ("pymilvus", "pandas", "numpy", "grpc")

PROVIDERS = {
    "milvus (all names)": [f"airflow_provider_milvus.{door}.milvus" for door in ("hooks", "operators", "sensors", "triggers")],
    "weaviate (operators)": ["airflow.providers.weaviate.operators.weaviate"],
    "qdrant (operators)": ["airflow.providers.qdrant.operators.qdrant"],
    "pinecone (all)": ["airflow.providers.pinecone.hooks.pinecone", "airflow.providers.pinecone.operators.pinecone"],
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


def measured(modules: list[str]) -> dict[str, object]:
    # The first run writes the bytecode that an installed package comes with.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    finished = subprocess.run(
        [sys.executable, "-c", MEASURE, *modules], env=environment, capture_output=True, text=True, check=True
    )
    answer: dict[str, object] = json.loads(finished.stdout.splitlines()[-1])
    return answer


def main() -> None:
    print(machine())
    print(f"{'provider':24}{'CPU ms':>10}{'min':>8}{'max':>8}  brings in")
    for provider, modules in PROVIDERS.items():
        if "missing" in (first := measured(modules)):
            print(f"{provider:24}{'not installed':>10}  {first['missing']}")
            continue
        figures = [float(str(measured(modules)["ms"])) for _ in range(RUNS)]
        heavy = [library for library in HEAVY if library in list(map(str, first["new"]))]  # type: ignore[call-overload]
        print(
            f"{provider:24}{statistics.median(figures):10.1f}{min(figures):8.1f}{max(figures):8.1f}  "
            f"{', '.join(heavy) or 'none of ' + ', '.join(HEAVY)}"
        )


if __name__ == "__main__":
    main()
