"""Operators that check a collection before it is served: its number of rows, and the recall of its index.

They only read. A check that fails also fails the task, so nothing downstream runs, such as the swap of an alias.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow.providers.common.compat.sdk import XComArg

from airflow_provider_milvus import kinds
from airflow_provider_milvus.arguments import Argument, OptionalArgument
from airflow_provider_milvus.exceptions import MilvusCheckError, MilvusInvalidArgumentError
from airflow_provider_milvus.operators.base import HOUR, MilvusOperator, MilvusWriteOperator, known, result
from airflow_provider_milvus.operators.part_results import PartResults, check_expected

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.client.flow import Flow


MOST_NEIGHBOURS = 16_383
"""A server answers with 16,384 at most, and the row that is searched for is one of them."""


class Tolerance(NamedTuple):
    """How far a number of rows may be from the expected one: rows, or a share of it."""

    rows: int = 0
    share: float | None = None

    def of(self, expected: int) -> float:
        return self.rows if self.share is None else expected * self.share

    def __str__(self) -> str:
        if self.share is None:
            return f" ± {self.rows}" if self.rows else ""
        return f" ± {self.share * 100:g} %"


def read_tolerance(argument: str, value: Any) -> Tolerance:
    """Rows, or a share such as ``"1%"``."""
    if isinstance(value, Tolerance):
        return value
    text = str(value).strip()
    if text.endswith("%"):
        return Tolerance(share=kinds.check_number(argument, text[:-1], most=100.0) / 100)
    return Tolerance(kinds.check_whole_number(argument, value))


class MilvusRowCountCheckOperator(MilvusWriteOperator):
    """Compare a collection's number of rows with a number, or with that of another collection; fail if it differs.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusRowCountCheckOperator

        rows = MilvusRowCountCheckOperator(task_id="rows", collection_name="docs", same_as="docs_live", tolerance="1%")

    Give exactly one of ``equal_to``, ``at_least`` and ``same_as``. All arguments except ``filter`` are templates: no value can
    change what a filter means. The task only reads.

    The server counts, with strong consistency: rows need not be flushed, and deleted rows do not count. Milvus counts only what
    is in memory, so the collection has to be loaded.

    ``equal_to`` and ``at_least`` also take the output of the tasks that wrote the rows, mapped ones too, and sum what they
    wrote. Then each of them has to have succeeded, with its rows in this collection.

    Returns ``collection``, ``database``, ``rows``, ``expected``, ``difference`` and ``seconds``; ``same_as`` if it was given;
    of tasks' outputs also ``parts``, their number, and the sums of their counts, such as ``written`` and ``refused``.

    :param collection_name: the collection, or an alias of it.
    :param equal_to: the expected number of rows, or tasks' outputs.
    :param at_least: the smallest number of rows, or tasks' outputs.
    :param same_as: another collection, or an alias, of the same database: its number of rows is the expected one.
    :param tolerance: how far the number may be from ``equal_to`` or ``same_as``, up or down: rows, or a share of the expected
        number, such as ``"1%"``; 0 by default.
    :param filter: count only the rows that match this expression, in both collections; by default all rows.
    :param filter_params: the values for ``{name}`` in the filter: numbers, text, bools, dates, or lists of them.
    :param partition_names: count in these partitions only, in both collections; by default, or with ``"*"``, in all.
    :param asset_event: emit an event of the collection's asset when the check has passed, with the counts of the result, in
        place of those that the tasks before do not emit; False by default.
    :param timeout: seconds for the whole operation; by default the connection's ``timeout``, which is 60 unless it says
        otherwise.
    :raises MilvusCheckError: the number is not the expected one; the message has both. A retry counts again. Or one of the
        tasks whose outputs are given has not succeeded, or wrote elsewhere; the message names it.
    :raises MilvusNotLoadedError: a collection, or a part of it, is not in memory.
    :raises MilvusInvalidArgumentError: ``same_as`` is the collection itself, or an argument can never work.
    :raises MilvusCollectionNotFoundError, MilvusPartitionNotFoundError, MilvusDatabaseNotFoundError: it does not exist.
    """

    collection_name = Argument(kinds.check_name)
    equal_to: OptionalArgument[int | PartResults] = OptionalArgument(check_expected)
    at_least: OptionalArgument[int | PartResults] = OptionalArgument(check_expected)
    same_as = OptionalArgument(kinds.check_name)
    tolerance = Argument(read_tolerance)
    filter = OptionalArgument(kinds.check_filter, widens=True, templated=False)
    filter_params = OptionalArgument(kinds.check_mapping)
    partition_names = OptionalArgument(kinds.check_names, widens=True, nothing="*")

    def __init__(
        self,
        *,
        collection_name: str,
        equal_to: Any = None,
        at_least: Any = None,
        same_as: str | None = None,
        tolerance: int | str = 0,
        filter: str | None = None,
        filter_params: Mapping[str, Any] | None = None,
        partition_names: str | Sequence[str] | None = None,
        asset_event: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(asset_event=asset_event, **kwargs)
        self.take(locals())
        self._tasks = {task.task_id for task, _ in XComArg.iter_xcom_references([equal_to, at_least])}
        expectations = ("equal_to", "at_least", "same_as")
        if sum(map(self.is_given, expectations)) != 1:
            raise self.wrong(f"Give exactly one of {', '.join(expectations)}.")
        if self.is_given("at_least") and tolerance != 0:
            raise self.wrong("tolerance has no meaning with at_least. Set at_least to a smaller number.")

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server.filters import render

        began, hook = time.time(), self.hook()
        tolerance = self.tolerance
        wanted = self.equal_to if self.at_least is None else self.at_least
        parts = wanted if isinstance(wanted, PartResults) else None
        if parts is not None:
            parts.check_all_are_there(context, self._tasks)
        counting = self._count(
            self.collection_name, self.same_as, render(self.filter or "", self.filter_params), self.partition_names or []
        )
        collection, rows, rows_of_other = self.carry_out(hook, counting)
        if parts is not None:
            parts.check_collection(hook.settings.database, collection)
        expected = rows_of_other if wanted is None else wanted.rows if isinstance(wanted, PartResults) else wanted
        passed = rows >= expected if self.at_least is not None else abs(rows - expected) <= tolerance.of(expected)
        comparison = self._in_words(collection, rows, expected, tolerance, parts)
        if not passed:
            raise MilvusCheckError(f"{comparison} {hook.settings.where}. Nothing was changed.")
        self.log.info("The row count check passed. %s", comparison)
        totals = {} if parts is None else parts.totals()
        counts: dict[str, Any] = {"rows": rows, "expected": expected, "difference": rows - expected, **totals}
        if self.asset_event:
            self.wrote(context, hook, collection, alias=self.collection_name, **counts)
        return result(hook, collection, began, **counts, **known(same_as=self.same_as))

    def _count(self, collection: str, same_as: str | None, filter: str, partitions: list[str]) -> Flow[tuple[str, int, int]]:
        """The collection's own name, its number of rows, and that of ``same_as`` or 0."""
        from airflow_provider_milvus.client.counting import row_count
        from airflow_provider_milvus.client.reads import describe, real_name

        real = real_name((yield from describe(collection)))
        if same_as is None:
            return real, (yield from row_count(real, filter, partitions)), 0
        other = real_name((yield from describe(same_as)))
        if other == real:
            raise MilvusInvalidArgumentError(
                f"Collection {real!r} was not checked: same_as {same_as!r} is this collection itself. Name another one."
            )
        rows = yield from row_count(real, filter, partitions)
        return real, rows, (yield from row_count(other, filter, partitions))

    def _in_words(self, collection: str, rows: int, expected: int, tolerance: Tolerance, parts: PartResults | None) -> str:
        matching = f" that match {self.filter!r}" if self.filter else ""
        bounds = f"at least {expected}" if self.at_least is not None else f"{expected}{tolerance}"
        source = f", as many as {self.same_as!r}" if self.same_as is not None else f", {parts}" if parts is not None else ""
        return f"Collection {collection!r} has {rows} rows{matching}; expected {bounds}{source}."


class MilvusRecallCheckOperator(MilvusOperator):
    """Measure the recall of a vector index against brute force, and the latency; fail below ``floor``.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusRecallCheckOperator

        recall = MilvusRecallCheckOperator(
            task_id="recall", collection_name="docs", search_params={"ef": 64}, floor=0.95, latency_ceiling_ms=50
        )

    All arguments are templates. Vectors are drawn at random from the collection and searched for, one by one, without
    themselves as an answer. Then every vector of the collection is read, page by page, and the true nearest neighbours are
    computed. Recall is the share of them that the searches found, as the mean of all queries; equal distances are equally
    right. The worker needs a few megabytes, the server reads the vector field once. The task only reads.

    Rows that are written or deleted meanwhile make the result wrong by their share of the neighbours: check a collection before
    it is served.

    Returns ``collection``, ``database``, ``vector_field``, ``metric``, ``recall``, ``k``, ``queries`` (their number), ``rows``,
    ``p50_ms``, ``p95_ms``, ``p99_ms``, ``worst`` (the keys of up to 5 queries with the lowest recall) and ``seconds``.

    :param collection_name: the collection, or an alias of it. It has to be in memory.
    :param field_name: the vector field; by default the only one.
    :param sample: the number of stored vectors to search for, at most; 100 by default.
    :param k: the number of neighbours; 10 by default.
    :param floor: the lowest recall, from 0 to 1; 0.95 by default.
    :param search_params: the parameters of a search, such as ``{"nprobe": 16}`` or ``{"ef": 64}``: those that the collection is
        served with. By default the server's.
    :param latency_ceiling_ms: also fail when the 95th percentile of the latency is above this number of milliseconds; no limit
        by default.
    :param queries: more vectors to search for, each a list of numbers; with ``sample=0`` only these.
    :param seed: a number with which the same vectors are drawn again; by default every run draws others.
    :param timeout: seconds for the whole operation; 3600 by default.
    :raises MilvusCheckError: the recall is too low, or the searches took too long; the message has the figures.
    :raises MilvusNotLoadedError: the collection, or a part of it, is not in memory.
    :raises MilvusReplacedError: the collection was dropped meanwhile, and perhaps made anew. A retry measures that one.
    :raises MilvusUnsupportedError: the vectors are sparse, or the check does not know the metric.
    :raises MilvusCollectionNotFoundError, MilvusDatabaseNotFoundError: it does not exist.
    :raises MilvusTimeoutError: the measurement did not end in time.
    """

    collection_name = Argument(kinds.check_name)
    field_name = OptionalArgument(kinds.check_name)
    sample = Argument(kinds.whole_number())
    k = Argument(kinds.whole_number(1, MOST_NEIGHBOURS))
    floor = Argument(kinds.number(1.0))
    search_params = OptionalArgument(kinds.check_mapping)
    latency_ceiling_ms = OptionalArgument(kinds.number())
    queries = OptionalArgument(kinds.take_any)
    seed = OptionalArgument(kinds.whole_number())

    def __init__(
        self,
        *,
        collection_name: str,
        field_name: str | None = None,
        sample: int = 100,
        k: int = 10,
        floor: float | str = 0.95,
        search_params: Mapping[str, Any] | None = None,
        latency_ceiling_ms: float | str | None = None,
        queries: Sequence[Sequence[float]] | None = None,
        seed: int | None = None,
        timeout: float | timedelta = HOUR,
        **kwargs: Any,
    ) -> None:
        super().__init__(timeout=timeout, **kwargs)
        self.take(locals())
        if sample == 0 and queries is None:
            raise self.wrong("sample is 0 and there are no queries: there is nothing to search for.")

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.recall.measure import measure

        began, hook = time.time(), self.hook()
        floor, ceiling = self.floor, self.latency_ceiling_ms
        if not self.sample and self.queries is None:
            raise self.wrong("sample is 0 and there are no queries: there is nothing to search for.")
        measuring = measure(
            self.collection_name,
            vector_field=self.field_name,
            sample=self.sample,
            k=self.k,
            search_params=self.search_params,
            queries=self.queries or (),
            seed=self.seed,
            report=self.log.info,
        )
        measured = self.carry_out(hook, measuring)
        figures = (
            f"Recall@{self.k} of field {measured.vector_field!r} in collection {measured.collection!r} is {measured.recall:g} "
            f"over {measured.queries} queries, floor {floor:g}; p50 {measured.latency['p50_ms']:g} ms, "
            f"p95 {measured.latency['p95_ms']:g} ms, p99 {measured.latency['p99_ms']:g} ms"
            + ("" if ceiling is None else f", ceiling {ceiling:g} ms")
        )
        if measured.recall < floor or (ceiling is not None and measured.latency["p95_ms"] > ceiling):
            worst = f" Worst: {', '.join(map(str, measured.worst))}." if measured.worst else ""
            raise MilvusCheckError(f"{figures}.{worst} {hook.settings.where}. Nothing was changed.")
        self.log.info("The recall check passed. %s.", figures)
        values = asdict(measured)
        return result(hook, values.pop("collection"), began, **values.pop("latency"), **values)
