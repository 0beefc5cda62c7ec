"""What is in memory, and how many bytes it takes: a report, biggest first."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.arguments import OptionalArgument
from airflow_provider_milvus.kinds import check_databases
from airflow_provider_milvus.operators.base import MilvusOperator
from airflow_provider_milvus.operators.reclaim_rules import databases_in_scope

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.hooks.milvus import MilvusHook
    from airflow_provider_milvus.reclaim.memory_report import MemoryReport


class MilvusMemoryReportOperator(MilvusOperator):
    """List every collection in memory with its size, rows, partitions, replicas and aliases, biggest first. It only reads.

    All arguments are templates.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusMemoryReportOperator

        report = MilvusMemoryReportOperator(task_id="report", databases="*")

    The query nodes measure the sizes where the connection has a ``metrics_url``; elsewhere they are estimated from the schema,
    the rows and the replicas. A size that is not known is reported as unknown. A run makes four calls for each of the biggest
    200, three for each whose size is estimated (two where the server describes many at once), and a handful for all others.

    Returns ``collections`` (the biggest 200, as dicts), ``totals`` over all, ``warnings``, ``summary`` and ``markdown``.

    :param databases: one database, several, or ``"*"`` for all; by default ``database``, or else the connection's.
    :param timeout: seconds for the whole operation; by default the connection's ``timeout`` (60).
    :raises MilvusError: the server does not list its collections.
    """

    databases = OptionalArgument(check_databases)

    def __init__(self, *, databases: str | Sequence[str] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.take(locals())

    def execute(self, context: Context) -> dict[str, object]:
        hook = self.hook()
        self.log.info("Reporting what is in memory at %s.", hook.settings.uri)
        report = self.look(hook)
        for warning in report.warnings:
            self.log.warning(warning)
        self.log.info("In memory:\n%s", report.as_table())
        self.log_where(hook, report.as_sentence())
        return report.as_result()

    def look(self, hook: MilvusHook) -> MemoryReport:
        """The report of now, without a DAG run."""
        return asyncio.run(self._look(hook, databases_in_scope(self.databases, hook.settings.database)))

    async def _look(self, hook: MilvusHook, databases: list[str] | None) -> MemoryReport:
        from airflow_provider_milvus.reclaim.memory_report import MemoryReport
        from airflow_provider_milvus.reclaim.survey import Surveyor

        async with await hook.shared_client() as client:
            surveyor = Surveyor(client, hook.deadline(), estimate=True, needs_details=lambda name: False)
            survey = await surveyor.look(databases or await surveyor.databases(), hook.metrics())
            report = MemoryReport(survey.collections, survey.nodes.memory, survey.warnings, hook.settings.server)
            named = {state.key: state for state in await asyncio.gather(*map(surveyor.with_parts, report.biggest))}
        report.collections = [named.get(state.key, state) for state in report.collections]
        return report
