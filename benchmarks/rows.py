"""What a row costs an upsert, from each kind of source: CPU, and the peak of memory over what was there before the first row.

Run with ``python -m benchmarks.rows``, or with ``--beside PATH`` to measure the package of another checkout in turns, for
example of an older commit. Rows have a vector and four scalars; ``MilvusUpsertOperator`` sends them to the stand-in, in another
process. Every measurement is a fresh process, which has written some rows of the same kind before, so that nothing is imported
any more. What a run of a hundred rows costs is taken from the CPU, and the median of the rounds counts. Of memory, what a list,
a frame or a table holds itself is there before. The goals: CSV and JSON Lines at most half of 810fd0a's CPU, and with 768
dimensions at most 64 MiB. It needs Linux.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

if TYPE_CHECKING:
    from benchmarks.figures import Figure

HERE = Path(__file__).parents[1]
ROUNDS = 3
FEW = 100
"""Rows that warm a process up."""
CPU_ROWS, CPU_DIM = 10_000, 128
MEMORY_DIM = 768
MEMORY_GOAL = 64
"""MiB."""
NAME = "docs"


def schema(dim: int) -> dict[str, Any]:
    fields = [
        {"name": "id", "type": "INT64", "is_primary": True},
        {"name": "title", "type": "VARCHAR", "max_length": 200},
        {"name": "public", "type": "BOOL"},
        {"name": "price", "type": "FLOAT"},
        {"name": "vector", "type": "FLOAT_VECTOR", "dim": dim},
    ]
    return {"fields": fields}


def rows(count: int, dim: int) -> Iterator[dict[str, Any]]:
    chance = numpy.random.default_rng(dim)
    for at in range(count):
        vector = chance.random(dim, dtype=numpy.float32)
        yield {"id": at, "title": f"The title of document {at}", "public": at % 3 > 0, "price": at / 8, "vector": vector}


def with_lists(count: int, dim: int) -> Iterator[dict[str, Any]]:
    for row in rows(count, dim):
        yield {**row, "vector": row["vector"].tolist()}


def frame(count: int, dim: int) -> Any:
    import pandas

    return pandas.DataFrame(rows(count, dim))


def table(count: int, dim: int) -> Any:
    import pyarrow as pa

    columns = frame(count, dim)
    kind = pa.schema({"id": pa.int64(), "title": pa.string(), "public": pa.bool_(), "price": pa.float32()})
    kind = kind.append(pa.field("vector", pa.list_(pa.float32())))
    return pa.Table.from_pandas(columns, kind, preserve_index=False)


def write_parquet(path: Path, count: int, dim: int, group: int = 1_000_000) -> None:
    import pyarrow.parquet

    pyarrow.parquet.write_table(table(count, dim), path, row_group_size=group)


def write_jsonl(path: Path, count: int, dim: int) -> None:
    with path.open("w") as file:
        file.writelines(json.dumps(row) + "\n" for row in with_lists(count, dim))


def write_csv(path: Path, count: int, dim: int) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(field["name"] for field in schema(dim)["fields"])
        writer.writerows([*list(row.values())[:-1], json.dumps(row["vector"])] for row in with_lists(count, dim))


def write_groups(path: Path, count: int, dim: int) -> None:
    write_parquet(path, count, dim, 1_000)


IN_MEMORY: dict[str, Callable[[int, int], Any]] = {
    "dicts with arrays": lambda count, dim: list(rows(count, dim)),
    "dicts with lists": lambda count, dim: list(with_lists(count, dim)),
    "pandas": frame,
    "Arrow": table,
    "generator": lambda count, dim: lambda: rows(count, dim),
}
FILES: dict[str, tuple[str, Callable[[Path, int, int], None]]] = {
    "Parquet": ("parquet", write_parquet),
    "Parquet, small groups": ("parquet", write_groups),
    "JSON Lines": ("jsonl", write_jsonl),
    "CSV": ("csv", write_csv),
}
CPU_OF = ("dicts with arrays", "dicts with lists", "pandas", "Arrow", "Parquet", "JSON Lines", "CSV")
MEMORY_OF = {
    "generator": 10_000,
    "pandas": 10_000,
    "Arrow": 10_000,
    "Parquet": 100_000,
    "Parquet, small groups": 20_000,
    "JSON Lines": 5_000,
    "CSV": 5_000,
}


def path_of(kind: str, count: int, dim: int) -> Path:
    return Path(f"{kind}-{dim}-{count}.{FILES[kind][0]}".replace(" ", "_"))


def make(kind: str, count: int, dim: int) -> None:
    for some in (FEW, count):
        if kind in FILES and not path_of(kind, some, dim).exists():
            FILES[kind][1](path_of(kind, some, dim), some, dim)


def one(kind: str, count: int, dim: int) -> None:
    """Measure in this process, and print the figures."""
    try:
        from airflow_provider_milvus.operators.milvus import MilvusUpsertOperator
    except ModuleNotFoundError:
        # An older commit.
        from airflow_provider_milvus.operators.data import MilvusUpsertOperator

    def source(some: int) -> Any:
        return str(path_of(kind, some, dim).resolve()) if kind in FILES else IN_MEMORY[kind](some, dim)

    def write(what: Any) -> int:
        result = MilvusUpsertOperator(task_id="write", collection_name=f"{NAME}_{dim}", rows=what).execute({})
        return int(result["written"])

    write(source(FEW))
    few, many = source(FEW), source(count)
    began = time.process_time()
    write(few)
    # What a run costs with hardly any row.
    around = time.process_time() - began
    # From here on the peak counts.
    Path("/proc/self/clear_refs").write_text("5")
    before, began = in_status("VmRSS"), time.process_time()
    if write(many) != count:
        raise RuntimeError(f"{kind}: not all rows were written")
    used = time.process_time() - began - around
    print(json.dumps({"CPU": used / (count - FEW) * 1e6, "memory": in_status("VmHWM") - before}))


def in_status(name: str) -> float:
    """A figure of this process, in MiB."""
    return int(re.findall(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) / 1024


def measured(checkout: Path, kind: str, count: int, dim: int) -> dict[str, float]:
    command = [sys.executable, "-P", __file__, "--one", kind, str(count), str(dim)]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise RuntimeError(f"{kind} of {checkout} failed:\n{done.stderr[-3000:]}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--beside", type=Path, help="another checkout, whose package is measured in turns")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        one(given.one[0], int(given.one[1]), int(given.one[2]))
        return
    from benchmarks.figures import table
    from benchmarks.machine import machine

    print(machine(), table(figures(given.beside)), sep="\n")


def figures(beside: Path | None = None) -> list[Figure]:
    from benchmarks.stand_in import stand_in

    checkouts = [HERE, beside.resolve()] if beside else [HERE]
    with stand_in() as server, tempfile.TemporaryDirectory() as directory, chdir(directory):
        os.environ.update(
            AIRFLOW_HOME=directory,
            AIRFLOW__CORE__LOAD_EXAMPLES="False",
            AIRFLOW__LOGGING__LOGGING_LEVEL="ERROR",
            AIRFLOW_CONN_MILVUS_DEFAULT=json.dumps({"conn_type": "milvus", "extra": {"uri": server.uri}}),
        )
        for dim in (CPU_DIM, MEMORY_DIM):
            made = f"collection_schema('{NAME}_{dim}', {schema(dim)!r})"
            server.ask(f"server.add('{NAME}_{dim}', LOADED, schema={made}) and None")
        # It keeps no row.
        server.ask("server.always('Upsert', lambda _, rows, __: server.calls.clear() or {'upsert_cnt': rows.num_rows})")
        return [*cpu_figures(checkouts), *memory_figures(checkouts)]


def cpu_figures(checkouts: list[Path]) -> Iterator[Figure]:
    for kind in CPU_OF:
        make(kind, CPU_ROWS, CPU_DIM)
    taken: dict[tuple[str, Path], list[float]] = {(kind, checkout): [] for kind in CPU_OF for checkout in checkouts}
    for _ in range(ROUNDS):
        for kind, checkout in taken:
            taken[kind, checkout].append(measured(checkout, kind, CPU_ROWS, CPU_DIM)["CPU"])
    for kind in CPU_OF:
        a_row = [statistics.median(taken[kind, checkout]) for checkout in checkouts]
        yield compared(f"upsert of {kind}, a row", "CPU", "µs", a_row, 0.5 if kind in ("JSON Lines", "CSV") else None)


def memory_figures(checkouts: list[Path]) -> Iterator[Figure]:
    for kind, count in MEMORY_OF.items():
        make(kind, count, MEMORY_DIM)
        peaks = [measured(checkout, kind, count, MEMORY_DIM)["memory"] for checkout in checkouts]
        yield compared(f"upsert of {kind}, {count:,} rows", "memory", "MiB", peaks, None if len(checkouts) > 1 else MEMORY_GOAL)


def compared(what: str, measure: str, unit: str, values: list[float], goal: float | None) -> Figure:
    from benchmarks.figures import Figure

    if len(values) > 1:
        return Figure(what, measure, unit, values[0], "the other checkout", values[1], goal)
    return Figure(what, measure, unit, values[0], goal=goal if measure == "memory" else None)


if __name__ == "__main__":
    main()
