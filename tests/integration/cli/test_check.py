"""``check``: what it finds out about the server, the metrics and the user, and how it ends."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pytest

from airflow_provider_milvus.contract.clauses import READS
from airflow_provider_milvus.contract.privileges import TASKS
from airflow_provider_milvus.exceptions import MilvusPermissionError
from airflow_provider_milvus.operators.milvus import MilvusLoadCollectionOperator, MilvusReleaseCollectionOperator
from dev.servers.dialects import DIALECTS
from dev.servers.scripted import abort, refuse, scripted_server
from dev.servers.standalone import PLATFORM_HAS_IT, standalone_server

PASSWORD = "Sehr-geheim-1"


def told(rows: list[dict[str, str]]) -> dict[str, tuple[str, str]]:
    return {row["what"]: (row["state"], row["told"]) for row in rows}


def entry(rows: list[dict[str, Any]], what: str) -> dict[str, Any]:
    (row,) = (row for row in rows if row["what"] == what)
    return row


def grant(role: str, kind: str, name: str, privilege: str, database: str = "default") -> dict[str, object]:
    return {
        "role": {"name": role},
        "object": {"name": kind},
        "object_name": name,
        "db_name": database,
        "grantor": {"privilege": {"name": privilege}},
    }


def test_a_server_is_named_with_what_it_can_do(lite, commands):
    ended = commands.run("check", "--output", "json")
    rows = told(ended.read())
    assert ended.code == 0
    assert rows["server"] == ("ok", f"Milvus {lite_version(lite)} at {lite.uri}")
    ours, airflow = version("airflow-provider-milvus"), version("apache-airflow")
    assert rows["versions"][1].startswith(f"airflow-provider-milvus {ours}, apache-airflow {airflow}")
    assert rows["user"] == ("ok", "none: this server lets everybody in")
    assert rows["metrics"][0] == "no"
    assert rows["snapshots"][0] == "no"
    assert rows["contract"] == ("ok", f"{len(READS)} answers are as this provider relies on")


def lite_version(lite) -> str:
    with lite.plain_client() as client:
        return str(client.get_server_version())


def test_only_reads_are_sent(scripted, commands):
    commands.run("check")
    sent = {call.name for call in scripted.calls} - {clause.call for clause in READS} - {"Connect"}
    assert sent <= {"BatchDescribeCollection", "ListSnapshots"}


@pytest.mark.parametrize(("played", "truncates"), [("2.5.17", "no"), ("2.6.16", "ok")])
def test_what_differs_by_version_is_told(commands, connect, played, truncates):
    with scripted_server(DIALECTS[played]) as server:
        connect(server.uri)
        rows = told(commands.ask("check"))
    assert rows["truncation"][0] == truncates
    assert rows["descriptions of many collections"][0] == truncates
    assert rows["memory of the query nodes"] == ("no", "memory_budget has to be a size, not a share")


class TestUser:
    @pytest.fixture
    def as_intern(self, scripted, connect):
        connect(scripted.uri, login="intern", password=PASSWORD)
        return scripted

    def answer(self, server, roles, grants=()):
        server.always("SelectUser", lambda *_: {"results": [{"user": {"name": "intern"}, "roles": roles}]})
        server.always(
            "SelectGrant",
            lambda _, request, __: {"entities": [each for each in grants if each["role"]["name"] == request.entity.role.name]},
        )

    def test_has_the_privileges_of_its_roles(self, as_intern, commands):
        self.answer(
            as_intern,
            [{"name": "public"}, {"name": "reclaim"}],
            [
                grant("public", "Global", "*", "DescribeCollection"),
                grant("reclaim", "Collection", "events", "Release"),
                grant("reclaim", "Collection", "events", "GetLoadState"),
            ],
        )
        ended = commands.run("check", "--output", "json")
        rows = told(ended.read())
        assert rows["user"] == ("ok", "intern, with the roles public, reclaim")
        assert rows["privileges"][1] == (
            "GetLoadState, Release on Collection events in the database default; "
            "DescribeCollection on Global in the database default"
        )
        assert PASSWORD not in ended.out + ended.err
        assert {call.request.user.name for call in as_intern.received("SelectUser")} == {"intern"}

    def test_may_do_all_as_an_administrator(self, as_intern, commands):
        self.answer(as_intern, [{"name": "admin"}])
        assert told(commands.ask("check"))["privileges"] == ("ok", "all")

    def test_is_unknown_where_the_server_does_not_tell(self, as_intern, commands):
        as_intern.always("SelectUser", abort("UNIMPLEMENTED"))
        ended = commands.run("check", "--output", "json")
        rows = told(ended.read())
        assert (rows["user"][0], rows["tasks"][0]) == ("unknown", "unknown")
        assert ended.code == 0

    def test_is_unknown_where_the_server_knows_no_such_user(self, as_intern, commands):
        rows = told(commands.ask("check"))
        assert rows["user"][0] == "unknown"
        assert rows["user"][1].startswith("The server knows no user 'intern': it seems to let everybody in.")
        assert rows["tasks"][0] == "unknown"

    def test_is_unknown_by_an_api_key(self, scripted, connect, commands):
        connect(scripted.uri, token=PASSWORD)
        rows = told(commands.ask("check"))
        assert (rows["user"][0], rows["tasks"][0]) == ("unknown", "unknown")

    def test_who_lacks_a_privilege_breaks_no_contract(self, as_intern, commands):
        self.answer(as_intern, [{"name": "public"}])
        as_intern.grants = {"ShowCollections", "DescribeCollection"}
        ended = commands.run("check", "--output", "json")
        rows = told(ended.read())
        assert rows["Query of a missing collection"][0] == "unknown"
        assert "lacks the privilege Query" in rows["Query of a missing collection"][1]
        assert ended.code == 0


class TestTasks:
    @pytest.fixture
    def as_intern(self, connect):
        with scripted_server(DIALECTS["2.6.16"]) as server:
            connect(server.uri, login="intern", password=PASSWORD)
            yield server

    def test_all_may_run_where_everybody_is_let_in(self, lite, commands):
        whole = entry(commands.ask("check"), "tasks")
        assert whole["told"] == f"{len(TASKS)} of {len(TASKS)} may run on all collections"
        assert [(each["task"], each["may_run"]) for each in whole["tasks"]] == [(task, True) for task in TASKS]

    def test_one_that_may_run_and_one_that_lacks_a_privilege(self, as_intern, commands):
        as_intern.grants = {"DescribeCollection", "GetLoadState", "ListAliases", "Load"}
        ended = commands.run("check", "--output", "json")
        rows = ended.read()
        assert ended.code == 0
        loads = ["MilvusLoadCollectionOperator", "MilvusRefreshLoadOperator", "MilvusRestoreLoadOperator"]
        tasks = {each["task"]: each for each in entry(rows, "tasks")["tasks"]}
        assert {tasks[task]["may_run"] for task in loads} == {True}
        assert tasks["MilvusReleaseCollectionOperator"] == {
            "task": "MilvusReleaseCollectionOperator",
            "may_run": False,
            "collections": [],
            "missing": {"Release": "Collection all"},
        }
        assert told(rows)["MilvusReleaseCollectionOperator"] == ("no", "lacks Release on Collection all")
        assert "MilvusLoadCollectionOperator" not in {name for row in rows for name in row["what"].split("; ")}

    def test_those_that_lack_the_same_share_a_line(self, as_intern, commands):
        as_intern.grants = {"DescribeCollection", "GetLoadState"}
        rows = told(commands.ask("check"))
        assert rows["MilvusLoadCollectionOperator; MilvusRefreshLoadOperator; MilvusRestoreLoadOperator"] == (
            "no",
            "lacks Load on Collection all",
        )
        assert rows["MilvusReleaseCollectionOperator"] == ("no", "lacks ListAliases on Global; Release on Collection all")

    def test_a_narrow_role_is_told_with_its_collections(self, as_intern, commands):
        as_intern.grants = {"DescribeCollection", "Insert on docs", "Insert on docs_2", "Upsert on docs"}
        rows = told(commands.ask("check"))
        assert rows["MilvusInsertOperator"] == ("ok", "on docs, docs_2 only")
        assert rows["MilvusUpsertOperator"] == ("ok", "on docs only")

    def test_of_a_group_that_is_not_told_it_is_unknown(self, as_intern, commands):
        as_intern.grants = {"DescribeCollection", "ops"}
        rows = told(commands.ask("check"))
        assert rows["MilvusInsertOperator"] == (
            "unknown",
            "lacks Insert on Collection all, unless the privilege group ops has it, which this user may not read",
        )


@pytest.mark.standalone
@pytest.mark.skipif(not PLATFORM_HAS_IT, reason="there is no Milvus 2.3.5 for this platform")
def test_a_real_user_may_ask_for_its_own_grants(tmp_path, commands, connect):
    settings = {"common.security.authorizationEnabled": "true"}
    with standalone_server(tmp_path, settings) as server:
        from airflow_provider_milvus.protocol.lazy_pymilvus import import_pymilvus

        root = import_pymilvus().MilvusClient(server.uri, token="root:Milvus", timeout=30, dedicated=True)
        root.create_user("intern", PASSWORD)
        root.create_role("reclaim")
        root.grant_privilege("reclaim", "Collection", "Release", "*")
        root.grant_privilege("reclaim", "Collection", "Load", "docs")
        root.grant_role("intern", "reclaim")
        for name in ("docs", "docs_2"):
            root.create_collection(name, dimension=4)
            root.release_collection(name)
        root.close()
        connect(server.uri, login="intern", password=PASSWORD)
        rows = told(commands.ask("check"))
        assert rows["user"] == ("ok", "intern, with the roles public, reclaim")
        assert "Release on Collection all" in rows["privileges"][1]
        assert rows["MilvusReleaseCollectionOperator"] == ("no", "lacks ListAliases on Global")
        # What all users may is in it, by the role that 2.3.5 gives them.
        loads = "MilvusLoadCollectionOperator; MilvusRefreshLoadOperator; MilvusRestoreLoadOperator; MilvusLoadStateSensor"
        assert rows[loads] == ("ok", "on docs only")
        MilvusLoadCollectionOperator(task_id="load", collection_name="docs", timeout=60).execute({})
        with pytest.raises(MilvusPermissionError, match="lacks the privilege Load"):
            MilvusLoadCollectionOperator(task_id="load", collection_name="docs_2", timeout=60).execute({})
        with pytest.raises(MilvusPermissionError, match="lacks the privilege ListAliases"):
            MilvusReleaseCollectionOperator(task_id="release", collection_name="docs").execute({})
        connect(server.uri, login="root", password="Milvus")
        assert told(commands.ask("check"))["privileges"] == ("ok", "all")


def test_metrics_that_cannot_be_read_are_wrong(scripted, commands, connect, refused):
    connect(scripted.uri, metrics_url=f"{refused}/metrics")
    ended = commands.run("check", "--output", "json")
    assert told(ended.read())["metrics"][0] == "WRONG"
    assert (ended.code, ended.err) == (1, "1 of these would keep tasks from working.\n")


def test_writes_that_are_denied_are_wrong(scripted, commands):
    answer = {"isHealthy": True, "quota_states": [5], "reasons": ["memory quota exhausted"]}
    scripted.always("CheckHealth", lambda *_: answer)
    rows = told(commands.ask("check"))
    assert rows["health"] == ("WRONG", "writes are denied (memory quota exhausted)")


def test_a_clause_that_does_not_hold_is_wrong(scripted, commands):
    scripted.always("DescribeAlias", refuse(5, "internal"))
    ended = commands.run("check", "--output", "json")
    assert told(ended.read())["DescribeAlias of a missing alias"][0] == "WRONG"
    assert ended.code == 1


def test_is_quick_where_nothing_listens(commands, refused):
    ended = commands.run("check", "--uri", refused)
    assert ended.code == 3
    assert "the connection was refused" in ended.err
    assert ended.out == ""
