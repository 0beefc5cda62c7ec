"""Whether a collection was searched or queried, as the counters of the proxies tell it. Unknown is never idle.

Counters come from ``metrics.py``; here they only get a meaning. A collection that was used through an alias it no longer has,
or under the name it had before it was renamed, cannot be told from one that was not used.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

AGGREGATED = "all"
"""What stands for every collection where Milvus has ``common.metrics.collectionLevelMode=aggregate``."""


@dataclass(frozen=True, slots=True)
class Usage:
    """``idle_for``: certainly neither searched nor queried for at least so long; None: used, or not known. ``reason``: in
    words."""

    idle_for: timedelta | None
    reason: str


@dataclass(frozen=True, slots=True)
class Window:
    """What the counters of all proxies say about one span up to now.

    ``used`` are the labels, a database (None: the server tells none) and a name, whose counter moved or first appeared.
    ``unknown`` says why the span is not covered for every proxy: then nothing is idle in it. ``labelled``: there are counters,
    and every one of them names its database.
    """

    span: timedelta
    used: frozenset[tuple[str | None, str]]
    unknown: str | None = None
    labelled: bool = False


def usage_of(
    *,
    database: str,
    names: Collection[str],
    created: datetime | None,
    windows: Sequence[Window],
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
    doubts = [(each.span, _doubt(each, database, names, created, shared, now)) for each in windows]
    first = min(((span, doubt) for span, doubt in doubts if doubt is not None), default=None)
    idle = max((span for span, _ in doubts if first is None or span < first[0]), default=None)
    if idle is not None:
        return Usage(idle, f"neither searched nor queried for {in_words(idle)}")
    return Usage(None, first[1] if first else "unknown: no span was asked for")


def _doubt(
    window: Window,
    database: str,
    names: Collection[str],
    created: datetime | None,
    shared: Container[str],
    now: datetime,
) -> str | None:
    """Why the collection is not certainly idle in this window."""
    ambiguous = any(name in shared for name in names) and not _names_databases(window)
    if any(label in (None, database) and name in names for label, name in window.used) and not ambiguous:
        return f"searched or queried within the last {in_words(window.span)}"
    if window.unknown is not None:
        return f"unknown: {window.unknown}"
    if any(name == AGGREGATED for _, name in window.used):
        return "unknown: Milvus counts all collections as one (common.metrics.collectionLevelMode)"
    if ambiguous:
        return "unknown: another database has a collection of this name, and the counters do not tell them apart"
    if created is None:
        return "unknown: its age is not known"
    if created >= now - window.span:
        return f"unknown: younger than {in_words(window.span)}"
    return None


def _names_databases(window: Window) -> bool:
    return window.labelled and all(label is not None for label, _ in window.used)


def in_words(span: timedelta) -> str:
    """The two largest units, rounded down: ``7 days``, ``1 day 3 h``, ``90 s`` as ``1 min 30 s``."""
    total = max(int(span.total_seconds()), 0)
    parts = []
    for unit, seconds in (("day", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, total = divmod(total, seconds)
        if count:
            parts.append(f"{count} {unit}{'s' if unit == 'day' and count > 1 else ''}")
    return " ".join(parts[:2]) or "0 s"
