"""What a run means to release: a list that can be shown, approved, kept for a retry, and held against what is there later."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from airflow_provider_milvus.reclaim.inventory import CollectionState, Memory
from airflow_provider_milvus.reclaim.policy import PROPERTY, Decision
from airflow_provider_milvus.server.window_marks import marks_of, open_windows


@dataclass(frozen=True, slots=True)
class Planned:
    """One release that is meant to happen. Plain values: it travels as JSON.

    ``attempts`` is how often the collection had been searched or queried, where the run asks for that: whoever comes since
    keeps it in memory.
    """

    database: str
    collection: str
    collection_id: int | None
    reason: str
    bytes: int | None = None
    source: str = "unknown"
    aliases: tuple[str, ...] = ()
    attempts: float | None = None

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
        values = {**asdict(self), "aliases": list(self.aliases)}
        return {key: value for key, value in values.items() if value not in (None, [])}


def planned(decision: Decision, attempts: float | None) -> Planned:
    subject = decision.subject
    return Planned(
        subject.database,
        subject.collection,
        subject.collection_id,
        decision.reason,
        subject.memory.bytes,
        subject.memory.source,
        subject.aliases,
        attempts,
    )


def plan_from(entries: Any) -> list[Planned]:
    """Read a plan back. What stands in it more than once, as after several tries of one run, counts as it stands last.

    :raises ValueError: it is none.
    """
    if not isinstance(entries, list) or not all(isinstance(each, Mapping) for each in entries):
        raise ValueError("it is not a list of planned releases")
    known = {each.name for each in fields(Planned)}
    try:
        given = [{key: each[key] for key in known & each.keys()} for each in entries]
        # Milvus Lite tells no numbers, and what is not known is left out.
        read = [Planned(**{"collection_id": None, **each, "aliases": tuple(each.get("aliases", ()))}) for each in given]
    except TypeError as error:
        raise ValueError(f"an entry lacks something: {error}") from None
    if not all(isinstance(name, str) and name for each in read for name in each.key):
        raise ValueError("an entry names no collection")
    for each in read:
        texts, numbers = (each.reason, each.source, *each.aliases), (each.collection_id, each.bytes, each.attempts)
        if not all(isinstance(text, str) for text in texts):
            raise ValueError(f"the entry of {each.collection!r} has something else where text belongs")
        if not all(number is None or isinstance(number, (int, float)) for number in numbers):
            raise ValueError(f"the entry of {each.collection!r} has something else where a number belongs")
    return list({each.key: each for each in read}.values())


def since_planned(
    entry: Planned,
    *,
    collection_id: int | None,
    aliases: Collection[str],
    properties: Mapping[str, str],
    keep_aliased: bool,
    now: float,
) -> str | None:
    """Why a planned release must not happen any more, going by what the server says of the collection now.

    ``now`` is in seconds since the epoch.
    """
    if entry.collection_id is not None and collection_id is not None and entry.collection_id != collection_id:
        return "it was dropped and made anew"
    added = sorted(set(aliases) - set(entry.aliases))
    if added or (keep_aliased and aliases):
        return f"it has the alias {', '.join(added or sorted(aliases))}"
    if properties.get(PROPERTY, "").strip():
        return f"its property {PROPERTY} says {properties[PROPERTY].strip()!r}"
    if open_windows(marks_of(properties), now):
        return "a window (milvus_loaded) needs it"
    return None


def released_before(entries: Iterable[Planned], now: Mapping[tuple[str, str], CollectionState]) -> list[Planned]:
    """What an earlier try of the same run planned and is out of memory since."""
    found = []
    for entry in entries:
        seen = now.get(entry.key)
        if seen is not None and seen.state == "NotLoad" and entry.collection_id in (None, seen.collection_id):
            found.append(entry)
    return found
