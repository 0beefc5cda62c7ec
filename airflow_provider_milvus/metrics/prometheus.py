"""The metrics as a Prometheus server has them, asked through its HTTP query API."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.metrics.source import (
    BYTES,
    NODES,
    RECEIVED,
    REQUESTS,
    ROWS,
    SEARCHES,
    STARTED,
    SUCCEEDED,
    Address,
    Attempts,
    Counted,
    Held,
    MetricsSource,
    attempts_of,
    fetch,
    held_of,
    label_of,
    open_client,
    unreadable,
    wrong_number,
)
from airflow_provider_milvus.metrics.spans import Span
from airflow_provider_milvus.wording import in_words

if TYPE_CHECKING:
    from httpx import AsyncClient

Vector = list[tuple[dict[str, str], float]]
Target = tuple[str, str]
"""What Prometheus scrapes: an instance, and the job that names it."""

_WEEK = 7 * 86_400_000
_USES = {
    SUCCEEDED: "",
    RECEIVED: "",
    REQUESTS: f'function_name=~"{"|".join(SEARCHES)}",status="total",collection_name!=""',
}


class Prometheus(MetricsSource):
    """A number of queries that depends on the number of spans only, and "now" is one moment, by Prometheus's own clock.

    A use shows up with the next scrape. A span counts as covered when each proxy was there at its start, at every step and
    now, and was not restarted. A gap that is shorter than Prometheus's look-back (5 minutes by default) does not show, and
    does no harm: the counters go on meanwhile.
    """

    def __init__(self, address: Address, matchers: str, timeout: float) -> None:
        self._address = address
        self._matchers = matchers
        self._timeout = timeout

    async def held(self) -> dict[int, Held]:
        samples = []
        async with await open_client(self._address, self._timeout) as client:
            now = await self._now(client)
            for name in (ROWS, BYTES):
                by = "collection_id, node_id, segment_state"
                # A node that two jobs scrape is still one node.
                query = f"max by ({by}) (sum by ({by}, instance, job) ({self._of(name)}))"
                samples += [(name, labels, value) for labels, value in await self._ask(client, query, now)]
        return held_of(samples)

    async def attempts(self) -> Attempts:
        samples = []
        async with await open_client(self._address, self._timeout) as client:
            now = await self._now(client)
            for name in (RECEIVED, REQUESTS):
                by = "db_name, collection_name, instance"
                query = f"max by ({by}) (sum by ({by}, job) ({self._of(name, _USES[name])}))"
                answer = await self._ask(client, query, now)
                samples += [(labels.get("instance", ""), (name, labels, value)) for labels, value in answer]
        return attempts_of(samples)

    async def usage(self, spans: Sequence[timedelta], *, proxies: int | None, kept: Mapping[str, Any] | None = None) -> Counted:
        covered = []
        async with await open_client(self._address, self._timeout) as client:
            now = await self._now(client)
            here = await self._by_target(client, f"count by (instance, job) ({self._proxies})", now)
            started = await self._by_target(client, f"max by (instance, job) ({self._of(STARTED)})", now)
            counters = " or ".join(f"count by (db_name) ({self._of(*each)})" for each in _USES.items())
            databases = [label_of(labels)[0] for labels, _ in await self._ask(client, counters, now)]
            for span in spans:
                length = math.ceil(span.total_seconds() * 1000)
                step = 300_000 if length > _WEEK else max(min(60_000, length // 10), 1)
                first, last = (now - length - step) // step, now // step
                seen = await self._by_target(client, self._presence(length, step), now)
                unknown = wrong_number(len(here), proxies) or _gap(here, started, seen, last - first, now / 1000, span)
                used = await self._ask(client, self._moved(length), now)
                covered.append(
                    Span(
                        span,
                        frozenset(label_of(labels) for labels, _ in used),
                        unknown,
                        labelled=bool(databases) and None not in databases,
                    )
                )
        return Counted(covered)

    def _of(self, metric: str, more: str = "") -> str:
        return f"{metric}{{{','.join(each for each in (more, self._matchers) if each)}}}"

    @property
    def _proxies(self) -> str:
        return self._of(NODES, 'role_name="proxy"')

    def _presence(self, length: int, step: int) -> str:
        """At how many steps each proxy was there, from the last one before the span; 0: only between two of them."""
        at_steps = f"count_over_time((count by (instance, job) ({self._proxies}))[{length + step}ms:{step}ms])"
        return f"{at_steps} or 0 * count by (instance, job) (last_over_time({self._proxies}[{length}ms]))"

    def _moved(self, length: int) -> str:
        """The labels whose counter is not what it was at the start, be it that it did not exist then, or that it moved
        within the span. ``increase`` alone sees neither a first use nor one between the start and the first scrape."""
        parts = []
        for each in (self._of(*use) for use in _USES.items()):
            changed = f"last_over_time({each}[{length}ms]) unless ({each} == ({each} offset {length}ms))"
            parts += [f"increase({each}[{length}ms]) > 0", changed]
        return " or ".join(f"count by (db_name, collection_name) ({each})" for each in parts)

    async def _now(self, client: AsyncClient) -> int:
        """Milliseconds since the epoch."""
        answer = await self._ask(client, "vector(time())")
        if len(answer) != 1 or not math.isfinite(answer[0][1]):
            raise self._strange()
        return int(answer[0][1] * 1000)

    async def _by_target(self, client: AsyncClient, query: str, now: int) -> dict[Target, float]:
        answer = await self._ask(client, query, now)
        return {(labels.get("instance", ""), labels.get("job", "")): value for labels, value in answer}

    async def _ask(self, client: AsyncClient, query: str, now: int | None = None) -> Vector:
        form = {"query": query, "timeout": f"{math.ceil(self._timeout)}s"}
        if now is not None:
            form["time"] = f"{now / 1000:.3f}"
        body = await fetch(client, self._address, self._timeout, path="/api/v1/query", form=form)
        try:
            answer = json.loads(body)
            if answer["status"] != "success":
                raise unreadable(self._address, f"Prometheus says {str(answer.get('error'))[:200]!r}")
            # Some versions tell remarks on the query in the same place.
            incomplete = [each for each in answer.get("warnings") or () if not each.startswith("PromQL ")]
            vector = [(dict(each["metric"]), float(each["value"][1])) for each in answer["data"]["result"]]
        except (ValueError, LookupError, TypeError, AttributeError):
            raise self._strange() from None
        if incomplete:
            raise unreadable(self._address, f"the answer is incomplete, {incomplete[0][:200]!r}", "See Prometheus's log.")
        return vector

    def _strange(self) -> Exception:
        return unreadable(
            self._address,
            "what answers is not Prometheus",
            "Give metrics_url the base URL of a Prometheus, or Milvus endpoints that end in /metrics.",
        )


def _gap(
    here: Mapping[Target, float],
    started: Mapping[Target, float],
    seen: Mapping[Target, float],
    steps: int,
    now: float,
    span: timedelta,
) -> str | None:
    """Why the span is not covered for every proxy."""
    within = f"within the last {in_words(span)}"
    for target in sorted(here.keys() | seen.keys()):
        proxy = f"proxy {target[0]}"
        if target not in here:
            return f"{proxy} is gone, or no longer scraped, {within}"
        start = started.get(target)
        if start is None:
            return f"{proxy} does not tell when it was started"
        if not start < now - span.total_seconds():
            return f"{proxy} was restarted {in_words(timedelta(seconds=now - start))} ago, {within}"
        if seen.get(target, 0) < steps:
            return f"{proxy} was not scraped all the time {within}"
    return None
