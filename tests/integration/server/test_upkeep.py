"""Flush, compact, empty, alter and snapshots: on real servers as far as they can, on the scripted one where they cannot."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pytest

from airflow_provider_milvus.exceptions import (
    MilvusCollectionNotFoundError,
    MilvusInvalidArgumentError,
    MilvusRefusedError,
    MilvusServerError,
    MilvusTimeoutError,
    MilvusUnavailableError,
    MilvusUnsupportedError,
)
from airflow_provider_milvus.operators.milvus import (
    MilvusAlterCollectionOperator,
    MilvusCompactOperator,
    MilvusCreateSnapshotOperator,
    MilvusFlushOperator,
    MilvusRestoreSnapshotOperator,
    MilvusTruncateCollectionOperator,
)
from airflow_provider_milvus.sensors.milvus import MilvusCompactionSensor
from dev.servers.scripted import ScriptedMilvus, abort, refuse
from tests.integration.support import MakeCollection, Milvus, deferral, ends_within, finish, resume

pytestmark = pytest.mark.newest

on_standalone = pytest.mark.standalone
knows_snapshots = pytest.mark.skipif(version("pymilvus").startswith("2."), reason="pymilvus before 3.0 knows no snapshots")


def task(kind: type, collection: str, **arguments: Any) -> Any:
    return kind(task_id="t", collection_name=collection, **arguments)


def rows_of(server: Milvus, name: str) -> int:
    with server.plain_client() as client:
        return int(client.query(name, "", output_fields=["count(*)"], consistency_level="Strong")[0]["count(*)"])


def properties_of(server: Milvus, name: str) -> dict[str, str]:
    with server.plain_client() as client:
        return dict(client.describe_collection(name)["properties"])


class TestFlush:
    @pytest.mark.parametrize("deferrable", [False, True])
    @on_standalone
    def test_what_was_written_is_on_storage_afterwards(self, standalone: Milvus, make_collection: MakeCollection, deferrable):
        name = make_collection(rows=200)
        with standalone.plain_client() as client:
            assert client.get_collection_stats(name)["row_count"] == 0
            done = finish(task(MilvusFlushOperator, name, deferrable=deferrable, poll_interval=0.2))
            assert client.get_collection_stats(name)["row_count"] == 200
        assert (done["collection"], done["state"]) == (name, "Flushed")

    def test_through_an_alias_it_is_the_collection_behind_it(self, lite: Milvus, make_collection: MakeCollection):
        name = make_collection()
        with lite.plain_client() as client:
            client.create_alias(name, f"{name}_live")
        assert finish(task(MilvusFlushOperator, f"{name}_live"))["collection"] == name
        with lite.plain_client() as client:
            client.drop_alias(f"{name}_live")

    def test_a_collection_that_is_not_there_is_no_success(self, milvus: Milvus):
        """Lite itself says nothing of it."""
        with pytest.raises(MilvusCollectionNotFoundError):
            finish(task(MilvusFlushOperator, "nothing_of_that_name"))

    def test_one_that_never_ends_is_given_up_at_the_timeout(self, scripted: ScriptedMilvus):
        scripted.add("docs")
        scripted.always("Flush", lambda server, request, context: {})
        scripted.always("GetFlushState", lambda server, request, context: {"flushed": False})
        with (
            pytest.raises(MilvusTimeoutError, match=r"'docs' did not reach the awaited state in time.*Last seen Flushing"),
            ends_within(3),
        ):
            finish(task(MilvusFlushOperator, "docs", timeout=1, poll_interval=0.1))


class TestCompact:
    @on_standalone
    def test_is_through_when_the_server_says_so_of_every_plan(self, standalone: Milvus, make_collection: MakeCollection):
        name, _ = make_collection(rows=1100), make_collection(rows=1100)
        with standalone.plain_client() as client:
            deferred = deferral(task(MilvusCompactOperator, name, deferrable=True, poll_interval=0.5))
            submitted = deferred.trigger.submitted
            # Of this one alone: pymilvus's own compact() makes 2.3.5 compact every collection it has.
            assert submitted["plans"] == 1
            assert client.get_compaction_state(int(submitted["compaction_id"])) == "Executing"
            waiting = MilvusCompactionSensor(task_id="t", compaction_id=submitted["compaction_id"], plans="1")
            assert not waiting.poke({})
            done = resume(task(MilvusCompactOperator, name), deferred)
            assert client.get_compaction_state(int(submitted["compaction_id"])) == "Completed"
            assert waiting.poke({})
        assert (done["state"], done["plans"], done["compaction_id"]) == ("Completed", 1, submitted["compaction_id"])

    @on_standalone
    def test_an_empty_collection_has_nothing_to_compact(self, standalone: Milvus, make_collection: MakeCollection):
        done = finish(task(MilvusCompactOperator, make_collection(rows=0)))
        assert (done["state"], done["plans"]) == ("Completed", 0)

    def test_lite_does_it_by_itself(self, lite: Milvus, make_collection: MakeCollection):
        done = finish(task(MilvusCompactOperator, make_collection()))
        assert (done["compaction_id"], done["plans"], done["state"]) == ("0", 0, "Completed")
        assert MilvusCompactionSensor(task_id="t", compaction_id=str(done["compaction_id"])).poke({})

    @pytest.mark.parametrize(
        ("later", "words"),
        [
            ({"state": 2}, "the server knows 0 of its 3 plans"),
            ({"state": 2, "completedPlanNo": 2, "failedPlanNo": 1}, "1 of its 3 plans failed"),
        ],
    )
    def test_one_that_failed_or_was_forgotten_is_no_success(self, scripted: ScriptedMilvus, later, words):
        scripted.add("docs")
        scripted.always("ManualCompaction", lambda server, request, context: {"compactionID": 9})
        scripted.next("GetCompactionState", *[lambda server, request, context: {"state": 1, "executingPlanNo": 3}] * 2)
        scripted.always("GetCompactionState", lambda server, request, context: later)
        with pytest.raises(MilvusServerError, match=words):
            finish(task(MilvusCompactOperator, "docs", poll_interval=0.1))

    def test_without_waiting_it_ends_when_it_is_taken(self, scripted: ScriptedMilvus):
        scripted.add("docs")
        scripted.always("ManualCompaction", lambda server, request, context: {"compactionID": 9})
        scripted.always("GetCompactionState", lambda server, request, context: {"state": 1, "executingPlanNo": 3})
        done = finish(task(MilvusCompactOperator, "docs", wait=False))
        assert (done["state"], done["compaction_id"], done["plans"]) == ("Executing", "9", 3)


class TestTruncate:
    def test_deletes_every_row_and_nothing_else(self, lite: Milvus, make_collection: MakeCollection):
        name, beside = make_collection(rows=40, load=True), make_collection(rows=30, load=True)
        with lite.plain_client() as client:
            before = client.describe_collection(name)["fields"]
            client.create_alias(name, f"{name}_live")
        done = finish(task(MilvusTruncateCollectionOperator, name, confirm=name, truncate_aliased=True))
        assert (done["rows_before"], done["rows"]) == (40, 0)
        assert (rows_of(lite, name), rows_of(lite, beside)) == (0, 30)
        with lite.plain_client() as client:
            assert client.describe_collection(name)["fields"] == before
            assert client.list_indexes(name) == ["vector"]
            assert client.describe_alias(f"{name}_live")["collection_name"] == name
            client.drop_alias(f"{name}_live")

    @pytest.mark.parametrize(
        ("confirm", "error", "reason"),
        [
            ("", MilvusInvalidArgumentError, "confirm is given, but empty"),
            ("yes", MilvusRefusedError, "was not truncated: confirm is 'yes'"),
            ("T", MilvusRefusedError, "was not truncated: confirm is 'T'"),
            ("{name}_2", MilvusRefusedError, "was not truncated: confirm is"),
        ],
    )
    def test_is_refused_without_the_very_name(self, lite: Milvus, make_collection: MakeCollection, confirm, error, reason):
        name = make_collection(rows=5, load=True)
        with pytest.raises(error, match=reason):
            finish(task(MilvusTruncateCollectionOperator, name, confirm=confirm.format(name=name)))
        assert rows_of(lite, name) == 5

    def test_an_alias_and_what_is_served_through_one_are_left_alone(self, lite: Milvus, make_collection: MakeCollection):
        """Lite does not tell the aliases when it describes a collection."""
        name = make_collection(rows=5, load=True)
        alias = f"{name}_live"
        with lite.plain_client() as client:
            client.create_alias(name, alias)
        try:
            with pytest.raises(MilvusRefusedError, match=f"has the alias '{alias}'"):
                finish(task(MilvusTruncateCollectionOperator, name, confirm=name))
            with pytest.raises(MilvusRefusedError, match=f"'{alias}' is an alias of the collection '{name}'"):
                finish(task(MilvusTruncateCollectionOperator, alias, confirm=alias, truncate_aliased=True))
            assert rows_of(lite, name) == 5
        finally:
            with lite.plain_client() as client:
                client.drop_alias(alias)

    @on_standalone
    def test_a_server_that_cannot_says_so(self, standalone: Milvus, make_collection: MakeCollection):
        name = make_collection(rows=0)
        with pytest.raises(MilvusUnsupportedError, match="was not emptied"):
            finish(task(MilvusTruncateCollectionOperator, name, confirm=name))


class TestAlter:
    def test_sets_properties_and_leaves_the_others(self, milvus: Milvus, make_collection: MakeCollection):
        name = make_collection()
        first = finish(task(MilvusAlterCollectionOperator, name, properties={"collection.ttl.seconds": "3600", "team": "a"}))
        assert first["changed"] == ["collection.ttl.seconds", "team"]
        second = finish(task(MilvusAlterCollectionOperator, name, properties={"mmap.enabled": True, "team": "b"}))
        expected = {"collection.ttl.seconds": "3600", "mmap.enabled": "true", "team": "b"}
        assert (second["properties"], second["changed"]) == (expected, ["mmap.enabled", "team"])
        assert properties_of(milvus, name).items() >= expected.items()
        assert finish(task(MilvusAlterCollectionOperator, name, properties={"team": "b"}))["changed"] == []

    def test_removes_properties_where_the_server_can(self, milvus: Milvus, make_collection: MakeCollection):
        name = make_collection()
        finish(task(MilvusAlterCollectionOperator, name, properties={"a.b": "1"}))
        altering = task(MilvusAlterCollectionOperator, name, properties={"c.d": "2"}, drop_properties="a.b")
        if milvus.is_lite:
            assert finish(altering)["properties"] == {"c.d": "2"}
            assert properties_of(milvus, name) == {"c.d": "2"}
        else:
            # Asked for both in one call it would say yes, and keep it.
            with pytest.raises(MilvusUnsupportedError, match=r"cannot remove properties.* keeps a\.b"):
                finish(altering)
            assert properties_of(milvus, name) == {"a.b": "1"}

    def test_what_the_server_says_against_it_is_told(self, scripted: ScriptedMilvus):
        scripted.add("docs")
        scripted.next("AlterCollection", refuse(104, "can not alter mmap properties if collection loaded"))
        with pytest.raises(MilvusRefusedError, match="can not alter mmap properties if collection loaded"):
            finish(task(MilvusAlterCollectionOperator, "docs", properties={"mmap.enabled": True}))

    def test_an_answer_that_was_lost_does_no_harm(self, scripted: ScriptedMilvus):
        docs = scripted.add("docs", properties={"a.b": "1"})
        scripted.next(
            "AlterCollection", lambda server, request, context: server.carry_out(request) and None, abort("UNAVAILABLE")
        )
        finish(task(MilvusAlterCollectionOperator, "docs", properties={"a.b": "2"}, timeout=10))
        assert docs.properties == {"a.b": "2"}


class Snapshots:
    """Snapshots as pymilvus 3.0's protocol has them; a restore takes ``looks`` looks."""

    def __init__(self, scripted: ScriptedMilvus) -> None:
        self.kept: dict[str, dict[str, Any]] = {}
        self.looks, self.reason = 2, ""
        self.target = ""
        for rpc in ("CreateSnapshot", "ListSnapshots", "DescribeSnapshot", "RestoreSnapshot", "GetRestoreSnapshotState"):
            scripted.always(rpc, getattr(self, f"_{rpc}"))
        scripted.always("Flush", lambda server, request, context: {})
        scripted.always("GetFlushState", lambda server, request, context: {"flushed": True})

    def _CreateSnapshot(self, server: Any, request: Any, context: Any) -> dict[str, Any]:  # noqa: N802
        self.kept[request.name] = {"name": request.name, "collection_name": request.collection_name, "create_ts": 77}
        self.kept[request.name]["description"] = request.description
        return {}

    def _ListSnapshots(self, server: Any, request: Any, context: Any) -> dict[str, Any]:  # noqa: N802
        return {
            "snapshots": [
                name for name, snapshot in self.kept.items() if snapshot["collection_name"] == request.collection_name
            ]
        }

    def _DescribeSnapshot(self, server: Any, request: Any, context: Any) -> dict[str, Any]:  # noqa: N802
        return self.kept[request.name]

    def _RestoreSnapshot(self, server: Any, request: Any, context: Any) -> dict[str, Any]:  # noqa: N802
        assert request.target_db_name == request.db_name == "default"
        self.target = request.target_collection_name
        return {"job_id": 31}

    def _GetRestoreSnapshotState(self, server: Any, request: Any, context: Any) -> dict[str, Any]:  # noqa: N802
        self.looks -= 1
        if self.reason:
            return {"info": {"job_id": request.job_id, "state": 4, "progress": 30, "reason": self.reason}}
        if self.looks > 0:
            return {"info": {"job_id": request.job_id, "state": 2, "progress": 30}}
        server.add(self.target)
        return {"info": {"job_id": request.job_id, "state": 3, "progress": 100}}


@pytest.fixture
def snapshots(scripted: ScriptedMilvus) -> Snapshots:
    scripted.add("docs")
    return Snapshots(scripted)


@knows_snapshots
class TestSnapshots:
    def test_what_was_written_is_flushed_and_then_kept(self, scripted: ScriptedMilvus, snapshots: Snapshots):
        done = finish(task(MilvusCreateSnapshotOperator, "docs", snapshot_name="monday", description="before the rebuild"))
        assert (done["snapshot"], done["created"], done["create_ts"]) == ("monday", True, 77)
        assert snapshots.kept["monday"]["description"] == "before the rebuild"
        sent = [call.name for call in scripted.calls]
        assert sent.index("Flush") < sent.index("GetFlushState") < sent.index("CreateSnapshot")

    def test_one_of_that_name_is_kept(self, scripted: ScriptedMilvus, snapshots: Snapshots):
        snapshots.kept["monday"] = {"name": "monday", "collection_name": "docs", "create_ts": 5}
        with pytest.raises(MilvusRefusedError, match="has a snapshot 'monday'"):
            finish(task(MilvusCreateSnapshotOperator, "docs", snapshot_name="monday"))
        done = finish(task(MilvusCreateSnapshotOperator, "docs", snapshot_name="monday", if_exists="skip"))
        assert (done["created"], done["create_ts"]) == (False, 5)
        assert scripted.received("CreateSnapshot") == []

    def test_an_answer_that_was_lost_is_looked_for(self, scripted: ScriptedMilvus, snapshots: Snapshots):
        def kept_and_lost(server: Any, request: Any, context: Any) -> Any:
            snapshots._CreateSnapshot(server, request, context)
            return abort("UNAVAILABLE")(server, request, context)

        scripted.next("CreateSnapshot", kept_and_lost)
        assert finish(task(MilvusCreateSnapshotOperator, "docs", snapshot_name="monday"))["created"]
        assert len(scripted.received("CreateSnapshot")) == 1

    @pytest.mark.parametrize("deferrable", [False, True])
    def test_is_restored_into_a_new_collection(self, scripted: ScriptedMilvus, snapshots: Snapshots, deferrable):
        arguments = {"snapshot_name": "monday", "target_collection_name": "docs_monday", "poll_interval": 0.1}
        done = finish(task(MilvusRestoreSnapshotOperator, "docs", deferrable=deferrable, **arguments))
        assert (done["collection"], done["job_id"], done["state"]) == ("docs_monday", "31", "Completed")
        assert "docs_monday" in scripted.collections

    def test_is_not_restored_over_what_is_there(self, scripted: ScriptedMilvus, snapshots: Snapshots):
        scripted.add("other", aliases=["live"])
        for target in ("docs", "live"):
            with pytest.raises(MilvusRefusedError, match=f"was not restored: a collection or an alias has the name '{target}'"):
                finish(task(MilvusRestoreSnapshotOperator, "docs", snapshot_name="monday", target_collection_name=target))
        assert scripted.received("RestoreSnapshot") == []

    def test_a_restore_that_fails_has_the_servers_reason(self, snapshots: Snapshots):
        snapshots.reason = "segment 5 is gone"
        with pytest.raises(MilvusServerError, match=r"Restore 31 into 'new' is Failed 30 %: segment 5 is gone"):
            finish(task(MilvusRestoreSnapshotOperator, "docs", snapshot_name="monday", target_collection_name="new"))

    def test_a_restore_whose_answer_was_lost_is_not_asked_for_twice(self, scripted: ScriptedMilvus, snapshots: Snapshots):
        scripted.next("RestoreSnapshot", abort("UNAVAILABLE"))
        with pytest.raises(MilvusUnavailableError):
            finish(task(MilvusRestoreSnapshotOperator, "docs", snapshot_name="monday", target_collection_name="new"))
        assert len(scripted.received("RestoreSnapshot")) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        (MilvusCreateSnapshotOperator, {"snapshot_name": "s"}),
        (MilvusRestoreSnapshotOperator, {"snapshot_name": "s", "target_collection_name": "new"}),
    ],
    ids=["create", "restore"],
)
def test_without_snapshots_the_error_says_who_lacks_them(milvus: Milvus, make_collection: MakeCollection, arguments):
    kind, given = arguments
    name = make_collection()
    lacking = "the installed pymilvus does not know" if version("pymilvus").startswith("2.") else "does not support it"
    with pytest.raises(MilvusUnsupportedError, match=lacking):
        finish(task(kind, name, **given))
    with milvus.plain_client() as client:
        assert not client.has_collection("new")
