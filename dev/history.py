"""A month that is made up: how the demo's collections were searched and what they took in memory, as Milvus's metrics tell it.

The past is OpenMetrics text, for a Prometheus that remembers it; the present is a page that goes on where it ends, for the same
Prometheus to scrape.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate

from airflow_provider_milvus.metrics import source
from dev.sample_collections import Sample

DAYS = 30
STEP = 300
LOOK_BACK = "10m"
"""What Prometheus needs for values that are ``STEP`` seconds apart."""
DAY = 86_400
_SIZE = re.compile(rf'^({source.ROWS}|{source.BYTES}){{(.*collection_id="(\d+)".*)}} (\S+)$', re.M)
OPENS, CLOSES = 8 * 3600, 20 * 3600
"""Searches come within these hours of a day."""


@dataclass(frozen=True, slots=True)
class Story:
    """One collection: under which name it is searched, since when it is in memory, and how often on each day from then on.

    ``sizes`` are the metric, the labels and the value of each of its series on a server's page; none, where there is no page.
    """

    searched_as: str
    since: float
    searches: Sequence[int]
    sizes: Sequence[tuple[str, str, float]] = ()

    def counts(self, moments: Iterable[float]) -> Iterator[tuple[float, int]]:
        """How often it was searched until each moment from ``since`` on."""
        before = [0, *accumulate(self.searches)]
        for moment in moments:
            day, second = divmod(moment - self.since, DAY)
            if day >= 0:
                done = before[min(int(day), len(self.searches))]
                today = self.searches[int(day)] if day < len(self.searches) else 0
                yield moment, done + int(today * min(max(second - OPENS, 0) / (CLOSES - OPENS), 1))


def stories(samples: Iterable[Sample], now: datetime) -> list[Story]:
    """What happens to the demo's collections: some are searched every day, some for a week, and one comes back after two."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    first = midnight - DAYS * DAY
    told = []
    for sample in samples:
        since, searches = first, [0] * (DAYS + 2)
        if sample.name.startswith("events_"):
            day = datetime.strptime(sample.name.removeprefix("events_"), "%Y%m%d").replace(tzinfo=UTC)
            since = max(day.timestamp(), first)
            life = [600, 600, 600, 20, 20, 20, 20, *[0] * DAYS]
            # On Mondays somebody compares the day with the one two weeks later.
            life[14] = 3 if day.weekday() == 0 else 0
            lived = int((since - day.timestamp()) // DAY)
            searches = [4] * len(searches) if sample.alias else life[lived:]
        elif sample.alias:
            searches = [2_400] * len(searches)
        elif sample.name == "tmp_import":
            searches[0] = 10
        told.append(Story(sample.alias or sample.name, since, searches))
    return told


def sizes_on(page: str) -> dict[int, list[tuple[str, str, float]]]:
    """The series of a page of metrics that tell of rows and bytes in memory, by the collection's id."""
    found: dict[int, list[tuple[str, str, float]]] = defaultdict(list)
    for name, labels, id, value in _SIZE.findall(page):
        found[int(id)].append((name, f",{labels}", float(value)))
    return found


def past(stories: Sequence[Story], instance: str, end: float) -> Iterator[str]:
    """The month before ``end`` as it was scraped from ``instance`` (host and port), a value every five minutes."""
    labels = f'instance="{instance}",job="milvus"'
    start = end - DAYS * DAY
    moments = [start + STEP * number for number in range(int((end - start) // STEP) + 1)]
    for name, more, value in _server(start - DAY):
        yield from (f"{name}{{{labels}{more}}} {value} {moment:.3f}\n" for moment in moments)
    for story in stories:
        name, more = _counter(story)
        yield from (f"{name}{{{labels}{more}}} {count} {moment:.3f}\n" for moment, count in story.counts(moments))
    for story in stories:
        for name, more, value in story.sizes:
            present = (moment for moment in moments if moment >= story.since)
            yield from (f"{name}{{{labels}{more}}} {value} {moment:.3f}\n" for moment in present)
    yield "# EOF\n"


def present(stories: Iterable[Story], now: float, started: float, real: str = "") -> str:
    """The page of a proxy that has been there since ``started`` and goes on as the past says.

    ``real`` is the page of a Milvus, whose own searches and sizes are on it as well.
    """
    told = [*_server(started), *((*_counter(story), count) for story in stories for _, count in story.counts([now]))]
    kept = tuple(f"{name}{{" for name in source.SERIES if name not in {name for name, *_ in _server(started)})
    lines = [line for line in real.splitlines() if line.startswith(kept)]
    return "".join(f"{line}\n" for line in (*(f"{name}{{{more.lstrip(',')}}} {value}" for name, more, value in told), *lines))


def _server(started: float) -> list[tuple[str, str, float]]:
    return [
        (source.NODES, ',node_id="made-up",role_name="proxy"', 1),
        (source.PROXIES, "", 1),
        (source.STARTED, "", started),
    ]


def _counter(story: Story) -> tuple[str, str]:
    return source.RECEIVED, f',collection_name="{story.searched_as}",node_id="made-up",query_type="search"'
