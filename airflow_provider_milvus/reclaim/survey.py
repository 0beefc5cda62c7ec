"""A survey of a server: every collection of some databases, and what each of them costs in memory.

Many calls are under way at once, over one channel. Their number grows with the databases and with the loaded collections, not
with the others.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_milvus.client import reads
from airflow_provider_milvus.client.flow import Deadline, Flow
from airflow_provider_milvus.client.reads import Details, ListedCollection, Nodes
from airflow_provider_milvus.exceptions import MilvusCollectionNotFoundError, MilvusMetricsError, MilvusUnsupportedError
from airflow_provider_milvus.metrics import Held, MetricsSource, within
from airflow_provider_milvus.reclaim.inventory import MEASURED, CollectionState, Memory, estimate_memory, state_from_percent
from airflow_provider_milvus.reclaim.plan import PlannedRelease
from airflow_provider_milvus.schema.window_marks import marks_of, open_windows
from airflow_provider_milvus.wording import counted

if TYPE_CHECKING:
    from airflow_provider_milvus.client.client import AsyncBoundedClient

T = TypeVar("T")

AT_ONCE = 64
"""Calls under way at the same time."""
BATCH = 200
"""Collections that one call describes. The server describes them one after the other."""
DEFAULT_PLACE = ["__default_resource_group"]
"""Where a load that says nothing else puts a collection: one replica, in the server's own group."""


@dataclass(frozen=True, slots=True)
class Survey:
    """``metrics_problem`` says why the metrics are not used, if so; then no size is measured. ``warnings`` has that too."""

    collections: list[CollectionState]
    nodes: Nodes
    metrics_problem: str | None = None
    warnings: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Surveyor:
    """Surveys one server, within ``deadline``.

    :param estimate: estimate a size that the metrics do not have, with three calls for each such collection.
    :param needs_details: whether a loaded collection of this name is worth a call of its own; the others are listed without
        their properties.
    :param details_of_all: ask for those of collections that are not in memory, too.
    """

    client: AsyncBoundedClient
    deadline: Deadline
    estimate: bool = False
    needs_details: Callable[[str], bool] = lambda name: True
    details_of_all: bool = False
    _measured: Mapping[int, Held] = field(init=False, default_factory=dict)
    _row_bytes: dict[tuple[str, str], int] = field(init=False, default_factory=dict)
    _room: asyncio.Semaphore = field(init=False, default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def databases(self) -> list[str]:
        """Every database of the server."""
        return await self._ask(reads.databases())

    async def names(self, databases: Iterable[str]) -> dict[str, list[str]]:
        """The collections of each database, by name."""
        calls = {database: self._ask(reads.collections(), database) for database in databases}
        listings = await asyncio.gather(*calls.values())
        return {database: [listed.name for listed in listing] for database, listing in zip(calls, listings, strict=True)}

    async def look(self, databases: Sequence[str], metrics: MetricsSource | None = None) -> Survey:
        """:raises MilvusError: a database cannot be listed. A survey is complete, or fails."""
        nodes, (held, problem) = await asyncio.gather(self._ask(reads.nodes()), self._held(metrics))
        self._measured = {id: size for id, size in (held or {}).items() if size is not None}
        by_database = await asyncio.gather(*(self._look_at_all(database) for database in databases))
        collections = [collection for in_database in by_database for collection in in_database]
        if held is not None and problem is None:
            problem = _check_same_server(collections, held)
        if held is not None and problem is None:
            collections = [_with_measured_size(collection, self._measured) for collection in collections]
        warnings = [f"The metrics are not used: {problem}."] if problem else []
        if impossible := [each.collection for each in collections if (held or {}).get(each.collection_id or 0, each) is None]:
            first = ", ".join(map(repr, impossible[:3]))
            warnings.append(
                f"The metrics tell a size that cannot be for {counted(len(impossible), 'collection')}, such as {first}."
            )
        if nodes.problem:
            warnings.append(f"The memory of the query nodes is not known: {nodes.problem}.")
        return Survey(collections, nodes, problem, warnings)

    async def look_at(self, database: str, names: Collection[str]) -> list[CollectionState]:
        """The collections of these names that exist, each with its aliases and properties.

        Those of which the lists and the description tell different things are left out: an alias that only the description
        names is new, or was dropped, and another id is that of a collection that was made anew.
        """
        states = await self._states(database, names)
        # Last of all, so that what has come meanwhile is seen.
        details = await self._details(database, list(names))
        seen = await asyncio.gather(*(self._with_details(state, details[state.collection]) for state in states))
        return [
            now
            for now, listed in zip(seen, states, strict=True)
            if (now.aliases, now.collection_id) == (listed.aliases, listed.collection_id)
        ]

    async def _look_at_all(self, database: str) -> list[CollectionState]:
        states = await self._states(database)
        asked = [
            state
            for state in states
            if self.details_of_all or (state.in_memory and (self.needs_details(state.collection) or self._estimates(state)))
        ]
        details = await self._details(database, [state.collection for state in asked])
        described = await asyncio.gather(*(self._with_details(state, details[state.collection]) for state in asked))
        by_name = {state.collection: state for state in described}
        return [by_name.get(state.collection, state) for state in states]

    async def _states(self, database: str, names: Collection[str] | None = None) -> list[CollectionState]:
        listing, loaded, aliases = await asyncio.gather(
            self._ask(reads.collections(names), database),
            self._ask(reads.loaded(names), database),
            self._aliases(database, names),
        )
        return [_state_of(database, listed, loaded, aliases.get(listed.name, [])) for listed in listing]

    async def _aliases(self, database: str, names: Collection[str] | None) -> dict[str, list[str]]:
        """The aliases by collection: asked of the aliases, or of these collections where they are fewer."""
        aliases = await self._ask(reads.aliases(), database)
        if names is not None and len(names) < len(aliases):
            listed = await asyncio.gather(*(self._ask(reads.aliases_of(name), database) for name in names))
            return dict(zip(names, listed, strict=True))
        targets = await asyncio.gather(*(self._ask(reads.target_of(alias), database) for alias in aliases))
        by_collection: defaultdict[str, list[str]] = defaultdict(list)
        for alias, target in zip(aliases, targets, strict=True):
            if target is not None:
                by_collection[target].append(alias)
        return by_collection

    async def _details(self, database: str, names: Sequence[str]) -> dict[str, Details | None]:
        """The details of each collection: some hundred in one call, or one by one where the server cannot."""
        batches = [names[first : first + BATCH] for first in range(0, len(names), BATCH)] if len(names) > 1 else []
        try:
            found = await asyncio.gather(*(self._ask(reads.many_details(batch), database) for batch in batches))
        except MilvusUnsupportedError:
            found = []
        if found:
            return dict(zip(names, (details for batch in found for details in batch), strict=True))
        return dict(
            zip(names, await asyncio.gather(*(self._ask(reads.details(name), database) for name in names)), strict=True)
        )

    def _estimates(self, state: CollectionState) -> bool:
        return self.estimate and state.collection_id not in self._measured

    async def _with_details(self, state: CollectionState, details: Details | None) -> CollectionState:
        if details is None:
            # Dropped since it was listed.
            return replace(state, state="NotLoad")
        state = replace(
            state,
            aliases=tuple(sorted({*state.aliases, *details.aliases})),
            collection_id=details.collection_id or state.collection_id,
            properties=dict(details.properties),
            windows=len(open_windows(marks_of(details.properties), time.time())),
        )
        self._row_bytes[state.key] = details.row_bytes
        return await self._with_rows(state) if self._estimates(state) else state

    async def with_parts(self, state: CollectionState) -> CollectionState:
        """A collection of the last :meth:`look` with its rows, replicas and partitions, asked with four calls.

        Its size is estimated where it was not measured and :meth:`look` asked for the details.
        """
        name, database = state.collection, state.database
        try:
            state, parts = await asyncio.gather(self._with_rows(state), self._ask(reads.partitions(name), database))
        except MilvusCollectionNotFoundError:
            # Dropped since it was listed.
            return replace(state, state="NotLoad")
        return _with_measured_size(replace(state, partitions=parts), self._measured)

    async def replicas(self, entry: PlannedRelease) -> PlannedRelease:
        """The planned release with the ids and the resource groups of the collection's replicas."""
        held = await self._ask(reads.replicas(entry.collection), entry.database) or {}
        groups = sorted(held.values())
        return replace(entry, replicas=tuple(groups) if groups != DEFAULT_PLACE else (), load=tuple(sorted(held)))

    async def _with_rows(self, state: CollectionState) -> CollectionState:
        """A collection with its rows and replicas, and the size that they come to."""
        name, database = state.collection, state.database
        rows, held = await asyncio.gather(self._ask(reads.rows(name), database), self._ask(reads.replicas(name), database))
        groups = (held or {}).values()
        memory = estimate_memory(self._row_bytes.get(state.key, 0), rows, len(groups))
        groups_held = tuple(sorted(set(groups)))
        return replace(state, rows=rows, replicas=len(groups) or None, resource_groups=groups_held, memory=memory)

    async def _held(self, metrics: MetricsSource | None) -> tuple[dict[int, Held | None] | None, str | None]:
        """What the query nodes hold, by collection id, or why the metrics do not have it; both ``None`` without metrics."""
        if metrics is None:
            return None, None
        try:
            return await within(self.deadline.remaining, metrics.held()), None
        except MilvusMetricsError as error:
            return None, str(error).removesuffix(".")

    async def _ask(self, flow: Flow[T], database: str | None = None) -> T:
        async with self._room:
            return await self.client.run(flow, self.deadline, database=database)


def _state_of(database: str, listed: ListedCollection, loaded: Mapping[str, int], aliases: Iterable[str]) -> CollectionState:
    return CollectionState(
        database,
        listed.name,
        state_from_percent(loaded.get(listed.name)),
        tuple(sorted(aliases)),
        collection_id=listed.collection_id,
        created=listed.created,
    )


def _check_same_server(collections: Iterable[CollectionState], held: Mapping[int, Held | None]) -> str | None:
    """Why the metrics are another server's, if they are: ids are never used twice, so its own metrics know its collections."""
    loaded = {collection.collection_id for collection in collections if collection.state == "Loaded"}
    if loaded and not loaded & held.keys():
        return "they name no loaded collection, so they are of another server, or do not include its query nodes"
    return None


def _with_measured_size(state: CollectionState, held: Mapping[int, Held]) -> CollectionState:
    size = held.get(state.collection_id or 0)
    if size is None or not state.in_memory:
        return state
    rows = state.rows or size.rows // (state.replicas or 1)
    return replace(state, rows=rows, memory=Memory(size.bytes, MEASURED))
