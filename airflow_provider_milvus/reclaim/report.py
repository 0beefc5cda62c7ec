"""The report of a reclaim run: a result for XCom, a table for the log, the same in Markdown, and one sentence."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_milvus.reclaim.inventory import CollectionState, Total, total
from airflow_provider_milvus.reclaim.packed import pack
from airflow_provider_milvus.reclaim.plan import PlannedRelease
from airflow_provider_milvus.wording import human

Entry = dict[str, Any]

MOST_ROWS = 200
"""In the table of the log."""
MOST_IN_RESULT = 12_000
"""Characters of each list and of the table in a result: five thousand collections must fit into an XCom of 100 kB."""


@dataclass(slots=True)
class ReclaimReport:
    """The outcome for every collection. Only a dry run has ``planned`` releases, and it releases nothing. ``plan_path`` is the
    file where they are, if there is one.

    ``reloaded`` were released, and are in memory again: something came meanwhile that keeps them, or somebody has loaded them.

    ``loaded`` are the collections that were in memory before, ``budget`` are the bytes that they may take. ``errors`` are those
    behind ``failed``. ``server`` names the connection and the server.
    """

    server: str = ""
    dry_run: bool = False
    planned: list[PlannedRelease] = field(default_factory=list)
    plan_path: str | None = None
    released: list[Entry] = field(default_factory=list)
    reloaded: list[Entry] = field(default_factory=list)
    kept: list[Entry] = field(default_factory=list)
    failed: list[Entry] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    loaded: Sequence[CollectionState] = ()
    budget: int | None = None
    warnings: list[str] = field(default_factory=list)

    def as_result(self) -> dict[str, object]:
        """JSON-safe and bounded, for XCom.

        Each list has its first entries, and ``omitted`` counts the rest. ``restore`` names everything that was released,
        ``replicas`` has the resource groups of what a reload must not put elsewhere, and a dry run's ``plan`` names everything
        that would be released, in order; where they are long, they are packed.
        """
        lists = {"released": self.released, "kept": self.kept, "failed": self.failed}
        if self.reloaded:
            lists["reloaded"] = self.reloaded
        if self.dry_run:
            lists["planned"] = self._planned_entries
        first = {key: _first(entries) for key, entries in lists.items()}
        omitted = {key: len(entries) - len(first[key]) for key, entries in lists.items() if len(entries) > len(first[key])}
        result: dict[str, object] = {
            **first,
            "restore": pack(_names(self.released)),
            "replicas": pack(_replicas(self.released)),
            "totals": self.totals(),
            "warnings": self.warnings,
            "summary": self.as_sentence(),
            "markdown": self.as_markdown(),
        }
        if omitted:
            result["omitted"] = omitted
        if self.dry_run:
            result |= {"dry_run": True, "plan": self.plan_path or pack([planned.as_dict() for planned in self.planned])}
        return result

    def as_entries(self) -> dict[str, object]:
        """JSON-safe, with every entry of a dry run, however many there are."""
        return {
            "planned": self._planned_entries,
            "kept": self.kept,
            "totals": self.totals(),
            "warnings": self.warnings,
            "summary": self.as_sentence(),
        }

    def totals(self) -> dict[str, object]:
        """Counts, and bytes of the collections themselves, never of a process."""
        before, released = self._size_before, self._size_released
        return {
            "released": len(self.released),
            **({"reloaded": len(self.reloaded)} if self.reloaded else {}),
            "kept": len(self.kept),
            "failed": len(self.failed),
            "loaded_before": len(self.loaded),
            "bytes_before": before.bytes if before.source != "unknown" else None,
            "bytes_after": before.bytes - released.bytes if before.source != "unknown" else None,
            "bytes_reclaimed": released.bytes if released.source != "unknown" else None,
            "bytes_source": released.source,
            "unknown_sizes": before.unknown,
            "budget": self.budget,
        }

    def as_table(self) -> str:
        """An aligned table for the log: what happened to each collection, and why."""
        return _table(self._rows, "simple")

    def as_markdown(self) -> str:
        """The sentence, the server, the warnings and the table, for a page or a message."""
        warnings = "".join(f"- {_escape(warning)}\n" for warning in self.warnings)
        rows = self._rows
        # A table is as wide as its longest cells.
        width = max((len(entry["collection"]) + len(entry["reason"]) for _, entry in rows[:MOST_ROWS]), default=0) + 60
        table = _table(rows, "github", min(MOST_ROWS, MOST_IN_RESULT // width), _escape)
        server = f"{_escape(self.server)}\n" if self.server else ""
        return "\n".join(filter(None, [f"{self.as_sentence()}\n", server, warnings, table]))

    def as_rows(self) -> list[dict[str, str]]:
        """A row for each collection: what happened to it, and why."""
        headers, cells = _cells(self._rows)
        return [dict(zip(("outcome", *headers[1:]), row, strict=True)) for row in cells]

    def as_sentence(self) -> str:
        """One sentence, for a notification."""
        reloaded = f"{len(self.reloaded)} loaded again, " if self.reloaded else ""
        counts = f"{reloaded}{len(self.kept)} kept, {len(self.failed)} failed"
        before = f"{_count(self.loaded, self._size_before)} were in memory"
        if self.dry_run:
            size = total(planned.subject for planned in self.planned)
            return f"Dry run: {_count(self.planned, size)} would be released, {counts}; {before}. Nothing was changed."
        return f"{_count(self.released, self._size_released)} released, {counts}; {before}."

    @property
    def _size_before(self) -> Total:
        return total(self.loaded)

    @property
    def _size_released(self) -> Total:
        names = {(entry["database"], entry["collection"]) for entry in self.released}
        return total(collection for collection in self.loaded if collection.key in names)

    @property
    def _planned_entries(self) -> list[Entry]:
        return [make_entry(planned.subject, planned.reason) for planned in self.planned]

    @property
    def _rows(self) -> list[tuple[str, Entry]]:
        kinds = (
            ("would release", self._planned_entries),
            ("released", self.released),
            ("loaded again", self.reloaded),
            ("FAILED", self.failed),
            ("kept", sorted(self.kept, key=lambda entry: entry["state"] == "NotLoad")),
        )
        return [(kind, entry) for kind, entries in kinds for entry in entries]


def make_entry(subject: CollectionState, reason: str, state: str | None = None, replicas: Sequence[str] = ()) -> Entry:
    """``replicas``: the resource group of each, of what was released and is not a single replica in the default group."""
    memory = subject.memory
    return {
        "database": subject.database,
        "collection": subject.collection,
        "state": state or subject.state,
        "reason": reason,
        "bytes": memory.bytes,
        "bytes_source": memory.source,
        **({"replicas": list(replicas)} if replicas else {}),
    }


def _count(collections: Sequence[object], size: Total) -> str:
    return f"{len(collections)} ({size})" if collections and size.source != "unknown" else str(len(collections))


def _first(entries: list[Entry]) -> list[Entry]:
    room = itertools.accumulate(len(json.dumps(entry)) for entry in entries)
    return [entry for entry, characters in zip(entries, room, strict=True) if characters <= MOST_IN_RESULT]


def _names(entries: Iterable[Entry]) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for entry in entries:
        names.setdefault(entry["database"], []).append(entry["collection"])
    return names


def _replicas(entries: Iterable[Entry]) -> dict[str, dict[str, list[str]]]:
    places: dict[str, dict[str, list[str]]] = {}
    for entry in entries:
        if "replicas" in entry:
            places.setdefault(entry["database"], {})[entry["collection"]] = entry["replicas"]
    return places


def _escape(text: str) -> str:
    """Text for one cell of a table that Markdown shows as it is, such as the ``*`` of a pattern."""
    return re.sub(r"[\\`*\[\]<>|]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\\g<0>", " ".join(text.split()))


def _table(rows: list[tuple[str, Entry]], style: str, most: int = MOST_ROWS, escape: Callable[[str], str] = str) -> str:
    from tabulate import tabulate

    headers, cells = _cells(rows, most)
    escaped = [[escape(cell) for cell in row] for row in cells]
    table = tabulate(escaped, headers=headers, tablefmt=style, disable_numparse=True)
    rest = Counter(kind for kind, _ in rows[most:])
    return table + "".join(f"\n… and {count} more {kind}" for kind, count in rest.items())


def _cells(rows: list[tuple[str, Entry]], most: int | None = None) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The headers of a table, and its first rows."""
    several = len({entry["database"] for _, entry in rows}) > 1
    headers = ("", *(["database"] if several else []), "collection", "state now", "memory", "why")
    return headers, [
        (kind, *([entry["database"]] if several else []), entry["collection"], entry["state"], _size(entry), entry["reason"])
        for kind, entry in rows[:most]
    ]


def _size(entry: Entry) -> str:
    if entry["bytes"] is None:
        return ""
    return f"{'' if entry['bytes_source'] == 'measured' else '~'}{human(entry['bytes'])}"
