"""The morning after the nightly reclaim: load exactly what it released."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.arguments import Argument, OptionalArgument
from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError, MilvusRestoreError
from airflow_provider_milvus.kinds import (
    check_name,
    check_patterns,
    check_percent,
    check_seconds,
    check_text,
    one_of,
    take_any,
    whole_number,
)
from airflow_provider_milvus.operators.base import HOUR, MilvusOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.hooks.milvus import MilvusHook
    from airflow_provider_milvus.reclaim.restore import ReloadEntry, ReloadReport


class MilvusRestoreLoadOperator(MilvusOperator):
    """Load exactly what a reclaim run released, in order of priority, and verify each.

    The set comes from ``restore_set``, or from ``reclaim_dag_id`` and ``reclaim_task_id``: give one of both. What is in memory
    already is left as it is, and one failure stops no other. Each collection is loaded in the database it was released in.

    Returns ``{"loaded": […], "already": […], "skipped": […], "failed": […]}``, each entry with ``database``, ``collection``,
    ``state`` and ``reason``. The result is pushed to XCom before the task fails. A retry looks anew and does what is left.

    :param restore_set: what :class:`MilvusReclaimMemoryOperator` returned: ``reclaim.output``, or a template such as
        ``"{{ ti.xcom_pull(task_ids='reclaim') }}"`` with ``render_template_as_native_obj=True`` on the DAG. (templated)
    :param reclaim_dag_id: take what that DAG's task returned in its last successful run, the one with the latest logical
        date. Airflow 3 from 3.1 on, and 2.11; in Airflow 3 runs without a logical date are not found. (templated)
    :param reclaim_task_id: the task, with ``reclaim_dag_id``. (templated)
    :param max_parallel: loads under way at once.
    :param first: patterns of names to load first, in this order; case matters. Of what matches the same pattern, or none, the
        hottest comes first: what the reclaim released last. (templated)
    :param max_memory_percent: before each load, stop when the query nodes use more than so much of their memory, the
        collection's own size counted in where the reclaim told it. What is left is reported as failed, with "no head-room".
        Milvus Lite does not tell its memory; there all is loaded. None: no limit.
    :param if_missing: ``"fail"`` at the end, or ``"skip"``, for a collection that does not exist any more. A missing database
        always fails.
    :param load_timeout: seconds for one load.
    :param timeout: seconds for the whole run.
    :param poll_interval: seconds between two looks, at most; it looks more often at the beginning.
    :param stall_timeout: give a load up when its progress stands still for so many seconds; None: ``load_timeout`` ends it.
    :raises MilvusInvalidArgumentError: there is no restore set, or it comes from a dry run. Nothing was loaded.
    :raises MilvusRestoreError: at least one collection is not back; the others are. A load that was not through in time is
        left to the server.
    """

    timeout = Argument(check_seconds)
    restore_set = OptionalArgument(take_any)
    reclaim_dag_id = OptionalArgument(check_text)
    reclaim_task_id = OptionalArgument(check_text)
    max_parallel = Argument(whole_number(1))
    first = OptionalArgument(check_patterns)
    max_memory_percent = OptionalArgument(check_percent)
    if_missing = Argument(one_of("fail", "skip"))
    load_timeout = Argument(check_seconds)
    poll_interval = Argument(check_seconds)
    stall_timeout = OptionalArgument(check_seconds)

    def __init__(
        self,
        *,
        restore_set: Any = None,
        reclaim_dag_id: str | None = None,
        reclaim_task_id: str | None = None,
        max_parallel: int = 1,
        first: str | Sequence[str] | None = None,
        max_memory_percent: float | None = None,
        if_missing: str = "fail",
        load_timeout: float | timedelta = HOUR,
        timeout: float | timedelta = HOUR,
        poll_interval: float | timedelta = 2.0,
        stall_timeout: float | timedelta | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(timeout=timeout, **kwargs)
        self.restore_set = restore_set
        self.reclaim_dag_id = reclaim_dag_id
        self.reclaim_task_id = reclaim_task_id
        self.max_parallel = max_parallel
        self.first = first
        self.max_memory_percent = max_memory_percent
        self.if_missing = if_missing
        self.load_timeout = load_timeout
        self.poll_interval = poll_interval
        self.stall_timeout = stall_timeout
        by_run = sum(map(self.is_given, ("reclaim_dag_id", "reclaim_task_id")))
        if by_run != (0 if self.is_given("restore_set") else 2):
            raise self.wrong("Give either restore_set, or reclaim_dag_id and reclaim_task_id.")

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.reclaim.restore import ReloadReport, by_priority

        hook = self.hook()
        wanted = by_priority(self._wanted(context), self.first or ())
        outcome = ReloadReport()
        if wanted:
            # The connection is fetched here, before there is an event loop that this would block.
            self.log.info("Restoring %d collections. %s.", len(wanted), hook.settings.where)
            asyncio.run(self._restore(hook, wanted, outcome))
        self.log.info("Restore:\n%s", outcome.as_table())
        self.log.info(outcome.as_sentence())
        result = outcome.as_result()
        if outcome.failed:
            task_instance = context.get("ti")
            if task_instance is not None:
                task_instance.xcom_push(key="return_value", value=result)
            raise MilvusRestoreError(
                f"{outcome.as_sentence()} Not back: "
                + "; ".join(f"{each['collection']}: {each['reason']}" for each in outcome.failed[:5])
            )
        return result

    async def _restore(self, hook: MilvusHook, wanted: list[ReloadEntry], outcome: ReloadReport) -> None:
        from airflow_provider_milvus.reclaim.restore_run import Reloads

        async with hook.async_client() as client:
            restores = Reloads(
                client,
                hook.deadline(),
                outcome,
                load_timeout=self.load_timeout,
                poll_interval=self.poll_interval,
                stall_timeout=self.stall_timeout,
                max_memory_percent=self.max_memory_percent,
                skip_missing=self.if_missing == "skip",
                report=self.log.info,
            )
            await restores.carry_out(wanted, self.max_parallel)

    def _wanted(self, context: Context) -> list[ReloadEntry]:
        from airflow_provider_milvus.reclaim.restore import read_restore_set

        source, given = "restore_set", self.restore_set
        if given is None:
            source = f"What task {self.reclaim_task_id!r} of DAG {self.reclaim_dag_id!r} returned in its last successful run"
            given = _returned(context, str(self.reclaim_dag_id), str(self.reclaim_task_id))
        try:
            wanted = read_restore_set(given)
        except ValueError as error:
            raise MilvusInvalidArgumentError(f"{source} is no restore set: {error}. Nothing was loaded.") from None
        for each in wanted:
            check_name("the database in restore_set", each.database)
            check_name("the collection in restore_set", each.collection)
        return wanted


def _returned(context: Context, dag_id: str, task_id: str) -> Any:
    """What the task returned in the DAG's last successful run.

    :raises MilvusInvalidArgumentError: there is no such run, or it returned nothing.
    """
    try:
        from airflow.sdk.execution_time.comms import GetPreviousDagRun
    except ImportError:
        run_id, value = _returned_before_airflow_3(dag_id, task_id)
    else:
        from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

        # xcom_pull(include_prior_dates=True) looks for the run of *this* DAG among the other's, and finds nothing.
        asked = GetPreviousDagRun(dag_id=dag_id, logical_date=datetime.now(UTC), state="success")
        answer: Any = SUPERVISOR_COMMS.send(asked)
        found = getattr(answer, "dag_run", None)
        run_id = found.run_id if found is not None else None
        value = context["ti"].xcom_pull(task_ids=task_id, dag_id=dag_id, run_id=run_id) if run_id else None
    if run_id is None:
        raise MilvusInvalidArgumentError(f"DAG {dag_id!r} has no successful run to restore from. Nothing was loaded.")
    if value is None:
        raise MilvusInvalidArgumentError(
            f"Task {task_id!r} returned nothing in run {run_id!r} of DAG {dag_id!r}. Nothing was loaded."
        )
    return value


def _returned_before_airflow_3(dag_id: str, task_id: str) -> tuple[str | None, Any]:
    # There a task may ask the database.
    from airflow.models import DagRun, XCom
    from airflow.utils.state import DagRunState

    found = DagRun.find(dag_id=dag_id, state=DagRunState.SUCCESS)
    if not found:
        return None, None
    run_id = max(found, key=lambda run: run.execution_date).run_id
    return run_id, XCom.get_one(run_id=run_id, dag_id=dag_id, task_id=task_id)
