"""Several collections, each made, filled and dropped by a mapped task of its own.

What Weaviate's example of dynamic mapping does, for Milvus. The collections are there for the length of the run only.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_milvus.operators.milvus import (
    MilvusCreateCollectionOperator,
    MilvusDropCollectionOperator,
    MilvusUpsertOperator,
)

SIZES = {"milvus_mapped_ingest_1": 100, "milvus_mapped_ingest_2": 200}


@task
def parts() -> list[dict[str, Any]]:
    rows = {name: [{"id": at, "vector": [float(at), 1.0, 0.0, 0.0]} for at in range(size)] for name, size in SIZES.items()}
    return [{"collection_name": name, "rows": rows[name]} for name in SIZES]


with DAG(dag_id="milvus_mapped_ingest", schedule=None, start_date=datetime(2024, 1, 1), doc_md=__doc__, tags=["milvus"]):
    create = MilvusCreateCollectionOperator.partial(task_id="create", dimension=4).expand(collection_name=list(SIZES))
    ingest = MilvusUpsertOperator.partial(task_id="ingest").expand_kwargs(parts())
    drop = MilvusDropCollectionOperator.partial(task_id="drop").expand(collection_name=list(SIZES))

    create >> ingest >> drop.as_teardown(setups=create)
