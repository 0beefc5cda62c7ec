"""What each kind of argument accepts; and, for every argument of every operator and sensor, what nothing means."""

from __future__ import annotations

import inspect
import math
import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, XComArg
from hypothesis import given, strategies as st

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.kinds import (
    LONGEST_NAME,
    Share,
    check_age,
    check_databases,
    check_files,
    check_flag,
    check_job_ids,
    check_keys,
    check_name,
    check_names,
    check_on_bad_row,
    check_patterns,
    check_percent,
    check_seconds,
    check_size,
    check_span,
    check_timezone,
    check_whole_number,
    number,
    one_of,
    whole_number,
)
from airflow_provider_milvus.operators.milvus import (
    MilvusDeleteOperator,
    MilvusReclaimMemoryOperator,
    MilvusReleaseCollectionOperator,
    MilvusUpsertOperator,
)
from tests.public import NOT_TEMPLATES, TASKS, arguments_of, make, minimal

NOTHING = ["", " ", "None", [], {}, "[]", "{}"]
EMPTY_LIST_IS_GIVEN = {"rows", "ids", "files", "plan"}
"""An empty list says that there is nothing to do."""
EMPTY_LIST_IS_WRITTEN = {"exclude"}
"""An empty list is a choice where the DAG file has it."""
WIDENING = {
    "database",
    "exclude",
    "expected_old",
    "filter",
    "idle_for",
    "loaded_for",
    "max_deleted",
    "max_releases",
    "memory_budget",
    "min_idle",
    "new_database",
    "older_than",
    "pattern",
}
"""Without them a task does more, so that a None that is written is an error as well."""
WIDENING_IN_SOME = {
    "partition_name": {"MilvusDeleteOperator", "MilvusSyncDocumentsOperator"},
    "partition_names": {
        "MilvusCollectionSensor",
        "MilvusCopyCollectionOperator",
        "MilvusExportOperator",
        "MilvusLoadStateSensor",
        "MilvusQueryOperator",
        "MilvusRowCountCheckOperator",
        "MilvusRowCountSensor",
        "MilvusSearchOperator",
    },
    "ids": {"MilvusQueryOperator"},
}
EVERY = [pytest.param(kind, argument, id=f"{kind.__name__}-{argument}") for kind in TASKS for argument in arguments_of(kind)]
TEMPLATED = [parameter for parameter in EVERY if parameter.values[1] not in NOT_TEMPLATES]
FLAGS = [parameter for parameter in EVERY if isinstance(arguments_of(parameter.values[0])[parameter.values[1]].default, bool)]
every_argument = pytest.mark.parametrize(("kind", "argument"), EVERY)
every_template = pytest.mark.parametrize(("kind", "argument"), TEMPLATED)


def widens(kind: type, argument: str) -> bool:
    return argument in WIDENING or kind.__name__ in WIDENING_IN_SOME.get(argument, ())


def refused(call: Any, *values: Any, **keywords: Any) -> str:
    with pytest.raises(MilvusInvalidArgumentError) as refusal:
        call(*values, **keywords)
    return str(refusal.value)


def names_both(argument: str, words: str) -> None:
    assert argument in words
    assert "'task'" in words


@pytest.fixture(autouse=True)
def no_connection(monkeypatch):
    """A refusal comes before a connection is even looked for."""
    monkeypatch.delenv("AIRFLOW_CONN_MILVUS_DEFAULT", raising=False)


class TestEveryArgument:
    @every_argument
    def test_is_an_attribute_and_a_template_field_by_its_own_name(self, kind, argument):
        assert hasattr(make(kind), argument)
        assert (argument in kind.template_fields) is (argument not in NOT_TEMPLATES)

    @every_argument
    def test_that_is_written_and_empty_is_refused(self, kind, argument):
        for value in NOTHING:
            is_choice = argument in EMPTY_LIST_IS_GIVEN or (value == [] and argument in EMPTY_LIST_IS_WRITTEN)
            if value not in ([], "[]") or not is_choice:
                names_both(argument, refused(make, kind, **{argument: value}))

    @every_argument
    def test_that_is_none_in_the_dag_file_is_not_given(self, kind, argument):
        default = arguments_of(kind)[argument].default
        if default is inspect.Parameter.empty or widens(kind, argument):
            names_both(argument, refused(make, kind, **{argument: None}))
        elif argument not in minimal(kind):
            left_out, none = make(kind), kind(task_id="task", **minimal(kind), **{argument: None})
            assert repr(getattr(none, argument)) == repr(getattr(left_out, argument))

    @every_template
    def test_that_renders_to_nothing_is_refused_before_anything_is_sent(self, kind, argument):
        for value in [None, *NOTHING]:
            if value not in ([], "[]") or argument not in EMPTY_LIST_IS_GIVEN:
                names_both(argument, refused(run, make(kind, **{argument: Output(value)}), value))
        names_both(argument, refused(run, make(kind, **{argument: "{{ params.it }}"}), ""))
        with DAG("milvus", start_date=datetime(2024, 1, 1, tzinfo=UTC), render_template_as_native_obj=True, schedule=None):
            native = make(kind, **{argument: "{{ params.it }}"})
        names_both(argument, refused(run, native, None))

    @every_argument
    def test_that_is_mapped_to_none_is_refused(self, kind, argument):
        names_both(argument, refused(make, kind, **{argument: None, "_airflow_from_mapped": True}))

    @every_argument
    def test_that_is_none_in_default_args_is_refused(self, kind, argument):
        least = {name: value for name, value in minimal(kind, **{argument: None}).items() if name != argument}
        names_both(argument, refused(kind, task_id="task", default_args={argument: None}, **least))

    @every_argument
    def test_is_taken_once_more_as_it_is(self, kind, argument):
        """Airflow assigns a rendered field again, and copies tasks."""
        task = make(kind)
        setattr(task, argument, getattr(task, argument))
        task.render_template_fields({})

    @pytest.mark.parametrize(("kind", "argument"), FLAGS)
    def test_that_is_a_flag_is_true_or_false_and_nothing_else(self, kind, argument):
        for value in ["", "maybe", "yes", "1", 1, 0, [], {}, [True]]:
            names_both(argument, refused(make, kind, **{argument: value}))
        for value in ["maybe", "yes", "1", 1, 0, [True]]:
            names_both(argument, refused(run, make(kind, **{argument: "{{ params.it }}"}), value))
        assert getattr(make(kind, **{argument: "false"}), argument) is False
        assert getattr(make(kind, **{argument: " True "}), argument) is True

    @every_template
    def test_that_stays_a_template_is_never_used(self, kind, argument):
        words = refused(make(kind, **{argument: "{{ ds }}"}).execute, {})
        names_both(argument, words)
        assert "{{ ds }}" in words


DEFAULTS = {
    "timeout": {None, 3600.0},
    "poll_interval": {2.0},
    "stall_timeout": {None},
    "if_exists": {"fail"},
    "if_missing": {"fail"},
    "allow_alias": {False},
    "drop_aliased": {False},
    "max_parallel": {1, 2},
    "milvus_conn_id": {"milvus_default"},
}
WAITED_FOR = {
    "Load",
    "Refresh",
    "Index",
    "Compact",
    "Flush",
    "BulkImport",
    "Snapshot",
    "Swap",
    "Insert",
    "Upsert",
    "Reclaim",
    "Restore",
    "Recall",
    "Export",
    "CopyCollection",
    "Sync",
}


@every_argument
def test_a_name_means_the_same_everywhere(kind, argument):
    default = arguments_of(kind)[argument].default
    if argument in DEFAULTS and default is not inspect.Parameter.empty:
        assert default in DEFAULTS[argument]
    assert argument not in {"allow_aliased", "max_in_flight", "vector_field", "params", "collection_names", "job_id"}


@pytest.mark.parametrize("kind", [kind for kind in TASKS if "timeout" in arguments_of(kind)], ids=lambda kind: kind.__name__)
def test_what_is_waited_for_has_an_hour_and_a_single_call_what_the_connection_says(kind):
    name = kind.__name__
    is_waited_for = any(word in name for word in WAITED_FOR) and "Drop" not in name
    assert arguments_of(kind)["timeout"].default == (3600.0 if is_waited_for else None)


def run(task: Any, value: Any) -> None:
    """As Airflow does: render, then execute."""
    task.render_template_fields({"params": {"it": value}, "task": task})
    task.execute({})


class Output(XComArg):
    """Another task's output that comes to a given value."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def iter_references(self) -> Any:
        return iter(())

    def resolve(self, context: Any, **more: Any) -> Any:
        return self.value


class TestWordsForNothing:
    @pytest.mark.parametrize("argument", ["older_than", "idle_for", "loaded_for", "memory_budget", "min_idle", "max_releases"])
    def test_any_of_a_reclaim_is_as_if_left_out(self, argument):
        assert getattr(make(MilvusReclaimMemoryOperator, **{argument: "any"}), argument) is None

    @pytest.mark.parametrize("written", ["-", ["-"], []])
    def test_nothing_is_excluded(self, written):
        assert not make(MilvusReclaimMemoryOperator, exclude=written).exclude

    def test_a_word_may_come_from_a_form(self):
        task = make(MilvusReclaimMemoryOperator, exclude="{{ params.exclude }}", older_than="{{ params.age }}")
        task.render_template_fields({"params": {"exclude": "-", "age": "any"}})
        assert (task.exclude, task.older_than) == (None, None)

    def test_a_word_does_not_count_as_a_rule_beside_a_plan(self):
        make(MilvusReclaimMemoryOperator, plan=[], older_than="any")

    def test_all_partitions(self):
        assert make(MilvusDeleteOperator, partition_name="*").partition_name is None


class TestTemplates:
    def test_are_checked_when_they_are_rendered(self):
        task = make(MilvusReleaseCollectionOperator, collection_name="{{ params.name }}", allow_alias="{{ params.flag }}")
        task.render_template_fields({"params": {"name": "docs", "flag": "False"}})
        assert (task.collection_name, task.allow_alias) == ("docs", False)

    def test_that_render_to_what_looks_like_one_are_refused(self):
        task = make(MilvusReleaseCollectionOperator, collection_name="{{ params.name }}")
        with pytest.raises(MilvusInvalidArgumentError, match="is not a Milvus name"):
            task.render_template_fields({"params": {"name": "{{ name }}"}})

    def test_within_lists_are_rendered(self):
        task = make(MilvusReclaimMemoryOperator, collections=["events_*", "{{ params.it }}"], older_than=timedelta(days=1))
        task.render_template_fields({"params": {"it": "tmp_*"}})
        assert (task.collections, task.older_than) == (("events_*", "tmp_*"), timedelta(days=1))

    def test_are_found_in_a_value_that_is_assigned_later(self):
        task = make(MilvusReleaseCollectionOperator)
        task.collection_name = Output("books")
        task.render_template_fields({})
        assert task.collection_name == "books"

    def test_a_filter_is_none(self):
        with pytest.raises(MilvusInvalidArgumentError, match="filter"):
            make(MilvusDeleteOperator, filter="id == {{ params.id }}").execute({})


def test_a_copy_has_the_same_arguments():
    from copy import copy, deepcopy

    task = make(MilvusReclaimMemoryOperator, exclude=[], older_than="any", min_idle="{{ params.idle }}", dry_run="true")
    for again in (copy(task), deepcopy(task)):
        assert (again.exclude, again.older_than, again.min_idle, again.dry_run) == ((), None, "{{ params.idle }}", True)
        assert again.unrendered == {"min_idle"}
        with pytest.raises(MilvusInvalidArgumentError, match="min_idle"):
            again.render_template_fields({"params": {"idle": ""}})
        again.render_template_fields({"params": {"idle": "P1D"}})
        assert again.unrendered == set()
    assert task.unrendered == {"min_idle"}


class TestRows:
    def upstream(self, rows: Any) -> set[str]:
        task_id = f"rows_{uuid.uuid4().hex}"
        return MilvusUpsertOperator(task_id=task_id, collection_name="docs", rows=rows).upstream_task_ids

    @pytest.fixture
    def outputs(self):
        from airflow.providers.common.compat.sdk import task

        with DAG("milvus", start_date=datetime(2024, 1, 1, tzinfo=UTC), schedule=None):

            @task
            def embed():
                return [0.1]

            yield embed.override(task_id="a")(), embed.override(task_id="b")()

    def test_of_other_tasks_make_them_upstream_wherever_they_stand(self, outputs):
        from functools import partial

        a, b = outputs
        assert self.upstream([a, b]) == {"a", "b"}
        assert self.upstream([{"id": 1, "vector": a}, {"id": 2, "vector": {"deep": [b]}}]) == {"a", "b"}
        assert self.upstream([Path("x.jsonl"), a]) == {"a"}
        assert self.upstream(partial(print, a, end=b)) == {"a", "b"}

    def test_are_resolved_and_their_text_is_left_alone(self):
        rows = [{"id": 1, "text": "use {{ braces }}", "vector": Output([0.5])}]
        task = make(MilvusUpsertOperator, rows=rows)
        task.render_template_fields({"task": task})
        assert task.rows.rows == [{"id": 1, "text": "use {{ braces }}", "vector": [0.5]}]

    def test_of_a_partial_get_its_arguments_rendered(self):
        from functools import partial

        task = make(MilvusUpsertOperator, rows=partial(dict, day="{{ params.day }}"))
        task.render_template_fields({"task": task, "params": {"day": "2024-03-01"}})
        assert task.rows.rows() == {"day": "2024-03-01"}

    def test_of_paths_are_rendered_also_beside_others(self):
        task = make(MilvusUpsertOperator, rows=[Path("a.jsonl"), "{{ params.day }}.jsonl"])
        task.render_template_fields({"task": task, "params": {"day": "2024-03-01"}})
        assert task.rows.rows == [Path("a.jsonl"), "2024-03-01.jsonl"]

    def test_of_paths_in_lists_are_rendered(self):
        task = make(MilvusUpsertOperator, rows=[["{{ params.day }}.jsonl"], ["a.jsonl"]])
        task.render_template_fields({"task": task, "params": {"day": "2024-03-01"}})
        assert task.rows == [["2024-03-01.jsonl"], ["a.jsonl"]]


class TestName:
    @pytest.mark.parametrize("value", ["docs", "_docs", "Docs_2", "a", "_", "a" * LONGEST_NAME])
    def test_of_milvus_is_taken_as_it_is(self, value):
        assert check_name("collection_name", value) == value

    @pytest.mark.parametrize(
        ("value", "words"),
        [
            ("", "is empty"),
            ("\t\n", "is empty"),
            (None, "must be a string, not NoneType"),
            (7, "must be a string, not int"),
            (True, "must be a string, not bool"),
            (b"docs", "must be a string, not bytes"),
            (["docs"], "must be a string, not list"),
            ("1docs", "is not a Milvus name"),
            ("my docs", "is not a Milvus name"),
            ("docs\n", "is not a Milvus name"),
            ("my-docs", "is not a Milvus name"),
            ('"docs"', "is not a Milvus name"),
            ("Bücher", "is not a Milvus name"),
            ("文档", "is not a Milvus name"),
            ("docs٣", "is not a Milvus name"),
            ("docs\x00", "is not a Milvus name"),
            ("{{ var }}", "is not a Milvus name"),
            ("a, b", "Write a list: ['a', 'b']"),
            ("default.docs", "For another database, set `database`"),
            ("a" * 256, "has 256 characters; Milvus allows 255"),
        ],
    )
    def test_that_can_never_work_is_refused(self, value, words):
        message = refused(check_name, "collection_name", value)
        assert message.startswith("collection_name ")
        assert words in message

    def test_that_is_far_too_long_is_not_repeated_in_full(self):
        assert len(refused(check_name, "collection_name", "x" * 100_000)) < 200


class TestNames:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [("p1", ["p1"]), (["p1"], ["p1"]), (("p1", "p2"), ["p1", "p2"]), ((name for name in ["p1", "p2"]), ["p1", "p2"])],
    )
    def test_may_be_one_or_several(self, value, expected):
        assert check_names("partition_names", value) == expected

    @pytest.mark.parametrize(
        ("value", "words"),
        [
            ("", "partition_names is empty"),
            ([], "partition_names is empty: name at least one"),
            (5, "partition_names must be a string, not int"),
            (["p1", ""], "partition_names[1] is empty"),
            (["p1", None], "partition_names[1] must be a string"),
            ("p1,p2", "Write a list: ['p1', 'p2']"),
        ],
    )
    def test_that_can_never_work_are_refused_one_by_one(self, value, words):
        assert words in refused(check_names, "partition_names", value)


class TestPatterns:
    @pytest.mark.parametrize(("value", "expected"), [("a*", ("a*",)), (["a*", "b?"], ("a*", "b?")), (("[ab]_x",), ("[ab]_x",))])
    def test_are_one_or_several(self, value, expected):
        assert check_patterns("collections", value) == expected

    @pytest.mark.parametrize(
        ("value", "words"),
        [
            ("events_*,tmp_*", "Write a list: ['events_*', 'tmp_*']"),
            (["events_*, tmp_*"], "Write a list: ['events_*', 'tmp_*']"),
            ("['events_*', 'tmp_*']", "a list that became text"),
            ([""], "which is not a pattern"),
            (["None"], "which is not a pattern"),
            ([5], "which is not a pattern"),
            (7, "must be a pattern or a list of patterns"),
        ],
    )
    def test_that_match_nothing_are_refused(self, value, words):
        assert words in refused(check_patterns, "collections", value)


class TestDatabases:
    @pytest.mark.parametrize(
        ("value", "expected"), [("books", ["books"]), (["a", "b", "a"], ["a", "b"]), ("*", ["*"]), (["a", "*"], ["*"])]
    )
    def test_are_names_or_all(self, value, expected):
        assert check_databases("databases", value) == expected

    @pytest.mark.parametrize("value", ["bo*", ["books", "a.b"], [7], 7, []])
    def test_that_are_not_names_are_refused(self, value):
        assert "databases" in refused(check_databases, "databases", value)


class TestSeconds:
    @pytest.mark.parametrize(
        ("value", "expected"), [(1, 1.0), (0.001, 0.001), ("5", 5.0), (timedelta(minutes=2), 120.0), (1200.0, 1200.0)]
    )
    def test_are_a_positive_number_or_a_timedelta(self, value, expected):
        assert check_seconds("timeout", value) == expected

    @pytest.mark.parametrize(
        "value", [0, -1, 0.0, math.nan, math.inf, -math.inf, "nan", True, "", "soon", None, [5], timedelta(0), timedelta(-1)]
    )
    def test_of_any_other_sort_are_refused(self, value):
        assert refused(check_seconds, "timeout", value).startswith("timeout must be ")


class TestSpan:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [("P7D", timedelta(days=7)), ("PT36H", timedelta(hours=36)), ("P1W", timedelta(weeks=1)), (timedelta(1), timedelta(1))],
    )
    def test_is_a_timedelta_or_a_duration(self, value, expected):
        span = check_span("idle_for", value)
        assert (type(span), span) == (timedelta, expected)

    @pytest.mark.parametrize(
        "value", ["PT", "P", "7 days", "2024-03-01", "soon", 7, None, True, ["P7D"], "P3000Y", timedelta(-1)]
    )
    def test_that_is_not_one_is_refused(self, value):
        assert "idle_for" in refused(check_span, "idle_for", value)

    @pytest.mark.parametrize("value", [timedelta(0), "PT0S", "P0D"])
    def test_of_nothing_is_allowed_for_an_age_only(self, value):
        assert check_age("older_than", value) == timedelta(0)
        assert "is zero" in refused(check_span, "idle_for", value)

    @given(st.text(max_size=12))
    def test_is_more_than_nothing_or_refused(self, value):
        with suppress(MilvusInvalidArgumentError):
            assert check_span("idle_for", value) > timedelta(0)


class TestSize:
    @pytest.mark.parametrize(
        ("value", "expected"), [("64GiB", 64 << 30), ("1.5 GB", 1_500_000_000), (2**20, 2**20), ("2097152", 2**21)]
    )
    def test_is_bytes(self, value, expected):
        assert check_size("memory_budget", value) == expected

    @pytest.mark.parametrize(("value", "share"), [("70%", 0.7), (" 12.5 % ", 0.125)])
    def test_is_a_share(self, value, share):
        size = check_size("memory_budget", value)
        assert (type(size), size) == (Share, share)

    @pytest.mark.parametrize("value", ["70", "0%", "100%", "-5%", "64 gigs", 0, -1, 0.7, True, "", None, ["64GiB"], 2**20 - 1])
    def test_that_is_neither_is_refused(self, value):
        assert "memory_budget must be a size" in refused(check_size, "memory_budget", value)

    @given(st.one_of(st.text(max_size=10), st.integers(), st.floats()))
    def test_is_more_than_nothing_or_refused(self, value):
        with suppress(MilvusInvalidArgumentError):
            assert check_size("memory_budget", value) > 0


class TestNumbers:
    @pytest.mark.parametrize("value", [3, "3", " 3 "])
    def test_are_whole(self, value):
        assert whole_number(1, 5)("sample", value) == 3

    @pytest.mark.parametrize("value", [0, 6, -1, 1.0, "1.5", "²", True, None, "many", [1]])
    def test_that_are_not_whole_or_beyond_the_bounds_are_refused(self, value):
        assert "sample must be a whole number from 1 to 5" in refused(check_whole_number, "sample", value, 1, 5)

    @pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, True, None, "much"])
    def test_of_any_sort_have_bounds(self, value):
        assert number(1.0)("floor", "0.5") == 0.5
        assert "floor must be a number from 0 to 1" in refused(lambda: number(1.0)("floor", value))

    @pytest.mark.parametrize("value", [0, 101, -5, math.nan, None, True])
    def test_that_are_no_per_cent_are_refused(self, value):
        assert check_percent("max_memory_percent", 100) == 100.0
        assert "max_memory_percent" in refused(check_percent, "max_memory_percent", value)


class TestChoice:
    def test_is_one_of_a_few_words(self):
        assert one_of("fail", "skip")("if_missing", "skip") == "skip"

    @pytest.mark.parametrize("value", ["", "SKIP", "ignore", None, 0, True, ["skip"]])
    def test_of_another_word_is_refused_with_those_that_exist(self, value):
        assert "if_missing must be one of 'fail', 'skip', not" in refused(lambda: one_of("fail", "skip")("if_missing", value))


@pytest.mark.parametrize(
    ("value", "keys"), [(1, [1]), ("a", ["a"]), ([1, 2], [1, 2]), ("[1, 2]", [1, 2]), ("['a']", ["a"]), ([], [])]
)
def test_keys_are_one_or_several_also_as_text(value, keys):
    assert check_keys("ids", value) == keys


@pytest.mark.parametrize(
    "value", ["a.parquet", ["a.parquet"], [["a.npy", "b.npy"]], "['a.parquet']", {"files": [["a.parquet"]]}, []]
)
def test_files_are_paths_in_several_forms(value):
    check_files("files", value)


@pytest.mark.parametrize("value", [5, [5], [[]], [""], [["a.npy", 5]]])
def test_files_that_are_not_paths_are_refused(value):
    assert "files" in refused(check_files, "files", value)


@pytest.mark.parametrize(("value", "ids"), [("7", ["7"]), (7, ["7"]), (["7", 8], ["7", "8"]), ("['7', '8']", ["7", "8"])])
def test_job_ids_are_one_or_several(value, ids):
    assert check_job_ids("job_ids", value) == ids


@pytest.mark.parametrize("value", [[], [None], True, [""], {"a": 1}, "[broken"])
def test_job_ids_that_are_none_are_refused(value):
    if value == "[broken":
        assert check_job_ids("job_ids", value) == ["[broken"]
    else:
        assert "job_ids must be" in refused(check_job_ids, "job_ids", value)


@pytest.mark.parametrize("value", ["ignore", "bad.csv", None, 5, True])
def test_a_bad_row_fails_is_skipped_or_is_written_to_a_file(value):
    for good in ("fail", "skip", "s3://b/bad.jsonl", Path("bad.jsonl")):
        assert check_on_bad_row("on_bad_row", good) == good
    assert "on_bad_row must be" in refused(check_on_bad_row, "on_bad_row", value)


@pytest.mark.parametrize("value", ["Nowhere/Land", "", 5, "A" * 300])
def test_a_zone_that_does_not_exist_is_refused(value):
    assert "zone" in refused(check_timezone, "timezone", value)


@pytest.mark.parametrize("text", ["true", "True", " false "])
def test_a_flag_may_be_a_templates_text(text):
    assert check_flag("dry_run", text) is (text.strip().lower() == "true")


def test_a_wrong_argument_is_never_tried_again_and_is_a_value_error():
    assert issubclass(MilvusInvalidArgumentError, AirflowFailException)
    assert issubclass(MilvusInvalidArgumentError, ValueError)
