"""Which privileges each task needs: ``python -m dev.roles`` writes the table in docs/roles.md anew.

The privileges are those of airflow_provider_milvus/contract/privileges.py. A task is run on the stand-in, and each call that it
makes needs the privilege that Milvus's protocol gives it: the tests hold the two together. They also run each task with these
privileges, and without any one of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from airflow_provider_milvus.contract.privileges import TASKS
from airflow_provider_milvus.operators import milvus as operators
from airflow_provider_milvus.protocol.lazy_pymilvus import import_pymilvus
from airflow_provider_milvus.sensors import milvus as sensors
from dev.servers.dialects import DIALECTS
from dev.servers.scripted import scripted_server

PAGE = Path(__file__).parents[1] / "docs" / "roles.md"
HEADING = "| task | privileges | on 2.3 also |\n|---|---|---|\n"

SCHEMA = {"fields": [{"name": "id", "type": "INT64", "is_primary": True}, {"name": "vector", "type": "FLOAT_VECTOR", "dim": 4}]}
INDEX = {"field_name": "vector", "index_type": "FLAT", "metric_type": "L2"}
ROWS = [{"id": key, "vector": [0.0, 0.0, 1.0, float(key)]} for key in range(1, 31)]
SYNCED = [*ROWS[1:], {"id": 31, "vector": [0.0, 0.0, 1.0, 31.0]}]
_DOCS = {"collection_name": "docs"}
TENANT = "tenant"
PARTITION = {**_DOCS, "partition_names": ["p1"]}


@dataclass(frozen=True, slots=True)
class Scenario:
    """A task, and what it finds: the collection ``docs`` with the alias ``live``, and ``docs_2``, with 30 rows and an
    index each.

    ``finds`` makes more, through a client of pymilvus's. ``in_memory``: both are. ``indexed``: false without an index.
    ``words`` tell it from others of its class.
    """

    kind: type
    arguments: Mapping[str, Any] = field(default_factory=lambda: dict(_DOCS))
    words: str = ""
    in_memory: bool = False
    indexed: bool = True
    finds: Callable[[Any], object] | None = None

    @property
    def name(self) -> str:
        return f"{self.kind.__name__}{self.words and f', {self.words}'}"

    def find(self, client: Any) -> None:
        """Make what the task finds, through a client of pymilvus's."""
        for name in client.list_collections():
            for alias in client.list_aliases(name)["aliases"]:
                client.drop_alias(alias)
            client.release_collection(name)
            client.drop_collection(name)
        for name in ("docs", "docs_2"):
            schema = client.create_schema()
            schema.add_field("id", 5, is_primary=True)
            schema.add_field("vector", 101, dim=4)
            client.create_collection(name, schema=schema)
            client.insert(name, ROWS)
            if self.indexed:
                index = client.prepare_index_params()
                index.add_index("vector", index_type="FLAT", metric_type="L2")
                client.create_index(name, index)
            if self.in_memory:
                client.load_collection(name)
        client.create_alias("docs", "live")
        if TENANT in client.list_databases():
            client.drop_database(TENANT)
        if self.finds is not None:
            self.finds(client)

    def run(self) -> Any:
        task = self.kind(task_id="task", **{"timeout": 20, **self.arguments})
        context: dict[str, Any] = {}
        if issubclass(self.kind, sensors.MilvusConditionSensor):
            assert task.poke(context)
            return None
        return task.execute(context)


def _make_partition(client: Any) -> None:
    client.create_partition("docs", "p1")


def _make_tenant(client: Any) -> None:
    client.create_database(TENANT)


_OTHER = {"collection_name": "docs_2"}
SCENARIOS = (
    Scenario(operators.MilvusReleaseCollectionOperator, _OTHER, in_memory=True),
    Scenario(operators.MilvusReleasePartitionsOperator, {**_OTHER, "partition_names": ["_default"]}, in_memory=True),
    Scenario(operators.MilvusLoadCollectionOperator),
    Scenario(operators.MilvusLoadPartitionsOperator, {**_DOCS, "partition_names": ["_default"]}),
    Scenario(operators.MilvusRefreshLoadOperator, in_memory=True),
    Scenario(operators.MilvusWindowLoadOperator),
    Scenario(operators.MilvusMemoryReportOperator, {}, in_memory=True),
    Scenario(operators.MilvusReclaimMemoryOperator, {"collections": "docs_*", "dry_run": True}, "dry run", in_memory=True),
    Scenario(operators.MilvusReclaimMemoryOperator, {"collections": "docs_*", "dry_run": False}, in_memory=True),
    Scenario(operators.MilvusRestoreLoadOperator, {"restore_set": {"restore": {"default": ["docs_2"]}}}),
    Scenario(operators.MilvusSwapAliasOperator, {**_OTHER, "alias": "live"}, in_memory=True),
    Scenario(
        operators.MilvusSwapAliasOperator, {**_OTHER, "alias": "live", "then": "release"}, 'then="release"', in_memory=True
    ),
    Scenario(operators.MilvusSwapAliasOperator, {**_OTHER, "alias": "live", "then": "drop"}, 'then="drop"', in_memory=True),
    Scenario(operators.MilvusCreateCollectionOperator, {"collection_name": "new", "schema": SCHEMA}),
    Scenario(
        operators.MilvusCreateCollectionOperator,
        {"collection_name": "new", "schema": SCHEMA, "indexes": [INDEX]},
        "with indexes",
    ),
    Scenario(operators.MilvusDropCollectionOperator, _OTHER),
    Scenario(operators.MilvusRenameCollectionOperator, {**_OTHER, "new_name": "docs_3"}),
    Scenario(operators.MilvusDropAliasOperator, {"alias": "live"}),
    Scenario(operators.MilvusCreatePartitionOperator, PARTITION),
    Scenario(operators.MilvusDropPartitionOperator, PARTITION, finds=_make_partition),
    Scenario(
        operators.MilvusDropPartitionOperator,
        {**PARTITION, "release": True, "drop_aliased": True},
        "release=True",
        in_memory=True,
        finds=_make_partition,
    ),
    Scenario(operators.MilvusListCollectionsOperator, {}),
    Scenario(operators.MilvusListPartitionsOperator),
    Scenario(operators.MilvusListDatabasesOperator, {}),
    Scenario(operators.MilvusCreateDatabaseOperator, {"database": TENANT}),
    Scenario(
        operators.MilvusAlterDatabaseOperator,
        {"database": TENANT, "properties": {"database.max.collections": 9}},
        finds=_make_tenant,
    ),
    Scenario(operators.MilvusDropDatabaseOperator, {"database": TENANT}, finds=_make_tenant),
    Scenario(operators.MilvusAlterCollectionOperator, {**_DOCS, "properties": {"collection.ttl.seconds": 60}}),
    Scenario(operators.MilvusCreateIndexOperator, {**_DOCS, **INDEX}, indexed=False),
    Scenario(operators.MilvusDropIndexOperator, {**_DOCS, "field_name": "vector"}),
    Scenario(operators.MilvusFlushOperator),
    Scenario(operators.MilvusCompactOperator),
    Scenario(operators.MilvusTruncateCollectionOperator, {**_OTHER, "confirm": "docs_2"}),
    Scenario(operators.MilvusInsertOperator, {**_DOCS, "rows": ROWS}),
    Scenario(operators.MilvusUpsertOperator, {**_DOCS, "rows": ROWS}),
    Scenario(operators.MilvusDeleteOperator, {**_DOCS, "ids": [1]}),
    Scenario(
        operators.MilvusSyncDocumentsOperator,
        {**_DOCS, "rows": SYNCED, "document_field": "id", "hash_field": "id", "prune": True},
        in_memory=True,
    ),
    Scenario(operators.MilvusRowCountCheckOperator, {**_DOCS, "equal_to": len(ROWS)}, in_memory=True),
    Scenario(
        operators.MilvusRecallCheckOperator,
        {**_DOCS, "sample": 2, "k": 1, "floor": 0.0},
        in_memory=True,
    ),
    Scenario(operators.MilvusQueryOperator, in_memory=True),
    Scenario(operators.MilvusSearchOperator, {**_DOCS, "data": [[0.5] * 4]}, in_memory=True),
    Scenario(operators.MilvusCopyCollectionOperator, {**_DOCS, "target_name": "new"}, in_memory=True),
    Scenario(sensors.MilvusLoadStateSensor, in_memory=True),
    Scenario(sensors.MilvusCollectionSensor),
    Scenario(sensors.MilvusIndexSensor),
    Scenario(sensors.MilvusRowCountSensor, {**_DOCS, "at_least": len(ROWS)}, in_memory=True),
)
ALREADY_DONE = (
    Scenario(operators.MilvusLoadCollectionOperator, words="in memory already", in_memory=True),
    Scenario(operators.MilvusWindowLoadOperator, words="in memory already", in_memory=True),
)
"""What finds that there is nothing to do, and asks for other things on the way."""


@cache
def calls_of(scenario_name: str) -> tuple[str, ...]:
    """The calls of the task, as the stand-in receives them."""
    (scenario,) = (scenario for scenario in (*SCENARIOS, *ALREADY_DONE) if scenario.name == scenario_name)
    with scripted_server(DIALECTS["2.6.16"]) as server:
        client = import_pymilvus().MilvusClient(server.uri, timeout=10, dedicated=True)
        scenario.find(client)
        client.close()
        server.calls.clear()
        connection = json.dumps({"conn_type": "milvus", "extra": {"uri": server.uri}})
        with patch.dict(os.environ, AIRFLOW_CONN_MILVUS_DEFAULT=connection):
            scenario.run()
        return tuple(dict.fromkeys(call.name for call in server.calls))


def privileges_of(calls: Iterable[str], version: str) -> list[str]:
    """What these calls need on a version of Milvus."""
    return sorted({privilege for call in calls if (privilege := DIALECTS[version].privilege_of(call))})


def table() -> str:
    lines = []
    for task, needs in TASKS.items():
        more = needs.on_2_3 - needs.later - {"Load"}
        lines.append(f"| `{task}` | {', '.join(sorted(needs.later))} | {', '.join(sorted(more))} |\n")
    return HEADING + "".join(lines)


def with_table(page: str) -> str:
    """The page with the table as it is now."""
    before, _, after = page.partition(HEADING)
    return before + table() + "".join(line for line in after.splitlines(keepends=True) if not line.startswith("| `"))


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
