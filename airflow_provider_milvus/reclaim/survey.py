"""Look over a server: every collection of the asked databases, and what each costs in memory.

Asked over one channel, many calls at once. The number of calls grows with the databases and with what is loaded, never with
what is not.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_milvus.client import reads
from airflow_provider_milvus.client.reads import Details, ListedCollection, Nodes
from airflow_provider_milvus.exceptions import MilvusCollectionNotFoundError, MilvusMetricsError
from airflow_provider_milvus.reclaim.inventory import MEASURED, CollectionState, Memory, estimated, state_of
from airflow_provider_milvus.server.window_marks import marks_of, open_windows

if TYPE_CHECKING:
    from airflow_provider_milvus.client.client import AsyncBoundedClient
    from airflow_provider_milvus.client.flow import Deadline, Flow
    from airflow_provider_milvus.metrics import Held, MetricsSource

T = TypeVar("T")

AT_ONCE = 16
"""Calls under way at the same time."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found. ``doubt`` says why the metrics are not believed; then nothing was measured by them."""

    collections: list[CollectionState]
    nodes: Nodes
    doubt: str | None = None


class Surveyor:
    """Asks one server, within ``deadline``.

    :param thorough: ask for rows, replicas and partitions of what is loaded too, four calls for each.
    :param estimate: do so where the metrics do not tell a collection's size.
    :param wanted: which loaded collections are worth a call of their own; the others are listed without their properties.
    """

    def __init__(
        self,
        client: AsyncBoundedClient,
        deadline: Deadline,
        *,
        thorough: bool = False,
        estimate: bool = False,
        wanted: Callable[[str], bool] = lambda name: True,
    ) -> None:
        self._client = client
        self._deadline = deadline
        self._thorough = thorough
        self._estimate = estimate
        self._measured: Mapping[int, Held] = {}
        self._wanted = wanted
        self._room = asyncio.Semaphore(AT_ONCE)

    async def databases(self) -> list[str]:
        """Every database of the server."""
        return await self._ask(reads.databases())

    async def names(self, databases: Iterable[str]) -> dict[str, list[str]]:
        """The collections of each database, by name."""
        listed = {each: self._ask(reads.collections(), each) for each in databases}
        found = await asyncio.gather(*listed.values())
        return {database: [each.name for each in named] for database, named in zip(listed, found, strict=True)}

    async def look(self, databases: Sequence[str], metrics: MetricsSource | None = None) -> Survey:
        """:raises MilvusError: a database cannot be listed; a part of the truth is not passed for the whole."""
        nodes, (held, doubt) = await asyncio.gather(self._ask(reads.nodes()), _held(metrics))
        self._measured = held or {}
        found = await asyncio.gather(*(self._look_at(each) for each in databases))
        collections = [each for database in found for each in database]
        if held is not None and doubt is None:
            doubt = _not_ours(collections, held)
        if held is not None and doubt is None:
            collections = [_measured(each, held) for each in collections]
        return Survey(collections, nodes, doubt)

    async def _look_at(self, database: str) -> list[CollectionState]:
        listed, loaded, aliases = await asyncio.gather(
            self._ask(reads.collections(), database),
            self._ask(reads.loaded(), database),
            self._ask(reads.aliases(), database),
        )
        return await asyncio.gather(*(self._describe(database, each, loaded, aliases.get(each.name, [])) for each in listed))

    async def _describe(
        self, database: str, listed: ListedCollection, loaded: Mapping[str, int], aliases: Iterable[str]
    ) -> CollectionState:
        state = CollectionState(
            database,
            listed.name,
            state_of(loaded.get(listed.name)),
            tuple(sorted(aliases)),
            collection_id=listed.collection_id,
            created=listed.created,
        )
        guess = self._estimate and listed.collection_id not in self._measured
        if not state.in_memory or not (self._wanted(listed.name) or guess):
            return state
        try:
            details: Details = await self._ask(reads.details(listed.name), database)
        except MilvusCollectionNotFoundError:
            # Dropped since it was listed.
            return replace(state, state="NotLoad")
        state = replace(
            state,
            aliases=tuple(sorted({*state.aliases, *details.aliases})),
            properties=dict(details.properties),
            windows=len(open_windows(marks_of(details.properties), time.time())),
        )
        return await self._in_full(state, details) if self._thorough or guess else state

    async def _in_full(self, state: CollectionState, details: Details) -> CollectionState:
        name, database = state.collection, state.database
        rows, (replicas, groups), partitions = await asyncio.gather(
            self._ask(reads.rows(name), database),
            self._ask(reads.replicas(name), database),
            self._ask(reads.partitions(name), database),
        )
        return replace(
            state,
            rows=rows,
            replicas=replicas,
            resource_groups=groups,
            partitions=partitions,
            memory=estimated(details.row_bytes, rows, replicas),
        )

    async def _ask(self, flow: Flow[T], database: str | None = None) -> T:
        async with self._room:
            return await self._client.run(flow, self._deadline, database=database)


async def _held(metrics: MetricsSource | None) -> tuple[dict[int, Held] | None, str | None]:
    if metrics is None:
        return None, None
    try:
        return await metrics.held(), None
    except MilvusMetricsError as error:
        return None, str(error).removesuffix(".")


def _not_ours(collections: Iterable[CollectionState], held: Mapping[int, Held]) -> str | None:
    """Numbers of collections are never given twice, so metrics that know none of them are of another server."""
    loaded = {each.collection_id for each in collections if each.state == "Loaded"}
    if loaded and not loaded & held.keys():
        return "the metrics know none of the loaded collections: they are of another server, or of no query node of this one"
    return None


def _measured(state: CollectionState, held: Mapping[int, Held]) -> CollectionState:
    found = held.get(state.collection_id or 0)
    if found is None or not state.in_memory:
        return state
    rows = state.rows or found.rows // (state.replicas or 1)
    return replace(state, rows=rows, memory=Memory(found.bytes, MEASURED))
