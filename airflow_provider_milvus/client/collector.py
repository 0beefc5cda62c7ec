"""Python's collector of cycles, held back while much is made that is no cycle."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_NEW_OBJECTS = 50_000
"""What thousands of calls make at a time, some twenty for each that is under way."""
_lock = threading.Lock()
_blocks = 0
_before = gc.get_threshold()


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Let Python's collector run more seldom until the last of these blocks has ended, in whichever thread.

    A full collection looks at all that Airflow has imported: it took a quarter of the CPU of a reclaim of thousands, and half
    of what the end of thousands of waits costs a triggerer.
    """
    global _blocks, _before
    with _lock:
        if not _blocks:
            _before = gc.get_threshold()
            # 0 is a collector that is switched off.
            gc.set_threshold(max(_before[0], _NEW_OBJECTS) if _before[0] else 0, *_before[1:])
        _blocks += 1
    try:
        yield
    finally:
        with _lock:
            _blocks -= 1
            if not _blocks:
                gc.set_threshold(*_before)
