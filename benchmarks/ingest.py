"""Rows per second through ``MilvusUpsertOperator`` against a tuned loop of raw pymilvus, and how much memory it takes.

Run with ``python -m benchmarks.ingest [ROWS]``; 50,000 rows, by default, take some ten minutes. The rows are those of
``dev/sample_rows.py``, dicts with a vector of 384 numbers as a NumPy array, made before any clock runs.

*The loop* is ``MilvusClient.upsert`` over slices of that list, one after the other, as its documentation has it. It is tuned:
the fastest of several slice sizes on the same server is taken. *The operator* has its defaults, and everything it does is
counted: opening a connection of its own, describing the collection, checking each row. Each way writes into a collection that
was just made, is not loaded and has no index; they take turns, in changing order, and the median of the rounds counts.

*Memory* is the peak of a process of its own that upserts a generator's rows, 100,000 and 1,000,000 of them, over the wire to a
server that answers as Milvus does and keeps no row: it is the worker's memory that is asked for.

Beside it, where it is installed, the Qdrant provider's operator ingests the same rows into Qdrant's in-process store. That is
another server, so it shows the order of magnitude and no more. Weaviate has no server that comes as a Python package::

    pip install apache-airflow-providers-qdrant
"""

from __future__ import annotations

import json
import logging
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing.managers import BaseManager
from pathlib import Path
from typing import Any

ROUNDS = 5
SLICES = (500, 1_000, 2_000, 5_000, 10_000)
TUNED_ON = 20_000
FEW, MANY = 100_000, 1_000_000
QDRANT_ROWS = 2_000
NAME = "docs"
GOAL = 0.95


def main() -> None:
    if sys.argv[1:2] == ["--peak"]:
        print(json.dumps(peak_of(int(sys.argv[2]))))
        return
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    with tempfile.TemporaryDirectory() as directory:
        os.environ.setdefault("AIRFLOW_HOME", directory)
        os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "ERROR")
        logging.disable(logging.WARNING)
        measure(Path(directory), count)


def measure(directory: Path, count: int) -> None:
    from benchmarks.machine import machine
    from dev.sample_rows import rows
    from dev.servers.lite import lite_server
    from dev.servers.standalone import standalone_server

    print(machine(), flush=True)
    given = rows(0, count)
    with standalone_server(directory / "milvus") as server:
        speed("Milvus 2.3.5", server.uri, given)
    with lite_server(directory / "lite") as lite:
        speed("Milvus Lite", lite.uri, given)
    memory()
    qdrant(given[:QDRANT_ROWS])
    print("Weaviate: cannot run here, it has no server that comes as a Python package")


def speed(what: str, uri: str, given: list[dict[str, Any]]) -> None:
    from airflow_provider_milvus.operators.milvus import MilvusUpsertOperator
    from airflow_provider_milvus.protocol.lazy_pymilvus import import_pymilvus

    client = import_pymilvus().MilvusClient(uri, timeout=120, dedicated=True)
    connect(uri)
    operator = MilvusUpsertOperator(task_id="ingest", collection_name=NAME, rows=given)

    def loop(some: Sequence[dict[str, Any]], size: int) -> None:
        written = sum(
            client.upsert(NAME, some[at : at + size], timeout=120)["upsert_count"] for at in range(0, len(some), size)
        )
        expect(written, len(some))

    tuned = {}
    for size in SLICES:
        make(client)
        tuned[size] = seconds(lambda size=size: loop(given[:TUNED_ON], size))
    best = min(tuned, key=lambda size: tuned[size])
    told = ", ".join(f"{size}: {TUNED_ON / took:,.0f}" for size, took in tuned.items())
    print(f"{what}: the loop's rows/s by slice size: {told}; taken: {best}", flush=True)
    ways: dict[str, Callable[[], object]] = {
        "tuned pymilvus loop": lambda: loop(given, best),
        "MilvusUpsertOperator": lambda: expect(operator.execute({})["written"], len(given)),
    }
    took: dict[str, list[float]] = {way: [] for way in ways}
    dice = random.Random(0)
    for _ in range(ROUNDS):
        for way in dice.sample(sorted(ways), k=len(ways)):
            make(client)
            took[way].append(seconds(ways[way]))
    rates = {way: len(given) / statistics.median(each) for way, each in took.items()}
    for way, each in took.items():
        slowest, fastest = len(given) / max(each), len(given) / min(each)
        print(f"{what}: {way:24} median {rates[way]:8,.0f} rows/s   {slowest:8,.0f} to {fastest:8,.0f}", flush=True)
    ratio = rates["MilvusUpsertOperator"] / rates["tuned pymilvus loop"]
    print(f"{what}: {ratio:.2f} x, {'within' if ratio >= GOAL else 'BEYOND'} the goal of {GOAL} x", flush=True)
    client.drop_collection(NAME)
    client.close()


def make(client: Any) -> None:
    from pymilvus import DataType

    from dev.sample_rows import SCHEMA

    client.drop_collection(NAME)
    schema = client.create_schema()
    for field in SCHEMA["fields"]:
        more = {key: value for key, value in field.items() if key not in ("name", "type", "description")}
        schema.add_field(field["name"], getattr(DataType, field["type"]), **more)
    client.create_collection(NAME, schema=schema)


def memory() -> None:
    with _Apart() as apart:
        sink = apart.sink()  # type: ignore[attr-defined]
        connect(sink.uri())
        peaks = {}
        for count in (FEW, MANY):
            told = run([sys.executable, "-m", "benchmarks.ingest", "--peak", str(count)])
            expect(sink.rows(), count)
            peaks[count] = told["peak_kib"]
            print(
                f"peak memory with {count:9,} rows: {told['peak_kib'] / 1024:.0f} MiB (before the first row "
                f"{told['before_kib'] / 1024:.0f} MiB), {count / told['seconds']:,.0f} rows/s",
                flush=True,
            )
    more = peaks[MANY] / peaks[FEW] - 1
    print(f"ten times the rows: {more:+.1%} memory, {'flat' if more < 0.05 else 'NOT flat'}", flush=True)


def peak_of(count: int) -> dict[str, float]:
    from airflow_provider_milvus.operators.milvus import MilvusUpsertOperator
    from dev.sample_rows import stream

    logging.disable(logging.WARNING)
    few = {"collection_name": NAME, "timeout": 3600}
    expect(MilvusUpsertOperator(task_id="warm", rows=lambda: stream(1), **few).execute({})["written"], 1)
    before = high_water()
    operator = MilvusUpsertOperator(task_id="ingest", rows=lambda: stream(count), **few)
    took = seconds(lambda: expect(operator.execute({})["written"], count))
    return {"peak_kib": high_water(), "before_kib": before, "seconds": took}


def high_water() -> int:
    """The most memory that this process has had resident, in KiB."""
    status = Path("/proc/self/status")
    if status.exists():
        # Unlike ru_maxrss, it does not begin with what the parent process had.
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())[0])
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


class Sink:
    """Answers as Milvus does, counts the rows it gets since it was last asked, and keeps none."""

    def __init__(self) -> None:
        from dev.sample_rows import SCHEMA
        from dev.servers.scripted import LOADED, ScriptedMilvus, collection_schema

        self._rows = 0
        self._milvus = ScriptedMilvus()
        self._milvus.add(NAME, LOADED, schema=collection_schema(NAME, SCHEMA))
        self._milvus.always("Upsert", self._take)
        self._milvus.start()

    def _take(self, server: Any, request: Any, context: Any) -> dict[str, Any]:
        server.calls.clear()
        if request.num_rows > 1:  # A single one only warms up.
            self._rows += request.num_rows
        return {"upsert_cnt": request.num_rows}

    def uri(self) -> str:
        return self._milvus.uri

    def rows(self) -> int:
        rows, self._rows = self._rows, 0
        return rows


class _Apart(BaseManager):
    pass


_Apart.register("sink", Sink)


def qdrant(given: list[dict[str, Any]]) -> None:
    try:
        from airflow.providers.qdrant.operators.qdrant import QdrantIngestOperator
        from qdrant_client import QdrantClient, models
    except ImportError as error:
        print(f"Qdrant: not installed ({error})")
        return
    ingest = QdrantIngestOperator(
        task_id="ingest",
        collection_name=NAME,
        ids=[row["id"] for row in given],
        vectors=[row["vector"].tolist() for row in given],
        payload=[{name: value for name, value in row.items() if name not in ("id", "vector")} for row in given],
    )
    ingest.hook.conn = QdrantClient(":memory:")
    ingest.hook.conn.create_collection(NAME, models.VectorParams(size=len(given[0]["vector"]), distance=models.Distance.COSINE))
    took = seconds(lambda: ingest.execute({}))
    expect(ingest.hook.conn.count(NAME).count, len(given))
    print(f"Qdrant: QdrantIngestOperator, {len(given):,} rows into its in-process store: {len(given) / took:,.0f} rows/s")


def connect(uri: str) -> None:
    os.environ["AIRFLOW_CONN_MILVUS_DEFAULT"] = json.dumps({"conn_type": "milvus", "extra": {"uri": uri}})


def run(command: Sequence[str]) -> dict[str, Any]:
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{finished.stderr[-2000:]}")
    told: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return told


def seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def expect(rows: int, count: int) -> None:
    if rows != count:
        raise RuntimeError(f"{rows} rows were written instead of {count}")


if __name__ == "__main__":
    main()
