"""Ask a collection for its nearest neighbours, and for every vector that it holds, as a flow.

1. Count the rows, and walk over the keys to draw queries among them; read the vectors of those.
2. Search for each, one by one, with the clock running.
3. Walk over every vector, and compute who the nearest neighbours really are.

A walk goes by primary key, ``key > last`` with a limit; servers answer with the smallest keys first. At any time one page is
held, of a few megabytes. The collection may change meanwhile: rows that come or go between 1 and 3 make the result wrong by as
much as they are among the neighbours.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_milvus.client.flow import Flow, Report, Rpc
from airflow_provider_milvus.client.reads import describe, real_name, row_count
from airflow_provider_milvus.conditions import describe_indexes
from airflow_provider_milvus.exceptions import (
    MilvusIndexNotFoundError,
    MilvusInvalidArgumentError,
    MilvusServerError,
    MilvusUnsupportedError,
)
from airflow_provider_milvus.recall import vectors
from airflow_provider_milvus.recall.truth import METRICS, Truth, percentiles
from airflow_provider_milvus.schema.model import DENSE_VECTORS, Field, Schema
from airflow_provider_milvus.server.filters import literal

PAGE_BYTES = 8 * 2**20
PAGE_ROWS = 10_000
"""A server gives at most 16,384 in one answer."""
PAGE_TIMEOUT = 60.0
WORST = 5
"""Queries to name that found the least."""

Key = int | str


@dataclass(frozen=True, slots=True)
class Recall:
    """What was measured. ``worst`` are the keys of the queries that found the least; ``queries[n]`` for one that was given."""

    collection: str
    vector_field: str
    metric: str
    recall: float
    k: int
    queries: int
    rows: int
    latency: dict[str, float]
    worst: list[Key]


@dataclass(frozen=True, slots=True)
class _Subject:
    collection: str
    key: Field
    vector: Field
    metric: str

    @property
    def dim(self) -> int:
        return self.vector.dim or 0

    @property
    def rows_a_page(self) -> int:
        return max(1, min(PAGE_ROWS, PAGE_BYTES // vectors.bytes_of_one(self.vector.type, self.dim)))


@dataclass(frozen=True, slots=True)
class _Query:
    key: Key | None
    vector: bytes
    name: Key


def measure(
    collection_name: str,
    *,
    vector_field: str | None = None,
    sample: int = 100,
    k: int = 10,
    search_params: Mapping[str, Any] | None = None,
    queries: Sequence[Sequence[float]] = (),
    seed: int | None = None,
    report: Report = lambda words: None,
) -> Flow[Recall]:
    """Recall@k of searches with ``search_params``, against brute force, and how long they took.

    ``sample`` stored vectors are drawn at random, the same ones for the same ``seed`` and rows; ``queries`` are searched for
    as well. It reads, and leaves the server as it is.

    :raises MilvusNotLoadedError: the collection is not in memory, or not all of it.
    :raises MilvusUnsupportedError: its vectors or their metric are none that brute force is written for.
    :raises MilvusInvalidArgumentError: there is no such vector field, nothing to search for, or nothing to find.
    """
    subject = yield from _subject(collection_name, vector_field)
    total = yield from row_count(subject.collection)
    given = vectors.written(queries, subject.vector.type, subject.dim) if queries else []
    wanted = [_Query(None, vector, f"queries[{at}]") for at, vector in enumerate(given)]
    wanted += yield from _drawn(subject, total, sample, random.Random(seed))
    if not wanted:
        raise MilvusInvalidArgumentError(f"Collection {subject.collection!r} has {total} rows: there is nothing to search for.")
    report(f"Searching {subject.collection!r} for {len(wanted)} vectors, one by one.")
    found, seconds = yield from _searches(subject, wanted, k, dict(search_params or {}))
    report(f"Comparing with each of the {total} vectors.")
    truth = yield from _truth(subject, wanted, found, k, total, report)
    shares = [(share, query.name) for share, query in zip(truth.recalls(), wanted, strict=True) if share is not None]
    if not shares:
        raise MilvusInvalidArgumentError(f"Collection {subject.collection!r} has {total} rows: there is nothing to find.")
    if truth.rows != total:
        report(f"{subject.collection!r} had {total} rows at first and {truth.rows} later: it changed while it was checked.")
    least = sorted((each for each in shares if each[0] < 1), key=lambda each: each[0])
    return Recall(
        subject.collection,
        subject.vector.name,
        subject.metric,
        round(sum(share for share, _ in shares) / len(shares), 4),
        k,
        len(shares),
        truth.rows,
        percentiles(seconds),
        [name for _, name in least[:WORST]],
    )


def _subject(collection_name: str, vector_field: str | None) -> Flow[_Subject]:
    described = yield from describe(collection_name)
    schema, collection = Schema.of_described(described), real_name(described)
    candidates = [each for each in schema.fields if each.is_vector]
    names = ", ".join(repr(each.name) for each in candidates)
    chosen = [each for each in candidates if vector_field in (None, each.name)]
    if len(chosen) != 1:
        raise MilvusInvalidArgumentError(f"vector_field {vector_field!r}: collection {collection!r} has {names}. Name one.")
    (field,) = chosen
    if field.type not in DENSE_VECTORS or field.nullable:
        what = "may be null" if field.nullable else f"is a {field.type}"
        raise MilvusUnsupportedError(f"Field {field.name!r} of {collection!r} {what}: its recall cannot be measured here.")
    indexes = yield from describe_indexes(collection, field.name)
    if not indexes:
        raise MilvusIndexNotFoundError(f"Field {field.name!r} of collection {collection!r} has no index: create one first.")
    metric = next((each.value.upper() for each in indexes[0].params if each.key == "metric_type"), "")
    if metric not in METRICS:
        raise MilvusUnsupportedError(
            f"The index of {field.name!r} of {collection!r} has the metric {metric!r}; "
            f"recall is measured for {', '.join(METRICS)}."
        )
    return _Subject(collection, schema.primary, field, metric)


def _drawn(subject: _Subject, total: int, sample: int, chance: random.Random) -> Flow[list[_Query]]:
    """Some of the rows, by their place in the order of the keys, with their vectors."""
    places = sorted(chance.sample(range(total), min(sample, total)))
    keys: list[Any] = []
    seen = 0

    def pick(page: Sequence[Key], _: Any) -> None:
        nonlocal seen
        while len(keys) < len(places) and places[len(keys)] < seen + len(page):
            keys.append(page[places[len(keys)] - seen])
        seen += len(page)

    if places:
        yield from _walk(subject, pick, with_vectors=False)
    drawn: list[_Query] = []
    for first in range(0, len(keys), subject.rows_a_page):
        some = keys[first : first + subject.rows_a_page]
        while some:
            filter = f"{subject.key.name} in {literal(some)}"
            page, held = yield from _page(subject, filter, len(some), with_vectors=True)
            drawn += [_Query(key, vector.tobytes(), key) for key, vector in zip(page, held, strict=True)]
            some = [key for key in some if page and key > page[-1]]
    return drawn


def _walk(subject: _Subject, take: Callable[[Sequence[Key], Any], None], *, with_vectors: bool) -> Flow[None]:
    """Hand every row to ``take``, page by page: keys, and bytes of vectors."""
    limit = subject.rows_a_page if with_vectors else PAGE_ROWS
    filter, last = "", None
    while True:
        keys, held = yield from _page(subject, filter, limit, with_vectors=with_vectors)
        if not keys:
            return
        # A server that did not begin with the smallest keys would leave rows out, or never come to an end.
        if keys != sorted(set(keys)) or (last is not None and keys[0] <= last):
            raise MilvusServerError(
                f"The server gave rows of {subject.collection!r} out of order, after {last!r}: it cannot be read by its keys."
            )
        take(keys, held)
        last = keys[-1]
        filter = f"{subject.key.name} > {literal(last)}"


def _page(subject: _Subject, filter: str, limit: int, *, with_vectors: bool) -> Flow[tuple[list[Any], Any]]:
    fields = [subject.key.name, *([subject.vector.name] if with_vectors else [])]
    settings = {"limit": limit, "iterator": "True", "reduce_stop_for_best": "True"}
    answer = yield Rpc(
        "Query",
        {
            "collection_name": subject.collection,
            "expr": filter,
            "output_fields": fields,
            "query_params": _pairs(settings),
            # The count was strong: what it saw is there. A strong one for each page costs 0.3 s of waiting on 2.3.5.
            "consistency_level": "Bounded",
            "use_default_consistency": False,
        },
        PAGE_TIMEOUT,
    )
    by_name = {each.field_name: each for each in answer.fields_data}
    if subject.key.name not in by_name:
        return [], []
    scalars = by_name[subject.key.name].scalars
    keys = list(scalars.string_data.data if subject.key.type == "VARCHAR" else scalars.long_data.data)
    if not with_vectors or not keys:
        return keys, []
    return keys, vectors.as_bytes(by_name[subject.vector.name], subject.vector.type, subject.dim)


def _searches(
    subject: _Subject, queries: Sequence[_Query], k: int, search_params: dict[str, Any]
) -> Flow[tuple[list[list[Key]], list[float]]]:
    """What each query found, and how many seconds it took: from here to the server and back, attempts that failed included."""
    found: list[list[Key]] = []
    seconds: list[float] = []
    for query in queries:
        # One more: a row that is searched for finds itself.
        call = _search(subject, query.vector, k if query.key is None else k + 1, search_params)
        began = time.perf_counter()
        answer = yield call
        seconds.append(time.perf_counter() - began)
        ids = answer.results.ids
        found.append(list(ids.str_id.data if subject.key.type == "VARCHAR" else ids.int_id.data))
    return found, seconds


def _search(subject: _Subject, vector: bytes, limit: int, search_params: dict[str, Any]) -> Rpc:
    settings = {
        "anns_field": subject.vector.name,
        "topk": limit,
        "metric_type": subject.metric,
        "round_decimal": -1,
        "params": json.dumps(search_params),
    }
    return Rpc(
        "Search",
        {
            "collection_name": subject.collection,
            "dsl_type": "BoolExprV1",
            "placeholder_group": vectors.placeholder(vector, subject.vector.type),
            "nq": 1,
            "search_params": _pairs(settings),
            # As those search who name no consistency level.
            "use_default_consistency": True,
        },
    )


def _truth(
    subject: _Subject, queries: Sequence[_Query], found: Sequence[Sequence[Key]], k: int, total: int, report: Report
) -> Flow[Truth]:
    kind = subject.vector.type
    searched = vectors.as_numbers(vectors.stacked([each.vector for each in queries]), kind)
    truth = Truth(searched, [each.key for each in queries], found, metric=subject.metric, k=k)
    told = time.monotonic()

    def take(keys: Sequence[Key], held: Any) -> None:
        nonlocal told
        truth.add(keys, vectors.as_numbers(held, kind))
        if time.monotonic() - told >= 10:
            told = time.monotonic()
            report(f"Compared with {truth.rows} of {total} vectors.")

    yield from _walk(subject, take, with_vectors=True)
    return truth


def _pairs(settings: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"key": key, "value": str(value)} for key, value in settings.items()]
