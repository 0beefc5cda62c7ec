"""Load a released collection when somebody searches it.

So a reclaim that was too eager mends itself: Milvus's proxies count the searches that fail because their collection is not in
memory, a watcher sees that count rise, and this DAG loads the collection. The first searches still fail; those that come some
seconds later are answered.

Needs Airflow 3.0 for the watcher, and ``metrics_url`` in the connection.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Asset, task
from airflow.sdk import AssetWatcher

from airflow_provider_milvus.operators.milvus import MilvusLoadCollectionOperator
from airflow_provider_milvus.triggers.milvus import MilvusDemandTrigger

COLLECTIONS = ["docs"]

wanted = Asset(
    "milvus_collection_wanted",
    watchers=[AssetWatcher(name="searches_of_released", trigger=MilvusDemandTrigger(collections=COLLECTIONS))],
)


@task
def wanted_collections(triggering_asset_events: Any = None) -> list[str]:
    """Each collection that the events name, once."""
    events = [event for each in (triggering_asset_events or {}).values() for event in each]
    return sorted({event.extra["payload"]["collection"] for event in events})


with DAG(
    dag_id="milvus_load_on_demand",
    schedule=[wanted],
    start_date=datetime(2024, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    doc_md=__doc__,
    tags=["milvus"],
):
    MilvusLoadCollectionOperator.partial(task_id="load", timeout=600).expand(collection_name=wanted_collections())
