"""What an operator costs over the same calls of raw pymilvus, on the real Milvus 2.3.5, in one run.

Run with ``python -m benchmarks.overhead``. One collection is released and loaded again, by pymilvus's own client, kept open,
and by the operators, each of which opens and closes a client of its own, looks before and after, and watches. They take
turns in changing order, after a random pause that is the same for both: the server works in steps of 0.2 to 1 s, so the
pause decides how long a call takes. Those steps are most of the spread, so each call is also made again when there is
nothing left to do, which shows the operator's own cost alone. The goal is at most 5 % or 20 ms more, whichever is larger.
"""

from __future__ import annotations

import collections
import json
import logging
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROUNDS = 20
ROWS = 2_000
DIMENSION = 64
NAME = "overhead"


def seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        os.environ.setdefault("AIRFLOW_HOME", directory)
        os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "ERROR")
        measure(Path(directory))


def measure(directory: Path) -> None:
    from airflow_provider_milvus.operators.milvus import MilvusLoadCollectionOperator, MilvusReleaseCollectionOperator
    from airflow_provider_milvus.protocol.lazy_pymilvus import import_pymilvus
    from benchmarks.machine import machine
    from dev.servers.standalone import standalone_server

    logging.disable(logging.WARNING)
    print(machine())
    pymilvus = import_pymilvus()
    with standalone_server(directory / "milvus") as server:
        os.environ["AIRFLOW_CONN_MILVUS_DEFAULT"] = json.dumps({"conn_type": "milvus", "extra": {"uri": server.uri}})
        raw = pymilvus.MilvusClient(server.uri, timeout=10, dedicated=True)
        create(raw, pymilvus)
        release = MilvusReleaseCollectionOperator(task_id="release", collection_name=NAME)
        load = MilvusLoadCollectionOperator(task_id="load", collection_name=NAME)
        figures: dict[str, list[float]] = collections.defaultdict(list)
        ways: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "raw": (lambda: raw.release_collection(NAME, timeout=60), lambda: raw.load_collection(NAME, timeout=60)),
            "operator": (lambda: release.execute({}), lambda: load.execute({})),
        }
        dice = random.Random(0)
        for _ in range(ROUNDS):
            pauses = (dice.random(), dice.random())
            for who in dice.sample(sorted(ways), k=len(ways)):
                for what, action, pause in zip(("release", "load"), ways[who], pauses, strict=True):
                    time.sleep(pause)
                    figures[f"{who} {what}"].append(seconds(action))
                    figures[f"{who} {what}, done already"].append(seconds(action))
        raw.close()
    medians = {what: statistics.median(each) for what, each in figures.items()}
    for what, each in figures.items():
        print(f"{what:32} median {medians[what] * 1000:7.0f} ms   min {min(each) * 1000:7.0f}   max {max(each) * 1000:7.0f}")
    for what in ("release", "load", "release, done already", "load, done already"):
        base, ours = medians[f"raw {what}"], medians[f"operator {what}"]
        allowed = max(base * 0.05, 0.020)
        verdict = "within the goal" if ours - base <= allowed else "BEYOND the goal"
        print(f"{what}: {(ours - base) * 1000:+.0f} ms ({ours / base:.3f} x), {verdict} of {allowed * 1000:.0f} ms")


def create(client: object, pymilvus: object) -> None:
    from typing import Any

    milvus: Any = client
    types: Any = pymilvus
    schema = milvus.create_schema()
    schema.add_field("id", types.DataType.INT64, is_primary=True)
    schema.add_field("vector", types.DataType.FLOAT_VECTOR, dim=DIMENSION)
    index = milvus.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="L2")
    milvus.create_collection(NAME, schema=schema, index_params=index, timeout=60)
    rows = [{"id": each, "vector": [float(each % 7)] * DIMENSION} for each in range(ROWS)]
    milvus.insert(NAME, rows, timeout=60)
    milvus.flush(NAME, timeout=60)


if __name__ == "__main__":
    main()
