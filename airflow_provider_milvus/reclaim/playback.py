"""What a policy would have done, night by night, on what the metrics remember. Plain data, decided by the code of the night.

A playback changes no search: what was searched is known, and so is when it would have met a released collection. Such a search
counts as *missed*, and the collection as in memory again from the end of that step of the history on. What was never in memory,
or left it by itself, frees nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from airflow_provider_milvus.metrics.spans import Span
from airflow_provider_milvus.reclaim.inventory import MEASURED, CollectionState, Memory
from airflow_provider_milvus.reclaim.loaded_since import with_loaded_for
from airflow_provider_milvus.reclaim.policy import Policy
from airflow_provider_milvus.reclaim.usage import usage_of

GIB_HOUR = 3600 * 2.0**30
"""Bytes times seconds."""
Key = tuple[str, str]
Label = tuple[str | None, str]


@dataclass(frozen=True, slots=True)
class Held:
    """What a collection took in memory: ``bytes[i]`` from ``moments[i]`` on; 0: it was not in memory, None: it is not known."""

    moments: Sequence[float] = ()
    bytes: Sequence[int | None] = ()

    def at(self, moment: float) -> int | None:
        place = bisect_right(self.moments, moment) - 1
        return self.bytes[place] if place >= 0 else 0

    def gone_after(self, moment: float) -> float:
        """When it left memory by itself; infinity: never."""
        first = bisect_right(self.moments, moment)
        places = range(first, len(self.moments))
        return next((self.moments[place] for place in places if self.bytes[place] == 0), float("inf"))

    def byte_seconds(self, start: float, end: float) -> float | None:
        """Of the time between; None where a size in it is not known."""
        total = 0.0
        edges = [start, *(moment for moment in self.moments if start < moment < end), end]
        for first, last in pairwise(edges):
            size = self.at(first)
            if size is None:
                return None
            total += size * (last - first)
        return total


@dataclass(frozen=True, slots=True)
class Uses:
    """The attempts to search or query under one name: ``counts[i]`` within the step that ends at ``moments[i]``."""

    moments: Sequence[float] = ()
    counts: Sequence[int] = ()

    def any_within(self, start: float, end: float) -> bool:
        """After ``start``, and not after ``end``."""
        return bisect_right(self.moments, end) > bisect_right(self.moments, start)

    def first_after(self, moment: float) -> tuple[float, int] | None:
        place = bisect_right(self.moments, moment)
        return (self.moments[place], self.counts[place]) if place < len(self.moments) else None


@dataclass(frozen=True, slots=True)
class History:
    """What is remembered from ``start`` to ``end``, in seconds since the epoch, a value every ``step`` seconds.

    :param collections: as they are known: names, aliases, properties, windows and the time of creation. Their state, size and
        use are the history's.
    :param held: by the keys of ``collections``.
    :param uses: by database (None: the counters do not name it) and name.
    :param gaps: when the counters were not those of all proxies, and why.
    :param assumed: what is taken from today, since nobody has kept what it was.
    """

    start: float
    end: float
    step: float
    collections: Sequence[CollectionState]
    held: Mapping[Key, Held]
    uses: Mapping[Label, Uses]
    gaps: Sequence[tuple[float, float, str]] = ()
    names_databases: bool = True
    assumed: Sequence[str] = ()

    def span(self, now: float, length: timedelta) -> Span:
        """What a run at ``now`` would have been told of the last ``length``."""
        start = now - length.total_seconds()
        used = frozenset(label for label, uses in self.uses.items() if uses.any_within(start, now))
        unknown = "the history begins later" if start < self.start else self._gap(start, now)
        return Span(length, used, unknown, self.names_databases)

    def _gap(self, start: float, end: float) -> str | None:
        return next((why for first, last, why in self.gaps if first < end and last > start), None)

    def uses_of(self, subject: CollectionState) -> list[Uses]:
        """Under any of its names, in its database or in one that the counters do not name."""
        names = (subject.collection, *subject.aliases)
        labels = ((database, name) for database in (subject.database, None) for name in names)
        return [uses for label in labels if (uses := self.uses.get(label)) is not None]

    def next_use(self, subject: CollectionState, moment: float) -> tuple[float, int] | None:
        """When it was next used, and how often within that step."""
        following = [found for uses in self.uses_of(subject) if (found := uses.first_after(moment)) is not None]
        first = min((when for when, _ in following), default=None)
        return None if first is None else (first, sum(count for when, count in following if when == first))

    def is_known(self, start: float, end: float) -> bool:
        return self._gap(start, end) is None


@dataclass(frozen=True, slots=True)
class PlayedRelease:
    """A release, and what followed.

    ``until`` is when the collection was needed again (``next_use``), left memory by itself, or the history ends. ``freed`` is
    in GiB-hours, None where a size is not known. ``missed`` are the searches that would have met it released; None: not known.
    """

    subject: CollectionState
    reason: str
    at: float
    until: float
    next_use: float | None
    freed: float | None
    missed: int | None

    @property
    def is_reloaded(self) -> bool:
        return self.next_use is not None


@dataclass(frozen=True, slots=True)
class Night:
    """One run. ``loaded`` and ``left`` are bytes before and after it; ``unknown`` are sizes that are not known."""

    at: float
    releases: Sequence[PlayedRelease]
    loaded: int
    left: int
    unknown: int
    budget: int | None

    @property
    def meets_budget(self) -> bool | None:
        return None if self.budget is None else self.left <= self.budget


@dataclass(frozen=True, slots=True)
class Playback:
    """All nights of one policy."""

    nights: Sequence[Night] = field(default_factory=list)

    @property
    def releases(self) -> list[PlayedRelease]:
        return [release for night in self.nights for release in night.releases]

    @property
    def freed(self) -> float:
        """GiB-hours, of the releases whose size is known."""
        return sum(release.freed or 0.0 for release in self.releases)

    @property
    def missed(self) -> int:
        """Searches, where it is known."""
        return sum(release.missed or 0 for release in self.releases)

    @property
    def reloads(self) -> int:
        return sum(release.is_reloaded for release in self.releases)

    @property
    def unknown(self) -> int:
        """Releases of which the gain or the searches are not known."""
        return sum(release.freed is None or release.missed is None for release in self.releases)


def play(history: History, policy: Policy, nights: Sequence[datetime], spans: Sequence[timedelta]) -> Playback:
    """Decide at each of ``nights``, in order; what an earlier one released stays out of memory until it is needed."""
    away: dict[Key, float] = {}
    seen_loaded: dict[str, float] = {}
    played = []
    places = Counter(name for subject in history.collections for name in {subject.collection, *subject.aliases})
    shared = frozenset(name for name, count in places.items() if count > 1)
    for now in nights:
        moment = now.timestamp()
        told = [history.span(moment, length) for length in spans]
        states = list(_states(history, moment, away))
        states = [
            replace(
                state,
                usage=usage_of(
                    database=state.database,
                    names={state.collection, *state.aliases},
                    created=state.created,
                    spans=told,
                    shared=shared,
                    now=now.astimezone(UTC),
                ),
            )
            for state in states
        ]
        if policy.loaded_for is not None:
            states, seen_loaded = with_loaded_for(seen_loaded, states, moment)
        decisions = replace(policy, now=now).decide(states)
        releases = [_release(history, decision.subject, decision.reason, moment) for decision in decisions if decision.release]
        away |= {release.subject.key: release.until for release in releases}
        sizes = [state.memory.bytes for state in states if state.in_memory]
        loaded = sum(size or 0 for size in sizes)
        gone = sum(release.subject.memory.bytes or 0 for release in releases)
        played.append(Night(moment, releases, loaded, loaded - gone, sizes.count(None), policy.budget))
    return Playback(played)


def _states(history: History, moment: float, away: Mapping[Key, float]) -> Iterator[CollectionState]:
    for subject in history.collections:
        if subject.created is not None and subject.created.timestamp() > moment:
            continue
        size = history.held[subject.key].at(moment) if subject.key in history.held else 0
        is_loaded = size != 0 and away.get(subject.key, 0.0) <= moment
        memory = Memory(size, MEASURED) if is_loaded and size is not None else Memory()
        yield replace(subject, state="Loaded" if is_loaded else "NotLoad", memory=memory)


def _release(history: History, subject: CollectionState, reason: str, moment: float) -> PlayedRelease:
    held = history.held[subject.key]
    use, gone = history.next_use(subject, moment), held.gone_after(moment)
    is_needed = use is not None and use[0] <= gone
    until = min(use[0] if use is not None and is_needed else gone, history.end)
    byte_seconds = held.byte_seconds(moment, until)
    return PlayedRelease(
        subject,
        reason,
        moment,
        until,
        until if is_needed else None,
        None if byte_seconds is None else byte_seconds / GIB_HOUR,
        (use[1] if use is not None and is_needed else 0) if history.is_known(moment, until) else None,
    )
