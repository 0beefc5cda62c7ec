"""The releases that a run plans: a list to show, approve and keep for a retry, and to compare with the server later."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from airflow_provider_milvus.reclaim.inventory import CollectionState, Memory
from airflow_provider_milvus.reclaim.packed import unpack
from airflow_provider_milvus.reclaim.policy import Decision
from airflow_provider_milvus.schema.window_marks import RECLAIM_PROPERTY


@dataclass(frozen=True, slots=True)
class PlannedRelease:
    """One planned release, in plain values: it travels as JSON.

    ``attempts`` is how often the collection had been searched or queried, where the run asks for that. If the number changes,
    the collection stays in memory. ``replicas`` is the resource group of each replica, for a reload; empty for a single replica
    in the default group. ``load`` has the ids of the replicas, empty where no server tells: what is loaded later has others.
    """

    database: str
    collection: str
    collection_id: int | None
    reason: str
    bytes: int | None = None
    source: str = "unknown"
    aliases: tuple[str, ...] = ()
    attempts: float | None = None
    replicas: tuple[str, ...] = ()
    load: tuple[int, ...] = ()

    @staticmethod
    def of(decision: Decision, attempts: float | None) -> PlannedRelease:
        subject, memory = decision.subject, decision.subject.memory
        return PlannedRelease(
            *subject.key, subject.collection_id, decision.reason, memory.bytes, memory.source, subject.aliases, attempts
        )

    def __str__(self) -> str:
        return f"{self.database}.{self.collection}"

    @property
    def key(self) -> tuple[str, str]:
        return self.database, self.collection

    @property
    def subject(self) -> CollectionState:
        memory = Memory(self.bytes, self.source)
        return CollectionState(
            self.database, self.collection, "Loaded", self.aliases, collection_id=self.collection_id, memory=memory
        )

    def as_dict(self) -> dict[str, Any]:
        values = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        return {key: value for key, value in values.items() if value not in (None, [])}


def read_plan(entries: Any) -> list[PlannedRelease]:
    """Read a plan that was written as JSON, packed or not. Several tries leave entries for one collection: the last counts.

    :raises ValueError: it is not a plan.
    """
    entries = unpack(entries)
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise ValueError("it is not a list of planned releases")
    known = {field.name for field in fields(PlannedRelease)}
    plan = []
    for entry in entries:
        values = {key: entry[key] for key in known & entry.keys()}
        try:
            # An entry leaves out what is not known, such as the id on Milvus Lite.
            lists = {key: tuple(values.get(key, ())) for key in ("aliases", "replicas", "load")}
            planned = PlannedRelease(**{"collection_id": None, **values, **lists})
        except TypeError as error:
            raise ValueError(f"an entry lacks something: {error}") from None
        _check_types(planned)
        plan.append(planned)
    return list({planned.key: planned for planned in plan}.values())


def _check_types(planned: PlannedRelease) -> None:
    if not all(isinstance(name, str) and name for name in planned.key):
        raise ValueError("an entry names no collection")
    texts, numbers = (
        (planned.reason, planned.source, *planned.aliases, *planned.replicas),
        (planned.collection_id, planned.bytes, planned.attempts, *planned.load),
    )
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(f"the entry of {planned.collection!r} has something else where text belongs")
    if not all(number is None or isinstance(number, (int, float)) for number in numbers):
        raise ValueError(f"the entry of {planned.collection!r} has something else where a number belongs")


def reason_to_keep(
    entry: PlannedRelease,
    *,
    collection_id: int | None,
    aliases: Collection[str],
    properties: Mapping[str, str],
    windows: int,
    keep_aliased: bool,
) -> str | None:
    """Why a planned release must not happen any more, by the state of the collection now; ``None``: it may happen.

    ``windows`` is the number of open windows that need the collection.
    """
    if entry.collection_id is not None and collection_id is not None and entry.collection_id != collection_id:
        return "it was dropped and created again"
    added = sorted(set(aliases) - set(entry.aliases))
    if added or (keep_aliased and aliases):
        return f"it has the alias {', '.join(added or sorted(aliases))}"
    if value := properties.get(RECLAIM_PROPERTY, "").strip():
        return f"its property {RECLAIM_PROPERTY} is {value!r}"
    if windows:
        return "a window (milvus_loaded) needs it"
    return None


def released_before(entries: Iterable[PlannedRelease], now: Mapping[tuple[str, str], CollectionState]) -> list[PlannedRelease]:
    """The entries that an earlier try of the same run planned and that are out of memory ``now``."""
    released = []
    for entry in entries:
        state = now.get(entry.key)
        if state is not None and state.state == "NotLoad" and entry.collection_id in (None, state.collection_id):
            released.append(entry)
    return released
