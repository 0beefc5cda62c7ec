"""Who uses what: asked of the metrics for a plan, and once more just before each release."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.exceptions import MilvusMetricsError
from airflow_provider_milvus.reclaim.inventory import CollectionState
from airflow_provider_milvus.reclaim.usage import Usage, usage_of

if TYPE_CHECKING:
    from airflow_provider_milvus.metrics import Attempts, MetricsSource
    from airflow_provider_milvus.reclaim.plan import Planned

FRESH = 2.0
"""Seconds for which a reading of the counters serves the releases that follow it."""


async def with_usage(
    collections: Sequence[CollectionState],
    metrics: MetricsSource,
    spans: Sequence[timedelta],
    *,
    proxies: int | None,
    names: Mapping[str, Iterable[str]],
    kept: Mapping[str, Any] | None = None,
) -> tuple[list[CollectionState], dict[str, Any]]:
    """The collections with what is certain of their use, and what the next run needs to know.

    :param proxies: how many the server says it has.
    :param names: all collections of *all* databases: counters that name no database cannot tell two of one name apart.
    :raises MilvusMetricsError: nothing is known.
    """
    counted = await metrics.usage(spans, proxies=proxies, kept=kept)
    known = Counter(name for each in names.values() for name in set(each))
    known.update(alias for each in collections for alias in each.aliases)
    shared = {name for name, count in known.items() if count > 1}
    now = datetime.now(UTC)

    def usage(each: CollectionState) -> Usage:
        own = {each.collection, *each.aliases}
        return usage_of(database=each.database, names=own, created=each.created, spans=counted.spans, shared=shared, now=now)

    return [replace(each, usage=usage(each)) for each in collections], counted.keep


def unknown(collections: Iterable[CollectionState]) -> list[CollectionState]:
    return [replace(each, usage=Usage(None, "unknown: the metrics cannot be used")) for each in collections]


def attempts_of(subject: CollectionState | Planned, attempts: Attempts) -> float:
    """How often a collection was asked for, by any proxy and any of its names."""
    names = {subject.collection, *subject.aliases}
    return sum(
        count for (_, database, name), count in attempts.items() if name in names and database in (None, subject.database)
    )


class SincePlanned:
    """Whether somebody has asked for a planned collection since; a counter that went back counts as well."""

    def __init__(self, metrics: MetricsSource) -> None:
        self._metrics = metrics
        self._read = float("-inf")
        self._attempts: Attempts = {}
        self._why: str | None = None

    async def __call__(self, entry: Planned) -> str | None:
        if entry.attempts is None:
            return None
        if time.monotonic() - self._read > FRESH:
            try:
                self._attempts, self._why = await self._metrics.attempts(), None
            except MilvusMetricsError as error:
                self._why = str(error)
            self._read = time.monotonic()
        if self._why is not None:
            return f"whether it was used since it was planned is not known: {self._why}"
        if attempts_of(entry, self._attempts) != entry.attempts:
            return "searched or queried since it was planned"
        return None
