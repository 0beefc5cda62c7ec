"""Write texts with their vectors, ask a question, and fail if the right text is not found.

What Weaviate's example without a vectorizer does, for Milvus. `embed` stands for a model of yours: it counts words.
The collection is there for the length of the run only.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from zlib import crc32

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_milvus.operators.milvus import (
    MilvusCreateCollectionOperator,
    MilvusDropCollectionOperator,
    MilvusLoadCollectionOperator,
)

COLLECTION = "milvus_ingest_and_ask"
TEXTS = ["the liver stores sugar", "biology is about what lives", "an elephant has a trunk"]


def embed(text: str) -> list[float]:
    words = [crc32(word.encode()) % 64 for word in text.lower().split()]
    return [float(words.count(at)) for at in range(64)]


@task.milvus_upsert(collection_name=COLLECTION)
def ingest() -> Iterator[dict[str, Any]]:
    for number, text in enumerate(TEXTS):
        yield {"id": number, "vector": embed(text), "text": text}


@task.milvus_search(collection_name=COLLECTION, limit=1, expect=[[1]], consistency_level="Strong")
def ask(question: str) -> list[list[float]]:
    return [embed(question)]


with DAG(
    dag_id="milvus_ingest_and_ask",
    schedule=None,
    start_date=datetime(2024, 1, 1),
    params={"question": Param("what is biology about", type="string", minLength=1, title="Question")},
    doc_md=__doc__,
    tags=["milvus"],
):
    create = MilvusCreateCollectionOperator(task_id="create", collection_name=COLLECTION, dimension=64)
    load = MilvusLoadCollectionOperator(task_id="load", collection_name=COLLECTION)
    drop = MilvusDropCollectionOperator(task_id="drop", collection_name=COLLECTION).as_teardown(setups=create)

    create >> load >> ingest() >> ask("{{ params.question }}") >> drop
