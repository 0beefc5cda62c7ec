"""Bulk import: a server reads files of rows by itself, as a job.

Milvus 2.3 takes imports over gRPC, one file for each job. Later versions and Zilliz Cloud take them over the REST API v2, one
job for all files. :func:`import_api` asks the server for its version and returns the one that it has.
"""

from __future__ import annotations

from airflow_provider_milvus.bulk_import.grpc_api import GrpcImports
from airflow_provider_milvus.bulk_import.job import Files, ImportApi, Job, ReportedFile
from airflow_provider_milvus.bulk_import.rest_api import RestImports
from airflow_provider_milvus.client.flow import Flow, Rpc
from airflow_provider_milvus.client.reads import is_before, is_lite
from airflow_provider_milvus.exceptions import MilvusUnsupportedError

__all__ = ["Files", "ImportApi", "Job", "ReportedFile", "import_api"]

FIRST_WITH_REST = (2, 4)


def import_api() -> Flow[ImportApi]:
    """The API by which this server takes imports.

    :raises MilvusUnsupportedError: the server is Milvus Lite, which has no bulk import.
    """
    version = yield Rpc("GetVersion")
    if is_lite(version):
        raise MilvusUnsupportedError(
            f"Nothing was imported: this server ({version.version}) has no bulk import. Write the rows with "
            "MilvusUpsertOperator, from the source that they come from."
        )
    return GrpcImports() if is_before(version, FIRST_WITH_REST) else RestImports()
