"""What is in memory and what it costs: a report, biggest first. It changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.arguments import OptionalArgument
from airflow_provider_milvus.kinds import check_databases
from airflow_provider_milvus.operators.base import MilvusOperator
from airflow_provider_milvus.operators.reclaim import in_scope

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.reclaim.memory_report import MemoryReport


class MilvusMemoryReportOperator(MilvusOperator):
    """List every collection in memory with its size, rows, partitions, replicas and aliases, biggest first.

    Sizes are measured by the query nodes where the connection has a ``metrics_url``; elsewhere they are estimated from the
    schema, the rows and the replicas; what is not known is said to be unknown. A dozen calls for each loaded collection at
    most, none for the others.

    Returns ``collections`` (the biggest 200, each a dict), ``totals``, ``warnings``, ``summary`` and ``markdown``.

    :param databases: one, several, or ``"*"`` for all; None: ``database``, or else the connection's. (templated)
    :raises MilvusError: the server does not list its collections.
    """

    databases = OptionalArgument(check_databases)

    def __init__(self, *, databases: str | Sequence[str] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.databases = databases

    def execute(self, context: Context) -> dict[str, object]:
        report = asyncio.run(self._look())
        for warning in report.warnings:
            self.log.warning(warning)
        self.log.info("In memory:\n%s", report.as_table())
        self.log.info(report.as_sentence())
        return report.as_result()

    async def _look(self) -> MemoryReport:
        from airflow_provider_milvus.reclaim.memory_report import MemoryReport
        from airflow_provider_milvus.reclaim.survey import Surveyor

        hook = self.hook()
        databases = in_scope(self.databases, hook.settings.database)
        async with hook.async_client() as client:
            surveyor = Surveyor(client, hook.deadline(), thorough=True)
            survey = await surveyor.look(databases or await surveyor.databases(), hook.metrics())
        warnings = [f"The metrics are not used: {survey.metrics_problem}."] if survey.metrics_problem else []
        return MemoryReport(survey.collections, survey.nodes.memory, warnings)
