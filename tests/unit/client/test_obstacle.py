"""The search for what is in the way ends in time, whatever the network does."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from airflow_provider_milvus.client import obstacle


def test_a_search_for_the_address_that_hangs_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = threading.Event()
    monkeypatch.setattr(obstacle, "SEARCH_TIMEOUT", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *place, **more: hangs.wait(30))
    began = time.monotonic()
    try:
        assert obstacle.find_obstacle("http://milvus.example.com:19530", {}) is None
        assert time.monotonic() - began < 10
    finally:
        hangs.set()
