"""The morning after the nightly reclaim: reload exactly what it released."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus import kinds
from airflow_provider_milvus.arguments import Argument, OptionalArgument
from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError, MilvusRestoreError
from airflow_provider_milvus.operators.base import HOUR, MilvusOperator, failed_in_part

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.hooks.milvus import MilvusHook
    from airflow_provider_milvus.reclaim.restore import ReloadEntry, ReloadReport


class MilvusRestoreLoadOperator(MilvusOperator):
    """Reload exactly what a reclaim run released, in order of priority; done when the server says Loaded of each.

    All arguments are templates.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusRestoreLoadOperator

        reload = MilvusRestoreLoadOperator(
            task_id="reload", reclaim_dag_id="nightly_reclaim", reclaim_task_id="reclaim", first=["*_search"]
        )

    Give ``restore_set``, or ``reclaim_dag_id`` and ``reclaim_task_id``. Each collection is loaded in the database in which it
    was released. A collection that is in memory already stays as it is, and a failed load does not stop the others.

    Returns ``loaded``, ``already`` (in memory before), ``skipped`` and ``failed``: lists of entries with ``database``,
    ``collection``, ``state`` and ``reason``. When a load has failed, the result is pushed to XCom before the task fails. A
    retry looks again and loads the rest.

    :param restore_set: the result of :class:`MilvusReclaimMemoryOperator`: ``reclaim.output``, or a template such as
        ``"{{ ti.xcom_pull(task_ids='reclaim') }}"`` with ``render_template_as_native_obj=True`` on the DAG.
    :param reclaim_dag_id: take what a task of this DAG returned in the DAG's last successful run, the one with the latest
        logical date. It works on Airflow 2.11, and from 3.1 on; Airflow 3 does not find runs without a logical date.
    :param reclaim_task_id: the task, with ``reclaim_dag_id``.
    :param max_parallel: the greatest number of loads under way at once; 1 by default.
    :param first: patterns of names to load first, in this order; case matters. Of the collections that match the same pattern,
        or none, the one that was released last comes first. By default there are no patterns.
    :param max_memory_percent: stop when the query nodes would use more than this share of their memory, in per cent: what they
        use, with the size of the next collection where the reclaim has reported it. The rest is reported as failed, with "no
        head-room". Milvus Lite does not report its memory, so there everything is loaded. By default there is no limit.
    :param if_missing: of a collection that does not exist any more: ``"fail"`` at the end, the default, or ``"skip"``. A
        missing database always fails.
    :param load_timeout: seconds for one load; 3600 by default.
    :param timeout: seconds for the whole run; 3600 by default.
    :param poll_interval: seconds between two looks, at most; 2 by default. The first looks come sooner.
    :param stall_timeout: give a load up when its progress stands still for this number of seconds; by default only
        ``load_timeout`` ends it.
    :raises MilvusInvalidArgumentError: there is no restore set, or it comes from a dry run. Nothing was loaded.
    :raises MilvusRestoreError: at least one collection is not back. The others are; the server goes on with a load that was
        late. If no retry can mend any of the failures, it is the first one's own kind, such as MilvusAuthenticationError.
    """

    restore_set = OptionalArgument(kinds.take_any)
    reclaim_dag_id = OptionalArgument(kinds.check_text)
    reclaim_task_id = OptionalArgument(kinds.check_text)
    max_parallel = Argument(kinds.whole_number(1))
    first = OptionalArgument(kinds.check_patterns)
    max_memory_percent = OptionalArgument(kinds.check_percent)
    if_missing = Argument(kinds.one_of("fail", "skip"))
    load_timeout = Argument(kinds.check_seconds)
    poll_interval = Argument(kinds.check_seconds)
    stall_timeout = OptionalArgument(kinds.check_seconds)

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
        self.take(locals())
        of_a_run = sum(map(self.is_given, ("reclaim_dag_id", "reclaim_task_id")))
        if of_a_run != (0 if self.is_given("restore_set") else 2):
            raise self.wrong("Give either restore_set, or reclaim_dag_id and reclaim_task_id.")

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.reclaim.restore import ReloadReport, by_priority

        hook = self.hook()
        entries = by_priority(self._entries(context), self.first or ())
        report = ReloadReport()
        if entries:
            # It also fetches the connection, here where there is no event loop yet that this would block.
            self.log.info("Reloading %s collections at %s.", len(entries), hook.settings.uri)
            asyncio.run(self._reload(hook, entries, report))
        self.log.info("Reload:\n%s", report.as_table())
        self.log_where(hook, report.as_sentence())
        result = report.as_result()
        if report.failed:
            self.push_result(context, result)
            raise failed_in_part(MilvusRestoreError, report, "Not back", hook)
        return result

    async def _reload(self, hook: MilvusHook, entries: list[ReloadEntry], report: ReloadReport) -> None:
        from airflow_provider_milvus.reclaim.restore_run import Reloads

        async with await hook.shared_client() as client:
            reloads = Reloads(
                client,
                hook.deadline(),
                report,
                load_timeout=self.load_timeout,
                poll_interval=self.poll_interval,
                stall_timeout=self.stall_timeout,
                max_memory_percent=self.max_memory_percent,
                skip_missing=self.if_missing == "skip",
                report=self.log.info,
            )
            await reloads.carry_out(entries, self.max_parallel)

    def _entries(self, context: Context) -> list[ReloadEntry]:
        from airflow_provider_milvus.reclaim.restore import read_restore_set

        source, restore_set = "restore_set", self.restore_set
        if restore_set is None:
            source = f"what task {self.reclaim_task_id!r} of DAG {self.reclaim_dag_id!r} returned in its last successful run"
            restore_set = _result_of_last_run(context, str(self.reclaim_dag_id), str(self.reclaim_task_id))
        try:
            entries = read_restore_set(restore_set)
        except ValueError as error:
            raise MilvusInvalidArgumentError(f"Nothing was loaded: {source} is no restore set: {error}.") from None
        for entry in entries:
            kinds.check_name("the database in restore_set", entry.database)
            kinds.check_name("the collection in restore_set", entry.collection)
        return entries


def _result_of_last_run(context: Context, dag_id: str, task_id: str) -> Any:
    """What the task returned in the DAG's last successful run.

    :raises MilvusInvalidArgumentError: there is no such run, or the task returned nothing. Nothing was loaded.
    """
    try:
        from airflow.sdk.execution_time.comms import GetPreviousDagRun
    except ImportError:
        run_id, result = _result_of_last_run_before_airflow_3(dag_id, task_id)
    else:
        from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

        # xcom_pull(include_prior_dates=True) looks for a run of *this* DAG among the other's, and finds none.
        request = GetPreviousDagRun(dag_id=dag_id, logical_date=datetime.now(UTC), state="success")
        answer: Any = SUPERVISOR_COMMS.send(request)
        last_run = getattr(answer, "dag_run", None)
        run_id = None if last_run is None else last_run.run_id
        result = context["ti"].xcom_pull(task_ids=task_id, dag_id=dag_id, run_id=run_id) if run_id else None
    if run_id is None:
        raise MilvusInvalidArgumentError(f"Nothing was loaded: DAG {dag_id!r} has no successful run.")
    if result is None:
        raise MilvusInvalidArgumentError(
            f"Nothing was loaded: task {task_id!r} returned nothing in run {run_id!r} of DAG {dag_id!r}."
        )
    return result


def _result_of_last_run_before_airflow_3(dag_id: str, task_id: str) -> tuple[str | None, Any]:
    # A task of Airflow 2 may ask Airflow's database.
    from airflow.models import DagRun, XCom
    from airflow.utils.state import DagRunState

    runs = DagRun.find(dag_id=dag_id, state=DagRunState.SUCCESS)
    if not runs:
        return None, None
    run_id = max(runs, key=lambda run: run.execution_date).run_id
    return run_id, XCom.get_one(run_id=run_id, dag_id=dag_id, task_id=task_id)
