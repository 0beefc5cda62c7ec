"""What a task has left behind in its own process: threads, gRPC channels, sockets and temporary files."""

from __future__ import annotations

import gc
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev.servers.process import sockets_to

PATIENCE = 3.0
"""Seconds in which gRPC's own threads close what was closed."""
OF_GRPC = "_poll_wrapper"
"""The thread of gRPC's asynchronous client, one for a process."""


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What there is before a task. ``port`` is that of the server; a socket counts if its other end is there."""

    port: int
    temporary: Path
    threads: frozenset[threading.Thread]
    sockets: int
    files: frozenset[Path]

    @classmethod
    def before(cls, port: int, temporary: Path) -> Leftovers:
        gc.collect()
        # What is there now is not looked at again, which would take half a second.
        gc.freeze()
        return cls(port, temporary, *_now(port, temporary))

    def found(self) -> list[str]:
        """What is there beyond these, once all that closes by itself is closed."""
        end = time.monotonic() + PATIENCE
        while (found := self._beyond()) and time.monotonic() < end:
            time.sleep(0.1)
        gc.unfreeze()
        return found

    def _beyond(self) -> list[str]:
        threads, sockets, files = _now(self.port, self.temporary)
        more = {
            "thread": [thread.name for thread in threads - self.threads if OF_GRPC not in thread.name],
            "channel": _open_channels(),
            "socket": ["to the server"] * (sockets - self.sockets),
            "file": [path.name for path in files - self.files],
        }
        return [f"{kind} left: {', '.join(names)}" for kind, names in more.items() if names]


def _now(port: int, temporary: Path) -> tuple[frozenset[threading.Thread], int, frozenset[Path]]:
    return frozenset(threading.enumerate()), sockets_to(port), frozenset(temporary.rglob("*"))


def _open_channels() -> list[str]:
    from grpc import aio
    from grpc._channel import Channel

    gc.collect()
    # By type: asking an object for its class wakes up lazy ones. A closed channel may live on in the error of a log record.
    channels = [found for found in gc.get_objects() if issubclass(type(found), (Channel, aio.Channel))]
    return ["open" for channel in channels if _is_open(channel._channel)]


def _is_open(channel: Any) -> bool:
    if hasattr(channel, "closed"):
        return not channel.closed()
    try:
        channel.check_connectivity_state(False)
    except ValueError:
        return False
    return True
