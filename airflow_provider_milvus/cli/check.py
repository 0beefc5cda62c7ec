"""``check``: whether a Milvus can be used from here, what it can do, and what the connection's user may do."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections import defaultdict
from collections.abc import Generator, Iterator, Mapping, Sequence
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
from airflow_provider_milvus.wording import counted

if TYPE_CHECKING:
    from airflow_provider_milvus.client.client import BoundedClient
    from airflow_provider_milvus.client.flow import Deadline
    from airflow_provider_milvus.contract.grants import Grants
    from airflow_provider_milvus.contract.may_run import Verdict
    from airflow_provider_milvus.hooks.milvus import MilvusHook

MOST = 30.0
"""Seconds for the questions to the server, and for its metrics."""


@dataclass(frozen=True, slots=True)
class Finding:
    """``state``: ok, WRONG, no (what this server cannot do, or this user may not), or unknown. ``tasks``: each of them."""

    what: str
    state: str
    told: str = ""
    tasks: Sequence[Verdict] = ()

    def as_row(self) -> dict[str, object]:
        return {"what": self.what, "state": self.state, "told": self.told}

    def as_entry(self) -> dict[str, object]:
        return {**self.as_row(), **({"tasks": list(map(asdict, self.tasks))} if self.tasks else {})}


@command
def check(given: Namespace) -> int:
    """Ask, and show a line for each answer."""
    with quiet():
        hook = hook_of(given)
        with hook.client() as client:
            found: list[Finding] = list(progress(_findings(hook, client), lambda finding: finding.what))
    show(given, [finding.as_row() for finding in found], [finding.as_entry() for finding in found])
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
    yield Finding("database", "ok", f"{settings.database}: this user sees {counted(len(listed), 'collection')}")
    yield _versions()
    complaint = client.run(health(), deadline)
    yield Finding("health", "WRONG" if complaint else "ok", complaint)
    granted = yield from _user(client, deadline)
    yield _metrics(hook)
    for ability in client.run(abilities(), deadline):
        state = {True: "ok", False: "no", None: "unknown"}[ability.has]
        yield Finding(ability.name, state, ability.told)
    yield from _contract(client)
    yield from _tasks(granted)


def _versions() -> Finding:
    from importlib.metadata import version

    names = ("apache-airflow", "pymilvus")
    ours = f"airflow-provider-milvus {version('airflow-provider-milvus')}"
    return Finding("versions", "ok", ", ".join([ours, *(f"{name} {version(name)}" for name in names)]))


def _user(client: BoundedClient, deadline: Deadline) -> Generator[Finding, None, Grants | None]:
    """What the user may do is returned as well; ``None``: it cannot be told."""
    from airflow_provider_milvus.contract.grants import ROOT, Grants, grants_of
    from airflow_provider_milvus.exceptions import MilvusError

    name, separator, _ = client.settings.token.get_secret_value().partition(":")
    database = client.settings.database
    if not name:
        yield Finding("user", "ok", "none: this server lets everybody in")
        return Grants(ROOT, (), database)
    if not separator:
        yield Finding("user", "unknown", "an API key does not tell whose it is")
        return None
    try:
        granted = client.run(grants_of(name, database), deadline)
    except MilvusError as error:
        yield Finding("user", "unknown", str(error))
        return None
    yield Finding("user", "ok", f"{name}, with the roles {', '.join(granted.roles)}")
    yield Finding("privileges", "ok", str(granted))
    return granted


def _tasks(granted: Grants | None) -> Iterator[Finding]:
    """Which may run, and a line for those that lack the same, or may run on the same collections only."""
    from airflow_provider_milvus.contract.grants import ALL
    from airflow_provider_milvus.contract.may_run import verdicts

    if granted is None:
        yield Finding("tasks", "unknown", "which may run depends on what the user may do")
        return
    found = verdicts(granted)
    names = [verdict.task for verdict in found if ALL in verdict.collections]
    named = f": {'; '.join(names)}" if 0 < len(names) < len(found) else ""
    yield Finding("tasks", "ok", f"{len(names)} of {len(found)} may run on all collections{named}", found)
    unless = f", unless the privilege group {', '.join(granted.not_told)} has it, which this user may not read"
    alike: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for verdict in found:
        if verdict.may_run is None:
            alike["unknown", f"lacks {_told(verdict.missing)}{unless}"].append(verdict.task)
        elif not verdict.may_run:
            alike["no", f"lacks {_told(verdict.missing)}"].append(verdict.task)
        elif ALL not in verdict.collections:
            alike["ok", f"on {', '.join(verdict.collections)} only"].append(verdict.task)
    for (state, told), tasks in alike.items():
        yield Finding("; ".join(tasks), state, told)


def _told(missing: Mapping[str, str]) -> str:
    on: defaultdict[str, list[str]] = defaultdict(list)
    for privilege, what in missing.items():
        on[what].append(privilege)
    return "; ".join(f"{', '.join(privileges)} on {what}" for what, privileges in on.items())


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
    return Finding("metrics", "ok", f"they tell the bytes of {counted(len(held), 'collection')} in memory")


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
