"""Bulk import: one small interface, and the two that servers have.

Milvus 2.3 takes imports over gRPC, one file for each task, and from 2.4 on over its REST API v2, one job for all files, as
Zilliz Cloud does. :func:`import_api` asks the server which it is.
"""

from __future__ import annotations

import re

from airflow_provider_milvus.bulk_import.grpc_api import GrpcImports
from airflow_provider_milvus.bulk_import.job import Files, FileSeen, ImportApi, Job
from airflow_provider_milvus.bulk_import.rest_api import RestImports
from airflow_provider_milvus.client.flow import Flow, Rpc
from airflow_provider_milvus.client.reads import is_lite
from airflow_provider_milvus.exceptions import MilvusUnsupportedError

__all__ = ["FileSeen", "Files", "ImportApi", "Job", "import_api"]

FIRST_WITH_REST = (2, 4)


def import_api() -> Flow[ImportApi]:
    """The way in which this server takes imports.

    :raises MilvusUnsupportedError: Milvus Lite, which takes none.
    """
    version = yield Rpc("GetVersion")
    if is_lite(version):
        raise MilvusUnsupportedError(
            f"This server ({version.version}) has no bulk import. Write the rows with MilvusUpsertOperator instead; "
            "it reads the same files."
        )
    found = re.search(r"(\d+)\.(\d+)", version.version)
    # Zilliz Cloud and builds from source may tell no number; neither is that old.
    old = found is not None and tuple(map(int, found.groups())) < FIRST_WITH_REST
    return GrpcImports() if old else RestImports()
