"""Rows that another task returns, rows of a function, and rows whose vectors a task makes while they are written.

What Weaviate's example of its ingest operator does, for Milvus. `embed` stands for a model of yours: it counts words.
The collection is there for the length of the run only.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from zlib import crc32

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_milvus.operators.milvus import (
    MilvusCreateCollectionOperator,
    MilvusDropCollectionOperator,
    MilvusLoadCollectionOperator,
    MilvusRowCountCheckOperator,
    MilvusUpsertOperator,
)

COLLECTION = "milvus_ingest"
QUESTIONS = {"Which organ stores sugar?": "liver", "Which animal has a trunk?": "elephant", "What does a tree drink?": "water"}
ROWS = [{"id": at, "question": question, "answer": QUESTIONS[question]} for at, question in enumerate(QUESTIONS)]


def embed(text: str) -> list[float]:
    words = [crc32(word.encode()) % 64 for word in text.lower().split()]
    return [float(words.count(at)) for at in range(64)]


@task
def rows_of_a_task() -> list[dict[str, Any]]:
    return [{**row, "vector": embed(row["question"])} for row in ROWS]


def rows_of_a_function() -> Iterator[dict[str, Any]]:
    for row in ROWS:
        yield {**row, "id": 10 + row["id"], "vector": embed(row["answer"])}


@task.milvus_upsert(collection_name=COLLECTION)
def embed_and_upsert(rows: list[dict[str, Any]], first: int) -> Iterator[dict[str, Any]]:
    for row in rows:
        yield {**row, "id": first + row["id"], "vector": embed(f"{row['question']} {row['answer']}")}


with DAG(dag_id="milvus_ingest", schedule=None, start_date=datetime(2024, 1, 1), doc_md=__doc__, tags=["milvus"]):
    create = MilvusCreateCollectionOperator(task_id="create", collection_name=COLLECTION, dimension=64)
    load = MilvusLoadCollectionOperator(task_id="load", collection_name=COLLECTION)
    of_task = MilvusUpsertOperator(task_id="of_task", collection_name=COLLECTION, rows=rows_of_a_task())
    of_function = MilvusUpsertOperator(task_id="of_function", collection_name=COLLECTION, rows=rows_of_a_function)
    check = MilvusRowCountCheckOperator(task_id="check", collection_name=COLLECTION, equal_to=9)
    drop = MilvusDropCollectionOperator(task_id="drop", collection_name=COLLECTION).as_teardown(setups=create)

    create >> load >> [of_task, of_function, embed_and_upsert(ROWS, first=20)] >> check >> drop
