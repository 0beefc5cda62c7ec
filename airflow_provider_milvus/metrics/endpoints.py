"""The metrics as the ``/metrics`` pages of the Milvus processes have them. A page has no past: see ``history.py``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow_provider_milvus.metrics.counters import History, Proxy
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
    Sample,
    attempts_of,
    fetch,
    held_of,
    label_of,
    open_client,
    unreadable,
    wrong_number,
)
from airflow_provider_milvus.metrics.spans import Span

_NAMES = (ROWS, BYTES, SUCCEEDED, RECEIVED, REQUESTS, NODES, STARTED)
_BEGINNINGS = tuple(f"{name}{end}" for name in _NAMES for end in "{ ")


class Endpoints(MetricsSource):
    """Asks all pages at once; one that cannot be read fails the whole, for what it would say is not known."""

    def __init__(self, addresses: Sequence[Address], timeout: float) -> None:
        self._addresses = list(addresses)
        self._timeout = timeout

    async def held(self) -> dict[int, Held]:
        return held_of(sample for page in (await self._read()).values() for sample in page)

    async def attempts(self) -> Attempts:
        pages = await self._read()
        return attempts_of((name, sample) for name, page in pages.items() for sample in page if _is_use(sample))

    async def usage(self, spans: Sequence[timedelta], *, proxies: int | None, kept: Mapping[str, Any] | None = None) -> Counted:
        now = time.time()
        pages = await self._read()
        seen = {name: _proxy(page) for name, page in pages.items() if _is_proxy(page)}
        wrong = wrong_number(len(seen), proxies)
        history = History.read(kept, now).carried_on(
            seen, now, broken=wrong if proxies is not None else None, longest=max(spans, default=timedelta(0))
        )
        databases = {database for each in seen.values() for database, _ in each.counts}
        labelled = bool(databases) and None not in databases
        covered = [Span(span, frozenset(history.used(span, now)), wrong or history.gap(span, now), labelled) for span in spans]
        return Counted(covered, history.as_kept(now))

    async def _read(self) -> dict[str, list[Sample]]:
        answers = await asyncio.gather(*(self._page(each) for each in self._addresses), return_exceptions=True)
        pages = {}
        for address, answer in zip(self._addresses, answers, strict=True):
            if isinstance(answer, BaseException):
                raise answer
            # Thousands of collections are megabytes of text, and this may be the triggerer's loop.
            pages[address.name] = await asyncio.to_thread(_parsed, address, answer)
        return pages

    async def _page(self, address: Address) -> bytes:
        async with await open_client(address, self._timeout) as client:
            return await fetch(client, address, self._timeout)


def _parsed(address: Address, body: bytes) -> list[Sample]:
    """The samples that matter here. Most of a page is the buckets of histograms, so lines are chosen before they are parsed."""
    from prometheus_client.parser import text_string_to_metric_families

    chosen = [line for line in body.decode(errors="replace").split("\n") if line.startswith(_BEGINNINGS)]
    try:
        families = text_string_to_metric_families("\n".join(chosen) + "\n")
        samples: list[Sample] = [(each.name, each.labels, float(each.value)) for family in families for each in family.samples]
    except (ValueError, LookupError, TypeError):
        raise unreadable(address, "its text is malformed", "See whether something in between changes it.") from None
    if not any(name == NODES for name, _, _ in samples):
        raise unreadable(
            address, "this is not Milvus's metrics page", "A Milvus process has it on its metrics port (9091), at /metrics."
        )
    return samples


def _is_proxy(page: Sequence[Sample]) -> bool:
    return any(name == NODES and labels.get("role_name") == "proxy" and value > 0 for name, labels, value in page)


def _is_use(sample: Sample) -> bool:
    name, labels, _ = sample
    if name == REQUESTS:
        searches = labels.get("function_name") in SEARCHES and labels.get("status") == "total"
        return searches and bool(labels.get("collection_name"))
    return name in (SUCCEEDED, RECEIVED)


def _proxy(page: Sequence[Sample]) -> Proxy:
    proxy = Proxy(next((value for name, _, value in page if name == STARTED), None), {})
    for sample in filter(_is_use, page):
        label = label_of(sample[1])
        proxy.counts[label] = proxy.counts.get(label, 0) + sample[2]
    return proxy
