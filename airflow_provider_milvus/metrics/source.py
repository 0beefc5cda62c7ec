"""What both sources of metrics share: the answers, Milvus's names of its metrics, and one HTTP request that ends in time."""

from __future__ import annotations

import asyncio
import re
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from airflow_provider_milvus.answers.bodies import BodyError, answer_to, read_json
from airflow_provider_milvus.answers.numbers import read_number
from airflow_provider_milvus.exceptions import MilvusMetricsError
from airflow_provider_milvus.metrics.spans import Proxies, Span
from airflow_provider_milvus.tls import tls_context
from airflow_provider_milvus.wording import without, without_secrets

if TYPE_CHECKING:
    from httpx import AsyncClient, Response

T = TypeVar("T")

Attempts = dict[tuple[str, str | None, str], float]
"""A count for each proxy, database (None: the server does not name it) and name of a collection or alias."""
Sample = tuple[str, Mapping[str, str], float]
"""A metric's name, its labels and its value."""

ROWS = "milvus_querynode_entity_num"
BYTES = "milvus_querynode_entity_size"
SUCCEEDED = "milvus_proxy_collection_sq_latency_count"
RECEIVED = "milvus_proxy_received_nq"
"""It counts attempts: a search that fails is a use too."""
REQUESTS = "milvus_proxy_req_count"
"""It counts other requests too, such as those for the load state. Before Milvus 2.4 it does not name the collection."""
SEARCHES = ("Search", "HybridSearch", "Query")
NODES = "milvus_num_node"
"""With the role ``proxy`` it is always on the page of a proxy, and on no other page."""
PROXIES = "milvus_rootcoord_proxy_num"
"""The number of proxies, on the page of the (mix or root) coordinator."""
STARTED = "process_start_time_seconds"
SERIES = (ROWS, BYTES, SUCCEEDED, RECEIVED, REQUESTS, NODES, PROXIES, STARTED)

CHECK = "Check that it runs, and metrics_url."

LARGEST_REFUSAL = 1 << 16
"""Bytes of an answer that says why there is none."""
_ID = re.compile(r"\d{1,19}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Held:
    """What the query nodes hold of one collection, all replicas together."""

    rows: int
    bytes: int


@dataclass(slots=True)
class UsageAnswer:
    """``spans``: one for each requested span. ``keep``: plain values for the next run to pass in; empty for Prometheus."""

    spans: list[Span]
    keep: dict[str, Any] = field(default_factory=dict)


class MetricsSource(ABC):
    """Where the metrics are read.

    :raises MilvusMetricsError: from every method: the metrics cannot be read.
    """

    @abstractmethod
    async def held(self) -> dict[int, Held | None]:
        """What is in memory, by collection id. A loaded collection without rows is left out; ``None`` is what cannot be."""

    @abstractmethod
    async def usage(
        self, spans: Sequence[timedelta], *, proxies: Proxies, kept: Mapping[str, Any] | None = None
    ) -> UsageAnswer:
        """Which collections somebody searched or queried, or tried to, within each of ``spans``, which all end now.

        :param proxies: what is known of their number; no span is covered where that is nothing, or another number is seen.
        :param kept: ``keep`` of the previous run's answer. One that is malformed or of another server is ignored.
        """

    @abstractmethod
    async def attempts(self) -> Attempts:
        """The attempts to search or query since each proxy was started, also of collections that are not loaded."""


@dataclass(frozen=True, slots=True)
class Address:
    """A URL without user info, its credentials and the connection's TLS files. Messages show ``shown`` of it."""

    url: str = field(repr=False)
    auth: tuple[str, str] | None = field(default=None, repr=False)
    tls: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    shown: str = field(init=False)

    def without_secrets(self, text: str) -> str:
        """A text of the server, which may repeat what was sent to it."""
        user, password = self.auth or ("", "")
        path = urlsplit(self.url).path.removesuffix("/metrics")
        return without({f"{user}:{password}", password, path} - {":"}, text)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shown", without_secrets(self.url))


def unreadable_error(address: Address, what: str, next_step: str = CHECK) -> MilvusMetricsError:
    return MilvusMetricsError(f"The metrics at {address.shown} cannot be read: {what}. {next_step}")


async def within(seconds: float, reading: Awaitable[T]) -> T:
    """What ``reading`` finds, if it ends in time: each of its answers has a time of its own, and there may be many.

    :raises MilvusMetricsError: it does not, or the metrics cannot be read.
    """
    try:
        async with asyncio.timeout(seconds):
            return await reading
    except TimeoutError:
        raise MilvusMetricsError(f"The metrics did not answer within {seconds:.1f} s. Check metrics_url.") from None


async def open_client(address: Address, timeout: float) -> AsyncClient:
    from httpx import AsyncClient

    context = await asyncio.to_thread(tls_context, address.url, address.tls, trust_system=True)
    return AsyncClient(timeout=timeout, verify=context)


async def fetch(
    client: AsyncClient,
    address: Address,
    timeout: float,
    take: Callable[[Response], Awaitable[T]],
    *,
    path: str = "",
    form: Mapping[str, str] | None = None,
) -> T:
    """What ``take`` makes of the answer to a GET, or to a POST of ``form``; both have ``timeout`` seconds together."""
    import httpx

    method = ("GET", "POST")[form is not None]
    try:
        async with (
            asyncio.timeout(timeout),
            answer_to(client, method, address.url + path, data=form, auth=address.auth) as answer,
        ):
            if answer.status_code == 200:
                return await take(answer)
            refusal = f"HTTP {answer.status_code}{await _prometheus_error(address, answer)}"
    except (TimeoutError, httpx.TimeoutException):
        raise unreadable_error(address, f"no answer within {timeout:g} s") from None
    except BodyError as error:
        raise unreadable_error(address, str(error)) from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise unreadable_error(address, str(error) or type(error).__name__) from None
    raise unreadable_error(address, refusal, "Check metrics_url, its credentials and metrics_matchers.")


async def _prometheus_error(address: Address, answer: Response) -> str:
    """The reason that Prometheus gives when it refuses a query."""
    try:
        return f", {address.without_secrets(str((await read_json(answer, LARGEST_REFUSAL))['error']))[:200]}"
    except (BodyError, ValueError, LookupError, TypeError):
        return ""


def label_of(labels: Mapping[str, str]) -> tuple[str | None, str]:
    return labels.get("db_name") or None, labels.get("collection_name", "")


def collection_of(labels: Mapping[str, str]) -> int | None:
    """The id of the collection that a sample is of: too large for a float, which is why it is read as digits."""
    told = labels.get("collection_id", "")
    return int(told) if _ID.fullmatch(told) else None


def held_of(samples: Iterable[Sample]) -> dict[int, Held | None]:
    """What is in memory, by collection id. The size keeps its old value after a release, so it counts only with rows."""
    sums: dict[str, dict[tuple[int, str, str], float]] = {ROWS: defaultdict(float), BYTES: defaultdict(float)}
    impossible: set[int] = set()
    for name, labels, value in samples:
        if name in sums and (collection := collection_of(labels)) is not None:
            if (number := read_number(value)) is None:
                impossible.add(collection)
            else:
                sums[name][collection, labels.get("node_id", ""), labels.get("segment_state", "")] += number
    held: dict[int, Held | None] = {}
    for key, size in sums[BYTES].items():
        if (rows := sums[ROWS].get(key, 0)) > 0:
            before = held.get(key[0]) or Held(0, 0)
            held[key[0]] = Held(before.rows + int(rows), before.bytes + int(size))
    return {**held, **dict.fromkeys(impossible)}


def attempts_of(samples: Iterable[tuple[str, Sample]]) -> Attempts:
    """The attempts in ``samples``, which come with their proxy: the larger count of the two metrics."""
    sums: dict[str, Attempts] = {RECEIVED: defaultdict(float), REQUESTS: defaultdict(float)}
    for proxy, (name, labels, value) in samples:
        if name in sums:
            sums[name][(proxy, *label_of(labels))] += value
    received, requests = sums[RECEIVED], sums[REQUESTS]
    return {key: max(received.get(key, 0), requests.get(key, 0)) for key in received.keys() | requests.keys()}
