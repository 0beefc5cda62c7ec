"""Load a released collection when somebody searches it, so that a reclaim that released too much repairs itself.

A search of a collection that is not in memory fails, but Milvus counts it. A watcher in the triggerer reads that count
every 15 seconds. When the count rises, it starts this DAG, and the DAG loads the collection. The first searches still
fail; those that come a few seconds later are answered.

Write the names of your collections into `COLLECTIONS`. The DAG needs Airflow 3.0 for the watcher, and `metrics_url` in
the connection. A run that you trigger by hand loads nothing, since no search asked for it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Asset, task
from airflow.sdk import AssetWatcher

from airflow_provider_milvus.operators.milvus import MilvusLoadCollectionOperator
from airflow_provider_milvus.triggers.milvus import MilvusDemandTrigger

COLLECTIONS = ["docs"]

demand = Asset(
    "milvus_collection_wanted",
    watchers=[AssetWatcher(name="searches_of_released", trigger=MilvusDemandTrigger(collections=COLLECTIONS))],
)


@task
def demanded_collections(triggering_asset_events: Any = None) -> list[str]:
    """The collections that the events name, without repeats."""
    events = [event for of_asset in (triggering_asset_events or {}).values() for event in of_asset]
    return sorted({event.extra["payload"]["collection"] for event in events})


with DAG(
    dag_id="milvus_load_on_demand",
    # Unpausing alone loads nothing: a run needs a search of a collection that is not in memory.
    schedule=[demand],
    start_date=datetime(2024, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    doc_md=__doc__,
    tags=["milvus"],
):
    MilvusLoadCollectionOperator.partial(task_id="load", timeout=600).expand(collection_name=demanded_collections())
