"""New embeddings for a collection that is searched all the while, by a worker that is killed five times."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy
import pytest

from tests.integration.ingest.ingest_worker import processes
from tests.integration.ingest.reembed_worker import ALIAS, NEW, OLD, work
from tests.integration.support import Milvus, eventually, search_as_alias_moves

pytestmark = pytest.mark.slow

ROWS, DIM = 2_000, 16
VECTORS = numpy.random.default_rng(13).normal(size=(ROWS, DIM)).astype("float32")
KILLS = (0.7, 0.9, 1.1, 0.8, 0.5)
"""Seconds after the worker has come as far as it must."""


@pytest.fixture
def served(milvus: Milvus) -> Iterator[None]:
    from pymilvus import DataType

    with milvus.plain_client() as client:
        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("model", DataType.VARCHAR, max_length=10)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIM)
        index = client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="L2")
        client.create_collection(OLD, schema=schema, index_params=index)
        client.insert(OLD, [{"id": at, "model": "old", "vector": vector.tolist()} for at, vector in enumerate(VECTORS)])
        client.load_collection(OLD)
        client.create_alias(OLD, ALIAS)
        # The collection's consistency lets a search miss what was just written.
        eventually(lambda: len(client.search(ALIAS, data=[VECTORS[0].tolist()], limit=20)[0]) == 20)
        yield
        client.drop_alias(ALIAS)
        for name in (OLD, NEW):
            client.drop_collection(name)


@contextmanager
def searching(milvus: Milvus, models: Counter[tuple[str, ...]], errors: list[str]) -> Iterator[None]:
    """Search through the alias twenty times a second, and count by which models the hits of a search are."""
    stop = threading.Event()

    def search() -> None:
        with milvus.plain_client() as client:
            while not stop.wait(0.05):
                try:
                    asked = {"data": [VECTORS[0].tolist()], "limit": 20, "output_fields": ["model"]}
                    hits = search_as_alias_moves(client, ALIAS, **asked)
                except Exception as error:
                    errors.append(str(error))
                else:
                    models[tuple(sorted({hit["entity"]["model"] for hit in hits}))] += 1

    thread = threading.Thread(target=search)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_what_is_searched_is_whole_whenever_the_worker_is_killed(milvus: Milvus, served: None, tmp_path: Path) -> None:
    connection = f'{{"conn_type": "milvus", "extra": {{"uri": "{milvus.uri}"}}}}'
    asked = VECTORS[0][::-1].tolist()
    models: Counter[tuple[str, ...]] = Counter()
    errors: list[str] = []

    def start(tries: int) -> Any:
        process = processes.Process(target=work, args=(tmp_path, tries, asked, {"AIRFLOW_CONN_MILVUS_DEFAULT": connection}))
        process.start()
        return process

    with searching(milvus, models, errors):
        for tries, seconds in enumerate(KILLS, 1):
            process = start(tries)
            time.sleep(seconds)
            assert process.is_alive(), "it has ended before it was killed"
            process.kill()
            process.join()
        process = start(len(KILLS) + 1)
        process.join(240)
        assert process.exitcode == 0
        seen = models.total()
        eventually(lambda: models.total() > seen + 10)

    assert errors == []
    assert set(models) == {("old",), ("new",)}
    with milvus.plain_client() as client:
        assert client.describe_alias(ALIAS)["collection_name"] == NEW
        assert not client.has_collection(OLD)
        rows = client.query(NEW, filter="id >= 0", output_fields=["*"], limit=ROWS + 1, consistency_level="Strong")
    held = {row["id"]: row["vector"] for row in rows}
    assert len(rows) == len(held) == ROWS
    for at, vector in enumerate(VECTORS):
        assert held[at] == vector[::-1].tolist()
