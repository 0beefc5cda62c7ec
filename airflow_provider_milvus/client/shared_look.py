"""One look at many collections, for all who ask for one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedLook(Generic[T]):
    """Who asks gets the answer of a look that began after that. The look begins ``after`` seconds, for all who asked by then.

    ``look`` is given the names that were asked for, and returns what it has seen of them.
    """

    def __init__(self, look: Callable[[Collection[str]], Awaitable[Mapping[str, T]]], after: float) -> None:
        self._look = look
        self._after = after
        self._names: set[str] = set()
        self._next: asyncio.Task[Mapping[str, T]] | None = None

    async def at(self, name: str) -> T | None:
        """What the next look sees of ``name``; ``None`` where it sees nothing of it. An error of the look is everybody's."""
        self._names.add(name)
        if self._next is None:
            self._next = asyncio.create_task(self._look_at_all())
        # Who gives up does not end it for the others.
        return (await asyncio.shield(self._next)).get(name)

    async def _look_at_all(self) -> Mapping[str, T]:
        await asyncio.sleep(self._after)
        names, self._names, self._next = self._names, set(), None
        return await self._look(names)
