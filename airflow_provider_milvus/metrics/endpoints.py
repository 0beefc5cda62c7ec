"""The metrics on the ``/metrics`` pages of the Milvus processes. A page has no past; ``counters.py`` keeps one."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.answers.bodies import BodyError, pieces
from airflow_provider_milvus.answers.numbers import read_number
from airflow_provider_milvus.metrics import source
from airflow_provider_milvus.metrics.counters import History, Proxy
from airflow_provider_milvus.metrics.spans import Proxies, Span, proxy_mismatch

if TYPE_CHECKING:
    from httpx import Response

LARGEST_PAGE = 1 << 30
"""Bytes of a page. A Milvus 2.3.5 with 10,000 collections that are all written to and searched has 175 MB on its page: 17.5 kB
for each, of which these metrics are 0.6 kB on 5 lines."""
MOST_SAMPLES = 500_000
"""Samples of a page that are kept, at some 400 bytes each."""
LONGEST_LINE = 1 << 16

_LINE = re.compile(rf"^({'|'.join(source.SERIES)})([{{ ].*)$", re.MULTILINE)
"""A line with one of these metrics. Most of a page are buckets of histograms, which prometheus_client's parser is 20 times as
slow to pass over."""
_SAMPLE = re.compile(r"(?:\{(.*)\})? *([^ _]+)(?: +-?\d+)?\s*")
_LABEL = r' *([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)" *(?:,|$)'
_LABELS = re.compile(rf"(?:{_LABEL})* *", re.ASCII)
_EACH_LABEL = re.compile(_LABEL, re.ASCII)
_KEPT_LABELS = frozenset(
    ("collection_id", "node_id", "segment_state", "db_name", "collection_name", "role_name", "function_name", "status")
)


class Endpoints(source.MetricsSource):
    """Reads all pages at once, and fails when one of them cannot be read: its share would be missing."""

    def __init__(self, addresses: Sequence[source.Address], timeout: float) -> None:
        self._timeout = timeout
        self._addresses: dict[str, source.Address] = {}
        for address in addresses:
            place = address.shown.partition("://")[2].partition("/")[0]
            before = sum(name.partition(" ")[0] == place for name in self._addresses)
            # Two pages of one host and port differ in their paths, which may hold a secret.
            self._addresses[f"{place} ({before + 1})" if before else place] = address

    async def held(self) -> dict[int, source.Held | None]:
        return source.held_of(sample for page in (await self._read()).values() for sample in page)

    async def attempts(self) -> source.Attempts:
        pages = await self._read()
        return source.attempts_of((name, sample) for name, page in pages.items() for sample in page if _is_use(sample))

    async def usage(
        self, spans: Sequence[timedelta], *, proxies: Proxies, kept: Mapping[str, Any] | None = None
    ) -> source.UsageAnswer:
        now = time.time()
        pages = await self._read()
        seen = {name: _read_proxy(page) for name, page in pages.items() if _is_proxy(page)}
        number = proxies.number(value for page in pages.values() for name, _, value in page if name == source.PROXIES)
        mismatch = proxy_mismatch(len(seen), number)
        history = History.read(kept, now).extend(
            seen, now, interruption=mismatch if number is not None else None, longest=max(spans, default=timedelta(0))
        )
        databases = {database for proxy in seen.values() for database, _ in proxy.counts}
        names_databases = bool(databases) and None not in databases
        answers = [
            Span(span, frozenset(history.used(span, now)), mismatch or history.gap(span, now), names_databases)
            for span in spans
        ]
        return source.UsageAnswer(answers, history.serialize(now))

    async def _read(self) -> dict[str, list[source.Sample]]:
        answers = await asyncio.gather(*map(self._page, self._addresses.values()), return_exceptions=True)
        pages = {}
        for name, answer in zip(self._addresses, answers, strict=True):
            if isinstance(answer, BaseException):
                raise answer
            pages[name] = answer
        return pages

    async def _page(self, address: source.Address) -> list[source.Sample]:
        async with await source.open_client(address, self._timeout) as client:
            return await source.fetch(client, address, self._timeout, partial(_read_page, address))


async def _read_page(address: source.Address, answer: Response) -> list[source.Sample]:
    """The samples of the metrics in ``_NAMES``."""
    samples: list[source.Sample] = []
    rest = b""
    async for piece in pieces(answer, LARGEST_PAGE):
        found, rest = await asyncio.to_thread(_parse, address, rest + piece)
        samples += found
        if len(samples) > MOST_SAMPLES:
            raise BodyError(f"the page has more than {MOST_SAMPLES:,} samples")
        if len(rest) > LONGEST_LINE:
            raise BodyError(f"the page has a line of more than {LONGEST_LINE:,} bytes")
    samples += (await asyncio.to_thread(_parse, address, rest + b"\n"))[0]
    if not any(name == source.NODES for name, _, _ in samples):
        raise source.unreadable_error(
            address, "this is not Milvus's metrics page", "A Milvus process has that at /metrics on its metrics port, 9091."
        )
    return samples


def _parse(address: source.Address, text: bytes) -> tuple[list[source.Sample], bytes]:
    """The samples in the whole lines of ``text``, and the line that is not whole."""
    whole, _, rest = text.rpartition(b"\n")
    samples = [_read_sample(address, line) for line in _LINE.finditer(whole.decode(errors="replace"))]
    return samples, rest


def _read_sample(address: source.Address, line: re.Match[str]) -> source.Sample:
    name, parts = line[1], _SAMPLE.fullmatch(line[2])
    labels = "" if parts is None else parts[1] or ""
    value = None if parts is None or not _LABELS.fullmatch(labels) else _read_value(parts[2])
    if value is None:
        raise source.unreadable_error(address, "its text is malformed", "Check whether something between changes it.")
    if name not in (source.ROWS, source.BYTES) and read_number(value) is None:
        raise source.unreadable_error(address, f"its {name} is {value:g}, which cannot be")
    kept = {label: _unescaped(text) for label, text in _EACH_LABEL.findall(labels) if label in _KEPT_LABELS}
    return name, kept, value


def _read_value(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda escaped: "\n" if escaped[1] == "n" else escaped[1], text) if "\\" in text else text


def _is_proxy(page: Sequence[source.Sample]) -> bool:
    return any(name == source.NODES and labels.get("role_name") == "proxy" and value > 0 for name, labels, value in page)


def _is_use(sample: source.Sample) -> bool:
    name, labels, _ = sample
    if name == source.REQUESTS:
        searches = labels.get("function_name") in source.SEARCHES and labels.get("status") == "total"
        return searches and bool(labels.get("collection_name"))
    return name in (source.SUCCEEDED, source.RECEIVED)


def _read_proxy(page: Sequence[source.Sample]) -> Proxy:
    proxy = Proxy(next((value for name, _, value in page if name == source.STARTED), None), {})
    for sample in filter(_is_use, page):
        label = source.label_of(sample[1])
        proxy.counts[label] = proxy.counts.get(label, 0) + sample[2]
    return proxy
