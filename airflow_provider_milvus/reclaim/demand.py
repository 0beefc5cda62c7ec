"""Which collection is wanted back: searches arrive for it while it is not in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.client.flow import Flow
from airflow_provider_milvus.client.reads import describe, real_name
from airflow_provider_milvus.conditions import load_states
from airflow_provider_milvus.exceptions import MilvusCollectionNotFoundError

if TYPE_CHECKING:
    from airflow_provider_milvus.metrics import Attempts


@dataclass(frozen=True, slots=True)
class Wanted:
    """``attempts``: how many searches and queries came since it was last seen in memory, or since the watch began."""

    collection: str
    database: str
    attempts: int

    def as_dict(self) -> dict[str, Any]:
        return {"collection": self.collection, "database": self.database, "attempts": self.attempts}


class Demand:
    """Told of the counters again and again, it looks at the server and says which collection has come to be wanted.

    What was counted before the first time is not. A collection is told once, and again only after it was seen Loaded.
    """

    def __init__(
        self,
        collection_names: Sequence[str],
        database: str,
        *,
        min_attempts: int = 1,
        skip_missing: Callable[[str], object] | None = None,
    ) -> None:
        """``skip_missing`` is told, in words, of a collection that does not exist; without it, that is an error."""
        self._names = list(collection_names)
        self._database = database
        self._min_attempts = min_attempts
        self._skip_missing = skip_missing
        self._last: Attempts | None = None
        self._grown: dict[str, float] = {}
        self._wanted: dict[str, float] = {}
        self._told: set[str] = set()

    def check(self) -> Flow[None]:
        """:raises MilvusCollectionNotFoundError, MilvusDatabaseNotFoundError: there is nothing to wait for."""
        for name in self._names:
            yield from describe(name)

    def count(self, attempts: Attempts) -> None:
        if self._last is None:
            self._last = dict(attempts)
        for key, value in attempts.items():
            _, database, label = key
            before = self._last.get(key, 0)
            # A proxy that was restarted counts from 0.
            grown = value - before if value >= before else value
            if grown and database in (None, self._database):
                self._grown[label] = self._grown.get(label, 0) + grown
        # A proxy that is out of sight for a moment has not forgotten.
        self._last.update(attempts)

    def look(self) -> Flow[list[Wanted]]:
        """Which collections have come to be wanted. After an error what was counted is still there for the next look."""
        seen: dict[str, tuple[float, str]] = {}
        for name in self._names:
            if self._grown or name in self._told:
                try:
                    yield from self._see(name, seen)
                except MilvusCollectionNotFoundError as error:
                    if self._skip_missing is None:
                        raise
                    self._skip_missing(str(error))
        self._grown = {}
        return [wanted for name, (grown, state) in seen.items() if (wanted := self._judge(name, grown, state)) is not None]

    def _see(self, name: str, seen: dict[str, tuple[float, str]]) -> Flow[None]:
        described = yield from describe(name)
        labels = {name, real_name(described), *described.aliases}
        grown = sum(count for label, count in self._grown.items() if label in labels)
        if grown or name in self._told:
            ((state, _),) = yield from load_states(name)
            seen[name] = (grown, state)

    def _judge(self, name: str, grown: float, state: str) -> Wanted | None:
        if state == "Loaded":
            self._told.discard(name)
        if state != "NotLoad" or name in self._told:
            self._wanted.pop(name, None)
            return None
        attempts = self._wanted[name] = self._wanted.get(name, 0) + grown
        if attempts < self._min_attempts:
            return None
        self._told.add(name)
        return Wanted(name, self._database, int(self._wanted.pop(name)))
