"""Operators and sensors as a DAG file sees them: made, refused, rendered and serialized, without a connection or a server."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_milvus.conditions import LoadState
from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.operators.bulk_import import MilvusBulkImportOperator, MilvusPrepareImportOperator
from airflow_provider_milvus.operators.collection import (
    MilvusCreateCollectionOperator,
    MilvusCreateIndexOperator,
    MilvusDropCollectionOperator,
    MilvusDropIndexOperator,
    MilvusSwapAliasOperator,
)
from airflow_provider_milvus.operators.data import (
    MilvusDeleteOperator,
    MilvusInsertOperator,
    MilvusRecallCheckOperator,
    MilvusRowCountCheckOperator,
    MilvusUpsertOperator,
)
from airflow_provider_milvus.operators.maintenance import (
    MilvusAlterCollectionOperator,
    MilvusCompactOperator,
    MilvusCreateSnapshotOperator,
    MilvusFlushOperator,
    MilvusRestoreSnapshotOperator,
    MilvusTruncateCollectionOperator,
)
from airflow_provider_milvus.operators.memory import (
    MilvusLoadCollectionOperator,
    MilvusLoadPartitionsOperator,
    MilvusReclaimMemoryOperator,
    MilvusRefreshLoadOperator,
    MilvusReleaseCollectionOperator,
    MilvusReleasePartitionsOperator,
    MilvusRestoreLoadOperator,
)
from airflow_provider_milvus.operators.memory_report import MilvusMemoryReportOperator
from airflow_provider_milvus.operators.window import MilvusWindowLoadOperator, MilvusWindowReleaseOperator
from airflow_provider_milvus.sensors.milvus import (
    MilvusBulkImportSensor,
    MilvusCollectionSensor,
    MilvusCompactionSensor,
    MilvusIndexSensor,
    MilvusLoadStateSensor,
    MilvusRowCountSensor,
)
from airflow_provider_milvus.triggers.milvus import MilvusConditionTrigger

TEMPLATE = "{{ params.it }}"

MINIMAL: dict[type, dict[str, Any]] = {
    MilvusLoadCollectionOperator: {"collection_name": "docs"},
    MilvusLoadPartitionsOperator: {"collection_name": "docs", "partition_names": ["p1"]},
    MilvusReclaimMemoryOperator: {"collections": ["events_*"]},
    MilvusRefreshLoadOperator: {"collection_name": "docs"},
    MilvusReleaseCollectionOperator: {"collection_name": "docs"},
    MilvusReleasePartitionsOperator: {"collection_name": "docs", "partition_names": ["p1"]},
    MilvusLoadStateSensor: {"collection_name": "docs"},
    MilvusCollectionSensor: {"collection_name": "docs"},
    MilvusIndexSensor: {"collection_name": "docs"},
    MilvusCreateCollectionOperator: {"collection_name": "docs", "schema": {"fields": []}},
    MilvusDropCollectionOperator: {"collection_name": "docs"},
    MilvusCreateIndexOperator: {"collection_name": "docs", "field_name": "vector"},
    MilvusDropIndexOperator: {"collection_name": "docs", "field_name": "vector"},
    MilvusSwapAliasOperator: {"collection_name": "docs_2", "alias": "docs"},
    MilvusBulkImportOperator: {"collection_name": "docs", "files": "docs.parquet"},
    MilvusPrepareImportOperator: {"collection_name": "docs", "rows": "docs.parquet", "path": "/tmp/docs"},
    MilvusBulkImportSensor: {"collection_name": "docs", "job_id": "1"},
    MilvusInsertOperator: {"collection_name": "docs", "rows": "docs.parquet"},
    MilvusUpsertOperator: {"collection_name": "docs", "rows": "docs.parquet"},
    MilvusDeleteOperator: {"collection_name": "docs", "ids": [1]},
    MilvusRowCountCheckOperator: {"collection_name": "docs", "equal_to": 1},
    MilvusRecallCheckOperator: {"collection_name": "docs"},
    MilvusFlushOperator: {"collection_name": "docs"},
    MilvusCompactOperator: {"collection_name": "docs"},
    MilvusTruncateCollectionOperator: {"collection_name": "docs", "confirm": "docs"},
    MilvusAlterCollectionOperator: {"collection_name": "docs", "properties": {"mmap.enabled": True}},
    MilvusCreateSnapshotOperator: {"collection_name": "docs", "snapshot_name": "monday"},
    MilvusRestoreSnapshotOperator: {
        "collection_name": "docs",
        "snapshot_name": "monday",
        "target_collection_name": "docs_monday",
    },
    MilvusRowCountSensor: {"collection_name": "docs", "at_least": 1},
    MilvusCompactionSensor: {"compaction_id": "1"},
    MilvusMemoryReportOperator: {},
    MilvusRestoreLoadOperator: {"restore_set": {"restore": {"default": ["docs"]}}},
    MilvusWindowLoadOperator: {"collection_name": "docs"},
    MilvusWindowReleaseOperator: {"window": {"window": "w", "collection": "docs", "previous_state": "NotLoad"}},
}
OPERATORS = [each for each in MINIMAL if not each.__name__.endswith("Sensor")]
DEFERRABLE = [each for each in MINIMAL if "deferrable" in vars(each(task_id="t", **MINIMAL[each]))]
RENAMED = ("plan_only", "approved_plan")
"""Attributes of the reclaim whose arguments have other names."""
EXCLUSIVE = ("at_least", "same_as", "tolerance")
"""What a row count is compared with, of which only one is given."""
everything = pytest.mark.parametrize("kind", MINIMAL, ids=lambda kind: kind.__name__)


def make(kind: type, **arguments: Any) -> Any:
    return kind(task_id="task", **{**MINIMAL[kind], **arguments})


@pytest.fixture(autouse=True)
def no_connection(monkeypatch):
    """Nothing here may need one: a DAG file is parsed where Milvus cannot be reached."""
    monkeypatch.delenv("AIRFLOW_CONN_MILVUS_DEFAULT", raising=False)


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("hooks.milvus", ["MilvusHook"]),
        ("operators.bulk_import", ["MilvusBulkImportOperator", "MilvusPrepareImportOperator"]),
        (
            "operators.memory",
            [
                "MilvusLoadCollectionOperator",
                "MilvusReleaseCollectionOperator",
                "MilvusRefreshLoadOperator",
                "MilvusLoadPartitionsOperator",
                "MilvusReleasePartitionsOperator",
                "MilvusReclaimMemoryOperator",
                "MilvusRestoreLoadOperator",
            ],
        ),
        ("operators.memory_report", ["MilvusMemoryReportOperator"]),
        ("operators.restore", ["MilvusRestoreLoadOperator"]),
        ("operators.window", ["MilvusWindowLoadOperator", "MilvusWindowReleaseOperator"]),
        (
            "operators.collection",
            [
                "MilvusCreateCollectionOperator",
                "MilvusDropCollectionOperator",
                "MilvusCreateIndexOperator",
                "MilvusDropIndexOperator",
                "MilvusSwapAliasOperator",
            ],
        ),
        (
            "operators.data",
            [
                "MilvusInsertOperator",
                "MilvusUpsertOperator",
                "MilvusDeleteOperator",
                "MilvusRowCountCheckOperator",
                "MilvusRecallCheckOperator",
            ],
        ),
        (
            "operators.maintenance",
            [
                "MilvusFlushOperator",
                "MilvusCompactOperator",
                "MilvusTruncateCollectionOperator",
                "MilvusAlterCollectionOperator",
                "MilvusCreateSnapshotOperator",
                "MilvusRestoreSnapshotOperator",
            ],
        ),
        (
            "sensors.milvus",
            [
                "MilvusLoadStateSensor",
                "MilvusCollectionSensor",
                "MilvusIndexSensor",
                "MilvusRowCountSensor",
                "MilvusCompactionSensor",
            ],
        ),
        ("triggers.milvus", ["MilvusConditionTrigger"]),
    ],
)
def test_public_names_are_where_others_import_them(module, names):
    found = vars(import_module(f"airflow_provider_milvus.{module}"))
    assert [each for each in names if not isinstance(found.get(each), type)] == []


class TestConstructor:
    @pytest.mark.parametrize("timeout", [0, -1, math.nan, math.inf, "5", "soon", True])
    @pytest.mark.parametrize("kind", OPERATORS, ids=lambda kind: kind.__name__)
    def test_refuses_a_timeout_that_can_never_work(self, kind, timeout):
        with pytest.raises(MilvusInvalidArgumentError, match="timeout must be"):
            make(kind, timeout=timeout)

    @pytest.mark.parametrize(
        ("kind", "arguments", "named"),
        [
            (MilvusReleaseCollectionOperator, {"if_missing": "ignore"}, "if_missing"),
            (MilvusReleaseCollectionOperator, {"if_missing": None}, "if_missing"),
            (MilvusReleasePartitionsOperator, {"if_missing": ""}, "if_missing"),
            (MilvusLoadCollectionOperator, {"on_timeout": "drop"}, "on_timeout"),
            (MilvusLoadCollectionOperator, {"poll_interval": 0}, "poll_interval"),
            (MilvusLoadCollectionOperator, {"poll_interval": None}, "poll_interval"),
            (MilvusLoadCollectionOperator, {"stall_timeout": -1}, "stall_timeout"),
            (MilvusLoadCollectionOperator, {"replica_number": 0}, "replica_number"),
            (MilvusLoadCollectionOperator, {"replica_number": True}, "replica_number"),
            (MilvusLoadCollectionOperator, {"replica_number": "two"}, "replica_number"),
            (MilvusLoadCollectionOperator, {"replica_number": 1.0}, "replica_number"),
            (MilvusLoadCollectionOperator, {"resource_groups": []}, "resource_groups"),
            (MilvusLoadCollectionOperator, {"load_fields": 5}, "load_fields"),
            (MilvusLoadPartitionsOperator, {"on_timeout": None}, "on_timeout"),
            (MilvusRefreshLoadOperator, {"poll_interval": "2"}, "poll_interval"),
            (MilvusReclaimMemoryOperator, {"release_timeout": 0}, "release_timeout"),
            (MilvusRestoreLoadOperator, {"load_timeout": 0}, "load_timeout"),
            (MilvusRestoreLoadOperator, {"if_missing": None}, "if_missing"),
            (MilvusRestoreLoadOperator, {"max_parallel": 0}, "max_parallel"),
            (MilvusRestoreLoadOperator, {"max_memory_percent": "90"}, "max_memory_percent"),
            (MilvusWindowLoadOperator, {"at_most": 0}, "at_most"),
            (MilvusLoadStateSensor, {"target_state": "loaded"}, "target_state"),
            (MilvusLoadStateSensor, {"target_state": "Loading"}, "target_state"),
            (MilvusLoadStateSensor, {"target_state": None}, "target_state"),
        ],
    )
    def test_refuses_by_name_what_is_no_template(self, kind, arguments, named):
        with pytest.raises(MilvusInvalidArgumentError, match=f"^{named} "):
            make(kind, **arguments)

    @everything
    def test_leaves_templates_for_the_run(self, kind):
        task = make(kind, **{field: TEMPLATE for field in kind.template_fields if field not in RENAMED + EXCLUSIVE})
        assert task.database == TEMPLATE

    @everything
    def test_takes_a_timedelta_where_it_takes_seconds(self, kind):
        task = make(kind, timeout=timedelta(minutes=2))
        assert task.timeout == 120

    @pytest.mark.parametrize("argument", ["resource_groups", "load_fields"])
    def test_takes_one_name_for_a_list_of_one(self, argument):
        assert make(MilvusLoadCollectionOperator, **{argument: "first"})._options() == {argument: ["first"]}

    def test_passes_on_only_what_was_asked_for(self):
        assert make(MilvusLoadCollectionOperator)._options() == {}
        task = make(
            MilvusLoadCollectionOperator,
            replica_number=2,
            resource_groups=["a", "b"],
            load_fields=("id", "v"),
            skip_load_dynamic_field=True,
        )
        assert task._options() == {
            "replica_number": 2,
            "resource_groups": ["a", "b"],
            "load_fields": ["id", "v"],
            "skip_load_dynamic_field": True,
        }


BAD_NAMES = ["", " ", "7", 7, None, "x" * 300, "Bücher", "'docs'", '"docs"', "default.docs"]


class TestExecute:
    """Bad values that a template can bring are refused before a connection is even looked for."""

    @pytest.mark.parametrize("value", BAD_NAMES)
    @pytest.mark.parametrize("kind", [each for each in MINIMAL if "collection_name" in MINIMAL[each]])
    def test_refuses_a_bad_collection_name(self, kind, value):
        with pytest.raises(MilvusInvalidArgumentError, match=r"^collection_name "):
            make(kind, collection_name=value).execute({})

    @pytest.mark.parametrize("value", [*[each for each in BAD_NAMES if each is not None], [], [""], [None], ["docs", 7]])
    @pytest.mark.parametrize("kind", [each for each in MINIMAL if "partition_names" in each.template_fields])
    def test_refuses_a_bad_partition_name(self, kind, value):
        with pytest.raises(MilvusInvalidArgumentError, match=r"^partition_names[ \[]"):
            make(kind, partition_names=value).execute({})

    @pytest.mark.parametrize("value", [each for each in BAD_NAMES if each is not None])
    @everything
    def test_refuses_a_bad_database(self, kind, value):
        with pytest.raises(MilvusInvalidArgumentError, match=r"^database "):
            make(kind, database=value).execute({})

    @pytest.mark.parametrize(
        ("arguments", "named"),
        [
            ({"collections": None}, "Set collections, older_than, idle_for, loaded_for, memory_budget"),
            ({"collections": []}, "Set collections, older_than, idle_for, loaded_for, memory_budget"),
            ({"collections": [], "older_than": ""}, "Set collections, older_than, idle_for, loaded_for, memory_budget"),
            ({"collections": None, "exclude": ["docs"]}, "Set collections, older_than, idle_for, loaded_for, memory_budget"),
            ({"collections": "['events_*', 'tmp_*']"}, "a list that became text"),
            ({"exclude": [5]}, "exclude holds 5"),
            ({"older_than": "7 days"}, "older_than must be a timedelta or an ISO 8601 duration"),
            ({"idle_for": "7 days"}, "idle_for must be a timedelta or an ISO 8601 duration"),
            ({"loaded_for": "PT0S"}, "loaded_for is zero"),
            ({"min_idle": timedelta(days=-1)}, "min_idle is negative"),
            ({"memory_budget": "64 gigs"}, "memory_budget must be a size"),
            ({"older_than": "P7D", "date_format": "%d"}, "date_format '%d'"),
            ({"older_than": "P7D", "date_format": None}, "date_format None"),
            ({"older_than": "P7D", "date_format": 20240301}, "date_format 20240301"),
            ({"timezone": "Nowhere/Land"}, "timezone 'Nowhere/Land' is not a time zone"),
            ({"dry_run": "yes, please"}, "dry_run must be true or false"),
            ({"max_releases": 0}, "max_releases must be a whole number"),
            ({"collections": None, "plan": "[]"}, "plan is not what a dry run returned under 'plan': it is not a list"),
            ({"collections": None, "plan": [{}]}, "plan is not what a dry run returned under 'plan': an entry lacks"),
        ],
    )
    def test_refuses_a_reclaim_rule_that_can_never_work(self, arguments, named):
        with pytest.raises(MilvusInvalidArgumentError) as refused:
            make(MilvusReclaimMemoryOperator, **arguments).execute({})
        assert named in str(refused.value)

    @pytest.mark.parametrize(
        ("argument", "value"),
        [
            ("collections", ["events_*"]),
            ("exclude", "docs"),
            ("databases", "*"),
            ("older_than", timedelta(0)),
            ("idle_for", "P7D"),
            ("loaded_for", "P7D"),
            ("memory_budget", 0),
            ("min_idle", "P1D"),
            ("max_releases", 3),
        ],
    )
    def test_refuses_a_rule_next_to_an_approved_plan(self, argument, value):
        arguments = {"collections": None, argument: value, "plan": []}
        with pytest.raises(MilvusInvalidArgumentError, match=f"leave out {argument}"):
            make(MilvusReclaimMemoryOperator, **arguments).execute({})

    @pytest.mark.parametrize("rule", ["idle_for", "min_idle"])
    def test_refuses_rules_about_use_where_the_connection_has_no_metrics(self, rule, monkeypatch):
        monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", "milvus://h")
        with pytest.raises(MilvusInvalidArgumentError, match="idle_for and min_idle need metrics: set metrics_url"):
            make(MilvusReclaimMemoryOperator, **{rule: "P7D"}).execute({})


class Run:
    """A DAG run, as far as the reclaim looks at one."""

    run_after = datetime(2024, 3, 15, tzinfo=UTC)


class TestNowOfAReclaim:
    def now(self, **context: Any) -> datetime:
        return make(MilvusReclaimMemoryOperator)._policy(context).now

    def test_is_the_runs_logical_date(self):
        logical = datetime(2024, 3, 1, tzinfo=UTC)
        assert self.now(logical_date=logical, dag_run=Run()) == logical

    def test_is_run_after_where_a_manual_run_has_no_logical_date(self):
        assert self.now(logical_date=None, dag_run=Run()) == Run.run_after

    def test_is_now_outside_a_run(self):
        before = datetime.now(UTC)
        assert before <= self.now() <= datetime.now(UTC)


class TestSensor:
    def test_waits_for_what_it_was_told(self):
        sensor = make(MilvusLoadStateSensor, partition_names="p1", target_state="Loaded", fail_if_not_loading=True)
        assert sensor.condition() == LoadState("docs", ["p1"], "Loaded", True)

    def test_that_waits_for_not_load_does_not_fail_when_nobody_loads(self):
        sensor = make(MilvusLoadStateSensor, target_state="NotLoad", fail_if_not_loading=True)
        assert sensor.condition() == LoadState("docs", [], "NotLoad", False)


class TestTemplates:
    @everything
    def test_name_attributes(self, kind):
        task = make(kind)
        assert {"milvus_conn_id", "database"} <= set(kind.template_fields)
        assert [field for field in kind.template_fields if not hasattr(task, field)] == []

    @everything
    def test_are_rendered(self, kind):
        task = make(kind)
        for field in kind.template_fields:
            setattr(task, field, TEMPLATE)
        task.render_template_fields({"params": {"it": "rendered"}})
        assert {field: getattr(task, field) for field in kind.template_fields} == dict.fromkeys(
            kind.template_fields, "rendered"
        )

    def test_within_lists_are_rendered(self):
        task = make(MilvusReclaimMemoryOperator, collections=["events_*", TEMPLATE], older_than=timedelta(days=1))
        task.render_template_fields({"params": {"it": "tmp_*"}})
        assert (task.collections, task.older_than) == (["events_*", "tmp_*"], timedelta(days=1))

    def test_of_dry_run_are_rendered_and_read(self):
        task = make(MilvusReclaimMemoryOperator, dry_run=TEMPLATE)
        task.render_template_fields({"params": {"it": True}})
        assert task.plan_only == "True"
        with pytest.raises(MilvusInvalidArgumentError, match="collections holds 5"):
            # Gets past dry_run, to the argument that is wrong on purpose.
            make(MilvusReclaimMemoryOperator, dry_run="True", collections=[5]).execute({})


class TestDeferrable:
    @pytest.mark.parametrize("kind", DEFERRABLE, ids=lambda kind: kind.__name__)
    def test_can_be_chosen(self, kind):
        assert make(kind, deferrable=True).deferrable is True
        assert make(kind, deferrable=False).deferrable is False

    def test_is_offered_by_all_that_wait(self):
        assert {each.__name__ for each in DEFERRABLE} == {
            "MilvusLoadCollectionOperator",
            "MilvusLoadPartitionsOperator",
            "MilvusRefreshLoadOperator",
            "MilvusWindowLoadOperator",
            "MilvusLoadStateSensor",
            "MilvusBulkImportOperator",
            "MilvusBulkImportSensor",
            "MilvusCollectionSensor",
            "MilvusCreateIndexOperator",
            "MilvusIndexSensor",
            "MilvusSwapAliasOperator",
            "MilvusFlushOperator",
            "MilvusCompactOperator",
            "MilvusRestoreSnapshotOperator",
            "MilvusRowCountSensor",
            "MilvusCompactionSensor",
        }

    @pytest.mark.parametrize("default", ["True", "False"])
    def test_follows_airflows_setting(self, default, run_python):
        code = """
            from airflow_provider_milvus.operators.memory import MilvusLoadCollectionOperator, MilvusRefreshLoadOperator
            from airflow_provider_milvus.sensors.milvus import MilvusLoadStateSensor
            for kind in (MilvusLoadCollectionOperator, MilvusRefreshLoadOperator, MilvusLoadStateSensor):
                print(kind(task_id="t", collection_name="docs").deferrable)
        """
        assert run_python(code, AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE=default).split() == [default] * 3


class TestHook:
    @pytest.mark.parametrize(
        ("arguments", "named"),
        [
            ({"timeout": 0}, "timeout"),
            ({"timeout": "5"}, "timeout"),
            ({"database": ""}, "database"),
            ({"database": "x" * 300}, "database"),
            ({"database": 5}, "database"),
        ],
    )
    def test_refuses_what_can_never_work(self, arguments, named):
        with pytest.raises(MilvusInvalidArgumentError, match=f"^{named} "):
            MilvusHook(**arguments)

    def test_costs_no_connection(self):
        assert MilvusHook("not_there", database="books", timeout=5).timeout == 5

    @pytest.mark.parametrize(
        ("connection", "message"),
        [
            ("milvus://", "The connection: neither host nor uri is set."),
            ("milvus://h?timeout=soon", "The connection: extra 'timeout': input should be a valid number"),
            ("postgres://h", "The connection is of type 'postgres', not 'milvus'."),
        ],
    )
    def test_tells_what_is_wrong_with_a_connection_and_not_the_id_that_airflow_made_up(self, monkeypatch, connection, message):
        monkeypatch.setenv("AIRFLOW_CONN_MADE_UP", connection)
        ok, said = MilvusHook("made_up").test_connection()
        assert ok is False
        assert said.startswith(message)

    def test_prefers_its_own_timeout_to_the_connections(self, monkeypatch):
        monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", "milvus://h?timeout=7")
        assert MilvusHook().operation_timeout == 7
        assert MilvusHook(timeout=3).operation_timeout == 3


def test_the_trigger_comes_back_from_the_database_as_it_was():
    condition = LoadState("docs", ["p1"]).serialize()
    trigger = MilvusConditionTrigger(
        condition=condition, end=1_700_000_000.5, milvus_conn_id="m", database="books", poll_interval=3, undo_on_kill=True
    )
    path, arguments = trigger.serialize()
    module, _, name = path.rpartition(".")
    again = getattr(import_module(module), name)(**json.loads(json.dumps(arguments)))
    assert again.serialize() == trigger.serialize()
    assert vars(again).keys() >= arguments.keys()


@everything
@pytest.mark.parametrize("deferrable", [False, True])
def test_a_dag_survives_serialization(kind, deferrable):
    arguments = {"deferrable": True} if deferrable and kind in DEFERRABLE else {}
    with DAG("milvus", start_date=datetime(2024, 1, 1, tzinfo=UTC), schedule=None) as dag:
        make(kind, database="{{ params.database }}", **arguments)
    stored = json.loads(json.dumps(serialized(dag)))
    (task,) = deserialized(stored).tasks
    assert (task.task_id, task.task_type) == ("task", kind.__name__)
    assert list(task.template_fields) == list(kind.template_fields)
    assert task.database == "{{ params.database }}"
    assert task.ui_color == kind.ui_color


def test_a_mapped_task_survives_serialization():
    with DAG("milvus", start_date=datetime(2024, 1, 1, tzinfo=UTC), schedule=None) as dag:
        MilvusReleaseCollectionOperator.partial(task_id="task", if_missing="skip").expand(collection_name=["a", "b"])
    (task,) = deserialized(json.loads(json.dumps(serialized(dag)))).tasks
    assert task.partial_kwargs["if_missing"] == "skip"


def serialized(dag: Any) -> dict[str, Any]:
    try:
        from airflow.serialization.serialized_objects import DagSerialization as Serialization
    except ImportError:
        from airflow.serialization.serialized_objects import SerializedDAG as Serialization
    return Serialization.to_dict(dag)


def deserialized(stored: dict[str, Any]) -> Any:
    try:
        from airflow.serialization.serialized_objects import DagSerialization as Serialization
    except ImportError:
        from airflow.serialization.serialized_objects import SerializedDAG as Serialization
    return Serialization.from_dict(stored)
