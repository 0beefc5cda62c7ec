"""Find the five rows that are nearest to a vector in the collection of `milvus_upsert_rows`. What Kestra's search flow does.

The collection has to be in memory.
"""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_milvus.operators.milvus import MilvusSearchOperator

with DAG("milvus_search", schedule=None, start_date=datetime(2024, 1, 1), doc_md=__doc__, tags=["milvus"]):
    MilvusSearchOperator(task_id="search", collection_name="milvus_cities", data=[[0.05, 0.61, 0.76, 0.74]], limit=5)
