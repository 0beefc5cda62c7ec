"""Filters: a value stays a value, whatever is in it."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import StrEnum

import numpy
import pytest
from hypothesis import given, strategies as st

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.server.filters import render, to_literal

pytestmark = pytest.mark.newest


class Language(StrEnum):
    ENGLISH = "en"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (-7, "-7"),
        (2**63 - 1, "9223372036854775807"),
        (0.1, "0.1"),
        (1e-7, "1e-07"),
        (-2.5, "-2.5"),
        ("docs", '"docs"'),
        ("", '""'),
        ('say "no"', r'"say \"no\""'),
        ("it's", '"it\'s"'),
        ("back\\slash", r'"back\\slash"'),
        ('\\" or true or \\"', r'"\\\" or true or \\\""'),
        ("two\nlines\r\tand", r'"two\nlines\r\tand"'),
        ("日本 😀", '"日本 😀"'),
        (Language.ENGLISH, '"en"'),
        (date(2026, 3, 1), '"2026-03-01"'),
        (datetime(2026, 3, 1, 12, tzinfo=UTC), '"2026-03-01T12:00:00+00:00"'),
        (time(12, 30), '"12:30:00"'),
        ([], "[]"),
        ([1, 2], "[1, 2]"),
        (("a", 'b"'), r'["a", "b\""]'),
        ({3, 1}, "[1, 3]"),
        ([[1], [2]], "[[1], [2]]"),
        (numpy.int64(5), "5"),
        (numpy.float32(0.5), "0.5"),
        (numpy.bool_(True), "true"),
    ],
)
def test_a_value_becomes_its_literal(value, written):
    assert to_literal(value) == written


@pytest.mark.parametrize(
    "value", [None, math.nan, math.inf, 2**63, -(2**63) - 1, b"x", {"a": 1}, Decimal("0.1"), object(), "\ud800", [1, None]]
)
def test_what_milvus_has_no_literal_for_is_refused(value):
    with pytest.raises(MilvusInvalidArgumentError, match=r"filter_params\['it'\]"):
        render("a == {it}", {"it": value})


def test_every_parameter_takes_its_place():
    rendered = render(
        'a == {a} and b in {b} and (c like "x%" or a < {a})',
        {"a": 1, "b": ["x"]},
    )

    assert rendered == 'a == 1 and b in ["x"] and (c like "x%" or a < 1)'


def test_a_value_that_looks_like_a_parameter_is_not_rendered_again():
    assert render("a == {a} and b == {b}", {"a": "{b}", "b": "{a}"}) == 'a == "{b}" and b == "{a}"'


def test_doubled_braces_are_braces():
    assert render('a == "{{1}}"') == 'a == "{1}"'
    assert render("a == {{ 1 }}") == "a == { 1 }"


@pytest.mark.parametrize(
    ("template", "params", "reason"),
    [
        ("a == {a}", {}, "filter_params has no 'a'"),
        ("a == {a}", None, "filter_params has no 'a'"),
        ("a == 1", {"a": 1}, "filter_params has 'a', which the filter does not name"),
        ("a == {a}", {"a": 1, "A": 2}, "filter_params has 'A'"),
        ('a == "{a}"', {"a": 1}, "leave the quotes around a parameter out"),
        ("a == '{a}'", {"a": 1}, "leave the quotes around a parameter out"),
        ("a == 'it\\'s {a}'", {"a": 1}, "leave the quotes around a parameter out"),
        ('a == "x', {}, 'single " at character 6'),
        ("a == {", {}, "single { at character 6"),
        ("a == {1}", {}, "single {"),
        ("a == {a b}", {"a": 1}, "single {"),
        ("a == }", {}, "single }"),
        ("a == {{ ds }}", {}, "holds the template {{ ds }}"),
        ("a == '{{ ds }}'", {}, "holds the template {{ ds }}"),
        ("a == '{{ params.x | lower }}'", {}, "holds the template"),
        ("{% if x %}a == 1{% endif %}", {}, "holds the template"),
        (7, {}, "filter must be a string"),
    ],
)
def test_what_could_mean_something_else_is_refused(template, params, reason):
    with pytest.raises(MilvusInvalidArgumentError) as refused:
        render(template, params)

    assert reason in str(refused.value)


@given(st.text(), st.text())
def test_no_text_ends_its_own_literal(first, second):
    """What comes out is the template with two string literals in it, whatever the texts are."""
    rendered = render("a == {first} and b == {second}", {"first": first, "second": second})

    left, rest = _literal_at(rendered.removeprefix("a == "))
    right, end = _literal_at(rest.removeprefix(" and b == "))
    assert (left, right, end) == (first, second, "")


def _literal_at(text: str) -> tuple[str, str]:
    """Read a string literal as Milvus's grammar does, and what stands behind it."""
    assert text[0] == '"'
    value, at = "", 1
    while text[at] != '"':
        assert text[at] not in "\r\n"
        if text[at] == "\\":
            value += {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}[text[at + 1]]
            at += 2
        else:
            value += text[at]
            at += 1
    return value, text[at + 1 :]
