"""Load, release and refresh as flows: what is asked of the server, in which order, and when they stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_milvus.client.flow import Deadline
from airflow_provider_milvus.conditions import LoadFinished, Refreshed, Verdict
from airflow_provider_milvus.exceptions import (
    MilvusCollectionNotFoundError,
    MilvusDatabaseNotFoundError,
    MilvusIndexNotFoundError,
    MilvusInDoubtError,
    MilvusLoadFailedError,
    MilvusPartitionNotFoundError,
    MilvusRateLimitError,
    MilvusRefusedError,
    MilvusServerError,
    MilvusTimeoutError,
    MilvusUnavailableError,
    MilvusUnsupportedError,
)
from airflow_provider_milvus.server.load import START_GRACE, submit_load, submit_refresh
from airflow_provider_milvus.server.release import RELEASE_ATTEMPT, RELEASE_POLL, SHOWN_WITHIN, Released, release
from tests.unit.play import LOADED, LOADING, NOT_EXIST, NOT_LOAD, Clock, Server, described, partitions, percent, placed, play

pytestmark = pytest.mark.newest

MISSING = MilvusCollectionNotFoundError("no such collection")
CHANGES = {"ReleaseCollection", "ReleasePartitions", "LoadCollection", "LoadPartitions"}


def changed(server: Server) -> list[str]:
    return [name for name in server.calls if name in CHANGES]


def holding(**answers: Any) -> Server:
    """A server that has one replica of a collection without aliases in memory, but for what ``answers`` say."""
    return Server(**{**placed("rg"), "ListAliases": SimpleNamespace(aliases=[]), **answers})


def replica(id: int) -> SimpleNamespace:
    """The answer to GetReplicas."""
    return SimpleNamespace(replicas=[SimpleNamespace(replicaID=id, resource_group_name="rg")])


class TestRelease:
    def release(self, server: Server, clock: Clock, name: str = "docs", seconds: float = 60, **options: Any) -> Released:
        self.reports: list[str] = []
        deadline = Deadline(seconds)
        released = play(release(name, deadline, report=self.reports.append, **options), server, clock, deadline)
        self.groups, self.sent = released.groups, released.sent
        return replace(released, groups=(), sent=False)

    def test_is_done_when_the_server_says_not_load(self, clock):
        server = holding(
            DescribeCollection=described("docs"), GetLoadState=[LOADED, LOADED, LOADED, NOT_LOAD], ReleaseCollection=[None]
        )
        assert self.release(server, clock) == Released("docs", "Loaded", "NotLoad")
        assert clock.slept == [RELEASE_POLL] * 2

    def test_of_what_is_not_loaded_changes_nothing(self, clock):
        server = holding(DescribeCollection=described("docs"), GetLoadState=[NOT_LOAD])
        assert self.release(server, clock) == Released("docs", "NotLoad", "NotLoad")
        assert changed(server) == []

    def test_of_what_is_missing_fails(self, clock):
        server = holding(DescribeCollection=MISSING, ShowCollections=[[]])
        with pytest.raises(MilvusCollectionNotFoundError):
            self.release(server, clock)

    def test_of_what_is_missing_may_be_skipped(self, clock):
        server = holding(DescribeCollection=MISSING, ShowCollections=[[]])
        assert self.release(server, clock, skip_if_missing=True) == Released("docs", "NotExist", "NotExist")
        assert self.reports == ["Collection 'docs' does not exist: nothing to release."]

    def test_in_a_missing_database_always_fails(self, clock):
        server = holding(DescribeCollection=MISSING, ShowCollections=MilvusDatabaseNotFoundError("no such database"))
        with pytest.raises(MilvusDatabaseNotFoundError):
            self.release(server, clock, skip_if_missing=True)

    @pytest.mark.parametrize("asked_for", ["live", None])
    def test_through_an_alias_is_refused_and_names_the_collection_behind_it(self, clock, asked_for):
        server = holding(DescribeCollection=described("docs_v2", "live", asked_for=asked_for))
        with pytest.raises(MilvusRefusedError, match=r"'docs_v2' was not released: 'live' is an alias of it.*allow_alias=True"):
            self.release(server, clock, "live")
        assert changed(server) == []

    def test_through_an_alias_if_allowed_releases_the_collection(self, clock):
        server = holding(
            DescribeCollection=described("docs_v2", "live"),
            ListAliases=SimpleNamespace(aliases=["live"]),
            GetLoadState=[LOADED, NOT_LOAD],
            ReleaseCollection=[None],
        )
        change = self.release(server, clock, "live", allow_alias=True)
        assert change == Released("docs_v2", "Loaded", "NotLoad", alias="live")
        assert server.sent("ReleaseCollection") == [{"collection_name": "docs_v2"}]

    def test_of_an_aliased_collection_by_its_own_name_is_allowed(self, clock):
        server = holding(
            DescribeCollection=described("docs", "live"),
            ListAliases=SimpleNamespace(aliases=["live"]),
            GetLoadState=[LOADED, NOT_LOAD],
            ReleaseCollection=[None],
        )
        assert self.release(server, clock).state == "NotLoad"

    def test_is_refused_for_what_is_said_against_it_at_the_last_moment(self, clock):
        aliases = SimpleNamespace(aliases=["live", "old"])
        server = holding(DescribeCollection=described("docs", "live", "old"), GetLoadState=LOADED, ListAliases=aliases)
        with pytest.raises(MilvusRefusedError, match="'docs' was not released: it has live, old"):
            self.release(server, clock, unless=lambda standing: f"it has {', '.join(standing.aliases)}")
        assert changed(server) == []

    def test_while_it_is_loading_is_refused(self, clock):
        server = holding(DescribeCollection=described("docs"), GetLoadState=[LOADING], GetLoadingProgress=[percent(10)])
        with pytest.raises(MilvusRefusedError, match=r"is being loaded.*force=True"):
            self.release(server, clock)
        assert changed(server) == []

    def test_while_it_is_loading_may_be_forced(self, clock):
        server = holding(
            DescribeCollection=described("docs"),
            GetLoadState=[LOADING, NOT_LOAD],
            GetLoadingProgress=[percent(10)],
            ReleaseCollection=[None],
        )
        assert self.release(server, clock, force=True) == Released("docs", "Loading", "NotLoad")

    def test_without_an_answer_is_done_when_the_server_shows_it(self, clock):
        server = holding(
            DescribeCollection=described("docs"),
            GetLoadState=[LOADED, NOT_LOAD],
            ReleaseCollection=[MilvusTimeoutError("no answer")],
        )
        assert self.release(server, clock).state == "NotLoad"
        assert (changed(server), self.sent) == (["ReleaseCollection"], True)

    def test_without_an_answer_is_sent_again_where_the_same_load_is_there(self, clock):
        """2.3.5 forgets a release in its queue whose caller has stopped waiting."""
        server = holding(
            DescribeCollection=described("docs"),
            GetLoadState=lambda call: NOT_LOAD if len(changed(server)) == 2 else LOADED,
            ReleaseCollection=[MilvusTimeoutError("no answer"), None],
        )
        assert self.release(server, clock).state == "NotLoad"
        # It may be in the server's queue still.
        assert sum(clock.slept) >= SHOWN_WITHIN
        assert changed(server) == ["ReleaseCollection"] * 2

    @pytest.mark.parametrize("answer", [MilvusUnavailableError("gone"), MilvusTimeoutError("late"), None])
    @pytest.mark.parametrize("state", [LOADED, LOADING])
    def test_leaves_what_somebody_has_loaded_since(self, clock, answer, state):
        server = holding(
            DescribeCollection=described("docs"),
            GetLoadState=lambda call: state if changed(server) else LOADED,
            GetLoadingProgress=percent(10),
            GetReplicas=[replica(1), replica(2)],
            ReleaseCollection=answer,
        )
        released = self.release(server, clock)
        assert (released.state, self.sent, changed(server)) == (
            "Loaded" if state is LOADED else "Loading",
            True,
            ["ReleaseCollection"],
        )
        assert "somebody has loaded it since" in self.reports[-1]

    def test_that_cannot_be_told_from_a_later_load_is_in_doubt(self, clock):
        """As on Milvus Lite, which has no replicas."""
        server = holding(
            DescribeCollection=described("docs"),
            GetLoadState=LOADED,
            GetReplicas=MilvusUnsupportedError("no replicas"),
            ReleaseCollection=MilvusUnavailableError("gone"),
        )
        with pytest.raises(MilvusInDoubtError, match="gone It is Loaded, and the server does not tell whether somebody"):
            self.release(server, clock)
        assert changed(server) == ["ReleaseCollection"]
        assert sum(clock.slept) >= SHOWN_WITHIN

    def test_waits_for_a_server_that_takes_what_it_had_into_memory_again(self, clock):
        states = iter([LOADED, *[LOADING] * 18])
        server = holding(
            DescribeCollection=described("docs"),
            GetLoadState=lambda call: NOT_LOAD if len(changed(server)) == 2 else next(states, LOADED),
            GetLoadingProgress=percent(10),
            GetReplicas=lambda call: (
                MilvusServerError("none yet") if server.calls.count("GetReplicas") in range(2, 20) else replica(1)
            ),
            ReleaseCollection=[MilvusUnavailableError("restarted"), None],
        )
        assert self.release(server, clock).state == "NotLoad"
        assert changed(server) == ["ReleaseCollection"] * 2

    def test_of_what_was_dropped_meanwhile_touches_no_other_one_of_the_name(self, clock):
        another = SimpleNamespace(**{**vars(described("docs")), "collectionID": 2})
        server = holding(
            DescribeCollection=[*[described("docs")] * 3, another],
            GetLoadState=LOADED,
            ReleaseCollection=[MilvusUnavailableError("gone")],
        )
        assert self.release(server, clock).state == "NotExist"
        assert changed(server) == ["ReleaseCollection"]

    def test_is_not_sent_again_when_there_is_a_reason_against_it_by_then(self, clock):
        server = holding(
            DescribeCollection=described("docs"), GetLoadState=LOADED, ReleaseCollection=[MilvusRateLimitError("later")]
        )
        reasons = iter([None, "somebody needs it"])
        with pytest.raises(MilvusRefusedError, match="'docs' was not released: somebody needs it"):
            self.release(server, clock, unless=lambda standing: next(reasons))

    @pytest.mark.parametrize(("seconds", "attempt"), [(10, 5), (600, RELEASE_ATTEMPT)])
    def test_leaves_half_of_the_time_for_watching(self, clock, seconds, attempt):
        granted: list[float] = []
        server = holding(
            DescribeCollection=described("docs"),
            GetLoadState=[LOADED, NOT_LOAD],
            ReleaseCollection=lambda call: granted.append(call.timeout),
        )
        self.release(server, clock, seconds=seconds)
        assert granted == [attempt]

    def test_that_is_not_seen_in_time_says_that_the_server_may_still_do_it(self, clock):
        server = holding(DescribeCollection=described("docs"), GetLoadState=LOADED, ReleaseCollection=None)
        with pytest.raises(MilvusTimeoutError, match=r"was still Loaded when it was seen last.*may still be releasing it"):
            self.release(server, clock, seconds=5)

    def test_that_the_server_stops_answering_about_says_that_it_was_sent(self, clock):
        def frozen(call: Any) -> Any:
            clock.now += call.timeout
            raise MilvusTimeoutError("no answer.")

        states = iter([lambda call: LOADED])
        server = holding(
            DescribeCollection=described("docs"),
            GetLoadState=lambda call: next(states, frozen)(call),
            ReleaseCollection=[None],
        )
        with pytest.raises(
            MilvusTimeoutError,
            match=r"still Loaded when it was seen last, although .* answered its release\. no answer",
        ):
            self.release(server, clock, seconds=20)


class TestReleaseOfPartitions:
    release = TestRelease.release

    def server(self, **states: Any) -> Server:
        def state(call: Any) -> Any:
            return states[call.fields["partition_names"][0]].pop(0)

        return holding(
            DescribeCollection=described("docs"),
            ShowPartitions=partitions("_default", *states),
            GetLoadState=state,
            GetLoadingProgress=percent(10),
            ReleasePartitions=[None],
        )

    def test_is_done_when_each_is_out_of_memory(self, clock):
        server = self.server(p1=[LOADED, NOT_LOAD, NOT_LOAD], p2=[LOADED, LOADED, NOT_LOAD])
        assert self.release(server, clock, partition_names=["p1", "p2"]) == Released("docs", "Loaded", "NotLoad")
        assert server.sent("ReleasePartitions") == [{"collection_name": "docs", "partition_names": ["p1", "p2"]}]

    def test_also_when_only_one_of_them_is_loaded(self, clock):
        server = self.server(p1=[NOT_LOAD, NOT_LOAD], p2=[LOADED, NOT_LOAD])
        assert self.release(server, clock, partition_names=["p1", "p2"]).previous_state == "Loaded"
        assert changed(server) == ["ReleasePartitions"]

    def test_that_are_all_out_of_memory_changes_nothing(self, clock):
        server = self.server(p1=[NOT_LOAD], p2=[NOT_LOAD])
        assert self.release(server, clock, partition_names=["p1", "p2"]) == Released("docs", "NotLoad", "NotLoad")
        assert changed(server) == []

    @pytest.mark.parametrize("states", [[LOADING, LOADED], [LOADED, LOADING], [LOADING, NOT_LOAD], [NOT_LOAD, LOADING]])
    def test_of_which_one_is_loading_is_refused(self, clock, states):
        server = self.server(p1=states[:1], p2=states[1:])
        with pytest.raises(MilvusRefusedError, match="is being loaded"):
            self.release(server, clock, partition_names=["p1", "p2"])
        assert changed(server) == []

    def test_of_which_one_is_missing_changes_nothing(self, clock):
        server = self.server(p1=[LOADED])
        with pytest.raises(MilvusPartitionNotFoundError, match="'p9'"):
            self.release(server, clock, partition_names=["p1", "p9"])
        assert changed(server) == []


class TestLoad:
    def submit(self, server: Server, clock: Clock, name: str = "docs", **options: Any) -> Any:
        return play(submit_load(name, report=lambda words: None, **options), server, clock)

    def test_returns_what_to_wait_for(self, clock):
        server = Server(
            DescribeCollection=described("docs"),
            GetLoadState=[NOT_LOAD, NOT_LOAD, LOADING],
            GetLoadingProgress=[percent(0)],
            LoadCollection=[None],
        )
        submitted = self.submit(server, clock, options={"replica_number": 2})
        assert submitted.condition == LoadFinished(
            "docs", started=True, options={"replica_number": 2}, collection_id=1, newest_segment=0
        )
        assert (submitted.previous_state, submitted.alias) == ("NotLoad", None)
        assert server.sent("LoadCollection") == [{"collection_name": "docs", "replica_number": 2}]

    @pytest.mark.parametrize(("before", "name"), [(LOADED, "Loaded"), (LOADING, "Loading")])
    def test_of_what_somebody_else_began_is_not_this_tasks_own(self, clock, before, name):
        server = Server(
            DescribeCollection=described("docs"),
            GetLoadState=[before, LOADED, LOADED],
            GetLoadingProgress=percent(50),
            ShowPartitions=[partitions("_default", "p1"), partitions("_default", "p1"), partitions("_default")],
            LoadCollection=[None],
            **placed("rg"),
        )
        submitted = self.submit(server, clock)
        assert submitted.previous_state == name
        assert submitted.condition.started is False

    def test_that_is_refused_is_not_taken_for_what_somebody_has_loaded_otherwise(self, clock):
        refused = MilvusServerError("can't change the replica number")
        server = Server(DescribeCollection=described("docs"), GetLoadState=[NOT_LOAD, NOT_LOAD, LOADED], LoadCollection=refused)
        with pytest.raises(MilvusServerError, match="can't change the replica number"):
            self.submit(server, clock, options={"replica_number": 2})

    def test_through_an_alias_loads_the_collection_behind_it(self, clock):
        server = Server(
            DescribeCollection=described("docs_v2", "live"), GetLoadState=[NOT_LOAD, NOT_LOAD, LOADED], LoadCollection=[None]
        )
        submitted = self.submit(server, clock, "live")
        assert submitted.alias == "live"
        assert server.sent("LoadCollection") == [{"collection_name": "docs_v2"}]

    def test_that_begins_a_moment_later_is_given_that_moment(self, clock):
        server = Server(
            DescribeCollection=described("docs"),
            GetLoadState=[NOT_LOAD, NOT_LOAD, NOT_LOAD, LOADING],
            GetLoadingProgress=percent(0),
            LoadCollection=[None],
        )
        assert self.submit(server, clock).condition.started is True
        assert clock.slept == [START_GRACE]

    def test_that_never_begins_fails(self, clock):
        server = Server(
            DescribeCollection=described("docs"), GetLoadState=NOT_LOAD, GetLoadingProgress=percent(0), LoadCollection=[None]
        )
        with pytest.raises(MilvusLoadFailedError, match=r"'docs' was not loaded: the load never began: .*memory"):
            self.submit(server, clock)

    def test_without_an_index_fails_at_once(self, clock):
        no_index = MilvusIndexNotFoundError("index not found")
        server = Server(DescribeCollection=described("docs"), GetLoadState=NOT_LOAD, LoadCollection=[no_index])
        with pytest.raises(MilvusIndexNotFoundError):
            self.submit(server, clock)

    def test_of_a_missing_collection_changes_nothing(self, clock):
        server = Server(DescribeCollection=MISSING, ShowCollections=[[]])
        with pytest.raises(MilvusCollectionNotFoundError):
            self.submit(server, clock)
        assert changed(server) == []

    @pytest.mark.parametrize(
        ("before", "previous", "started"),
        [
            ([NOT_LOAD, NOT_LOAD], "NotLoad", True),
            ([NOT_LOAD, LOADED], "NotLoad", False),
            ([LOADED, LOADED], "Loaded", False),
            ([LOADED, NOT_EXIST], "NotLoad", False),
        ],
    )
    def test_of_partitions_is_this_tasks_own_only_if_none_was_in_memory(self, clock, before, previous, started):
        server = Server(
            DescribeCollection=described("docs"),
            ShowPartitions=partitions("p1", "p2"),
            GetLoadState=[*before, *before, LOADED, LOADED] if previous == "NotLoad" else LOADED,
            LoadPartitions=[None],
            **placed("rg"),
        )
        submitted = self.submit(server, clock, partition_names=["p1", "p2"])
        assert (submitted.previous_state, submitted.condition.started) == (previous, started)
        kept = {} if started else {"replica_number": 1, "resource_groups": ["rg"]}
        sent = [{"collection_name": "docs", "partition_names": ["p1", "p2"], **kept}]
        assert server.sent("LoadPartitions") == (sent if previous == "NotLoad" else [])


class TestLoadOfWhatIsInMemory:
    submit = TestLoad.submit

    def server(self, *groups: str, held: Sequence[str] = ("p1", "p2"), **more: Any) -> Server:
        def shown(call: Any) -> Any:
            return partitions(*held) if call.fields.get("type") else partitions("p1", "p2")

        answers = {
            "DescribeCollection": described("docs"),
            "GetLoadState": LOADED,
            "ShowPartitions": shown,
            "LoadCollection": [None],
            **placed(*groups),
            **more,
        }
        return Server(**answers)

    @pytest.mark.parametrize(
        "options", [{}, {"replica_number": 3}, {"replica_number": 3, "resource_groups": ["rg_a", "rg_b", "rg_c"]}]
    )
    def test_as_asked_is_left_alone(self, clock, options):
        server = self.server("rg_a", "rg_b", "rg_c")
        assert self.submit(server, clock, options=options).now.verdict is Verdict.MET
        assert changed(server) == []

    @pytest.mark.parametrize(
        ("groups", "options", "kept"),
        [
            (["rg_a", "rg_b"], {"load_fields": ["id"]}, {"replica_number": 2, "resource_groups": ["rg_a", "rg_b"]}),
            (["rg", "rg", "rg"], {"load_fields": ["id"]}, {"replica_number": 3, "resource_groups": ["rg"]}),
            (["rg", "rg"], {"replica_number": 3}, {"resource_groups": ["rg"]}),
            (["rg_a", "rg_b"], {"replica_number": 1, "resource_groups": ["rg_c"]}, {}),
            (["rg", "rg"], {"resource_groups": ["rg_a", "rg_b", "rg_c"]}, {"replica_number": 3}),
            ([], {"replica_number": 2}, {}),
        ],
    )
    def test_keeps_what_is_not_asked_for(self, clock, groups, options, kept):
        server = self.server(*groups)
        self.submit(server, clock, options=options)
        assert server.sent("LoadCollection") == [{"collection_name": "docs", **kept, **options}]

    def test_keeps_its_replicas_when_a_partition_is_missing(self, clock):
        server = self.server("rg_a", "rg_b", held=["p1"])
        self.submit(server, clock)
        assert server.sent("LoadCollection") == [
            {"collection_name": "docs", "replica_number": 2, "resource_groups": ["rg_a", "rg_b"]}
        ]

    def test_with_fewer_replicas_in_named_groups_is_refused(self, clock):
        server = self.server("rg_a", "rg_b")
        with pytest.raises(MilvusRefusedError, match=r"'docs' was not loaded: .* rg_a, rg_b, and replica_number=1"):
            self.submit(server, clock, options={"replica_number": 1})
        assert changed(server) == []

    def test_ends_when_what_was_on_storage_is_served(self, clock):
        server = self.server("rg", held=["p1"], **placed("rg", segments=[7, 9], serving=[7]))
        submitted = self.submit(server, clock)
        assert (str(submitted.now), submitted.now.verdict) == ("Loaded 50 %", Verdict.NOT_YET)
        # What is flushed later need not be served.
        later = self.server("rg", **placed("rg", segments=[7, 9, 11], serving=[7, 9]))
        assert play(submitted.condition.look(), later, clock).verdict is Verdict.MET

    def test_needs_every_replica_to_serve(self, clock):
        server = self.server("rg", **placed("rg", segments=[7], serving=[7]))
        assert self.submit(server, clock, options={"replica_number": 2}).now.reason == "0 of 1 segments are served"


class TestLoadAfterOneThatFailed:
    """Milvus 2.4 to 2.6.15 answer with the failure for a day, or until the next load."""

    FAILED = MilvusLoadFailedError("memory limit exceeded[predict(MB)=9000][limit(MB)=8000] (code 3)")

    def test_is_sent(self, clock):
        server = Server(
            DescribeCollection=described("docs"),
            GetLoadState=[self.FAILED, self.FAILED, LOADING, LOADING],
            GetLoadingProgress=percent(10),
            LoadCollection=[None],
        )
        submitted = play(submit_load("docs", report=lambda words: None), server, clock)
        assert (submitted.previous_state, submitted.condition.started) == ("NotLoad", True)
        assert changed(server) == ["LoadCollection"]

    def test_that_fails_again_says_why(self, clock):
        server = Server(DescribeCollection=described("docs"), GetLoadState=self.FAILED, LoadCollection=[None])
        with pytest.raises(MilvusLoadFailedError, match=r"memory limit exceeded\[predict"):
            play(submit_load("docs", report=lambda words: None), server, clock)

    def test_has_nothing_to_release(self, clock):
        words: list[str] = []
        server = holding(DescribeCollection=described("docs"), GetLoadState=self.FAILED)
        change = play(release("docs", Deadline(60), report=words.append), server, clock)
        assert (change.state, changed(server)) == ("NotLoad", [])
        assert "memory limit exceeded" in words[0]


class TestRefresh:
    def server(self, version: str = "v2.3.5", state: Any = LOADED) -> Server:
        return Server(
            DescribeCollection=described("docs"),
            GetVersion=SimpleNamespace(version=version),
            GetLoadState=state,
            GetLoadingProgress=percent(10),
            LoadCollection=[None],
        )

    @pytest.mark.parametrize("version", ["v2.3.5", "v2.3.5-lite", "v2.6.4"])
    def test_is_asked_of_a_loaded_collection(self, clock, version):
        server = self.server(version)
        assert play(submit_refresh("docs"), server, clock) == Refreshed("docs")
        assert server.sent("LoadCollection") == [{"collection_name": "docs", "refresh": True}]

    def test_is_not_asked_of_milvus_lite_which_would_never_end_it(self, clock):
        server = self.server("milvus_lite-3.2.2")
        with pytest.raises(MilvusUnsupportedError, match="never reports the progress of a refresh"):
            play(submit_refresh("docs"), server, clock)
        assert changed(server) == []

    @pytest.mark.parametrize(("state", "name"), [(NOT_LOAD, "NotLoad"), (LOADING, "Loading")])
    def test_is_refused_for_what_is_not_loaded(self, clock, state, name):
        server = self.server(state=state)
        with pytest.raises(MilvusRefusedError, match=f"'docs' was not refreshed: it is {name}, and only a loaded collection"):
            play(submit_refresh("docs"), server, clock)
        assert changed(server) == []
