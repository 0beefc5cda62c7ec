"""What successive runs saw of the counters, in the form that one run keeps for the next.

Of each proxy it holds when it was started, and of each label the count and the moment at which it was last seen to have
changed. That answers every span as a row of snapshots would, in the size of one. ``since`` is where the row begins: it begins
anew when a proxy is restarted or replaced, and it ends at ``LONGEST``, or the longest span asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from airflow_provider_milvus.wording import in_words

LONGEST = timedelta(days=92)
JITTER = 2.0
"""Seconds by which a process may tell its own start differently: Linux computes it from a clock that is adjusted."""

Label = tuple[str | None, str]


@dataclass(frozen=True, slots=True)
class Proxy:
    """What a page tells. ``started`` in seconds since the epoch; None: it does not tell."""

    started: float | None
    counts: dict[Label, float]


@dataclass(frozen=True, slots=True)
class _Seen:
    """``counts``: the last count (None: the label is gone) and when it was last seen to have changed."""

    started: float | None
    counts: dict[Label, tuple[float | None, float]]


@dataclass(frozen=True, slots=True)
class History:
    since: float
    why: str = "they were first read then"
    """Why it goes back no further."""
    proxies: dict[str, _Seen] = field(default_factory=dict)

    @classmethod
    def read(cls, kept: Mapping[str, Any] | None, now: float) -> History:
        """What a run kept; none at all where that is not to be understood."""
        if not kept:
            return cls(now)
        try:
            at, since = _number(kept["at"]), _number(kept["since"])
            proxies = {
                str(name): _Seen(
                    _optional(each["started"]),
                    {_label(key): (_optional(count), _number(changed)) for key, (count, changed) in each["counts"].items()},
                )
                for name, each in kept["proxies"].items()
            }
            why = str(kept["why"])
        except (ValueError, LookupError, TypeError, AttributeError):
            return cls(now, "what was kept of them cannot be read")
        if not since <= at <= now:
            return cls(now, "what was kept of them is from the future")
        return cls(since, why, proxies)

    def as_kept(self, now: float) -> dict[str, Any]:
        proxies = {
            name: {"started": each.started, "counts": {_key(label): list(seen) for label, seen in each.counts.items()}}
            for name, each in self.proxies.items()
        }
        return {"at": now, "since": self.since, "why": self.why, "proxies": proxies}

    def carried_on(self, seen: Mapping[str, Proxy], now: float, *, broken: str | None, longest: timedelta) -> History:
        """With what is seen now. ``broken`` is why this and what was before do not make one row."""
        broken = broken or (self._break(seen) if self.proxies else None)
        if broken or not self.proxies:
            fresh = {
                name: _Seen(each.started, {label: (count, now) for label, count in each.counts.items()})
                for name, each in seen.items()
            }
            return History(now, broken or self.why, fresh)
        since = max(self.since, now - max(LONGEST, longest).total_seconds())
        return History(since, self.why, {name: _later(self.proxies[name], each, now, since) for name, each in seen.items()})

    def used(self, span: timedelta, now: float) -> Iterator[Label]:
        """The labels whose count is not what it was when the span, or the row, began."""
        start = max(self.since, now - span.total_seconds())
        for proxy in self.proxies.values():
            yield from (label for label, (_, changed) in proxy.counts.items() if changed > start)

    def gap(self, span: timedelta, now: float) -> str | None:
        """Why the span is not covered."""
        start = now - span.total_seconds()
        for name, proxy in sorted(self.proxies.items()):
            if proxy.started is None:
                return f"proxy {name} does not tell when it was started"
            if proxy.started >= start:
                ago = in_words(timedelta(seconds=now - proxy.started))
                return f"proxy {name} was restarted {ago} ago, within the last {in_words(span)}"
        if self.since <= start:
            return None
        known = timedelta(seconds=now - self.since)
        return f"the counters are known for the last {in_words(known)} only, not for {in_words(span)}: {self.why}"

    def _break(self, seen: Mapping[str, Proxy]) -> str | None:
        if self.proxies.keys() != seen.keys():
            return "the proxies were others before"
        for name, proxy in sorted(seen.items()):
            before = self.proxies[name].started
            if proxy.started is None or before is None or abs(proxy.started - before) > JITTER:
                return f"proxy {name} was restarted then"
        return None


def _later(before: _Seen, proxy: Proxy, now: float, since: float) -> _Seen:
    counts: dict[Label, tuple[float | None, float]] = {}
    for label in before.counts.keys() | proxy.counts.keys():
        count, (known, changed) = proxy.counts.get(label), before.counts.get(label, (None, since))
        if count != known:
            changed = now
        # A label that is gone is remembered as long as it matters: one of the same name may come.
        if count is not None or changed > since:
            counts[label] = (count, changed)
    return _Seen(proxy.started, counts)


def _key(label: Label) -> str:
    return f"{label[0] or ''}/{label[1]}"


def _label(key: str) -> Label:
    database, _, name = key.partition("/")
    return database or None, name


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError("not a number")
    return float(value)


def _optional(value: Any) -> float | None:
    return None if value is None else _number(value)
