"""Measuring recall, as a flow.

1. Count the rows, walk over the keys to sample some rows, and read their vectors: they are the queries.
2. Search for the queries, one by one, and take the time.
3. Walk over every vector, and compute the true nearest neighbours.

The rows are read in the order of their keys (``search/walk.py``). One page of a few megabytes is in memory at a time. Rows that
are written or deleted between 1 and 3 make the result wrong by their share of the neighbours.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.counting import row_count
from airflow_provider_milvus.client.flow import Flow, Report, Rpc
from airflow_provider_milvus.client.subject import Subject, find_subject
from airflow_provider_milvus.conditions import describe_indexes
from airflow_provider_milvus.recall.truth import METRICS, Truth, percentiles
from airflow_provider_milvus.schema.model import Field, Schema
from airflow_provider_milvus.schema.pairs import from_pairs, to_pairs
from airflow_provider_milvus.schema.types import DATA_TYPES, DENSE_VECTORS
from airflow_provider_milvus.search import vectors
from airflow_provider_milvus.search.walk import PAGE_BYTES, PAGE_ROWS, Key, Page, Walk
from airflow_provider_milvus.server.filters import to_literal

WORST = 5
"""How many of the queries with the lowest recall are named."""


@dataclass(frozen=True, slots=True)
class Recall:
    """A measurement. ``worst`` names the queries with the lowest recall: by key, or as ``queries[n]`` in the argument."""

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
    read: Subject
    key: Field
    vector: Field
    metric: str

    @property
    def collection(self) -> str:
        return self.read.name

    @property
    def dim(self) -> int:
        return self.vector.dim or 0

    @property
    def page_rows(self) -> int:
        return max(1, min(PAGE_ROWS, PAGE_BYTES // vectors.bytes_of_one(self.vector.type, self.dim)))


@dataclass(frozen=True, slots=True)
class _Query:
    """``key`` is the row that the vector was read from; ``None``: it is one of the argument ``queries``."""

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
    """Measure recall@k of searches with ``search_params`` against brute force, and their latency.

    The queries are ``sample`` stored vectors and ``queries``. The stored ones are drawn at random: the same ones for the same
    ``seed`` and rows. It only reads.

    :raises MilvusNotLoadedError: the collection, or a part of it, is not in memory.
    :raises MilvusUnsupportedError: there is no brute force for the type or the metric of its vectors.
    :raises MilvusInvalidArgumentError: there is no such vector field, nothing to search for, or nothing to find.
    """
    subject = yield from _find_subject(collection_name, vector_field)
    collection = subject.collection
    total = yield from row_count(collection)
    encoded = vectors.encode_queries(queries, subject.vector, "queries") if queries else []
    searched = [_Query(None, vector, f"queries[{position}]") for position, vector in enumerate(encoded)]
    searched += yield from _sample_rows(subject, total, sample, random.Random(seed))
    nothing = f"The recall of collection {collection!r} was not measured: with {total} rows there is nothing to"
    if not searched:
        raise exceptions.MilvusInvalidArgumentError(f"{nothing} search for.")
    report(f"Searching collection {collection!r} for {len(searched)} vectors, one by one.")
    answers, seconds = yield from _search_all(subject, searched, k, dict(search_params or {}))
    report(f"Comparing with all {total} vectors of collection {collection!r}.")
    truth = yield from _compute_truth(subject, searched, answers, k)
    recalls = [(recall, query.name) for recall, query in zip(truth.recalls(), searched, strict=True) if recall is not None]
    if not recalls:
        raise exceptions.MilvusInvalidArgumentError(f"{nothing} find.")
    if truth.rows != total:
        report(f"Collection {collection!r} changed while it was measured: it had {total} rows at first, {truth.rows} later.")
    worst = sorted(((recall, name) for recall, name in recalls if recall < 1), key=lambda pair: pair[0])
    return Recall(
        collection,
        subject.vector.name,
        subject.metric,
        round(sum(recall for recall, _ in recalls) / len(recalls), 4),
        k,
        len(recalls),
        truth.rows,
        percentiles(seconds),
        [name for _, name in worst[:WORST]],
    )


def _find_subject(collection_name: str, vector_field: str | None) -> Flow[_Subject]:
    subject = yield from find_subject(collection_name)
    schema, collection = Schema.of_described(subject.first), subject.name
    candidates = [field for field in schema.fields if field.is_vector]
    names = ", ".join(repr(field.name) for field in candidates)
    chosen = [field for field in candidates if vector_field in (None, field.name)]
    if len(chosen) != 1:
        raise exceptions.MilvusInvalidArgumentError(
            f"field_name {vector_field!r}: collection {collection!r} has {names}. Name one."
        )
    (field,) = chosen
    failure = f"The recall of field {field.name!r} of collection {collection!r} was not measured:"
    if field.type not in DENSE_VECTORS or field.nullable:
        what = "may be null" if field.nullable else f"is a {field.type}"
        raise exceptions.MilvusUnsupportedError(f"{failure} it {what}, and there is no brute force for that.")
    indexes = yield from describe_indexes(collection, field.name)
    if not indexes:
        raise exceptions.MilvusIndexNotFoundError(f"{failure} it has no index. Create one first.")
    metric = from_pairs(indexes[0].params).get("metric_type", "").upper()
    if metric not in METRICS:
        raise exceptions.MilvusUnsupportedError(
            f"{failure} its metric is {metric!r}, and there is brute force for {', '.join(METRICS)}."
        )
    return _Subject(subject, schema.primary, field, metric)


def _sample_rows(subject: _Subject, total: int, sample: int, chance: random.Random) -> Flow[list[_Query]]:
    """Draw rows by their place in the order of the keys, and read their vectors."""
    places = sorted(chance.sample(range(total), min(sample, total)))
    keys: list[Any] = []
    passed = 0

    def pick(page: Page) -> None:
        nonlocal passed
        while len(keys) < len(places) and places[len(keys)] < passed + len(page.keys):
            keys.append(page.keys[places[len(keys)] - passed])
        passed += len(page.keys)

    if places:
        yield from _rows_of(subject, with_vectors=False).rows(pick)
    rows: list[_Query] = []
    for first in range(0, len(keys), subject.page_rows):
        unread = keys[first : first + subject.page_rows]
        while unread:
            filter = f"{subject.key.name} in {to_literal(unread)}"
            page = yield from _rows_of(subject, filter, with_vectors=True).page(len(unread))
            if not page.keys:
                break
            rows += [
                _Query(key, vector.tobytes(), key) for key, vector in zip(page.keys, _vectors_of(subject, page), strict=True)
            ]
            unread = [key for key in unread if key > page.keys[-1]]
    return rows


def _rows_of(subject: _Subject, filter: str = "", *, with_vectors: bool) -> Walk:
    # The count was strong, so its rows are there. On 2.3.5 a strong query waits 0.3 s, for every page.
    return Walk(subject.read, subject.key, [subject.vector.name] if with_vectors else [], filter)


def _vectors_of(subject: _Subject, page: Page) -> Any:
    """The bytes of a page's vectors, one row for each."""
    return vectors.as_bytes(page.fields[subject.vector.name], subject.vector.type, subject.dim)


def _search_all(
    subject: _Subject, queries: Sequence[_Query], k: int, search_params: dict[str, Any]
) -> Flow[tuple[list[list[Key]], list[float]]]:
    """The keys in the answer to each query, and its seconds: from here to the server and back, with attempts that failed."""
    answers: list[list[Key]] = []
    seconds: list[float] = []
    for query in queries:
        # One more than k: a search for a stored vector finds its own row.
        call = _search(subject, query.vector, k if query.key is None else k + 1, search_params)
        began = time.perf_counter()
        answer = yield call
        seconds.append(time.perf_counter() - began)
        ids = answer.results.ids
        answers.append(list(ids.str_id.data if subject.key.type == "VARCHAR" else ids.int_id.data))
    return answers, seconds


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
            "placeholder_group": vectors.placeholder([vector], DATA_TYPES[subject.vector.type].number),
            "nq": 1,
            "search_params": to_pairs(settings),
            # As a search without a consistency level does.
            "use_default_consistency": True,
        },
    )


def _compute_truth(subject: _Subject, queries: Sequence[_Query], answers: Sequence[Sequence[Key]], k: int) -> Flow[Truth]:
    kind = subject.vector.type
    searched = vectors.as_numbers(vectors.stack([query.vector for query in queries]), kind)
    truth = Truth(searched, [query.key for query in queries], answers, metric=subject.metric, k=k)

    def take(page: Page) -> None:
        truth.add(page.keys, vectors.as_numbers(_vectors_of(subject, page), kind))

    yield from _rows_of(subject, with_vectors=True).rows(take, page_rows=subject.page_rows)
    return truth
