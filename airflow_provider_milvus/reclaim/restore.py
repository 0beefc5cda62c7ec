"""What to bring back into memory, in which order, and how the outcome reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

Entry = dict[str, str]

MOST_ROWS = 200


@dataclass(frozen=True, slots=True)
class Wanted:
    """One collection to load. ``bytes`` is what it had in memory, where that is known."""

    database: str
    collection: str
    bytes: int | None = None

    def entry(self, state: str, reason: str) -> Entry:
        return {"database": self.database, "collection": self.collection, "state": state, "reason": reason}


def restore_set(result: Any) -> list[Wanted]:
    """What a reclaim run released, by the value that it returned: what went last, and so is the hottest, comes first.

    :raises ValueError: it is no such value, or a dry run's.
    """
    if isinstance(result, str) and result.lstrip().startswith("{"):
        raise ValueError("it is a dict that became text; set render_template_as_native_obj=True on the DAG")
    if not isinstance(result, Mapping):
        raise ValueError(f"it is {type(result).__name__} and not the dict that a reclaim run returns")  # noqa: TRY004
    if result.get("dry_run"):
        raise ValueError("it comes from a dry run, which released nothing")
    named = result.get("restore")
    if not isinstance(named, Mapping) or not all(map(_is_names, named.values())):
        raise ValueError('it lacks "restore", the names of what was released by database')
    told = result.get("released")
    released = [each for each in told if isinstance(each, Mapping)] if isinstance(told, list) else []
    size = {(each.get("database"), each.get("collection")): _bytes(each.get("bytes")) for each in released}
    # Each database's list is in order, and the entries are so across databases; but only the first of them are kept.
    rank = {key: position for position, key in enumerate(size)}
    keys = [(str(database), each) for database, names in named.items() for each in dict.fromkeys(names)]
    if keys and rank.keys() >= set(keys):
        keys.sort(key=rank.__getitem__)
    return [Wanted(database, collection, size.get((database, collection))) for database, collection in reversed(keys)]


def _bytes(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _is_names(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(each, str) and each for each in value)


def by_priority(wanted: Sequence[Wanted], first: Sequence[str]) -> list[Wanted]:
    """In the order of the patterns in ``first``; what matches none of them comes last. Otherwise as it was."""

    def priority(each: Wanted) -> int:
        return next((place for place, pattern in enumerate(first) if fnmatchcase(each.collection, pattern)), len(first))

    return sorted(wanted, key=priority)


@dataclass(slots=True)
class Restored:
    """What became of every collection of a restore set."""

    loaded: list[Entry] = field(default_factory=list)
    already: list[Entry] = field(default_factory=list)
    skipped: list[Entry] = field(default_factory=list)
    failed: list[Entry] = field(default_factory=list)

    def as_result(self) -> dict[str, list[Entry]]:
        """JSON-safe, for XCom; complete, for a restore set is."""
        return {"loaded": self.loaded, "already": self.already, "skipped": self.skipped, "failed": self.failed}

    def as_table(self) -> str:
        """Aligned, for a log: what happened to which collection, and why."""
        from tabulate import tabulate

        kinds = (("FAILED", self.failed), ("loaded", self.loaded), ("skipped", self.skipped), ("in memory", self.already))
        rows = [
            (what, each["database"], each["collection"], each["state"], each["reason"])
            for what, entries in kinds
            for each in entries
        ]
        headers = ("", "database", "collection", "state now", "why")
        table = tabulate(rows[:MOST_ROWS], headers=headers, tablefmt="simple", disable_numparse=True)
        return table + (f"\n… and {len(rows) - MOST_ROWS} more" if len(rows) > MOST_ROWS else "")

    def as_sentence(self) -> str:
        """One line."""
        return (
            f"{len(self.loaded)} loaded, {len(self.already)} in memory already, {len(self.skipped)} skipped, "
            f"{len(self.failed)} failed."
        )
