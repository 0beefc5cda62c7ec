"""Hold a collection in memory only while a job needs it.

Load and release are Airflow's setup and teardown: the release runs whether the job between them succeeds or fails, and clearing
the job alone loads the collection again for it. The run is judged by the job. (With `on_failure_fail_dagrun=True` Airflow would
judge it by the release instead, and a job that failed would count as a success.)
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.operators.milvus import MilvusLoadCollectionOperator, MilvusReleaseCollectionOperator

COLLECTION = "{{ params.collection }}"


@task
def search(collection: str) -> list[dict[str, Any]]:
    """The five nearest neighbours of some vector: a stand-in for the job that needs the collection."""
    with MilvusHook().client() as client:
        fields = client.describe_collection(collection)["fields"]
        dimension = next(int(field["params"]["dim"]) for field in fields if "dim" in field["params"])
        (hits,) = client.search(collection, data=[[1.0] * dimension], limit=5)
    return [{"id": hit["id"], "distance": hit["distance"]} for hit in hits]


with DAG(
    dag_id="milvus_load_use_release",
    schedule=None,
    start_date=datetime(2024, 1, 1),
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    params={
        "collection": Param(
            "docs",
            type="string",
            minLength=1,
            title="Collection",
            description="One with a vector index. It is out of memory afterwards, for everybody.",
        ),
    },
    doc_md=__doc__,
    tags=["milvus"],
):
    load = MilvusLoadCollectionOperator(
        task_id="load", collection_name=COLLECTION, timeout=600, on_timeout="release", release_on_kill=True
    )
    release = MilvusReleaseCollectionOperator(task_id="release", collection_name=COLLECTION, timeout=120)

    with release.as_teardown(setups=load, on_failure_fail_dagrun=False):
        search(COLLECTION)
