"""What a server has answered, as values or as Arrow's columns: rows of a query, and hits of a search."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.schema.model import Schema
from airflow_provider_milvus.search import decode
from airflow_provider_milvus.search.columns import record_batch
from airflow_provider_milvus.search.walk import Page

if TYPE_CHECKING:
    import pyarrow as pa

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class ReadRows:
    """The rows of a page, with the fields that were ``wanted``; in their ``order`` where there is one."""

    page: Page
    schema: Schema
    wanted: Sequence[str]
    order: Sequence[int] | None = None

    def rows(self, *, to_be_written: bool = False) -> Rows:
        """``to_be_written`` as of :func:`~search.decode.rows`."""
        fields = self.page.only(self.wanted, self.schema.primary.name)
        rows: Rows = [{} for _ in self.page.keys]
        if fields:
            rows = decode.rows(fields, self.schema, self.wanted, to_be_written=to_be_written)
        return rows if self.order is None else [rows[place] for place in self.order]

    def arrow(self) -> pa.RecordBatch:
        batch = record_batch(self.page.fields, len(self.page.keys), self.schema, self.wanted)
        return batch if self.order is None else batch.take(list(self.order))


@dataclass(frozen=True, slots=True)
class ReadHits:
    """The hits of some queries, of which ``first`` is the position of the first one."""

    results: Any
    schema: Schema
    wanted: Sequence[str]
    first: int

    @property
    def _keys(self) -> Sequence[Any]:
        ids = self.results.ids
        return ids.str_id.data if self.schema.primary.type == "VARCHAR" else ids.int_id.data  # type: ignore[no-any-return]

    def by_query(self) -> list[Rows]:
        entities: Rows = [{} for _ in self._keys]
        if entities and self.results.fields_data:
            entities = decode.rows(self.results.fields_data, self.schema, self.wanted)
        hits = (
            {"id": key, "distance": distance, "entity": entity}
            for key, distance, entity in zip(self._keys, self.results.scores, entities, strict=True)
        )
        return [[next(hits) for _ in range(count)] for count in self.results.topks]

    def rows(self, *, to_be_written: bool = False) -> Rows:
        """Hits are not written to a collection."""
        return [{"query": position, **hit} for position, hits in enumerate(self.by_query(), self.first) for hit in hits]

    def arrow(self) -> pa.RecordBatch:
        import pyarrow as pa

        queries = [position for position, count in enumerate(self.results.topks, self.first) for _ in range(count)]
        hits = {
            "query": pa.array(queries, pa.int64()),
            "id": pa.array(self._keys, pa.string() if self.schema.primary.type == "VARCHAR" else pa.int64()),
            "distance": pa.array(self.results.scores, pa.float32()),
        }
        fields = {field.field_name: field for field in self.results.fields_data}
        entities = record_batch(fields, len(queries), self.schema, self.wanted)
        if entities.num_columns:
            hits["entity"] = pa.StructArray.from_arrays(entities.columns, fields=list(entities.schema))
        return pa.RecordBatch.from_pydict(hits)


@dataclass(frozen=True)
class Found:
    """The hits of the queries of a search, by the answers that brought them.

    ``metric`` is that of the field; empty for several fields, or where it was not asked for.
    """

    collection: str
    answers: Sequence[Any]
    schema: Schema
    wanted: Sequence[str]
    metric: str = ""

    @cached_property
    def hits(self) -> list[Rows]:
        """For each query its hits, the nearest first, as ``{"id": …, "distance": …, "entity": {…}}``."""
        return [hits for part in self.parts() for hits in part.by_query()]

    def parts(self, first: int = 0) -> Iterator[ReadHits]:
        """At least one. ``first``: the position of the first query."""
        from airflow_provider_milvus.protocol import schema_pb2

        for results in self.answers or [schema_pb2.SearchResultData()]:
            yield ReadHits(results, self.schema, self.wanted, first)
            first += len(results.topks)
