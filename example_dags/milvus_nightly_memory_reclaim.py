"""Every night, take out of Milvus's memory what nobody needs in the morning.

There are two tasks: dated collections go when they are old enough, temporary ones whatever their age. What an alias points to
always stays. Each task logs a table with a reason for every collection of the database and returns the same as data.

Trigger it by hand to try other patterns and rules; with *dry run* it only says what it would do. One of *older than*,
*idle for* and *memory budget* that asks for a release is enough. *Idle for* needs ``metrics_url`` in the connection.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_milvus.operators.milvus import MilvusReclaimMemoryOperator

PATTERNS = {"type": "array", "items": {"type": "string", "minLength": 1}}
OPTIONAL = {**PATTERNS, "type": ["null", "array"]}
# The form shows them to whoever slips, so they are short.
DURATION = r"^P(\d+W|\d+D|T\d+[HMS])$"
SIZE = r"^\d+(\.\d+)? ?(%|[KMGT]i?B)$"

with DAG(
    dag_id="milvus_nightly_memory_reclaim",
    schedule="0 3 * * *",
    start_date=datetime(2024, 1, 1),
    catchup=False,
    max_active_runs=1,
    # A retry looks anew and does what is left; five minutes later a server that was restarted is back.
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    # Params then reach the operators as lists, numbers and booleans instead of text.
    render_template_as_native_obj=True,
    params={
        "collections": Param(
            ["events_*"],
            **PATTERNS,
            minItems=1,
            title="Dated collections",
            description="Patterns, one a line. These go when the date in their name, such as events_20260131, is old enough.",
        ),
        "older_than": Param(
            "P7D",
            type=["null", "string"],
            pattern=DURATION,
            title="Older than",
            description="P7D is seven days, PT36H one and a half. With this and the next two empty, they go at any age.",
        ),
        "idle_for": Param(
            None,
            type=["null", "string"],
            pattern=DURATION,
            title="Idle for",
            description="They also go when nobody has searched or queried them for so long, such as P7D. Needs metrics_url.",
        ),
        "memory_budget": Param(
            None,
            type=["null", "string"],
            pattern=SIZE,
            title="Memory budget",
            description="The coldest of them also go, until what is loaded fits: 64GiB, or 70% of the query nodes' memory.",
        ),
        "databases": Param(
            None,
            **OPTIONAL,
            title="Databases",
            description='Those of the dated collections, one a line; "*" is all. Empty: the connection\'s own.',
        ),
        "temporary": Param(
            ["tmp_*"],
            **PATTERNS,
            minItems=1,
            title="Temporary collections",
            description="Patterns, one a line. These go whatever their age.",
        ),
        "exclude": Param(
            ["*_keep"],
            **OPTIONAL,
            title="Never release",
            description="Patterns, one a line. These stay, whatever else holds.",
        ),
        "max_releases": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            title="At most",
            description="Releases per task; the coldest go first. Empty: no limit.",
        ),
        "dry_run": Param(
            False,
            type="boolean",
            title="Dry run",
            description="Only plan: log and return what would be released, and change nothing.",
        ),
    },
    doc_md=__doc__,
    tags=["milvus"],
):
    MilvusReclaimMemoryOperator(
        task_id="release_old",
        collections="{{ params.collections }}",
        older_than="{{ params.older_than }}",
        idle_for="{{ params.idle_for }}",
        memory_budget="{{ params.memory_budget }}",
        databases="{{ params.databases }}",
        exclude="{{ params.exclude }}",
        max_releases="{{ params.max_releases }}",
        dry_run="{{ params.dry_run }}",
    )
    MilvusReclaimMemoryOperator(
        task_id="release_temporary",
        collections="{{ params.temporary }}",
        exclude="{{ params.exclude }}",
        max_releases="{{ params.max_releases }}",
        dry_run="{{ params.dry_run }}",
    )
