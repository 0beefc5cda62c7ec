"""Two jobs share one collection: it is in memory while either of them runs, and is left as it was before.

`milvus_loaded` makes two tasks around the jobs. The first loads the collection. The last releases it, but only if this
DAG loaded it and no other DAG needs it: of several DAGs that use `milvus_loaded` for one collection, the last one
releases it. What was in memory before stays in memory. `milvus_load_use_release` releases in any case.

The DAG has no schedule: it runs when you trigger it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.operators.milvus import milvus_loaded

COLLECTION = "{{ params.collection }}"


@task
def count(collection: str) -> dict[str, int]:
    """The number of rows. Put a job that reads the collection in its place."""
    with MilvusHook().client() as client:
        (row,) = client.query(collection, output_fields=["count(*)"])
    return {"rows": int(row["count(*)"])}


@task
def newest(collection: str, counted: dict[str, int]) -> list[dict[str, Any]]:
    """The rows with the highest ids. Put a job that needs the first one's result in its place."""
    with MilvusHook().client() as client:
        return [dict(row) for row in client.query(collection, filter=f"id >= {counted['rows'] - 3}", output_fields=["id"])]


with (
    DAG(
        dag_id="milvus_loaded_window",
        # Loading takes memory, so somebody has to ask for it.
        schedule=None,
        start_date=datetime(2024, 1, 1),
        default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
        params={
            "collection": Param(
                "docs", type="string", minLength=1, title="Collection", description="Its primary key is a number called id."
            ),
        },
        doc_md=__doc__,
        tags=["milvus"],
    ),
    milvus_loaded(COLLECTION, task_suffix="collection", at_most=3600),
):
    newest(COLLECTION, count(COLLECTION))  # type: ignore[arg-type]
