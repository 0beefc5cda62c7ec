"""What a task can wait for: one small class for each thing, used by sensors, by operators in the worker and by the trigger.

All are imported here, since the trigger finds a condition by its name.
"""

from __future__ import annotations

from airflow_provider_milvus.conditions.collection import CollectionExists, GraceOver, IndexBuilt, described_indexes
from airflow_provider_milvus.conditions.condition import Condition, Observation, Report, Verdict, never_met, wait_for
from airflow_provider_milvus.conditions.imports import ImportFinished, SubmittedImport
from airflow_provider_milvus.conditions.load import LOAD_STATES, LoadFinished, LoadState, Refreshed, load_states
from airflow_provider_milvus.conditions.maintenance import Compacted, Flushed, SnapshotRestored, plans_of
from airflow_provider_milvus.conditions.rows import RowCount

__all__ = [
    "LOAD_STATES",
    "CollectionExists",
    "Compacted",
    "Condition",
    "Flushed",
    "GraceOver",
    "ImportFinished",
    "IndexBuilt",
    "LoadFinished",
    "LoadState",
    "Observation",
    "Refreshed",
    "Report",
    "RowCount",
    "SnapshotRestored",
    "SubmittedImport",
    "Verdict",
    "described_indexes",
    "load_states",
    "never_met",
    "plans_of",
    "wait_for",
]
