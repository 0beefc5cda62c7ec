"""The operators: everything public can be imported from here. A name costs a DAG file only its own module, on first use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_milvus.operators.bulk_import import (
        MilvusBulkImportOperator as MilvusBulkImportOperator,
    )
    from airflow_provider_milvus.operators.checks import (
        MilvusRecallCheckOperator as MilvusRecallCheckOperator,
        MilvusRowCountCheckOperator as MilvusRowCountCheckOperator,
    )
    from airflow_provider_milvus.operators.collection import (
        MilvusCreateCollectionOperator as MilvusCreateCollectionOperator,
        MilvusDropCollectionOperator as MilvusDropCollectionOperator,
    )
    from airflow_provider_milvus.operators.data import (
        MilvusDeleteOperator as MilvusDeleteOperator,
        MilvusInsertOperator as MilvusInsertOperator,
        MilvusUpsertOperator as MilvusUpsertOperator,
    )
    from airflow_provider_milvus.operators.indexes import (
        MilvusCreateIndexOperator as MilvusCreateIndexOperator,
        MilvusDropIndexOperator as MilvusDropIndexOperator,
    )
    from airflow_provider_milvus.operators.maintenance import (
        MilvusAlterCollectionOperator as MilvusAlterCollectionOperator,
        MilvusCompactOperator as MilvusCompactOperator,
        MilvusFlushOperator as MilvusFlushOperator,
        MilvusTruncateCollectionOperator as MilvusTruncateCollectionOperator,
    )
    from airflow_provider_milvus.operators.memory import (
        MilvusLoadCollectionOperator as MilvusLoadCollectionOperator,
        MilvusLoadPartitionsOperator as MilvusLoadPartitionsOperator,
        MilvusRefreshLoadOperator as MilvusRefreshLoadOperator,
        MilvusReleaseCollectionOperator as MilvusReleaseCollectionOperator,
        MilvusReleasePartitionsOperator as MilvusReleasePartitionsOperator,
    )
    from airflow_provider_milvus.operators.memory_report import (
        MilvusMemoryReportOperator as MilvusMemoryReportOperator,
    )
    from airflow_provider_milvus.operators.prepare_import import (
        MilvusPrepareImportOperator as MilvusPrepareImportOperator,
    )
    from airflow_provider_milvus.operators.reclaim import (
        MilvusReclaimMemoryOperator as MilvusReclaimMemoryOperator,
    )
    from airflow_provider_milvus.operators.restore import (
        MilvusRestoreLoadOperator as MilvusRestoreLoadOperator,
    )
    from airflow_provider_milvus.operators.snapshots import (
        MilvusCreateSnapshotOperator as MilvusCreateSnapshotOperator,
        MilvusRestoreSnapshotOperator as MilvusRestoreSnapshotOperator,
    )
    from airflow_provider_milvus.operators.swap_alias import (
        MilvusSwapAliasOperator as MilvusSwapAliasOperator,
    )
    from airflow_provider_milvus.operators.window import (
        MilvusWindowLoadOperator as MilvusWindowLoadOperator,
        MilvusWindowReleaseOperator as MilvusWindowReleaseOperator,
        milvus_loaded as milvus_loaded,
    )

_HOMES = {
    "MilvusBulkImportOperator": "bulk_import",
    "MilvusRecallCheckOperator": "checks",
    "MilvusRowCountCheckOperator": "checks",
    "MilvusCreateCollectionOperator": "collection",
    "MilvusDropCollectionOperator": "collection",
    "MilvusDeleteOperator": "data",
    "MilvusInsertOperator": "data",
    "MilvusUpsertOperator": "data",
    "MilvusCreateIndexOperator": "indexes",
    "MilvusDropIndexOperator": "indexes",
    "MilvusAlterCollectionOperator": "maintenance",
    "MilvusCompactOperator": "maintenance",
    "MilvusFlushOperator": "maintenance",
    "MilvusTruncateCollectionOperator": "maintenance",
    "MilvusLoadCollectionOperator": "memory",
    "MilvusLoadPartitionsOperator": "memory",
    "MilvusRefreshLoadOperator": "memory",
    "MilvusReleaseCollectionOperator": "memory",
    "MilvusReleasePartitionsOperator": "memory",
    "MilvusMemoryReportOperator": "memory_report",
    "MilvusPrepareImportOperator": "prepare_import",
    "MilvusReclaimMemoryOperator": "reclaim",
    "MilvusRestoreLoadOperator": "restore",
    "MilvusCreateSnapshotOperator": "snapshots",
    "MilvusRestoreSnapshotOperator": "snapshots",
    "MilvusSwapAliasOperator": "swap_alias",
    "MilvusWindowLoadOperator": "window",
    "MilvusWindowReleaseOperator": "window",
    "milvus_loaded": "window",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"airflow_provider_milvus.operators.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
