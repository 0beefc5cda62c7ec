"""Whether collections are in use: asked of the metrics for a plan, and once more just before a release."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_milvus.client.flow import Deadline
from airflow_provider_milvus.exceptions import MilvusMetricsError
from airflow_provider_milvus.metrics import Attempts, MetricsSource, Proxies, within
from airflow_provider_milvus.metrics.spans import AGGREGATED
from airflow_provider_milvus.reclaim.inventory import CollectionState
from airflow_provider_milvus.reclaim.plan import PlannedRelease
from airflow_provider_milvus.reclaim.usage import Usage, usage_of

FRESH = 2.0
"""Seconds for which one reading of the counters serves the releases that follow."""


async def with_usage(
    collections: Sequence[CollectionState],
    metrics: MetricsSource,
    spans: Sequence[timedelta],
    *,
    proxies: Proxies,
    names: Mapping[str, Iterable[str]],
    kept: Mapping[str, Any] | None = None,
) -> tuple[list[CollectionState], dict[str, Any]]:
    """The collections with what is certain of their use, and what the next run needs as ``kept``.

    :param proxies: what is known of their number.
    :param names: all collections of *all* databases: counters that name no database cannot tell two of the same name apart.
    :raises MilvusMetricsError: nothing is known.
    """
    counted = await metrics.usage(spans, proxies=proxies, kept=kept)
    places = Counter(name for in_database in names.values() for name in set(in_database))
    places.update(alias for collection in collections for alias in collection.aliases)
    shared = {name for name, count in places.items() if count > 1}
    now = datetime.now(UTC)

    def usage(state: CollectionState) -> Usage:
        own = {state.collection, *state.aliases}
        return usage_of(database=state.database, names=own, created=state.created, spans=counted.spans, shared=shared, now=now)

    return [replace(collection, usage=usage(collection)) for collection in collections], counted.keep


def with_unknown_usage(collections: Iterable[CollectionState]) -> list[CollectionState]:
    unknown = Usage(None, "unknown: the metrics cannot be used")
    return [replace(collection, usage=unknown) for collection in collections]


def count_attempts(subject: CollectionState | PlannedRelease, attempts: Attempts) -> float:
    """How often a collection was searched or queried, through any proxy and under any of its names.

    What Milvus counts for all collections together counts for each of them.
    """
    names = {subject.collection, *subject.aliases, AGGREGATED}
    return sum(
        count for (_, database, name), count in attempts.items() if name in names and database in (None, subject.database)
    )


@dataclass(slots=True)
class UseSincePlanned:
    """Tells whether a collection was searched or queried since its release was planned. A counter that went back counts too."""

    metrics: MetricsSource
    deadline: Deadline
    _read: float = field(init=False, default=float("-inf"))
    _attempts: Attempts = field(init=False, default_factory=dict)
    _problem: str | None = field(init=False, default=None)

    async def __call__(self, entry: PlannedRelease) -> str | None:
        """Why the collection has to stay in memory, or ``None``."""
        if entry.attempts is None:
            return None
        if time.monotonic() - self._read > FRESH:
            try:
                self._attempts, self._problem = await within(self.deadline.remaining, self.metrics.attempts()), None
            except MilvusMetricsError as error:
                self._problem = str(error)
            self._read = time.monotonic()
        if self._problem is not None:
            return f"whether it was used since it was planned is not known: {self._problem}"
        if count_attempts(entry, self._attempts) != entry.attempts:
            return "searched or queried since it was planned"
        return None
