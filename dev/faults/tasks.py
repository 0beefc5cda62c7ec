"""Every exported task, what it finds and what it changes: the tasks of docs/roles.md, and those that page cannot show.

Which calls each makes is in ``calls.json``, which a run writes (``python -m dev.faults --calls``) and every run compares.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from airflow_provider_milvus.conditions import LoadState
from airflow_provider_milvus.operators import milvus as operators
from airflow_provider_milvus.sensors import milvus as sensors
from airflow_provider_milvus.triggers import milvus as triggers
from dev.faults.inventory import ANYTHING, ASPECTS, SOMETHING, Fact, gone, made
from dev.faults.world import World
from dev.roles import INDEX, PARTITION, ROWS, SCENARIOS, SCHEMA, SYNCED, TENANT, Scenario

SERVERS = ("lite", "standalone")
FILES = "files"
"""Stands in arguments for a folder of the case."""

NEW_ROWS = [{"id": key, "vector": [0.0, 1.0, 0.0, float(key)]} for key in range(31, 61)]
OTHER_ROWS = [{"id": key, "vector": [0.0, 1.0, 0.0, float(key + 100)]} for key in range(1, 31)]

Effects = Mapping[Fact, Any]


def rows_of(*rows: Mapping[str, Any]) -> list[tuple[int, float]]:
    return [(row["id"], row["vector"][-1]) for row in rows]


@dataclass(frozen=True, slots=True)
class Task:
    """A scenario with what it changes.

    ``effects``: every fact that it may change, as it is after a success. ``more``: arguments beside the scenario's.
    ``servers``: where it can be run. ``never``: its condition is never met, so every success is a lie. ``before``: what is
    done first, over a connection of its own; the answer is a further argument. ``reach``: seconds until its last change.
    ``partly``: facts as they may be when it fails halfway. ``may_leave``: a collection that may be left when it fails, and
    that its error names then. ``names``: what its errors have to name beside the connection and the database.
    ``by_metrics``: the fault is on the way to the server's metrics. ``generates_keys``: the server makes those of ``docs``.
    """

    scenario: Scenario
    effects: Effects = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)
    servers: tuple[str, ...] = SERVERS
    never: bool = False
    before: Callable[[Path], Mapping[str, Any]] | None = None
    reach: float = 3.0
    partly: Effects = field(default_factory=dict)
    may_leave: str = ""
    names: str = "docs"
    by_metrics: bool = False
    generates_keys: bool = False

    @property
    def name(self) -> str:
        return self.scenario.name

    @property
    def world(self) -> World:
        return World(self.scenario.in_memory, self.scenario.indexed, self.generates_keys)

    @property
    def kind(self) -> type:
        return self.scenario.kind

    @property
    def is_sensor(self) -> bool:
        return issubclass(self.kind, sensors.MilvusConditionSensor)

    @property
    def is_trigger(self) -> bool:
        return self.kind in TRIGGERS

    @property
    def can_defer(self) -> bool:
        return not self.is_trigger and hasattr(self.kind, "deferrable")

    def make(self, timeout: float, folder: Path, given: Mapping[str, Any], *, deferrable: bool) -> Any:
        """The operator, sensor or trigger."""
        arguments = {**self.scenario.arguments, **self.more, **given}
        arguments = {name: str(folder) if value is FILES else value for name, value in arguments.items()}
        if self.is_trigger:
            return self.kind(end=time.time() + timeout, poll_interval=0.2, **arguments)
        if self.can_defer:
            arguments["deferrable"] = deferrable
            arguments["poke_interval" if self.is_sensor else "poll_interval"] = 0.2
        return self.kind(task_id="task", timeout=timeout, **arguments)


TRIGGERS = (triggers.MilvusConditionTrigger, triggers.MilvusDemandTrigger)


def _open_window(folder: Path) -> Mapping[str, Any]:
    opened = operators.MilvusWindowLoadOperator(task_id="open", collection_name="docs", timeout=60).execute({})
    return {"window": opened}


def import_file(folder: Path) -> Mapping[str, Any]:
    path = folder / "rows.json"
    path.write_text(json.dumps({"rows": NEW_ROWS}))
    return {"files": str(path)}


def _begin_import(folder: Path) -> Mapping[str, Any]:
    imported = operators.MilvusBulkImportOperator(
        task_id="import", collection_name="docs", timeout=60, **import_file(folder)
    ).execute({})
    return {"job_ids": imported["job_ids"]}


def _make_partition(folder: Path) -> Mapping[str, Any]:
    operators.MilvusCreatePartitionOperator(task_id="before", **PARTITION).execute({})
    return {}


def _without_tenant(folder: Path) -> Mapping[str, Any]:
    operators.MilvusDropDatabaseOperator(task_id="before", database=TENANT, if_missing="skip").execute({})
    return {}


def _with_tenant(folder: Path) -> Mapping[str, Any]:
    _without_tenant(folder)
    operators.MilvusCreateDatabaseOperator(task_id="before", database=TENANT).execute({})
    return {}


_DOCS = {"collection_name": "docs"}
_OTHER = {"collection_name": "docs_2"}
_LOADED, _RELEASED = "Loaded", "NotLoad"
_STANDALONE = ("standalone",)
_ADDED = {("docs", "rows"): rows_of(*ROWS, *NEW_ROWS)}
_SWAPPED = {("docs", "aliases"): [], ("docs_2", "aliases"): ["live"]}

_PLAYED: dict[str, Mapping[str, Any]] = {
    "MilvusReleaseCollectionOperator": {"effects": {("docs_2", "state"): _RELEASED}},
    "MilvusReleasePartitionsOperator": {"effects": {("docs_2", "state"): _RELEASED}},
    "MilvusLoadCollectionOperator": {"effects": {("docs", "state"): _LOADED}},
    "MilvusLoadPartitionsOperator": {"effects": {("docs", "state"): _LOADED}},
    "MilvusRefreshLoadOperator": {},
    "MilvusWindowLoadOperator": {"effects": {("docs", "state"): _LOADED, ("docs", "properties"): ANYTHING}},
    "MilvusMemoryReportOperator": {"names": ""},
    "MilvusReclaimMemoryOperator, dry run": {"names": ""},
    "MilvusReclaimMemoryOperator": {"effects": {("docs_2", "state"): _RELEASED}, "names": ""},
    "MilvusRestoreLoadOperator": {"effects": {("docs_2", "state"): _LOADED}},
    "MilvusSwapAliasOperator": {"effects": _SWAPPED},
    'MilvusSwapAliasOperator, then="release"': {"effects": {**_SWAPPED, ("docs", "state"): _RELEASED}},
    'MilvusSwapAliasOperator, then="drop"': {"effects": {**_SWAPPED, **gone("docs")}, "partly": _SWAPPED},
    "MilvusCreateCollectionOperator": {"effects": made("new"), "names": "new"},
    "MilvusCreateCollectionOperator, with indexes": {
        "effects": {**made("new"), ("new", "indexes"): [("vector", "FLAT")]},
        "partly": {("new", "indexes"): []},
        "names": "new",
    },
    "MilvusDropCollectionOperator": {"effects": gone("docs_2")},
    "MilvusRenameCollectionOperator": {
        "effects": {**gone("docs_2"), **{("docs_3", aspect): ANYTHING for aspect in ASPECTS}, ("docs_3", "id"): SOMETHING},
        "names": "docs_2",
    },
    "MilvusDropAliasOperator": {"effects": {("docs", "aliases"): []}, "names": "live"},
    "MilvusCreatePartitionOperator": {"effects": {("docs", "partitions"): ["p1"]}},
    "MilvusDropPartitionOperator": {"effects": {("docs", "partitions"): []}, "before": _make_partition},
    "MilvusDropPartitionOperator, release=True": {
        # The server may release what it holds of the collection with its only partition that has rows.
        "effects": {("docs", "partitions"): []},
        "before": _make_partition,
    },
    "MilvusListCollectionsOperator": {"names": ""},
    "MilvusListPartitionsOperator": {},
    "MilvusListDatabasesOperator": {"names": ""},
    "MilvusCreateDatabaseOperator": {"names": TENANT, "before": _without_tenant},
    "MilvusAlterDatabaseOperator": {"names": TENANT, "before": _with_tenant, "servers": ("lite",)},
    "MilvusDropDatabaseOperator": {"names": TENANT, "before": _with_tenant},
    "MilvusAlterCollectionOperator": {"effects": {("docs", "properties"): {"collection.ttl.seconds": "60"}}},
    "MilvusCreateIndexOperator": {"effects": {("docs", "indexes"): [("vector", "FLAT")]}},
    # Lite brings a collection without an index back into memory by itself.
    "MilvusDropIndexOperator": {"effects": {("docs", "indexes"): [], ("docs", "state"): ANYTHING}},
    "MilvusFlushOperator": {},
    "MilvusCompactOperator": {},
    "MilvusTruncateCollectionOperator": {"effects": {("docs_2", "rows"): []}},
    "MilvusInsertOperator": {"effects": _ADDED, "more": {"rows": NEW_ROWS}},
    "MilvusUpsertOperator": {"effects": {("docs", "rows"): rows_of(*OTHER_ROWS)}, "more": {"rows": OTHER_ROWS}},
    "MilvusDeleteOperator": {"effects": {("docs", "rows"): rows_of(*ROWS[1:])}},
    "MilvusSyncDocumentsOperator": {
        "effects": {("docs", "rows"): rows_of(*SYNCED)},
        "partly": {("docs", "rows"): rows_of(*ROWS, SYNCED[-1])},
    },
    "MilvusRowCountCheckOperator": {},
    "MilvusRecallCheckOperator": {},
    "MilvusQueryOperator": {},
    "MilvusSearchOperator": {},
    "MilvusCopyCollectionOperator": {
        "effects": {
            **made("new"),
            ("new", "rows"): rows_of(*ROWS),
            ("new", "state"): _LOADED,
            ("new", "indexes"): [("vector", "FLAT")],
        },
        "partly": {("new", aspect): ANYTHING for aspect in ASPECTS},
        "names": "",
        "reach": 12.0,
    },
    "MilvusLoadStateSensor": {},
    "MilvusCollectionSensor": {},
    "MilvusIndexSensor": {},
    "MilvusRowCountSensor": {},
}
"""What the scenarios of docs/roles.md change."""
_CHANGE_ROWS = (
    operators.MilvusInsertOperator,
    operators.MilvusUpsertOperator,
    operators.MilvusDeleteOperator,
    operators.MilvusTruncateCollectionOperator,
)


def _of_roles() -> list[Task]:
    # Rows of what is not in memory are not seen.
    return [
        Task(replace(scenario, in_memory=scenario.in_memory or scenario.kind in _CHANGE_ROWS), **_PLAYED[scenario.name])
        for scenario in SCENARIOS
    ]


TASKS: tuple[Task, ...] = (
    *_of_roles(),
    Task(
        Scenario(
            operators.MilvusCreateCollectionOperator,
            {**_OTHER, "schema": SCHEMA, "indexes": [INDEX], "if_exists": "replace"},
            'if_exists="replace"',
        ),
        {**made("docs_2"), ("docs_2", "rows"): ANYTHING},
        partly=gone("docs_2"),
        may_leave="airflow_trial_of_docs_2",
    ),
    Task(
        Scenario(operators.MilvusDeleteOperator, {**_DOCS, "filter": "id < 11"}, "by filter", in_memory=True),
        {("docs", "rows"): rows_of(*ROWS[10:])},
    ),
    Task(
        Scenario(operators.MilvusLoadCollectionOperator, {**_DOCS, "on_timeout": "release"}, 'on_timeout="release"'),
        {("docs", "state"): _LOADED},
    ),
    Task(
        Scenario(operators.MilvusWindowReleaseOperator, {}),
        {("docs", "state"): _RELEASED, ("docs", "properties"): {}},
        partly={("docs", "properties"): ANYTHING},
        before=_open_window,
    ),
    Task(
        Scenario(operators.MilvusPrepareImportOperator, {**_DOCS, "rows": NEW_ROWS, "path": FILES}),
    ),
    Task(
        Scenario(operators.MilvusExportOperator, {**_DOCS, "path": FILES, "if_exists": "replace"}, in_memory=True),
    ),
    Task(
        Scenario(operators.MilvusBulkImportOperator, {**_DOCS}, in_memory=True),
        _ADDED,
        servers=_STANDALONE,
        before=import_file,
        reach=12.0,
    ),
    # There is no Prometheus: it fails once the server has answered.
    Task(Scenario(operators.MilvusReclaimBacktestOperator, {"collections": "docs_*"}, in_memory=True), names=""),
    Task(Scenario(operators.MilvusCreateSnapshotOperator, {**_DOCS, "snapshot_name": "monday"})),
    Task(
        Scenario(
            operators.MilvusRestoreSnapshotOperator,
            {**_DOCS, "snapshot_name": "monday", "target_collection_name": "docs_monday"},
        )
    ),
    Task(Scenario(sensors.MilvusLoadStateSensor, {**_DOCS, "target_state": "Loaded"}, "not met"), never=True),
    Task(Scenario(sensors.MilvusCollectionSensor, {"collection_name": "new"}, "not met"), never=True, names="new"),
    Task(Scenario(sensors.MilvusIndexSensor, _DOCS, "not met", indexed=False), never=True),
    Task(
        Scenario(sensors.MilvusRowCountSensor, {**_DOCS, "at_least": len(ROWS) + 1}, "not met", in_memory=True),
        never=True,
    ),
    Task(Scenario(sensors.MilvusCompactionSensor, {"compaction_id": 1}), names=""),
    Task(
        Scenario(sensors.MilvusBulkImportSensor, _DOCS, in_memory=True),
        {("docs", "rows"): ANYTHING},
        servers=_STANDALONE,
        before=_begin_import,
    ),
    Task(
        Scenario(sensors.MilvusDemandSensor, {"collections": ["docs"]}, "not met"),
        servers=_STANDALONE,
        never=True,
        by_metrics=True,
    ),
    Task(Scenario(triggers.MilvusConditionTrigger, {"condition": LoadState("docs").serialize()}, in_memory=True)),
    Task(Scenario(triggers.MilvusConditionTrigger, {"condition": LoadState("docs").serialize()}, "not met"), never=True),
    Task(
        Scenario(triggers.MilvusDemandTrigger, {"collections": ["docs"]}, "not met"),
        servers=_STANDALONE,
        never=True,
        by_metrics=True,
    ),
)
