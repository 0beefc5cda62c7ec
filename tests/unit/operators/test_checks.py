"""The arguments of the checks, and when a count passes."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.operators.checks import read_tolerance
from airflow_provider_milvus.operators.milvus import MilvusRecallCheckOperator, MilvusRowCountCheckOperator
from airflow_provider_milvus.sensors.milvus import MilvusCompactionSensor, MilvusRowCountSensor


def counting(**arguments: Any) -> MilvusRowCountCheckOperator:
    return MilvusRowCountCheckOperator(task_id="t", **{"collection_name": "docs", **arguments})


def recalling(**arguments: Any) -> MilvusRecallCheckOperator:
    return MilvusRecallCheckOperator(task_id="t", **{"collection_name": "docs", **arguments})


class TestAtParseTime:
    @pytest.mark.parametrize(
        "arguments", [{}, {"equal_to": 1, "at_least": 1}, {"equal_to": 0, "same_as": "b"}, {"at_least": 1, "same_as": "b"}]
    )
    def test_a_count_is_compared_with_exactly_one_thing(self, arguments):
        with pytest.raises(MilvusInvalidArgumentError, match="Give exactly one of equal_to, at_least, same_as"):
            counting(**arguments)

    def test_nothing_is_compared_with_0_as_with_any_number(self):
        assert counting(equal_to=0).equal_to == 0

    def test_a_tolerance_of_at_least_is_refused(self):
        with pytest.raises(MilvusInvalidArgumentError, match="tolerance has no meaning with at_least"):
            counting(at_least=5, tolerance="1%")

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            ({"k": 0}, "k must be a whole number from 1 to 16383"),
            ({"k": 16_384}, "k must be a whole number from 1 to 16383"),
            ({"k": 2.5}, "k must be a whole number"),
            ({"sample": -1}, "sample must be a whole number"),
            ({"sample": 0}, "nothing to search for"),
            ({"timeout": 0}, "timeout must be"),
        ],
    )
    def test_a_recall_check_refuses_what_can_never_work(self, arguments, reason):
        with pytest.raises(MilvusInvalidArgumentError, match=reason):
            recalling(**arguments)

    def test_queries_alone_are_enough(self):
        assert recalling(sample=0, queries=[[1.0]]).sample == 0


@pytest.fixture
def nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a connection: whoever asks for one before the arguments are checked fails with another error."""
    monkeypatch.delenv("AIRFLOW_CONN_MILVUS_DEFAULT", raising=False)


@pytest.mark.usefixtures("nothing_is_asked")
class TestBeforeAnythingIsAsked:
    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            ({"equal_to": "many"}, "equal_to must be a whole number"),
            ({"equal_to": "-1"}, "equal_to must be a whole number"),
            ({"equal_to": True}, "equal_to must be a whole number"),
            ({"equal_to": 1.5}, "equal_to must be a whole number"),
            ({"at_least": "few"}, "at_least must be a whole number"),
            ({"same_as": "no name"}, "same_as 'no name' is not a Milvus name"),
            ({"collection_name": "1a", "equal_to": 1}, "collection_name '1a' is not a Milvus name"),
            ({"equal_to": 1, "tolerance": "x%"}, "tolerance must be a number from 0 to 100"),
            ({"equal_to": 1, "tolerance": "101%"}, "tolerance must be a number from 0 to 100"),
            ({"equal_to": 1, "tolerance": "-1%"}, "tolerance must be a number from 0 to 100"),
            ({"equal_to": 1, "tolerance": "nan%"}, "tolerance must be a number from 0 to 100"),
            ({"equal_to": 1, "tolerance": -1}, "tolerance must be a whole number"),
            ({"equal_to": 1, "tolerance": 0.5}, "tolerance must be a whole number"),
            ({"equal_to": 1, "filter": "id > {n}"}, "filter_params has no 'n'"),
            ({"equal_to": 1, "filter_params": {"n": 1}}, "filter_params has 'n'"),
            ({"equal_to": 1, "partition_names": []}, "partition_names is given, but empty"),
        ],
    )
    def test_a_count_names_what_is_wrong(self, arguments, reason):
        with pytest.raises(MilvusInvalidArgumentError, match=reason):
            counting(**arguments).execute({})

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            ({"floor": 1.01}, "floor must be a number from 0 to 1, not 1.01"),
            ({"floor": "95%"}, "floor must be a number from 0 to 1"),
            ({"floor": True}, "floor must be a number"),
            ({"floor": float("nan")}, "floor must be a number"),
            ({"latency_ceiling_ms": "fast"}, "latency_ceiling_ms must be a number from 0 on"),
            ({"latency_ceiling_ms": -1}, "latency_ceiling_ms must be a number from 0 on"),
            ({"search_params": "{'nprobe': 1}"}, "search_params must be a dict"),
            ({"field_name": "a b"}, "field_name 'a b' is not a Milvus name"),
        ],
    )
    def test_a_recall_check_names_what_is_wrong(self, arguments, reason):
        with pytest.raises(MilvusInvalidArgumentError, match=reason):
            recalling(**arguments).execute({})

    @pytest.mark.parametrize(
        ("kind", "arguments", "reason"),
        [
            (MilvusRowCountSensor, {"collection_name": "docs", "at_least": "few"}, "at_least must be a whole number"),
            (MilvusRowCountSensor, {"collection_name": "docs", "at_least": 1, "filter": "{x}"}, "filter_params has no 'x'"),
            (MilvusCompactionSensor, {"compaction_id": "soon"}, "compaction_id must be a whole number"),
            (MilvusCompactionSensor, {"compaction_id": 1, "plans": -1}, "plans must be a whole number"),
        ],
    )
    def test_a_sensor_names_what_is_wrong(self, kind, arguments, reason):
        with pytest.raises(MilvusInvalidArgumentError, match=reason):
            kind(task_id="t", **arguments).condition()


@pytest.mark.newest
@pytest.mark.parametrize(
    ("tolerance", "expected", "most"),
    [(0, 100, 0), ("3", 100, 3), ("1%", 200, 2), ("0.5 %", 1000, 5), ("100%", 7, 7), ("0%", 9, 0)],
)
def test_a_tolerance_is_rows_or_a_share_of_what_is_expected(tolerance, expected, most):
    assert read_tolerance("tolerance", tolerance).of(expected) == pytest.approx(most)
