"""What the log says while one attempt at a call is not answered: a line every ``WARN_EVERY`` seconds."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_milvus.client.flow import WARN_EVERY, Call, Deadline


@contextmanager
def told_by_thread(call: Call, deadline: Deadline) -> Iterator[None]:
    """Make an attempt at ``call`` in the block, in a worker. Most attempts are too short for a thread of their own."""
    if call.timeout is not None and call.timeout <= WARN_EVERY:
        yield
        return
    began, ended = time.monotonic(), threading.Event()

    def tell() -> None:
        while not ended.wait(WARN_EVERY):
            deadline.warn_of_silence(call, time.monotonic() - began)

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join()


@contextmanager
def told_by_loop(call: Call, deadline: Deadline) -> Iterator[None]:
    """The same on an event loop."""
    began, loop = time.monotonic(), asyncio.get_running_loop()
    timers: list[asyncio.TimerHandle] = []

    def tell() -> None:
        deadline.warn_of_silence(call, time.monotonic() - began)
        timers[:] = [loop.call_later(WARN_EVERY, tell)]

    timers.append(loop.call_later(WARN_EVERY, tell))
    try:
        yield
    finally:
        timers[0].cancel()
