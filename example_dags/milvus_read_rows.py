"""Read fifty rows, two fields of each, in the collection of `milvus_upsert_rows`. What Kestra's query flow for Weaviate does.

The collection has to be in memory.
"""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_milvus.operators.milvus import MilvusQueryOperator

with DAG("milvus_read_rows", schedule=None, start_date=datetime(2024, 1, 1), doc_md=__doc__, tags=["milvus"]):
    MilvusQueryOperator(task_id="read", collection_name="milvus_cities", output_fields=["id", "city"], limit=50)
