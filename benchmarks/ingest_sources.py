"""Rows per second into Milvus 2.3.5 from each kind of source, beside what one would write with pymilvus alone.

Run with ``python -m benchmarks.ingest_sources [ROWS]``; 30,000 rows, by default, take some three minutes. The rows are those
of ``benchmarks/rows.py``, with 128 dimensions and four scalars. Beside ``MilvusUpsertOperator`` is a loop over the same source,
read with json, csv, pandas or pyarrow, with ``MilvusClient.upsert`` of the slices that were the fastest of several for dicts.
Each way writes into a collection that was just made, is not loaded and has no index; they take turns, and the median of the
rounds counts. The server is on the same machine, and shares its cores. The goal is 2.5 times the loop, from every source.
"""

from __future__ import annotations

import csv
import json
import logging
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import chdir
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks import rows
from benchmarks.ingest import NAME, connect, expect, seconds
from benchmarks.machine import machine

ROWS, DIM, ROUNDS = 30_000, 128, 9
SLICES = (1_000, 2_000, 5_000, 10_000)
TUNED_ON = 20_000
GOAL = 2.5
KINDS = ("generator", *rows.CPU_OF)

Slices = Iterator[list[dict[str, Any]]]


def main() -> None:
    from dev.servers.standalone import standalone_server

    count = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    with tempfile.TemporaryDirectory() as directory, chdir(directory):
        os.environ.setdefault("AIRFLOW_HOME", directory)
        logging.disable(logging.WARNING)
        print(machine(), flush=True)
        with standalone_server(Path(directory) / "milvus") as server:
            measure(server.uri, count)


def measure(uri: str, count: int) -> None:
    from airflow_provider_milvus.operators.milvus import MilvusUpsertOperator
    from airflow_provider_milvus.protocol.lazy_pymilvus import import_pymilvus

    client = import_pymilvus().MilvusClient(uri, timeout=300, dedicated=True)
    connect(uri)

    def loop(slices: Slices, rows: int) -> None:
        expect(sum(client.upsert(NAME, some, timeout=300)["upsert_count"] for some in slices), rows)

    def took(work: Callable[[], object]) -> float:
        make(client)
        return seconds(work)

    some = list(rows.rows(TUNED_ON, DIM))
    size = min(SLICES, key=lambda size: took(lambda: loop(sliced(iter(some), size), TUNED_ON)))
    print(f"{count:,} rows; the loop's slices have {size:,}", flush=True)
    for kind in KINDS:
        rows.make(kind, count, DIM)
        source = str(rows.path_of(kind, count, DIM).resolve()) if kind in rows.FILES else IN_MEMORY[kind](count, DIM)
        ours: list[float] = []
        theirs: list[float] = []
        for _ in range(ROUNDS):
            operator = MilvusUpsertOperator(task_id="ingest", collection_name=NAME, rows=source, timeout=300)
            ours.append(took(lambda operator=operator: expect(operator.execute({})["written"], count)))
            theirs.append(took(lambda source=source, kind=kind: loop(LOOPS[kind](source, size), count)))
        rates = [count / statistics.median(each) for each in (ours, theirs)]
        ratio = rates[0] / rates[1]
        verdict = "within" if ratio >= GOAL else "BEYOND"
        print(f"{kind:18} {rates[0]:8,.0f} rows/s, the loop {rates[1]:8,.0f}: {ratio:.2f} x, {verdict} the goal", flush=True)
    client.drop_collection(NAME)
    client.close()


def generator(count: int, dim: int) -> Callable[[], Iterator[dict[str, Any]]]:
    """The making of the rows is not the ingest's."""
    made = list(rows.rows(count, dim))
    return lambda: iter(made)


def make(client: Any) -> None:
    from pymilvus import DataType

    client.drop_collection(NAME)
    schema = client.create_schema()
    for field in rows.schema(DIM)["fields"]:
        more = {key: value for key, value in field.items() if key not in ("name", "type")}
        schema.add_field(field["name"], getattr(DataType, field["type"]), **more)
    client.create_collection(NAME, schema=schema)


def sliced(given: Iterator[dict[str, Any]], size: int) -> Slices:
    while some := list(islice(given, size)):
        yield some


def of_frame(frame: Any, size: int) -> Slices:
    return (frame.iloc[at : at + size].to_dict("records") for at in range(0, len(frame), size))


def of_table(table: Any, size: int) -> Slices:
    return (table.slice(at, size).to_pylist() for at in range(0, table.num_rows, size))


def of_parquet(path: str, size: int) -> Slices:
    import pyarrow.parquet

    return (batch.to_pylist() for batch in pyarrow.parquet.ParquetFile(path).iter_batches(size))


def of_jsonl(path: str, size: int) -> Slices:
    with open(path) as file:
        yield from sliced(map(json.loads, file), size)


def of_csv(path: str, size: int) -> Slices:
    with open(path, newline="") as file:
        yield from sliced(map(typed, csv.DictReader(file)), size)


def typed(row: dict[str, str]) -> dict[str, Any]:
    own = {"id": int(row["id"]), "public": row["public"] == "True", "price": float(row["price"])}
    return {"title": row["title"], **own, "vector": json.loads(row["vector"])}


IN_MEMORY = {**rows.IN_MEMORY, "generator": generator}
LOOPS: dict[str, Callable[[Any, int], Slices]] = {
    "generator": lambda given, size: sliced(given(), size),
    "dicts with arrays": lambda given, size: sliced(iter(given), size),
    "dicts with lists": lambda given, size: sliced(iter(given), size),
    "pandas": of_frame,
    "Arrow": of_table,
    "Parquet": of_parquet,
    "JSON Lines": of_jsonl,
    "CSV": of_csv,
}


if __name__ == "__main__":
    main()
