"""Operators that check a collection before it is served: how many rows it has, and how much of the truth its index finds.

They only read. A check that does not hold fails the task, so that nothing downstream, such as an alias swap, happens.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.arguments import name, names, seconds, whole_number
from airflow_provider_milvus.exceptions import MilvusCheckError, MilvusInvalidArgumentError
from airflow_provider_milvus.operators.base import MilvusOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.client.flow import Flow
    from airflow_provider_milvus.recall.measure import Recall


class MilvusRowCountCheckOperator(MilvusOperator):
    """Compare the number of rows with a number, or with another collection's.

    The server counts (``count(*)``, strong consistency): all that was written before is in, what was deleted is not, and
    nothing has to be flushed. Milvus counts only what is in memory, so the collection has to be loaded.

    Returns ``collection``, ``database``, ``rows``, ``expected``, ``difference``, ``seconds``, and ``same_as`` if it was given.

    :param collection_name: the collection, or an alias of it. (templated)
    :param equal_to: so many rows. Give exactly one of this and the next two. (templated)
    :param at_least: so many rows or more. (templated)
    :param same_as: as many as this collection, or alias, of the same database has. (templated)
    :param tolerance: how far from ``equal_to`` or ``same_as`` it may be, either way: rows, or a share of the expected number
        such as ``"1%"``. (templated)
    :param filter: count only the rows that match, in both collections. It is no template, so that no value can change what it
        means.
    :param filter_params: values for ``{name}`` in the filter, quoted safely. (templated)
    :param partition_names: count in these partitions only, in both collections. (templated)
    :raises MilvusCheckError: the check does not hold; it names both numbers.
    :raises MilvusNotLoadedError: a collection is not in memory, or not all of it.
    :raises MilvusInvalidArgumentError: ``collection_name`` and ``same_as`` are the same collection, or a number is none.
    """

    template_fields: Sequence[str] = (
        *MilvusOperator.template_fields,
        "collection_name",
        "equal_to",
        "at_least",
        "same_as",
        "tolerance",
        "filter_params",
        "partition_names",
    )

    def __init__(
        self,
        *,
        collection_name: str,
        equal_to: int | str | None = None,
        at_least: int | str | None = None,
        same_as: str | None = None,
        tolerance: int | str = 0,
        filter: str = "",
        filter_params: Mapping[str, Any] | None = None,
        partition_names: str | Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        given = {"equal_to": equal_to, "at_least": at_least, "same_as": same_as}
        if sum(each is not None for each in given.values()) != 1:
            raise MilvusInvalidArgumentError(f"Give exactly one of {', '.join(given)}.")
        if at_least is not None and tolerance != 0:
            raise MilvusInvalidArgumentError("tolerance has no meaning with at_least: ask for fewer.")
        self.collection_name = collection_name
        self.equal_to = equal_to
        self.at_least = at_least
        self.same_as = same_as
        self.tolerance = tolerance
        self.filter = filter
        self.filter_params = filter_params
        self.partition_names = partition_names

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server.filters import render

        began, hook = time.time(), self.hook()
        tolerance = _Tolerance(self.tolerance)
        given = None
        if self.at_least is not None:
            given = whole_number("at_least", self.at_least)
        elif self.equal_to is not None:
            given = whole_number("equal_to", self.equal_to)
        counting = self._count(
            name("collection_name", self.collection_name),
            None if self.same_as is None else name("same_as", self.same_as),
            render(self.filter, self.filter_params),
            [] if self.partition_names is None else names("partition_names", self.partition_names),
        )
        with hook.client() as client:
            collection, found, other = client.run(counting, hook.deadline())
        wanted = other if given is None else given
        result = {
            "collection": collection,
            "database": hook.settings.database,
            "rows": found,
            "expected": wanted,
            "difference": found - wanted,
            "seconds": round(time.time() - began, 3),
            **({"same_as": self.same_as} if self.same_as is not None else {}),
        }
        holds = found >= wanted if self.at_least is not None else abs(found - wanted) <= tolerance.of(wanted)
        words = self._words(collection, found, wanted, tolerance)
        if not holds:
            raise MilvusCheckError(f"The row count check does not hold: {words} {hook.settings.where}. Nothing was changed.")
        self.log.info("The row count check holds: %s", words)
        return result

    def _count(self, collection: str, same_as: str | None, filter: str, partitions: list[str]) -> Flow[tuple[str, int, int]]:
        """The collection's own name, its rows, and those of ``same_as``, or 0."""
        from airflow_provider_milvus.client.reads import describe, real_name, row_count

        real = real_name((yield from describe(collection)))
        if same_as is None:
            return real, (yield from row_count(real, filter, partitions)), 0
        other = real_name((yield from describe(same_as)))
        if other == real:
            raise MilvusInvalidArgumentError(f"same_as {same_as!r} is the collection {real!r} itself: it has as many rows.")
        found = yield from row_count(real, filter, partitions)
        return real, found, (yield from row_count(other, filter, partitions))

    def _words(self, collection: str, found: int, wanted: int, tolerance: _Tolerance) -> str:
        matching = f" that match {self.filter!r}" if self.filter else ""
        compared = f"at least {wanted}" if self.at_least is not None else f"{wanted}{tolerance}"
        source = f", as many as {self.same_as!r}" if self.same_as is not None else ""
        return f"collection {collection!r} has {found} rows{matching}; expected {compared}{source}."


class MilvusRecallCheckOperator(MilvusOperator):
    """Measure recall@k of a vector index against brute force, with the latency of the same searches; fail below ``floor``.

    Vectors drawn at random from the collection are searched for one by one, each without itself as an answer; then every vector
    of the collection is read, page by page, and the true nearest neighbours are computed. Recall is the share of them that the
    searches found, the mean over all queries. Equal distances are equally right. In the worker it takes a few megabytes; the
    server reads the whole vector field once.

    Rows that are written or deleted while it runs make it wrong by as much as they are among the neighbours: check before
    the collection is served.

    Returns ``collection``, ``database``, ``vector_field``, ``metric``, ``recall``, ``k``, ``queries``, ``rows``, ``p50_ms``,
    ``p95_ms``, ``p99_ms``, ``worst`` (the keys of up to 5 queries that found the least) and ``seconds``.

    :param collection_name: the collection, or an alias of it; loaded. (templated)
    :param vector_field: the vector field; None: the only one. (templated)
    :param sample: how many stored vectors to search for, at most.
    :param k: how many neighbours.
    :param floor: the least recall, from 0 to 1. (templated)
    :param search_params: as a search has them, such as ``{"nprobe": 16}`` or ``{"ef": 64}``: those that it is served with.
        None: the server's own. (templated)
    :param latency_ceiling_ms: fail as well when the 95th percentile takes more milliseconds than that. (templated)
    :param queries: vectors to search for besides, each a list of numbers. With ``sample=0`` only these.
    :param seed: draw the same vectors again; None: others each time.
    :param timeout: seconds for all of it.
    :raises MilvusCheckError: the recall is below the floor, or the searches took too long; it has the figures.
    :raises MilvusNotLoadedError: the collection is not in memory, or not all of it.
    :raises MilvusUnsupportedError: the vectors are sparse, or the metric is one that brute force is not written for.
    """

    template_fields: Sequence[str] = (
        *MilvusOperator.template_fields,
        "collection_name",
        "vector_field",
        "floor",
        "search_params",
        "latency_ceiling_ms",
    )

    def __init__(
        self,
        *,
        collection_name: str,
        vector_field: str | None = None,
        sample: int = 100,
        k: int = 10,
        floor: float | str = 0.95,
        search_params: Mapping[str, Any] | None = None,
        latency_ceiling_ms: float | str | None = None,
        queries: Sequence[Sequence[float]] = (),
        seed: int | None = None,
        timeout: float = 600.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(timeout=seconds("timeout", timeout), **kwargs)
        self.collection_name = collection_name
        self.vector_field = vector_field
        self.sample = whole_number("sample", sample)
        self.k = whole_number("k", k)
        if not 1 <= self.k <= MOST_NEIGHBOURS:
            raise MilvusInvalidArgumentError(f"k must be from 1 to {MOST_NEIGHBOURS}, not {k!r}.")
        if not self.sample and not queries:
            raise MilvusInvalidArgumentError("sample is 0 and there are no queries: there is nothing to search for.")
        self.floor = floor
        self.search_params = search_params
        self.latency_ceiling_ms = latency_ceiling_ms
        self.queries = queries
        self.seed = seed

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.recall.measure import measure

        began, hook = time.time(), self.hook()
        if self.search_params is not None and not isinstance(self.search_params, Mapping):
            raise MilvusInvalidArgumentError(f"search_params must be a dict, not {self.search_params!r}.")
        floor = _number("floor", self.floor, most=1.0)
        ceiling = None if self.latency_ceiling_ms is None else _number("latency_ceiling_ms", self.latency_ceiling_ms)
        measuring = measure(
            name("collection_name", self.collection_name),
            vector_field=None if self.vector_field is None else name("vector_field", self.vector_field),
            sample=self.sample,
            k=self.k,
            search_params=self.search_params,
            queries=self.queries,
            seed=self.seed,
            report=self.log.info,
        )
        with hook.client() as client:
            measured = client.run(measuring, hook.deadline())
        result = _result(hook.settings.database, measured, began)
        words = (
            f"recall@{self.k} of {measured.vector_field!r} in {measured.collection!r} is {measured.recall:g} over "
            f"{measured.queries} queries, floor {floor:g}; p50 {measured.latency['p50_ms']:g} ms, "
            f"p95 {measured.latency['p95_ms']:g} ms, p99 {measured.latency['p99_ms']:g} ms"
            + ("" if ceiling is None else f", ceiling {ceiling:g} ms")
        )
        if measured.recall < floor or (ceiling is not None and measured.latency["p95_ms"] > ceiling):
            worst = f" Worst: {', '.join(map(str, measured.worst))}." if measured.worst else ""
            raise MilvusCheckError(
                f"The recall check does not hold: {words}.{worst} {hook.settings.where}. Nothing was changed."
            )
        self.log.info("The recall check holds: %s.", words)
        return result


MOST_NEIGHBOURS = 16_383
"""A server gives at most 16,384, and a row that is searched for is one of them."""


def _number(argument: str, value: Any, most: float = math.inf) -> float:
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= most:
        limit = f" to {most:g}" if most < math.inf else " on"
        raise MilvusInvalidArgumentError(f"{argument} must be a number from 0{limit}, not {value!r}.")
    return number


class _Tolerance:
    """Rows, or a share of the number that is expected."""

    def __init__(self, value: Any) -> None:
        text = str(value).strip()
        self._share = _number("tolerance", text[:-1], most=100.0) / 100 if text.endswith("%") else None
        self._rows = whole_number("tolerance", value) if self._share is None else 0

    def of(self, expected: int) -> float:
        return self._rows if self._share is None else expected * self._share

    def __str__(self) -> str:
        if self._share is None:
            return f" ± {self._rows}" if self._rows else ""
        return f" ± {self._share * 100:g} %"


def _result(database: str, measured: Recall, began: float) -> dict[str, Any]:
    return {
        "collection": measured.collection,
        "database": database,
        "vector_field": measured.vector_field,
        "metric": measured.metric,
        "recall": measured.recall,
        "k": measured.k,
        "queries": measured.queries,
        "rows": measured.rows,
        **measured.latency,
        "worst": measured.worst,
        "seconds": round(time.time() - began, 3),
    }
