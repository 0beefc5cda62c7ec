"""How what is in memory reads: a result for XCom, a table for the log, the same as Markdown, and one line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from airflow_provider_milvus.reclaim.inventory import CollectionState, total
from airflow_provider_milvus.wording import human

MOST_ROWS = 200


@dataclass(slots=True)
class MemoryReport:
    """The collections of a server. ``capacity`` is the query nodes' memory in bytes, where the server tells it."""

    collections: Sequence[CollectionState]
    capacity: int | None = None
    warnings: list[str] = field(default_factory=list)

    def as_result(self) -> dict[str, object]:
        """JSON-safe and bounded, for XCom: the biggest 200, and totals over all."""
        loaded = self._loaded
        known = total(loaded)
        return {
            "collections": [_described(each) for each in loaded[:MOST_ROWS]],
            "totals": {
                "collections": len(self.collections),
                "loaded": len(loaded),
                "bytes": known.bytes if known.source != "unknown" else None,
                "bytes_source": known.source,
                "unknown_sizes": known.unknown,
                "capacity": self.capacity,
            },
            "warnings": self.warnings,
            "summary": self.as_sentence(),
            "markdown": f"{self.as_sentence()}\n\n{self._table('github')}",
        }

    def as_table(self) -> str:
        return self._table("simple")

    def as_sentence(self) -> str:
        of = f" of {human(self.capacity)}" if self.capacity else ""
        return f"{len(self._loaded)} of {len(self.collections)} collections are in memory with {total(self._loaded)}{of}."

    @property
    def _loaded(self) -> list[CollectionState]:
        """Biggest first; those of unknown size last."""
        loaded = [each for each in self.collections if each.in_memory]
        return sorted(loaded, key=lambda each: (-(each.memory.bytes if each.memory.bytes is not None else -1), each.key))

    def _table(self, style: str) -> str:
        from tabulate import tabulate

        loaded = self._loaded
        headers = ("database", "collection", "state", "memory", "source", "rows", "partitions", "replicas", "aliases")
        rows = [
            (
                *each.key,
                each.state,
                human(each.memory.bytes) if each.memory.bytes is not None else "",
                each.memory.source,
                f"{each.rows:,}" if each.rows is not None else "",
                "{} of {}".format(*each.partitions) if each.partitions else "",
                each.replicas if each.replicas is not None else "",
                ", ".join(each.aliases),
            )
            for each in loaded[:MOST_ROWS]
        ]
        table = tabulate(rows, headers=headers, tablefmt=style, disable_numparse=True)
        return table + (f"\n… and {len(loaded) - MOST_ROWS} more" if len(loaded) > MOST_ROWS else "")


def _described(each: CollectionState) -> dict[str, object]:
    return {
        "database": each.database,
        "collection": each.collection,
        "state": each.state,
        "bytes": each.memory.bytes,
        "bytes_source": each.memory.source,
        "rows": each.rows,
        "partitions_loaded": each.partitions[0] if each.partitions else None,
        "partitions": each.partitions[1] if each.partitions else None,
        "replicas": each.replicas,
        "resource_groups": list(each.resource_groups),
        "aliases": list(each.aliases),
    }
