"""Everything public, as the doors name it: what every test goes by that claims to cover all operators or all sensors."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Any

import airflow_provider_milvus

PACKAGE = airflow_provider_milvus.__name__
DOORS = {f"{kind}s": importlib.import_module(f"{PACKAGE}.{kind}s.milvus") for kind in ("hook", "operator", "sensor", "trigger")}
ENDINGS = {"hooks": "Hook", "operators": "Operator", "sensors": "Sensor", "triggers": "Trigger"}
BASES = {"MilvusOperator", "MilvusWriteOperator"}
"""What operators have in common: not public."""


def defined(door: str) -> dict[str, type]:
    """The classes that the package defines and that belong behind a door, wherever they stand."""
    found: dict[str, type] = {}
    for module in pkgutil.walk_packages(airflow_provider_milvus.__path__, f"{PACKAGE}."):
        for name, value in vars(importlib.import_module(module.name)).items():
            ours = inspect.isclass(value) and value.__module__.startswith(f"{PACKAGE}.")
            if ours and name.startswith("Milvus") and name.endswith(ENDINGS[door]) and name not in BASES:
                found[name] = value
    return found


def through(door: str) -> dict[str, type]:
    """The classes that can be imported from a door."""
    names = [name for name in dir(DOORS[door]) if name.startswith("Milvus") and name.endswith(ENDINGS[door])]
    return {name: getattr(DOORS[door], name) for name in names}


OPERATORS = list(through("operators").values())
SENSORS = [kind for name, kind in through("sensors").items() if name != "MilvusConditionSensor"]
TASKS = [*OPERATORS, *SENSORS]

SCHEMA = [{"name": "id", "type": "INT64", "is_primary": True}, {"name": "vector", "type": "FLOAT_VECTOR", "dim": 8}]
MINIMAL: dict[str, dict[str, Any]] = {
    "MilvusAlterCollectionOperator": {"collection_name": "docs", "properties": {"mmap.enabled": True}},
    "MilvusAlterDatabaseOperator": {"database": "tenant", "properties": {"database.max.collections": 9}},
    "MilvusBulkImportOperator": {"collection_name": "docs", "files": "docs.parquet"},
    "MilvusBulkImportSensor": {"collection_name": "docs", "job_ids": "1"},
    "MilvusCollectionSensor": {"collection_name": "docs"},
    "MilvusCompactOperator": {"collection_name": "docs"},
    "MilvusCompactionSensor": {"compaction_id": "1"},
    "MilvusCopyCollectionOperator": {"collection_name": "docs", "target_name": "docs_copy"},
    "MilvusCreateCollectionOperator": {"collection_name": "docs", "schema": {"fields": SCHEMA}},
    "MilvusCreateDatabaseOperator": {"database": "tenant"},
    "MilvusCreateIndexOperator": {"collection_name": "docs", "field_name": "vector"},
    "MilvusCreatePartitionOperator": {"collection_name": "docs", "partition_names": ["p1"]},
    "MilvusCreateSnapshotOperator": {"collection_name": "docs", "snapshot_name": "monday"},
    "MilvusDeleteOperator": {"collection_name": "docs", "ids": [1]},
    "MilvusDemandSensor": {"collections": ["docs"]},
    "MilvusDropAliasOperator": {"alias": "live"},
    "MilvusDropCollectionOperator": {"collection_name": "docs"},
    "MilvusDropDatabaseOperator": {"database": "tenant"},
    "MilvusDropIndexOperator": {"collection_name": "docs", "field_name": "vector"},
    "MilvusDropPartitionOperator": {"collection_name": "docs", "partition_names": ["p1"]},
    "MilvusExportOperator": {"collection_name": "docs", "path": "/tmp/docs"},
    "MilvusFlushOperator": {"collection_name": "docs"},
    "MilvusIndexSensor": {"collection_name": "docs"},
    "MilvusInsertOperator": {"collection_name": "docs", "rows": "docs.parquet"},
    "MilvusListCollectionsOperator": {},
    "MilvusListDatabasesOperator": {},
    "MilvusListPartitionsOperator": {"collection_name": "docs"},
    "MilvusLoadCollectionOperator": {"collection_name": "docs"},
    "MilvusLoadPartitionsOperator": {"collection_name": "docs", "partition_names": ["p1"]},
    "MilvusLoadStateSensor": {"collection_name": "docs"},
    "MilvusMemoryReportOperator": {},
    "MilvusPrepareImportOperator": {"collection_name": "docs", "rows": "docs.parquet", "path": "/tmp/docs"},
    "MilvusQueryOperator": {"collection_name": "docs"},
    "MilvusRecallCheckOperator": {"collection_name": "docs"},
    "MilvusReclaimBacktestOperator": {"collections": ["events_*"]},
    "MilvusReclaimMemoryOperator": {"collections": ["events_*"]},
    "MilvusRefreshLoadOperator": {"collection_name": "docs"},
    "MilvusReleaseCollectionOperator": {"collection_name": "docs"},
    "MilvusReleasePartitionsOperator": {"collection_name": "docs", "partition_names": ["p1"]},
    "MilvusRenameCollectionOperator": {"collection_name": "docs", "new_name": "docs_2"},
    "MilvusRestoreLoadOperator": {"restore_set": {"restore": {"default": ["docs"]}}},
    "MilvusRestoreSnapshotOperator": {
        "collection_name": "docs",
        "snapshot_name": "monday",
        "target_collection_name": "docs_monday",
    },
    "MilvusRowCountCheckOperator": {"collection_name": "docs", "equal_to": 1},
    "MilvusRowCountSensor": {"collection_name": "docs", "at_least": 1},
    "MilvusSearchOperator": {"collection_name": "docs", "data": [[0.5] * 8]},
    "MilvusSwapAliasOperator": {"collection_name": "docs_2", "alias": "docs"},
    "MilvusSyncDocumentsOperator": {
        "collection_name": "docs",
        "rows": "docs.parquet",
        "document_field": "source",
        "hash_field": "hash",
        "prune": True,
    },
    "MilvusTruncateCollectionOperator": {"collection_name": "docs", "confirm": "docs"},
    "MilvusUpsertOperator": {"collection_name": "docs", "rows": "docs.parquet"},
    "MilvusWindowLoadOperator": {"collection_name": "docs"},
    "MilvusWindowReleaseOperator": {"window": {"window": "w", "collection": "docs", "previous_state": "NotLoad"}},
}
"""The least that a DAG has to give."""

EXCLUSIVE = [
    ("ids", "filter"),
    ("data", "ids", "requests", "data_files"),
    ("schema", "dimension", "definition"),
    ("partition_names", "pattern", "plan"),
    ("collection_name", "schema"),
    ("equal_to", "at_least", "same_as"),
    ("restore_set", "reclaim_dag_id", "reclaim_task_id"),
]
"""Arguments of which one excludes the others."""
NEEDS = {
    "create_partition": {"partition_name": "p1"},
    "filter_params": {"filter": "id in {keys}"},
    "max_deleted": {"filter": "id in {keys}", "filter_params": {"keys": [1]}},
    "data_column": {"data_files": "/tmp/questions"},
    "ranker": {"requests": [{"anns_field": name, "data": [[0.5] * 8]} for name in ("vector", "words")]},
    "reclaim_dag_id": {"reclaim_task_id": "night"},
    "reclaim_task_id": {"reclaim_dag_id": "nightly"},
}
"""What an argument makes sense with only."""
NOT_TEMPLATES = {"filter", "transform"}


FIXED = {"MilvusWindowLoadOperator": {"on_timeout", "release_on_kill"}}
"""Arguments of a base that an operator sets itself."""


def arguments_of(kind: type) -> dict[str, inspect.Parameter]:
    """Its own arguments, not those of every Airflow operator, by name."""
    own: dict[str, inspect.Parameter] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.startswith(f"{PACKAGE}.") and "__init__" in vars(base):
            own |= inspect.signature(base.__init__).parameters
    fixed = FIXED.get(kind.__name__, set())
    return {name: it for name, it in own.items() if it.kind is inspect.Parameter.KEYWORD_ONLY and name not in fixed}


def minimal(kind: type, **given: Any) -> dict[str, Any]:
    """The least that has to be given beside ``given``."""
    least = dict(MINIMAL[kind.__name__])
    needed = {name for name, it in arguments_of(kind).items() if it.default is inspect.Parameter.empty}
    for group in EXCLUSIVE:
        if set(group) & given.keys() and not set(group) <= MINIMAL[kind.__name__].keys():
            least = {name: value for name, value in least.items() if name not in group or name in needed}
    for name in given:
        least = {**least, **(NEEDS.get(name, {}) if name != "filter_params" or "filter" in arguments_of(kind) else {})}
        if name in ("filter_params", "max_deleted") and kind.__name__ == "MilvusDeleteOperator":
            least.pop("ids", None)
    if given.keys() & {"ranker", "data_column"}:
        least.pop("data", None)
    if "plan" in given:
        least.pop("collections", None)
    return {**least, **given}


def make(kind: type, **given: Any) -> Any:
    return kind(task_id="task", **minimal(kind, **given))
