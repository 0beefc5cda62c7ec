"""The history that a policy is played back on: what the metrics remember, of the collections that the server has today."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from airflow_provider_milvus.metrics.counters import Label
from airflow_provider_milvus.metrics.past import Gap, Past, Sizes, Uses
from airflow_provider_milvus.metrics.spans import Span
from airflow_provider_milvus.reclaim.inventory import CollectionState

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the metrics do not remember of a collection, and a run has seen."""

    aliases: tuple[str, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict)
    windows: int = 0


@dataclass(frozen=True, slots=True)
class History:
    """What is remembered from ``start`` to ``end``, in seconds since the epoch, a value every ``step`` seconds.

    :param collections: as they are today. Their state, size and use are the history's.
    :param sizes: by the keys of ``collections``.
    :param uses: by database (None: the counters do not name it) and name.
    :param gaps: when the counters were not those of all proxies, and why.
    :param shared: the names that exist in more than one database.
    :param facts: what runs have seen of a collection, each time that it had changed. Before the first one today's are taken.
    """

    start: float
    end: float
    step: float
    collections: Sequence[CollectionState]
    sizes: Mapping[Key, Sizes]
    uses: Mapping[Label, Uses]
    gaps: Sequence[Gap] = ()
    names_databases: bool = True
    shared: frozenset[str] = frozenset()
    facts: Mapping[Key, Sequence[tuple[float, Facts]]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        past: Past,
        collections: Iterable[CollectionState],
        *,
        shared: frozenset[str] = frozenset(),
        facts: Mapping[Key, Sequence[tuple[float, Facts]]] | None = None,
    ) -> History:
        """What is known of ``collections``. What has been dropped since is left out: the metrics know only its number."""
        there, sizes = [], {}
        for state in collections:
            if (known := past.sizes.get(state.collection_id or 0)) is not None:
                sizes[state.key] = known
                # Where the server's clock was wrong, or it was restored: what is in memory has been created.
                first = datetime.fromtimestamp(known.first_loaded, UTC)
                there.append(replace(state, created=min(state.created or first, first)))
        return cls(
            past.start, past.end, past.step, there, sizes, past.uses, past.gaps, past.names_databases, shared, facts or {}
        )

    def as_of(self, subject: CollectionState, moment: float) -> CollectionState:
        """A collection as the last run before ``moment`` has seen it, or as it is today."""
        facts = self._facts(subject, moment)
        if facts is None:
            return subject
        return replace(subject, aliases=facts.aliases, properties=facts.properties, windows=facts.windows)

    def is_assumed(self, subject: CollectionState, moment: float) -> bool:
        """Whether its aliases, properties and windows at that time are today's, since no run has told what they were."""
        return self._facts(subject, moment) is None

    def _facts(self, subject: CollectionState, moment: float) -> Facts | None:
        seen = self.facts.get(subject.key, ())
        place = bisect_right(seen, moment, key=lambda change: change[0]) - 1
        return None if place < 0 else seen[place][1]

    def span(self, now: float, length: timedelta) -> Span:
        """What a run at ``now`` would have been told of the last ``length``."""
        start = now - length.total_seconds()
        used = frozenset(label for label, uses in self.uses.items() if uses.any_within(start, now))
        unknown = "the history begins later" if start < self.start else self._gap(start, now)
        return Span(length, used, unknown, self.names_databases)

    def is_known(self, start: float, end: float) -> bool:
        """Whether all searches between are."""
        return self._gap(start, end) is None

    def next_use(self, subject: CollectionState, moment: float) -> tuple[float, int] | None:
        """When it was next used, and how often within that step: under any of its names, in its database or in one that the
        counters do not name."""
        labels = ((database, name) for database in (subject.database, None) for name in (subject.collection, *subject.aliases))
        uses = (self.uses[label] for label in labels if label in self.uses)
        following = [found for use in uses if (found := use.first_after(moment)) is not None]
        first = min((when for when, _ in following), default=None)
        return None if first is None else (first, sum(count for when, count in following if when == first))

    def _gap(self, start: float, end: float) -> str | None:
        return next((why for first, last, why in self.gaps if first < end and last > start), None)
