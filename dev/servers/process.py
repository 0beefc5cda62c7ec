"""A server as a child process: it runs in a group of its own and is signalled and stopped by that group's id."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now. They are held together while they are chosen, so no two are the same."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for held_socket in sockets:
            held_socket.bind(("127.0.0.1", 0))
        return [held_socket.getsockname()[1] for held_socket in sockets]


def sockets_to(port: int) -> int:
    """This process's open sockets whose other end is a port of this machine; 0 where the system does not tell."""
    inodes = set()
    with contextlib.suppress(FileNotFoundError):
        for descriptor in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                inodes.update(re.findall(r"socket:\[(\d+)\]", os.readlink(f"/proc/self/fd/{descriptor}")))
    # gRPC also speaks IPv4 through sockets of IPv6.
    tables = [table for table in (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6")) if table.exists()]
    lines = [line.split() for table in tables for line in table.read_text().splitlines()[1:]]
    return sum(line[2].endswith(f":{port:04X}") and line[9] in inodes for line in lines)


def freeze_tree(pid: int) -> list[psutil.Process]:
    """Stop a process and all that it has started, whatever groups these are in, and return them. None starts another then."""
    frozen: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        frozen.append(psutil.Process(pid))
    # It grows meanwhile: what a process has started is known once it is stopped.
    for process in frozen:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.suspend()
            frozen.extend(process.children())
    return frozen


def end_tree(pid: int) -> None:
    """End a process and all that it has started, at once."""
    for process in freeze_tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


class ServerProcess:
    """Start a command, wait until ``ready`` says so, and end the whole process group in the end."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        ready: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        patience: float = 120,
    ) -> None:
        self._command = list(command)
        self._log = log
        self._ready = ready
        self._environment = {**os.environ, **(environment or {})}
        self._directory = directory
        self._patience = patience
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("the server was not started")
        return self._process.pid

    def start(self) -> None:
        """Start it; once more if it ends by itself: now and then Milvus 2.3.5 does, over a map that two of its threads use."""
        if not self._try() and not self._try():
            tail = self._log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{self._command[0]} did not become ready:\n{tail}")

    def _try(self) -> bool:
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=self._environment,
                cwd=self._directory,
                start_new_session=True,
            )
        give_up = time.monotonic() + self._patience
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > give_up:
                self.kill()
                return False
            time.sleep(0.1)
        return True

    def send(self, number: signal.Signals) -> None:
        os.killpg(self.pid, number)

    def freeze(self) -> None:
        """Keep the port open and answer nothing, as a server that swaps or is paused does."""
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self.send(signal.SIGCONT)

    def stop(self, number: signal.Signals, patience: float = 20) -> None:
        """Ask it to end with a signal, and end it if it does not."""
        with contextlib.suppress(subprocess.TimeoutExpired, ProcessLookupError):
            os.kill(self.pid, number)
            assert self._process is not None
            self._process.wait(timeout=patience)
        self.kill()

    def kill(self) -> None:
        """End it at once. Safe to call twice, and on a frozen server."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.send(signal.SIGKILL)
        self._process.wait(timeout=30)
        self._process = None
