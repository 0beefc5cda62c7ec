"""Keys, vectors and payloads that are lists of their own become rows; then a search finds the nearest.

What Qdrant's example does, for Milvus. The collection is there for the length of the run only.
"""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_milvus.operators.milvus import (
    MilvusCreateCollectionOperator,
    MilvusDropCollectionOperator,
    MilvusLoadCollectionOperator,
    MilvusSearchOperator,
    MilvusUpsertOperator,
)

COLLECTION = "milvus_columns_and_search"
VECTORS = [[0.7, 0.6, 0.3, 0.4], [0.2, 0.5, 0.4, 0.9], [0.3, 0.5, 0.4, 0.1]]
LISTS = {"id": [32, 21, 7], "vector": VECTORS, "source": ["wiki", "mail", "mail"], "pages": [{"first": 1}, {}, {"first": 2}]}

with DAG(dag_id="milvus_columns_and_search", schedule=None, start_date=datetime(2024, 1, 1), doc_md=__doc__, tags=["milvus"]):
    create = MilvusCreateCollectionOperator(task_id="create", collection_name=COLLECTION, dimension=4)
    load = MilvusLoadCollectionOperator(task_id="load", collection_name=COLLECTION)
    ingest = MilvusUpsertOperator(task_id="ingest", collection_name=COLLECTION, rows=LISTS, batch_rows=1)
    search = MilvusSearchOperator(
        task_id="search", collection_name=COLLECTION, data=[[0.5] * 4], limit=3, min_hits=3, consistency_level="Strong"
    )
    drop = MilvusDropCollectionOperator(task_id="drop", collection_name=COLLECTION).as_teardown(setups=create)
    create >> load >> ingest >> search >> drop
