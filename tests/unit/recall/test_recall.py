"""Recall: the truth against another way of computing it, ties, and vectors in the protocol's forms."""

from __future__ import annotations

import json
import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from airflow_provider_milvus.client.flow import Rpc
from airflow_provider_milvus.client.subject import Subject
from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError, MilvusServerError
from airflow_provider_milvus.recall import measure
from airflow_provider_milvus.recall.truth import METRICS, Truth, percentiles
from airflow_provider_milvus.schema.model import Field
from airflow_provider_milvus.search import vectors
from tests.unit.play import Clock, Server, described, play

KINDS = ("FLOAT_VECTOR", "FLOAT16_VECTOR", "BFLOAT16_VECTOR", "INT8_VECTOR", "BINARY_VECTOR")


def distance(metric: str, one: np.ndarray, other: np.ndarray) -> float:
    """Straight from the definition, one pair at a time."""
    if metric == "L2":
        return float(sum((a - b) ** 2 for a, b in zip(one, other, strict=True)))
    if metric == "IP":
        return -float(sum(a * b for a, b in zip(one, other, strict=True)))
    if metric == "COSINE":
        lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
        return -float(np.dot(one, other)) / lengths if lengths else 0.0
    if metric == "HAMMING":
        return float(sum(a != b for a, b in zip(one, other, strict=True)))
    either = sum(bool(a or b) for a, b in zip(one, other, strict=True))
    return 1 - sum(bool(a and b) for a, b in zip(one, other, strict=True)) / either if either else 0.0


@st.composite
def cases(draw):
    metric = draw(st.sampled_from(METRICS))
    # Few different values, so that there are many ties.
    values = st.integers(0, 1) if metric in ("HAMMING", "JACCARD") else st.integers(-2, 2)
    count, dim = draw(st.integers(2, 14)), draw(st.integers(1, 4))
    rows = np.array(draw(st.lists(st.lists(values, min_size=dim, max_size=dim), min_size=count, max_size=count)), float)
    return metric, rows, draw(st.integers(1, 5)), draw(st.integers(1, count)), draw(st.randoms(use_true_random=False))


@pytest.mark.newest
@given(cases())
def test_recall_is_the_share_of_the_nearest_by_distance(case):
    metric, rows, k, page, chance = case
    queries = [0, len(rows) - 1]
    answers = [chance.sample(range(len(rows)), min(k, len(rows))) for _ in queries]
    truth = Truth(rows[queries], queries, answers, metric=metric, k=k)
    for first in range(0, len(rows), page):
        truth.add(list(range(first, min(first + page, len(rows)))), rows[first : first + page])
    for recall, query, keys in zip(truth.recalls(), queries, answers, strict=True):
        others = sorted(distance(metric, rows[query], rows[row]) for row in range(len(rows)) if row != query)[:k]
        right = sum(distance(metric, rows[query], rows[key]) <= others[-1] + 1e-9 for key in keys if key != query)
        assert recall == pytest.approx(min(1.0, right / len(others)))
    assert truth.rows == len(rows)


@pytest.mark.newest
class TestTruth:
    ROWS = np.array([[0.0], [1.0], [-1.0], [2.0], [9.0]])

    def recall(self, answers, k, own=0, rows=ROWS, query=0.0):
        truth = Truth(np.array([[query]]), [own], [answers], metric="L2", k=k)
        truth.add(list(range(len(rows))), rows)
        return truth.recalls()[0]

    def test_a_row_is_no_neighbour_of_its_own(self):
        assert self.recall([0, 1], k=1) == 1.0
        assert self.recall([0, 4], k=1) == 0.0

    def test_of_two_that_are_as_near_either_is_right(self):
        assert self.recall([0, 1], k=1) == self.recall([0, 2], k=1) == 1.0

    def test_an_answer_given_twice_counts_once(self):
        assert self.recall([0, 1, 1, 1], k=3) == pytest.approx(1 / 3)
        assert self.recall([0, 1, 1, 2], k=2) == 1.0

    def test_too_few_answers_lack(self):
        assert self.recall([0, 1], k=3) == pytest.approx(1 / 3)

    def test_more_than_k_answers_are_of_no_use(self):
        assert self.recall([4, 3, 1, 2], k=2) == 0.0

    def test_a_row_that_is_gone_is_not_found(self):
        assert self.recall([0, 77], k=1) == 0.0

    def test_where_there_are_fewer_than_k_all_of_them_are_enough(self):
        assert self.recall([0, 1, 2, 3, 4], k=10) == 1.0

    def test_with_no_other_row_there_is_nothing_to_find(self):
        assert self.recall([0], k=3, rows=self.ROWS[:1]) is None

    def test_a_query_of_ones_own_may_find_any_row(self):
        assert self.recall([0], k=1, own=None) == 1.0

    def test_what_32_bits_cannot_tell_apart_is_a_tie(self):
        rows = np.array([[0.0], [1000.0], [1000.0001]])
        assert self.recall([0, 2], k=1, rows=rows) == 1.0
        assert self.recall([0, 2], k=1, rows=np.array([[0.0], [1000.0], [1001.0]])) == 0.0


@pytest.mark.newest
def test_percentiles_are_in_milliseconds():
    assert percentiles([milliseconds / 1000 for milliseconds in range(1, 102)]) == {
        "p50_ms": 51.0,
        "p95_ms": 96.0,
        "p99_ms": 100.0,
    }


def field_data(kind: str, held: np.ndarray):
    """A server's answer with these vectors, as pymilvus's generated classes make it."""
    from pymilvus.grpc_gen import schema_pb2

    field = schema_pb2.FieldData(field_name="vector")
    if kind == "FLOAT_VECTOR":
        field.vectors.float_vector.data.extend(held.view("<f4").ravel().tolist())
    else:
        setattr(field.vectors, kind.lower(), held.tobytes())
    return schema_pb2.FieldData.FromString(field.SerializeToString())


@pytest.mark.parametrize("rows", [1, 3, 40, 3000])
@pytest.mark.parametrize("kind", KINDS)
def test_vectors_are_read_as_they_were_written(kind, rows):
    numbers = np.random.default_rng(3).integers(-1 if kind != "BINARY_VECTOR" else 0, 2, (rows, 16)).astype(float)
    if kind == "BINARY_VECTOR":
        held = np.packbits(numbers.astype(bool), axis=1)
    elif kind == "BFLOAT16_VECTOR":
        held = (numbers.astype("<f4").view("<u4") >> 16).astype("<u2").view(np.uint8)
    else:
        held = numbers.astype({"FLOAT_VECTOR": "<f4", "FLOAT16_VECTOR": "<f2", "INT8_VECTOR": "i1"}[kind]).view(np.uint8)
    read = vectors.as_bytes(field_data(kind, held.reshape(rows, -1)), kind, 16)
    assert read.shape == (rows, vectors.bytes_of_one(kind, 16))
    assert vectors.as_numbers(read, kind).tolist() == numbers.tolist()
    assert vectors.as_numbers(vectors.stack([vector.tobytes() for vector in read]), kind).tolist() == numbers.tolist()


def encoded(queries, kind, dim):
    return vectors.encode_queries(queries, Field("vector", kind, dim=dim), "queries")


@pytest.mark.parametrize("kind", ["FLOAT_VECTOR", "FLOAT16_VECTOR", "BFLOAT16_VECTOR", "INT8_VECTOR"])
def test_a_query_of_numbers_is_the_vector_that_a_row_of_them_would_be(kind):
    stacked = vectors.stack(encoded([[1, -2, 3], [0, 0, 1]], kind, 3))
    assert vectors.as_numbers(stacked, kind).tolist() == [[1, -2, 3], [0, 0, 1]]


def test_a_query_of_a_binary_field_is_given_as_its_bytes_as_in_a_row():
    assert encoded([[5, 255]], "BINARY_VECTOR", 16) == [b"\x05\xff"]


@pytest.mark.parametrize(
    ("queries", "named"),
    [
        ([[1, 2]], r"queries\[0\] .*3"),
        ([[1, 2, 3], [1, 2, float("nan")]], r"queries\[1\] .*nan"),
        ([[1, 2, float("inf")]], r"queries\[0\] .*inf"),
        ([["a", "b", "c"]], r"queries\[0\] .*'a'"),
        (["abc"], r"queries\[0\] .*'abc'"),
        ([5], r"queries\[0\] .*5"),
    ],
)
def test_a_query_that_does_not_fit_is_named(queries, named):
    with pytest.raises(MilvusInvalidArgumentError, match=named):
        encoded(queries, "FLOAT_VECTOR", 3)


@pytest.mark.parametrize(
    ("kind", "query"),
    [("INT8_VECTOR", [0, 128]), ("INT8_VECTOR", [0.5, 0]), ("FLOAT16_VECTOR", [70_000, 0]), ("FLOAT_VECTOR", [1e39, 0])],
)
def test_a_number_that_the_type_cannot_hold_is_no_other_number(kind, query):
    with pytest.raises(MilvusInvalidArgumentError, match=r"queries\[0\] "):
        encoded([query], kind, 2)


def test_a_search_carries_the_vector_as_pymilvus_does():
    from pymilvus.client.prepare import Prepare

    theirs = Prepare._prepare_placeholder_str([[1.0, 2.0]])
    assert vectors.placeholder(encoded([[1.0, 2.0]], "FLOAT_VECTOR", 2), 101) == theirs
    assert vectors.placeholder([b"\x05"], 100) == Prepare._prepare_placeholder_str([b"\x05"])


class Rows:
    """A server's rows, answered by key, in pages of any size."""

    def __init__(self, keys: list[int], page: int = 1000) -> None:
        self.keys, self.page = keys, page

    def __call__(self, call: Any) -> SimpleNamespace:
        filter, limit = (
            call.fields["expr"],
            int(next(pair["value"] for pair in call.fields["query_params"] if pair["key"] == "limit")),
        )
        after = int(filter.removeprefix("id > ")) if filter.startswith("id > ") else -1
        requested = set(json.loads(filter.removeprefix("id in ")) if filter.startswith("id in ") else self.keys)
        keys = [key for key in self.keys if key > after and key in requested][: min(limit, self.page)]
        fields = [SimpleNamespace(field_name="id", scalars=SimpleNamespace(long_data=SimpleNamespace(data=keys)))]
        if "vector" in call.fields["output_fields"]:
            held = SimpleNamespace(int8_vector=bytes(key % 100 for key in keys for _ in range(2)))
            fields.append(SimpleNamespace(field_name="vector", vectors=held))
        return SimpleNamespace(fields_data=fields, ByteSize=lambda: 100 * len(keys))


SUBJECT = measure._Subject(
    Subject("docs", 1), Field("id", "INT64", is_primary=True), Field("vector", "INT8_VECTOR", dim=2), metric="L2"
)


def drawn(clock: Clock, rows: Rows, sample: int, seed: int, total: int | None = None) -> list[Any]:
    flow = measure._sample_rows(SUBJECT, total or len(rows.keys), sample, random.Random(seed))
    queries: list[Any] = play(flow, Server(Query=rows, DescribeCollection=described("docs")), clock)
    return queries


@pytest.mark.newest
class TestSample:
    KEYS = list(range(0, 900, 3))

    def test_is_the_same_for_the_same_seed_and_else_another(self, clock: Clock):
        one, same, other = (drawn(clock, Rows(self.KEYS), 40, seed) for seed in (1, 1, 2))
        assert one == same != other
        assert len({query.key for query in one}) == 40

    @pytest.mark.parametrize("page", [1, 7, 40, 1000])
    def test_does_not_depend_on_the_pages_that_a_server_gives(self, clock: Clock, page):
        assert drawn(clock, Rows(self.KEYS, page), 40, 1) == drawn(clock, Rows(self.KEYS), 40, 1)

    def test_comes_from_everywhere(self, clock: Clock):
        keys = [query.key for query in drawn(clock, Rows(self.KEYS), 150, 5)]
        assert min(keys) < 60
        assert max(keys) > 840
        assert 350 < sum(keys) / len(keys) < 550

    def test_has_each_row_with_its_own_vector(self, clock: Clock):
        for query in drawn(clock, Rows(self.KEYS), 100, 3):
            assert query.vector == bytes([query.key % 100] * 2)

    def test_of_fewer_rows_is_all_of_them(self, clock: Clock):
        assert [query.key for query in drawn(clock, Rows([5, 8]), 10, 1)] == [5, 8]

    def test_of_rows_that_were_deleted_meanwhile_is_what_is_left(self, clock: Clock):
        assert {query.key for query in drawn(clock, Rows([5, 8]), 10, 1, total=50)} <= {5, 8}

    @pytest.mark.parametrize("keys", [[5, 3, 9], [5, 5, 9], [9, 5]])
    def test_a_server_that_answers_out_of_order_is_not_believed(self, clock: Clock, keys):
        with pytest.raises(MilvusServerError, match="out of order"):
            drawn(clock, Rows(keys), 2, 1)

    def test_a_server_that_gives_the_same_page_again_is_not_asked_for_ever(self, clock: Clock):
        rows = Rows([1, 2, 3])
        page = rows(Rpc("Query", {"expr": "", "output_fields": ["id"], "query_params": [{"key": "limit", "value": "9"}]}))
        with pytest.raises(MilvusServerError, match="out of order after 3"):
            play(measure._sample_rows(SUBJECT, 3, 2, random.Random(1)), Server(Query=page), clock)
