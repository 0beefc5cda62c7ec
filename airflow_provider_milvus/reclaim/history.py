"""The history that a policy is played back on: what the metrics remember, of the collections that the server has today."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import inf

from airflow_provider_milvus.metrics.counters import Label
from airflow_provider_milvus.metrics.past import Gap, Past, Sizes, Uses
from airflow_provider_milvus.metrics.spans import AGGREGATED, Span
from airflow_provider_milvus.reclaim.inventory import CollectionState

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the metrics do not remember of a collection, and a run has seen."""

    aliases: tuple[str, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict)
    windows: int = 0


@dataclass(frozen=True, slots=True)
class Sighting:
    """What runs have seen of a collection, from the ``first`` of them that saw it to the ``last``."""

    first: float
    last: float
    facts: Facts


HOLDS_FOR = 2 * 86_400.0
"""Seconds after a sighting in which it is taken to hold: where a run comes every night, one may be missing."""


@dataclass(frozen=True, slots=True)
class History:
    """What is remembered from ``start`` to ``end``, in seconds since the epoch, a value every ``step`` seconds.

    :param collections: as they are today. Their state, size and use are the history's.
    :param sizes: by the keys of ``collections``.
    :param uses: by database (None: the counters do not name it) and name.
    :param gaps: when a proxy may have counted what nobody has read, and why.
    :param mismatches: when the proxies that were scraped were not all there are, or no query node was, and why.
    :param shared: the names that exist in more than one database.
    :param facts: what runs have seen of a collection, in order. Where no run has looked lately, today's are taken.
    :param dropped: the sizes of collections that are not there any more.
    """

    start: float
    end: float
    step: float
    collections: Sequence[CollectionState]
    sizes: Mapping[Key, Sizes]
    uses: Mapping[Label, Uses]
    gaps: Sequence[Gap] = ()
    mismatches: Sequence[Gap] = ()
    names_databases: bool = True
    shared: frozenset[str] = frozenset()
    facts: Mapping[Key, Sequence[Sighting]] = field(default_factory=dict)
    dropped: Sequence[Sizes] = ()

    @classmethod
    def of(
        cls,
        past: Past,
        collections: Iterable[CollectionState],
        *,
        shared: frozenset[str] = frozenset(),
        facts: Mapping[Key, Sequence[Sighting]] | None = None,
        are_all: bool = True,
    ) -> History:
        """What is known of ``collections``. Of what has been dropped since the metrics know only the number.

        :param are_all: whether the server has no other collections.
        """
        there, sizes, dropped = [], {}, dict(past.sizes)
        for state in collections:
            if (known := dropped.pop(state.collection_id or 0, None)) is not None:
                sizes[state.key] = known
                if state.created is not None:
                    # Where the server's clock was wrong, or it was restored: what is in memory has been created.
                    first = datetime.fromtimestamp(known.first_loaded, UTC)
                    state = replace(state, created=min(state.created, first))
                there.append(state)
        return cls(
            past.start,
            past.end,
            past.step,
            there,
            sizes,
            past.uses,
            past.gaps,
            past.mismatches,
            past.names_databases,
            shared,
            facts or {},
            list(dropped.values()) if are_all else (),
        )

    def as_of(self, subject: CollectionState, moment: float) -> CollectionState:
        """A collection as a run at ``moment`` has seen it, or as it is today."""
        seen = self._sighting(subject, moment)
        if seen is None:
            return subject
        return replace(subject, aliases=seen.facts.aliases, properties=seen.facts.properties, windows=seen.facts.windows)

    def is_assumed(self, subject: CollectionState, start: float, end: float) -> bool:
        """Whether its aliases, properties and windows somewhere between are today's, since no run has told what they were; or
        they changed, and it is not known when.
        """
        moments = [start, *(edge for edge in self._edges(subject) if start < edge < end)]
        changes = pairwise(self.facts.get(subject.key, ()))
        return any(self._sighting(subject, moment) is None for moment in moments) or any(
            before.facts != after.facts and before.last < end and after.first > start + self.step for before, after in changes
        )

    def knows_memory(self, moment: float) -> bool:
        """Whether it is told what was in memory then, or before."""
        return not any(sizes.was_loaded(moment) is None for sizes in (*self.sizes.values(), *self.dropped))

    def _sighting(self, subject: CollectionState, moment: float) -> Sighting | None:
        """The run of a night keeps what it saw when it ends: within a step of the history."""
        seen = self.facts.get(subject.key, ())
        place = bisect_right(seen, moment + self.step, key=lambda sighting: sighting.first) - 1
        return seen[place] if place >= 0 and moment <= seen[place].last + HOLDS_FOR else None

    def span(self, now: float, length: timedelta) -> Span:
        """What a run at ``now`` would have been told of the last ``length``."""
        start = now - length.total_seconds()
        used = frozenset(label for label, uses in self.uses.items() if uses.any_within(start, now))
        unknown = "the history begins later" if start < self.start else None
        # A run compares the number of proxies as it is then.
        unknown = unknown or _overlap(self.mismatches, now - self.step, now) or _overlap(self.gaps, start, now)
        return Span(length, used, unknown, self.names_databases)

    def is_known(self, start: float, end: float) -> bool:
        """Whether all searches of a collection between are."""
        as_one = [uses for (_, name), uses in self.uses.items() if name == AGGREGATED]
        return not (
            _overlap(self.gaps, start, end)
            or _overlap(self.mismatches, start, end)
            or any(uses.any_within(start, end) for uses in as_one)
        )

    def next_use(self, subject: CollectionState, moment: float) -> tuple[float, int] | None:
        """When it was next used, and how often within that step: under any name that it had then, in its database or in one
        that the counters do not name."""
        following = [
            use
            for name, start, end in self._names(subject, moment)
            for database in (subject.database, None)
            if (use := self.uses.get((database, name), Uses()).first_after(max(start, moment))) is not None and use[0] <= end
        ]
        first = min((when for when, _ in following), default=None)
        return None if first is None else (first, sum(count for when, count in following if when == first))

    def _names(self, subject: CollectionState, moment: float) -> Iterator[tuple[str, float, float]]:
        """Its names from ``moment`` on, and from when to when each is its own: an alias may come after a release."""
        yield subject.collection, moment, inf
        today = next((one for one in self.collections if one.key == subject.key), subject)
        for start, end in pairwise((moment, *(edge for edge in self._edges(subject) if edge > moment), inf)):
            yield from ((alias, start, end) for alias in self.as_of(today, start).aliases)

    def _edges(self, subject: CollectionState) -> list[float]:
        """When a run began to see something of it, and when what it saw holds no longer."""
        seen = self.facts.get(subject.key, ())
        return sorted(edge for sighting in seen for edge in (sighting.first, sighting.last + HOLDS_FOR + 1))


def _overlap(gaps: Sequence[Gap], start: float, end: float) -> str | None:
    return next((why for first, last, why in gaps if first < end and last > start), None)
