"""How the outcome of a reclaim run reads: a result for XCom, a table for the log, the same as Markdown, and one line."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_milvus.reclaim.inventory import CollectionState, Total, total
from airflow_provider_milvus.reclaim.plan import Planned
from airflow_provider_milvus.wording import human

Entry = dict[str, Any]

MOST_ENTRIES = 200
"""Of each kind in a result, and rows of a table: five thousand collections must not burst an XCom."""


@dataclass(slots=True)
class Outcome:
    """What became of every collection. ``planned`` is filled by a dry run only, which releases nothing.

    ``loaded`` is what was in memory before, ``budget`` the bytes that were allowed, ``warnings`` what a reader should know.
    """

    dry_run: bool = False
    planned: list[Planned] = field(default_factory=list)
    released: list[Entry] = field(default_factory=list)
    kept: list[Entry] = field(default_factory=list)
    failed: list[Entry] = field(default_factory=list)
    loaded: Sequence[CollectionState] = ()
    budget: int | None = None
    warnings: list[str] = field(default_factory=list)

    def as_result(self) -> dict[str, object]:
        """JSON-safe and bounded, for XCom.

        Each list has its first 200 entries; ``omitted`` counts the rest. ``restore`` names, complete and in order, all that was
        released, and a dry run's ``plan`` all that would be.
        """
        lists = {"released": self.released, "kept": self.kept, "failed": self.failed}
        if self.dry_run:
            lists["planned"] = self._planned_entries
        result: dict[str, object] = {what: entries[:MOST_ENTRIES] for what, entries in lists.items()}
        omitted = {what: len(each) - MOST_ENTRIES for what, each in lists.items() if len(each) > MOST_ENTRIES}
        result |= {
            "restore": _names(self.released),
            "totals": self.totals(),
            "warnings": self.warnings,
            "summary": self.as_sentence(),
            "markdown": self.as_markdown(),
        }
        if omitted:
            result["omitted"] = omitted
        if self.dry_run:
            result |= {"dry_run": True, "plan": [each.as_dict() for each in self.planned]}
        return result

    def totals(self) -> dict[str, object]:
        """Counts and bytes. Bytes are the collections' own, before and after; never a process's."""
        before, gone = self._before, self._gone
        return {
            "released": len(self.released),
            "kept": len(self.kept),
            "failed": len(self.failed),
            "loaded_before": len(self.loaded),
            "bytes_before": before.bytes if before.source != "unknown" else None,
            "bytes_after": before.bytes - gone.bytes if before.source != "unknown" else None,
            "bytes_reclaimed": gone.bytes if gone.source != "unknown" else None,
            "bytes_source": gone.source,
            "unknown_sizes": before.unknown,
            "budget": self.budget,
        }

    def as_table(self) -> str:
        """Aligned, for a log: what happened to which collection, and why."""
        return _table(self._rows, "simple")

    def as_markdown(self) -> str:
        """The same for a page or a message, below its one line and the warnings."""
        warnings = "".join(f"- {_plain(each)}\n" for each in self.warnings)
        return "\n".join(filter(None, [f"{self.as_sentence()}\n", warnings, _table(self._rows, "github", _plain)]))

    def as_sentence(self) -> str:
        """One line, fit for a notification."""
        counts = f"{len(self.kept)} kept, {len(self.failed)} failed"
        before = f"{_counted(self.loaded, self._before)} were in memory"
        if self.dry_run:
            what = total(each.subject for each in self.planned)
            return f"Dry run: {_counted(self.planned, what)} would be released, {counts}; {before}. Nothing was changed."
        return f"{_counted(self.released, self._gone)} released, {counts}; {before}."

    @property
    def _before(self) -> Total:
        return total(self.loaded)

    @property
    def _gone(self) -> Total:
        names = {(each["database"], each["collection"]) for each in self.released}
        known = [each for each in self.loaded if each.key in names]
        return total(known)

    @property
    def _planned_entries(self) -> list[Entry]:
        return [entry(each.subject, each.reason) for each in self.planned]

    @property
    def _rows(self) -> list[tuple[str, Entry]]:
        kinds = (
            ("would release", self._planned_entries),
            ("released", self.released),
            ("FAILED", self.failed),
            ("kept", sorted(self.kept, key=lambda each: each["state"] == "NotLoad")),
        )
        return [(what, each) for what, entries in kinds for each in entries]


def entry(subject: CollectionState, reason: str, state: str | None = None) -> Entry:
    memory = subject.memory
    return {
        "database": subject.database,
        "collection": subject.collection,
        "state": state or subject.state,
        "reason": reason,
        "bytes": memory.bytes,
        "bytes_source": memory.source,
    }


def _counted(what: Sequence[object], size: Total) -> str:
    return f"{len(what)} ({size})" if what and size.source != "unknown" else str(len(what))


def _names(entries: Iterable[Entry]) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for each in entries:
        names.setdefault(each["database"], []).append(each["collection"])
    return names


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, in one cell of a table: ``*`` in a pattern is no emphasis."""
    return re.sub(r"[\\`*\[\]<>|]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\\g<0>", " ".join(text.split()))


def _table(rows: list[tuple[str, Entry]], style: str, shown_as: Callable[[str], str] = str) -> str:
    from tabulate import tabulate

    several = len({each["database"] for _, each in rows}) > 1
    cells = [
        (what, *([each["database"]] if several else []), each["collection"], each["state"], _size(each), each["reason"])
        for what, each in rows[:MOST_ENTRIES]
    ]
    shown = [[shown_as(cell) for cell in row] for row in cells]
    headers = ("", *(["database"] if several else []), "collection", "state now", "memory", "why")
    table = tabulate(shown, headers=headers, tablefmt=style, disable_numparse=True)
    rest = Counter(what for what, _ in rows[MOST_ENTRIES:])
    return table + "".join(f"\n… and {count} more {what}" for what, count in rest.items())


def _size(described: Entry) -> str:
    if described["bytes"] is None:
        return ""
    return f"{'' if described['bytes_source'] == 'measured' else '~'}{human(described['bytes'])}"
