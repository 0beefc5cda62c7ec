"""What a Prometheus remembers of a Milvus, read in slices of some days, so that no answer is large."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_milvus.answers.numbers import read_number
from airflow_provider_milvus.exceptions import MilvusMetricsError
from airflow_provider_milvus.metrics import source
from airflow_provider_milvus.metrics.counters import Label
from airflow_provider_milvus.metrics.past import Past, Seen, Target, Uses, gaps_of, mismatches_of, sizes_of, unknown_steps
from airflow_provider_milvus.metrics.prometheus import STEP, USES, Prometheus, Values
from airflow_provider_milvus.metrics.spans import Proxies

if TYPE_CHECKING:
    from httpx import AsyncClient

FIRST_SLICE = 24
LARGEST_SLICE = 240
"""Steps of one answer."""
VALUES = 120_000
"""Of one answer, about: 3 MB."""
_QUERY_NODES = 'role_name=~"querynode|streamingnode"'
_PARTS = "collection_id, node_id, segment_state"


async def read_past(metrics: source.MetricsSource, moments: Sequence[float], *, proxies: Proxies) -> Past:
    """What was in memory and what was used at each of ``moments``, which are equally far apart.

    A search counts in the step within which it was scraped. A restart of a query node between two steps is not seen, and a gap
    in the scrapes of a proxy is seen as at night: when it is longer than Prometheus's look-back.

    :param proxies: what is known of their number.
    :raises MilvusMetricsError: the metrics cannot be read, or they are pages, which have no past.
    """
    if not isinstance(metrics, Prometheus):
        raise MilvusMetricsError(
            "The past cannot be read: metrics_url names Milvus's own pages, which tell the present only. Give it the base URL "
            "of a Prometheus that scrapes them."
        )
    reading = _Reading(metrics, moments)
    async with await metrics.open() as client:
        await metrics.refuse_copies(client, round(moments[-1] * 1000))
        first, count = 0, FIRST_SLICE
        while first < len(moments):
            collections = await reading.read(client, first, min(count, len(moments) - first))
            # Of a time without collections nothing follows for the next one.
            first, count = first + count, min(LARGEST_SLICE, max(1, VALUES // collections)) if collections else FIRST_SLICE
    return reading.past(proxies)


@dataclass(frozen=True, slots=True)
class _Moved:
    """By how much a counter of one proxy moved, by the step within which it did."""

    metric: str
    label: Label
    instance: str
    values: Values


@dataclass(slots=True)
class _Reading:
    """What the slices so far have told, by the numbers of the steps. Of the sizes only the changes are kept."""

    metrics: Prometheus
    moments: Sequence[float]
    proxies: dict[Target, Seen] = field(default_factory=lambda: defaultdict(Seen))
    nodes: dict[Target, Seen] = field(default_factory=lambda: defaultdict(Seen))
    gauges: dict[int, float] = field(default_factory=dict)
    sizes: dict[int, dict[int, int | None]] = field(default_factory=lambda: defaultdict(dict))
    moved: list[_Moved] = field(default_factory=list)

    async def read(self, client: AsyncClient, first: int, count: int) -> int:
        """Read a slice, and return how many collections were in memory in it."""
        by_target, nodes = "by (instance, job)", self._selector(source.NODES, _QUERY_NODES)
        step = round(1000 * (self.moments[1] - self.moments[0]))
        point = min(STEP, step)
        within = f"count_over_time((count {by_target} ({self.metrics.proxy_pages}))[{step - 1}ms:{point}ms])"
        queries = (
            f"count {by_target} ({self.metrics.proxy_pages})",
            f"{within} < {step // point}",
            f"count {by_target} ({nodes})",
            f"max {by_target} ({self._selector(source.STARTED)})",
            f"max({self._selector(source.PROXIES)})",
            self._held(),
            *(self._increments(name, more) for name, more in USES.items()),
        )
        # At once, so that Prometheus works on one while another is being read.
        answers = await asyncio.gather(
            *(self.metrics.ask_range(client, query, self.moments, first, count) for query in queries)
        )
        proxies, gaps, nodes_there, started, gauges, held, *moved = answers
        for seen, there in ((self.proxies, proxies), (self.nodes, nodes_there)):
            for labels, values in there:
                seen[_target(labels)].started |= dict.fromkeys(number for number, _ in values)
        for labels, values in gaps:
            self.proxies[_target(labels)].gaps |= {number for number, _ in values}
        for labels, values in started:
            if proxy := self.proxies.get(_target(labels)):
                proxy.started |= {number: value for number, value in values if number in proxy.started}
        for _, values in gauges:
            self.gauges |= dict(values)
        in_memory = {source.collection_of(labels): dict(values) for labels, values in held}
        for collection in in_memory.keys() | self.sizes.keys():
            if collection is not None:
                self._add_sizes(collection, in_memory.get(collection, {}), range(first, first + count))
        for name, counters in zip(USES, moved, strict=True):
            self.moved += [
                _Moved(name, source.label_of(labels), labels.get("instance", ""), values) for labels, values in counters
            ]
        return len(held)

    def _add_sizes(self, collection: int, told: Mapping[int, float], steps: range) -> None:
        """A step without a size, where the query nodes are known, is one without the collection in memory."""
        changes = self.sizes[collection]
        last = next(reversed(changes.values()), 0)
        for number in steps:
            size = read_number(told.get(number, 0))
            if (size := None if size is None else int(size)) != last:
                changes[number] = last = size

    def past(self, proxies: Proxies) -> Past:
        moments = self.moments
        unknown = unknown_steps(len(moments), self.nodes)
        uses = self._uses()
        return Past(
            moments[0],
            moments[-1],
            moments[1] - moments[0],
            {collection: sizes_of(moments, changes, unknown) for collection, changes in self.sizes.items()},
            uses,
            gaps_of(moments, self.proxies),
            mismatches_of(moments, self.proxies, self.nodes, self.gauges, proxies),
            bool(uses) and all(database is not None for database, _ in uses),
        )

    def _uses(self) -> dict[Label, Uses]:
        """The requests where the server counts them by collection, or else the vectors that were searched with."""
        counts: dict[Label, dict[str, dict[int, int]]] = defaultdict(lambda: {name: {} for name in USES})
        told = self._told()
        for moved in self.moved:
            of_metric = counts[moved.label][moved.metric]
            for number, value in moved.values:
                if number in told[moved.instance]:
                    of_metric[number] = of_metric.get(number, 0) + round(value)
        uses = {}
        for label, of_label in counts.items():
            most = dict(of_label[source.SUCCEEDED])
            for number, count in of_label[source.RECEIVED].items():
                most[number] = max(most.get(number, 0), count)
            most |= of_label[source.REQUESTS]
            numbers = sorted(most)
            uses[label] = Uses([self.moments[number] for number in numbers], [most[number] for number in numbers])
        return uses

    def _told(self) -> Mapping[str, set[int]]:
        """By instance, the steps within which its counters moved if they did, and not in a time before in which it was not
        scraped."""
        told: dict[str, set[int]] = defaultdict(set)
        for (instance, _), seen in self.proxies.items():
            started = seen.started
            told[instance] |= {number for number in started if number - 1 in started}
            first = min(started, default=0)
            if (started.get(first) or 0) > self.moments[max(first - 1, 0)]:
                told[instance].add(first)
        return told

    def _selector(self, metric: str, more: str = "") -> str:
        return self.metrics.selector(metric, more)

    def _held(self) -> str:
        """The bytes of each collection that has rows in memory. What two jobs scrape counts once."""
        size, rows = self._selector(source.BYTES), self._selector(source.ROWS)
        scraped = f"sum by ({_PARTS}, instance, job) ({size} and on ({_PARTS}) ({rows} > 0))"
        return f"sum by (collection_id) (max by ({_PARTS}) ({scraped}))"

    def _increments(self, metric: str, more: str) -> str:
        """By how much each counter moved within a step, where it did; one that is new or was reset has counted from 0.

        Sums are made of what moved only: sums of all, compared, take Prometheus four times as long.
        """
        labels = "db_name, collection_name, instance"
        step = self.moments[1] - self.moments[0]
        now = self._selector(metric, more)
        then = f"({now} offset {round(step * 1000)}ms)"
        moved = f"({now} - {then}) > 0 or (({now} < {then}) or ({now} unless {then})) > 0"
        return f"max by ({labels}) (sum by ({labels}, job) ({moved}))"


def _target(labels: Mapping[str, str]) -> Target:
    return labels.get("instance", ""), labels.get("job", "")
