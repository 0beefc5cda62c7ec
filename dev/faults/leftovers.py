"""What a task has left behind in its own process: threads, gRPC channels, sockets and temporary files."""

from __future__ import annotations

import gc
import os
import re
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 3.0
"""Seconds in which gRPC's own threads close what was closed."""
OF_GRPC = "_poll_wrapper"
"""The thread of gRPC's asynchronous client, one for a process."""


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What there is at one moment. ``port`` is that of the server; a socket counts if its other end is there."""

    threads: frozenset[threading.Thread]
    channels: int
    sockets: int
    files: frozenset[Path]

    @classmethod
    def now(cls, port: int, temporary: Path) -> Leftovers:
        return cls(frozenset(threading.enumerate()), _channels(), _sockets_to(port), frozenset(temporary.rglob("*")))

    def since(self, port: int, temporary: Path) -> list[str]:
        """What is there beyond these, once all that closes by itself is closed."""
        end = time.monotonic() + PATIENCE
        while (found := self._beyond(Leftovers.now(port, temporary))) and time.monotonic() < end:
            time.sleep(0.1)
        return found

    def _beyond(self, now: Leftovers) -> list[str]:
        more = {
            "thread": [thread.name for thread in now.threads - self.threads if OF_GRPC not in thread.name],
            "channel": ["open"] * (now.channels - self.channels),
            "socket": ["to the server"] * (now.sockets - self.sockets),
            "file": [path.name for path in now.files - self.files],
        }
        return [f"{kind} left: {', '.join(names)}" for kind, names in more.items() if names]


def _channels() -> int:
    import grpc
    from grpc import aio

    gc.collect()
    # By type: asking an object for its class wakes up lazy ones.
    return sum(issubclass(type(found), (grpc.Channel, aio.Channel)) for found in gc.get_objects())


def _sockets_to(port: int) -> int:
    """This process's open sockets whose other end is a port of this machine; 0 where the system does not tell."""
    if not os.path.isdir("/proc/self/fd"):
        return 0
    inodes = set()
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if found := re.match(r"socket:\[(\d+)\]", os.readlink(f"/proc/self/fd/{descriptor}")):
                inodes.add(found[1])
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(line[2].rpartition(":")[2], 16) == port and line[9] in inodes for line in lines)
