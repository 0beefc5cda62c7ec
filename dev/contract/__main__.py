"""Ask every server that can be started here: ``python -m dev.contract``; with ``--write``, write down what was run."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from airflow.providers.common.compat.sdk import Connection

from airflow_provider_milvus.client.client import BoundedClient
from airflow_provider_milvus.client.connection import ConnectionSettings
from airflow_provider_milvus.contract.check import Asked, Contract
from dev.contract.answers import PAGE, RUN, differences, with_table, write
from dev.servers.dialects import DIALECTS
from dev.servers.lite import lite_server
from dev.servers.scripted import scripted_server
from dev.servers.standalone import PLATFORM_HAS_IT, standalone_server


@contextmanager
def real(version: str) -> Iterator[str]:
    """A real server of this version; its address."""
    start = {"lite": lite_server, "2.3.5": standalone_server}[version]
    with TemporaryDirectory() as directory, start(Path(directory)) as server:
        yield server.uri


@contextmanager
def stand_in(version: str) -> Iterator[str]:
    with scripted_server(DIALECTS[version]) as server:
        yield server.uri


def ask(uri: str) -> list[Asked]:
    connection = Connection(conn_id="contract", conn_type="milvus", extra=json.dumps({"uri": uri}))
    with BoundedClient(ConnectionSettings.of(connection), timeout=30) as client:
        contract = Contract(client)
        return [*contract.reads(), *contract.story()]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m dev.contract", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the answers of what is run here, and the table of the docs")
    writes = parser.parse_args().write
    servers: list[tuple[str, str, AbstractContextManager[str]]] = [
        *(("real", version, real(version)) for version in RUN if version == "lite" or PLATFORM_HAS_IT),
        *(("stand-in", version, stand_in(version)) for version in DIALECTS),
    ]
    wrong = 0
    for kind, version, server in servers:
        with server as uri:
            asked = ask(uri)
        if writes and kind == "real":
            write(version, asked)
        differing = differences(version, asked)
        wrong += len(differing)
        print(f"{version} ({kind}): {len(asked) - len(differing)} of {len(asked)} answers as written down")
        print("".join(f"  {line}\n" for line in differing), end="")
    if writes:
        PAGE.write_text(with_table(PAGE.read_text()))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
