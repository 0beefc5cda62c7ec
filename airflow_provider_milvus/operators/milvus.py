"""The operators: everything public can be imported from here. A name costs a DAG file only its own module, on first use.

What a type checker sees is in ``milvus.pyi``.
"""

from __future__ import annotations

import importlib
from typing import Any

_MODULES = {
    "backtest": ("MilvusReclaimBacktestOperator",),
    "bulk_import": ("MilvusBulkImportOperator",),
    "checks": ("MilvusRecallCheckOperator", "MilvusRowCountCheckOperator"),
    "collection": ("MilvusCreateCollectionOperator", "MilvusDropCollectionOperator", "MilvusRenameCollectionOperator"),
    "copy": ("MilvusCopyCollectionOperator",),
    "data": ("MilvusDeleteOperator", "MilvusInsertOperator", "MilvusUpsertOperator"),
    "databases": ("MilvusAlterDatabaseOperator", "MilvusCreateDatabaseOperator", "MilvusDropDatabaseOperator"),
    "export": ("MilvusExportOperator",),
    "indexes": ("MilvusCreateIndexOperator", "MilvusDropIndexOperator"),
    "listings": ("MilvusListCollectionsOperator", "MilvusListDatabasesOperator", "MilvusListPartitionsOperator"),
    "maintenance": (
        "MilvusAlterCollectionOperator",
        "MilvusCompactOperator",
        "MilvusFlushOperator",
        "MilvusTruncateCollectionOperator",
    ),
    "memory": (
        "MilvusLoadCollectionOperator",
        "MilvusLoadPartitionsOperator",
        "MilvusRefreshLoadOperator",
        "MilvusReleaseCollectionOperator",
        "MilvusReleasePartitionsOperator",
    ),
    "memory_report": ("MilvusMemoryReportOperator",),
    "partitions": ("MilvusCreatePartitionOperator", "MilvusDropPartitionOperator"),
    "prepare_import": ("MilvusPrepareImportOperator",),
    "query": ("MilvusQueryOperator",),
    "reclaim": ("MilvusReclaimMemoryOperator",),
    "restore": ("MilvusRestoreLoadOperator",),
    "search": ("MilvusSearchOperator",),
    "snapshots": ("MilvusCreateSnapshotOperator", "MilvusRestoreSnapshotOperator"),
    "split_files": ("split_files",),
    "swap_alias": ("MilvusDropAliasOperator", "MilvusSwapAliasOperator"),
    "sync_documents": ("MilvusSyncDocumentsOperator",),
    "window": ("MilvusWindowLoadOperator", "MilvusWindowReleaseOperator", "milvus_loaded"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"airflow_provider_milvus.operators.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
