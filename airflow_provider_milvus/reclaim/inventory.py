"""The collections of a server at one moment, and what each of them costs in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from airflow_provider_milvus.reclaim.usage import Usage
from airflow_provider_milvus.wording import human

MEASURED, ESTIMATED, UNKNOWN = "measured", "estimated", "unknown"
NOT_ASKED = Usage(None, "unknown: not asked")


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes in memory over all replicas; an unknown size is ``None``, never 0.

    ``source``: ``measured`` by the query nodes, ``estimated`` from schema, rows and replicas without the index, or ``unknown``.
    """

    bytes: int | None = None
    source: str = UNKNOWN


@dataclass(frozen=True, slots=True)
class CollectionState:
    """One collection.

    ``partitions`` are how many partitions are in memory, and how many there are. ``windows`` is the number of open windows that
    need the collection. ``loaded_for`` is how long runs have seen it loaded.
    """

    database: str
    collection: str
    state: str
    aliases: tuple[str, ...] = ()
    collection_id: int | None = None
    created: datetime | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    rows: int | None = None
    replicas: int | None = None
    resource_groups: tuple[str, ...] = ()
    partitions: tuple[int, int] | None = None
    memory: Memory = Memory()
    usage: Usage = NOT_ASKED
    windows: int = 0
    loaded_for: timedelta | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.database, self.collection

    @property
    def in_memory(self) -> bool:
        """Loaded, or being loaded."""
        return self.state in ("Loaded", "Loading")


@dataclass(frozen=True, slots=True)
class Total:
    """Bytes of several collections together: the sum of the known sizes, their source, and the number of unknown sizes."""

    bytes: int
    source: str
    unknown: int

    def __str__(self) -> str:
        if self.source == UNKNOWN:
            return "an unknown amount"
        missing = f" and {self.unknown} of unknown size" if self.unknown else ""
        return f"{human(self.bytes)} {self.source}{missing}"


def total(collections: Iterable[CollectionState]) -> Total:
    memories = [collection.memory for collection in collections]
    sources = {memory.source for memory in memories if memory.bytes is not None}
    known = sum(memory.bytes or 0 for memory in memories)
    unknown = sum(memory.bytes is None for memory in memories)
    source = "partly estimated" if len(sources) > 1 else next(iter(sources), UNKNOWN if memories else MEASURED)
    return Total(known, source, unknown)


def state_from_percent(percent: int | None) -> str:
    """The load state that a listing's load percentage stands for; ``None``: the collection is not listed as loaded."""
    if percent is None:
        return "NotLoad"
    return "Loaded" if percent >= 100 else "Loading"


def estimate_memory(row_bytes: int, rows: int | None, replicas: int | None) -> Memory:
    if not rows or not row_bytes:
        return Memory()
    return Memory(row_bytes * rows * (replicas or 1), ESTIMATED)
