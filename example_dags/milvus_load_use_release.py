"""Load a collection, use it, release it: it is in memory only while a job needs it.

`load` is Airflow's setup and `release` its teardown, around the job `search`. The release runs whether the job succeeds
or fails. When you clear the job alone, Airflow loads the collection again for it.

The collection is out of memory afterwards, for everybody, even if it was in memory before. To leave it as it was, see
`milvus_loaded_window`. So this DAG has no schedule, and its form does not propose a collection: name one.
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
    """The five nearest neighbours of a vector. Put your own job in its place."""
    with MilvusHook().client() as client:
        fields = client.describe_collection(collection)["fields"]
        dimension = next(int(field["params"]["dim"]) for field in fields if "dim" in field["params"])
        (hits,) = client.search(collection, data=[[1.0] * dimension], limit=5)
    return [{"id": hit["id"], "distance": hit["distance"]} for hit in hits]


with DAG(
    dag_id="milvus_load_use_release",
    # Whatever it runs on is released in the end, so somebody has to ask for it.
    schedule=None,
    start_date=datetime(2024, 1, 1),
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    params={
        "collection": Param(
            type="string",
            minLength=1,
            title="Collection",
            description="A collection with a vector index. It is out of memory afterwards, for everybody.",
        ),
    },
    doc_md=__doc__,
    tags=["milvus"],
):
    load = MilvusLoadCollectionOperator(
        task_id="load", collection_name=COLLECTION, timeout=600, on_timeout="release", release_on_kill=True
    )
    release = MilvusReleaseCollectionOperator(task_id="release", collection_name=COLLECTION, timeout=120)

    # With on_failure_fail_dagrun=True, Airflow would call a run a success whose job failed.
    with release.as_teardown(setups=load, on_failure_fail_dagrun=False):
        search(COLLECTION)
