"""The use of collections within a span of time, by the counters of all proxies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

AGGREGATED = "all"
"""The name in all counters of a Milvus with ``common.metrics.collectionLevelMode=aggregate``."""


@dataclass(frozen=True)
class Span:
    """The counters of all proxies over the last ``length`` of time.

    ``used`` are the labels whose counter moved or first appeared: a database (None: the server does not name it) and a name.
    ``unknown`` is the reason why the span is not covered for every proxy; then no collection counts as idle in it.
    ``names_databases``: there are counters, and all of them name their database.
    """

    length: timedelta
    used: frozenset[tuple[str | None, str]]
    unknown: str | None = None
    names_databases: bool = False

    def is_used(self, database: str, names: Iterable[str]) -> bool:
        """Whether a counter moved that may be of a collection with these names."""
        return any((label, name) in self.used for name in names for label in (database, None))

    @cached_property
    def is_of_all_as_one(self) -> bool:
        return any(name == AGGREGATED for _, name in self.used)

    @cached_property
    def tells_databases_apart(self) -> bool:
        return self.names_databases and all(database is not None for database, _ in self.used)


@dataclass(frozen=True, slots=True)
class Proxies:
    """How many proxies a server has, as far as its connection and the server itself tell.

    ``configured`` is the connection's setting; the coordinator's gauge is another, if it is among the metrics; and a
    ``standalone`` server has one.
    """

    configured: int | None = None
    standalone: bool = False

    def number(self, gauges: Iterable[float]) -> int | None:
        """The greatest that is told: with too small a number, what is searched through another proxy would seem idle."""
        # A coordinator on stand-by reports 0.
        return max(self.configured or 0, int(max(gauges, default=0)), int(self.standalone)) or None


def proxy_mismatch(seen: int, number: int | None) -> str | None:
    """Why the metrics do not count: they are not those of exactly all proxies. ``None`` when they are."""
    if number is None:
        return "the number of Milvus's proxies is not known: add the coordinator's metrics, or set proxies in the connection"
    return None if seen == number else f"the metrics are of {seen} proxies, and Milvus has {number}"
