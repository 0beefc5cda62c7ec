"""Rows as a document search has them, in any number: the same ones every time, and any range without the rows before it.

384-dimensional normalised vectors around a few hundred topics, texts of very unequal length, categories that follow Zipf's law,
timestamps, and JSON that has a key here and not there. ``python -m dev.sample_rows docs.parquet 100000`` writes a file of them.
"""

from __future__ import annotations

import csv
import gzip
import json
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

SEED = 20240315
DIM = 384
LONGEST_TEXT = 4000

SCHEMA: dict[str, Any] = {
    "fields": [
        {"name": "id", "type": "INT64", "is_primary": True},
        {"name": "text", "type": "VARCHAR", "max_length": LONGEST_TEXT},
        {"name": "category", "type": "VARCHAR", "max_length": 32},
        {"name": "published", "type": "INT64", "description": "seconds since 1970"},
        {"name": "score", "type": "FLOAT"},
        {"name": "public", "type": "BOOL"},
        {"name": "meta", "type": "JSON"},
        {"name": "vector", "type": "FLOAT_VECTOR", "dim": DIM},
    ]
}
"""Every server has these types, also Milvus 2.3.5."""

_BLOCK = 1000
"""Rows that are made at once, from a seed of their own."""
_TOPICS = 300
_NOISE = 0.7
"""How far vectors lie from their topic: enough that an approximate index does not find everything."""
_WORDS_MEDIAN, _WORDS_SPREAD, _WORDS_MOST = 35, 1.0, 400
_EPOCH, _YEARS = 1_577_836_800, 4 * 365 * 86_400
_LANGUAGES = ("en", "en", "en", "de", "fr", "ja")


def rows(first: int = 0, count: int = 100_000) -> list[dict[str, Any]]:
    """Rows ``first`` to ``first + count - 1``. ``id`` is the position, ``vector`` a float32 array; change neither in place."""
    return [row for block, start, stop in _parts(first, count) for row in _rows_of(_block(block), block, start, stop)]


def stream(count: int, first: int = 0) -> Iterator[dict[str, Any]]:
    """The same, one by one, with one block of them in memory."""
    for block, start, stop in _parts(first, count):
        yield from _rows_of(_block(block), block, start, stop)


def table(first: int = 0, count: int = 100_000) -> pa.Table:
    """The same as an Arrow table: vectors are a list of fixed size, JSON is text."""
    import pyarrow as pa

    parts = [_batch(_block(block), block, start, stop) for block, start, stop in _parts(first, count)]
    return pa.Table.from_batches(parts, schema=_arrow_schema())


def write_parquet(path: Path, count: int, first: int = 0) -> Path:
    import pyarrow.parquet as pq

    with pq.ParquetWriter(path, _arrow_schema()) as file:
        group = 20 * _BLOCK
        for start in range(first, first + count, group):
            file.write_table(table(start, min(group, first + count - start)), row_group_size=group)
    return path


def write_jsonl(path: Path, count: int, first: int = 0) -> Path:
    """One JSON object a line; ``*.gz`` is compressed."""
    with closing(_opened(path)) as file:
        for row in stream(count, first):
            file.write(json.dumps(row | {"vector": row["vector"].tolist()}, ensure_ascii=False) + "\n")
    return path


def write_csv(path: Path, count: int, first: int = 0) -> Path:
    """With a header; vector and JSON are JSON text; ``*.gz`` is compressed."""
    with closing(_opened(path)) as file:
        writer = csv.writer(file)
        writer.writerow(_names())
        for row in stream(count, first):
            vector = json.dumps(row["vector"].tolist(), separators=(",", ":"))
            writer.writerow([*list(row.values())[:-2], json.dumps(row["meta"], ensure_ascii=False), vector])
    return path


def _opened(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "wt", encoding="utf-8", newline="")
    return path.open("w", encoding="utf-8", newline="")


def _names() -> list[str]:
    return [field["name"] for field in SCHEMA["fields"]]


def _parts(first: int, count: int) -> Iterator[tuple[int, int, int]]:
    """Each block that the range touches, and which of its rows."""
    if first < 0 or count < 0:
        raise ValueError(f"rows({first}, {count}): both count from 0.")
    last = first + count
    for block in range(first // _BLOCK, -(-last // _BLOCK)):
        yield block, max(first - block * _BLOCK, 0), min(last - block * _BLOCK, _BLOCK)


def _rows_of(made: dict[str, Any], block: int, start: int, stop: int) -> Iterator[dict[str, Any]]:
    columns = [made[name][start:stop] for name in _names()[1:]]
    for at, values in enumerate(zip(*columns, strict=True), block * _BLOCK + start):
        text, category, published, score, public, meta, vector = values
        yield {
            "id": at,
            "text": text,
            "category": category,
            "published": published,
            "score": score,
            "public": public,
            "meta": dict(meta),
            "vector": vector,
        }


@lru_cache(maxsize=4)
def _block(number: int) -> dict[str, Any]:
    chance = np.random.default_rng([SEED, 1, number])
    topic = (chance.zipf(1.3, _BLOCK) - 1) % _TOPICS
    vector = _topics()[topic] + _NOISE / DIM**0.5 * chance.standard_normal((_BLOCK, DIM), dtype=np.float32)
    vector /= np.linalg.norm(vector, axis=1, keepdims=True)
    vector.setflags(write=False)
    score = chance.beta(2, 5, _BLOCK).astype(np.float32)
    return {
        "text": _texts(chance),
        "category": [f"topic {number:03d}" for number in topic],
        "published": (_EPOCH + np.sort(chance.integers(0, _YEARS, _BLOCK))).tolist(),
        "score": score.tolist(),
        "public": (chance.random(_BLOCK) < 0.9).tolist(),
        "meta": _metas(chance),
        "vector": vector,
    }


@lru_cache(maxsize=1)
def _topics() -> np.ndarray[Any, np.dtype[np.float32]]:
    made = np.random.default_rng([SEED, 0]).standard_normal((_TOPICS, DIM), dtype=np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return made


@lru_cache(maxsize=1)
def _corpus() -> tuple[str, list[int]]:
    """A long text of invented words, the frequent ones short, and where each word begins. Texts are cut out of it."""
    chance = np.random.default_rng([SEED, 2])
    syllables = ["ka", "lo", "mi", "ten", "sur", "ver", "an", "dé", "öl", "ña", "文", "do", "re", "fa", "qui", "pro"]
    lengths = np.minimum(1 + np.arange(5000) // 500, 5)
    words = ["".join(chance.choice(syllables, size)) for size in lengths]
    ranks = (chance.zipf(1.3, 100_000) - 1) % len(words)
    text = [words[rank] for rank in ranks]
    begins = np.concatenate([[0], np.cumsum([len(word) + 1 for word in text])])
    return " ".join(text) + " ", begins.tolist()


def _texts(chance: np.random.Generator) -> list[str]:
    corpus, begins = _corpus()
    lengths = np.clip(chance.lognormal(np.log(_WORDS_MEDIAN), _WORDS_SPREAD, _BLOCK), 1, _WORDS_MOST).astype(int).tolist()
    froms = chance.integers(0, len(begins) - _WORDS_MOST - 1, _BLOCK).tolist()
    return [corpus[begins[at] : begins[at + length] - 1] for at, length in zip(froms, lengths, strict=True)]


def _metas(chance: np.random.Generator) -> list[dict[str, Any]]:
    """Nothing for a third; a key that is often absent, and one that is there and null."""
    kinds = chance.random(_BLOCK).tolist()
    numbers = chance.integers(0, 1000, _BLOCK).tolist()
    made: list[dict[str, Any]] = []
    for kind, number in zip(kinds, numbers, strict=True):
        meta: dict[str, Any] = {} if kind < 0.33 else {"lang": _LANGUAGES[number % len(_LANGUAGES)]}
        if kind > 0.6:
            meta["pages"] = number or None
        if kind > 0.9:
            meta |= {"editor": None, "cites": [number, number // 2], "shop": {"price": number / 100}}
        made.append(meta)
    return made


def _batch(made: dict[str, Any], block: int, start: int, stop: int) -> pa.RecordBatch:
    import pyarrow as pa

    vectors = pa.FixedSizeListArray.from_arrays(pa.array(made["vector"][start:stop].ravel()), DIM)
    plain = [made[name][start:stop] for name in ("text", "category", "published", "score", "public")]
    meta = [json.dumps(value, ensure_ascii=False) for value in made["meta"][start:stop]]
    identity = np.arange(block * _BLOCK + start, block * _BLOCK + stop)
    schema = _arrow_schema()
    values = [pa.array(column, kind) for column, kind in zip([identity, *plain, meta], schema.types[:-1], strict=True)]
    return pa.RecordBatch.from_arrays([*values, vectors.cast(schema.types[-1])], schema=schema)


def _arrow_schema() -> pa.Schema:
    import pyarrow as pa

    kinds = {"INT64": pa.int64(), "FLOAT": pa.float32(), "BOOL": pa.bool_(), "FLOAT_VECTOR": pa.list_(pa.float32(), DIM)}
    return pa.schema([(field["name"], kinds.get(field["type"], pa.string())) for field in SCHEMA["fields"]])


def main() -> None:
    path, count = Path(sys.argv[1]), int(sys.argv[2])
    name = path.name.removesuffix(".gz")
    write = {".parquet": write_parquet, ".jsonl": write_jsonl, ".csv": write_csv}[Path(name).suffix]
    print(f"{write(path, count)}: {count} rows, {path.stat().st_size / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
