"""Give a collection that is served new embeddings: copy it with another model, check the copy, and switch the alias to it.

Every row of the collection behind the alias `docs` is read, its text goes through the new model, and the row is written
to a new collection with the same fields, indexes and replicas. Searches through the alias go on meanwhile, by the old
embeddings. Only when the copy has every row, finds what it should and answers the questions does `swap` point the alias
to it, in one step. After the grace period the old collection is released, and dropped if you say so.

The applications have to ask with the new model from the switch on. Two models' vectors cannot be compared: let the
application choose its model by the collection behind the alias, or by the alias's name, with an alias for each model.

When a check fails, searches are served as before, and the copy stays. A task that is killed goes on where it was.
Nobody may write to the collection meanwhile, or `copy` says so and fails: stop what writes, drop the copy, and clear it.

**What it needs.** A collection with a text in `text` and its embedding in `vector`; the package
`sentence-transformers`, or your own model in `embed`; and a file of questions whose answers are known: JSON Lines of
`{"question": "…", "answer": 42}`, with the key of a row that must be among the first hits.

The DAG has no schedule: a model changes when you say so.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from airflow.providers.common.compat.sdk import DAG, ObjectStoragePath, Param, task

from airflow_provider_milvus.operators.milvus import (
    MilvusCopyCollectionOperator,
    MilvusRecallCheckOperator,
    MilvusRowCountCheckOperator,
    MilvusSearchOperator,
    MilvusSwapAliasOperator,
)

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
FIRST_HITS = 5


@cache
def model() -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(MODEL)


def embed(texts: list[str]) -> list[list[float]]:
    """The new embeddings, scaled to length 1."""
    vectors: list[list[float]] = model().encode(texts, normalize_embeddings=True).tolist()
    return vectors


def reembed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, with new vectors of their texts."""
    vectors = embed([row["text"] for row in rows])
    return [{**row, "vector": vector} for row, vector in zip(rows, vectors, strict=True)]


@task(multiple_outputs=True)
def ask(path: str) -> dict[str, Any]:
    """The vectors of the questions, and for each the key that must come back."""
    questions = [json.loads(line) for line in ObjectStoragePath(path).read_text().splitlines()]
    vectors = embed([question["question"] for question in questions])
    return {"vectors": vectors, "answers": [[question["answer"]] for question in questions]}


with DAG(
    dag_id="milvus_reembed",
    schedule=None,
    start_date=datetime(2024, 1, 1),
    catchup=False,
    # Two runs at once would switch the alias in the order in which they end.
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=2)},
    params={
        "alias": Param("docs", type="string", minLength=1, title="Alias", description="The name that searches use."),
        "new_name": Param(
            "docs_minilm", type="string", minLength=1, title="New collection", description="The name of the copy."
        ),
        "questions": Param(
            "/data/docs/questions.jsonl",
            type="string",
            minLength=1,
            title="Questions",
            description="JSON Lines of questions and of the keys that a search must find.",
        ),
        "floor": Param(
            0.95,
            type="number",
            minimum=0,
            maximum=1,
            title="Floor",
            description="The least recall of the index, and the least share of answered questions.",
        ),
        "grace": Param(
            600,
            type="number",
            minimum=0,
            title="Grace",
            description="Seconds that the old collection stays in memory after the switch.",
        ),
        "then": Param(
            "release",
            type="string",
            enum=["release", "drop"],
            title="The old collection",
            description="What becomes of it after that. A released one stays on disk, as the way back.",
        ),
    },
    doc_md=__doc__,
    tags=["milvus"],
):
    new = "{{ params.new_name }}"
    # A model takes its time: hours for millions of texts. A retry goes on where the rows are known to be written.
    copy = MilvusCopyCollectionOperator(
        task_id="copy",
        collection_name="{{ params.alias }}",
        target_name=new,
        transform=reembed,
        timeout=timedelta(hours=12),
    )
    # Without retries: the rows will be the same in two minutes.
    count = MilvusRowCountCheckOperator(task_id="count", collection_name=new, same_as="{{ params.alias }}", retries=0)
    recall = MilvusRecallCheckOperator(task_id="recall", collection_name=new, floor="{{ params.floor }}", retries=0)
    questions = ask("{{ params.questions }}")
    answers = MilvusSearchOperator(
        task_id="answers",
        collection_name=new,
        data=questions["vectors"],
        expect=questions["answers"],
        expect_share="{{ params.floor }}",
        limit=FIRST_HITS,
        consistency_level="Strong",
        retries=0,
    )
    swap = MilvusSwapAliasOperator(
        task_id="swap",
        alias="{{ params.alias }}",
        collection_name=new,
        grace_period="{{ params.grace }}",
        then="{{ params.then }}",
        deferrable=True,
    )

    copy >> count >> recall >> answers >> swap
