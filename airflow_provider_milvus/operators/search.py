"""The operator that searches. The work is in ``search/search.py``, which is imported when a task runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus import kinds
from airflow_provider_milvus.arguments import Argument, OptionalArgument
from airflow_provider_milvus.exceptions import MilvusCheckError, MilvusInvalidArgumentError
from airflow_provider_milvus.operators.base import MilvusOperator, result
from airflow_provider_milvus.operators.read_rows import LEVELS, RowsOfResult, check_answer_file, check_fields, outcome

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.client.flow import Flow
    from airflow_provider_milvus.search.answer import Found
    from airflow_provider_milvus.search.search import Request

MOST_HITS = 16_384
LESS_IS_NEARER = frozenset({"L2", "HAMMING", "JACCARD"})


def check_queries(argument: str, value: Any) -> list[Any]:
    """Vectors or texts, or one of them."""
    # What looks like a list and is none is a text to search for.
    value = value.tolist() if hasattr(value, "tolist") else kinds.read_list(value)
    if isinstance(value, (str, Mapping)) or (isinstance(value, (list, tuple)) and value and isinstance(value[0], (int, float))):
        return [value]
    if not isinstance(value, Iterable):
        raise MilvusInvalidArgumentError(f"{argument} must be vectors or texts, not {value!r}.")
    return list(value)


def check_expected(argument: str, value: Any) -> list[list[Any]]:
    """For each query the keys that its hits must have."""
    return [
        kinds.check_keys(f"{argument}[{position}]", keys) for position, keys in enumerate(kinds.check_keys(argument, value))
    ]


def check_requests(argument: str, value: Any) -> list[dict[str, Any]]:
    """Two searches or more, each by a field of its own."""
    requests = kinds.check_keys(argument, value)
    if len(requests) < 2:
        raise MilvusInvalidArgumentError(f"{argument} must be a list of two dicts or more, one for each field, not {value!r}.")
    read = []
    for position, request in enumerate(requests):
        where = f"{argument}[{position}]"
        given = kinds.check_mapping(where, request)
        if unknown := sorted(given.keys() - {"anns_field", "data", "limit", "search_params"}):
            raise MilvusInvalidArgumentError(
                f"{where} has {unknown[0]!r}; it may have 'anns_field', 'data', 'limit' and 'search_params'."
            )
        if kinds.is_nothing(given.get("anns_field")) or kinds.is_nothing(given.get("data")):
            raise MilvusInvalidArgumentError(f"{where} needs 'anns_field' and 'data'.")
        read.append(
            {
                "anns_field": kinds.check_name(f"{where}.anns_field", given["anns_field"]),
                "data": check_queries(f"{where}.data", given["data"]),
                **(
                    {"limit": kinds.check_whole_number(f"{where}.limit", given["limit"], 1, MOST_HITS)}
                    if "limit" in given
                    else {}
                ),
                "search_params": kinds.check_mapping(f"{where}.search_params", given.get("search_params", {})),
            }
        )
    return read


def check_ranker(argument: str, value: Any) -> dict[str, Any]:
    """``"rrf"``, ``{"rrf": {"k": 60}}`` or ``{"weighted": {"weights": [0.7, 0.3]}}``."""
    named = {value: {}} if isinstance(value, str) else value
    if not isinstance(named, Mapping) or len(named) != 1 or next(iter(named)) not in ("rrf", "weighted"):
        raise MilvusInvalidArgumentError(
            f'{argument} must be "rrf", {{"rrf": {{"k": 60}}}} or {{"weighted": {{"weights": […]}}}}, not {value!r}.'
        )
    return {name: kinds.check_mapping(f"{argument}[{name!r}]", params) for name, params in named.items()}


class MilvusSearchOperator(MilvusOperator):
    """Search for the rows that are nearest to vectors, texts or other rows; fail where they are not what they should be.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusSearchOperator

        known_questions = MilvusSearchOperator(
            task_id="known_questions",
            collection_name="docs",
            data="{{ ti.xcom_pull('embed') }}",
            expect=[["gzip"], ["json", "csv"]],
            min_hits=10,
        )

    Give exactly one of ``data``, ``ids``, ``data_files`` and ``requests``. All arguments except ``filter`` are templates: no
    value can change what a filter means. ``min_hits``, ``min_score`` and ``expect`` make a gate of the task: what is
    downstream, such as the swap of an alias, runs only where they hold. The task only reads.

    Returns ``collection``, ``database``, ``queries`` (their number), ``count`` (of all hits), ``seconds`` and ``hits`` with
    ``complete``: a list for each query, the nearest first, of ``{"id": 7, "distance": 0.9, "entity": {…}}``, as many of these
    lists as fit into 100 kB, and whether these are all of them; with ``output_path`` that path in their place.

    :param collection_name: the collection, or an alias of it. It has to be in memory.
    :param data: vectors, or texts where a function of the collection makes vectors of them, or one of these.
    :param ids: the keys of rows whose vectors are searched for. Such a row is a hit itself.
    :param data_files: in place of them files of vectors, or of such texts: paths or URLs of Parquet, JSON or CSV files,
        directories or patterns, read some at a time. With ``split_files`` and ``expand`` several tasks share them.
    :param data_column: the column of ``data_files`` to search for; by default the field's name.
    :param anns_field: the vector field; by default the only one.
    :param requests: a hybrid search, by several fields: for each a dict of ``anns_field``, ``data``, and if need be ``limit``
        and ``search_params``. Each has as many queries.
    :param ranker: of a hybrid search, how its hits become one list: ``"rrf"``, the default, ``{"rrf": {"k": 60}}`` or
        ``{"weighted": {"weights": [0.7, 0.3]}}``.
    :param limit: the number of hits of a query; 10 by default.
    :param filter: search among the rows that match this expression; by default among all.
    :param filter_params: the values for ``{name}`` in the filter: numbers, text, bools, dates, or lists of them.
    :param search_params: the parameters of the index, such as ``{"ef": 64}``, or a range: ``{"radius": 0.4,
        "range_filter": 0.8}``. By default the server's.
    :param output_fields: what ``entity`` has, ``"*"`` for all fields; by default all but vectors.
    :param partition_names: search in these partitions only; by default, or with ``"*"``, in all.
    :param group_by_field: at most one hit for each value of this field; by default hits are not grouped.
    :param consistency_level: such as ``"Strong"``, to see every row that was written before; by default the collection's.
    :param min_hits: fail when a query has fewer hits; by default any number is right.
    :param min_score: fail when the first hit of a query is not that near: below this similarity, or, of the metrics L2, HAMMING
        and JACCARD, beyond this distance. By default any is right. Not for a hybrid search.
    :param expect: for each query the keys that have to be among its hits, such as those of known questions.
    :param expect_share: the least share of the keys in ``expect`` that have to be there; 1 by default, which is all of them.
    :param output_path: write the hits to this file, ``.parquet``, ``.jsonl`` or ``.jsonl.gz``, with the position of their
        ``query``, on any storage that Airflow reaches. After an error, or where a gate does not hold, the file is as it was.
    :param timeout: seconds for the whole operation; by default the connection's ``timeout``, which is 60 unless it says
        otherwise.
    :raises MilvusCheckError: a gate does not hold; the message names the queries. A retry searches again.
    :raises MilvusNotLoadedError: the collection, or a part of it, is not in memory.
    :raises MilvusReplacedError: the collection was dropped meanwhile, and perhaps made anew. A retry reads that one.
    :raises MilvusUnsupportedError: the server has no hybrid search.
    :raises MilvusCollectionNotFoundError, MilvusPartitionNotFoundError, MilvusDatabaseNotFoundError: it does not exist.
    """

    collection_name = Argument(kinds.check_name)
    data = OptionalArgument(check_queries)
    ids = OptionalArgument(kinds.check_keys)
    data_files = OptionalArgument(kinds.check_files)
    data_column = OptionalArgument(kinds.check_text)
    anns_field = OptionalArgument(kinds.check_name)
    requests = OptionalArgument(check_requests)
    ranker = OptionalArgument(check_ranker)
    limit = Argument(kinds.whole_number(1, MOST_HITS))
    filter = OptionalArgument(kinds.check_filter, widens=True, templated=False)
    filter_params = OptionalArgument(kinds.check_mapping)
    search_params = OptionalArgument(kinds.check_mapping)
    output_fields = OptionalArgument(check_fields)
    partition_names = OptionalArgument(kinds.check_names, widens=True, nothing="*")
    group_by_field = OptionalArgument(kinds.check_name)
    consistency_level = OptionalArgument(kinds.one_of(*LEVELS))
    min_hits = OptionalArgument(kinds.whole_number(1, MOST_HITS))
    min_score = OptionalArgument(kinds.number())
    expect = OptionalArgument(check_expected)
    expect_share = Argument(kinds.number(1.0))
    output_path = OptionalArgument(check_answer_file)

    def __init__(
        self,
        *,
        collection_name: str,
        data: Any = None,
        ids: Sequence[Any] | str | None = None,
        data_files: Any = None,
        data_column: str | None = None,
        anns_field: str | None = None,
        requests: Sequence[Mapping[str, Any]] | None = None,
        ranker: str | Mapping[str, Any] | None = None,
        limit: int = 10,
        filter: str | None = None,
        filter_params: Mapping[str, Any] | None = None,
        search_params: Mapping[str, Any] | None = None,
        output_fields: str | Sequence[str] | None = None,
        partition_names: str | Sequence[str] | None = None,
        group_by_field: str | None = None,
        consistency_level: str | None = None,
        min_hits: int | None = None,
        min_score: float | None = None,
        expect: Sequence[Any] | None = None,
        expect_share: float = 1.0,
        output_path: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.take(locals())
        searched = ("data", "ids", "requests", "data_files")
        if sum(map(self.is_given, searched)) != 1:
            raise self.wrong(f"Give exactly one of {', '.join(searched)}.")
        if self.is_given("data_column") and not self.is_given("data_files"):
            raise self.wrong("data_column is for data_files, and there are none.")
        if self.is_given("expect") and self.is_given("data_files"):
            raise self.wrong("expect names the keys of each query, and data_files may have any number. Give data.")
        if self.is_given("requests"):
            for name in ("anns_field", "search_params", "min_score"):
                if self.is_given(name):
                    raise self.wrong(f"{name} has no meaning for several fields. Leave it out.")
        elif self.is_given("ranker"):
            raise self.wrong("ranker has a meaning only with requests. Leave it out.")
        self._check_limit()

    def _check_limit(self) -> None:
        if isinstance(self.limit, int) and isinstance(self.min_hits, int) and self.min_hits > self.limit:
            raise self.wrong(f"min_hits is {self.min_hits}, and limit lets a query have {self.limit} hits. Raise limit.")

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.search.row_file import row_file

        self._check_limit()
        began, hook = time.time(), self.hook()
        rows, queries, count = RowsOfResult(), 0, 0

        def take(found: Found) -> None:
            nonlocal queries, count
            if problems := self._problems(found, queries):
                more = f" And {len(problems) - 5} more." if len(problems) > 5 else ""
                raise MilvusCheckError(
                    f"Collection {found.collection!r} was searched, and {' '.join(problems[:5])}{more} {hook.settings.where}. "
                    "Nothing was changed."
                )
            if file is None:
                rows.add(found.hits)
            else:
                for part in found.parts(queries):
                    file.take(part)
            count += sum(map(len, found.hits))
            queries += len(found.hits)

        with row_file(self.output_path) if self.output_path else nullcontext() as file:
            collection = self.carry_out(hook, self._search(take))
        self.log.info("Searched collection %r for %s queries: %s hits.", collection, queries, f"{count:,}")
        counts = {"queries": queries, "count": count}
        return result(hook, collection, began, **counts, **outcome(self, self.output_path, rows, "hits"))

    def _search(self, take: Callable[[Found], object]) -> Flow[str]:
        """Call ``take`` with what is found, some queries at a time; return the collection's own name."""
        from airflow_provider_milvus.search.search import search, search_files

        asked: dict[str, Any] = {
            "limit": self.limit,
            "output_fields": self.output_fields,
            "partition_names": self.partition_names or (),
            "group_by_field": self.group_by_field,
            "consistency_level": self.consistency_level or "",
            "with_metric": self.min_score is not None,
        }
        if self.data_files is not None:
            (request,) = self._requests()
            files = search_files(
                self.collection_name, self.data_files, request, data_column=self.data_column, take=take, **asked
            )
            return (yield from files)
        ranker = None
        if self.ranker is not None:
            ((strategy, params),) = self.ranker.items()
            ranker = {"strategy": strategy, "params": params}
        found = yield from search(self.collection_name, self._requests(), ranker=ranker, **asked)
        take(found)
        return found.collection

    def _requests(self) -> list[Request]:
        from airflow_provider_milvus.search.search import Request
        from airflow_provider_milvus.server.filters import render

        filter = render(self.filter or "", self.filter_params)
        if self.requests is None:
            return [
                Request(self.anns_field, self.data or (), self.ids or (), self.limit, filter, self.search_params or {}),
            ]
        return [Request(**{"limit": self.limit, **request}, filter=filter) for request in self.requests]

    def _problems(self, found: Found, first: int) -> list[str]:
        """What does not hold, in words. ``first`` is the position of the first of its queries."""
        problems = []
        if self.expect is not None and len(self.expect) != len(found.hits):
            raise MilvusInvalidArgumentError(
                f"Collection {found.collection!r} was searched for {len(found.hits)} queries, and expect is for "
                f"{len(self.expect)}."
            )
        is_distance = found.metric in LESS_IS_NEARER
        for position, hits in enumerate(found.hits, first):
            query = f"query {position}"
            if len(hits) < (self.min_hits or 0):
                problems.append(f"{query} has {len(hits)} hits; expected at least {self.min_hits}.")
            if self.min_score is not None and hits:
                score = hits[0]["distance"]
                if (score > self.min_score) if is_distance else (score < self.min_score):
                    expected = "at most" if is_distance else "at least"
                    problems.append(f"the first hit of {query} has {score:g}; expected {expected} {self.min_score:g}.")
            elif self.min_score is not None:
                problems.append(f"{query} has no hit.")
        if self.expect is not None:
            missing = [
                (position, key)
                for position, (keys, hits) in enumerate(zip(self.expect, found.hits, strict=True))
                for key in keys
                if str(key) not in {str(hit["id"]) for hit in hits}
            ]
            asked = sum(map(len, self.expect))
            if asked - len(missing) < self.expect_share * asked:
                named = ", ".join(f"{key!r} of query {position}" for position, key in missing[:5])
                problems.append(f"{asked - len(missing)} of {asked} expected keys are among the hits; missing: {named}.")
        return problems
