"""What the metrics remember: bytes in memory and searches, a value each step, and when they were not those of all proxies.

Plain data. ``reclaim/playback.py`` plays a policy back on it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from airflow_provider_milvus.metrics.counters import JITTER, Label
from airflow_provider_milvus.metrics.spans import Proxies, proxy_mismatch

Target = tuple[str, str]
"""What is scraped: an instance, and the job that scrapes it."""
Gap = tuple[float, float, str]
"""From, to, and why the counters between are not those of all proxies."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a collection took in memory: ``bytes[i]`` from ``moments[i]`` on; 0: it was not in memory, None: it is not known."""

    moments: Sequence[float] = ()
    bytes: Sequence[int | None] = ()

    def at(self, moment: float) -> int | None:
        place = bisect_right(self.moments, moment) - 1
        return self.bytes[place] if place >= 0 else 0

    @property
    def first_loaded(self) -> float:
        """When it was first seen in memory; the end of the history, if never."""
        return next((moment for moment, size in zip(self.moments, self.bytes, strict=True) if size), self.moments[-1])

    def was_loaded(self, moment: float) -> bool | None:
        """Whether it was in memory when that was last known; None: it never was."""
        place = bisect_right(self.moments, moment)
        last = next((size for size in reversed(self.bytes[:place]) if size is not None), None)
        return None if last is None else last > 0

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
class Past:
    """From ``start`` to ``end``, in seconds since the epoch, a value each ``step`` seconds: ``sizes`` by collection id,
    ``uses`` by database (None: the counters do not name it) and name.

    ``gaps`` are when some proxy may have counted what nobody has read; ``mismatches`` when the proxies that were scraped were
    not all there are.
    """

    start: float
    end: float
    step: float
    sizes: Mapping[int, Sizes]
    uses: Mapping[Label, Uses]
    gaps: Sequence[Gap] = ()
    mismatches: Sequence[Gap] = ()
    names_databases: bool = False


@dataclass(slots=True)
class Seen:
    """At which steps a process was scraped, and the start that it reported there (None: it does not report one).

    ``gaps`` are the steps within which it was not there all the time.
    """

    started: dict[int, float | None] = field(default_factory=dict)
    gaps: set[int] = field(default_factory=set)


def gaps_of(moments: Sequence[float], proxies: Mapping[Target, Seen]) -> list[Gap]:
    """When a proxy may have counted what nobody has read, as a run at that time would have been told."""
    return list(
        _joined(
            (moments[max(last, 0)], moments[first], f"proxy {name} {why}")
            for (name, _), seen in sorted(proxies.items())
            for last, first, why in _breaks(seen, moments)
        )
    )


def mismatches_of(
    moments: Sequence[float],
    proxies: Mapping[Target, Seen],
    nodes: Mapping[Target, Seen],
    gauges: Mapping[int, float],
    known: Proxies,
) -> list[Gap]:
    """When the proxies that were scraped were not all there are, or no query node was: then a run takes the metrics for those
    of another server. It is told of either where it is so at its own time.

    :param gauges: how many proxies the coordinator counted, by step, where its metrics are there.
    :param known: what is known of their number otherwise.
    """
    present = Counter(number for seen in proxies.values() for number in seen.started)
    in_memory = {number for seen in nodes.values() for number in seen.started}
    mismatches = []
    for number, moment in enumerate(moments):
        told = [gauges[number]] if number in gauges else []
        count = present[number]
        why = "no proxy was scraped" if count == 0 else proxy_mismatch(count, known.number(told))
        if why := why or ("no query node was scraped" if number not in in_memory else None):
            mismatches.append((moments[max(number - 1, 0)], moment, why))
    return list(_joined(mismatches))


def _breaks(seen: Seen, moments: Sequence[float]) -> Iterator[tuple[int, int, str]]:
    """The steps between which a proxy may have counted what nobody has read, and why."""
    started = seen.started
    steps = sorted(started)
    if not steps:
        for number in sorted(seen.gaps):
            yield number - 1, number, "is gone, or no longer scraped"
        return
    first, last, end = steps[0], steps[-1], len(moments) - 1
    if first > 0:
        # What it counted between its start and the first scrape is not known.
        begun = started[first] or 0.0
        since = max((number for number in range(first) if moments[number] <= begun), default=0)
        yield since, first, "was started" if since == first - 1 else "was not scraped all the time"
    for before, after in pairwise(steps):
        if after - before > 1 or after in seen.gaps:
            yield before, after, "was not scraped all the time"
        then, now = started[before], started[after]
        if then is not None and now is not None and abs(now - then) > JITTER:
            yield before, after, "was restarted"
    for number in steps:
        if started[number] is None:
            yield number - 1, number, "does not report when it was started"
    if last < end:
        yield last, last + 1, "is gone, or no longer scraped"


def _joined(gaps: Iterable[Gap]) -> Iterator[Gap]:
    """Gaps of one reason that follow on each other as one."""
    open_gaps: dict[str, tuple[float, float]] = {}
    for start, end, why in sorted(gaps, key=lambda gap: (gap[2], gap[0], gap[1])):
        before = open_gaps.get(why)
        if before is not None and start <= before[1]:
            open_gaps[why] = (before[0], max(before[1], end))
            continue
        if before is not None:
            yield (*before, why)
        open_gaps[why] = (start, end)
    for why, (start, end) in open_gaps.items():
        yield start, end, why


def sizes_of(moments: Sequence[float], changes: Mapping[int, int | None], unknown: frozenset[int]) -> Sizes:
    """What was in memory, by its ``changes``: a size from a step on, 0 before the first. Some steps are ``unknown``.

    A single step without it is no release: its query node was replaced by another one, which has loaded it again.
    """
    told: list[int | None] = []
    size: int | None = 0
    for number in range(len(moments)):
        size = changes.get(number, size)
        told.append(None if number in unknown else size)
    known = [number for number, value in enumerate(told) if value is not None]
    for before, number, after in zip(known, known[1:], known[2:], strict=False):
        if told[before] and told[number] == 0 and told[after]:
            told[number] = told[before]
    changed = [number for number, value in enumerate(told) if number == 0 or value != told[number - 1]]
    return Sizes([moments[number] for number in changed], [told[number] for number in changed])


def unknown_steps(count: int, nodes: Mapping[Target, Seen]) -> frozenset[int]:
    """The steps at which the sizes are not those of all query nodes: none was scraped, or one of them was before and after."""
    seen: set[int] = set()
    missing: set[int] = set()
    for node in nodes.values():
        seen |= node.started.keys()
        missing |= set(range(min(node.started), max(node.started))) - node.started.keys()
    return frozenset((set(range(count)) - seen) | missing)
