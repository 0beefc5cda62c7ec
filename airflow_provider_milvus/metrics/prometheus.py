"""The metrics in a Prometheus server, read through its HTTP query API."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_milvus.answers.bodies import read_json
from airflow_provider_milvus.answers.numbers import read_number
from airflow_provider_milvus.metrics import source
from airflow_provider_milvus.metrics.past import Target
from airflow_provider_milvus.metrics.spans import Proxies, Span, proxy_mismatch
from airflow_provider_milvus.wording import in_words

if TYPE_CHECKING:
    from httpx import AsyncClient, Response

T = TypeVar("T")

Vector = list[tuple[dict[str, str], float]]
Values = list[tuple[int, float]]
"""The numbers of steps, in order, and the values there."""

STEP = 60_000
"""Milliseconds between two moments at which a proxy has to be there: less than Prometheus's look-back."""
LARGEST_ANSWER = 32 << 20
"""Bytes of an answer: 130 for each collection, node and kind of segment, so 10,000 collections on two nodes have 5 MB."""

USES = {
    source.SUCCEEDED: "",
    source.RECEIVED: "",
    source.REQUESTS: f'function_name=~"{"|".join(source.SEARCHES)}",status="total",collection_name!=""',
}


class Prometheus(source.MetricsSource):
    """Makes a few queries for each span, all for one moment of Prometheus's own clock, however many collections there are.

    A use is seen with the next scrape. A span is covered when every proxy was scraped at its start, at every step and now, and
    was not restarted. A gap shorter than Prometheus's look-back (5 minutes by default) is not seen, and does no harm: the
    counters go on counting in it.
    """

    def __init__(self, address: source.Address, matchers: str, timeout: float) -> None:
        self._address = address
        self._matchers = matchers
        self._timeout = timeout

    async def open(self) -> AsyncClient:
        return await source.open_client(self._address, self._timeout)

    async def held(self) -> dict[int, source.Held | None]:
        by = "collection_id, node_id, segment_state"
        return source.held_of(await self._sums((source.ROWS, source.BYTES), by, "instance, job", believe=True))

    async def attempts(self) -> source.Attempts:
        samples = await self._sums((source.RECEIVED, source.REQUESTS), "db_name, collection_name, instance", "job")
        return source.attempts_of((sample[1].get("instance", ""), sample) for sample in samples)

    async def _sums(self, names: Sequence[str], by: str, scraped: str, *, believe: bool = False) -> list[source.Sample]:
        """The sums of some metrics by the labels ``by``. What two jobs scrape, with other labels ``scraped``, counts once."""
        samples: list[source.Sample] = []
        async with await self.open() as client:
            now = await self._now(client)
            await self.refuse_copies(client, now)
            for name in names:
                query = f"max by ({by}) (sum by ({by}, {scraped}) ({self.selector(name, USES.get(name, ''))}))"
                samples += [(name, labels, value) for labels, value in await self._ask(client, query, now, believe=believe)]
        return samples

    async def usage(
        self, spans: Sequence[timedelta], *, proxies: Proxies, kept: Mapping[str, Any] | None = None
    ) -> source.UsageAnswer:
        answers = []
        async with await self.open() as client:
            now = await self._now(client)
            await self.refuse_copies(client, now)
            present = await self._by_target(client, f"count by (instance, job) ({self.proxy_pages})", now)
            started = await self._by_target(client, f"max by (instance, job) ({self.selector(source.STARTED)})", now)
            gauges = await self._ask(client, f"max({self.selector(source.PROXIES)})", now)
            mismatch = proxy_mismatch(len(present), proxies.number(value for _, value in gauges))
            counters = " or ".join(f"count by (db_name) ({self.selector(*use)})" for use in USES.items())
            databases = [source.label_of(labels)[0] for labels, _ in await self._ask(client, counters, now)]
            names_databases = bool(databases) and None not in databases
            for span in spans:
                length = math.ceil(span.total_seconds() * 1000)
                step = max(min(STEP, length // 10), 1)
                first, last = (now - length - step) // step, now // step
                seen = await self._by_target(client, self._steps_present(length, step), now)
                unknown = mismatch or _gap(present, started, seen, last - first, now / 1000, span)
                changed = await self._ask(client, self._changed_labels(length), now)
                used = frozenset(source.label_of(labels) for labels, _ in changed)
                answers.append(Span(span, used, unknown, names_databases))
        return source.UsageAnswer(answers)

    def selector(self, metric: str, more: str = "") -> str:
        return f"{metric}{{{','.join(filter(None, (more, self._matchers)))}}}"

    @property
    def proxy_pages(self) -> str:
        return self.selector(source.NODES, 'role_name="proxy"')

    def _steps_present(self, length: int, step: int) -> str:
        """The query for the number of steps at which a proxy was scraped, from the last step before the span; 0: only between
        two steps."""
        at_steps = f"count_over_time((count by (instance, job) ({self.proxy_pages}))[{length + step}ms:{step}ms])"
        return f"{at_steps} or 0 * count by (instance, job) (last_over_time({self.proxy_pages}[{length}ms]))"

    def _changed_labels(self, length: int) -> str:
        """The query for the labels whose counter moved within the span or did not exist at its start. ``increase`` alone misses
        a first use, and a use between the start and the first scrape."""
        parts = []
        for counter in (self.selector(*use) for use in USES.items()):
            changed = f"last_over_time({counter}[{length}ms]) unless ({counter} == ({counter} offset {length}ms))"
            parts += [f"increase({counter}[{length}ms]) > 0", changed]
        return " or ".join(f"count by (db_name, collection_name) ({part})" for part in parts)

    async def refuse_copies(self, client: AsyncClient, now: int) -> None:
        """Two Prometheus that store into one place with a label of their own double every size and count.

        :raises MilvusMetricsError: a process of a proxy is there more than once, at ``now`` in milliseconds since the epoch.
        """
        processes = f"{self.selector(source.STARTED)} and on (instance, job) {self.proxy_pages}"
        copies = await self._by_target(client, f"count by (instance, job) ({processes})", now)
        if (most := max(copies.values(), default=1)) > 1:
            raise source.unreadable_error(
                self._address,
                f"it has {most:.0f} copies of what one job reads from one proxy, and every size would count as often",
                "Give metrics_matchers a label in which they differ.",
            )

    async def _now(self, client: AsyncClient) -> int:
        """Milliseconds since the epoch."""
        answer = await self._ask(client, "vector(time())")
        if len(answer) != 1:
            raise self._not_prometheus()
        return int(answer[0][1] * 1000)

    async def _by_target(self, client: AsyncClient, query: str, now: int) -> dict[Target, float]:
        answer = await self._ask(client, query, now)
        return {(labels.get("instance", ""), labels.get("job", "")): value for labels, value in answer}

    async def _ask(self, client: AsyncClient, query: str, now: int | None = None, *, believe: bool = False) -> Vector:
        """The answer to a query. With ``believe`` it may hold numbers that cannot be."""
        form = {"query": query, "timeout": f"{math.ceil(self._timeout)}s"}
        if now is not None:
            form["time"] = f"{now / 1000:.3f}"
        vector = await self._results(client, "/api/v1/query", form, lambda sample: float(sample["value"][1]))
        for _, value in vector:
            if not believe and read_number(value) is None:
                raise source.unreadable_error(self._address, f"Prometheus says {value:g} where that cannot be")
        return vector

    async def ask_range(
        self, client: AsyncClient, query: str, moments: Sequence[float], first: int, count: int
    ) -> list[tuple[dict[str, str], Values]]:
        """The answers to a query at ``count`` of ``moments``, from number ``first`` on. They are equally far apart."""
        start, step = moments[first], moments[1] - moments[0]
        form = {
            "query": query,
            "timeout": f"{math.ceil(self._timeout)}s",
            "start": f"{start:.3f}",
            "end": f"{moments[first + count - 1]:.3f}",
            "step": f"{step:.3f}",
            # VictoriaMetrics moves the times to those of its cache, unless it is told not to.
            "nocache": "1",
        }
        moved: list[float] = []

        def values(series: dict[str, Any]) -> Values:
            told = [(first + round((moment - start) / step), float(value), moment) for moment, value in series["values"]]
            moved.extend(moment for number, _, moment in told if abs(moment - (moments[0] + number * step)) > 1)
            return [(number, value) for number, value, _ in told]

        answers = await self._results(client, "/api/v1/query_range", form, values)
        if moved:
            raise source.unreadable_error(
                self._address,
                "it answers for other times than it was asked for, as Thanos's query frontend does with those that are no "
                "multiples of a step",
                "Name the querier behind it, or set at to a full or half hour of UTC.",
            )
        return answers

    async def _results(
        self, client: AsyncClient, path: str, form: Mapping[str, str], value: Callable[[dict[str, Any]], T]
    ) -> list[tuple[dict[str, str], T]]:
        async def read(answer: Response) -> list[tuple[dict[str, str], T]]:
            try:
                body = await read_json(answer, LARGEST_ANSWER)
                if body["status"] != "success":
                    raise source.unreadable_error(self._address, f"Prometheus says {str(body.get('error'))[:200]!r}")
                # Some versions put remarks on the query among the warnings.
                warnings = [warning for warning in body.get("warnings") or () if not warning.startswith("PromQL ")]
                results = [(_labels(sample["metric"]), value(sample)) for sample in body["data"]["result"]]
            except (ValueError, LookupError, TypeError, AttributeError, OverflowError):
                raise self._not_prometheus() from None
            if warnings:
                raise source.unreadable_error(
                    self._address, f"the answer is incomplete, {warnings[0][:200]!r}", "Read Prometheus's log."
                )
            return results

        return await source.fetch(client, self._address, self._timeout, read, path=path, form=form)

    def _not_prometheus(self) -> Exception:
        return source.unreadable_error(
            self._address,
            "what answers is not Prometheus",
            "Give metrics_url the base URL of a Prometheus, or Milvus endpoints that end in /metrics.",
        )


def _labels(metric: dict[str, Any]) -> dict[str, str]:
    if not all(isinstance(text, str) for text in metric.values()):
        raise TypeError("a label is a text")
    return dict(metric)


def _gap(
    present: Mapping[Target, float],
    started: Mapping[Target, float],
    seen: Mapping[Target, float],
    steps: int,
    now: float,
    span: timedelta,
) -> str | None:
    """Why the span is not covered for every proxy; ``None`` when it is."""
    within = f"within the last {in_words(span)}"
    for target in sorted(present.keys() | seen.keys()):
        proxy = f"proxy {target[0]}"
        if target not in present:
            return f"{proxy} is gone, or no longer scraped, {within}"
        start = started.get(target)
        if start is None:
            return f"{proxy} does not report when it was started"
        if not start < now - span.total_seconds():
            return f"{proxy} was restarted {in_words(timedelta(seconds=now - start))} ago, {within}"
        if seen.get(target, 0) < steps:
            return f"{proxy} was not scraped all the time {within}"
    return None
