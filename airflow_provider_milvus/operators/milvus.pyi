"""What a type checker sees of the door: operators/milvus.py imports the same names when they are first used."""

from airflow_provider_milvus.operators.backtest import (
    MilvusReclaimBacktestOperator as MilvusReclaimBacktestOperator,
)
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
    MilvusRenameCollectionOperator as MilvusRenameCollectionOperator,
)
from airflow_provider_milvus.operators.copy import (
    MilvusCopyCollectionOperator as MilvusCopyCollectionOperator,
)
from airflow_provider_milvus.operators.data import (
    MilvusDeleteOperator as MilvusDeleteOperator,
    MilvusInsertOperator as MilvusInsertOperator,
    MilvusUpsertOperator as MilvusUpsertOperator,
)
from airflow_provider_milvus.operators.databases import (
    MilvusAlterDatabaseOperator as MilvusAlterDatabaseOperator,
    MilvusCreateDatabaseOperator as MilvusCreateDatabaseOperator,
    MilvusDropDatabaseOperator as MilvusDropDatabaseOperator,
)
from airflow_provider_milvus.operators.export import (
    MilvusExportOperator as MilvusExportOperator,
)
from airflow_provider_milvus.operators.indexes import (
    MilvusCreateIndexOperator as MilvusCreateIndexOperator,
    MilvusDropIndexOperator as MilvusDropIndexOperator,
)
from airflow_provider_milvus.operators.listings import (
    MilvusListCollectionsOperator as MilvusListCollectionsOperator,
    MilvusListDatabasesOperator as MilvusListDatabasesOperator,
    MilvusListPartitionsOperator as MilvusListPartitionsOperator,
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
from airflow_provider_milvus.operators.partitions import (
    MilvusCreatePartitionOperator as MilvusCreatePartitionOperator,
    MilvusDropPartitionOperator as MilvusDropPartitionOperator,
)
from airflow_provider_milvus.operators.prepare_import import (
    MilvusPrepareImportOperator as MilvusPrepareImportOperator,
)
from airflow_provider_milvus.operators.query import (
    MilvusQueryOperator as MilvusQueryOperator,
)
from airflow_provider_milvus.operators.reclaim import (
    MilvusReclaimMemoryOperator as MilvusReclaimMemoryOperator,
)
from airflow_provider_milvus.operators.restore import (
    MilvusRestoreLoadOperator as MilvusRestoreLoadOperator,
)
from airflow_provider_milvus.operators.search import (
    MilvusSearchOperator as MilvusSearchOperator,
)
from airflow_provider_milvus.operators.snapshots import (
    MilvusCreateSnapshotOperator as MilvusCreateSnapshotOperator,
    MilvusRestoreSnapshotOperator as MilvusRestoreSnapshotOperator,
)
from airflow_provider_milvus.operators.split_files import (
    split_files as split_files,
)
from airflow_provider_milvus.operators.swap_alias import (
    MilvusDropAliasOperator as MilvusDropAliasOperator,
    MilvusSwapAliasOperator as MilvusSwapAliasOperator,
)
from airflow_provider_milvus.operators.sync_documents import (
    MilvusSyncDocumentsOperator as MilvusSyncDocumentsOperator,
)
from airflow_provider_milvus.operators.window import (
    MilvusWindowLoadOperator as MilvusWindowLoadOperator,
    MilvusWindowReleaseOperator as MilvusWindowReleaseOperator,
    milvus_loaded as milvus_loaded,
)
