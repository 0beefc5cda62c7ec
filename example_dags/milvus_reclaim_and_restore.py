"""Release collections in the evening and load them again in the morning, for those that are searched in office hours
only.

1. `reclaim` releases the collections that match your patterns, except those that an alias points to. It returns which
   it released.
2. `morning` waits until the hours that you chose have passed.
3. `restore` loads exactly what `reclaim` released. The patterns under *Back first* come first. It loads nothing into
   query nodes that are nearly full, and leaves collections alone that somebody loaded in the meantime.

The DAG has no schedule, so unpausing it releases nothing. A run that you trigger releases at once. Give your copy of
this file a schedule when its patterns are yours.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_milvus.operators.milvus import MilvusReclaimMemoryOperator, MilvusRestoreLoadOperator


@task.sensor(mode="reschedule", poke_interval=300, timeout=timedelta(days=1))
def morning(hours: float, **context: Any) -> bool:
    """Whether these hours have passed since the evening, when the run was due."""
    run = context["dag_run"]
    evening = run.logical_date or run.run_after
    return bool(datetime.now(UTC) >= evening + timedelta(hours=hours))


with DAG(
    dag_id="milvus_reclaim_and_restore",
    # Such as "0 20 * * 1-5". With a schedule, unpausing makes the last missed run at once, and that run releases collections.
    schedule=None,
    start_date=datetime(2024, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    # So that Params, and the result of a task, reach the next as lists and numbers instead of text.
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
            minItems=1,
            title="Back first",
            description='Patterns, one a line, the most urgent first. "*" is no preference.',
        ),
        "hours": Param(
            10,
            type="number",
            minimum=0,
            title="Hours",
            description="From the evening, when the run is due, until the collections are loaded again.",
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
        # Even when one release failed in the evening: the others were carried out.
        trigger_rule="all_done",
    )

    reclaim >> morning("{{ params.hours }}") >> restore
