"""``check``: whether a Milvus can be used from here, what it can do, and what the connection's user may do."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from airflow.cli.cli_config import ActionCommand

from airflow_provider_milvus.cli.command import (
    FINE,
    OUTPUT,
    SERVER,
    WRONG,
    command,
    hook_of,
    progress,
    quiet,
    show,
    tell,
)

if TYPE_CHECKING:
    from airflow_provider_milvus.client.client import BoundedClient
    from airflow_provider_milvus.client.flow import Deadline
    from airflow_provider_milvus.hooks.milvus import MilvusHook

MOST = 30.0
"""Seconds for the questions to the server, and for its metrics."""


@dataclass(frozen=True, slots=True)
class Finding:
    """``state``: ok, WRONG, no (what this server cannot do, or does not have), or unknown."""

    what: str
    state: str
    told: str = ""


@command
def check(given: Namespace) -> int:
    """Ask, and show a line for each answer."""
    with quiet():
        hook = hook_of(given)
        with hook.client() as client:
            found: list[Finding] = list(progress(_findings(hook, client), lambda finding: finding.what))
    rows = [asdict(finding) for finding in found]
    show(given, rows, rows)
    wrong = sum(finding.state == "WRONG" for finding in found)
    tell(f"{wrong} of these would keep tasks from working." if wrong else "It can be used.")
    return WRONG if wrong else FINE


def _findings(hook: MilvusHook, client: BoundedClient) -> Iterator[Finding]:
    """What is asked, one after the other. The first questions are those without which there are no others."""
    from airflow_provider_milvus.client.flow import Deadline, Rpc
    from airflow_provider_milvus.client.reads import collections, health
    from airflow_provider_milvus.contract.abilities import abilities

    settings = hook.settings
    # One attempt: whoever types this sees at once that the server is out of reach.
    version = client.perform(Rpc("GetVersion")).version
    yield Finding("server", "ok", f"Milvus {version} at {settings.uri}")
    deadline = Deadline(min(MOST, settings.timeout))
    listed = client.run(collections(), deadline)
    yield Finding("database", "ok", f"{settings.database}: this user sees {len(listed)} collections")
    yield _versions()
    complaint = client.run(health(), deadline)
    yield Finding("health", "WRONG" if complaint else "ok", complaint)
    yield from _user(client, deadline)
    yield _metrics(hook)
    for ability in client.run(abilities(), deadline):
        state = {True: "ok", False: "no", None: "unknown"}[ability.has]
        yield Finding(ability.name, state, ability.told)
    yield from _contract(client)


def _versions() -> Finding:
    from importlib.metadata import version

    names = ("apache-airflow", "pymilvus")
    ours = f"airflow-provider-milvus {version('airflow-provider-milvus')}"
    return Finding("versions", "ok", ", ".join([ours, *(f"{name} {version(name)}" for name in names)]))


def _user(client: BoundedClient, deadline: Deadline) -> Iterator[Finding]:
    from airflow_provider_milvus.contract.grants import grants_of
    from airflow_provider_milvus.exceptions import MilvusError

    name, separator, _ = client.settings.token.get_secret_value().partition(":")
    if not name:
        yield Finding("user", "ok", "none: this server lets everybody in")
        return
    if not separator:
        yield Finding("user", "unknown", "an API key does not tell whose it is")
        return
    try:
        granted = client.run(grants_of(name), deadline)
    except MilvusError as error:
        yield Finding("user", "unknown", str(error))
        return
    yield Finding("user", "ok", f"{name}, with the roles {', '.join(granted.roles) or 'none'}")
    yield Finding("privileges", "ok", str(granted))


def _metrics(hook: MilvusHook) -> Finding:
    from airflow_provider_milvus.exceptions import MilvusMetricsError
    from airflow_provider_milvus.metrics import within

    metrics = hook.metrics()
    if metrics is None:
        return Finding("metrics", "no", "without metrics_url sizes are estimated, and the use of collections is not known")
    try:
        held = asyncio.run(within(MOST, metrics.held()))
    except MilvusMetricsError as error:
        return Finding("metrics", "WRONG", str(error))
    return Finding("metrics", "ok", f"they tell the bytes of {len(held)} collections in memory")


def _contract(client: BoundedClient) -> Iterator[Finding]:
    """What this provider relies on, as far as reads show it."""
    from airflow_provider_milvus.cli.contract import answer_of
    from airflow_provider_milvus.contract.check import Contract
    from airflow_provider_milvus.exceptions import MilvusPermissionError

    holding = 0
    for asked in Contract(client).reads():
        denied = asked.kind is not None and issubclass(asked.kind, MilvusPermissionError)
        holding += asked.holds
        if not asked.holds:
            yield Finding(asked.clause.name, "unknown" if denied else "WRONG", answer_of(asked))
    yield Finding("contract", "ok", f"{holding} answers are as this provider relies on")


COMMAND = ActionCommand(
    name="check",
    help="Whether a Milvus can be used",
    description="Ask a Milvus, its metrics and its users what this provider needs to know. Only reads are sent.",
    func=check,
    args=(*SERVER, OUTPUT),
)
