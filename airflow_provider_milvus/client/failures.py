"""What a failed call means for the user's thing, in words.

Every call of the Milvus protocol and of the REST API that this package makes has a sentence here. A user's own condition may
make other calls, and a user's own code calls methods of pymilvus: the sentence about these names the call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_milvus.exceptions import (
    MilvusAuthenticationError,
    MilvusError,
    MilvusPermissionError,
    MilvusUnavailableError,
)

FAILURES = {
    "AlterAlias": "Alias {alias!r} {was_not} pointed to collection {collection_name!r}",
    "AlterCollection": "Collection {collection_name!r} {was_not} altered",
    "AlterDatabase": "Database {db_name!r} {was_not} altered",
    "BatchDescribeCollection": "The collections could not be described",
    "CheckHealth": "The server's health could not be read",
    "Connect": "The connection was not made",
    "CreateAlias": "Alias {alias!r} {was_not} created for collection {collection_name!r}",
    "CreateCollection": "Collection {collection_name!r} {was_not} created",
    "CreateDatabase": "Database {db_name!r} {was_not} created",
    "CreateIndex": "The index of field {field_name!r} of collection {collection_name!r} {was_not} created",
    "CreatePartition": "Partition {partition_name!r} of collection {collection_name!r} {was_not} created",
    "CreateSnapshot": "Snapshot {name!r} of collection {collection_name!r} {was_not} created",
    "Delete": "A batch of rows {was_not} deleted from collection {collection_name!r}",
    "DescribeAlias": "Alias {alias!r} could not be looked up",
    "DescribeCollection": "Collection {collection_name!r} could not be described",
    "DescribeDatabase": "Database {db_name!r} could not be described",
    "DescribeIndex": "The indexes of collection {collection_name!r} could not be described",
    "DescribeSnapshot": "Snapshot {name!r} of collection {collection_name!r} could not be described",
    "DropAlias": "Alias {alias!r} {was_not} dropped",
    "DropCollection": "Collection {collection_name!r} {was_not} dropped",
    "DropDatabase": "Database {db_name!r} {was_not} dropped",
    "DropIndex": "Index {index_name!r} of collection {collection_name!r} {was_not} dropped",
    "DropPartition": "Partition {partition_name!r} of collection {collection_name!r} {was_not} dropped",
    "Flush": "The flush of collection {collection_names[0]!r} {was_not} begun",
    "GetCollectionStatistics": "The number of rows of collection {collection_name!r} could not be read",
    "GetCompactionState": "The state of compaction {compactionID} could not be read",
    "GetFlushState": "The state of the flush of collection {collection_name!r} could not be read",
    "GetLoadState": "The load state of collection {collection_name!r} could not be read",
    "GetLoadingProgress": "The load progress of collection {collection_name!r} could not be read",
    "GetMetrics": "The server's nodes could not be listed",
    "GetPartitionStatistics": "The number of rows of partition {partition_name!r} could not be read",
    "GetPersistentSegmentInfo": "The segments of collection {collectionName!r} on storage could not be listed",
    "GetQuerySegmentInfo": "The segments of collection {collectionName!r} in memory could not be listed",
    "GetReplicas": "The replicas of collection {collection_name!r} could not be listed",
    "GetRestoreSnapshotState": "The state of snapshot restore {job_id} could not be read",
    "GetVersion": "The server's version could not be read",
    "HybridSearch": "Collection {collection_name!r} could not be searched",
    "Import": "The import into collection {collection_name!r} {was_not} begun",
    "Insert": "A batch of rows {was_not} inserted into collection {collection_name!r}",
    "ListAliases": "The aliases{of_collection} could not be listed",
    "ListDatabases": "The databases could not be listed",
    "ListImportTasks": "The import jobs of collection {collection_name!r} could not be listed",
    "ListPrivilegeGroups": "The privilege groups could not be read",
    "ListSnapshots": "The snapshots of collection {collection_name!r} could not be listed",
    "LoadCollection": "The load of collection {collection_name!r} {was_not} begun",
    "LoadPartitions": "The load of partitions {partitions} of collection {collection_name!r} {was_not} begun",
    "ManualCompaction": "The compaction of collection {collection_name!r} {was_not} begun",
    "Query": "Collection {collection_name!r} could not be queried",
    "ReleaseCollection": "Collection {collection_name!r} {was_not} released",
    "ReleasePartitions": "Partitions {partitions} of collection {collection_name!r} {were_not} released",
    "RenameCollection": "Collection {oldName!r} {was_not} renamed to {newName!r}",
    "RestoreSnapshot": "The restore of snapshot {name!r} into collection {target_collection_name!r} {was_not} begun",
    "SelectGrant": "The privileges of role {entity[role][name]!r} could not be read",
    "SelectUser": "The roles of user {user[name]!r} could not be read",
    "Search": "Collection {collection_name!r} could not be searched",
    "ShowCollections": "The collections{of_database} could not be listed",
    "ShowPartitions": "The partitions of collection {collection_name!r} could not be listed",
    "TruncateCollection": "Collection {collection_name!r} {was_not} emptied",
    "Upsert": "A batch of rows {was_not} upserted into collection {collection_name!r}",
    "jobs/import/create": "The import into collection {collectionName!r} {was_not} begun",
    "jobs/import/describe": "The state of import job {jobId} could not be read",
    "jobs/import/get_progress": "The state of import job {jobId} could not be read",
    "jobs/import/list": "The import jobs of collection {collectionName!r} could not be listed",
}


def failure_in_words(name: str, fields: Mapping[str, Any], *, certain: bool) -> str:
    """``Collection 'docs' was not released``, or ``may not have been released`` where that is not ``certain``."""
    was_not, were_not = ("was not", "were not") if certain else ("may not have been",) * 2
    partitions = ", ".join(map(repr, fields.get("partition_names") or ()))
    of_collection = f" of collection {fields['collection_name']!r}" if "collection_name" in fields else ""
    of_database = f" of database {fields['db_name']!r}" if "db_name" in fields else ""
    words = {
        "was_not": was_not,
        "were_not": were_not,
        "partitions": partitions,
        "of_collection": of_collection,
        "of_database": of_database,
    }
    try:
        return FAILURES[name].format_map({**fields, **words})
    except LookupError:
        return f"The call {name}({fields.get('collection_name') or fields.get('alias') or ''}) failed"


def trouble_with_all(error: MilvusError) -> MilvusError | None:
    """The error of a call for another collection, which would fail as well; ``None``: it may succeed."""
    if isinstance(error, MilvusUnavailableError):
        return MilvusUnavailableError("not tried: the server is unavailable")
    if isinstance(error, MilvusAuthenticationError) and not isinstance(error, MilvusPermissionError):
        return MilvusAuthenticationError("not tried: the server rejected the credentials")
    return None
