"""The number of rows in a collection."""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_provider_milvus.client.counting import row_count
from airflow_provider_milvus.client.flow import Flow
from airflow_provider_milvus.conditions.base import Condition, Observation, Verdict


@dataclass(frozen=True)
class RowCount(Condition):
    """The server counts ``at_least`` rows: rows that match ``filter``, or all rows without one.

    :raises MilvusNotLoadedError: not all rows to count are in memory.
    :raises MilvusCollectionNotFoundError, MilvusPartitionNotFoundError, MilvusDatabaseNotFoundError: it can never be met.
    """

    collection_name: str
    at_least: int
    filter: str = ""
    partition_names: list[str] = field(default_factory=list)

    def look(self) -> Flow[Observation]:
        rows = yield from row_count(self.collection_name, self.filter, self.partition_names)
        verdict = Verdict.MET if rows >= self.at_least else Verdict.NOT_YET
        return Observation(verdict, f"{rows} of {self.at_least} rows")
