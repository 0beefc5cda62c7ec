"""What a Prometheus remembers of a Milvus, read in slices of some days, so that no answer is large."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_milvus.answers.numbers import read_number, read_whole_number
from airflow_provider_milvus.exceptions import MilvusMetricsError
from airflow_provider_milvus.metrics import source
from airflow_provider_milvus.metrics.counters import Label
from airflow_provider_milvus.metrics.past import Past, Seen, Target, Uses, gaps_of, sizes_of, unknown_steps
from airflow_provider_milvus.metrics.prometheus import USES, Prometheus
from airflow_provider_milvus.metrics.spans import Proxies

if TYPE_CHECKING:
    from httpx import AsyncClient

SLICE = 240
"""Steps of one answer: 500 collections have 3 MB in it."""
_QUERY_NODES = 'role_name=~"querynode|streamingnode"'
_PARTS = "collection_id, node_id, segment_state"


async def read_past(metrics: source.MetricsSource, moments: Sequence[float], *, proxies: Proxies) -> Past:
    """What was in memory and what was used at each of ``moments``, which are equally far apart.

    A search counts in the step within which it was scraped. A gap in the scrapes that is shorter than a step, and a restart of
    a query node between two steps, are not seen.

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
        for first in range(0, len(moments), SLICE):
            await reading.read(client, first)
    return reading.past(proxies)


@dataclass(slots=True)
class _Reading:
    """What the slices so far have told, by the numbers of the steps."""

    metrics: Prometheus
    moments: Sequence[float]
    proxies: dict[Target, Seen] = field(default_factory=lambda: defaultdict(Seen))
    nodes: dict[Target, Seen] = field(default_factory=lambda: defaultdict(Seen))
    gauges: dict[int, float] = field(default_factory=dict)
    sizes: dict[int, dict[int, int | None]] = field(default_factory=lambda: defaultdict(dict))
    uses: dict[str, dict[Label, dict[int, int]]] = field(default_factory=lambda: {name: defaultdict(dict) for name in USES})

    async def read(self, client: AsyncClient, first: int) -> None:
        steps = self.moments[first : first + SLICE]
        # A slice of one step has no distance to the next one.
        apart = self.moments[1] - self.moments[0]

        async def ask(query: str) -> list[tuple[dict[str, str], dict[int, float]]]:
            answer = await self.metrics.ask_range(client, query, steps[0], steps[-1], apart)
            return [(labels, {first + number: value for number, value in values.items()}) for labels, values in answer]

        by_target = "by (instance, job)"
        for seen, pages in ((self.proxies, self.metrics.proxy_pages), (self.nodes, self._selector(source.NODES, _QUERY_NODES))):
            for labels, values in await ask(f"count {by_target} ({pages})"):
                seen[_target(labels)].started |= dict.fromkeys(values)
        for labels, values in await ask(f"max {by_target} ({self._selector(source.STARTED)})"):
            if proxy := self.proxies.get(_target(labels)):
                proxy.started |= {number: value for number, value in values.items() if number in proxy.started}
        for _, values in await ask(f"max({self._selector(source.PROXIES)})"):
            self.gauges |= values
        held = f"sum by (collection_id) ({self._held(source.BYTES)} and ({self._held(source.ROWS)} > 0))"
        for labels, values in await ask(held):
            if (collection := read_whole_number(labels.get("collection_id"))) is not None:
                told = ((number, read_number(value)) for number, value in values.items())
                self.sizes[collection] |= {number: None if size is None else int(size) for number, size in told}
        for name, more in USES.items():
            for labels, values in await ask(self._increments(name, more, apart)):
                of_label = self.uses[name][source.label_of(labels)]
                for number, value in values.items():
                    if self._is_counted(labels.get("instance", ""), number):
                        of_label[number] = of_label.get(number, 0) + round(value)

    def past(self, proxies: Proxies) -> Past:
        moments = self.moments
        unknown = unknown_steps(len(moments), self.nodes)
        labels = {label for counter in self.uses.values() for label in counter}
        return Past(
            moments[0],
            moments[-1],
            moments[1] - moments[0],
            {collection: sizes_of(moments, values, unknown) for collection, values in self.sizes.items()},
            {label: self._uses_of(label) for label in labels},
            gaps_of(moments, self.proxies, self.gauges, proxies),
            bool(labels) and all(database is not None for database, _ in labels),
        )

    def _uses_of(self, label: Label) -> Uses:
        """The requests where the server counts them by collection, or else the vectors that were searched with."""
        counts: dict[int, int] = {}
        for name in (source.SUCCEEDED, source.RECEIVED):
            for number, count in self.uses[name].get(label, {}).items():
                counts[number] = max(counts.get(number, 0), count)
        counts |= self.uses[source.REQUESTS].get(label, {})
        numbers = sorted(counts)
        return Uses([self.moments[number] for number in numbers], [counts[number] for number in numbers])

    def _selector(self, metric: str, more: str = "") -> str:
        return self.metrics.selector(metric, more)

    def _held(self, metric: str) -> str:
        """What two jobs scrape counts once."""
        return f"max by ({_PARTS}) (sum by ({_PARTS}, instance, job) ({self._selector(metric)}))"

    def _increments(self, metric: str, more: str, step: float) -> str:
        """By how much each counter moved within a step, where it did; one that is new or was reset has counted from 0."""
        labels = "db_name, collection_name, instance"
        now = f"max by ({labels}) (sum by ({labels}, job) ({self._selector(metric, more)}))"
        then = f"max by ({labels}) (sum by ({labels}, job) ({self._selector(metric, more)} offset {round(step * 1000)}ms))"
        return f"({now} - (({then} <= {now}) or {now} * 0)) > 0"

    def _is_counted(self, instance: str, number: int) -> bool:
        """Whether a counter moved within the step, and not in a time before it in which its proxy was not scraped."""
        for (name, _), seen in self.proxies.items():
            if name == instance and number in seen.started:
                is_new = number == min(seen.started) and (seen.started[number] or 0) > self.moments[max(number - 1, 0)]
                if number - 1 in seen.started or is_new:
                    return True
        return False


def _target(labels: Mapping[str, str]) -> Target:
    return labels.get("instance", ""), labels.get("job", "")
