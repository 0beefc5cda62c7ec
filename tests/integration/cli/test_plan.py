"""``plan``: what a reclaim would release now, by rules of its own or by those of a DAG file; and nothing is changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import Variable

from dev.servers.scripted import LOADED, NOT_LOADED

EXAMPLES = Path(__file__).parents[3] / "example_dags"
CHANGES = {"ReleaseCollection", "LoadCollection", "AlterCollection"}
DAG_FILE = """
from datetime import datetime, timedelta
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_milvus.operators.milvus import MilvusReclaimMemoryOperator

print("a DAG file may print")
with DAG("nightly", schedule=None, start_date=datetime(2026, 1, 1), params={{"only": ["tmp_*"]}},
         render_template_as_native_obj=True):
    MilvusReclaimMemoryOperator(task_id="temporary", collections="{{{{ params.only }}}}")
    MilvusReclaimMemoryOperator(task_id="old", collections={old}, older_than=timedelta(days=7))
"""


@pytest.fixture
def server(scripted):
    scripted.add("events_20200101", LOADED)
    scripted.add("events_20990101", LOADED)
    scripted.add("tmp_a", LOADED)
    scripted.add("live_20200101", LOADED, aliases=["live"])
    scripted.add("events_20200102", NOT_LOADED)
    yield scripted
    assert not CHANGES & {call.name for call in scripted.calls}


def planned(answer):
    return sorted(entry["collection"] for entry in answer["planned"])


def test_has_the_rules_of_the_operator(server, commands):
    ended = commands.run("plan", "--collections", "events_*", "live_*", "--older-than", "P7D", "--output", "json")
    assert ended.code == 0
    answer = ended.read()
    assert planned(answer) == ["events_20200101"]
    reasons = {entry["collection"]: entry["reason"] for entry in answer["kept"]}
    assert reasons["live_20200101"] == "behind the alias live"
    assert answer["totals"]["loaded_before"] == 4
    assert ended.err.splitlines()[-1].startswith("Dry run: 1")
    assert planned(commands.ask("plan", "--collections", "live_*", "--no-keep-aliased")) == ["live_20200101"]


def test_names_all_however_many_there_are(server, commands):
    names = [f"batch_{number:04}" for number in range(500)]
    for name in names:
        server.add(name, LOADED)
    assert planned(commands.ask("plan", "--collections", "batch_*")) == names


def test_shows_each_collection_with_its_reason(server, commands):
    rows = [row.split("|") for row in commands.run("plan", "--collections", "tmp_*").out.splitlines() if "|" in row]
    assert [cell.strip() for cell in rows[0]] == ["outcome", "collection", "state now", "memory", "why"]
    assert {row[1].strip(): row[0].strip() for row in rows[1:]}["tmp_a"] == "would release"
    assert {row[1].strip(): row[4].strip() for row in rows[1:]}["events_20990101"] == "matches no pattern"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--collections", "x", "--older-than", "a week"],
        ["--collections", "x", "--task-id", "old"],
        ["--collections", "x", "--dag-file", "dag.py"],
        ["--collections", "x", "--idle-for", "P1D"],
    ],
    ids=["no rule", "no duration", "a task without a file", "two kinds of rules", "no metrics"],
)
def test_rules_that_make_no_plan_are_wrong_usage(server, commands, arguments):
    ended = commands.run("plan", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert len(ended.err.splitlines()) == 1
    assert server.received("ShowCollections") == []


MAPPED = """
from datetime import datetime
from airflow.providers.common.compat.sdk import DAG, task_group
from airflow_provider_milvus.operators.milvus import MilvusListCollectionsOperator, MilvusReclaimMemoryOperator

with DAG("nightly", schedule=None, start_date=datetime(2026, 1, 1), params={{"only": ["tmp_*"]}},
         render_template_as_native_obj=True):
    first = MilvusListCollectionsOperator(task_id="first")
    MilvusReclaimMemoryOperator.partial(task_id="old", older_than="P7D"){over}
    {also}
"""


class TestDagFile:
    @pytest.fixture
    def dag_file(self, tmp_path):
        path = tmp_path / "nightly.py"
        path.write_text(DAG_FILE.format(old=["events_*"]))
        return str(path)

    @pytest.fixture
    def mapped(self, tmp_path):
        def write(over, also=""):
            path = tmp_path / "mapped.py"
            path.write_text(MAPPED.format(over=over, also=also))
            return str(path)

        return write

    def test_all_its_reclaims_are_planned(self, server, commands, dag_file):
        ended = commands.run("plan", "--dag-file", dag_file, "--output", "json")
        assert {answer["task"]: planned(answer) for answer in ended.read()} == {
            "nightly.temporary": ["tmp_a"],
            "nightly.old": ["events_20200101"],
        }
        assert "a DAG file may print" in ended.err

    def test_or_one(self, server, commands, dag_file):
        assert planned(commands.ask("plan", "--dag-file", dag_file, "--task-id", "old")) == ["events_20200101"]

    def test_the_example_is_planned_with_its_default_parameters(self, server, commands):
        answers = commands.ask("plan", "--dag-file", str(EXAMPLES / "milvus_nightly_memory_reclaim.py"))
        assert [planned(answer) for answer in answers] == [["events_20200101"], ["tmp_a"]]

    def test_a_task_that_releases_what_was_approved_has_no_rules(self, server, commands):
        pytest.importorskip("airflow.providers.standard.operators.hitl")
        answer = commands.ask("plan", "--dag-file", str(EXAMPLES / "milvus_reclaim_with_approval.py"))
        assert answer["task"] == "milvus_reclaim_with_approval.plan"

    def test_a_mapped_one_is_planned_as_each_that_it_becomes(self, server, commands, mapped):
        by_list = mapped('.expand(collections=["events_*", "tmp_*"], max_releases=[5])')
        assert {answer["task"]: planned(answer) for answer in commands.ask("plan", "--dag-file", by_list)} == {
            "nightly.old[0]": ["events_20200101"],
            "nightly.old[1]": [],
        }
        by_row = mapped('.expand_kwargs([{"collections": "{{ params.only }}"}, {"collections": "*", "keep_aliased": False}])')
        assert [planned(answer) for answer in commands.ask("plan", "--dag-file", by_row, "--task-id", "old")] == [
            [],
            ["events_20200101", "live_20200101"],
        ]

    def test_one_mapped_over_what_a_plan_lists_has_no_rules(self, server, commands, mapped):
        path = mapped(".expand(plan=first.output)", also='MilvusReclaimMemoryOperator(task_id="tmp", collections="tmp_*")')
        assert planned(commands.ask("plan", "--dag-file", path)) == ["tmp_a"]

    @pytest.mark.parametrize("over", [".expand(collections=first.output)", ".expand_kwargs(first.output)"])
    def test_one_mapped_over_another_tasks_result_is_refused_by_its_name(self, server, commands, mapped, over):
        path = mapped(over, also='MilvusReclaimMemoryOperator(task_id="tmp", collections="tmp_*")')
        ended = commands.run("plan", "--dag-file", path)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.splitlines()[-1].startswith("Task 'old' is mapped over what another task returns")
        assert planned(commands.ask("plan", "--dag-file", path, "--task-id", "tmp")) == ["tmp_a"]

    def test_one_in_a_mapped_group_is_refused_by_its_name(self, server, commands, mapped):
        group = "task_group(group_id='group')(lambda it: MilvusReclaimMemoryOperator(task_id='in_it', collections=it))"
        path = mapped('.expand(collections=["tmp_*"])', also=f"{group}.expand(it=['tmp_*'])")
        ended = commands.run("plan", "--dag-file", path)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.splitlines()[-1].startswith("The arguments of task 'group.in_it' need a run of its DAG")

    def test_that_is_not_there_is_said_to_be_missing(self, commands, tmp_path):
        ended = commands.run("plan", "--dag-file", str(tmp_path))
        assert (ended.code, ended.err) == (2, f"There is no file {tmp_path}.\n")

    def test_the_notes_of_the_task_are_read_and_left_as_they_are(self, server, commands, monkeypatch, tmp_path):
        path = tmp_path / "nightly.py"
        path.write_text(DAG_FILE.format(old=["events_*"]).replace("older_than=", "loaded_for="))
        asked = []
        monkeypatch.setattr(Variable, "get", lambda key, *_, **__: asked.append(key))
        monkeypatch.setattr(Variable, "set", lambda *_, **__: pytest.fail("a plan wrote notes"))
        commands.ask("plan", "--dag-file", str(path), "--task-id", "old")
        assert asked == ["milvus_run_notes.nightly.old"]

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda text: text.replace("import DAG", "import DOG"), "is not a DAG file that can be read: ImportError"),
            (lambda text: text.replace("params.only", "ti.xcom_pull(task_ids='a')"), "need a run of its DAG"),
            (lambda text: "", "has no task that reclaims memory by rules of its own."),
        ],
        ids=["broken", "of another task", "empty"],
    )
    def test_what_cannot_be_planned_is_said_in_one_line(self, server, commands, dag_file, change, said):
        path = Path(dag_file)
        path.write_text(change(path.read_text()))
        ended = commands.run("plan", "--dag-file", dag_file)
        assert (ended.code, ended.out) == (2, "")
        assert said in ended.err.splitlines()[-1]
        assert "Traceback" not in ended.err


def test_a_server_that_is_out_of_reach_ends_with_3(commands, refused, monkeypatch, connect):
    connect(refused, timeout=1)
    ended = commands.run("plan", "--collections", "x")
    assert ended.code == 3
    assert "the connection was refused" in ended.err
