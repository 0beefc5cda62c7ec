"""A search, as a flow: the rows that are nearest to vectors, texts or other rows, by one vector field or by several."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.flow import Flow, Rpc
from airflow_provider_milvus.client.silence import Progress
from airflow_provider_milvus.conditions import describe_indexes
from airflow_provider_milvus.rows.chunk import MISSING
from airflow_provider_milvus.rows.column import shorten
from airflow_provider_milvus.rows.source import read_rows
from airflow_provider_milvus.schema.model import Field
from airflow_provider_milvus.schema.pairs import from_pairs, to_pairs
from airflow_provider_milvus.schema.types import DATA_TYPES
from airflow_provider_milvus.search import decode, vectors
from airflow_provider_milvus.search.answer import Found
from airflow_provider_milvus.search.source import Source, find_source
from airflow_provider_milvus.search.walk import Walk, consistency
from airflow_provider_milvus.server.deletes import read_key
from airflow_provider_milvus.server.filters import to_literal

AT_ONCE = 100
"""Queries in one call, and fewer where that would be more than ``HITS_AT_ONCE``: a server refuses answers of 100 MB."""
HITS_AT_ONCE = 10_000
SEARCH_TIMEOUT = 60.0
_TEXT = 21
"""The protocol's number for a text that the server itself makes a vector of."""


@dataclass(frozen=True, slots=True)
class Request:
    """One search by one vector field; several of them are a hybrid search.

    :param data: vectors, or texts where the server makes vectors of them.
    :param ids: in their place the keys of rows, whose vectors are searched for.
    """

    anns_field: str | None = None
    data: Sequence[Any] = ()
    ids: Sequence[Any] = ()
    limit: int = 10
    filter: str = ""
    search_params: Mapping[str, Any] = field(default_factory=dict)


def search(
    collection_name: str,
    requests: Sequence[Request],
    *,
    limit: int = 10,
    ranker: Mapping[str, Any] | None = None,
    output_fields: Collection[str] | None = None,
    partition_names: Sequence[str] = (),
    group_by_field: str | None = None,
    consistency_level: str = "",
    with_metric: bool = False,
) -> Flow[Found]:
    """Search for all queries of ``requests``, which have as many of them each; return at most ``limit`` hits of each query.

    :param ranker: how the hits of several fields become one list: ``{"strategy": "rrf", "params": {"k": 60}}`` or
        ``{"strategy": "weighted", "params": {"weights": [0.7, 0.3]}}``.
    :param with_metric: ask for the metric of the field as well.
    :raises MilvusNotLoadedError: not all of it is in memory. Some servers would silently leave rows out.
    :raises MilvusReplacedError: the collection was dropped meanwhile.
    :raises MilvusInvalidArgumentError: the queries do not fit the field, or there is no such field or row.
    :raises MilvusUnsupportedError: the server has no hybrid search, as Milvus 2.3.5.
    """
    source = yield from find_source(collection_name, partition_names, "Collection {!r} was not searched.")
    asked = []
    for request in requests:
        vector = _vector_field(source, request.anns_field)
        asked.append((request, vector, (yield from _encoded(source, vector, request, consistency_level))))
    counts = {len(queries) for _, _, (_, queries) in asked}
    if len(counts) != 1:
        raise exceptions.MilvusInvalidArgumentError(
            f"Collection {source.collection!r} was not searched: its requests have {', '.join(map(str, sorted(counts)))} "
            "queries, and a hybrid search needs as many in each."
        )
    metric = ""
    if with_metric and len(requests) == 1:
        indexes = yield from describe_indexes(source.collection, asked[0][1].name)
        metric = from_pairs(indexes[0].params).get("metric_type", "").upper() if indexes else ""
    wanted = decode.wanted_fields(source.schema, output_fields)
    common = {
        "collection_name": source.collection,
        "partition_names": list(partition_names),
        "output_fields": wanted,
        **consistency(consistency_level),
    }
    grouped = {} if group_by_field is None else {"group_by_field": group_by_field}
    answers: list[Any] = []
    (count,) = counts
    progress = Progress()
    # What servers do with several queries in a hybrid search is not known.
    step = max(1, min(AT_ONCE, HITS_AT_ONCE // limit)) if len(requests) == 1 else 1
    for first in range(0, count, step):
        calls = [
            _fields_of_search(source, vector, kind, queries[first : first + step], request, grouped)
            for request, vector, (kind, queries) in asked
        ]
        if len(calls) == 1:
            call = Rpc("Search", {**calls[0], **common}, SEARCH_TIMEOUT)
        else:
            ranked = {**(ranker or {"strategy": "rrf", "params": {"k": 60}}), "limit": limit, "round_decimal": -1, **grouped}
            each = [{**one, **{key: common[key] for key in ("collection_name", "partition_names")}} for one in calls]
            call = Rpc("HybridSearch", {**common, "requests": each, "rank_params": to_pairs(ranked)}, SEARCH_TIMEOUT)
        answers.append((yield call).results)
        progress.tell("Searched collection %r for %s of %s queries so far.", source.collection, first + step, count)
    yield from source.subject.check()
    return Found(source.collection, answers, source.schema, wanted, metric)


def search_files(
    collection_name: str,
    paths: Any,
    request: Request,
    *,
    data_column: str | None = None,
    partition_names: Sequence[str] = (),
    take: Callable[[Found], object],
    **asked: Any,
) -> Flow[str]:
    """Search for the vectors, or the texts, in files, some at a time; return the collection's own name.

    :param paths: as the rows of an ingest. ``data_column`` is the column to search for; by default the field's name.
    :param take: called with the hits of the next queries; with none where the files have no row.
    :raises MilvusSourceError: a file does not exist, or cannot be read.
    :raises MilvusInvalidArgumentError: a file has no such column, or a row has nothing to search for.
    :raises MilvusReplacedError: the collection was dropped meanwhile, or has another name now.
    """
    source = yield from find_source(collection_name, partition_names, "Collection {!r} was not searched.")
    was_not = f"Collection {source.collection!r} was not searched for all queries"
    vector = _vector_field(source, request.anns_field)
    asked_for = Field(vector.name, "VARCHAR") if vector.name in source.schema.computed else vector
    schema = replace(source.schema, fields=(asked_for,), functions=(), enable_dynamic_field=False)
    columns = {vector.name: data_column or vector.name}
    found, searched, progress = None, 0, Progress()
    for chunk in read_rows(paths, schema, batch_rows=10 * AT_ONCE, columns=columns):
        for row in chunk.bad:
            raise exceptions.MilvusInvalidArgumentError(f"{was_not}: {row}.")
        queries = list(chunk.columns[vector.name])
        for number, query in zip(chunk.row_numbers, queries, strict=True):
            if query is None or query is MISSING:
                raise exceptions.MilvusInvalidArgumentError(f"{was_not}: row {number} has no {columns[vector.name]!r}.")
        part = replace(request, anns_field=vector.name, data=queries)
        found = yield from search(source.collection, [part], partition_names=partition_names, **asked)
        take(found)
        searched += len(queries)
        progress.tell("Searched collection %r for %s queries so far.", source.collection, f"{searched:,}")
    if found is None:
        take(Found(source.collection, (), source.schema, decode.wanted_fields(source.schema, asked.get("output_fields"))))
    # Each part has found the collection anew.
    yield from source.subject.check("Hits of both may have been taken.")
    return source.collection


def _vector_field(source: Source, name: str | None) -> Field:
    candidates = [field for field in source.schema.fields if field.is_vector]
    chosen = [field for field in candidates if name in (None, field.name)]
    if len(chosen) != 1:
        names = ", ".join(repr(field.name) for field in candidates)
        raise exceptions.MilvusInvalidArgumentError(
            f"Collection {source.collection!r} was not searched: anns_field is {name!r}, and it has {names}. Name one."
        )
    return chosen[0]


def _encoded(source: Source, vector: Field, request: Request, consistency_level: str) -> Flow[tuple[int, list[bytes]]]:
    """The placeholder type of the queries, and their bytes."""
    kind = DATA_TYPES[vector.type].number
    if request.ids:
        return kind, (yield from _vectors_of_rows(source, vector, request.ids, consistency_level))
    failure = f"Collection {source.collection!r} was not searched: data"
    if any(isinstance(value, str) for value in request.data) and vector.name in source.schema.computed:
        for position, text in enumerate(request.data):
            if not isinstance(text, str):
                raise exceptions.MilvusInvalidArgumentError(f"{failure}[{position}] is {shorten(text)}, and others are texts.")
        return _TEXT, [text.encode() for text in request.data]
    return kind, vectors.encode_queries(request.data, vector, failure)


def _vectors_of_rows(source: Source, vector: Field, ids: Sequence[Any], consistency_level: str) -> Flow[list[bytes]]:
    primary, failure = source.schema.primary, f"Collection {source.collection!r} was not searched"
    keys = [read_key(primary, value, failure) for value in ids]
    if vector.name in source.schema.computed or vector.nullable:
        raise exceptions.MilvusUnsupportedError(f"{failure}: the vectors of field {vector.name!r} cannot be read. Give data.")
    filter = f"{primary.name} in {to_literal(sorted(set(keys)))}"
    found: dict[Any, bytes] = {}

    def take(page: Any) -> None:
        column = page.fields[vector.name]
        if vector.type == "SPARSE_FLOAT_VECTOR":
            encoded = list(column.vectors.sparse_float_vector.contents)
        else:
            encoded = [row.tobytes() for row in vectors.as_bytes(column, vector.type, vector.dim or 0)]
        found.update(zip(page.keys, encoded, strict=True))

    walk = Walk(source.subject, primary, [vector.name], filter, source.partition_names, consistency_level)
    yield from walk.rows(take, page_rows=1_000)
    if missing := [key for key in keys if key not in found]:
        raise exceptions.MilvusInvalidArgumentError(f"{failure}: it has no row with the key {missing[0]!r}.")
    return [found[key] for key in keys]


def _fields_of_search(
    source: Source, vector: Field, kind: int, queries: Sequence[bytes], request: Request, grouped: Mapping[str, Any]
) -> dict[str, Any]:
    params = dict(request.search_params)
    settings = {
        "anns_field": vector.name,
        "topk": request.limit,
        "round_decimal": -1,
        **({"metric_type": params.pop("metric_type")} if "metric_type" in params else {}),
        **grouped,
    }
    settings["params"] = json.dumps(params)
    return {
        "dsl": request.filter or source.match_all,
        "dsl_type": "BoolExprV1",
        "placeholder_group": vectors.placeholder(queries, kind),
        "nq": len(queries),
        "search_params": to_pairs(settings),
    }
