"""The report on what is in memory: a result for XCom, a table for the log, the same in Markdown, and one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from airflow_provider_milvus.reclaim.inventory import CollectionState, total
from airflow_provider_milvus.wording import human

MOST_ROWS = 200


@dataclass(slots=True)
class MemoryReport:
    """The collections of a server. ``capacity`` is the query nodes' memory in bytes, where the server reports it. ``server``
    names the connection and the server.
    """

    collections: Sequence[CollectionState]
    capacity: int | None = None
    warnings: list[str] = field(default_factory=list)
    server: str = ""

    def as_result(self) -> dict[str, object]:
        """JSON-safe and bounded, for XCom: the 200 biggest collections, and totals over all."""
        loaded = self._loaded
        known = total(loaded)
        return {
            "collections": [_entry(collection) for collection in self.biggest],
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
            "markdown": "\n\n".join(filter(None, [self.as_sentence(), self.server, self._table("github")])),
        }

    def as_table(self) -> str:
        return self._table("simple")

    def as_rows(self) -> list[dict[str, object]]:
        """A row for each of the 200 biggest collections."""
        headers, cells = self._cells
        return [dict(zip(headers, row, strict=True)) for row in cells]

    def as_sentence(self) -> str:
        of = f" of {human(self.capacity)}" if self.capacity else ""
        return f"{len(self._loaded)} of {len(self.collections)} collections are in memory with {total(self._loaded)}{of}."

    @property
    def biggest(self) -> list[CollectionState]:
        """The collections that the report names."""
        return self._loaded[:MOST_ROWS]

    @property
    def _loaded(self) -> list[CollectionState]:
        """Biggest first; those of unknown size last."""
        loaded = [collection for collection in self.collections if collection.in_memory]
        return sorted(loaded, key=lambda state: (-(state.memory.bytes if state.memory.bytes is not None else -1), state.key))

    def _table(self, style: str) -> str:
        from tabulate import tabulate

        headers, rows = self._cells
        table = tabulate(rows, headers=headers, tablefmt=style, disable_numparse=True)
        more = len(self._loaded) - MOST_ROWS
        return table + (f"\n… and {more} more" if more > 0 else "")

    @property
    def _cells(self) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
        """The headers of the table, and its rows."""
        headers = ("database", "collection", "state", "memory", "source", "rows", "partitions", "replicas", "aliases")
        return headers, [
            (
                *collection.key,
                collection.state,
                human(collection.memory.bytes) if collection.memory.bytes is not None else "",
                collection.memory.source,
                f"{collection.rows:,}" if collection.rows is not None else "",
                "{} of {}".format(*collection.partitions) if collection.partitions else "",
                collection.replicas if collection.replicas is not None else "",
                ", ".join(collection.aliases),
            )
            for collection in self.biggest
        ]


def _entry(collection: CollectionState) -> dict[str, object]:
    return {
        "database": collection.database,
        "collection": collection.collection,
        "state": collection.state,
        "bytes": collection.memory.bytes,
        "bytes_source": collection.memory.source,
        "rows": collection.rows,
        "partitions_loaded": collection.partitions[0] if collection.partitions else None,
        "partitions": collection.partitions[1] if collection.partitions else None,
        "replicas": collection.replicas,
        "resource_groups": list(collection.resource_groups),
        "aliases": list(collection.aliases),
    }
