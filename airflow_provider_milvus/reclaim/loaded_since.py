"""Since when each collection has been seen loaded, carried from run to run. What a run did not see, it does not claim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from airflow_provider_milvus.reclaim.inventory import CollectionState


def seen_loaded(
    before: Any, collections: Sequence[CollectionState], now: float
) -> tuple[list[CollectionState], dict[str, float]]:
    """The collections with ``loaded_for``, and what to hand to the next run in place of ``before``.

    Both are by the collection's number, so one that was dropped and made anew begins anew; so does one that a run saw out of
    memory. A release and a load between two runs go unnoticed. ``now`` is in seconds since the epoch.
    """
    known = before if isinstance(before, dict) else {}
    since = {str(each.collection_id): now for each in collections if each.state == "Loaded" and each.collection_id}
    for number in since:
        earlier = known.get(number)
        if isinstance(earlier, float) and 0 < earlier < now:
            since[number] = earlier

    def stamped(each: CollectionState) -> CollectionState:
        first = since.get(str(each.collection_id))
        return each if first is None else replace(each, loaded_for=timedelta(seconds=now - first))

    return [stamped(each) for each in collections], since
