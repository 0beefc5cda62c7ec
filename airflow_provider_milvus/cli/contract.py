"""``contract``: whether a Milvus keeps what this provider relies on, call by call."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING, Any

from airflow.cli.cli_config import ActionCommand

from airflow_provider_milvus.cli.command import (
    FINE,
    OUTPUT,
    SERVER,
    WRONG,
    argument,
    command,
    hook_of,
    progress,
    quiet,
    show,
    tell,
)

if TYPE_CHECKING:
    from airflow_provider_milvus.contract.check import Asked


@command
def contract(given: Namespace) -> int:
    """Show whether each clause holds."""
    from airflow_provider_milvus.contract.check import Contract

    with quiet(), hook_of(given).client() as client:
        contract = Contract(client)
        asked = list(progress(contract.reads(), _name))
        if given.write:
            tell(f"In the database {contract.scratch}, which is dropped afterwards:")
            asked += progress(contract.story(), _name)
    rows = [{"clause": _name(one), "holds": "yes" if one.holds else "NO", "answer": answer_of(one)} for one in asked]
    plain: list[dict[str, Any]] = [
        {"clause": _name(one), "holds": one.holds, "answer": one.answer, **({"error": one.text} if one.text else {})}
        for one in asked
    ]
    show(given, rows, plain)
    wrong = sum(not one.holds for one in asked)
    tell(
        f"{wrong} of {len(asked)} {'does' if wrong == 1 else 'do'} not hold here." if wrong else f"All {len(asked)} hold here."
    )
    return WRONG if wrong else FINE


def _name(one: Asked) -> str:
    return one.clause.name


def answer_of(one: Asked) -> str:
    """What the server has answered, where it is another answer than this provider relies on."""
    return "" if one.holds else one.text or str(one.answer)


COMMAND = ActionCommand(
    name="contract",
    help="Whether a Milvus keeps what this provider relies on",
    description="Ask a Milvus all that this provider relies on, call by call. Only reads are sent, unless --write is given.",
    func=contract,
    args=(
        *SERVER,
        argument("--write", action="store_true", help="also in a database that is made for it and dropped afterwards"),
        OUTPUT,
    ),
)
