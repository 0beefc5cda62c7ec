"""What a task can wait for: one small class for each thing, used by sensors, by operators in the worker and by the trigger.

All are imported here, since the trigger finds a condition by its name.
"""

from __future__ import annotations

from airflow_provider_milvus.conditions.condition import Condition, Observation, Report, Verdict, never_met, wait_for
from airflow_provider_milvus.conditions.load import LOAD_STATES, LoadFinished, LoadState, Refreshed, load_states

__all__ = [
    "LOAD_STATES",
    "Condition",
    "LoadFinished",
    "LoadState",
    "Observation",
    "Refreshed",
    "Report",
    "Verdict",
    "load_states",
    "never_met",
    "wait_for",
]
