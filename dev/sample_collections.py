"""The collections of the demo: some to release tonight, some to keep, for different reasons."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta

DIMENSION = 8
LOAD_PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Sample:
    """A collection, and whether the nightly reclaim should release it."""

    name: str
    goes: bool
    alias: str | None = None
    rows: int = 200


def samples(now: datetime, days: int = 10) -> list[Sample]:
    """Collections for the example DAG's default rules: some days of events, one that serves searches, and temporary ones."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    days = [midnight - timedelta(days=ago) for ago in reversed(range(days))]
    # The oldest is in use: an alias keeps it.
    audited, *others = days
    return [
        Sample(f"events_{audited:%Y%m%d}", goes=False, alias="events_under_audit"),
        *(Sample(f"events_{day:%Y%m%d}", goes=now - day > timedelta(days=7), rows=200 + 80 * (day.day % 7)) for day in others),
        Sample("docs", goes=False, alias="docs_live", rows=1500),
        Sample("tmp_import", goes=True, rows=900),
        Sample("tmp_reindex", goes=True, rows=1200),
        Sample("tmp_reference_keep", goes=False),
    ]


def create(uri: str, samples: Iterable[Sample]) -> None:
    """Create the collections with rows and an index, and return when all are in memory."""
    from pymilvus import DataType, MilvusClient

    # A channel that is closed: Milvus Lite drops one that idles, and gRPC writes about it to the terminal.
    with closing(MilvusClient(uri, dedicated=True)) as client:
        schema = client.create_schema(auto_id=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIMENSION)
        index = client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="L2")
        loading = []
        for sample in samples:
            client.create_collection(sample.name, schema=schema)
            client.insert(sample.name, _rows(sample.rows))
            client.create_index(sample.name, index, sync=False)
            if sample.alias:
                client.create_alias(sample.name, sample.alias)
            client.load_collection(sample.name, _async=True)
            loading.append(sample.name)
        give_up = time.monotonic() + LOAD_PATIENCE
        while not_yet := [name for name in loading if client.get_load_state(name)["state"].name != "Loaded"]:
            if time.monotonic() > give_up:
                raise RuntimeError(f"not loaded after {LOAD_PATIENCE:g} s: {', '.join(not_yet)}")
            time.sleep(0.2)


def ids(uri: str) -> dict[str, int]:
    """The id of every collection; 0 where the server tells none."""
    from pymilvus import MilvusClient

    with closing(MilvusClient(uri, dedicated=True)) as client:
        return {name: int(client.describe_collection(name).get("collection_id") or 0) for name in client.list_collections()}


def load_states(uri: str) -> dict[str, str]:
    """The load state of every collection, as the server reports it now."""
    from pymilvus import MilvusClient

    with closing(MilvusClient(uri, dedicated=True)) as client:
        return {name: client.get_load_state(name)["state"].name for name in sorted(client.list_collections())}


def _rows(count: int) -> list[dict[str, object]]:
    return [{"id": key, "vector": [random.random() for _ in range(DIMENSION)]} for key in range(count)]
