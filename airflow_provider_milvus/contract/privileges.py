"""The privileges that each task needs, as plain data.

docs/roles.md shows them as a table. The tests run each task with them, and without any one of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

GLOBAL = {
    "AlterDatabase", "CreateAlias", "CreateCollection", "CreateDatabase", "DescribeAlias", "DescribeCollection",
    "DescribeDatabase", "DropAlias", "DropCollection", "DropDatabase", "ListAliases", "ListDatabases", "RenameCollection",
    "ShowCollections",
}  # fmt: skip
"""Those that are granted on ``Global``, whatever the collection. The others are granted on a ``Collection``."""


@dataclass(frozen=True, slots=True)
class Needs:
    """``later``: on Milvus 2.4 and later."""

    later: frozenset[str]
    on_2_3: frozenset[str]


def _needs(later: str, *, also: str = "", without: str = "") -> Needs:
    """``also`` and ``without``: on 2.3, where Load stands for GetLoadState as well."""
    names = frozenset(later.split())
    before = frozenset("Load" if name == "GetLoadState" else name for name in names)
    return Needs(names, before - {*without.split()} | {*also.split()})


TASKS: Mapping[str, Needs] = {
    "MilvusReleaseCollectionOperator": _needs("DescribeCollection GetLoadState ListAliases Release"),
    "MilvusReleasePartitionsOperator": _needs("DescribeCollection GetLoadState ListAliases Release ShowPartitions"),
    "MilvusLoadCollectionOperator": _needs("DescribeCollection GetLoadState Load"),
    "MilvusLoadCollectionOperator, in memory already": _needs("DescribeCollection GetLoadState ShowPartitions"),
    "MilvusLoadPartitionsOperator": _needs("DescribeCollection GetLoadState Load ShowPartitions"),
    "MilvusRefreshLoadOperator": _needs("DescribeCollection GetLoadState Load"),
    "MilvusWindowLoadOperator": _needs("CreateCollection DescribeCollection GetLoadState ListAliases Load"),
    "MilvusWindowLoadOperator, in memory already": _needs(
        "CreateCollection DescribeCollection GetLoadState ListAliases ShowPartitions"
    ),
    "MilvusMemoryReportOperator": _needs(
        "DescribeAlias DescribeCollection GetStatistics ListAliases ShowPartitions",
        also="ShowCollections",
    ),
    "MilvusReclaimMemoryOperator, dry run": _needs("DescribeAlias DescribeCollection ListAliases", also="ShowCollections"),
    "MilvusReclaimMemoryOperator": _needs("DescribeAlias DescribeCollection ListAliases Release", also="ShowCollections"),
    "MilvusRestoreLoadOperator": _needs("DescribeCollection GetLoadState Load"),
    "MilvusSwapAliasOperator": _needs("CreateAlias DescribeAlias DescribeCollection GetLoadState", without="CreateAlias"),
    'MilvusSwapAliasOperator, then="release"': _needs(
        "CreateAlias DescribeAlias DescribeCollection GetLoadState ListAliases Release",
        without="CreateAlias",
    ),
    'MilvusSwapAliasOperator, then="drop"': _needs(
        "CreateAlias DescribeAlias DescribeCollection DropCollection GetLoadState ListAliases",
        also="ShowCollections",
        without="CreateAlias",
    ),
    "MilvusCreateCollectionOperator": _needs("CreateCollection DescribeCollection IndexDetail", also="ShowCollections"),
    "MilvusCreateCollectionOperator, with indexes": _needs(
        "CreateCollection CreateIndex DescribeCollection IndexDetail",
        also="ShowCollections",
    ),
    "MilvusDropCollectionOperator": _needs("DescribeCollection DropCollection ListAliases", also="ShowCollections"),
    "MilvusRenameCollectionOperator": _needs("DescribeCollection ListAliases RenameCollection", also="ShowCollections"),
    "MilvusDropAliasOperator": _needs("DescribeAlias DropAlias"),
    "MilvusCreatePartitionOperator": _needs("CreatePartition DescribeCollection ShowPartitions"),
    "MilvusDropPartitionOperator": _needs(
        "DescribeCollection DropPartition GetLoadState GetStatistics ListAliases ShowPartitions",
        without="GetStatistics",
    ),
    "MilvusDropPartitionOperator, release=True": _needs(
        "DescribeCollection DropPartition GetLoadState GetStatistics ListAliases Release ShowPartitions",
        without="GetStatistics",
    ),
    "MilvusListCollectionsOperator": _needs("", also="ShowCollections"),
    "MilvusListPartitionsOperator": _needs("DescribeCollection ShowPartitions"),
    "MilvusListDatabasesOperator": _needs("", also="ListDatabases"),
    "MilvusCreateDatabaseOperator": _needs("CreateDatabase", also="ShowCollections"),
    "MilvusAlterDatabaseOperator": _needs("AlterDatabase DescribeDatabase"),
    "MilvusDropDatabaseOperator": _needs("DropDatabase", also="ListDatabases ShowCollections"),
    "MilvusAlterCollectionOperator": _needs("CreateCollection DescribeCollection"),
    "MilvusCreateIndexOperator": _needs("CreateIndex DescribeCollection IndexDetail"),
    "MilvusDropIndexOperator": _needs("DescribeCollection DropIndex GetLoadState IndexDetail"),
    "MilvusFlushOperator": _needs("DescribeCollection Flush GetFlushState"),
    "MilvusCompactOperator": _needs("Compaction DescribeCollection"),
    "MilvusTruncateCollectionOperator": _needs("DescribeCollection DropCollection ListAliases ShowPartitions"),
    "MilvusInsertOperator": _needs("DescribeCollection Insert"),
    "MilvusUpsertOperator": _needs("DescribeCollection Upsert"),
    "MilvusDeleteOperator": _needs("Delete DescribeCollection ShowPartitions"),
    "MilvusSyncDocumentsOperator": _needs("Delete DescribeCollection Query ShowPartitions Upsert"),
    "MilvusRowCountCheckOperator": _needs("DescribeCollection Query ShowPartitions"),
    "MilvusRecallCheckOperator": _needs("DescribeCollection IndexDetail Query Search ShowPartitions"),
    "MilvusQueryOperator": _needs("DescribeCollection Query ShowPartitions"),
    "MilvusSearchOperator": _needs("DescribeCollection Search ShowPartitions"),
    "MilvusCopyCollectionOperator": _needs(
        "CreateCollection CreateIndex DescribeCollection Flush GetFlushState GetLoadState IndexDetail Load Query ShowPartitions"
        " Upsert",
        also="ShowCollections",
    ),
    "MilvusLoadStateSensor": _needs("GetLoadState"),
    "MilvusCollectionSensor": _needs("DescribeCollection"),
    "MilvusIndexSensor": _needs("IndexDetail"),
    "MilvusRowCountSensor": _needs("DescribeCollection Query ShowPartitions"),
}
"""By the task's class; what follows its name are arguments, or what it finds, with which it needs others."""

PRIVILEGES = frozenset(name for needs in TASKS.values() for name in needs.later | needs.on_2_3)
"""All that some task needs."""


def kind_of(privilege: str) -> str:
    """What it is granted on: ``Global`` or ``Collection``."""
    return "Global" if privilege in GLOBAL else "Collection"
