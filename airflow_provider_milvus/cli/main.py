"""``milvus-airflow check``: whether a Milvus can be used, and whether it keeps what this provider relies on.

.. code-block:: bash

    milvus-airflow check --conn-id milvus_default
    milvus-airflow check --contract
    milvus-airflow check --contract --write
    milvus-airflow check --contract --uri http://localhost:19530

It exits with 0 when all is well, with 1 when something does not hold, and with 2 when the server cannot be asked.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from airflow_provider_milvus.exceptions import MilvusError

if TYPE_CHECKING:
    from airflow_provider_milvus.client.connection import ConnectionSettings
    from airflow_provider_milvus.contract.check import Asked


def settings_of(uri: str) -> ConnectionSettings:
    """The settings for a server without a password, for which there is no connection."""
    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_milvus.client.connection import ConnectionSettings

    return ConnectionSettings.of(Connection(conn_id="--uri", conn_type="milvus", extra=json.dumps({"uri": uri})))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with these arguments, by default those of the command line; return its exit code."""
    given = _parser().parse_args(arguments)
    try:
        return _check(given)
    except MilvusError as error:
        print(error, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="milvus-airflow", description="Ask a Milvus what this Airflow provider needs to know."
    )
    check = parser.add_subparsers(required=True).add_parser("check", help="whether a Milvus can be used")
    server = check.add_mutually_exclusive_group()
    server.add_argument("--conn-id", default="milvus_default", help="the Airflow connection (default: milvus_default)")
    server.add_argument("--uri", help="a server without a password, instead of a connection")
    check.add_argument("--contract", action="store_true", help="ask what the provider relies on; only reads are sent")
    check.add_argument(
        "--write", action="store_true", help="with --contract: also in a database that is made for it and dropped afterwards"
    )
    return parser


def _check(given: argparse.Namespace) -> int:
    from airflow_provider_milvus.client.client import BoundedClient
    from airflow_provider_milvus.client.flow import Rpc
    from airflow_provider_milvus.contract.check import ATTEMPT, Contract
    from airflow_provider_milvus.hooks.milvus import MilvusHook

    settings = settings_of(given.uri) if given.uri else MilvusHook(given.conn_id).settings
    with BoundedClient(settings, ATTEMPT if given.contract else settings.timeout) as client:
        version = client.perform(Rpc("GetVersion")).version
        if not given.contract:
            print(f"Milvus {version} answers at {settings.uri}.")
            return 0
        print(f"Milvus {version} at {settings.uri}")
        contract = Contract(client)
        wrong = _print(contract.reads())
        if given.write:
            print(f"In the database {contract.scratch}, which is dropped afterwards:")
            wrong += _print(contract.story())
    print(f"{wrong} of this provider's assumptions do not hold here." if wrong else "All that was asked holds here.")
    return 1 if wrong else 0


def _print(asked: Iterable[Asked]) -> int:
    """Print a line for each answer, as it comes, and return how many do not hold."""
    wrong = 0
    for one in asked:
        wrong += not one.holds
        words = one.clause.name if one.holds else f"{one.clause.name}: {one.text or one.answer}"
        print(f"  {'holds' if one.holds else 'WRONG'}  {words}", flush=True)
    return wrong
