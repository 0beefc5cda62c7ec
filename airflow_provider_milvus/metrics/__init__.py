"""Milvus's metrics: the bytes of a collection in memory, and the searches of a collection, also of one not in memory.

:func:`metrics_source` returns a source for an address: a Prometheus, or the ``/metrics`` pages of the Milvus processes. It only
reads. ``reclaim/usage.py`` says what a counter means for a collection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import unquote, urlsplit

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.kinds import check_seconds
from airflow_provider_milvus.metrics.endpoints import Endpoints
from airflow_provider_milvus.metrics.prometheus import Prometheus
from airflow_provider_milvus.metrics.source import Address, Attempts, Held, MetricsSource, UsageAnswer, within
from airflow_provider_milvus.metrics.spans import Proxies
from airflow_provider_milvus.wording import without_secrets

__all__ = ["Attempts", "Held", "MetricsSource", "Proxies", "UsageAnswer", "metrics_source", "within"]

_MATCHER = r'\s*[A-Za-z_]\w*\s*(=~|!~|!=|=)\s*"([^"\\\n]|\\.)*"\s*'
_MATCHERS = re.compile(rf"{_MATCHER}(,{_MATCHER})*,?\s*", re.ASCII)


def metrics_source(
    url: str, *, matchers: str | None = "", timeout: float = 10.0, tls: Mapping[str, str] = MappingProxyType({})
) -> MetricsSource:
    """The source at ``url``. Nothing is sent yet.

    .. code-block:: python

        import asyncio

        from airflow_provider_milvus.hooks.milvus import MilvusHook

        metrics = MilvusHook().metrics()
        if metrics is not None:
            print(asyncio.run(metrics.held()))

    :param url: the base URL of a Prometheus (``http://prometheus:9090``, a path is allowed), or Milvus endpoints, separated by
        commas, that end in ``/metrics``: those of all proxies, and for bytes those of all query nodes. User info is for HTTP
        basic authentication.
    :param matchers: label matchers for every query of Prometheus, such as ``namespace="prod"``.
    :param timeout: seconds for one answer, connecting included; 10 by default.
    :param tls: a connection's TLS files by their settings; for https the authority in them is trusted besides the system's.
    :raises MilvusInvalidArgumentError: an argument can never work.
    """
    limit = check_seconds("timeout", timeout)
    addresses = [_read_address(part.strip(), tls) for part in url.split(",")] if isinstance(url, str) else []
    given = (matchers or "").strip()
    pages = sum(address.url.endswith("/metrics") for address in addresses)
    if pages != len(addresses) or not addresses:
        if len(addresses) != 1:
            raise MilvusInvalidArgumentError(
                "metrics_url must be the base URL of one Prometheus, or Milvus endpoints that each end in /metrics."
            )
        if given and not _MATCHERS.fullmatch(given):
            raise MilvusInvalidArgumentError(
                f'metrics_matchers {matchers!r} must be label matchers of Prometheus, such as namespace="prod".'
            )
        return Prometheus(addresses[0], given.rstrip(","), limit)
    if given:
        raise MilvusInvalidArgumentError(
            "metrics_matchers is for a Prometheus, and metrics_url names Milvus endpoints: leave it out."
        )
    return Endpoints(addresses, limit)


def _read_address(text: str, tls: Mapping[str, str]) -> Address:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or re.search(r"\s", text):
        raise MilvusInvalidArgumentError(
            f"metrics_url {without_secrets(text)!r} must begin with http:// or https://, name a host and have no query: "
            "the base URL of a Prometheus, or Milvus endpoints that each end in /metrics."
        )
    auth = (unquote(parts.username or ""), unquote(parts.password or "")) if "@" in parts.netloc else None
    return Address(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}", auth, tls)
