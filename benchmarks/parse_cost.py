"""What importing a provider adds to the parsing of a DAG file, beyond Airflow's own base classes.

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
    "milvus (all modules)": [
        "airflow_provider_milvus.hooks.milvus",
        "airflow_provider_milvus.operators.bulk_import",
        "airflow_provider_milvus.operators.collection",
        "airflow_provider_milvus.operators.data",
        "airflow_provider_milvus.operators.maintenance",
        "airflow_provider_milvus.operators.memory",
        "airflow_provider_milvus.operators.memory_report",
        "airflow_provider_milvus.operators.window",
        "airflow_provider_milvus.sensors.demand",
        "airflow_provider_milvus.sensors.milvus",
        "airflow_provider_milvus.triggers.milvus",
        "airflow_provider_milvus.triggers.milvus",
    ],
    "weaviate (operators)": ["airflow.providers.weaviate.operators.weaviate"],
    "qdrant (operators)": ["airflow.providers.qdrant.operators.qdrant"],
    "pinecone (operators)": ["airflow.providers.pinecone.operators.pinecone"],
    "import pymilvus": ["pymilvus"],
}

MEASURE = """
import importlib, json, sys, time
from airflow.providers.common.compat.sdk import BaseHook, BaseOperator, BaseSensorOperator, conf
from airflow.triggers.base import BaseTrigger, TriggerEvent
before = set(sys.modules)
began = time.perf_counter()
try:
    for module in sys.argv[1:]:
        importlib.import_module(module)
except ImportError as error:
    print(json.dumps({"missing": str(error)}))
else:
    print(json.dumps({"ms": (time.perf_counter() - began) * 1000, "new": sorted(set(sys.modules) - before)}))
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
    print(f"{'provider':24}{'median ms':>10}{'min':>8}{'max':>8}  brings in")
    for provider, modules in PROVIDERS.items():
        if "missing" in (first := measured(modules)):
            print(f"{provider:24}{'not installed':>10}  {first['missing']}")
            continue
        figures = [float(str(measured(modules)["ms"])) for _ in range(RUNS)]
        heavy = [each for each in HEAVY if each in list(map(str, first["new"]))]  # type: ignore[call-overload]
        print(
            f"{provider:24}{statistics.median(figures):10.0f}{min(figures):8.0f}{max(figures):8.0f}  "
            f"{', '.join(heavy) or 'none of ' + ', '.join(HEAVY)}"
        )


if __name__ == "__main__":
    main()
