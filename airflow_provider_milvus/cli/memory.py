"""``memory``: what is in memory, and how many bytes it takes; the report of ``MilvusMemoryReportOperator``."""

from __future__ import annotations

from argparse import Namespace

from airflow.cli.cli_config import ActionCommand

from airflow_provider_milvus.cli.command import DATABASES, FINE, OUTPUT, SERVER, command, conn_id_of, quiet, show, tell


@command
def memory(given: Namespace) -> int:
    """Show the collections in memory, biggest first."""
    from airflow_provider_milvus.operators.milvus import MilvusMemoryReportOperator

    with quiet():
        task = MilvusMemoryReportOperator(task_id="memory", milvus_conn_id=conn_id_of(given), databases=given.databases)
        report = task.look(task.hook())
    result = report.as_result()
    del result["markdown"]
    show(given, report.as_rows(), result)
    tell(*report.warnings, report.as_sentence())
    return FINE


COMMAND = ActionCommand(
    name="memory",
    help="What is in memory, and how many bytes it takes",
    description="List the 200 biggest collections in memory with their size, rows, replicas and aliases. It only reads.",
    func=memory,
    args=(*SERVER, DATABASES, OUTPUT),
)
