"""Bad input, refused before anything is sent, with the argument's name."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_milvus.arguments import LONGEST_NAME, name, names, one_of, optional_seconds, seconds
from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError


class TestName:
    @pytest.mark.parametrize("value", ["docs", "_docs", "Docs_2", "a", "_", "a" * LONGEST_NAME])
    def test_of_milvus_is_taken_as_it_is(self, value):
        assert name("collection_name", value) == value

    @pytest.mark.parametrize(
        ("value", "words"),
        [
            ("", "is empty"),
            (" ", "is empty"),
            ("\t\n", "is empty"),
            (None, "must be a string, not NoneType"),
            (7, "must be a string, not int"),
            (True, "must be a string, not bool"),
            (b"docs", "must be a string, not bytes"),
            (["docs"], "must be a string, not list"),
            ("1docs", "is not a Milvus name"),
            ("20240301", "is not a Milvus name"),
            ("my docs", "is not a Milvus name"),
            ("docs ", "is not a Milvus name"),
            ("docs\n", "is not a Milvus name"),
            ("my-docs", "is not a Milvus name"),
            ("'docs'", "is not a Milvus name"),
            ('"docs"', "is not a Milvus name"),
            ("docs; drop", "is not a Milvus name"),
            ("Bücher", "is not a Milvus name"),
            ("книги", "is not a Milvus name"),
            ("文档", "is not a Milvus name"),
            ("docs٣", "is not a Milvus name"),
            ("docs\x00", "is not a Milvus name"),
            ("{{ var }}", "is not a Milvus name"),
            ("default.docs", "For another database, set `database`"),
            ("a" * 256, "has 256 characters; Milvus allows 255"),
            ("a" * 300, "has 300 characters; Milvus allows 255"),
        ],
    )
    def test_that_can_never_work_is_refused(self, value, words):
        with pytest.raises(MilvusInvalidArgumentError) as refused:
            name("collection_name", value)
        assert str(refused.value).startswith("collection_name ")
        assert words in str(refused.value)

    def test_that_is_far_too_long_is_not_repeated_in_full(self):
        with pytest.raises(MilvusInvalidArgumentError) as refused:
            name("collection_name", "x" * 100_000)
        assert len(str(refused.value)) < 200


class TestNames:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [("p1", ["p1"]), (["p1"], ["p1"]), (("p1", "p2"), ["p1", "p2"]), ((each for each in ["p1", "p2"]), ["p1", "p2"])],
    )
    def test_may_be_one_or_several(self, value, expected):
        assert names("partition_names", value) == expected

    @pytest.mark.parametrize(
        ("value", "words"),
        [
            ("", "partition_names is empty"),
            ([], "partition_names is empty: name at least one"),
            (None, "partition_names must be a string, not NoneType"),
            (5, "partition_names must be a string, not int"),
            (["p1", ""], "partition_names[1] is empty"),
            (["p1", None], "partition_names[1] must be a string"),
            (["p 1"], "partition_names[0] 'p 1' is not a Milvus name"),
            ("p1,p2", "is not a Milvus name"),
            ("['p1', 'p2']", "is not a Milvus name"),
        ],
    )
    def test_that_can_never_work_are_refused_one_by_one(self, value, words):
        with pytest.raises(MilvusInvalidArgumentError) as refused:
            names("partition_names", value)
        assert words in str(refused.value)


class TestSeconds:
    @pytest.mark.parametrize(
        ("value", "expected"), [(1, 1.0), (0.001, 0.001), (timedelta(minutes=2), 120.0), (timedelta(milliseconds=1), 0.001)]
    )
    def test_are_a_positive_number_or_a_timedelta(self, value, expected):
        assert seconds("timeout", value) == expected

    @pytest.mark.parametrize(
        "value",
        [
            0,
            -1,
            -0.001,
            0.0,
            math.nan,
            math.inf,
            -math.inf,
            True,
            False,
            "5",
            "",
            "soon",
            None,
            [5],
            timedelta(0),
            timedelta(-1),
        ],
    )
    def test_of_any_other_sort_are_refused(self, value):
        with pytest.raises(MilvusInvalidArgumentError, match=r"^timeout must be "):
            seconds("timeout", value)

    def test_may_be_left_to_the_connection(self):
        assert optional_seconds("timeout", None) is None
        assert optional_seconds("timeout", 3) == 3.0


class TestChoice:
    def test_is_one_of_a_few_words(self):
        assert one_of("if_missing", "skip", ("fail", "skip")) == "skip"

    @pytest.mark.parametrize("value", ["", "SKIP", "ignore", None, 0, True, ["skip"]])
    def test_of_another_word_is_refused_with_those_that_exist(self, value):
        with pytest.raises(MilvusInvalidArgumentError, match=r"if_missing must be one of 'fail', 'skip', not"):
            one_of("if_missing", value, ("fail", "skip"))


def test_a_wrong_argument_is_never_tried_again_and_is_a_value_error():
    assert issubclass(MilvusInvalidArgumentError, AirflowFailException)
    assert issubclass(MilvusInvalidArgumentError, ValueError)
