"""Bulk import: a server reads files of rows by itself, as a job.

Milvus 2.3 takes imports over gRPC, one file for each job. Later versions and Zilliz Cloud take them over the REST API v2, one
job for all files. :func:`import_api` asks the server for its version and returns the one that it has.
"""

from __future__ import annotations

from airflow_provider_milvus.bulk_import.grpc_api import GrpcImports
from airflow_provider_milvus.bulk_import.job import ImportApi
from airflow_provider_milvus.bulk_import.rest_api import RestImports
from airflow_provider_milvus.client.flow import Flow
from airflow_provider_milvus.client.reads import is_before, is_lite, version_for
from airflow_provider_milvus.exceptions import MilvusUnsupportedError

FIRST_WITH_REST = (2, 4)


def import_api(collection_name: str) -> Flow[ImportApi]:
    """The API by which this server takes imports.

    :raises MilvusUnsupportedError: the server is Milvus Lite, which has no bulk import.
    """
    version = yield from version_for(collection_name)
    if is_lite(version):
        raise MilvusUnsupportedError(
            f"Nothing was imported: this server ({version.version}) has no bulk import. Write the rows with "
            "MilvusUpsertOperator, from the source that they come from."
        )
    return GrpcImports() if is_before(version, FIRST_WITH_REST) else RestImports()
