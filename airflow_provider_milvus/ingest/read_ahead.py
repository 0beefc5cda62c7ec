"""An iterator that runs in a thread of its own: an event loop asks it for the next item, and can leave it behind."""

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
    """All of the generator runs in one thread, which some sources need. A source that hangs keeps no process alive: its
    thread is a daemon."""

    def __init__(self, items: Generator[T, None, None]) -> None:
        self._items = items
        self._asked: queue.SimpleQueue[asyncio.Future[T | None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=copy_context().run, args=(self._serve,), name="milvus-rows", daemon=True)
        self._thread.start()

    async def next(self, within: float) -> T | None:
        """The next item; ``None`` after the last. What the generator raises is raised here.

        :raises TimeoutError: it did not come within so many seconds.
        """
        answer: asyncio.Future[T | None] = asyncio.get_running_loop().create_future()
        self._asked.put(answer)
        return await asyncio.wait_for(answer, within)

    def close(self) -> None:
        """Close the generator, in its thread, when it is not busy any more. Does not wait for it."""
        self._asked.put(None)

    def _serve(self) -> None:
        try:
            while (answer := self._asked.get()) is not None:
                try:
                    item = next(self._items, None)
                except BaseException as error:  # noqa: BLE001 - it is raised where the item was asked for
                    self._tell(answer, error=error)
                else:
                    self._tell(answer, item)
        finally:
            self._items.close()

    def _tell(self, answer: asyncio.Future[T | None], item: T | None = None, error: BaseException | None = None) -> None:
        def tell() -> None:
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(item)

        with suppress(RuntimeError):  # The loop is closed: nobody waits any more.
            answer.get_loop().call_soon_threadsafe(tell)
