"""What changed in the last hour, laid over what is there: by key, so that an hour can be run as often as one likes.

Each hour has a folder, `/data/docs/20260520T14`, with the rows that are new or changed, `upserts.jsonl`, and the keys of those
that are gone, `deletes.jsonl`: one JSON object a line, `{"id": 42}`. The rows are written, then the keys are deleted; the same
hour twice leaves the same rows. It writes through an alias, to the collection behind it.

Hours are run one after the other, since the later one wins. An old hour that is run again brings its old values back, so clear
the hours after it as well (*Future* in the UI).
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, ObjectStoragePath, Param, task

from airflow_provider_milvus.operators.milvus import MilvusDeleteOperator, MilvusUpsertOperator

HOUR = "{{ params.source }}/{{ logical_date.strftime('%Y%m%dT%H') }}"


@task
def gone(path: str) -> list[int]:
    """The keys that were deleted in this hour."""
    return [json.loads(line)["id"] for line in ObjectStoragePath(path).read_text().splitlines()]


with DAG(
    dag_id="milvus_incremental_upsert",
    schedule="@hourly",
    start_date=datetime(2024, 1, 1),
    # Hours that were missed are run with `airflow backfill create`.
    catchup=False,
    max_active_runs=1,
    # A folder that is late is waited for.
    default_args={"retries": 6, "retry_delay": timedelta(minutes=10), "depends_on_past": True},
    params={
        "collection": Param("docs", type="string", minLength=1, title="Collection", description="A collection or an alias."),
        "source": Param(
            "/data/docs",
            type="string",
            minLength=1,
            title="Source",
            description="A folder, local or on object storage, with one folder for each hour: 20260520T14.",
        ),
    },
    doc_md=__doc__,
    tags=["milvus"],
):
    upsert = MilvusUpsertOperator(task_id="upsert", collection_name="{{ params.collection }}", rows=f"{HOUR}/upserts.jsonl")
    keys = gone(f"{HOUR}/deletes.jsonl")
    delete = MilvusDeleteOperator(task_id="delete", collection_name="{{ params.collection }}", ids=keys)

    upsert >> keys >> delete
