"""``milvus-airflow``, and the same commands as ``airflow milvus`` (Airflow 3.2 and later): a file of this folder is a command.

.. code-block:: bash

    milvus-airflow check --conn-id milvus_default
    milvus-airflow memory --output json
    milvus-airflow plan --dag-file dags/nightly.py
    milvus-airflow backtest --idle-for P7D --since 30d
    milvus-airflow contract --uri http://localhost:19530

Both are described with Airflow's own classes, so that help, output and completion are alike.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from airflow.cli.cli_config import ActionCommand, GroupCommand

from airflow_provider_milvus.cli import backtest, check, contract, memory, plan

COMMANDS: tuple[ActionCommand, ...] = (backtest.COMMAND, check.COMMAND, contract.COMMAND, memory.COMMAND, plan.COMMAND)
ABOUT = "Ask a Milvus what Airflow needs to know"


def get_commands() -> list[GroupCommand]:
    """What Airflow adds to its own commands."""
    return [GroupCommand(name="milvus", help=ABOUT, subcommands=COMMANDS)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Carry out the command in these arguments, by default those of the process, and end with its exit code."""
    import argcomplete

    parser = _parser()
    argcomplete.autocomplete(parser)
    given = parser.parse_args(arguments)
    given.func(given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="milvus-airflow", description=f"{ABOUT}.")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        subparser = subparsers.add_parser(
            command.name,
            help=command.help,
            description=command.description,
            epilog=command.epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for arg in command.args:
            arg.add_to_parser(subparser)
        subparser.set_defaults(func=command.func)
    return parser
