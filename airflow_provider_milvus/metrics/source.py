"""What every source of metrics has in common: its answers, Milvus's names for them, and one bounded HTTP request."""

from __future__ import annotations

import asyncio
import json
import math
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.exceptions import MilvusMetricsError
from airflow_provider_milvus.metrics.spans import Span
from airflow_provider_milvus.tls import tls_context

if TYPE_CHECKING:
    from httpx import AsyncClient

Attempts = dict[tuple[str, str | None, str], float]
"""By proxy, database (None: the server tells none) and name."""
Sample = tuple[str, Mapping[str, str], float]
"""A metric's name, its labels and its value."""

ROWS = "milvus_querynode_entity_num"
BYTES = "milvus_querynode_entity_size"
SUCCEEDED = "milvus_proxy_collection_sq_latency_count"
RECEIVED = "milvus_proxy_received_nq"
"""It counts attempts: who fails to search a collection that is in memory needs it no less."""
REQUESTS = "milvus_proxy_req_count"
"""Other requests, such as asking for the load state, are in it as well. Before Milvus 2.4 it does not name the collection."""
SEARCHES = ("Search", "HybridSearch", "Query")
NODES = "milvus_num_node"
"""With the role ``proxy`` it is on the page of each proxy, always, and tells which processes are proxies."""
STARTED = "process_start_time_seconds"

CHECK = "Check that it runs, and metrics_url."


@dataclass(frozen=True, slots=True)
class Held:
    """What the query nodes have of one collection, all replicas together."""

    rows: int
    bytes: int


@dataclass(slots=True)
class Counted:
    """``spans``: one for each span asked for. ``keep``: what to hand to the next run, JSON-safe; empty for Prometheus."""

    spans: list[Span]
    keep: dict[str, Any] = field(default_factory=dict)


class MetricsSource(ABC):
    """Where the metrics are read.

    :raises MilvusMetricsError: from each method: down, slow, or not what it should be.
    """

    @abstractmethod
    async def held(self) -> dict[int, Held]:
        """What is in memory, by collection id. A loaded collection without rows is not in it."""

    @abstractmethod
    async def usage(self, spans: Sequence[timedelta], *, proxies: int | None, kept: Mapping[str, Any] | None = None) -> Counted:
        """Who was searched or queried, or tried to be, within each of ``spans``, which all end now.

        :param proxies: how many proxies Milvus itself says it has; None: not known, and then nothing is.
        :param kept: what the previous run's answer said to keep. Malformed or of another server: as if there were none.
        """

    @abstractmethod
    async def attempts(self) -> Attempts:
        """How many searches and queries were tried so far, counted from each proxy's start, also of what is not loaded."""


@dataclass(frozen=True, slots=True)
class Address:
    """A URL without its user info, so that it can be shown."""

    url: str
    auth: tuple[str, str] | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Of a Milvus endpoint, for people: host and port, and a path where there is one."""
        return self.url.partition("://")[2].removesuffix("/metrics")


def unreadable(address: Address, what: str, next_step: str = CHECK) -> MilvusMetricsError:
    return MilvusMetricsError(f"The metrics at {address.url} cannot be read: {what}. {next_step}")


async def open_client(address: Address, timeout: float) -> AsyncClient:
    from httpx import AsyncClient

    return AsyncClient(timeout=timeout, verify=await asyncio.to_thread(tls_context, address.url))


async def fetch(
    client: AsyncClient, address: Address, timeout: float, *, path: str = "", form: Mapping[str, str] | None = None
) -> bytes:
    """The body of the answer, within ``timeout`` seconds: to a GET, or to a POST of ``form``."""
    import httpx

    method, auth = ("GET", "POST")[form is not None], address.auth or httpx.USE_CLIENT_DEFAULT
    try:
        # httpx's own timeout is for each piece of an answer, which a server that drips never exceeds.
        async with asyncio.timeout(timeout):
            answer = await client.request(method, address.url + path, data=form, auth=auth)
    except (TimeoutError, httpx.TimeoutException):
        raise unreadable(address, f"no answer within {timeout:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise unreadable(address, str(error) or type(error).__name__) from None
    if answer.status_code != 200:
        what = f"HTTP {answer.status_code}{_complaint(answer.content)}"
        raise unreadable(address, what, "Check metrics_url, its credentials and metrics_matchers.")
    return answer.content


def _complaint(body: bytes) -> str:
    """What Prometheus says of a query that it refuses."""
    try:
        return f", {str(json.loads(body)['error'])[:200]}"
    except (ValueError, LookupError, TypeError):
        return ""


def label_of(labels: Mapping[str, str]) -> tuple[str | None, str]:
    return labels.get("db_name") or None, labels.get("collection_name", "")


def held_of(samples: Iterable[Sample]) -> dict[int, Held]:
    """The size keeps its old value after a release: it counts only where there are rows."""
    sums: dict[str, dict[tuple[int, str, str], float]] = {ROWS: defaultdict(float), BYTES: defaultdict(float)}
    for name, labels, value in samples:
        collection = labels.get("collection_id", "")
        if name in sums and collection.isdecimal() and math.isfinite(value):
            sums[name][int(collection), labels.get("node_id", ""), labels.get("segment_state", "")] += value
    held: dict[int, Held] = {}
    for key, size in sums[BYTES].items():
        if (rows := sums[ROWS].get(key, 0)) > 0:
            before = held.get(key[0], Held(0, 0))
            held[key[0]] = Held(before.rows + int(rows), before.bytes + int(size))
    return held


def attempts_of(samples: Iterable[tuple[str, Sample]]) -> Attempts:
    """Given samples with their proxy. Where both counters tell of the same attempts, the larger."""
    sums: dict[str, Attempts] = {RECEIVED: defaultdict(float), REQUESTS: defaultdict(float)}
    for proxy, (name, labels, value) in samples:
        if name in sums:
            sums[name][(proxy, *label_of(labels))] += value
    received, requests = sums[RECEIVED], sums[REQUESTS]
    return {key: max(received.get(key, 0), requests.get(key, 0)) for key in received.keys() | requests.keys()}


def wrong_number(seen: int, proxies: int | None) -> str | None:
    """Why nothing is known: the metrics are not those of all proxies, and of no others."""
    if proxies is None:
        return "Milvus did not say how many proxies it has"
    return None if seen == proxies else f"the metrics are of {seen} proxies, and Milvus has {proxies}"
