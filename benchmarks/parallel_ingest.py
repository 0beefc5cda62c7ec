"""What several workers gain: the rows per second of 1, 2 and 4 processes, each with its part of the same files.

Run with ``python -m benchmarks.parallel_ingest [ROWS]``; 16,000 rows, by default, take some three minutes on two cores.

The rows are those of ``dev/sample_rows.py``, in eight files, which ``split_files`` deals out. Each process has imported
everything and has run its operator once, without rows, before the clock runs; an Airflow worker would do that within the task.
The clock stops with the last of them. *upsert* is ``MilvusUpsertOperator`` against one Milvus 2.3.5 on the same machine, into a
collection that was just made. *prepare* is ``MilvusPrepareImportOperator``, which writes files and needs no server. The median
of the rounds counts.

CPU is in seconds, of all workers together and of the server. Their sum divided by the time says how many cores were at work:
where that is the machine's number of cores, no further worker can gain.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.ingest import NAME, connect, expect, make
from dev.tries.process import IMPORTED

ROUNDS = 3
WORKERS = (1, 2, 4)
FILES = 8
PATIENCE = 300.0
"""Seconds for a round."""


class Figures(NamedTuple):
    seconds: float
    workers_cpu: float
    server_cpu: float


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 16_000
    with tempfile.TemporaryDirectory() as directory:
        os.environ.setdefault("AIRFLOW_HOME", directory)
        os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "ERROR")
        logging.disable(logging.WARNING)
        measure(Path(directory), count // FILES * FILES)


def measure(directory: Path, count: int) -> None:
    from airflow_provider_milvus.protocol.lazy_pymilvus import import_pymilvus
    from benchmarks.machine import machine
    from dev import sample_rows
    from dev.servers.standalone import standalone_server

    print(f"{machine()}, load before {os.getloadavg()[0]:.1f}; {count:,} rows", flush=True)
    for kind, write in (("parquet", sample_rows.write_parquet), ("jsonl", sample_rows.write_jsonl)):
        (directory / kind).mkdir()
        for number in range(FILES):
            write(directory / kind / f"{number}.{kind}", count // FILES, number * count // FILES)
    with standalone_server(directory / "milvus") as server:
        connect(server.uri)
        client = import_pymilvus().MilvusClient(server.uri, timeout=120, dedicated=True)
        for kind in ("jsonl", "parquet"):
            tell(f"upsert {kind}", directory / kind, count, lambda: make(client), server.process.pid)
        client.close()
    tell("prepare parquet", directory / "parquet", count)


def tell(what: str, source: Path, count: int, before: Callable[[], object] = lambda: None, server: int | None = None) -> None:
    found: dict[int, list[Figures]] = {workers: [] for workers in WORKERS}
    for _ in range(ROUNDS):
        for workers in WORKERS:
            before()
            found[workers].append(a_round(what, source, count, workers, server))
    for workers, rounds in found.items():
        middle = [statistics.median(values) for values in zip(*rounds, strict=True)]
        took, own, servers = middle
        print(
            f"{what:16} {workers} workers: {count / took:7,.0f} rows/s   CPU: workers {own:5.1f} s, server {servers:5.1f} s, "
            f"{(own + servers) / took:.1f} cores at work",
            flush=True,
        )


def a_round(what: str, source: Path, count: int, workers: int, server: int | None) -> Figures:
    from airflow_provider_milvus.operators.milvus import split_files

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*IMPORTED, "pyarrow.parquet"])
    start, told = context.Barrier(workers + 1), context.Queue()
    with tempfile.TemporaryDirectory() as folder:
        parts = split_files(source, workers)
        processes = [
            context.Process(target=work, args=(what, part, f"{folder}/{number}", start, told), daemon=True)
            for number, part in enumerate(parts)
        ]
        for process in processes:
            process.start()
        start.wait(PATIENCE)
        began, server_began = time.perf_counter(), cpu_of(server)
        done = [told.get(timeout=PATIENCE) for _ in parts]
        took, server_cpu = time.perf_counter() - began, cpu_of(server) - server_began
        for process in processes:
            process.join(PATIENCE)
    expect(sum(rows for rows, _ in done), count)
    return Figures(took, sum(cpu for _, cpu in done), server_cpu)


def work(what: str, part: list[str], folder: str, start: Any, told: Any) -> None:
    logging.disable(logging.WARNING)
    rows_of(what, [], f"{folder}/warm")
    start.wait(PATIENCE)
    began = time.process_time()
    told.put((rows_of(what, part, folder), time.process_time() - began))


def rows_of(what: str, part: list[str], folder: str) -> int:
    from airflow_provider_milvus.operators.milvus import MilvusPrepareImportOperator, MilvusUpsertOperator
    from dev.sample_rows import SCHEMA

    if what.startswith("upsert"):
        return int(MilvusUpsertOperator(task_id="ingest", collection_name=NAME, rows=part).execute({})["written"])
    return int(MilvusPrepareImportOperator(task_id="prepare", schema=SCHEMA, rows=part, path=folder).execute({})["rows"])


def cpu_of(pid: int | None) -> float:
    """Seconds of CPU that a process has used; 0 without one."""
    if pid is None:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
