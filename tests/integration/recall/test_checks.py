"""Rows counted and recall measured, on real servers."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_milvus.client.client import BoundedClient
from airflow_provider_milvus.exceptions import (
    MilvusCheckError,
    MilvusCollectionNotFoundError,
    MilvusIndexNotFoundError,
    MilvusInvalidArgumentError,
    MilvusNotLoadedError,
    MilvusPartitionNotFoundError,
    MilvusServerError,
    MilvusUnsupportedError,
)
from airflow_provider_milvus.operators.milvus import MilvusRecallCheckOperator, MilvusRowCountCheckOperator
from airflow_provider_milvus.recall import measure
from airflow_provider_milvus.search import walk
from airflow_provider_milvus.sensors.milvus import MilvusRowCountSensor
from tests.integration.support import MakeCollection, Milvus, deferral, event_of, eventually, load_all

on_standalone = pytest.mark.standalone

FLAT = ("FLAT", {})
BAD_IVF = ("IVF_FLAT", {"nlist": 64})
BAD_HNSW = ("HNSW", {"M": 4, "efConstruction": 8})
ROWS = 5000


def count(collection: str, **arguments: Any) -> dict[str, Any]:
    task = MilvusRowCountCheckOperator(task_id="count", collection_name=collection, **arguments)
    result: dict[str, Any] = task.execute({})
    return result


def recall(collection: str, **arguments: Any) -> dict[str, Any]:
    task = MilvusRecallCheckOperator(
        task_id="recall", collection_name=collection, **{"seed": 1, "sample": 30, "floor": 0.0, **arguments}
    )
    result: dict[str, Any] = task.execute({})
    return result


def clustered(rows: int, dim: int = 16, seed: int = 0) -> Any:
    """Vectors that lie together in heaps, as embeddings do."""
    import numpy

    random = numpy.random.default_rng(seed)
    heaps = random.normal(size=(40, dim))
    return (heaps[random.integers(0, 40, rows)] + 0.5 * random.normal(size=(rows, dim))).astype("float32")


class Making:
    """Collections of any shape, dropped in the end."""

    def __init__(self) -> None:
        self.made: list[tuple[Milvus, str]] = []

    def __call__(
        self,
        server: Milvus,
        vectors: Any,
        index: tuple[str, dict[str, Any]] = FLAT,
        *,
        metric: str = "L2",
        kind: str = "FLOAT_VECTOR",
        dim: int | None = None,
        keys: list[Any] | None = None,
        built: bool = False,
        load: bool = True,
    ) -> str:
        from pymilvus import DataType

        name = f"checked_{uuid.uuid4().hex[:8]}"
        keys = list(range(len(vectors))) if keys is None else keys
        with server.plain_client() as client:
            schema = client.create_schema(auto_id=False)
            if isinstance(keys[0], str):
                schema.add_field("key", DataType.VARCHAR, is_primary=True, max_length=100)
            else:
                schema.add_field("key", DataType.INT64, is_primary=True)
            schema.add_field("vector", DataType[kind], dim=dim or len(vectors[0]))
            client.create_collection(name, schema=schema)
            self.made.append((server, name))
            indexes = client.prepare_index_params()
            indexes.add_index("vector", index_type=index[0], metric_type=metric, params=index[1])
            client.create_index(name, indexes, sync=False)
            for first in range(0, len(keys), 5000):
                some = slice(first, first + 5000)
                client.insert(
                    name, [{"key": key, "vector": vector} for key, vector in zip(keys[some], vectors[some], strict=True)]
                )
            if built:
                client.flush(name)
                eventually(lambda: not client.describe_index(name, "vector").get("pending_index_rows"), patience=60)
                # Lite builds an index while it loads; else in the background, and searches without it meanwhile.
                client.release_collection(name)
            if load:
                client.load_collection(name)
        return name

    def drop_all(self) -> None:
        for server, name in self.made:
            with server.plain_client() as client:
                client.drop_collection(name)


@pytest.fixture
def make() -> Iterator[Making]:
    making = Making()
    yield making
    making.drop_all()


class TestRowCount:
    def test_counts_what_is_written_and_not_what_is_deleted(self, milvus: Milvus, make: Making):
        name = make(milvus, clustered(300))
        assert count(name, equal_to=300)["rows"] == 300
        with milvus.plain_client() as client:
            client.delete(name, filter="key < 40")
            client.upsert(
                name, [{"key": key, "vector": vector} for key, vector in zip(range(290, 310), clustered(20), strict=True)]
            )
            if not milvus.is_lite:
                # What this check is for: nothing is flushed, so the statistics know of no row.
                assert client.get_collection_stats(name)["row_count"] == 0
        result = count(name, equal_to="270")
        assert (result["rows"], result["expected"], result["difference"], result["collection"]) == (270, 270, 0, name)
        with pytest.raises(MilvusCheckError, match=rf"'{name}' has 270 rows; expected 300\. Connection 'milvus_default'"):
            count(name, equal_to=300)
        with pytest.raises(MilvusCheckError, match="has 270 rows; expected at least 271"):
            count(name, at_least=271)
        assert count(name, at_least=270)["rows"] == 270

    def test_counts_what_a_filter_and_its_values_match(self, milvus: Milvus, make: Making):
        hostile = 'a" or key != "'
        name = make(milvus, clustered(4), keys=["a", "b", hostile, "ü\\"])
        assert count(name, equal_to=1, filter="key == {key}", filter_params={"key": hostile})["rows"] == 1
        assert count(name, equal_to=2, filter="key in {keys}", filter_params={"keys": ["ü\\", "b", "no"]})["rows"] == 2

    def test_compares_with_another_collection_within_a_tolerance(self, lite: Milvus, make: Making):
        served, new, other = make(lite, clustered(100)), make(lite, clustered(99)), make(lite, clustered(98))
        with lite.plain_client() as client:
            client.create_alias(served, f"{served}_live")
        try:
            result = count(new, same_as=f"{served}_live", tolerance="1%")
            assert (result["rows"], result["expected"], result["difference"]) == (99, 100, -1)
            assert result["same_as"] == f"{served}_live"
            with pytest.raises(MilvusCheckError, match=rf"98 rows; expected 100 ± 1 %, as many as '{served}_live'"):
                count(other, same_as=f"{served}_live", tolerance="1%")
            assert count(other, same_as=served, tolerance="2")["difference"] == -2
            with pytest.raises(MilvusCheckError, match="98 rows; expected 100 ± 1, as"):
                count(other, same_as=served, tolerance=1)
            assert count(served, same_as=other, filter="key < {n}", filter_params={"n": 50})["rows"] == 50
            with pytest.raises(MilvusInvalidArgumentError, match=r"was not checked: same_as .* is this collection itself"):
                count(served, same_as=f"{served}_live")
        finally:
            with lite.plain_client() as client:
                client.drop_alias(f"{served}_live")

    def test_counts_in_partitions(self, milvus: Milvus, make: Making):
        name = make(milvus, clustered(30), load=False)
        with milvus.plain_client() as client:
            client.create_partition(name, "p1")
            client.insert(
                name, [{"key": 100 + at, "vector": vector} for at, vector in enumerate(clustered(5))], partition_name="p1"
            )
            client.load_collection(name)
        assert count(name, equal_to=35)["rows"] == 35
        assert count(name, equal_to=5, partition_names="p1")["rows"] == 5
        assert count(name, equal_to=30, partition_names=["_default"])["rows"] == 30
        with pytest.raises(MilvusPartitionNotFoundError, match="no partition 'p2'"):
            count(name, equal_to=0, partition_names="p2")

    @on_standalone
    def test_a_collection_that_is_not_or_half_in_memory_is_never_counted_wrongly(self, standalone: Milvus, make: Making):
        name = make(standalone, clustered(30), load=False)
        with pytest.raises(MilvusNotLoadedError, match=rf"'{name}' cannot be counted.* Load it first"):
            count(name, equal_to=30)
        with standalone.plain_client() as client:
            client.create_partition(name, "p1")
            client.load_partitions(name, ["p1"])
            # The server itself counts what is in memory and says no word of the rest.
            assert client.query(name, "", output_fields=["count(*)"])[0]["count(*)"] == 0
        with pytest.raises(MilvusNotLoadedError, match="Not in memory: partition '_default'"):
            count(name, equal_to=0)
        assert count(name, equal_to=0, partition_names="p1")["rows"] == 0

    def test_a_missing_collection_is_told_from_an_empty_one(self, milvus: Milvus):
        with pytest.raises(MilvusCollectionNotFoundError):
            count("nothing_of_that_name", equal_to=0)
        with pytest.raises(MilvusCollectionNotFoundError):
            recall("nothing_of_that_name")


class TestRowCountSensor:
    def test_waits_in_the_worker_and_deferred_until_there_are_enough(self, lite: Milvus, make: Making):
        name = make(lite, clustered(30))
        sensor = MilvusRowCountSensor(
            task_id="wait",
            collection_name=name,
            at_least="31",
            filter="key >= {n}",
            filter_params={"n": 0},
            poke_interval=0.1,
        )
        assert not sensor.poke({})
        deferred = deferral(
            MilvusRowCountSensor(task_id="defer", collection_name=name, at_least=31, deferrable=True, poke_interval=0.1)
        )

        async def written_meanwhile() -> dict[str, Any]:
            waiting = asyncio.create_task(event_of(deferred.trigger))
            await asyncio.sleep(0.4)
            assert not waiting.done()
            with lite.plain_client() as client:
                client.insert(name, [{"key": 100, "vector": clustered(1)[0]}])
            return await waiting

        assert asyncio.run(written_meanwhile())["seen"]["state"] == "31 of 31 rows"
        assert sensor.poke({})

    @on_standalone
    def test_says_that_it_has_to_be_loaded(self, standalone: Milvus, make_collection: MakeCollection):
        sensor = MilvusRowCountSensor(task_id="wait", collection_name=make_collection(), at_least=1)
        with pytest.raises(MilvusNotLoadedError, match="Load it first"):
            sensor.execute({})


@pytest.fixture(scope="module")
def indexed(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Enough rows for 2.3.5 to build an index of its shards, and a poor one; made once for each server."""
    making, made = Making(), {}

    def of(server: Milvus, index: tuple[str, dict[str, Any]] = BAD_IVF) -> str:
        if (server.uri, index[0]) not in made:
            made[server.uri, index[0]] = making(server, clustered(ROWS), index, built=True)
        return str(made[server.uri, index[0]])

    yield of
    making.drop_all()


class TestRecall:
    def test_exact_search_is_1_and_a_poor_index_is_not(self, milvus: Milvus, indexed: Any):
        name = indexed(milvus)
        poor = recall(name, search_params={"nprobe": 1}, sample=60)
        assert poor["recall"] < 0.93
        assert len(poor["worst"]) == 5
        assert recall(name, search_params={"nprobe": 64}, sample=60)["recall"] == 1.0
        with pytest.raises(MilvusCheckError) as raised:
            recall(name, search_params={"nprobe": 1}, sample=60, floor=0.95)
        figures = (
            r"is 0\.\d+ over 60 queries, floor 0\.95; p50 [\d.]+ ms, p95 [\d.]+ ms, p99 [\d.]+ ms\. Worst: (\d+, ){4}\d+\."
        )
        assert re.search(rf"Recall@10 of field 'vector' in collection '{name}' {figures}", str(raised.value))

    @pytest.mark.newest
    @on_standalone
    def test_a_graph_that_was_built_badly_fails_too(self, standalone: Milvus, indexed: Any):
        name = indexed(standalone, BAD_HNSW)
        low, high = (recall(name, search_params={"ef": ef})["recall"] for ef in (12, 500))
        assert low < high < 0.99

    def test_the_result_is_small_and_plain(self, lite: Milvus, indexed: Any):
        name = indexed(lite)
        result = recall(name, search_params={"nprobe": 1})
        assert json.loads(json.dumps(result)) == result
        assert (result["metric"], result["k"], result["queries"], result["rows"]) == ("L2", 10, 30, ROWS)
        assert 0 < result["p50_ms"] <= result["p95_ms"] <= result["p99_ms"]
        assert len(json.dumps(result)) < 500

    @pytest.mark.newest
    def test_page_by_page_no_row_is_left_out_and_none_comes_twice(self, milvus: Milvus, indexed: Any, monkeypatch: Any):
        monkeypatch.setattr(measure, "PAGE_ROWS", 97)
        result = recall(indexed(milvus), search_params={"nprobe": 64})
        assert (result["rows"], result["recall"]) == (ROWS, 1.0)

    @pytest.mark.newest
    def test_keys_of_text_of_any_kind(self, milvus: Milvus, make: Making, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(measure, "PAGE_ROWS", 7)
        odd = ["", " ", '"', "'", "\\", "\\n", "\n", "\t", "%", "{x}", "ü", "中", "\U0001f600", "\uffff", "\x01", "Z", "a"]
        keys = odd + [f"k{number}" for number in range(60)]
        name = make(milvus, clustered(len(keys)), keys=keys)
        result = recall(name, sample=200, k=5, floor=1.0)
        assert (result["recall"], result["queries"], result["rows"]) == (1.0, len(keys), len(keys))

    @pytest.mark.parametrize("metric", ["IP", "COSINE"])
    def test_other_metrics(self, lite: Milvus, make: Making, metric: str):
        name = make(lite, clustered(500), metric=metric)
        assert recall(name, floor=1.0)["metric"] == metric

    @pytest.mark.newest
    @on_standalone
    def test_binary_vectors(self, standalone: Milvus, make: Making):
        import numpy

        bits = numpy.random.default_rng(0).integers(0, 256, (200, 8), numpy.uint8)
        vectors = [vector.tobytes() for vector in bits]
        shape = {"kind": "BINARY_VECTOR", "dim": 64, "load": False}
        made = {
            metric: make(standalone, vectors, ("BIN_FLAT", {}), metric=metric, **shape) for metric in ("HAMMING", "JACCARD")
        }
        with standalone.plain_client() as client:
            load_all(client, list(made.values()))
        for metric, name in made.items():
            assert recall(name, floor=1.0)["metric"] == metric

    def test_equal_vectors_are_equally_right(self, lite: Milvus, make: Making):
        name = make(lite, [[1.0, 0.0, 0.0, 0.0]] * 50 + [[0.0, 1.0, 0.0, 0.0]] * 50)
        assert recall(name, sample=100, k=3, floor=1.0)["recall"] == 1.0

    def test_queries_of_ones_own_are_searched_for_as_well(self, lite: Milvus, indexed: Any):
        mine = [vector.tolist() for vector in clustered(20, seed=9)]
        alone = recall(indexed(lite), queries=mine, sample=0, search_params={"nprobe": 1})
        assert alone["queries"] == 20
        assert set(alone["worst"]) <= {f"queries[{at}]" for at in range(20)}
        assert recall(indexed(lite), queries=mine, sample=5)["queries"] == 25
        with pytest.raises(MilvusInvalidArgumentError, match=r"queries\[0\] has 1 dimensions"):
            recall(indexed(lite), queries=[[1.0]])

    def test_searches_that_take_too_long_fail_the_check(self, lite: Milvus, indexed: Any):
        with pytest.raises(MilvusCheckError, match=r"is 1 over 30 queries.*ceiling 0\.001 ms"):
            recall(indexed(lite), search_params={"nprobe": 64}, latency_ceiling_ms="0.001")

    def test_too_few_rows_to_fill_k(self, lite: Milvus, make: Making):
        assert recall(make(lite, clustered(4)), k=10, floor=1.0)["recall"] == 1.0

    def test_with_nothing_to_find_it_does_not_succeed(self, lite: Milvus, make: Making):
        name = make(lite, clustered(1))
        with pytest.raises(MilvusInvalidArgumentError, match="with 1 rows there is nothing to find"):
            recall(name)
        with lite.plain_client() as client:
            client.delete(name, filter="key >= 0")
        with pytest.raises(MilvusInvalidArgumentError, match="with 0 rows there is nothing to search for"):
            recall(name)

    def test_what_cannot_be_measured_is_named(self, lite: Milvus, make: Making):
        from pymilvus import DataType

        name = make(lite, clustered(10))
        with pytest.raises(MilvusInvalidArgumentError, match=r"field_name 'text': collection .* has 'vector'"):
            recall(name, field_name="text")
        sparse = f"{name}_sparse"
        with lite.plain_client() as client:
            schema = client.create_schema(auto_id=False)
            schema.add_field("key", DataType.INT64, is_primary=True)
            schema.add_field("sparse", DataType.SPARSE_FLOAT_VECTOR)
            schema.add_field("dense", DataType.FLOAT_VECTOR, dim=4)
            client.create_collection(sparse, schema=schema)
        make.made.append((lite, sparse))
        with pytest.raises(MilvusUnsupportedError, match=r"'sparse' of .* it is a SPARSE_FLOAT_VECTOR"):
            recall(sparse, field_name="sparse")
        with pytest.raises(MilvusInvalidArgumentError, match=r"has 'sparse', 'dense'\. Name one"):
            recall(sparse)
        with pytest.raises(MilvusIndexNotFoundError, match=r"'dense' of .* it has no index"):
            recall(sparse, field_name="dense")

    def test_a_collection_that_changes_meanwhile_is_told(self, lite: Milvus, make: Making, log_text: Any, monkeypatch: Any):
        name = make(lite, clustered(300))
        perform, changed = BoundedClient.perform, []

        def changing(self: Any, call: Any, database: Any = None) -> Any:
            if getattr(call, "name", "") == "Search" and not changed:
                changed.append(name)
                with lite.plain_client() as client:
                    client.delete(name, filter="key < 100")
            return perform(self, call, database)

        monkeypatch.setattr(BoundedClient, "perform", changing)
        assert recall(name)["rows"] == 200
        assert "changed while it was measured: it had 300 rows at first, 200 later" in log_text()

    @on_standalone
    def test_a_released_collection_has_to_be_loaded(self, standalone: Milvus, make_collection: MakeCollection):
        with pytest.raises(MilvusNotLoadedError, match="Load it first"):
            recall(make_collection())

    def test_a_server_that_answers_out_of_order_is_not_believed(self, lite: Milvus, make: Making, monkeypatch: Any):
        """Milvus Lite without the setting that makes it sort, as another server may be."""
        name = make(lite, clustered(200), keys=list(range(200, 0, -1)))
        pairs = walk.to_pairs
        monkeypatch.setattr(
            walk,
            "to_pairs",
            lambda settings: pairs({key: value for key, value in settings.items() if key != "iterator"}),
        )
        with pytest.raises(MilvusServerError, match="out of order"):
            recall(name)
