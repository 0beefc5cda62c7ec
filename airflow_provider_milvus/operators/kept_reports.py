"""Where the report of the reclaims of a connection is kept: one Airflow Variable for each connection, and no secret in it.

Airflow cannot read and write a Variable in one step, and tasks that reclaim side by side end at about the same time. So a task
looks whether its report is still there, a moment after it has written it.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.operators.run_notes import shorten

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.reclaim.inventory import CollectionState
    from airflow_provider_milvus.reclaim.kept_report import KeptReport, ReclaimOf
    from airflow_provider_milvus.reclaim.report import ReclaimReport

PREFIX = "milvus_reclaims."
LOOK_AFTER = 0.3
"""Seconds after which a task looks whether another one has overwritten its report: longer than that takes to read and write."""
TRIES = 3

log = logging.getLogger(__name__)


def key_of(conn_id: str) -> str:
    """The name of the Variable."""
    return shorten(f"{PREFIX}{conn_id}")


def read_report(conn_id: str) -> KeptReport:
    """What a task can read of the last reclaims; empty when there were none, or when it cannot be read."""
    from airflow.providers.common.compat.sdk import Variable

    from airflow_provider_milvus.reclaim.kept_report import KeptReport

    key = key_of(conn_id)
    try:
        # Airflow takes what it reads as JSON itself for secrets, and warns in the log that short ones are not masked.
        value = Variable.get(key, None)
        return KeptReport() if value is None else KeptReport.read(json.loads(value))
    except ValueError as error:
        log.warning("The Airflow Variable %r is not used: %s.", key, error)
        return KeptReport()


def keep_report(
    context: Context,
    conn_id: str,
    report: ReclaimReport,
    seen: Mapping[tuple[str, str], CollectionState],
    *,
    in_scope: Callable[[str], bool] | None,
    databases: Collection[str],
) -> None:
    """Add a run to what is kept."""

    def add(kept: KeptReport, run: ReclaimOf) -> None:
        kept.add(run, report, seen, in_scope=in_scope, databases=databases)

    _keep(context, conn_id, "reclaim", add)


def keep_backtest(context: Context, conn_id: str, result: Mapping[str, Any]) -> None:
    """Keep the last backtest."""
    _keep(context, conn_id, "backtest", lambda kept, run: kept.add_backtest(run, result))


def _keep(context: Context, conn_id: str, what: str, add: Callable[[KeptReport, ReclaimOf], None]) -> None:
    """Outside a DAG run nothing is kept; that it cannot be kept is only logged."""
    from airflow.providers.common.compat.sdk import Variable

    from airflow_provider_milvus.reclaim.kept_report import ReclaimOf

    task_instance, run_id = context.get("ti"), str(context.get("run_id") or "")
    if task_instance is None or not run_id:
        return
    run = ReclaimOf(datetime.now(UTC), task_instance.dag_id, task_instance.task_id, run_id)
    try:
        for _ in range(TRIES):
            kept = read_report(conn_id)
            add(kept, run)
            description = f"The last reclaims of {conn_id}, kept by airflow-provider-milvus"
            Variable.set(key_of(conn_id), kept.as_value(), description=description, serialize_json=True)
            time.sleep(LOOK_AFTER)
            if read_report(conn_id).has(run):
                return
        log.warning(
            "The report of this %s was not kept for the Milvus page: other tasks have overwritten it %d times.", what, TRIES
        )
    except Exception as error:  # noqa: BLE001 - the work is done, whether Airflow's API server is there or not.
        log.warning("The report of this %s was not kept for the Milvus page; the %s itself is done: %s", what, what, error)
