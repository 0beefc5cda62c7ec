"""Out of memory in the evening, back in the morning: for collections that are searched in office hours only.

The reclaim returns what it released, and hours later the restore loads exactly that: what is asked for first thing in the
morning comes first, and nothing is loaded into query nodes that are nearly full. Collections that came back in the meantime
are left as they are.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_milvus.operators.milvus import MilvusReclaimMemoryOperator, MilvusRestoreLoadOperator


@task.sensor(mode="reschedule", poke_interval=300, timeout=timedelta(days=1))
def morning(hours: float, **context: Any) -> bool:
    """So many hours after the evening's run was due."""
    run = context["dag_run"]
    evening = run.logical_date or run.run_after
    return bool(datetime.now(UTC) >= evening + timedelta(hours=hours))


with DAG(
    dag_id="milvus_reclaim_and_restore",
    schedule="0 20 * * 1-5",
    start_date=datetime(2024, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    # The result of one task, and the Params, then reach the other as they are instead of as text.
    render_template_as_native_obj=True,
    params={
        "collections": Param(
            ["office_*"],
            type="array",
            items={"type": "string", "minLength": 1},
            minItems=1,
            title="Collections",
            description="Patterns, one a line. These are out of memory overnight.",
        ),
        "first": Param(
            ["*_search"],
            type="array",
            items={"type": "string", "minLength": 1},
            title="Back first",
            description="Patterns, one a line, in order of priority.",
        ),
        "hours": Param(
            10,
            type="number",
            minimum=0,
            title="Hours",
            description="From the evening, when the run is due, until they are loaded again.",
        ),
    },
    doc_md=__doc__,
    tags=["milvus"],
):
    reclaim = MilvusReclaimMemoryOperator(task_id="reclaim", collections="{{ params.collections }}")
    restore = MilvusRestoreLoadOperator(
        task_id="restore",
        restore_set=reclaim.output,
        first="{{ params.first }}",
        max_memory_percent=90,
        # What was dropped overnight need not come back.
        if_missing="skip",
        # Also when a release had failed in the evening: the others were carried out.
        trigger_rule="all_done",
    )

    reclaim >> morning("{{ params.hours }}") >> restore
