"""What a policy would have done, night by night, on what the metrics remember. Plain data, decided by the code of the night.

A playback changes no search: what was searched is known, and so is when it would have met a released collection. Such a search
counts as *missed*, and the collection as in memory again from the end of that step of the history on. What was never in memory,
or left it by itself, frees nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from airflow_provider_milvus.metrics.past import Sizes
from airflow_provider_milvus.reclaim.history import History, Key
from airflow_provider_milvus.reclaim.inventory import MEASURED, CollectionState, Memory
from airflow_provider_milvus.reclaim.loaded_since import with_loaded_for
from airflow_provider_milvus.reclaim.policy import Policy
from airflow_provider_milvus.reclaim.usage import usage_of

GIB_HOUR = 3600 * 2.0**30
"""Bytes times seconds."""


@dataclass(frozen=True, slots=True)
class PlayedRelease:
    """A release, and what followed.

    ``until`` is when the collection was needed again (``next_use``), left memory by itself, or the history ends. ``freed`` is
    in GiB-hours, None where a size is not known. ``missed`` are the searches that would have met it released: at least, where
    not ``all_missed_known``.
    """

    subject: CollectionState
    reason: str
    at: float
    until: float
    next_use: float | None
    freed: float | None
    missed: int
    all_missed_known: bool = True

    @property
    def is_reloaded(self) -> bool:
        return self.next_use is not None


@dataclass(frozen=True, slots=True)
class Night:
    """One run. ``loaded`` and ``left`` are the known bytes before and after it; ``unknown`` is the number of the others.

    ``is_known``: the history tells what was in memory. ``is_decided``: and the use over the time that the policy asks for, and,
    where it has a budget, every size. ``is_assumed``: of some collection, at night or until its release ends, aliases, property
    and windows are today's, since no run has told what they were.
    """

    at: float
    releases: Sequence[PlayedRelease]
    loaded: int
    left: int
    unknown: int
    budget: int | None
    is_assumed: bool
    is_known: bool = True
    is_decided: bool = True

    @property
    def meets_budget(self) -> bool | None:
        """None: there is none, or it is not known."""
        if self.budget is None or not self.is_known or (self.unknown and self.left <= self.budget):
            return None
        return self.left <= self.budget


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
        """Searches, as far as they are known."""
        return sum(release.missed for release in self.releases)

    @property
    def reloads(self) -> int:
        return sum(release.is_reloaded for release in self.releases)

    @property
    def is_assumed(self) -> bool:
        return any(night.is_assumed for night in self.nights)

    @property
    def decided(self) -> int:
        """Nights of which the history tells what a run would have asked."""
        return sum(night.is_decided for night in self.nights)

    @property
    def unknown(self) -> int:
        """Releases of which the gain, or some of the searches, are not known."""
        return sum(release.freed is None or not release.all_missed_known for release in self.releases)


def play(history: History, policy: Policy, nights: Sequence[datetime], spans: Sequence[timedelta]) -> Playback:
    """Decide at each of ``nights``, in order; what an earlier one released stays out of memory until it is needed."""
    away: dict[Key, float] = {}
    seen_loaded: dict[str, float] = {}
    played = []
    needed = {policy.idle_for, policy.min_idle} - {None}
    for now in nights:
        moment = now.timestamp()
        told = [history.span(moment, length) for length in spans]
        states = [
            replace(
                state,
                usage=usage_of(
                    database=state.database,
                    names={state.collection, *state.aliases},
                    created=state.created,
                    spans=told,
                    shared=history.shared,
                    now=datetime.fromtimestamp(moment, UTC),
                ),
            )
            for state in _in_memory(history, moment, away)
        ]
        if policy.loaded_for is not None:
            states, seen_loaded = with_loaded_for(seen_loaded, states, moment)
        decisions = replace(policy, now=now).decide(states)
        releases = [_release(history, decision.subject, decision.reason, moment) for decision in decisions if decision.release]
        away |= {release.subject.key: release.until for release in releases}
        sizes = [state.memory.bytes for state in states]
        # What has been dropped since had a size, but takes no part in the decisions.
        unknown = sizes.count(None) + sum(bool(other.was_loaded(moment)) for other in history.dropped)
        is_known = history.knows_memory(moment) and (not sizes or any(size is not None for size in sizes))
        covered = all(span.unknown is None for span in told if span.length in needed)
        in_scope = [state for state in states if policy.in_scope(state.collection)]
        is_assumed = any(history.is_assumed(state, moment, moment) for state in in_scope) or any(
            history.is_assumed(release.subject, moment, release.until) for release in releases
        )
        loaded = sum(size or 0 for size in sizes)
        gone = sum(release.subject.memory.bytes or 0 for release in releases)
        played.append(
            Night(
                moment,
                releases,
                loaded,
                loaded - gone,
                unknown,
                policy.budget,
                is_assumed,
                is_known,
                is_known and covered and (policy.budget is None or not unknown),
            )
        )
    return Playback(played)


def _in_memory(history: History, moment: float, away: Mapping[Key, float]) -> Iterator[CollectionState]:
    for subject in history.collections:
        sizes = history.sizes.get(subject.key, Sizes())
        if sizes.was_loaded(moment) and away.get(subject.key, 0.0) <= moment:
            size = sizes.at(moment)
            memory = Memory() if size is None else Memory(size, MEASURED)
            yield replace(history.as_of(subject, moment), state="Loaded", memory=memory)


def _release(history: History, subject: CollectionState, reason: str, moment: float) -> PlayedRelease:
    sizes = history.sizes[subject.key]
    use, gone = history.next_use(subject, moment), sizes.gone_after(moment)
    is_needed = use is not None and use[0] <= gone
    until = min(use[0] if use is not None and is_needed else gone, history.end)
    byte_seconds = sizes.byte_seconds(moment, until)
    return PlayedRelease(
        subject,
        reason,
        moment,
        until,
        until if is_needed else None,
        None if byte_seconds is None else byte_seconds / GIB_HOUR,
        use[1] if use is not None and is_needed else 0,
        history.is_known(moment, until),
    )
