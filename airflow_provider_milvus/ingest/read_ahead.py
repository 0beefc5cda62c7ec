"""An iterator that runs in its own thread. An event loop requests the next item, and can stop waiting for it."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Generator
from contextlib import suppress
from contextvars import copy_context
from typing import Generic, TypeVar

T = TypeVar("T")


class ReadAhead(Generic[T]):
    """Runs a generator in a single thread, which some sources need. The thread is a daemon, so that a source that hangs does
    not keep the process alive."""

    def __init__(self, items: Generator[T, None, None]) -> None:
        self._items = items
        self._requests: queue.SimpleQueue[asyncio.Future[T | None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=copy_context().run, args=(self._serve,), name="milvus-rows", daemon=True)
        self._thread.start()

    async def next(self, timeout: float) -> T | None:
        """The next item; ``None`` after the last. An error of the generator is raised here.

        :raises TimeoutError: the item did not come within ``timeout`` seconds.
        """
        answer: asyncio.Future[T | None] = asyncio.get_running_loop().create_future()
        self._requests.put(answer)
        return await asyncio.wait_for(answer, timeout)

    def close(self) -> None:
        """Close the generator, in its thread, as soon as it is not busy. Does not wait for it."""
        self._requests.put(None)

    def _serve(self) -> None:
        try:
            while (answer := self._requests.get()) is not None:
                try:
                    item = next(self._items, None)
                except BaseException as error:  # noqa: BLE001 - it is raised where the item was requested
                    self._answer(answer, error=error)
                else:
                    self._answer(answer, item)
        finally:
            self._items.close()

    def _answer(self, answer: asyncio.Future[T | None], item: T | None = None, error: BaseException | None = None) -> None:
        def set_answer() -> None:
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(item)

        with suppress(RuntimeError):  # The loop is closed: nobody waits any more.
            answer.get_loop().call_soon_threadsafe(set_answer)
