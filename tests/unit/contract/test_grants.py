"""What a user's grants come to: on which collections each privilege is held, and which tasks may run."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_milvus.contract.grants import Grants, grants_of
from airflow_provider_milvus.contract.may_run import Verdict, verdicts
from airflow_provider_milvus.contract.privilege_groups import BUILT_IN
from airflow_provider_milvus.contract.privileges import PRIVILEGES, TASKS, kind_of
from airflow_provider_milvus.exceptions import MilvusPermissionError, MilvusUnsupportedError
from airflow_provider_milvus.protocol import milvus_pb2
from tests.unit.play import Clock, Server, play

COLLECTION = {name for name in PRIVILEGES if kind_of(name) == "Collection"}
GLOBAL = PRIVILEGES - COLLECTION
DENIED = MilvusPermissionError("denied")


def roles(*names: str) -> Any:
    return milvus_pb2.SelectUserResponse(results=[{"user": {"name": "u"}, "roles": [{"name": name} for name in names]}])


def grants(*granted: tuple[str, str, str, str], of: str = "narrow") -> Any:
    """Answers for the role ``of``, as the server gives them for one database, or for ``*`` (all)."""

    def answer(call: Any) -> Any:
        asked = call.fields["entity"]
        mine = [one for one in granted if asked["role"]["name"] == of and asked["db_name"] in ("*", one[2])]
        return milvus_pb2.SelectGrantResponse(
            entities=[
                {
                    "object": {"name": kind},
                    "object_name": name,
                    "db_name": database,
                    "grantor": {"privilege": {"name": privilege}},
                }
                for kind, name, database, privilege in mine
            ]
        )

    return answer


def groups(**members: set[str]) -> Any:
    told = [{"group_name": name, "privileges": [{"name": each} for each in names]} for name, names in members.items()]
    return milvus_pb2.ListPrivilegeGroupsResponse(privilege_groups=told)


def read(*granted: tuple[str, str, str, str], version: str = "v2.6.16", **answers: Any) -> Grants:
    server = Server(
        GetVersion=milvus_pb2.GetVersionResponse(version=version),
        **{"SelectUser": roles("narrow"), "SelectGrant": grants(*granted), "ListPrivilegeGroups": DENIED, **answers},
    )
    found: Grants = play(grants_of("u", "default"), server, Clock())
    return found


def held(*granted: tuple[str, str, str, str], version: str = "v2.6.16", **answers: Any) -> dict[str, set[str]]:
    return dict(read(*granted, version=version, **answers).held())


def everywhere(names: Any) -> dict[str, set[str]]:
    return {name: {"*"} for name in names}


@pytest.mark.parametrize(
    ("granted", "expected"),
    [
        (("Collection", "*", "default", "Load"), {"Load": {"*"}}),
        (("Collection", "*", "*", "Load"), {"Load": {"*"}}),
        (("Collection", "docs", "default", "Load"), {"Load": {"docs"}}),
        (("Collection", "*", "tenant", "Load"), {}),
        (("Global", "*", "default", "ListAliases"), {"ListAliases": {"*"}}),
        (("Global", "docs", "default", "ListAliases"), {"ListAliases": {"*"}}),
        (("Global", "*", "default", "*"), everywhere(GLOBAL)),
        (("Global", "*", "default", "All"), everywhere(PRIVILEGES)),
        (("Global", "*", "*", "All"), {}),
    ],
)
def test_what_one_grant_comes_to(granted, expected):
    assert held(granted) == expected


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("v2.4.15", {name: {"docs"} for name in COLLECTION}),
        ("v2.4.16", everywhere(GLOBAL)),
        ("v2.5.17", everywhere(GLOBAL)),
    ],
)
def test_a_star_on_a_collection_changed_its_meaning(version, expected):
    assert held(("Collection", "docs", "default", "*"), version=version) == expected


@pytest.mark.parametrize("user", ["root", "somebody"])
def test_an_administrator_holds_all(user):
    of_roles = {"root": roles(), "somebody": roles("admin")}[user]
    server = Server(GetVersion=milvus_pb2.GetVersionResponse(version="v2.6.16"), SelectUser=of_roles, SelectGrant=grants())
    found = play(grants_of(user, "default"), server, Clock())
    assert found.held() == everywhere(PRIVILEGES)
    assert all(verdict == Verdict(verdict.task, True, ("*",)) for verdict in verdicts(found))


def test_the_role_that_all_users_have_counts_where_it_is_not_listed():
    assert held(SelectGrant=grants(("Global", "*", "*", "ListAliases"), of="public")) == {"ListAliases": {"*"}}


def test_who_is_no_user_of_the_server_is_not_said_to_lack_anything():
    with pytest.raises(MilvusUnsupportedError, match="knows no user 'u'"):
        read(SelectUser=milvus_pb2.SelectUserResponse())


@pytest.mark.parametrize("group", ["CollectionReadOnly", "CollectionReadWrite", "CollectionAdmin"])
def test_a_group_of_a_collection_holds_there_and_what_is_global_everywhere(group):
    expected = {name: {"*"} if name in GLOBAL else {"docs"} for name in BUILT_IN[group]}
    assert held(("Global", "docs", "default", group)) == expected
    assert {"GetLoadState", "DescribeCollection"} <= expected.keys()


@pytest.mark.parametrize(
    ("database", "group", "expected"),
    [
        ("*", "ClusterAdmin", {"CreateDatabase", "DropDatabase", "ListDatabases", "RenameCollection"}),
        (
            "default",
            "DatabaseAdmin",
            {"AlterDatabase", "CreateCollection", "DescribeDatabase", "DropCollection", "ShowCollections"},
        ),
        ("default", "Admin", PRIVILEGES),
        ("*", "Admin", ()),
        ("*", "ReadWrite", ()),
    ],
)
def test_a_built_in_group_holds_what_its_source_says(database, group, expected):
    granted = held(("Global", "*", database, group))
    assert {name: names for name, names in granted.items() if name in PRIVILEGES} == everywhere(expected)


@pytest.mark.parametrize(("version", "expected"), [("v2.3.5", {}), ("v2.4.15", {}), ("v2.5.17", {"DescribeCollection": {"*"}})])
def test_one_on_global_with_a_name_is_for_all_where_grants_are_expanded(version, expected):
    assert read(("Global", "docs", "default", "DescribeCollection"), version=version).held() == expected


def test_the_server_tells_what_is_in_a_group():
    ours = ("Collection", "*", "default", "ops")
    told = groups(ops={"Load", "ListAliases"}, CollectionReadOnly={"Query"})
    assert held(ours, ListPrivilegeGroups=told) == everywhere(["Load", "ListAliases"])
    assert held(("Global", "docs", "default", "CollectionReadOnly"), ListPrivilegeGroups=told) == {"Query": {"docs"}}


def test_what_the_server_lists_as_no_group_is_a_privilege_of_a_later_version():
    found = read(("Collection", "*", "default", "Fly"), ListPrivilegeGroups=groups())
    assert (found.not_told, found.held()) == ([], {})


def test_groups_are_asked_for_only_where_one_is_granted():
    assert held(("Collection", "*", "default", "LoadBalance"), ListPrivilegeGroups=[]) == {"LoadBalance": {"*"}}


def test_a_group_that_is_not_told_leaves_open_what_is_missing():
    found = read(("Global", "*", "default", "DescribeCollection"), ("Collection", "*", "default", "ops"))
    assert found.not_told == ["ops"]
    told = {verdict.task: verdict for verdict in verdicts(found)}
    assert told["MilvusCollectionSensor"] == Verdict("MilvusCollectionSensor", True, ("*",))
    assert told["MilvusInsertOperator"] == Verdict("MilvusInsertOperator", None, (), {"Insert": "Collection all"})


@pytest.mark.parametrize(
    ("on", "expected"),
    [
        ({"Load": ["*"], "GetLoadState": ["docs", "docs_2"]}, Verdict("", True, ("docs", "docs_2"))),
        ({"Load": ["docs"], "GetLoadState": ["docs_2"]}, Verdict("", False, (), {"GetLoadState": "Collection docs"})),
        ({"Load": ["docs"]}, Verdict("", False, (), {"GetLoadState": "Collection docs"})),
        ({}, Verdict("", False, (), {"GetLoadState": "Collection all", "Load": "Collection all"})),
    ],
)
def test_a_task_needs_all_of_its_privileges_on_the_same_collection(on, expected):
    granted = [("Collection", name, "default", privilege) for privilege, names in on.items() for name in names]
    found = verdicts(read(("Global", "*", "*", "DescribeCollection"), *granted))
    (told,) = (verdict for verdict in found if verdict.task == "MilvusLoadCollectionOperator")
    assert told == Verdict(told.task, expected.may_run, expected.collections, expected.missing)


def test_on_2_3_other_privileges_are_needed():
    granted = [("Global", "*", "default", "DescribeCollection"), ("Collection", "*", "default", "Load")]
    for version, missing in {"v2.3.5": {}, "v2.4.0": {"GetLoadState": "Collection all"}}.items():
        told = {verdict.task: verdict for verdict in verdicts(read(*granted, version=version))}
        assert told["MilvusLoadCollectionOperator"].missing == missing


def test_there_is_a_verdict_for_every_task():
    assert [verdict.task for verdict in verdicts(read())] == list(TASKS)
