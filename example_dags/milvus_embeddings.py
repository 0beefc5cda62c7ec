"""Make a collection for the dimension of a model, write what the model makes of texts, and drop the collection again.

What Pinecone's example with OpenAI's embeddings does, for Milvus. `embed` stands for a model of yours, in a task of its
own or an operator of another provider: it counts words.
"""

from __future__ import annotations

from datetime import datetime
from zlib import crc32

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_milvus.operators.milvus import (
    MilvusCreateCollectionOperator,
    MilvusDropCollectionOperator,
    MilvusUpsertOperator,
)

COLLECTION = "milvus_embeddings"
TEXTS = ["An index trades a little truth for much time.", "A vector is a list of numbers.", "Numbers count words here."]


@task
def embed(texts: list[str]) -> list[list[float]]:
    words = [[crc32(word.encode()) % 64 for word in text.lower().split()] for text in texts]
    return [[float(found.count(at)) for at in range(64)] for found in words]


with DAG(dag_id="milvus_embeddings", schedule=None, start_date=datetime(2024, 1, 1), doc_md=__doc__, tags=["milvus"]):
    create = MilvusCreateCollectionOperator(task_id="create", collection_name=COLLECTION, dimension=64)
    vectors = embed(TEXTS)
    ingest = MilvusUpsertOperator(
        task_id="ingest", collection_name=COLLECTION, rows={"id": [1, 2, 3], "vector": vectors, "text": TEXTS}
    )
    drop = MilvusDropCollectionOperator(task_id="drop", collection_name=COLLECTION).as_teardown(setups=create)

    create >> vectors >> ingest >> drop
