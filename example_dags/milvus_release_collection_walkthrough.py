"""Milvus's documentation page of `release_collection()`, as a DAG: create a collection, index it, load it, release it.

On the page the load states are printed. Here two sensors wait for them: `Loaded` after the load, `NotLoad` after the
release. The DAG makes a collection of its own, `customized_setup`, without rows. You can run it again: it keeps what
exists, and the collection is out of memory in the end. The DAG has no schedule: it runs when you trigger it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, chain, task

from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.operators.milvus import MilvusLoadCollectionOperator, MilvusReleaseCollectionOperator
from airflow_provider_milvus.sensors.milvus import MilvusLoadStateSensor

COLLECTION = "customized_setup"


@task
def create_collection() -> None:
    with MilvusHook().client() as client:
        # After the client is there: the hook imports pymilvus in a way that keeps it out of the task's log.
        from pymilvus import DataType

        if client.has_collection(COLLECTION):
            return
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("my_id", DataType.INT64, is_primary=True)
        schema.add_field("my_vector", DataType.FLOAT_VECTOR, dim=5)
        client.create_collection(COLLECTION, schema=schema)


@task
def create_indexes() -> None:
    with MilvusHook().client() as client:
        # Milvus Lite does not know the page's STL_SORT, and servers before 2.4 do not know Lite's INVERTED.
        is_lite = client.get_server_version().startswith("milvus_lite")
        requested = {
            "my_id": {"index_type": "INVERTED" if is_lite else "STL_SORT"},
            "my_vector": {"index_type": "IVF_FLAT", "metric_type": "L2", "params": {"nlist": 1024}},
        }
        for field in requested.keys() - set(client.list_indexes(COLLECTION)):
            index = client.prepare_index_params()
            index.add_index(field, **requested[field])
            client.create_index(COLLECTION, index)


with DAG(
    dag_id="milvus_release_collection_walkthrough",
    # It creates a collection, so somebody has to ask for it.
    schedule=None,
    start_date=datetime(2024, 1, 1),
    max_active_runs=1,
    default_args={"retries": 1, "retry_delay": timedelta(seconds=10)},
    doc_md=__doc__,
    tags=["milvus"],
):
    chain(
        create_collection(),
        create_indexes(),
        MilvusLoadCollectionOperator(task_id="load", collection_name=COLLECTION),
        MilvusLoadStateSensor(task_id="is_loaded", collection_name=COLLECTION, poke_interval=2, timeout=60),
        MilvusReleaseCollectionOperator(task_id="release", collection_name=COLLECTION),
        MilvusLoadStateSensor(
            task_id="is_released", collection_name=COLLECTION, target_state="NotLoad", poke_interval=2, timeout=60
        ),
    )
