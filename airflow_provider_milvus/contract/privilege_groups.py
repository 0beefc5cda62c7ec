"""Milvus's own privilege groups: which of the privileges that a task needs are in them.

As read in the source of 2.5 and of 2.6, which have the same (util/constant.go and paramtable/rbac_config.go in pkg/util). A
server may be configured otherwise. It tells the groups that came with 2.4.16, and those that were made in it, to users who may
list them; the three older ones it tells nobody.
"""

from __future__ import annotations

from collections.abc import Mapping


def _group(names: str, *others: frozenset[str]) -> frozenset[str]:
    return frozenset(names.split()).union(*others)


_COLLECTION_READ_ONLY = _group(
    "DescribeAlias DescribeCollection GetFlushState GetLoadState GetStatistics IndexDetail ListAliases Query Search"
    " ShowPartitions"
)
_COLLECTION_READ_WRITE = _group(
    "Compaction CreateIndex CreatePartition Delete DropIndex DropPartition Flush Import Insert Load Release Upsert",
    _COLLECTION_READ_ONLY,
)
_DATABASE_READ_ONLY = _group("DescribeDatabase ShowCollections")
_DATABASE_READ_WRITE = _group("AlterDatabase", _DATABASE_READ_ONLY)
_CLUSTER_READ_ONLY = _group("ListDatabases")

_READ_ONLY = _group("ListDatabases", _COLLECTION_READ_ONLY, _DATABASE_READ_ONLY)
_READ_WRITE = _group("CreateAlias DropAlias RenameCollection", _READ_ONLY, _COLLECTION_READ_WRITE)

OLDER: Mapping[str, frozenset[str]] = {
    "ReadOnly": _READ_ONLY,
    "ReadWrite": _READ_WRITE,
    "Admin": _group("AlterDatabase CreateCollection CreateDatabase DropCollection DropDatabase", _READ_WRITE),
}
BUILT_IN: Mapping[str, frozenset[str]] = {
    "CollectionReadOnly": _COLLECTION_READ_ONLY,
    "CollectionReadWrite": _COLLECTION_READ_WRITE,
    "CollectionAdmin": _group("CreateAlias DropAlias", _COLLECTION_READ_WRITE),
    "DatabaseReadOnly": _DATABASE_READ_ONLY,
    "DatabaseReadWrite": _DATABASE_READ_WRITE,
    "DatabaseAdmin": _group("CreateCollection DropCollection", _DATABASE_READ_WRITE),
    "ClusterReadOnly": _CLUSTER_READ_ONLY,
    "ClusterReadWrite": _CLUSTER_READ_ONLY,
    "ClusterAdmin": _group("CreateDatabase DropDatabase RenameCollection", _CLUSTER_READ_ONLY),
    **OLDER,
}
