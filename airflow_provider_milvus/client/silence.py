"""What the log says meanwhile: a line every ``WARN_EVERY`` seconds while one attempt at a call is not answered, and one every
``TELL_EVERY`` seconds of work that takes many calls.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_milvus.client.flow import WARN_EVERY, Call, Deadline

log = logging.getLogger(__name__)

TELL_EVERY = 10.0


class Progress:
    """How far some work has come. Nothing is said of what is quick."""

    def __init__(self) -> None:
        self._told = time.monotonic()

    def tell(self, words: str, *numbers: object) -> None:
        """Log this, unless something was logged within ``TELL_EVERY`` seconds."""
        if time.monotonic() - self._told >= TELL_EVERY:
            self._told = time.monotonic()
            log.info(words, *numbers)


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


class _Teller:
    """Of one attempt. A function that plans itself anew would be a cycle, and keep what is sent until it is collected."""

    def __init__(self, call: Call, deadline: Deadline) -> None:
        self._call = call
        self._deadline = deadline
        self._began = time.monotonic()
        self._plan()

    def _plan(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(WARN_EVERY, self._tell)

    def _tell(self) -> None:
        self._deadline.warn_of_silence(self._call, time.monotonic() - self._began)
        self._plan()

    def end(self) -> None:
        self._timer.cancel()


@contextmanager
def told_by_loop(call: Call, deadline: Deadline) -> Iterator[None]:
    """The same on an event loop."""
    teller = _Teller(call, deadline)
    try:
        yield
    finally:
        teller.end()
