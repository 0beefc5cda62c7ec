"""Every night, release the collections that nobody needs in the morning. As it stands, it only plans.

Two tasks run side by side. `release_old` takes the dated collections that are old enough. `release_temporary` takes the
temporary ones, whatever their age. A collection that an alias points to always stays. Each task logs a table that gives
a reason for every collection, and returns the same as data.

**See what it would do.** Trigger it and read the table in the log of each task. Try other patterns and rules in the
form. A dated collection goes when one of *Older than*, *Idle for* and *Memory budget* asks for it.

**Let it release.** Turn *Dry run* off in the form for one run. For every night, set the default of `dry_run` in this
file to False.

**Unpause on trigger.** The form unpauses the DAG, even when Airflow then refuses the form. The scheduler starts the
last missed 03:00 run at once. That run takes the defaults of this file, not your form, and your own run waits until it
has ended. While the default of *Dry run* is on, that run changes nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_milvus.operators.milvus import MilvusReclaimMemoryOperator

# An empty field is refused: it must not widen what is released. "any" and "-" are the words for no rule.
PATTERNS = {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1}
# The form shows these to whoever mistypes, so they are short.
DURATION = r"^(any|P(\d+W|\d+D|T\d+[HMS]))$"
SIZE = r"^(any|\d+(\.\d+)? ?(%|[KMGT]i?B))$"
COUNT = r"^(any|[1-9]\d*)$"

with DAG(
    dag_id="milvus_nightly_memory_reclaim",
    schedule="0 3 * * *",
    start_date=datetime(2024, 1, 1),
    catchup=False,
    max_active_runs=1,
    # A retry looks anew and does what is left. Five minutes later, a server that restarted is back.
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    # So that Params reach the operators as lists and booleans instead of text.
    render_template_as_native_obj=True,
    params={
        "collections": Param(
            ["events_*"],
            **PATTERNS,
            title="Dated collections",
            description="Patterns, one a line. These go when the date in their name, such as events_20260131, is old enough.",
        ),
        "older_than": Param(
            "P7D",
            type="string",
            pattern=DURATION,
            title="Older than",
            description='P7D is seven days, PT36H is 36 hours. "any" is no rule. Without any rule, all of them go.',
        ),
        "idle_for": Param(
            "any",
            type="string",
            pattern=DURATION,
            title="Idle for",
            description="Those that nobody has searched or queried for this long go too. Needs metrics_url in the connection.",
        ),
        "memory_budget": Param(
            "any",
            type="string",
            pattern=SIZE,
            title="Memory budget",
            description="The coldest go too, until the rest fits: 64GiB, or 70% of the query nodes' memory.",
        ),
        "temporary": Param(
            ["tmp_*"],
            **PATTERNS,
            title="Temporary collections",
            description="Patterns, one a line. These go whatever their age.",
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
        "max_releases": Param(
            "any",
            type="string",
            pattern=COUNT,
            title="At most",
            description='The most that each task releases; the coldest go first. "any" is no limit.',
        ),
        # Unpausing starts a run with these defaults at once, so the default must not release anything.
        "dry_run": Param(
            True,
            type="boolean",
            title="Dry run",
            description="Only plan: log and return what would be released, and change nothing. Turn it off to release.",
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
        exclude="{{ params.exclude }}",
        databases="{{ params.databases }}",
        max_releases="{{ params.max_releases }}",
        dry_run="{{ params.dry_run }}",
    )
    MilvusReclaimMemoryOperator(
        task_id="release_temporary",
        collections="{{ params.temporary }}",
        exclude="{{ params.exclude }}",
        databases="{{ params.databases }}",
        max_releases="{{ params.max_releases }}",
        dry_run="{{ params.dry_run }}",
    )
