"""The contract's files and the page that is made of them."""

from __future__ import annotations

import pytest

from airflow_provider_milvus.contract.clauses import READS, STORY
from dev.contract.answers import PAGE, VERSIONS, answers, known, with_table

pytestmark = pytest.mark.newest
CLAUSES = [clause.name for clause in (*READS, *STORY)]


def test_no_two_clauses_have_one_name():
    assert len(set(CLAUSES)) == len(CLAUSES)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_has_an_answer_to_every_clause_and_to_no_other(version):
    assert answers(version).keys() == set(CLAUSES)
    assert known(version).keys() <= set(CLAUSES)


def test_the_page_has_the_table_as_it_is():
    page = PAGE.read_text()
    assert with_table(page) == page
