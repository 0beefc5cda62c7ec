"""A restore set: the collections that a reclaim run released and that are to be reloaded, in order; and the reload's report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from airflow_provider_milvus.reclaim.packed import unpack

Entry = dict[str, str]

MOST_ROWS = 200


@dataclass(frozen=True, slots=True)
class ReloadEntry:
    """One collection to reload. ``bytes`` is its size in memory before its release, where that is known; ``replicas`` is the
    resource group of each of its replicas, empty for one in the default group."""

    database: str
    collection: str
    bytes: int | None = None
    replicas: tuple[str, ...] = ()

    def ended(self, state: str, reason: str) -> Entry:
        """The entry for the report."""
        return {"database": self.database, "collection": self.collection, "state": state, "reason": reason}


def read_restore_set(result: Any) -> list[ReloadEntry]:
    """The collections that a reclaim run released, from its result. The last released, and so the hottest, comes first.

    :raises ValueError: it is not such a result, or it is a dry run's.
    """
    if isinstance(result, str) and result.lstrip().startswith("{"):
        raise ValueError("it is a dict that became text; set render_template_as_native_obj=True on the DAG")
    if not isinstance(result, Mapping):
        raise ValueError(f"it is {type(result).__name__} and not the dict that a reclaim run returns")  # noqa: TRY004
    if result.get("dry_run"):
        raise ValueError("it comes from a dry run, which released nothing")
    names_by_database = unpack(result.get("restore"))
    if not isinstance(names_by_database, Mapping) or not all(map(_is_names, names_by_database.values())):
        raise ValueError('it lacks "restore", the names of what was released by database')
    released = result.get("released")
    entries = [entry for entry in released if isinstance(entry, Mapping)] if isinstance(released, list) else []
    sizes = {(entry.get("database"), entry.get("collection")): _bytes(entry.get("bytes")) for entry in entries}
    # The names are in order within a database, the entries across all databases; but a result has only the first entries.
    rank = {key: position for position, key in enumerate(sizes)}
    keys = [(str(database), name) for database, names in names_by_database.items() for name in dict.fromkeys(names)]
    if keys and rank.keys() >= set(keys):
        keys.sort(key=rank.__getitem__)
    places = unpack(result.get("replicas")) or {}
    return [
        ReloadEntry(database, name, sizes.get((database, name)), tuple(places.get(database, {}).get(name, ())))
        for database, name in reversed(keys)
    ]


def _bytes(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _is_names(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(name, str) and name for name in value)


def by_priority(entries: Sequence[ReloadEntry], first: Sequence[str]) -> list[ReloadEntry]:
    """In the order of the patterns in ``first``; entries that match no pattern come last. Equals keep their order."""

    def priority(entry: ReloadEntry) -> int:
        return next((place for place, pattern in enumerate(first) if fnmatchcase(entry.collection, pattern)), len(first))

    return sorted(entries, key=priority)


@dataclass(slots=True)
class ReloadReport:
    """The outcome for every collection of a restore set. ``errors`` are those behind ``failed``, where there is one."""

    loaded: list[Entry] = field(default_factory=list)
    already: list[Entry] = field(default_factory=list)
    skipped: list[Entry] = field(default_factory=list)
    failed: list[Entry] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)

    def as_result(self) -> dict[str, list[Entry]]:
        """JSON-safe and complete, for XCom."""
        return {"loaded": self.loaded, "already": self.already, "skipped": self.skipped, "failed": self.failed}

    def as_table(self) -> str:
        """An aligned table for the log: what happened to each collection, and why."""
        from tabulate import tabulate

        kinds = (("FAILED", self.failed), ("loaded", self.loaded), ("skipped", self.skipped), ("in memory", self.already))
        rows = [
            (kind, entry["database"], entry["collection"], entry["state"], entry["reason"])
            for kind, entries in kinds
            for entry in entries
        ]
        headers = ("", "database", "collection", "state now", "why")
        table = tabulate(rows[:MOST_ROWS], headers=headers, tablefmt="simple", disable_numparse=True)
        return table + (f"\n… and {len(rows) - MOST_ROWS} more" if len(rows) > MOST_ROWS else "")

    def as_sentence(self) -> str:
        return (
            f"{len(self.loaded)} loaded, {len(self.already)} in memory already, {len(self.skipped)} skipped, "
            f"{len(self.failed)} failed."
        )
