"""Snapshots as flows: what is sent in which order, and what an answer means."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_milvus.client.flow import Deadline, Flow, Rpc
from airflow_provider_milvus.client.tries import Tries
from airflow_provider_milvus.conditions import SnapshotRestored
from airflow_provider_milvus.exceptions import (
    MilvusCollectionNotFoundError,
    MilvusRefusedError,
    MilvusUnavailableError,
    MilvusUnsupportedError,
)
from airflow_provider_milvus.server import snapshots
from tests.unit.play import Clock, Server, described, play

pytestmark = pytest.mark.newest


class TestSnapshot:
    LISTED, NONE = SimpleNamespace(snapshots=["s1"]), SimpleNamespace(snapshots=[])
    TAKEN = SimpleNamespace(collection_name="docs", create_ts=5)

    def taken(self, clock: Clock, server: Server, **more: Any) -> Any:
        flow: Flow[Any] = snapshots.create_snapshot(
            "docs", "s1", Deadline(60), **{"flush": False, **more}, report=lambda words: None
        )
        return play(flow, server, clock)

    def test_one_of_that_name_is_never_replaced(self, clock: Clock):
        server = Server(DescribeCollection=described("docs"), ListSnapshots=self.LISTED)
        with pytest.raises(MilvusRefusedError, match="has a snapshot 's1'"):
            self.taken(clock, server)

    def test_an_answer_that_was_lost_is_looked_for(self, clock: Clock):
        server = Server(
            DescribeCollection=described("docs"),
            ListSnapshots=[self.NONE, self.LISTED],
            CreateSnapshot=MilvusUnavailableError("gone"),
            DescribeSnapshot=self.TAKEN,
        )
        assert self.taken(clock, server) == (self.TAKEN, True)
        assert len(server.sent("CreateSnapshot")) == 1

    def test_one_that_somebody_else_has_taken_just_now_is_not_this_tasks(self, clock: Clock):
        server = Server(
            DescribeCollection=described("docs"),
            ListSnapshots=[self.NONE, self.LISTED],
            CreateSnapshot=MilvusRefusedError("snapshot name is taken"),
            DescribeSnapshot=self.TAKEN,
        )
        with pytest.raises(MilvusRefusedError, match="is taken"):
            self.taken(clock, server)

    def test_an_answer_that_was_lost_before_it_was_taken_is_an_error(self, clock: Clock):
        server = Server(
            DescribeCollection=described("docs"), ListSnapshots=self.NONE, CreateSnapshot=MilvusUnavailableError("gone")
        )
        with pytest.raises(MilvusUnavailableError, match="gone"):
            self.taken(clock, server)

    @pytest.mark.parametrize(("number", "verdict"), [(0, "not yet"), (1, "not yet"), (2, "not yet"), (3, "met"), (4, "never")])
    def test_a_restore_is_through_when_its_job_is(self, clock: Clock, number, verdict):
        info = SimpleNamespace(info=SimpleNamespace(state=number, progress=40, reason="disk full"))
        seen = play(SnapshotRestored(3, "new").look(), Server(GetRestoreSnapshotState=info), clock)
        assert seen.verdict.value == verdict
        assert ("disk full" in seen.reason) == (number == 4)


def restored(clock: Clock, job_state: int, earlier_job: int | None) -> tuple[Any, Server, list[int]]:
    job_ids: list[int] = []
    answers: dict[str, Any] = {
        "GetRestoreSnapshotState": SimpleNamespace(info=SimpleNamespace(state=job_state, progress=40, reason="")),
        "DescribeCollection": lambda call: (
            described("docs") if call.fields["collection_name"] == "docs" else MilvusCollectionNotFoundError("none")
        ),
        "ShowCollections": SimpleNamespace(),
        "RestoreSnapshot": SimpleNamespace(job_id=8),
    }
    server = Server(**answers)
    flow = snapshots.submit_restore(
        "s1", "docs", "new", database="default", tries=Tries(earlier_job, job_ids.append), report=lambda words: None
    )
    return play(flow, server, clock), server, job_ids


@pytest.mark.parametrize("job_state", [1, 2, 3])
def test_a_retry_watches_the_restore_of_the_earlier_try(clock: Clock, job_state):
    condition, server, job_ids = restored(clock, job_state, earlier_job=5)
    assert (condition, job_ids) == (SnapshotRestored(5, "new"), [])
    assert "RestoreSnapshot" not in server.calls


def test_a_retry_after_a_restore_that_failed_asks_anew_and_notes_it(clock: Clock):
    condition, server, job_ids = restored(clock, 4, earlier_job=5)
    assert (condition, job_ids) == (SnapshotRestored(8, "new"), [8])
    assert len(server.sent("RestoreSnapshot")) == 1


def test_a_call_that_the_installed_pymilvus_does_not_know_is_not_supported():
    """As snapshots are to pymilvus 2."""
    from airflow_provider_milvus.client.channel import build_request

    with pytest.raises(
        MilvusUnsupportedError, match=r"^The call NoSuchCall\(docs\) failed: the installed pymilvus does not know NoSuchCall"
    ):
        build_request(Rpc("NoSuchCall", {"collection_name": "docs"}), "default")
