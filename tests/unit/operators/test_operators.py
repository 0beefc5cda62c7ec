"""Operators and sensors as a DAG file sees them: made, refused, rendered and serialized, without a connection or a server."""

from __future__ import annotations

import json
import math
import time
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_milvus.conditions import LoadState
from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.operators.base import result
from airflow_provider_milvus.operators.dates import now_of
from airflow_provider_milvus.operators.milvus import (
    MilvusLoadCollectionOperator,
    MilvusReclaimMemoryOperator,
    MilvusReleaseCollectionOperator,
    MilvusReleasePartitionsOperator,
    MilvusRestoreLoadOperator,
    MilvusWindowLoadOperator,
)
from airflow_provider_milvus.sensors.milvus import (
    MilvusLoadStateSensor,
)
from airflow_provider_milvus.triggers.milvus import MilvusConditionTrigger
from tests.public import OPERATORS, TASKS, arguments_of, make, minimal

DEFERRABLE = [kind for kind in TASKS if "deferrable" in arguments_of(kind)]
everything = pytest.mark.parametrize("kind", TASKS, ids=lambda kind: kind.__name__)


@pytest.fixture(autouse=True)
def no_connection(monkeypatch):
    """Nothing here may need one: a DAG file is parsed where Milvus cannot be reached."""
    monkeypatch.delenv("AIRFLOW_CONN_MILVUS_DEFAULT", raising=False)


class TestConstructor:
    @pytest.mark.parametrize("timeout", [0, -1, math.nan, math.inf, "soon", True])
    @pytest.mark.parametrize("kind", OPERATORS, ids=lambda kind: kind.__name__)
    def test_refuses_a_timeout_that_can_never_work(self, kind, timeout):
        with pytest.raises(MilvusInvalidArgumentError, match="timeout must be"):
            make(kind, timeout=timeout)

    @pytest.mark.parametrize(
        ("kind", "arguments", "named"),
        [
            (MilvusReleaseCollectionOperator, {"if_missing": "ignore"}, "if_missing"),
            (MilvusReleasePartitionsOperator, {"if_missing": ""}, "if_missing"),
            (MilvusLoadCollectionOperator, {"on_timeout": "drop"}, "on_timeout"),
            (MilvusLoadCollectionOperator, {"poll_interval": 0}, "poll_interval"),
            (MilvusLoadCollectionOperator, {"stall_timeout": -1}, "stall_timeout"),
            (MilvusLoadCollectionOperator, {"replica_number": 0}, "replica_number"),
            (MilvusLoadCollectionOperator, {"replica_number": True}, "replica_number"),
            (MilvusLoadCollectionOperator, {"replica_number": "two"}, "replica_number"),
            (MilvusLoadCollectionOperator, {"replica_number": 1.0}, "replica_number"),
            (MilvusLoadCollectionOperator, {"resource_groups": []}, "resource_groups"),
            (MilvusLoadCollectionOperator, {"load_fields": 5}, "load_fields"),
            (MilvusReclaimMemoryOperator, {"release_timeout": 0}, "release_timeout"),
            (MilvusRestoreLoadOperator, {"load_timeout": 0}, "load_timeout"),
            (MilvusRestoreLoadOperator, {"max_parallel": 0}, "max_parallel"),
            (MilvusWindowLoadOperator, {"at_most": 0}, "at_most"),
            (MilvusLoadStateSensor, {"target_state": "loaded"}, "target_state"),
            (MilvusLoadStateSensor, {"target_state": "Loading"}, "target_state"),
        ],
    )
    def test_refuses_by_name_what_is_no_template(self, kind, arguments, named):
        with pytest.raises(MilvusInvalidArgumentError, match=f": {named} "):
            make(kind, **arguments)

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
    @pytest.mark.parametrize("kind", [kind for kind in TASKS if "collection_name" in minimal(kind)])
    def test_refuses_a_bad_collection_name(self, kind, value):
        with pytest.raises(MilvusInvalidArgumentError, match=r"\bcollection_name "):
            make(kind, collection_name=value).execute({})

    @pytest.mark.parametrize("value", [*[each for each in BAD_NAMES if each is not None], [], [""], [None], ["docs", 7]])
    @pytest.mark.parametrize("kind", [kind for kind in TASKS if "partition_names" in kind.template_fields])
    def test_refuses_a_bad_partition_name(self, kind, value):
        with pytest.raises(MilvusInvalidArgumentError, match=r"\bpartition_names[ \[]"):
            make(kind, partition_names=value).execute({})

    @pytest.mark.parametrize("value", [each for each in BAD_NAMES if each is not None])
    @everything
    def test_refuses_a_bad_database(self, kind, value):
        with pytest.raises(MilvusInvalidArgumentError, match=r"\bdatabase "):
            make(kind, database=value).execute({})

    @pytest.mark.parametrize(
        ("arguments", "named"),
        [
            ({"collections": None}, "Set one or more of collections, older_than, idle_for, loaded_for and memory_budget"),
            (
                {"collections": None, "older_than": "any"},
                "Set one or more of collections, older_than, idle_for, loaded_for and memory_budget",
            ),
            (
                {"collections": None, "exclude": ["docs"]},
                "Set one or more of collections, older_than, idle_for, loaded_for and memory_budget",
            ),
            ({"collections": "['events_*', 'tmp_*']"}, "a list that became text"),
            ({"exclude": [5]}, "exclude holds 5"),
            ({"older_than": "7 days"}, "older_than must be a timedelta or an ISO 8601 duration"),
            ({"idle_for": "7 days"}, "idle_for must be a timedelta or an ISO 8601 duration"),
            ({"loaded_for": "PT0S"}, "loaded_for is zero"),
            ({"min_idle": timedelta(days=-1)}, "min_idle is negative"),
            ({"memory_budget": "64 gigs"}, "memory_budget must be a size"),
            ({"older_than": "P7D", "date_format": "%d"}, "date_format '%d'"),
            ({"older_than": "P7D", "date_format": 20240301}, "date_format must be a text, not 20240301"),
            ({"timezone": "Nowhere/Land"}, "timezone 'Nowhere/Land' is not a time zone"),
            ({"dry_run": "yes, please"}, "dry_run must be true or false"),
            ({"max_releases": 0}, "max_releases must be a whole number"),
            ({"collections": None, "plan": "[{}]"}, "plan is not what a dry run returned under 'plan': it is not a list"),
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
            ("memory_budget", "64GiB"),
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


def test_the_last_line_of_a_log_names_connection_server_and_database(monkeypatch, log_text):
    monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", "milvus://h:19530")
    result(MilvusHook(database="books"), "docs", time.time())
    assert "Done with collection 'docs' after 0.0" in (text := log_text())
    assert " s. Connection 'milvus_default' (http://h:19530), database 'books'." in text


class Run:
    """A DAG run, as far as the reclaim looks at one."""

    run_after = datetime(2024, 3, 15, tzinfo=UTC)


class TestNowOfAReclaim:
    def now(self, **context: Any) -> datetime:
        return now_of(context, print)

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


class TestDeferrable:
    @pytest.mark.parametrize("kind", DEFERRABLE, ids=lambda kind: kind.__name__)
    def test_can_be_chosen(self, kind):
        assert make(kind, deferrable=True).deferrable is True
        assert make(kind, deferrable=False).deferrable is False

    def test_is_offered_by_all_that_wait(self):
        """Those that do not wait make a few calls, or many that a worker has to make."""
        assert {kind.__name__ for kind in TASKS} - {kind.__name__ for kind in DEFERRABLE} == {
            "MilvusAlterCollectionOperator",
            "MilvusCopyCollectionOperator",
            "MilvusAlterDatabaseOperator",
            "MilvusCreateCollectionOperator",
            "MilvusCreateDatabaseOperator",
            "MilvusCreatePartitionOperator",
            "MilvusCreateSnapshotOperator",
            "MilvusDeleteOperator",
            "MilvusDropAliasOperator",
            "MilvusDropCollectionOperator",
            "MilvusDropDatabaseOperator",
            "MilvusDropIndexOperator",
            "MilvusDropPartitionOperator",
            "MilvusExportOperator",
            "MilvusInsertOperator",
            "MilvusListCollectionsOperator",
            "MilvusListDatabasesOperator",
            "MilvusListPartitionsOperator",
            "MilvusMemoryReportOperator",
            "MilvusPrepareImportOperator",
            "MilvusQueryOperator",
            "MilvusRecallCheckOperator",
            "MilvusReclaimBacktestOperator",
            "MilvusReclaimMemoryOperator",
            "MilvusReleaseCollectionOperator",
            "MilvusReleasePartitionsOperator",
            "MilvusRenameCollectionOperator",
            "MilvusRestoreLoadOperator",
            "MilvusRowCountCheckOperator",
            "MilvusSearchOperator",
            "MilvusSyncDocumentsOperator",
            "MilvusTruncateCollectionOperator",
            "MilvusUpsertOperator",
            "MilvusWindowReleaseOperator",
        }

    @pytest.mark.parametrize("default", ["True", "False"])
    def test_follows_airflows_setting(self, default, run_python):
        code = """
            from airflow_provider_milvus.operators.milvus import MilvusLoadCollectionOperator, MilvusRefreshLoadOperator
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
            ({"timeout": "soon"}, "timeout"),
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
