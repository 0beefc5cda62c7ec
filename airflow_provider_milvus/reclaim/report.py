"""How the outcome of a reclaim run reads: as a result for XCom and as a table for the log."""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_provider_milvus.reclaim.inventory import CollectionState

Entry = dict[str, str]


@dataclass(slots=True)
class Outcome:
    """What became of every collection. ``planned`` is filled by a dry run only, which releases nothing."""

    dry_run: bool = False
    planned: list[Entry] = field(default_factory=list)
    released: list[Entry] = field(default_factory=list)
    kept: list[Entry] = field(default_factory=list)
    failed: list[Entry] = field(default_factory=list)

    def as_result(self) -> dict[str, object]:
        """JSON-safe, for XCom."""
        result: dict[str, object] = {"released": self.released, "kept": self.kept, "failed": self.failed}
        return {**result, "planned": self.planned, "dry_run": True} if self.dry_run else result

    def as_table(self) -> str:
        """Aligned, for a log: what happened to which collection, and why."""
        from tabulate import tabulate

        rows = [
            (what, each["collection"], each["state"], each["reason"])
            for what, entries in (
                ("would release", self.planned),
                ("released", self.released),
                ("FAILED", self.failed),
                ("kept", self.kept),
            )
            for each in entries
        ]
        return tabulate(rows, headers=("", "collection", "state now", "why"), tablefmt="simple", disable_numparse=True)

    def as_sentence(self) -> str:
        """One line."""
        counts = f"{len(self.kept)} kept, {len(self.failed)} failed"
        if self.dry_run:
            return f"Dry run: {len(self.planned)} would be released, {counts}; nothing was changed."
        return f"{len(self.released)} released, {counts}."


def entry(subject: CollectionState, reason: str, state: str | None = None) -> Entry:
    return {
        "database": subject.database,
        "collection": subject.collection,
        "state": state or subject.state,
        "reason": reason,
    }
