"""What a task can wait for: a small class for each thing, used by sensors, by operators in the worker and by the trigger."""

from __future__ import annotations

from airflow_provider_milvus.conditions.base import Condition, Observation, Verdict, never_met_error, wait_for
from airflow_provider_milvus.conditions.collection import CollectionExists, GraceOver, IndexBuilt, describe_indexes
from airflow_provider_milvus.conditions.load import (
    LOAD_STATES,
    InMemory,
    LoadFinished,
    LoadState,
    Refreshed,
    load_state,
    load_states,
    segments_on_storage,
)
from airflow_provider_milvus.conditions.maintenance import Compacted, Flushed, SnapshotRestored, count_plans
from airflow_provider_milvus.conditions.rows import RowCount

__all__ = [
    "LOAD_STATES",
    "CollectionExists",
    "Compacted",
    "Condition",
    "Flushed",
    "GraceOver",
    "InMemory",
    "IndexBuilt",
    "LoadFinished",
    "LoadState",
    "Observation",
    "Refreshed",
    "RowCount",
    "SnapshotRestored",
    "Verdict",
    "count_plans",
    "describe_indexes",
    "load_state",
    "load_states",
    "never_met_error",
    "segments_on_storage",
    "wait_for",
]
