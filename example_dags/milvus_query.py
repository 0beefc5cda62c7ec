"""Make a collection with a field for each thing that is asked for, add rows to it, and read those that match a filter.

What OpenSearch's example does, for Milvus. A value in a filter is a parameter, and cannot change what the filter means.
The collection is there for the length of the run only.
"""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_milvus.operators.milvus import (
    MilvusCreateCollectionOperator,
    MilvusDropCollectionOperator,
    MilvusInsertOperator,
    MilvusLoadCollectionOperator,
    MilvusQueryOperator,
)

COLLECTION = "milvus_query"
FIELDS = [
    {"name": "id", "type": "INT64", "is_primary": True},
    {"name": "logger", "type": "VARCHAR", "max_length": 100},
    {"name": "message", "type": "VARCHAR", "max_length": 2000},
    {"name": "vector", "type": "FLOAT_VECTOR", "dim": 4},
]
FIRST = {"id": 1, "logger": "python", "message": "the first line", "vector": [0.1, 0.2, 0.3, 0.4]}
SECOND = {"id": 2, "logger": "airflow", "message": "a task has begun", "vector": [0.4, 0.3, 0.2, 0.1]}

with DAG(dag_id="milvus_query", schedule=None, start_date=datetime(2024, 1, 1), doc_md=__doc__, tags=["milvus"]):
    create = MilvusCreateCollectionOperator(
        task_id="create",
        collection_name=COLLECTION,
        schema={"fields": FIELDS},
        indexes=[{"field_name": "vector", "metric_type": "COSINE"}],
        num_shards=1,
    )
    load = MilvusLoadCollectionOperator(task_id="load", collection_name=COLLECTION)
    add_first = MilvusInsertOperator(task_id="add_first", collection_name=COLLECTION, rows=[FIRST])
    add_second = MilvusInsertOperator(task_id="add_second", collection_name=COLLECTION, rows=[SECOND])
    by_logger = MilvusQueryOperator(
        task_id="by_logger",
        collection_name=COLLECTION,
        filter="logger == {logger}",
        filter_params={"logger": "airflow"},
        consistency_level="Strong",
        at_least=1,
    )
    by_message = MilvusQueryOperator(
        task_id="by_message",
        collection_name=COLLECTION,
        filter='message like "the first%"',
        consistency_level="Strong",
        at_least=1,
    )
    drop = MilvusDropCollectionOperator(task_id="drop", collection_name=COLLECTION).as_teardown(setups=create)

    create >> load >> [add_first, add_second] >> by_logger >> by_message >> drop
