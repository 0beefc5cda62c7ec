"""Plan which collections to release from Milvus's memory, ask a person, and release exactly what the person approved.

1. `plan` is a dry run. It changes nothing and gives a reason for every collection.
2. `approve` shows the plan under *Required Actions*. Somebody approves or rejects it there. Without an answer within a
   day, nothing is released.
3. `release` releases what was approved. It leaves alone what has changed since then: a collection that was searched,
   has got an alias, or was dropped and made anew. Its result names those.

The DAG has no schedule: it runs when you trigger it. It needs Airflow 3.1 for the approval, and `metrics_url` in the
connection for *Idle for*.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task
from airflow.providers.standard.operators.hitl import ApprovalOperator

from airflow_provider_milvus.operators.milvus import MilvusReclaimMemoryOperator

# An empty field is refused: it must not widen what is released. "any" and "-" are the words for no rule.
PATTERNS = {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1}
# The form shows these to whoever mistypes, so they are short.
DURATION = r"^(any|P(\d+W|\d+D|T\d+[HMS]))$"
SIZE = r"^(any|\d+(\.\d+)? ?(%|[KMGT]i?B))$"


@task.short_circuit
def anything_to_release(result: dict[str, Any]) -> bool:
    return bool(result["plan"])


with DAG(
    dag_id="milvus_reclaim_with_approval",
    # Whoever triggers it waits for the question.
    schedule=None,
    start_date=datetime(2024, 1, 1),
    max_active_runs=1,
    # So that Params reach the operators as lists, and the plan as data instead of text.
    render_template_as_native_obj=True,
    params={
        "collections": Param(
            ["*"],
            **PATTERNS,
            title="Collections",
            description="Patterns, one a line. Of these, a collection goes when one of the three rules below asks for it.",
        ),
        "exclude": Param(
            ["*_keep"],
            **PATTERNS,
            title="Never release",
            description='Patterns, one a line. These always stay. A single "-" is no pattern.',
        ),
        "databases": Param(
            ["default"],
            **PATTERNS,
            title="Databases",
            description='Names, one a line. "*" is all databases.',
        ),
        "older_than": Param(
            "P7D",
            type="string",
            pattern=DURATION,
            title="Older than",
            description='By the date in the name. P7D is seven days; "any" is no rule. Without any rule, all of them go.',
        ),
        "idle_for": Param(
            "any",
            type="string",
            pattern=DURATION,
            title="Idle for",
            description="Those that nobody has searched or queried for this long go. Needs metrics_url in the connection.",
        ),
        "memory_budget": Param(
            "any",
            type="string",
            pattern=SIZE,
            title="Memory budget",
            description="The coldest go until the rest fits: 64GiB, or 70% of the query nodes' memory.",
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
        older_than="{{ params.older_than }}",
        idle_for="{{ params.idle_for }}",
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
