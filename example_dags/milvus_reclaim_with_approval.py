"""Plan what to take out of Milvus's memory, let a person approve it, and release exactly that.

The plan is a dry run. It waits under *Required Actions* with a reason for every collection, and whoever opens it approves or
rejects. What was approved is then released, except what has changed since: a collection that was searched in the meantime, got
an alias, or was made anew is left alone, and the result says so. Nobody answers within a day: nothing is released.

Needs Airflow 3.1 for the approval, and ``metrics_url`` in the connection for *idle for*.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task
from airflow.providers.standard.operators.hitl import ApprovalOperator

from airflow_provider_milvus.operators.milvus import MilvusReclaimMemoryOperator

PATTERNS = {"type": "array", "items": {"type": "string", "minLength": 1}}
OPTIONAL = {**PATTERNS, "type": ["null", "array"]}
# The form shows them to whoever slips, so they are short.
DURATION = r"^P(\d+W|\d+D|T\d+[HMS])$"
SIZE = r"^\d+(\.\d+)? ?(%|[KMGT]i?B)$"


@task.short_circuit
def anything_to_release(planned: dict[str, Any]) -> bool:
    return bool(planned["plan"])


with DAG(
    dag_id="milvus_reclaim_with_approval",
    schedule=None,
    start_date=datetime(2024, 1, 1),
    max_active_runs=1,
    # Params then reach the operators as lists and numbers, and the plan as data instead of text.
    render_template_as_native_obj=True,
    params={
        "collections": Param(
            ["*"],
            **PATTERNS,
            minItems=1,
            title="Collections",
            description="Patterns, one a line: which this is about. Of these one goes when any of the rules below asks for it.",
        ),
        "exclude": Param(
            ["*_keep"],
            **OPTIONAL,
            title="Never release",
            description="Patterns, one a line. These stay, whatever else holds.",
        ),
        "databases": Param(
            ["default"],
            **PATTERNS,
            minItems=1,
            title="Databases",
            description='One a line; "*" is all of them.',
        ),
        "idle_for": Param(
            None,
            type=["null", "string"],
            pattern=DURATION,
            title="Idle for",
            description="What nobody has searched or queried for so long goes: P7D is seven days. Needs metrics_url.",
        ),
        "older_than": Param(
            "P7D",
            type=["null", "string"],
            pattern=DURATION,
            title="Older than",
            description="What is older goes, by the date in its name: P7D is seven days. With no rule at all, all of them go.",
        ),
        "memory_budget": Param(
            None,
            type=["null", "string"],
            pattern=SIZE,
            title="Memory budget",
            description="The coldest go until what is loaded fits: 64GiB, or 70% of the query nodes' memory.",
        ),
    },
    doc_md=__doc__,
    tags=["milvus"],
):
    plan = MilvusReclaimMemoryOperator(
        task_id="plan",
        collections="{{ params.collections }}",
        exclude="{{ params.exclude }}",
        databases="{{ params.databases }}",
        idle_for="{{ params.idle_for }}",
        older_than="{{ params.older_than }}",
        memory_budget="{{ params.memory_budget }}",
        dry_run=True,
    )
    approve = ApprovalOperator(
        task_id="approve",
        subject="Release these collections from Milvus's memory?",
        body="{{ ti.xcom_pull(task_ids='plan')['markdown'] }}",
        response_timeout=timedelta(days=1),
    )
    release = MilvusReclaimMemoryOperator(
        task_id="release",
        plan="{{ ti.xcom_pull(task_ids='plan')['plan'] }}",
        retries=2,
        retry_delay=timedelta(minutes=5),
    )
    plan >> anything_to_release(plan.output) >> approve >> release
