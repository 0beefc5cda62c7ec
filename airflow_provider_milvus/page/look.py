"""One look at a Milvus for the page: all its collections, within a time, without holding up the API server's event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_milvus.client import reads
from airflow_provider_milvus.client.flow import Deadline
from airflow_provider_milvus.exceptions import MilvusConfigurationError, MilvusError, MilvusPermissionError, MilvusTimeoutError
from airflow_provider_milvus.metrics import Proxies, within
from airflow_provider_milvus.page.sources import ask_secrets
from airflow_provider_milvus.reclaim.in_use import with_usage
from airflow_provider_milvus.reclaim.inventory import CollectionState
from airflow_provider_milvus.reclaim.survey import Surveyor
from airflow_provider_milvus.wording import counted

if TYPE_CHECKING:
    from airflow_provider_milvus.client.client import AsyncBoundedClient
    from airflow_provider_milvus.hooks.milvus import MilvusHook

ALIVE_WITHIN = 4.0
"""Seconds within which a Milvus has to give its first answer: one that is dead is shown as such within 5 s."""
MOST_ASKED = 500
"""Collections that are asked for rows, replicas and partitions with calls of their own: the biggest, then by name.

Without metrics only their sizes are known, estimated: calls for thousands would keep the API server busy for seconds.
"""
SPANS = tuple(timedelta(hours=hours) for hours in (1, 24, 7 * 24, 30 * 24))


@dataclass(frozen=True, slots=True)
class Look:
    """``capacity`` is the query nodes' memory in bytes, where the server reports it."""

    server: str
    collections: Sequence[CollectionState]
    capacity: int | None = None
    warnings: list[str] = field(default_factory=list)


async def look_at(hook: MilvusHook) -> Look:
    """Look at the Milvus of ``hook``.

    :raises MilvusError: it cannot be asked.
    """
    began = time.monotonic()
    try:
        settings = await ask_secrets(lambda: hook.settings, ALIVE_WITHIN)
    except TimeoutError:
        raise MilvusTimeoutError(f"Airflow did not tell the connection within {ALIVE_WITHIN:g} s.") from None
    left = ALIVE_WITHIN - (time.monotonic() - began)
    if settings.uri.endswith(".db"):
        raise MilvusConfigurationError("This connection is a Milvus Lite file, which one process at a time may open: a task.")
    async with await hook.shared_client() as client:
        return await _look(hook, client, Deadline(left))


async def _look(hook: MilvusHook, client: AsyncBoundedClient, alive: Deadline) -> Look:
    settings, warnings, names_all = hook.settings, [], True
    try:
        databases = await client.run(reads.databases(), alive)
    except MilvusPermissionError:
        # Who may not list databases may still see this one.
        databases, names_all = [settings.database], False
        warnings.append(f"This user may not list databases: these are the collections of {settings.database!r} alone.")
    deadline, metrics = hook.deadline(), hook.metrics()
    surveyor = Surveyor(client, deadline)
    survey = await surveyor.look(databases, metrics)
    collections, warnings = survey.collections, [*warnings, *survey.warnings]
    first = sorted(collections, key=lambda state: (-(state.memory.bytes or 0), not state.in_memory, state.key))[:MOST_ASKED]
    asked = {state.key: state for state in await asyncio.gather(*map(surveyor.with_parts, first))}
    collections = [asked.get(state.key, state) for state in collections]
    if unsized := sum(state.in_memory and state.memory.bytes is None and state.key not in asked for state in collections):
        estimated = f"where the metrics do not tell sizes, those of {MOST_ASKED} at most are estimated"
        warnings.append(f"Of {counted(unsized, 'collection')} in memory the size is not known: {estimated}.")
    # Counters that name no database cannot tell two collections of the same name apart, so all names are needed.
    if metrics is not None and survey.metrics_problem is None and names_all:
        proxies = Proxies(settings.proxies, survey.nodes.standalone)
        names = {database: [state.collection for state in collections if state.database == database] for database in databases}
        try:
            usage = with_usage(collections, metrics, SPANS, proxies=proxies, names=names)
            collections, _ = await within(deadline.remaining, usage)
        except MilvusError as error:
            warnings.append(f"The use of collections is not known: {error}")
    return Look(settings.uri, collections, survey.nodes.memory, warnings)
