"""What Milvus has, asked with pymilvus's plain client and not with the provider."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy

from dev.cluster.airflow import eventually

DIM = 8
PAGE = 10_000


class Truth:
    def __init__(self, uri: str) -> None:
        from pymilvus import MilvusClient

        self.client: Any = MilvusClient(uri, timeout=60, dedicated=True)

    @classmethod
    @contextmanager
    def of(cls, uri: str) -> Iterator[Truth]:
        truth = cls(uri)
        with closing(truth.client):
            yield truth

    def make(self, name: str, *, rows: int = 0, dim: int = DIM, loaded: bool = False) -> None:
        from pymilvus import DataType

        schema = self.client.create_schema(auto_id=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dim)
        index = self.client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="L2")
        self.client.create_collection(name, schema=schema)
        self.client.create_index(name, index, sync=False)
        for first in range(0, rows, PAGE):
            keys = range(first, min(first + PAGE, rows))
            vectors = numpy.random.default_rng(first).random((len(keys), dim), dtype=numpy.float32)
            self.client.insert(name, [{"id": key, "vector": vector} for key, vector in zip(keys, vectors, strict=True)])
        if loaded:
            self.client.load_collection(name, _async=True)

    def wait_for(self, state: str, *names: str) -> None:
        for name in names:
            eventually(lambda name=name: self.state(name) == state, f"{name} is {state}", 180)  # type: ignore[misc]

    def state(self, name: str) -> str:
        return str(self.client.get_load_state(name)["state"].name)

    def count(self, name: str) -> int:
        (row,) = self.client.query(name, "", output_fields=["count(*)"], consistency_level="Strong")
        return int(row["count(*)"])

    def keys(self, name: str, count: int) -> set[int]:
        """Those of the keys from 0 to ``count`` - 1 that are there. A query returns a doubled key once; a count has both."""
        found: set[int] = set()
        for first in range(0, count, PAGE):
            rows = self.client.query(
                name, f"{first} <= id < {first + PAGE}", output_fields=["id"], limit=PAGE, consistency_level="Strong"
            )
            found.update(row["id"] for row in rows)
        return found

    def marks(self, name: str) -> list[str]:
        """The windows that keep a collection in memory."""
        properties = dict(self.client.describe_collection(name).get("properties") or {})
        return [value for key, value in properties.items() if key.startswith("airflow.loaded_by.") and value]


def wrong_keys(truth: Truth, name: str, rows: int) -> list[str]:
    """What is wrong with a collection that has to have the keys from 0 to ``rows`` - 1, each once."""
    found, count = truth.keys(name, rows), truth.count(name)
    lost, more = rows - len(found), count - len(found)
    return [*([f"{lost} rows are lost"] if lost else []), *([f"{more} rows are there that should not be"] if more else [])]


def write_rows(path: Path, first: int, count: int) -> Path:
    """A file of JSON Lines with the rows from ``first`` on."""
    vectors = numpy.random.default_rng(first).random((count, DIM), dtype=numpy.float32).round(4).tolist()
    lines = (f'{{"id": {first + place}, "vector": {vector}}}\n' for place, vector in enumerate(vectors))
    path.write_text("".join(lines))
    return path
