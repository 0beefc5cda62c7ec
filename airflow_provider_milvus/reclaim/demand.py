"""Demand for a collection that is not in memory: searches and queries that arrive for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from airflow_provider_milvus.client.flow import Flow
from airflow_provider_milvus.client.reads import describe, real_name
from airflow_provider_milvus.conditions import load_state
from airflow_provider_milvus.exceptions import MilvusCollectionNotFoundError, MilvusMetricsError
from airflow_provider_milvus.metrics import Attempts, MetricsSource, within


@dataclass(frozen=True, slots=True)
class DemandedCollection:
    """``attempts`` counts the searches and queries since the collection was last seen in memory, or since the watch began."""

    collection: str
    database: str
    attempts: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(slots=True)
class Demand:
    """Compares the proxies' counters from look to look, and reports the collections that are in demand.

    Attempts from before the first count do not matter. A collection is reported once, and again only after it was seen Loaded.
    ``report_missing`` gets a sentence about a collection that does not exist; without it, that is an error.
    """

    names: Sequence[str]
    database: str
    min_attempts: int = 1
    report_missing: Callable[[str], object] | None = None
    _last: Attempts | None = field(init=False, default=None)
    _new: dict[str, float] = field(init=False, default_factory=dict)
    """New attempts since the last look, by label: the name or alias that was searched."""
    _pending: dict[str, float] = field(init=False, default_factory=dict)
    """Attempts on collections that are not in memory, fewer than ``min_attempts`` so far."""
    _reported: set[str] = field(init=False, default_factory=set)

    def check(self) -> Flow[None]:
        """:raises MilvusCollectionNotFoundError, MilvusDatabaseNotFoundError: there is nothing to wait for."""
        for name in self.names:
            yield from describe(name)

    async def read(self, metrics: MetricsSource, seconds: float, where: str) -> None:
        """Take in the counters as they are now, within these seconds.

        :raises MilvusMetricsError: they cannot be read. It names ``where``, the connection and the database.
        """
        try:
            self.count(await within(seconds, metrics.attempts()))
        except MilvusMetricsError as error:
            raise type(error)(f"The searches of {', '.join(self.names)} could not be counted: {error} {where}.") from error

    def count(self, attempts: Attempts) -> None:
        """Take in the counters."""
        if self._last is None:
            self._last = dict(attempts)
        for key, value in attempts.items():
            _, database, label = key
            before = self._last.get(key, 0)
            # A proxy that was restarted counts from 0.
            new = value - before if value >= before else value
            if new and database in (None, self.database):
                self._new[label] = self._new.get(label, 0) + new
        # Updated, not replaced: a proxy that cannot be read for a moment goes on from its old counters.
        self._last.update(attempts)

    def look(self) -> Flow[list[DemandedCollection]]:
        """The collections that have come into demand. After an error the next look has the same attempts again."""
        looks: dict[str, tuple[float, str]] = {}
        for name in self.names:
            if self._new or name in self._reported:
                try:
                    yield from self._look_at(name, looks)
                except MilvusCollectionNotFoundError as error:
                    if self.report_missing is None:
                        raise
                    self.report_missing(str(error))
        self._new = {}
        judged = [self._judge(name, new, state) for name, (new, state) in looks.items()]
        return [collection for collection in judged if collection is not None]

    def _look_at(self, name: str, looks: dict[str, tuple[float, str]]) -> Flow[None]:
        described = yield from describe(name)
        labels = {name, real_name(described), *described.aliases}
        new = sum(count for label, count in self._new.items() if label in labels)
        if new or name in self._reported:
            state = yield from load_state(name)
            looks[name] = (new, state)

    def _judge(self, name: str, new: float, state: str) -> DemandedCollection | None:
        if state == "Loaded":
            self._reported.discard(name)
        if state != "NotLoad" or name in self._reported:
            self._pending.pop(name, None)
            return None
        attempts = self._pending[name] = self._pending.get(name, 0) + new
        if attempts < self.min_attempts:
            return None
        self._reported.add(name)
        return DemandedCollection(name, self.database, int(self._pending.pop(name)))
