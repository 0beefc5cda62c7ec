"""The ways to release many collections that ``benchmarks.reclaim_scale`` compares, each in a process of its own.

Run with ``python -m benchmarks.reclaim_ways WAY URI [COLLECTION]``. Each imports Airflow's base classes first, as any task
does. The last line that it prints is JSON: ``airflow``, the CPU seconds of that import; ``cpu`` and ``wall``, the seconds of
all that followed; ``peak``, the most memory the process has had, in bytes; ``released``, how many collections it says it has
released.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
import time
from typing import Any

PREFIX = "scale_"
PATIENCE = 120.0
"""Seconds for one call of raw pymilvus: a queue of releases is long."""


def operator(uri: str) -> int:
    return int(_reclaim(uri, dry_run=False)["totals"]["released"])


def plan(uri: str) -> int:
    """The inventory and what follows from it; nothing is released."""
    _reclaim(uri, dry_run=True)
    return 0


def report(uri: str, metrics_url: str) -> int:
    """The memory report; nothing is released."""
    _connect(uri, metrics_url=metrics_url)
    from airflow_provider_milvus.operators.milvus import MilvusMemoryReportOperator

    MilvusMemoryReportOperator(task_id="report").execute({})
    return 0


def _connect(uri: str, **extra: str) -> None:
    os.environ["AIRFLOW_CONN_MILVUS_DEFAULT"] = json.dumps({"conn_type": "milvus", "extra": {"uri": uri, **extra}})


def _reclaim(uri: str, *, dry_run: bool) -> dict[str, Any]:
    _connect(uri)
    from airflow_provider_milvus.operators.milvus import MilvusReclaimMemoryOperator

    return MilvusReclaimMemoryOperator(task_id="reclaim", collections=f"{PREFIX}*", dry_run=dry_run).execute({})  # type: ignore[return-value]


def loop(uri: str) -> int:
    """What a DAG author writes who uses pymilvus alone."""
    from pymilvus import MilvusClient

    client, released = MilvusClient(uri), 0
    for name in client.list_collections(timeout=PATIENCE):
        if str(client.get_load_state(name, timeout=PATIENCE)["state"]) == "Loaded":
            client.release_collection(name, timeout=PATIENCE)
            released += 1
    return released


def threads(uri: str) -> int:
    """The same by sixteen threads at once."""
    from concurrent.futures import ThreadPoolExecutor

    from pymilvus import MilvusClient

    client = MilvusClient(uri)

    def release(name: str) -> int:
        if str(client.get_load_state(name, timeout=PATIENCE)["state"]) != "Loaded":
            return 0
        client.release_collection(name, timeout=PATIENCE)
        return 1

    with ThreadPoolExecutor(16) as pool:
        return sum(pool.map(release, client.list_collections(timeout=PATIENCE)))


def task(uri: str, name: str) -> int:
    """One mapped task."""
    from pymilvus import MilvusClient

    MilvusClient(uri).release_collection(name, timeout=PATIENCE)
    return 1


def peak() -> int:
    # macOS counts in bytes, Linux in KiB.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    way, *arguments = sys.argv[1:]
    from airflow.providers.common.compat.sdk import BaseOperator  # noqa: F401

    logging.disable(logging.WARNING)
    airflow, began = time.process_time(), time.perf_counter()
    released = {each.__name__: each for each in (operator, plan, report, loop, threads, task)}[way](*arguments)
    wall, cpu = time.perf_counter() - began, time.process_time() - airflow
    print(json.dumps({"airflow": airflow, "cpu": cpu, "wall": wall, "peak": peak(), "released": released}))


if __name__ == "__main__":
    main()
