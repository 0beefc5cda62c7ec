"""The history of a server's collections, read from its Prometheus and from the server as it is now. Nothing is changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from airflow_provider_milvus.exceptions import MilvusMetricsError
from airflow_provider_milvus.metrics import Proxies, within
from airflow_provider_milvus.metrics.prometheus_past import read_past
from airflow_provider_milvus.reclaim.history import History, Key, Sighting
from airflow_provider_milvus.reclaim.survey import Surveyor

if TYPE_CHECKING:
    from airflow_provider_milvus.hooks.milvus import MilvusHook

STEP = 1800.0
"""Seconds between two values of a history."""


@dataclass(frozen=True, slots=True)
class LookedBack:
    """``memory``: bytes of the query nodes today, where the server reports them."""

    history: History
    memory: int | None = None
    warnings: list[str] = field(default_factory=list)


def steps_through(night: datetime, start: datetime, end: datetime) -> list[float]:
    """The moments of a history from before ``start`` to ``end``, of which ``night`` is one."""
    moment = night.timestamp()
    first, last = -((moment - start.timestamp()) // STEP) - 1, (end.timestamp() - moment) // STEP
    return [moment + number * STEP for number in range(int(first), int(last) + 1)]


def nights_of(now: datetime, since: timedelta, at: tuple[int, int]) -> list[datetime]:
    """Every day at a time of the day, in the time zone of ``now``, within the last ``since`` and before ``now``."""
    import pendulum

    last = pendulum.instance(now).replace(hour=at[0], minute=at[1], second=0, microsecond=0)
    if last >= now:
        last = last.subtract(days=1)
    nights = [last.subtract(days=days) for days in range(since.days + 1)]
    return [night for night in reversed(nights) if night > now - since]


async def look_back(
    hook: MilvusHook,
    databases: Sequence[str] | None,
    moments: Sequence[float],
    *,
    facts: Mapping[Key, Sequence[Sighting]] | None = None,
) -> LookedBack:
    """:param databases: those of the collections; None: all.
    :param facts: what runs have seen of the collections, as :class:`History` has it.
    :raises MilvusMetricsError: the connection has no ``metrics_url``, or the past cannot be read there.
    :raises MilvusError: the server does not list its collections.
    """
    metrics, deadline = hook.metrics(), hook.deadline()
    async with await hook.shared_client() as client:
        surveyor = Surveyor(client, deadline, details_of_all=True)
        everything = await surveyor.databases()
        survey = await surveyor.look(list(databases or everything))
        names = await surveyor.names(everything)
    if metrics is None:
        raise MilvusMetricsError(
            "There is no history to play back: the connection has no metrics_url. Give it the base URL of a Prometheus that "
            f"scrapes this Milvus. {hook.settings.where}."
        )
    proxies = Proxies(hook.settings.proxies, survey.nodes.standalone)
    past = await within(deadline.remaining, read_past(metrics, moments, proxies=proxies))
    places = Counter(name for in_database in names.values() for name in set(in_database))
    places.update(alias for state in survey.collections for alias in state.aliases)
    shared = frozenset(name for name, count in places.items() if count > 1)
    warnings = list(survey.warnings)
    there = {state.collection_id for state in survey.collections}
    if survey.collections and there == {None}:
        warnings.append("This server tells no ids, by which the metrics know its collections: nothing is played.")
    elif not past.sizes:
        warnings.append(
            "Nothing is played: the metrics tell of no collection in memory. Are those of the query nodes among them?"
        )
    elif not there & past.sizes.keys():
        warnings.append("The metrics name no collection that is there today: they may be of another server.")
    elif gone := len(past.sizes.keys() - there):
        warnings.append(
            f"Not played, since they have been dropped or belong to another database: {gone} of the collections that were in "
            "memory within this time."
        )
    are_all = not databases or set(databases) >= set(everything)
    history = History.of(past, survey.collections, shared=shared, facts=facts, are_all=are_all)
    return LookedBack(history, survey.nodes.memory, warnings)
