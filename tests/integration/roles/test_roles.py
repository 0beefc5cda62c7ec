"""Each task with the privileges that docs/roles.md gives it, and without any one of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from airflow_provider_milvus.client.flow import Deadline, Rpc
from airflow_provider_milvus.contract.grants import grants_of
from airflow_provider_milvus.contract.may_run import Verdict, verdicts
from airflow_provider_milvus.contract.privileges import GLOBAL, PRIVILEGES, TASKS, kind_of
from airflow_provider_milvus.exceptions import MilvusError, MilvusPermissionError
from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.operators.milvus import MilvusAlterDatabaseOperator, MilvusTruncateCollectionOperator
from airflow_provider_milvus.protocol.lazy_pymilvus import import_pymilvus
from dev.roles import ALREADY_DONE, PAGE, SCENARIOS, Scenario, calls_of, privileges_of, with_table
from dev.servers.dialects import DIALECTS
from dev.servers.scripted import ScriptedMilvus, scripted_server
from dev.servers.standalone import PLATFORM_HAS_IT, StandaloneServer, standalone_server
from tests.integration.support import Connect, eventually

pytestmark = [pytest.mark.newest, pytest.mark.slow]

ALL = (*SCENARIOS, *ALREADY_DONE)
OF_A_COLLECTION = (
    "CreateIndex", "CreatePartition", "Delete", "DropIndex", "DropPartition", "Flush", "GetFlushState", "Insert", "Query",
    "Search", "Upsert",
)  # fmt: skip
PROBES = {
    **{name: name for name in GLOBAL - {"AlterDatabase", "DescribeDatabase"}},
    **{name: name for name in OF_A_COLLECTION},
    "Compaction": "ManualCompaction",
    "GetStatistics": "GetCollectionStatistics",
    "IndexDetail": "DescribeIndex",
    "Load": "GetLoadState",
    "Release": "ReleaseCollection",
    "ShowPartitions": "ShowPartitions",
}
"""For each privilege of 2.3.5 a call that needs it."""


def allowed() -> set[str]:
    """What the connection's user may do, seen by calls for a collection that does not exist."""
    from pymilvus.grpc_gen import milvus_pb2

    fields = {"Flush": {"collection_names": ["missing"]}, "CreateAlias": {"collection_name": "missing", "alias": "missing"}}
    seen = set()
    with MilvusHook().client() as client:
        for privilege, call in PROBES.items():
            known = getattr(milvus_pb2, f"{call}Request").DESCRIPTOR.fields_by_name
            of_missing = dict.fromkeys([name for name in ("collection_name", "alias") if name in known], "missing")
            try:
                client.perform(Rpc(call, fields.get(privilege, of_missing), 5))
            except MilvusPermissionError:
                continue
            except MilvusError:
                pass
            seen.add(privilege)
    return seen


class Guarded(Protocol):
    """A server with a user whose privileges can be set."""

    version: str

    def root(self) -> Any:
        """A client of pymilvus's that may do all."""

    def grant(self, privileges: set[str]) -> None: ...


class Played:
    def __init__(self, version: str, server: ScriptedMilvus) -> None:
        self.version, self._server = version, server
        self._client = import_pymilvus().MilvusClient(server.uri, timeout=10, dedicated=True)

    def root(self) -> Any:
        self._server.grants = None
        return self._client

    def grant(self, privileges: set[str]) -> None:
        self._server.grants = privileges


class Real:
    """Milvus 2.3.5 with authorization. The role that all users have is emptied: later versions fill it otherwise."""

    version = "2.3.5"

    def __init__(self, server: StandaloneServer) -> None:
        self._client = import_pymilvus().MilvusClient(server.uri, token="root:Milvus", timeout=30, dedicated=True)
        self._client.create_user("intern", "Coffee1!")
        self._client.create_role("narrow")
        self._client.grant_role("intern", "narrow")
        for granted in self._client.describe_role("public")["privileges"]:
            self._client.revoke_privilege(
                "public", granted["object_type"], granted["privilege"], granted["object_name"], granted["db_name"]
            )
        self._granted: set[str] = set()

    def root(self) -> Any:
        return self._client

    def grant(self, privileges: set[str]) -> None:
        for privilege in sorted(self._granted ^ privileges):
            self._change(privilege, privilege in privileges)
        self._granted = set(privileges)
        eventually(lambda: allowed() == privileges, patience=60, pause=0.5)

    def _change(self, privilege: str, grant: bool) -> None:
        change = self._client.grant_privilege if grant else self._client.revoke_privilege
        # In all databases: a task that drops one looks into it.
        change("narrow", kind_of(privilege), privilege, "*", db_name="*")


@pytest.fixture
def real(tmp_path: Path) -> Iterator[tuple[Real, str]]:
    """A server for one task. 2.3.5 takes in changes of a role four at a time, chosen from what it still has to do; a collection
    that was dropped is among that for 20 minutes (rootcoord/step_executor.go, step.go), so that on a server where many were
    dropped a change takes minutes.
    """
    if not PLATFORM_HAS_IT:
        pytest.skip("there is no Milvus 2.3.5 for this platform")
    settings = {"common.security.authorizationEnabled": "true"}
    with standalone_server(tmp_path, settings) as server:
        yield Real(server), server.uri


@pytest.fixture(params=["2.6.16", pytest.param("real 2.3.5", marks=[pytest.mark.standalone, pytest.mark.long])])
def guarded(request: pytest.FixtureRequest, connect: Connect) -> Iterator[Guarded]:
    if request.param == "real 2.3.5":
        server, uri = request.getfixturevalue("real")
        connect(uri, login="intern", password="Coffee1!")
        yield server
        return
    with scripted_server(DIALECTS[request.param]) as played:
        connect(played.uri)
        yield Played(request.param, played)


SAID = (
    "Alias 'live' points to 'docs_2' now.",
    "Collection 'new' was created, and stays:",
    "Partition 'p1' of collection 'docs' was released before.",
    "The drop of collection 'docs_2' was sent.",
    "The rename of collection 'docs_2' to 'docs_3' was sent.",
)
"""What an error says that this task has changed."""


def marks_of(properties: dict[str, str]) -> dict[str, str]:
    """A mark that was removed is an empty property."""
    return {key: value for key, value in properties.items() if value}


def state_of(client: Any) -> dict[str, Any]:
    """What a task could have changed."""
    return {
        name: (str(client.get_load_state(name)["state"]), list(described["aliases"]), marks_of(described["properties"]))
        for name in client.list_collections()
        for described in [client.describe_collection(name)]
    }


def foretold(scenario: Scenario) -> Verdict:
    """What ``check`` says of the task."""
    with MilvusHook().client() as client:
        granted = client.run(grants_of("intern", "default"), Deadline(10))
    (verdict,) = (verdict for verdict in verdicts(granted) if verdict.task == scenario.name)
    return verdict


def test_each_task_makes_calls_that_need_what_the_table_says() -> None:
    calls = {scenario.name: calls_of(scenario.name) for scenario in ALL}
    assert {name: sorted(needs.later) for name, needs in TASKS.items()} == {
        name: privileges_of(made, "2.6.16") for name, made in calls.items()
    }
    assert {name: sorted(needs.on_2_3) for name, needs in TASKS.items()} == {
        name: privileges_of(made, "2.3.5") for name, made in calls.items()
    }


def test_what_a_privilege_is_granted_on_is_what_the_protocol_says() -> None:
    from pymilvus.grpc_gen import common_pb2, milvus_pb2

    kinds = {}
    for method in milvus_pb2.DESCRIPTOR.services_by_name["MilvusService"].methods:
        needed = method.input_type.GetOptions().Extensions[common_pb2.privilege_ext_obj]
        name = common_pb2.ObjectPrivilege.Name(needed.object_privilege).removeprefix("Privilege")
        kinds[name] = common_pb2.ObjectType.Name(needed.object_type)
    # Those that only 2.3 asks for are not in the protocol of later versions.
    named = PRIVILEGES & kinds.keys()
    assert PRIVILEGES - named == {"ListDatabases", "ShowCollections"}
    assert {name: kind_of(name) for name in named} == {name: kinds[name] for name in named}


@pytest.mark.parametrize("scenario", ALL, ids=lambda scenario: scenario.name)
def test_a_task_needs_its_privileges_and_no_other(guarded: Guarded, scenario: Scenario) -> None:
    if scenario.kind in (MilvusTruncateCollectionOperator, MilvusAlterDatabaseOperator) and isinstance(guarded, Real):
        pytest.skip("2.3.5 cannot do this")
    needs = TASKS[scenario.name]
    needed = set(needs.on_2_3 if guarded.version == "2.3.5" else needs.later)
    scenario.find(guarded.root())
    # In the order of the calls: what a task has done before a call that is denied, it does not do again.
    for missing in dict.fromkeys(one for call in calls_of(scenario.name) for one in privileges_of([call], guarded.version)):
        before = state_of(guarded.root())
        guarded.grant(needed - {missing})
        told = foretold(scenario)
        assert (told.may_run, told.missing) == (False, {missing: "Global" if missing in GLOBAL else "Collection all"})
        with pytest.raises(Exception, match=rf"lacks the privilege {missing}\b") as denied:
            scenario.run()
        if state_of(guarded.root()) != before:
            assert any(done in str(denied.value) for done in SAID), (
                f"without {missing} something was changed, and not said: {denied.value}"
            )
            scenario.find(guarded.root())
    guarded.grant(needed)
    assert foretold(scenario) == Verdict(scenario.name, True, ("*",))
    scenario.run()


OF_TWO_COLLECTIONS = {"target_name", "new_name", "then"}
NARROW = [
    scenario
    for scenario in ALL
    if "collection_name" in scenario.arguments and not OF_TWO_COLLECTIONS & scenario.arguments.keys()
    if scenario.arguments["collection_name"] != "new"
    if any(kind_of(privilege) == "Collection" for privilege in TASKS[scenario.name].later)
]


@pytest.mark.parametrize("scenario", NARROW, ids=lambda scenario: scenario.name)
def test_a_narrow_role_lets_a_task_run_on_its_collections_only(connect: Connect, scenario: Scenario) -> None:
    name = scenario.arguments["collection_name"]
    other = {"docs": "docs_2", "docs_2": "docs"}[name]
    needed = TASKS[scenario.name].later
    with scripted_server(DIALECTS["2.6.16"]) as server:
        connect(server.uri)
        guarded = Played("2.6.16", server)
        for collection in (other, name):
            scenario.find(guarded.root())
            of_one = {one if kind_of(one) == "Global" else f"{one} on {collection}" for one in needed}
            guarded.grant(of_one)
            assert foretold(scenario) == Verdict(scenario.name, True, (collection,))
            if collection == name:
                scenario.run()
            else:
                with pytest.raises(MilvusPermissionError, match="lacks the privilege"):
                    scenario.run()


def test_the_page_has_the_table_as_it_is() -> None:
    page = PAGE.read_text()
    assert with_table(page) == page
