"""A collection that is read: what there is to read of it, and how it would be made anew."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_milvus.client.counting import check_in_memory
from airflow_provider_milvus.client.flow import Flow
from airflow_provider_milvus.client.subject import Subject, find_subject
from airflow_provider_milvus.conditions import describe_indexes
from airflow_provider_milvus.conditions.base import name_of
from airflow_provider_milvus.schema.definition import CONSISTENCY_LEVELS, Index
from airflow_provider_milvus.schema.model import Schema
from airflow_provider_milvus.schema.pairs import from_pairs
from airflow_provider_milvus.search.manifest import schema_as_dict
from airflow_provider_milvus.search.vectors import bytes_of_one
from airflow_provider_milvus.search.walk import PAGE_BYTES, PAGE_ROWS


@dataclass(frozen=True, slots=True)
class Source:
    """A collection to read, with all that is to be read in memory."""

    subject: Subject
    schema: Schema
    partition_names: Sequence[str] = ()

    @property
    def collection(self) -> str:
        """Its own name, where it was asked for by an alias."""
        return self.subject.name

    @property
    def match_all(self) -> str:
        """A filter that every row matches: Milvus Lite ignores partitions where there is no filter."""
        return f"{self.schema.primary.name} not in []" if self.partition_names else ""


def find_source(collection_name: str, partition_names: Sequence[str], failure: str) -> Flow[Source]:
    """:raises MilvusNotLoadedError: not all of it is in memory. Some servers would silently leave rows out."""
    subject = yield from find_subject(collection_name)
    yield from check_in_memory(subject.name, partition_names, failure.format(subject.name))
    return Source(subject, Schema.of_described(subject.first), partition_names)


def page_rows_of(schema: Schema, wanted: Collection[str]) -> int:
    """The rows of a page at most, by what the vectors in them take."""
    asked = [field for field in schema.fields if field.name in wanted or "*" in wanted]
    of_a_row = sum(bytes_of_one(field.type, field.dim) for field in asked if field.is_vector and field.dim)
    return min(PAGE_ROWS, max(1, PAGE_BYTES // max(1, of_a_row)))


def definition_of(source: Source) -> Flow[dict[str, Any]]:
    """The collection as ``MilvusCreateCollectionOperator`` takes one, with all but the number of its shards."""
    described = source.subject.first
    indexes = yield from describe_indexes(source.collection)
    has_partition_key = any(field.is_partition_key for field in source.schema.fields)
    return {
        "schema": schema_as_dict(source.schema),
        "indexes": [Index.of_described(index).as_dict() for index in indexes],
        "properties": _properties(described),
        "consistency_level": name_of(described.consistency_level, CONSISTENCY_LEVELS, "consistency"),
        **({"num_partitions": int(described.num_partitions)} if has_partition_key and described.num_partitions else {}),
    }


def changes(before: int, after: int, read: int, done: str) -> str:
    """What is known of rows that changed while they were read, by their numbers; empty: nothing."""
    if before == after == read:
        return ""
    # A walk reads one row of each key.
    why = ": rows have the same key, or changed" if before == after else ""
    return f"{before:,} rows before, {after:,} after, {read:,} {done}{why}"


def _properties(described: Any) -> dict[str, str]:
    """Those that a user has set."""
    return {key: value for key, value in from_pairs(described.properties).items() if not key.startswith("airflow.")}
