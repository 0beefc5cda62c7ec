"""What a server lists, and how little it is asked for it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from pymilvus import DataType

from airflow_provider_milvus.client import reads
from airflow_provider_milvus.client.reads import Details, ListedCollection, Nodes
from airflow_provider_milvus.exceptions import MilvusServerError, MilvusUnsupportedError
from tests.unit.play import Server, partitions, play

LITE, REAL = (SimpleNamespace(version=version) for version in ("milvus_lite-3.2.2", "v2.3.5-lite"))


def pairs(**values: Any) -> list[SimpleNamespace]:
    """As the protocol tells properties, parameters and statistics."""
    return [SimpleNamespace(key=key, value=str(value)) for key, value in values.items()]


class TestCollections:
    def test_take_one_call_for_names_numbers_and_ages(self, clock):
        server = Server(
            ShowCollections=SimpleNamespace(
                collection_names=["a", "b"], collection_ids=[7, 8], created_utc_timestamps=[1_700_000_000_500, 0]
            )
        )
        assert play(reads.collections(), server, clock) == [
            ListedCollection("a", 7, datetime(2023, 11, 14, 22, 13, 20, 500_000, tzinfo=UTC)),
            ListedCollection("b", 8, None),
        ]
        assert server.asked == [("ShowCollections", {"type": "All"})]

    def test_of_milvus_lite_are_names_only(self, clock):
        names = SimpleNamespace(collection_names=["a", "b"], collection_ids=[], created_utc_timestamps=[])
        found = play(reads.collections(), Server(ShowCollections=names), clock)
        assert found == [ListedCollection("a", None, None), ListedCollection("b", None, None)]

    def test_may_be_none(self, clock):
        nothing = SimpleNamespace(collection_names=[], collection_ids=[], created_utc_timestamps=[])
        assert play(reads.collections(), Server(ShowCollections=nothing), clock) == []


class TestLoaded:
    def server(self, version: SimpleNamespace) -> Server:
        listed = SimpleNamespace(collection_names=["a", "b", "c"], inMemory_percentages=[100, 0, 40])
        return Server(ShowCollections=[listed], GetVersion=version)

    def test_on_a_server_is_what_is_in_memory_or_on_its_way(self, clock):
        server = self.server(REAL)
        assert play(reads.loaded(), server, clock) == {"a": 100, "b": 0, "c": 40}
        assert server.sent("ShowCollections") == [{"type": "InMemory"}]

    def test_on_milvus_lite_is_not_what_has_0_percent(self, clock):
        assert play(reads.loaded(), self.server(LITE), clock) == {"a": 100, "c": 40}


def test_databases_are_told_in_order(clock):
    server = Server(ListDatabases=SimpleNamespace(db_names=["default", "books"]))
    assert play(reads.databases(), server, clock) == ["books", "default"]


def test_aliases_are_those_of_the_database_or_of_a_collection(clock):
    behind = {"live": "docs", "other": "books", "old": "docs"}

    def listed(call: Any) -> SimpleNamespace:
        of = call.fields.get("collection_name")
        return SimpleNamespace(aliases=[alias for alias, name in behind.items() if of in (None, name)])

    server = Server(ListAliases=listed)
    assert play(reads.aliases(), server, clock) == ["live", "old", "other"]
    assert play(reads.aliases_of("docs"), server, clock) == ["live", "old"]


class TestDetails:
    def of(self, clock: Any, *fields: SimpleNamespace, **properties: str) -> Details:
        schema = SimpleNamespace(name="docs", fields=list(fields))
        answer = SimpleNamespace(
            schema=schema, collection_name="docs", collectionID=7, aliases=["live"], properties=pairs(**properties)
        )
        return play(reads.details("docs"), Server(DescribeCollection=answer), clock)

    def field(self, kind: DataType, **parameters: Any) -> SimpleNamespace:
        return SimpleNamespace(data_type=int(kind), type_params=pairs(**parameters))

    def test_are_aliases_and_properties(self, clock):
        found = self.of(clock, ttl="5")
        assert (found.collection_id, found.aliases, found.properties, found.row_bytes) == (7, ("live",), {"ttl": "5"}, 0)

    @pytest.mark.parametrize(
        ("kind", "parameters", "size"),
        [
            (DataType.BOOL, {}, 1),
            (DataType.INT8, {}, 1),
            (DataType.INT16, {}, 2),
            (DataType.INT32, {}, 4),
            (DataType.INT64, {}, 8),
            (DataType.FLOAT, {}, 4),
            (DataType.DOUBLE, {}, 8),
            (DataType.VARCHAR, {"max_length": 64}, 64),
            (DataType.VARCHAR, {"max_length": 65535}, 256),
            (DataType.VARCHAR, {}, 256),
            (DataType.JSON, {}, 256),
            (DataType.ARRAY, {"max_capacity": 5}, 256),
            (DataType.SPARSE_FLOAT_VECTOR, {}, 256),
            (DataType.BINARY_VECTOR, {"dim": 128}, 16),
            (DataType.FLOAT_VECTOR, {"dim": 128}, 512),
            (DataType.FLOAT16_VECTOR, {"dim": 128}, 256),
            (DataType.BFLOAT16_VECTOR, {"dim": 128}, 256),
            (DataType.INT8_VECTOR, {"dim": 128}, 128),
        ],
    )
    def test_tell_what_a_field_takes_in_a_row(self, clock, kind, parameters, size):
        assert self.of(clock, self.field(kind, **parameters)).row_bytes == size

    def test_tell_what_a_row_takes(self, clock):
        key, vector = self.field(DataType.INT64), self.field(DataType.FLOAT_VECTOR, dim=8)
        assert self.of(clock, key, vector, self.field(DataType.VARCHAR, max_length=10)).row_bytes == 8 + 32 + 10

    @pytest.mark.parametrize("kind", list(DataType))
    def test_know_every_type_that_pymilvus_has(self, clock, kind):
        assert self.of(clock, self.field(kind, dim=16)).row_bytes > 0


class TestRows:
    @pytest.mark.parametrize(("told", "rows"), [(1000, 1000), (0, None)])
    def test_are_unknown_when_none_is_flushed(self, clock, told, rows):
        server = Server(GetCollectionStatistics=SimpleNamespace(stats=pairs(other=5, row_count=told)))
        assert play(reads.rows("docs"), server, clock) == rows

    def test_are_unknown_when_they_are_not_told(self, clock):
        assert play(reads.rows("docs"), Server(GetCollectionStatistics=SimpleNamespace(stats=[])), clock) is None


class TestReplicas:
    def test_are_named_by_their_groups(self, clock):
        groups = [
            SimpleNamespace(replicaID=number, resource_group_name=name) for number, name in enumerate(("rg2", "rg1", "rg2"))
        ]
        server = Server(GetReplicas=SimpleNamespace(replicas=groups))
        assert play(reads.replicas("docs"), server, clock) == {0: "rg2", 1: "rg1", 2: "rg2"}

    @pytest.mark.parametrize("error", [MilvusUnsupportedError("Lite"), MilvusServerError("not loaded")])
    def test_are_unknown_where_the_server_does_not_tell(self, clock, error):
        assert play(reads.replicas("docs"), Server(GetReplicas=error), clock) is None


class TestPartitions:
    def test_are_those_in_memory_of_all(self, clock):
        server = Server(ShowPartitions=[partitions("_default", "p1", "p2"), partitions("p1")])
        assert play(reads.partitions("docs"), server, clock) == (1, 3)
        assert [request.get("type") for request in server.sent("ShowPartitions")] == [None, "InMemory"]

    def test_are_none_of_all_once_it_is_released(self, clock):
        server = Server(ShowPartitions=[partitions("_default", "p1"), MilvusServerError("collection not loaded")])
        assert play(reads.partitions("docs"), server, clock) == (0, 2)


def node(kind: str, mode: str = "DISTRIBUTED", **hardware: int) -> dict[str, Any]:
    return {"identifier": 1, "infos": {"type": kind, "hardware_infos": hardware, "system_info": {"deploy_mode": mode}}}


class TestNodes:
    def told(self, clock: Any, *nodes: Any) -> Nodes:
        return self.read(clock, json.dumps({"nodes_info": list(nodes)}))

    def read(self, clock: Any, response: str) -> Nodes:
        self.server = Server(GetMetrics=SimpleNamespace(response=response))
        return play(reads.nodes(), self.server, clock)

    def test_are_asked_for_as_milvus_understands_it(self, clock):
        self.told(clock)
        assert json.loads(self.server.sent("GetMetrics")[0]["request"]) == {"metric_type": "system_info"}

    @pytest.mark.parametrize(("mode", "alone"), [("STANDALONE", True), ("DISTRIBUTED", False), ("", False)])
    def test_tell_a_standalone_from_a_cluster_that_names_one_of_its_proxies(self, clock, mode, alone):
        assert self.told(clock, node("proxy", mode), node("querynode", mode)).standalone is alone

    def test_count_the_memory_of_query_nodes(self, clock):
        found = self.told(
            clock,
            node("proxy", memory=1),
            node("querynode", memory=64, memory_usage=10),
            node("QueryNode", memory=64, memory_usage=20),
            node("datanode", memory=1000, memory_usage=1000),
        )
        assert found == Nodes(memory=128, memory_used=30)

    @pytest.mark.parametrize("response", ["", "{}", '{"nodes_info": null}', '{"nodes_info": []}'])
    def test_that_are_not_told_are_unknown_and_not_none(self, clock, response):
        assert self.read(clock, response) == Nodes()

    @pytest.mark.parametrize("info", [{}, {"infos": None}, {"infos": {}}, {"infos": {"type": "querynode"}}, node("querynode")])
    def test_that_tell_nothing_of_themselves_count_for_nothing(self, clock, info):
        assert self.told(clock, info) == Nodes()

    def test_are_unknown_where_there_are_no_metrics(self, clock):
        server = Server(GetMetrics=MilvusUnsupportedError("Milvus Lite"))
        assert play(reads.nodes(), server, clock) == Nodes()
