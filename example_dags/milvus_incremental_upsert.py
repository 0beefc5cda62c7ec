"""Write what changed in an hour into a collection: new and changed rows first, then the deletions.

Each hour has a folder, such as `/data/docs/20260520T14`, with two files of JSON Lines. `upserts.jsonl` has the new and
changed rows. `deletes.jsonl` has the keys of the rows that are gone, one `{"id": 42}` a line. Rows are written by key,
so the same hour twice leaves the same rows. The collection can be named by an alias.

Hours run one after the other, because the later hour wins. An old hour that you run again brings its old values back,
so clear the hours after it as well (*Future* in the UI).

The folder's hour is the run's logical date; a run without one takes the hour in which it was triggered. The DAG has no
schedule, so unpausing it writes nothing. Give your copy of this file a schedule when the files are yours.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, ObjectStoragePath, Param, task

from airflow_provider_milvus.operators.milvus import MilvusDeleteOperator, MilvusUpsertOperator

# A run from `airflow dags trigger`, or of an asset, has no logical date in Airflow 3.
HOUR = "{{ params.source }}/{{ (dag_run.logical_date or dag_run.run_after).strftime('%Y%m%dT%H') }}"


@task
def deleted_keys(path: str) -> list[int]:
    """The keys that were deleted in this hour."""
    return [json.loads(line)["id"] for line in ObjectStoragePath(path).read_text().splitlines()]


with DAG(
    dag_id="milvus_incremental_upsert",
    # Such as "@hourly". With a schedule, unpausing makes the last missed run at once, and that run writes and deletes rows.
    schedule=None,
    start_date=datetime(2024, 1, 1),
    # Of a scheduled DAG, `airflow backfill create` runs the hours that were missed.
    catchup=False,
    max_active_runs=1,
    # The retries wait for a folder that is late.
    default_args={"retries": 6, "retry_delay": timedelta(minutes=10), "depends_on_past": True},
    params={
        "collection": Param("docs", type="string", minLength=1, title="Collection", description="A collection or an alias."),
        "source": Param(
            "/data/docs",
            type="string",
            minLength=1,
            title="Source",
            description="A folder, local or on object storage, that has one folder for each hour, such as 20260520T14.",
        ),
    },
    doc_md=__doc__,
    tags=["milvus"],
):
    upsert = MilvusUpsertOperator(task_id="upsert", collection_name="{{ params.collection }}", rows=f"{HOUR}/upserts.jsonl")
    keys = deleted_keys(f"{HOUR}/deletes.jsonl")
    delete = MilvusDeleteOperator(task_id="delete", collection_name="{{ params.collection }}", ids=keys)

    upsert >> keys >> delete
