"""Write two rows into the collection `milvus_cities`, which is made for them. What Kestra's upsert flow does."""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_milvus.operators.milvus import MilvusCreateCollectionOperator, MilvusUpsertOperator

NAME = "milvus_cities"
ROWS = {"id": [1, 2], "vector": [[0.05, 0.61, 0.76, 0.74], [0.19, 0.81, 0.75, 0.11]], "city": ["Berlin", "Paris"]}

with DAG("milvus_upsert_rows", schedule=None, start_date=datetime(2024, 1, 1), doc_md=__doc__, tags=["milvus"]):
    create = MilvusCreateCollectionOperator(task_id="create", collection_name=NAME, dimension=4, if_exists="check")
    create >> MilvusUpsertOperator(task_id="upsert", collection_name=NAME, rows=ROWS)
