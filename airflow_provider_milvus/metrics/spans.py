"""The use of collections within a span of time, by the counters of all proxies."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
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
