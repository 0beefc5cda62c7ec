"""Milvus Lite as a gRPC server: what a laptop runs, and the smaller of the two servers the tests ask."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dev.servers.process import ServerProcess, free_ports


@dataclass(frozen=True, slots=True)
class LiteServer:
    port: int
    process: ServerProcess

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def lite_server(directory: Path) -> Iterator[LiteServer]:
    """Serve ``directory`` until the block ends; the data stays there."""
    (port,) = free_ports(1)
    directory.mkdir(parents=True, exist_ok=True)
    command = Path(sys.executable).parent / "milvus-lite"
    process = ServerProcess(
        [str(command), "server", "--data-dir", str(directory / "data"), "--host", "127.0.0.1", "--port", str(port)],
        log=directory / "server.log",
        ready=lambda: _listens(port),
    )
    try:
        process.start()
        yield LiteServer(port, process)
    finally:
        process.kill()
