"""What the counters of all proxies say about one span of time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Span:
    """What the counters of all proxies say about one span of time, up to now.

    ``used`` are the labels, a database (None: the server tells none) and a name, whose counter moved or first appeared.
    ``unknown`` says why the span is not covered for every proxy: then nothing is idle in it. ``labelled``: there are counters,
    and every one of them names its database.
    """

    length: timedelta
    used: frozenset[tuple[str | None, str]]
    unknown: str | None = None
    labelled: bool = False
