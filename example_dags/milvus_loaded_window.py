"""Two jobs, one collection: it is in memory while either of them runs, and no longer.

`milvus_loaded` makes the setup and the teardown, and what they load and release is agreed upon with every other window of the
same collection, of this DAG and of others: the last one releases it. What somebody had loaded before stays. Compare
`milvus_load_use_release`, which releases in any case.
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
    """How many rows there are: a stand-in for a job that reads the collection."""
    with MilvusHook().client() as client:
        (found,) = client.query(collection, output_fields=["count(*)"])
    return {"rows": int(found["count(*)"])}


@task
def newest(collection: str, counted: dict[str, int]) -> list[dict[str, Any]]:
    """Some of them: a stand-in for the next one."""
    with MilvusHook().client() as client:
        return [dict(row) for row in client.query(collection, filter=f"id >= {counted['rows'] - 3}", output_fields=["id"])]


with (
    DAG(
        dag_id="milvus_loaded_window",
        schedule=None,
        start_date=datetime(2024, 1, 1),
        default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
        params={
            "collection": Param(
                "docs", type="string", minLength=1, title="Collection", description="One whose key is a number called id."
            ),
        },
        doc_md=__doc__,
        tags=["milvus"],
    ),
    milvus_loaded(COLLECTION, task_suffix="collection", at_most=3600),
):
    newest(COLLECTION, count(COLLECTION))  # type: ignore[arg-type]
