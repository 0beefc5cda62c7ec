"""What is there: the collections of a server as it listed them at one moment, and what each costs in memory."""

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
    """Bytes in memory over all replicas, and where the figure comes from. What is not known is ``None``, never 0.

    ``measured`` by the query nodes, or ``estimated`` from schema, rows and replicas, without what an index adds.
    """

    bytes: int | None = None
    source: str = UNKNOWN


@dataclass(frozen=True, slots=True)
class CollectionState:
    """One collection. ``windows`` is how many open windows need it, ``loaded_for`` how long it has been seen loaded, from run
    to run."""

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
        """Loaded, or on its way there."""
        return self.state in ("Loaded", "Loading")


@dataclass(frozen=True, slots=True)
class Total:
    """Bytes of several collections together: the sum of what is known, where it comes from, and how many are not in it."""

    bytes: int
    source: str
    unknown: int

    def __str__(self) -> str:
        if self.source == UNKNOWN:
            return "an unknown amount"
        missing = f" and {self.unknown} of unknown size" if self.unknown else ""
        return f"{human(self.bytes)} {self.source}{missing}"


def total(collections: Iterable[CollectionState]) -> Total:
    memories = [each.memory for each in collections]
    sources = {each.source for each in memories if each.bytes is not None}
    known = sum(each.bytes or 0 for each in memories)
    unknown = sum(each.bytes is None for each in memories)
    source = "partly estimated" if len(sources) > 1 else next(iter(sources), UNKNOWN if memories else MEASURED)
    return Total(known, source, unknown)


def state_of(percent: int | None) -> str:
    """The load state that a listing's percentage stands for; ``None`` is not listed."""
    if percent is None:
        return "NotLoad"
    return "Loaded" if percent >= 100 else "Loading"


def estimated(row_bytes: int, rows: int | None, replicas: int | None) -> Memory:
    if not rows or not row_bytes:
        return Memory()
    return Memory(row_bytes * rows * (replicas or 1), ESTIMATED)
