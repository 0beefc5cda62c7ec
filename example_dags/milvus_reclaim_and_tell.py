"""Reclaim memory, and tell a team by mail what was released and why. As it stands, it only plans.

1. `reclaim` releases what the rules ask for. With *Dry run* on it changes nothing.
2. When it has ended, Airflow's own notifier sends a mail: the summary is its subject, and the table is in it. A failure is
   told too, with the reason.

The mail goes through Airflow's connection `smtp_default`. Any other notifier takes the same two texts: `summary` is one line,
and `markdown` has the table.
"""

from __future__ import annotations

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG, Param
from airflow.providers.smtp.notifications.smtp import SmtpNotifier

from airflow_provider_milvus.operators.milvus import MilvusReclaimMemoryOperator

RESULT = "ti.xcom_pull(task_ids='reclaim')"

with DAG(
    dag_id="milvus_reclaim_and_tell",
    # Such as "0 3 * * *", once the rules are yours.
    schedule=None,
    start_date=datetime(2024, 1, 1),
    catchup=False,
    max_active_runs=1,
    # So that Params reach the operator as lists and booleans instead of text.
    render_template_as_native_obj=True,
    params={
        "collections": Param(
            ["events_*"],
            type="array",
            items={"type": "string", "minLength": 1},
            minItems=1,
            title="Collections",
            description="Patterns, one a line. These go when the date in their name, such as events_20260131, is old enough.",
        ),
        "older_than": Param(
            "P7D",
            type="string",
            pattern=r"^(any|P(\d+W|\d+D|T\d+[HMS]))$",
            title="Older than",
            description='P7D is seven days, PT36H is 36 hours. "any" is no rule: all of them go.',
        ),
        "to": Param(
            "team@example.com",
            type="string",
            format="email",
            minLength=3,
            title="Tell",
            description="The address that gets the mail.",
        ),
        "dry_run": Param(
            True,
            type="boolean",
            title="Dry run",
            description="Only plan: tell what would be released, and change nothing. Turn it off to release.",
        ),
    },
    doc_md=__doc__,
    tags=["milvus"],
):
    MilvusReclaimMemoryOperator(
        task_id="reclaim",
        collections="{{ params.collections }}",
        older_than="{{ params.older_than }}",
        dry_run="{{ params.dry_run }}",
        on_success_callback=SmtpNotifier(
            from_email="airflow@example.com",
            to="{{ params.to }}",
            subject=f"Milvus: {{{{ {RESULT}['summary'] }}}}",
            html_content=f"<pre>{{{{ {RESULT}['markdown'] | e }}}}</pre>",
        ),
        on_failure_callback=SmtpNotifier(
            from_email="airflow@example.com",
            to="{{ params.to }}",
            subject="Milvus: the reclaim failed",
            html_content="<pre>{{ exception | e }}</pre>",
        ),
    )
