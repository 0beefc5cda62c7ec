"""Whether a collection was searched or queried, as the counters of the proxies tell it. Unknown is never idle.

Counters come from ``metrics/``; here they only get a meaning. A collection that was used through an alias it no longer has,
or under the name it had before it was renamed, cannot be told from one that was not used.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from airflow_provider_milvus.metrics.spans import Span
from airflow_provider_milvus.wording import in_words

AGGREGATED = "all"
"""What stands for every collection where Milvus has ``common.metrics.collectionLevelMode=aggregate``."""


@dataclass(frozen=True, slots=True)
class Usage:
    """``idle_for``: certainly neither searched nor queried for at least so long; None: used, or not known. ``reason``: in
    words."""

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

    It is idle for the longest span of which, and of all shorter ones, that is certain: the span is covered, the collection is
    older, none of its names was used, and no other database can be meant.

    :param names: its own name and its aliases.
    :param created: when it was made; None: not known.
    :param shared: the names that stand in more than one database.
    """
    doubts = [(span.length, _doubt(span, database, names, created, shared, now)) for span in spans]
    first = min(((length, doubt) for length, doubt in doubts if doubt is not None), default=None)
    idle = max((length for length, _ in doubts if first is None or length < first[0]), default=None)
    if idle is not None:
        return Usage(idle, f"neither searched nor queried for {in_words(idle)}")
    return Usage(None, first[1] if first else "unknown: no span was asked for")


def _doubt(
    span: Span,
    database: str,
    names: Collection[str],
    created: datetime | None,
    shared: Container[str],
    now: datetime,
) -> str | None:
    """Why the collection is not certainly idle in this span."""
    ambiguous = any(name in shared for name in names) and not _names_databases(span)
    if any(label in (None, database) and name in names for label, name in span.used) and not ambiguous:
        return f"searched or queried within the last {in_words(span.length)}"
    if span.unknown is not None:
        return f"unknown: {span.unknown}"
    if any(name == AGGREGATED for _, name in span.used):
        return "unknown: Milvus counts all collections as one (common.metrics.collectionLevelMode)"
    if ambiguous:
        return "unknown: another database has a collection of this name, and the counters do not tell them apart"
    if created is None:
        return "unknown: its age is not known"
    if created >= now - span.length:
        return f"unknown: younger than {in_words(span.length)}"
    return None


def _names_databases(span: Span) -> bool:
    return span.names_databases and all(label is not None for label, _ in span.used)
