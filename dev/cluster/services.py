"""PostgreSQL and Redis, each with a directory and a port of its own, from Debian's packages."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev.servers.process import ServerProcess, free_ports

PACKAGES = {"initdb": "postgresql", "postgres": "postgresql", "pg_isready": "postgresql", "redis-server": "redis-server"}
POSTGRESQL = Path("/usr/lib/postgresql")
"""Debian keeps the servers away from the PATH, a directory for each version."""
OWNER = "postgres"
"""PostgreSQL does not run as root; Debian's package makes this user."""


class MissingPackageError(Exception):
    """A package of Debian is not installed; the message names all that are missing."""


def check_packages() -> None:
    """:raises MissingPackageError: PostgreSQL or Redis is missing."""
    if missing := sorted({package for command, package in PACKAGES.items() if _path_of(command) is None}):
        raise MissingPackageError(f"the cluster needs {' and '.join(missing)}: apt-get install {' '.join(missing)}")


def _path_of(command: str) -> str | None:
    versions = sorted(map(str, POSTGRESQL.glob("*/bin")), reverse=True)
    return shutil.which(command, path=os.pathsep.join([os.environ.get("PATH", ""), *versions]))


def _command(name: str, *arguments: str) -> list[str]:
    path = _path_of(name)
    assert path is not None
    return [path, *arguments]


@contextmanager
def postgresql() -> Iterator[str]:
    """SQLAlchemy's URL of an empty database, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="milvus-cluster-postgresql-") as directory:
        as_owner = []
        if os.getuid() == 0:
            os.chown(directory, pwd.getpwnam(OWNER).pw_uid, -1)
            as_owner = ["setpriv", "--reuid", OWNER, "--regid", OWNER, "--clear-groups"]
        data, (port,) = f"{directory}/data", free_ports(1)
        make = _command("initdb", "-D", data, "-U", "airflow", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")
        subprocess.run([*as_owner, *make], check=True, cwd=directory, capture_output=True, timeout=120)
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": "200",
            # So that nothing is left in /dev/shm.
            "dynamic_shared_memory_type": "mmap",
        }
        given = [f"-c{name}={value}" for name, value in options.items()]
        process = ServerProcess(
            [*as_owner, *_command("postgres", "-D", data, "-p", str(port), *given)],
            log=Path(directory) / "server.log",
            ready=lambda: _answers(_command("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port))),
            directory=Path(directory),
        )
        try:
            process.start()
            yield f"postgresql+psycopg2://airflow@127.0.0.1:{port}/postgres"
        finally:
            process.stop(signal.SIGINT)


@contextmanager
def redis(directory: Path) -> Iterator[str]:
    """The URL of an empty Redis that writes nothing to the disk, until the block ends."""
    directory.mkdir(parents=True)
    (port,) = free_ports(1)
    process = ServerProcess(
        _command("redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"),
        log=directory / "server.log",
        ready=lambda: _listens(port),
        directory=directory,
    )
    try:
        process.start()
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()


def _answers(command: list[str]) -> bool:
    return subprocess.run(command, timeout=10).returncode == 0


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(5) == b"+PONG"
    except OSError:
        return False
