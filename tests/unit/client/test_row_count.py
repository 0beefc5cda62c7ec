"""How rows are counted: what is asked, and what is refused because the answer would be wrong."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_milvus.client.counting import row_count
from airflow_provider_milvus.conditions import RowCount
from airflow_provider_milvus.exceptions import (
    MilvusCollectionNotFoundError,
    MilvusNotLoadedError,
    MilvusPartitionNotFoundError,
    MilvusServerError,
)
from tests.unit.play import Clock, Server, partitions, play

pytestmark = pytest.mark.newest

EVERY = partitions("_default", "p1", "p2")


def described(name: str = "docs", key: str = "id") -> SimpleNamespace:
    fields = [SimpleNamespace(name="vector", is_primary_key=False), SimpleNamespace(name=key, is_primary_key=True)]
    return SimpleNamespace(schema=SimpleNamespace(name=name, fields=fields), collection_name=name)


def counted(rows: int) -> SimpleNamespace:
    """The answer to a Query for ``count(*)``."""
    scalars = SimpleNamespace(long_data=SimpleNamespace(data=[rows]))
    return SimpleNamespace(fields_data=[SimpleNamespace(field_name="count(*)", scalars=scalars)])


def server_of(held: Any = EVERY, rows: Any = 7, **more: Any) -> Server:
    query = counted(rows) if isinstance(rows, int) else rows
    return Server(DescribeCollection=described(**more), ShowPartitions=[EVERY, held], Query=query)


def test_counts_with_strong_consistency_and_nothing_else(clock: Clock):
    server = server_of()
    assert play(row_count("docs"), server, clock) == 7
    (asked,) = server.sent("Query")
    assert asked["output_fields"] == ["count(*)"]
    assert (asked["consistency_level"], asked["use_default_consistency"]) == ("Strong", False)
    assert (asked["expr"], asked["partition_names"]) == ("", [])


def test_counts_the_collection_behind_an_alias(clock: Clock):
    server = server_of(name="docs_v2")
    play(row_count("docs"), server, clock)
    assert server.sent("Query")[0]["collection_name"] == "docs_v2"


def test_a_partition_is_counted_with_a_filter_since_lite_forgets_it_otherwise(clock: Clock):
    server = server_of(key="doc")
    play(row_count("docs", partition_names=["p1"]), server, clock)
    assert (server.sent("Query")[0]["expr"], server.sent("Query")[0]["partition_names"]) == ("doc not in []", ["p1"])


def test_a_filter_stays_as_it_is_beside_a_partition(clock: Clock):
    server = server_of()
    play(row_count("docs", "id > 5", ["p1"]), server, clock)
    assert server.sent("Query")[0]["expr"] == "id > 5"


def test_a_partition_that_is_not_there_is_no_count_of_0(clock: Clock):
    with pytest.raises(MilvusPartitionNotFoundError, match=r"no partition 'p9'; it has '_default', 'p1', 'p2'"):
        play(
            row_count("docs", partition_names=["p1", "p9"]), Server(DescribeCollection=described(), ShowPartitions=EVERY), clock
        )


def test_a_collection_of_which_only_a_part_is_in_memory_is_not_counted(clock: Clock):
    with pytest.raises(MilvusNotLoadedError, match=r"Not in memory: partition '_default', 'p2'"):
        play(row_count("docs"), server_of(held=partitions("p1")), clock)


def test_the_part_that_is_in_memory_is_counted_by_name(clock: Clock):
    assert play(row_count("docs", partition_names=["p1"]), server_of(held=partitions("p1")), clock) == 7


@pytest.mark.parametrize("refusal", [MilvusServerError, MilvusCollectionNotFoundError])
def test_whatever_a_server_says_of_one_that_is_not_loaded_the_error_says_load_it(clock: Clock, refusal):
    with pytest.raises(MilvusNotLoadedError, match=r"'docs' cannot be counted.*Load it first\. the words"):
        play(row_count("docs"), server_of(held=refusal("the words")), clock)


def test_a_release_between_the_look_and_the_count_says_load_it_too(clock: Clock):
    with pytest.raises(MilvusNotLoadedError, match=r"'docs' cannot be counted.*Load it first\. code 101"):
        play(row_count("docs"), server_of(rows=MilvusNotLoadedError("code 101")), clock)


@pytest.mark.parametrize(("rows", "verdict"), [(9, "not yet"), (10, "met"), (11, "met")])
def test_row_count_is_met_from_the_number_on(clock: Clock, rows, verdict):
    seen = play(RowCount("docs", 10).look(), server_of(rows=rows), clock)
    assert (seen.verdict.value, seen.state) == (verdict, f"{rows} of 10 rows")


def test_row_count_travels_with_its_filter_and_partitions(clock: Clock):
    server = server_of()
    condition = RowCount.deserialize(RowCount("docs", 1, "id > 5", ["p1"]).serialize())
    play(condition.look(), server, clock)
    assert (server.sent("Query")[0]["expr"], server.sent("Query")[0]["partition_names"]) == ("id > 5", ["p1"])
