"""Which rows are the first in the order of fields, of pages that come one after the other."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, strategies as st

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.operators.query import check_order
from airflow_provider_milvus.protocol.lazy_pymilvus import import_pymilvus
from airflow_provider_milvus.schema.model import Schema
from airflow_provider_milvus.search.order import FirstRows
from airflow_provider_milvus.search.walk import Page

import_pymilvus()
from pymilvus.grpc_gen import schema_pb2  # noqa: E402

pytestmark = pytest.mark.newest

SCHEMA = Schema.of(
    {
        "fields": [
            {"name": "id", "type": "INT64", "is_primary": True},
            {"name": "score", "type": "DOUBLE", "nullable": True},
            {"name": "name", "type": "VARCHAR", "max_length": 9},
            {"name": "tree", "type": "JSON"},
            {"name": "vector", "type": "FLOAT_VECTOR", "dim": 2},
        ]
    }
)
Row = tuple[int, float | None, str]


def page_of(rows: list[Row]) -> Page:
    scores = [score for _, score, _ in rows]
    fields = {
        "score": schema_pb2.FieldData(
            field_name="score",
            type=11,
            scalars={"double_data": {"data": [score or 0.0 for score in scores]}},
            valid_data=[score is not None for score in scores],
        ),
        "name": schema_pb2.FieldData(
            field_name="name", type=21, scalars={"string_data": {"data": [name for *_, name in rows]}}
        ),
    }
    return Page([key for key, *_ in rows], fields, 1)


def first(rows: list[Row], order_by: list[str], limit: int, page_rows: int = 3) -> list[int]:
    found = FirstRows(SCHEMA, order_by, limit)
    for start in range(0, len(rows), page_rows):
        found.take(page_of(rows[start : start + page_rows]))
    return found.keys()


ROWS: list[Row] = [(1, 2.0, "b"), (2, None, "a"), (3, 1.0, "b"), (4, math.nan, "a"), (5, 2.0, "a"), (6, -1.0, "c")]


@pytest.mark.parametrize(
    ("order_by", "keys"),
    [
        (["score"], [6, 3, 1, 5, 2, 4]),
        (["score:asc"], [6, 3, 1, 5, 2, 4]),
        (["score:desc"], [1, 5, 3, 6, 2, 4]),
        (["score:desc", "name"], [5, 1, 3, 6, 2, 4]),
        (["name:desc", "score"], [6, 3, 1, 5, 2, 4]),
    ],
)
def test_the_first_rows_are_in_order_and_those_without_a_value_are_the_last(order_by: list[str], keys: list[int]) -> None:
    for limit in (1, 2, 6, 100):
        assert first(ROWS, order_by, limit) == keys[:limit]


@given(st.lists(st.tuples(st.none() | st.integers(-3, 3), st.sampled_from("abc")), max_size=40), st.integers(1, 10))
def test_no_row_is_lost_between_pages(values: list[tuple[Any, str]], limit: int) -> None:
    rows: list[Row] = [(key, score, name) for key, (score, name) in enumerate(values)]
    expected = sorted(rows, key=lambda row: (row[2], row[1] is None, -(row[1] or 0), row[0]))
    assert first(rows, ["name", "score:desc"], limit) == [key for key, *_ in expected][:limit]


@pytest.mark.parametrize("field", ["tree", "vector", "nothing"])
def test_what_has_no_order_is_refused(field: str) -> None:
    with pytest.raises(MilvusInvalidArgumentError, match=f"rows cannot be in the order of '{field}'"):
        FirstRows(SCHEMA, [field], 1)


def test_a_direction_that_is_none_is_refused() -> None:
    with pytest.raises(MilvusInvalidArgumentError, match="'asc' or 'desc', not 'DESC'"):
        FirstRows(SCHEMA, ["score:DESC"], 1)


@pytest.mark.parametrize("order", ["day:down", ":desc", "*", "day:", ["day", 7]])
def test_an_order_that_says_nothing_is_refused(order: Any) -> None:
    with pytest.raises(MilvusInvalidArgumentError, match="order_by"):
        check_order("order_by", order)
