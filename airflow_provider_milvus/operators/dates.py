"""The age of what has a date in its name, which operators count up to the time of their DAG run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.arguments import HasArguments
    from airflow_provider_milvus.reclaim.policy import DateInName


def date_in_name(task: HasArguments, date_format: str, timezone: tzinfo) -> DateInName:
    """What finds the date in a name.

    :raises MilvusInvalidArgumentError: ``date_format`` can never work.
    """
    from airflow_provider_milvus.reclaim.policy import DateInName

    try:
        return DateInName(date_format, timezone)
    except (ValueError, TypeError) as error:
        raise task.wrong(f"date_format {date_format!r}: {error}.") from None


def now_of(context: Context, report: Callable[[str], object]) -> datetime:
    """The run's logical date, or ``run_after`` where it has none; outside a run the present time."""
    import pendulum

    now = context.get("logical_date") or getattr(context.get("dag_run"), "run_after", None)
    if now is None:
        now = pendulum.now("UTC")
        report(f"This is not a DAG run, so ages are counted up to the present time, {now}.")
    return pendulum.instance(now)
