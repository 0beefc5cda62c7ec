"""Searches on real servers: the nearest rows, and the gates that hold up what follows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pyarrow.parquet as pq
import pytest

from airflow_provider_milvus.client.client import BoundedClient
from airflow_provider_milvus.exceptions import (
    MilvusCheckError,
    MilvusInvalidArgumentError,
    MilvusNotLoadedError,
    MilvusUnsupportedError,
)
from airflow_provider_milvus.operators.milvus import (
    MilvusCreateCollectionOperator,
    MilvusDropCollectionOperator,
    MilvusLoadCollectionOperator,
    MilvusSearchOperator,
    MilvusUpsertOperator,
)
from tests.integration.support import MakeCollection, Milvus

pytestmark = pytest.mark.newest

AXES = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]


def search(name: str, **arguments: Any) -> dict[str, Any]:
    result: dict[str, Any] = MilvusSearchOperator(
        task_id="search", collection_name=name, **{"consistency_level": "Strong", **arguments}
    ).execute({})
    return result


def ids(result: dict[str, Any]) -> list[list[Any]]:
    return [[hit["id"] for hit in hits] for hits in result["hits"]]


@pytest.fixture
def animals(milvus: Milvus) -> Iterator[str]:
    """Nine rows, three along each axis, of which the first is the nearest."""
    name = "animals"
    fields = [
        {"name": "name", "type": "VARCHAR", "max_length": 20, "is_primary": True},
        {"name": "kind", "type": "INT64"},
        {"name": "vector", "type": "FLOAT_VECTOR", "dim": 3},
    ]
    MilvusCreateCollectionOperator(
        task_id="create",
        collection_name=name,
        schema={"fields": fields, "enable_dynamic_field": True},
        indexes=[{"field_name": "vector", "index_type": "FLAT", "metric_type": "IP"}],
    ).execute({})
    MilvusLoadCollectionOperator(task_id="load", collection_name=name).execute({})
    rows = [
        {"name": f"{kind}_{place}", "kind": kind, "vector": [x * (1 - place / 10) for x in AXES[kind]], "color": "red"}
        for kind in range(3)
        for place in range(3)
    ]
    MilvusUpsertOperator(task_id="write", collection_name=name, rows=rows).execute({})
    yield name
    MilvusDropCollectionOperator(task_id="drop", collection_name=name).execute({})


def test_finds_the_nearest_rows_of_each_query(milvus: Milvus, animals: str) -> None:
    found = search(animals, data=AXES, limit=2)

    assert ids(found) == [["0_0", "0_1"], ["1_0", "1_1"], ["2_0", "2_1"]]
    assert (found["queries"], found["count"], found["complete"]) == (3, 6, True)
    entity = {"name": "0_0", "kind": 0, "color": "red"}
    assert found["hits"][0][0] == {"id": "0_0", "distance": pytest.approx(1.0), "entity": entity}
    assert json.loads(json.dumps(found)) == found


def test_takes_one_vector_or_the_text_of_one(milvus: Milvus, animals: str) -> None:
    assert ids(search(animals, data=AXES[1], limit=1)) == [["1_0"]]
    assert ids(search(animals, data="[0, 0, 1]", limit=1)) == [["2_0"]]
    assert ids(search(animals, data=numpy.array(AXES), limit=1)) == [["0_0"], ["1_0"], ["2_0"]]
    with pytest.raises(MilvusInvalidArgumentError, match=r"was not searched: data\[1\] has 2 dimensions; the field has 3"):
        search(animals, data=[[1, 0, 0], [1, 0]])
    with pytest.raises(MilvusInvalidArgumentError, match=r"data\[0\] 'cat' is not a vector"):
        search(animals, data="cat")


def test_finds_what_is_near_to_other_rows(milvus: Milvus, animals: str) -> None:
    assert ids(search(animals, ids=["2_1", "0_2"], limit=1)) == [["2_0"], ["0_0"]]
    with pytest.raises(MilvusInvalidArgumentError, match="no row with the key 'whale'"):
        search(animals, ids=["2_1", "whale"])


def test_a_filter_a_range_and_fields(milvus: Milvus, animals: str) -> None:
    found = search(animals, data=AXES[0], filter="kind in {kinds}", filter_params={"kinds": [1, 2]}, output_fields=["kind"])
    assert {hit["entity"]["kind"] for hit in found["hits"][0]} == {1, 2}
    assert all(set(hit["entity"]) == {"kind"} for hit in found["hits"][0])
    beside = search(animals, data=AXES[0], limit=1, output_fields=["color"])
    assert beside["hits"][0][0]["entity"] == {"color": "red"}
    near = search(animals, data=AXES[0], search_params={"metric_type": "IP", "radius": 0.85, "range_filter": 2.0})
    assert ids(near) == [["0_0", "0_1"]]


@pytest.mark.parametrize("milvus", ["lite"], indirect=True)
def test_at_most_one_hit_of_each_group(milvus: Milvus, animals: str) -> None:
    (hits,) = search(animals, data=[0.5, 0.4, 0.3], limit=3, group_by_field="kind", output_fields="['kind']")["hits"]
    assert [hit["entity"]["kind"] for hit in hits] == [0, 1, 2]


def test_the_gates_hold_up_what_is_wrong(milvus: Milvus, animals: str) -> None:
    gates = {"limit": 2, "min_hits": 2, "min_score": 0.9, "expect": [["0_0", "0_1"], "1_0"]}
    assert search(animals, data=AXES[:2], **gates)["count"] == 4

    with pytest.raises(MilvusCheckError, match=r"query 0 has 9 hits; expected at least 10\."):
        search(animals, data=AXES[0], limit=10, min_hits=10)
    with pytest.raises(MilvusCheckError, match=r"the first hit of query 1 has 0\.5; expected at least 0\.9"):
        search(animals, data=[AXES[0], [0.5, 0, 0]], min_score=0.9)
    with pytest.raises(MilvusCheckError, match=r"2 of 3 expected keys are among the hits; missing: '2_0' of query 1\."):
        search(animals, data=AXES[:2], limit=2, expect=[["0_0", "0_1"], "2_0"])
    assert search(animals, data=AXES[:2], limit=2, expect=[["0_0", "0_1"], "2_0"], expect_share=0.6)["count"] == 4
    with pytest.raises(MilvusInvalidArgumentError, match="2 queries, and expect is for 1"):
        search(animals, data=AXES[:2], expect=["0_0"])


def test_a_distance_has_to_be_small_enough(milvus: Milvus, make_collection: MakeCollection) -> None:
    docs = make_collection("docs", load=True)
    assert search(docs, ids=[7], min_score=0.001, limit=1)["count"] == 1
    with pytest.raises(MilvusCheckError, match=r"the first hit of query 0 has 1.*; expected at most 0\.001"):
        search(docs, data=[2.0] * 8, min_score=0.001)


def test_hits_go_to_a_file(milvus: Milvus, animals: str, tmp_path: Path) -> None:
    path = tmp_path / "hits.jsonl"
    found = search(animals, data=AXES, limit=1, output_path=str(path))

    assert (found["path"], found["count"], "hits" in found) == (str(path), 3, False)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["query"], line["id"]) for line in lines] == [(0, "0_0"), (1, "1_0"), (2, "2_0")]
    with pytest.raises(MilvusCheckError):
        search(animals, data=AXES, limit=1, min_score=5, output_path=str(path))
    assert len(path.read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("output_fields", "columns"),
    [(None, ["name", "kind", "$meta"]), (["kind", "color"], ["kind", "$meta"]), ("*", ["name", "kind", "vector", "$meta"])],
)
def test_a_parquet_file_has_the_same_hits(
    milvus: Milvus, animals: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output_fields: Any, columns: list[str]
) -> None:
    from airflow_provider_milvus.search import search as flow

    monkeypatch.setattr(flow, "AT_ONCE", 2)
    path = str(tmp_path / "hits.parquet")
    asked = {"data": AXES, "limit": 2, "output_fields": output_fields}
    search(animals, **asked, output_path=path)

    hits = pq.read_table(path).to_pylist()
    assert list(hits[0]) == ["query", "id", "distance", "entity"]
    assert list(hits[0]["entity"]) == columns
    for hit in hits:
        hit["entity"] |= json.loads(hit["entity"].pop("$meta"))
    expected = [{"query": query, **hit} for query, found in enumerate(search(animals, **asked)["hits"]) for hit in found]
    assert hits == expected
    search(animals, data=AXES, filter="kind > 7", output_fields=output_fields, output_path=path)
    assert pq.read_table(path).num_rows == 0


@pytest.mark.parametrize("file_type", ["parquet", "jsonl"])
def test_the_queries_may_be_in_files(
    milvus: Milvus, animals: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_type: str
) -> None:
    from airflow_provider_milvus.search import search as flow

    monkeypatch.setattr(flow, "AT_ONCE", 1)
    questions = [{"question": number, "embedding": AXES[number % 3]} for number in range(25)]
    for first in (0, 20):
        path = tmp_path / "in" / f"{first:02}.{file_type}"
        path.parent.mkdir(exist_ok=True)
        some = questions[first : first + 20]
        if file_type == "jsonl":
            path.write_text("".join(f"{json.dumps(row)}\n" for row in some))
        else:
            import pyarrow
            import pyarrow.parquet

            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(some), path)
    asked = {"data_files": str(tmp_path / "in"), "data_column": "embedding", "limit": 2}

    found = search(animals, **asked, min_hits=2)
    search(animals, **asked, output_path=str(tmp_path / "out" / "hits.jsonl"))

    assert (found["queries"], found["count"], found["complete"]) == (25, 50, True)
    assert ids(found) == [ids(search(animals, data=[question["embedding"]], limit=2))[0] for question in questions]
    lines = [json.loads(line) for line in (tmp_path / "out" / "hits.jsonl").read_text().splitlines()]
    assert [line["query"] for line in lines] == [position for position in range(25) for _ in range(2)]
    assert [line["id"] for line in lines] == [key for hits in ids(found) for key in hits]
    with pytest.raises(MilvusCheckError, match="the first hit of query 0 has"):
        search(animals, **asked, min_score=7)
    with pytest.raises(MilvusInvalidArgumentError, match="embedding"):
        search(animals, data_files=str(tmp_path / "in"))


def test_many_queries_take_several_calls(milvus: Milvus, animals: str) -> None:
    found = search(animals, data=AXES * 80, limit=1, output_fields=["kind"])
    assert [hits[0]["entity"]["kind"] for hits in found["hits"]] == [0, 1, 2] * 80


@pytest.mark.parametrize(("limit", "calls"), [(10, 1), (1_000, 3), (16_384, 25)])
def test_an_answer_is_of_so_many_hits_as_a_server_sends(
    milvus: Milvus, animals: str, monkeypatch: pytest.MonkeyPatch, limit: int, calls: int
) -> None:
    sent: list[int] = []
    perform = BoundedClient.perform

    def counted(client: BoundedClient, call: Any, *more: Any) -> Any:
        sent.extend([call.fields["nq"]] if getattr(call, "name", "") == "Search" else [])
        return perform(client, call, *more)

    monkeypatch.setattr(BoundedClient, "perform", counted)
    found = search(animals, data=AXES * 8 + AXES[:1], limit=limit)
    assert (len(sent), sum(sent), found["queries"], found["count"]) == (calls, 25, 25, 225)


def test_gates_that_the_limit_never_lets_hold_are_refused(animals: str) -> None:
    with pytest.raises(MilvusInvalidArgumentError, match="min_hits is 20, and limit lets a query have 10"):
        search(animals, data=AXES, min_hits=20)


@pytest.mark.parametrize("milvus", ["lite"], indirect=True)
def test_several_fields_are_searched_at_once(milvus: Milvus, tmp_path: Path) -> None:
    name = "both"
    MilvusCreateCollectionOperator(
        task_id="create",
        collection_name=name,
        schema={
            "fields": [
                {"name": "id", "type": "INT64", "is_primary": True},
                {"name": "text", "type": "VARCHAR", "max_length": 100, "params": {"enable_analyzer": True}},
                {"name": "vector", "type": "FLOAT_VECTOR", "dim": 3},
                {"name": "words", "type": "SPARSE_FLOAT_VECTOR"},
            ],
            "functions": [{"name": "f", "type": "BM25", "input_field_names": ["text"], "output_field_names": ["words"]}],
        },
        indexes=[
            {"field_name": "vector", "index_type": "FLAT", "metric_type": "IP"},
            {"field_name": "words", "index_type": "SPARSE_INVERTED_INDEX", "metric_type": "BM25"},
        ],
    ).execute({})
    MilvusLoadCollectionOperator(task_id="load", collection_name=name).execute({})
    texts = ["red apples", "green pears", "blue plums"]
    rows = [{"id": at, "text": text, "vector": AXES[at]} for at, text in enumerate(texts)]
    MilvusUpsertOperator(task_id="write", collection_name=name, rows=rows).execute({})
    try:
        assert ids(search(name, data="pears", anns_field="words")) == [[1]]
        # As a template renders a list.
        assert ids(search(name, data="['pears', 'apples']", anns_field="words")) == [[1], [0]]
        for no_text in (None, [0.5, 0.5]):
            with pytest.raises(MilvusInvalidArgumentError, match=r"data\[1\] is .*, and others are texts"):
                search(name, data=["pears", no_text], anns_field="words")
        (tmp_path / "questions.jsonl").write_text('{"q": "pears"}\n{"q": null}\n')
        with pytest.raises(MilvusInvalidArgumentError, match="row 2 has no 'q'"):
            search(name, data_files=str(tmp_path / "questions.jsonl"), data_column="q", anns_field="words")
        both = [
            {"anns_field": "vector", "data": [AXES[2], AXES[0]]},
            {"anns_field": "words", "data": ["pears", "apples"], "limit": 1},
        ]
        first, second = ids(search(name, requests=both, limit=2))
        assert (set(first), second[0]) == ({1, 2}, 0)
        weighted = search(name, requests=both, limit=1, ranker={"weighted": {"weights": [0.0, 1.0]}})
        assert ids(weighted) == [[1], [0]]
        with pytest.raises(MilvusInvalidArgumentError, match="have 1, 2 queries"):
            search(name, requests=[{**both[0], "data": AXES[0]}, both[1]])
        with pytest.raises(MilvusInvalidArgumentError, match="anns_field is None, and it has 'vector', 'words'"):
            search(name, data=AXES[0])
    finally:
        MilvusDropCollectionOperator(task_id="drop", collection_name=name).execute({})


@pytest.mark.standalone
def test_a_server_without_a_hybrid_search_says_so(standalone: Milvus, make_collection: MakeCollection) -> None:
    docs = make_collection("docs", load=True)
    twice = [{"anns_field": "vector", "data": [0.5] * 8}] * 2
    with pytest.raises(MilvusUnsupportedError, match="HybridSearch"):
        search(docs, requests=twice)


def test_what_is_not_in_memory_is_not_searched(milvus: Milvus, make_collection: MakeCollection) -> None:
    docs = make_collection("docs")
    with pytest.raises(
        MilvusNotLoadedError, match=f"^Collection '{docs}' (was not|could not be) searched.*(Load it first|call load)"
    ):
        search(docs, data=[0.5] * 8)
