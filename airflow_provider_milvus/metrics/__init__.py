"""What Milvus's metrics say: which collection holds how many bytes, which was searched, which is wanted back.

:func:`metrics_source` gives a source for an address: a Prometheus, or the ``/metrics`` pages of the Milvus processes. It only
reads. What a counter means for a collection is in ``reclaim/usage.py``.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from airflow_provider_milvus.arguments import seconds
from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.metrics.endpoints import Endpoints
from airflow_provider_milvus.metrics.prometheus import Prometheus
from airflow_provider_milvus.metrics.source import Address, Attempts, Counted, Held, MetricsSource
from airflow_provider_milvus.wording import without_secrets

__all__ = ["Attempts", "Counted", "Held", "MetricsSource", "metrics_source"]

_MATCHER = r'\s*[A-Za-z_]\w*\s*(=~|!~|!=|=)\s*"([^"\\\n]|\\.)*"\s*'
_MATCHERS = re.compile(rf"{_MATCHER}(,{_MATCHER})*,?\s*", re.ASCII)


def metrics_source(url: str, *, matchers: str | None = "", timeout: float = 10.0) -> MetricsSource:
    """The source behind ``url``. Nothing is sent yet.

    :param url: the base URL of a Prometheus (``http://prometheus:9090``, a path is allowed), or one or several Milvus
        endpoints, separated by commas, each ending in ``/metrics``: all proxies, and for bytes all query nodes. User info is
        for HTTP basic authentication.
    :param matchers: label matchers for every query of Prometheus, such as ``namespace="prod"``.
    :param timeout: seconds for each answer, connecting included.
    :raises MilvusInvalidArgumentError: what can never work.
    """
    limit = seconds("timeout", timeout)
    found = [_address(each.strip()) for each in url.split(",")] if isinstance(url, str) else []
    pages = sum(each.url.endswith("/metrics") for each in found)
    if pages != len(found) or not found:
        if len(found) != 1:
            raise MilvusInvalidArgumentError(
                "metrics_url must be the base URL of one Prometheus, or Milvus endpoints that each end in /metrics."
            )
        return Prometheus(found[0], _checked(matchers or ""), limit)
    if matchers and matchers.strip():
        raise MilvusInvalidArgumentError("metrics_matchers is for a Prometheus, and metrics_url names Milvus endpoints.")
    return Endpoints(found, limit)


def _checked(matchers: str) -> str:
    if matchers.strip() and not _MATCHERS.fullmatch(matchers):
        raise MilvusInvalidArgumentError(
            f'metrics_matchers {matchers!r} must be label matchers of Prometheus, such as namespace="prod".'
        )
    return matchers.strip().rstrip(",")


def _address(text: str) -> Address:
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
    return Address(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}", auth)
