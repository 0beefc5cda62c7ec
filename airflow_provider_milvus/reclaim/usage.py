"""Whether a collection was searched or queried, by the counters of the proxies. A collection of unknown use is never idle.

The counters come from ``metrics/``. A collection that was used only through an alias that it no longer has, or under the name
that it had before it was renamed, looks like one that was not used.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from airflow_provider_milvus.metrics.spans import Span
from airflow_provider_milvus.wording import in_words


@dataclass(frozen=True, slots=True)
class Usage:
    """``idle_for`` is how long the collection was certainly neither searched nor queried; ``None``: it was, or nobody knows.

    ``reason`` says the same in words.
    """

    idle_for: timedelta | None
    reason: str


def usage_of(
    *,
    database: str,
    names: Collection[str],
    created: datetime | None,
    spans: Sequence[Span],
    shared: Container[str],
    now: datetime,
) -> Usage:
    """What is certain about one collection.

    It is idle in a span if the counters cover the span, the collection is older than the span, none of its names was used, and
    no collection of another database can be meant. ``idle_for`` is the longest span such that it is idle in all spans up to it.

    :param names: its own name and its aliases.
    :param created: when it was created; ``None``: unknown.
    :param shared: the names that exist in more than one database.
    """

    def reason_not_idle(span: Span) -> str | None:
        ambiguous = any(name in shared for name in names) and not span.tells_databases_apart
        if span.is_used(database, names) and not ambiguous:
            return f"searched or queried within the last {in_words(span.length)}"
        if span.unknown is not None:
            return f"unknown: {span.unknown}"
        if span.is_of_all_as_one:
            return "unknown: Milvus counts all collections as one (common.metrics.collectionLevelMode)"
        if ambiguous:
            return "unknown: another database has a collection of this name, and the counters do not tell them apart"
        if created is None:
            return "unknown: its age is not known"
        return f"unknown: younger than {in_words(span.length)}" if created >= now - span.length else None

    reasons = [(span.length, reason_not_idle(span)) for span in spans]
    first = min(((length, reason) for length, reason in reasons if reason is not None), default=None)
    idle = max((length for length, _ in reasons if first is None or length < first[0]), default=None)
    if idle is not None:
        return Usage(idle, f"neither searched nor queried for {in_words(idle)}")
    return Usage(None, first[1] if first else "unknown: no span was requested")
