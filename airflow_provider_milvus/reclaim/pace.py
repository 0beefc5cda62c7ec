"""How many releases to have under way at once: as many as make the server faster, found out by trying."""

from __future__ import annotations

FASTER = 1.15
"""How much faster twice the width has to be. Otherwise the server works through a queue, and only the queue would grow."""
STEADY = 50
"""Releases at the best width before a greater one is tried again."""
TRY = 8
"""Releases that it takes at least to measure the speed of a width."""


class Pace:
    """``width`` is the number of releases to have under way at once.

    It grows while that makes the releases faster, goes back where it does not, and is halved when the server is late or
    refuses. It begins with two, so that a server that does one at a time (as Milvus 2.3.5) hardly waits for the next. A speed
    is taken over all releases at a width: a few that happen to be quick must not make the queue grow for good.
    """

    def __init__(self, now: float, most: int = 256) -> None:
        self.width = 2
        self._most = most
        self._excused = 0
        self._measured: dict[int, tuple[int, float]] = {}
        """Releases and seconds, by width."""
        self._count_from(now, TRY)

    def done(self, now: float) -> None:
        """One release was carried out."""
        self._done += 1
        if self._done < self._enough:
            return
        count, seconds = self._measured.get(self.width, (0, 0.0))
        self._measured[self.width] = count + self._done, seconds + max(now - self._began, 1e-6)
        best = min(self._measured)
        while self._speed(2 * best) > self._speed(best) * FASTER:
            best *= 2
        if self.width > best:
            self.width = best
            self._count_from(now, STEADY)
        else:
            self.width = min(2 * best, self._most)
            self._count_from(now, max(TRY, self.width))

    def late(self, now: float) -> None:
        """One release was late or refused. Those that were under way with it are late for the same reason and count once."""
        if self._excused:
            self._excused -= 1
            return
        self._excused = self.width - 1
        self.width = max(1, self.width // 2)
        self._measured.clear()
        self._count_from(now, STEADY)

    def _speed(self, width: int) -> float:
        count, seconds = self._measured.get(width, (0, 1.0))
        return count / seconds

    def _count_from(self, now: float, enough: int) -> None:
        self._began, self._done, self._enough = now, 0, enough
