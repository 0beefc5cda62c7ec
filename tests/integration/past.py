"""The past of a Milvus as its metrics tell it, for a Prometheus that remembers it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

SCRAPE = 600
Value = Callable[[float], float | None]


def counted(*searches: tuple[float, int], before: int = 5) -> Value:
    """A counter that has ``before`` from the start, and to which these numbers are added at these times."""
    return lambda moment: before + sum(count for when, count in searches if when <= moment)


class RememberedPast:
    """The series of one proxy and one query node, scraped every ten minutes."""

    def __init__(self, first: datetime, last: datetime) -> None:
        self.moments = range(int(first.timestamp()), int(last.timestamp()) + 1, SCRAPE)
        self.series: list[tuple[str, dict[str, str], Value]] = []
        self.add("milvus_num_node", lambda moment: 1, role_name="proxy")
        self.add("milvus_num_node", lambda moment: 1, role_name="querynode")
        self.add("milvus_rootcoord_proxy_num", lambda moment: 1)
        self.started: Value = lambda moment: 1.7e9
        self.add("process_start_time_seconds", lambda moment: self.started(moment))

    def add(self, name: str, value: Value, **labels: str) -> None:
        self.series.append((name, {"instance": "a:9091", "job": "milvus", "node_id": "1", **labels}, value))

    def holds(self, collection_id: int, size: int, until: float = float("inf")) -> None:
        """As Milvus: the rows go with a release, the size keeps its value."""
        labels = {"collection_id": str(collection_id), "segment_state": "Sealed"}
        self.add("milvus_querynode_entity_size", lambda moment: size, **labels)
        self.add("milvus_querynode_entity_num", lambda moment: 1000 if moment < until else 0, **labels)

    def searches(self, name: str, *searches: tuple[float, int]) -> None:
        labels = {"collection_name": name, "db_name": "default"}
        self.add("milvus_proxy_req_count", counted(*searches), **labels, function_name="Search", status="total")
        # It counts the vectors, of which a search may have many.
        self.add("milvus_proxy_received_nq", counted(*((when, 10 * count) for when, count in searches)), **labels)

    def text(self) -> Iterator[str]:
        for name, labels, value in self.series:
            shown = ",".join(f'{label}="{text}"' for label, text in labels.items())
            for moment in self.moments:
                if (now := value(moment)) is not None:
                    yield f"{name}{{{shown}}} {now} {moment}\n"
        yield "# EOF\n"
