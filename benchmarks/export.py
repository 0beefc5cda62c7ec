"""Rows per second out of a collection through ``MilvusExportOperator``, and how much memory it takes.

Run with ``python -m benchmarks.export``; some five minutes. *The speed* is of 100,000 rows of Milvus 2.3.5, with vectors of 384
numbers, into Parquet, beside pymilvus's query iterator, whose rows go into Parquet through pyarrow, 10,000 at a time; they take
turns, and the median of the rounds counts. *Memory* is the peak of a process of its own over what it has after its imports,
with 100,000 and with 1,000,000 rows of a server that answers as Milvus does and makes each page when it is asked for.
"""

from __future__ import annotations

import json
import logging
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.ingest import NAME, connect, expect, make, seconds
from benchmarks.machine import machine
from benchmarks.rows import in_status

ROWS, ROUNDS, PAGE = 100_000, 3, 10_000
FEW, MANY, DIM = 100_000, 1_000_000, 384
MOST = 100
"""MiB that a million rows may take over what the process has before."""


def main() -> None:
    if sys.argv[1:2] == ["--peak"]:
        print(json.dumps(peak_of(int(sys.argv[2]))))
        return
    with tempfile.TemporaryDirectory() as directory:
        os.environ.setdefault("AIRFLOW_HOME", directory)
        os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "ERROR")
        logging.disable(logging.WARNING)
        print(machine(), flush=True)
        speed(Path(directory))
        memory()


def speed(directory: Path) -> None:
    from airflow_provider_milvus.operators.milvus import MilvusExportOperator, MilvusUpsertOperator
    from airflow_provider_milvus.protocol.lazy_pymilvus import import_pymilvus
    from dev.sample_rows import rows
    from dev.servers.standalone import standalone_server

    with standalone_server(directory / "milvus") as server:
        connect(server.uri)
        client = import_pymilvus().MilvusClient(server.uri, timeout=300, dedicated=True)
        make(client)
        MilvusUpsertOperator(task_id="write", collection_name=NAME, rows=rows(0, ROWS)).execute({})
        index = client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="L2")
        client.create_index(NAME, index)
        client.load_collection(NAME)
        ways: dict[str, Callable[[Path], int]] = {
            "pymilvus's iterator": lambda path: by_iterator(client, path),
            "MilvusExportOperator": lambda path: int(
                MilvusExportOperator(task_id="export", collection_name=NAME, path=str(path)).execute({})["rows"]
            ),
        }
        took: dict[str, list[float]] = {way: [] for way in ways}
        for number in range(ROUNDS):
            for way, export in list(ways.items())[:: 1 if number % 2 else -1]:
                path = directory / f"{number}_{way.partition(' ')[0].partition(chr(39))[0]}"
                took[way].append(seconds(lambda export=export, path=path: expect(export(path), ROWS)))
        client.close()
    rates = {way: ROWS / statistics.median(each) for way, each in took.items()}
    for way, each in took.items():
        print(f"{way:22} median {rates[way]:8,.0f} rows/s   {ROWS / max(each):8,.0f} to {ROWS / min(each):8,.0f}", flush=True)
    ratio = rates["MilvusExportOperator"] / rates["pymilvus's iterator"]
    print(f"{ratio:.2f} x the iterator; the goal is 1 or more", flush=True)


def by_iterator(client: Any, folder: Path) -> int:
    """What one writes with pymilvus alone."""
    import pyarrow
    import pyarrow.parquet

    folder.mkdir()
    iterator = client.query_iterator(NAME, batch_size=PAGE, output_fields=["*"], consistency_level="Strong")
    count = 0
    while rows := iterator.next():
        # Dynamic values give each batch columns of its own.
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([dict(row) for row in rows]), folder / f"{count}.parquet")
        count += len(rows)
    iterator.close()
    return count


def memory() -> None:
    peaks = {}
    for count in (FEW, MANY):
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.export", "--peak", str(count)], capture_output=True, text=True, check=True
        )
        told = json.loads(done.stdout.splitlines()[-1])
        expect(told["rows"], count)
        peaks[count] = told["peak"]
        print(
            f"peak memory with {count:9,} rows: {told['peak']:.0f} MiB over the {told['before']:.0f} MiB "
            f"after imports, {count / told['seconds']:,.0f} rows/s",
            flush=True,
        )
    print(f"the goal is {MOST} MiB, {'met' if max(peaks.values()) <= MOST else 'MISSED'}", flush=True)


def peak_of(count: int) -> dict[str, float]:
    from airflow_provider_milvus.operators.milvus import MilvusExportOperator
    from benchmarks.stand_in import stand_in

    key, vector = {"name": "id", "type": "INT64", "is_primary": True}, {"name": "vector", "type": "FLOAT_VECTOR", "dim": DIM}
    with stand_in() as server, tempfile.TemporaryDirectory() as folder:
        connect(server.uri)
        server.ask(
            f"server.add('{NAME}', LOADED, schema=collection_schema('{NAME}', {{'fields': [{key}, {vector}]}})) and None"
        )

        def export(rows: int) -> int:
            server.ask(f"server.always('Query', pages({rows}, {DIM}))")
            path = f"{folder}/{rows}"
            return int(MilvusExportOperator(task_id="export", collection_name=NAME, path=path).execute({})["rows"])

        # What is imported is not the rows'.
        export(1)
        # From here on the peak counts.
        Path("/proc/self/clear_refs").write_text("5")
        before, began = in_status("VmRSS"), time.monotonic()
        rows = export(count)
        return {"rows": rows, "seconds": time.monotonic() - began, "before": before, "peak": in_status("VmHWM") - before}


def pages(count: int, dim: int) -> Callable[[Any, Any, Any], dict[str, Any]]:
    """A step of the stand-in: the rows with the keys from 0 on, of which the vectors are made when they are asked for."""
    import numpy

    def answer(server: Any, request: Any, context: Any) -> dict[str, Any]:
        if list(request.output_fields) == ["count(*)"]:
            return {"fields_data": [{"type": 5, "field_name": "count(*)", "scalars": {"long_data": {"data": [count]}}}]}
        after = re.search(r"id > (-?\d+)", request.expr)
        limit = next(int(item.value) for item in request.query_params if item.key == "limit")
        first = int(after[1]) + 1 if after else 0
        keys = range(first, min(first + limit, count))
        numbers = numpy.random.default_rng(first).random(len(keys) * dim, numpy.float32)
        return {
            "fields_data": [
                {"type": 5, "field_name": "id", "scalars": {"long_data": {"data": keys}}},
                {"type": 101, "field_name": "vector", "vectors": {"dim": dim, "float_vector": {"data": numbers}}},
            ]
        }

    return answer


if __name__ == "__main__":
    main()
