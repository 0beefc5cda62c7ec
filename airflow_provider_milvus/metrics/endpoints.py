"""The metrics on the ``/metrics`` pages of the Milvus processes. A page has no past; ``counters.py`` keeps one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow_provider_milvus.metrics import source
from airflow_provider_milvus.metrics.counters import History, Proxy
from airflow_provider_milvus.metrics.spans import Span

_NAMES = (
    source.ROWS,
    source.BYTES,
    source.SUCCEEDED,
    source.RECEIVED,
    source.REQUESTS,
    source.NODES,
    source.PROXIES,
    source.STARTED,
)
_BEGINNINGS = tuple(f"{name}{end}" for name in _NAMES for end in "{ ")


class Endpoints(source.MetricsSource):
    """Reads all pages at once, and fails when one of them cannot be read: its share would be missing."""

    def __init__(self, addresses: Sequence[source.Address], timeout: float) -> None:
        self._addresses = list(addresses)
        self._timeout = timeout

    async def held(self) -> dict[int, source.Held]:
        return source.held_of(sample for page in (await self._read()).values() for sample in page)

    async def attempts(self) -> source.Attempts:
        pages = await self._read()
        return source.attempts_of((name, sample) for name, page in pages.items() for sample in page if _is_use(sample))

    async def usage(
        self, spans: Sequence[timedelta], *, proxies: source.Proxies, kept: Mapping[str, Any] | None = None
    ) -> source.UsageAnswer:
        now = time.time()
        pages = await self._read()
        seen = {name: _read_proxy(page) for name, page in pages.items() if _is_proxy(page)}
        number = proxies.number(value for page in pages.values() for name, _, value in page if name == source.PROXIES)
        mismatch = source.proxy_mismatch(len(seen), number)
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
        answers = await asyncio.gather(*map(self._page, self._addresses), return_exceptions=True)
        pages = {}
        for address, answer in zip(self._addresses, answers, strict=True):
            if isinstance(answer, BaseException):
                raise answer
            # Thousands of collections are megabytes of text, whose parsing would block the triggerer's loop.
            pages[address.name] = await asyncio.to_thread(_parse, address, answer)
        return pages

    async def _page(self, address: source.Address) -> bytes:
        async with await source.open_client(address, self._timeout) as client:
            return await source.fetch(client, address, self._timeout)


def _parse(address: source.Address, body: bytes) -> list[source.Sample]:
    """The samples of the metrics in ``_NAMES``. Other lines, mostly buckets of histograms, are dropped before the parsing."""
    from prometheus_client.parser import text_string_to_metric_families

    chosen = [line for line in body.decode(errors="replace").split("\n") if line.startswith(_BEGINNINGS)]
    try:
        families = text_string_to_metric_families("\n".join(chosen) + "\n")
        samples: list[source.Sample] = [
            (sample.name, sample.labels, float(sample.value)) for family in families for sample in family.samples
        ]
    except (ValueError, LookupError, TypeError):
        raise source.unreadable_error(address, "its text is malformed", "Check whether something between changes it.") from None
    if not any(name == source.NODES for name, _, _ in samples):
        raise source.unreadable_error(
            address, "this is not Milvus's metrics page", "A Milvus process has that at /metrics on its metrics port, 9091."
        )
    return samples


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
