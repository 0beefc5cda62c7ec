"""Since when each collection has been seen loaded, carried from run to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from airflow_provider_milvus.reclaim.inventory import CollectionState


def with_loaded_for(
    before: Any, collections: Sequence[CollectionState], now: float
) -> tuple[list[CollectionState], dict[str, float]]:
    """The collections with ``loaded_for``, and what the next run needs as ``before``. ``now`` is in seconds since the epoch.

    Time is kept by the collection's id, and starts anew when a run sees the collection out of memory, or dropped and created
    again. A release and a load between two runs are not noticed.
    """
    known = before if isinstance(before, dict) else {}
    since: dict[str, float] = {}
    for collection in collections:
        if collection.state == "Loaded" and collection.collection_id:
            collection_id = str(collection.collection_id)
            first = known.get(collection_id)
            since[collection_id] = first if isinstance(first, float) and 0 < first < now else now

    def add_time(state: CollectionState) -> CollectionState:
        first = since.get(str(state.collection_id))
        return state if first is None else replace(state, loaded_for=timedelta(seconds=now - first))

    return [add_time(collection) for collection in collections], since
