"""How many releases to have under way at once: as many as the server makes progress with, found by trying."""

from __future__ import annotations

FASTER = 1.15
"""Doubling has to bring so much, or the server works through a queue and only its queue would grow."""
STEADY = 50
"""Releases at a width that was found, before a greater one is tried again."""
TRY = 8
"""Releases that it takes at least to tell how fast a width is."""


class Pace:
    """Widen while that makes it faster, go back where it does not, halve when the server is late or refuses.

    It begins with two, so that a server that does one at a time (as Milvus 2.3.5) hardly waits for the next. Speeds are taken
    over all that was done at a width: a few releases that happen to be quick must not let the queue grow for good.
    """

    def __init__(self, now: float, most: int = 32) -> None:
        self.width = 2
        self._most = most
        self._excused = 0
        self._seen: dict[int, tuple[int, float]] = {}
        self._count_from(now, TRY)

    def done(self, now: float) -> None:
        """One release was carried out."""
        self._done += 1
        if self._done < self._enough:
            return
        count, seconds = self._seen.get(self.width, (0, 0.0))
        self._seen[self.width] = count + self._done, seconds + max(now - self._began, 1e-6)
        found = min(self._seen)
        while self._speed(2 * found) > self._speed(found) * FASTER:
            found *= 2
        if self.width > found:
            self.width = found
            self._count_from(now, STEADY)
        else:
            self.width = min(2 * found, self._most)
            self._count_from(now, max(TRY, 2 * self.width))

    def late(self, now: float) -> None:
        """One release was late or refused; those that were under way with it are of the same moment and count once."""
        if self._excused:
            self._excused -= 1
            return
        self._excused = self.width - 1
        self.width = max(1, self.width // 2)
        self._seen.clear()
        self._count_from(now, STEADY)

    def _speed(self, width: int) -> float:
        count, seconds = self._seen.get(width, (0, 1.0))
        return count / seconds

    def _count_from(self, now: float, enough: int) -> None:
        self._began, self._done, self._enough = now, 0, enough
