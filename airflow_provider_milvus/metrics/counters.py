"""What successive runs saw of the counters, in the form that one run keeps for the next.

For every proxy it holds the moment of its start, and for every label the last count and the moment at which a change of it was
seen. That answers every span as a row of snapshots would, in the size of one snapshot. The row begins at ``since``: it begins
again when a proxy is restarted or replaced, and it goes back no further than ``LONGEST``, or the longest requested span.
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
"""Seconds by which the reported start of a process may move: Linux computes it from a clock that is adjusted."""

Label = tuple[str | None, str]


@dataclass(frozen=True, slots=True)
class Proxy:
    """What the page of a proxy holds. ``started`` is in seconds since the epoch; None: the page does not have it."""

    started: float | None
    counts: dict[Label, float]


@dataclass(frozen=True, slots=True)
class _ProxyHistory:
    """``counts``: the last count (None: the label is gone), and the moment at which its last change was seen."""

    started: float | None
    counts: dict[Label, tuple[float | None, float]]


@dataclass(frozen=True, slots=True)
class History:
    """What the runs since ``since``, in seconds since the epoch, saw of the counters."""

    since: float
    why: str = "they were first read then"
    """Why the history goes back no further."""
    proxies: dict[str, _ProxyHistory] = field(default_factory=dict)

    @classmethod
    def read(cls, kept: Mapping[str, Any] | None, now: float) -> History:
        """The history that a run kept; an empty one when it cannot be read."""
        if not kept:
            return cls(now)
        try:
            at, since = _read_number(kept["at"]), _read_number(kept["since"])
            proxies = {
                str(name): _ProxyHistory(
                    _read_optional(proxy["started"]),
                    {
                        _read_label(key): (_read_optional(count), _read_number(changed))
                        for key, (count, changed) in proxy["counts"].items()
                    },
                )
                for name, proxy in kept["proxies"].items()
            }
            why = str(kept["why"])
        except (ValueError, LookupError, TypeError, AttributeError):
            return cls(now, "what was kept of them cannot be read")
        if not since <= at <= now:
            return cls(now, "what was kept of them is from the future")
        return cls(since, why, proxies)

    def serialize(self, now: float) -> dict[str, Any]:
        """Plain values, for :meth:`read` in the next run."""
        proxies = {
            name: {"started": proxy.started, "counts": {_key(label): list(count) for label, count in proxy.counts.items()}}
            for name, proxy in self.proxies.items()
        }
        return {"at": now, "since": self.since, "why": self.why, "proxies": proxies}

    def extend(self, seen: Mapping[str, Proxy], now: float, *, interruption: str | None, longest: timedelta) -> History:
        """The history with what is seen now. ``interruption`` is a reason why it begins again with that."""
        interruption = interruption or (self._interruption(seen) if self.proxies else None)
        if interruption or not self.proxies:
            since, why, before = now, interruption or self.why, dict.fromkeys(seen, _ProxyHistory(None, {}))
        else:
            since, why, before = max(self.since, now - max(LONGEST, longest).total_seconds()), self.why, self.proxies
        return History(since, why, {name: _extend_proxy(before[name], proxy, now, since) for name, proxy in seen.items()})

    def used(self, span: timedelta, now: float) -> Iterator[Label]:
        """The labels whose count has changed since the span, or the history, began."""
        start = max(self.since, now - span.total_seconds())
        for proxy in self.proxies.values():
            yield from (label for label, (_, changed) in proxy.counts.items() if changed > start)

    def gap(self, span: timedelta, now: float) -> str | None:
        """Why the span is not covered; ``None`` when it is."""
        start = now - span.total_seconds()
        for name, proxy in sorted(self.proxies.items()):
            if proxy.started is None:
                return f"proxy {name} does not report when it was started"
            if proxy.started >= start:
                ago = in_words(timedelta(seconds=now - proxy.started))
                return f"proxy {name} was restarted {ago} ago, within the last {in_words(span)}"
        if self.since <= start:
            return None
        known = timedelta(seconds=now - self.since)
        return f"the counters are known for the last {in_words(known)} only, not for {in_words(span)}: {self.why}"

    def _interruption(self, seen: Mapping[str, Proxy]) -> str | None:
        if self.proxies.keys() != seen.keys():
            return "there were other proxies before"
        for name, proxy in sorted(seen.items()):
            before = self.proxies[name].started
            if proxy.started is None or before is None or abs(proxy.started - before) > JITTER:
                return f"proxy {name} was restarted then"
        return None


def _extend_proxy(before: _ProxyHistory, proxy: Proxy, now: float, since: float) -> _ProxyHistory:
    counts: dict[Label, tuple[float | None, float]] = {}
    for label in before.counts.keys() | proxy.counts.keys():
        count, (known, changed) = proxy.counts.get(label), before.counts.get(label, (None, since))
        if count != known:
            changed = now
        # A label that is gone stays as long as it matters: one of the same name may come back.
        if count is not None or changed > since:
            counts[label] = (count, changed)
    return _ProxyHistory(proxy.started, counts)


def _key(label: Label) -> str:
    return f"{label[0] or ''}/{label[1]}"


def _read_label(key: str) -> Label:
    database, _, name = key.partition("/")
    return database or None, name


def _read_number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError("not a number")
    return float(value)


def _read_optional(value: Any) -> float | None:
    return None if value is None else _read_number(value)
