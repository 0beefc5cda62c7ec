"""Conditions: what a look asks, what it makes of the answers, and how a wait ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_milvus.bulk_import.condition import ImportFinished, SubmittedImport
from airflow_provider_milvus.client.flow import Deadline
from airflow_provider_milvus.client.reads import describe
from airflow_provider_milvus.conditions import (
    LOAD_STATES,
    CollectionExists,
    Compacted,
    Condition,
    Flushed,
    GraceOver,
    IndexBuilt,
    LoadFinished,
    LoadState,
    Observation,
    Refreshed,
    RowCount,
    SnapshotRestored,
    Verdict,
    load_states,
    segments_on_storage,
    wait_for,
)
from airflow_provider_milvus.conditions.base import REVIVE_AFTER
from airflow_provider_milvus.conditions.load import InMemory
from airflow_provider_milvus.exceptions import (
    MilvusAuthenticationError,
    MilvusCollectionNotFoundError,
    MilvusDatabaseNotFoundError,
    MilvusError,
    MilvusInvalidArgumentError,
    MilvusLoadFailedError,
    MilvusLoadStalledError,
    MilvusNeverMetError,
    MilvusNotLoadedError,
    MilvusPartitionNotFoundError,
    MilvusServerError,
    MilvusTimeoutError,
    MilvusUnavailableError,
)
from airflow_provider_milvus.schema.window_marks import Mark, properties_of
from airflow_provider_milvus.server.windows import WindowLoad
from tests.unit.play import LOADED, LOADING, NOT_EXIST, NOT_LOAD, Clock, Server, described, partitions, percent, play

pytestmark = pytest.mark.newest

MISSING = MilvusCollectionNotFoundError("no such collection")


def test_the_names_of_load_states_stand_at_milvus_numbers():
    from pymilvus.grpc_gen import common_pb2

    numbers = {value.name.removeprefix("LoadState"): value.number for value in common_pb2.LoadState.DESCRIPTOR.values}
    assert {name: number for number, name in enumerate(LOAD_STATES)} == numbers


class TestLookingAtACollection:
    @pytest.mark.parametrize(
        ("answer", "target", "expected"),
        [
            (LOADED, "Loaded", Observation(Verdict.MET, "Loaded", 100)),
            (LOADED, "NotLoad", Observation(Verdict.NOT_YET, "Loaded")),
            (NOT_LOAD, "NotLoad", Observation(Verdict.MET, "NotLoad")),
            (NOT_LOAD, "Loaded", Observation(Verdict.NOT_YET, "NotLoad")),
        ],
    )
    def test_takes_one_call(self, clock, answer, target, expected):
        server = Server(GetLoadState=[answer])
        assert play(LoadState("docs", target_state=target).look(), server, clock) == expected
        assert server.asked == [("GetLoadState", {"collection_name": "docs"})]

    @pytest.mark.parametrize("target", ["Loaded", "NotLoad"])
    def test_takes_two_while_it_is_loading_and_sees_the_progress(self, clock, target):
        server = Server(GetLoadState=[LOADING], GetLoadingProgress=[percent(40)])
        seen = play(LoadState("docs", target_state=target).look(), server, clock)
        assert seen == Observation(Verdict.NOT_YET, "Loading", 40)
        assert str(seen) == "Loading 40 %"

    def test_never_waits_for_what_nobody_loads_if_so_asked(self, clock):
        condition = LoadState("docs", fail_if_not_loading=True)
        seen = play(condition.look(), Server(GetLoadState=[NOT_LOAD]), clock)
        assert (seen.verdict, seen.reason) == (Verdict.NEVER, "nobody is loading it")

    def test_that_does_not_exist_says_so(self, clock):
        server = Server(GetLoadState=[NOT_EXIST], DescribeCollection=[MISSING], ShowCollections=[[]])
        with pytest.raises(MilvusCollectionNotFoundError):
            play(LoadState("docs").look(), server, clock)

    def test_in_a_missing_database_blames_the_database(self, clock):
        database = MilvusDatabaseNotFoundError("no such database")
        server = Server(GetLoadState=[NOT_EXIST], DescribeCollection=[MISSING], ShowCollections=[database])
        with pytest.raises(MilvusDatabaseNotFoundError):
            play(LoadState("docs").look(), server, clock)

    def test_that_was_created_this_very_moment_is_not_loaded(self, clock):
        server = Server(GetLoadState=[NOT_EXIST], DescribeCollection=[described("docs")])
        assert play(load_states("docs"), server, clock) == [InMemory("NotLoad")]


class TestLookingAtPartitions:
    NAMES = ("p1", "p2", "p3")

    def server(self, **states: Any) -> Server:
        return Server(
            ShowPartitions=partitions("_default", *self.NAMES),
            GetLoadState=lambda call: states[call.fields["partition_names"][0]][0],
            GetLoadingProgress=lambda call: percent(states[call.fields["partition_names"][0]][1]),
        )

    @pytest.mark.parametrize(
        ("states", "target", "verdict", "seen"),
        [
            ([LOADED, LOADED, LOADED], "Loaded", Verdict.MET, "Loaded 100 %"),
            ([LOADED, NOT_LOAD, LOADED], "Loaded", Verdict.NOT_YET, "NotLoad"),
            ([LOADED, LOADING, LOADED], "Loaded", Verdict.NOT_YET, "Loading 50 %"),
            ([LOADING, NOT_LOAD, LOADED], "Loaded", Verdict.NOT_YET, "NotLoad"),
            ([NOT_LOAD, NOT_LOAD, NOT_LOAD], "NotLoad", Verdict.MET, "NotLoad"),
            ([NOT_LOAD, LOADED, NOT_LOAD], "NotLoad", Verdict.NOT_YET, "Loaded"),
            ([NOT_LOAD, LOADING, NOT_LOAD], "NotLoad", Verdict.NOT_YET, "Loading 50 %"),
        ],
    )
    def test_each_of_them_has_to_be_there(self, clock, states, target, verdict, seen):
        answers = dict(zip(self.NAMES, ((state, 50) for state in states), strict=True))
        condition = LoadState("docs", list(self.NAMES), target_state=target)
        observed = play(condition.look(), self.server(**answers), clock)
        assert (observed.verdict, str(observed)) == (verdict, seen)

    def test_the_one_that_is_behind_tells_the_progress(self, clock):
        server = self.server(p1=(LOADING, 90), p2=(LOADING, 10), p3=(LOADED, 0))
        assert play(LoadState("docs", list(self.NAMES)).look(), server, clock).progress == 10

    def test_asks_for_each_by_its_name(self, clock):
        server = self.server(p1=(LOADED, 0), p2=(LOADED, 0))
        play(LoadState("docs", ["p1", "p2"]).look(), server, clock)
        assert server.sent("GetLoadState") == [
            {"collection_name": "docs", "partition_names": ["p1"]},
            {"collection_name": "docs", "partition_names": ["p2"]},
        ]

    def test_one_that_does_not_exist_is_named_beside_those_that_do(self, clock):
        with pytest.raises(MilvusPartitionNotFoundError, match=r"no partition 'p9'; it has '_default', 'p1', 'p2', 'p3'\."):
            play(LoadState("docs", ["p1", "p9"]).look(), self.server(), clock)


class TestLookingAtALoadOfOnesOwn:
    def test_not_loaded_means_that_the_server_gave_it_up(self, clock):
        server = Server(GetLoadState=[NOT_LOAD], GetLoadingProgress=[MilvusNotLoadedError("collection not loaded (code 101)")])
        seen = play(LoadFinished("docs").look(), server, clock)
        assert seen.verdict is Verdict.NEVER
        assert "not enough memory" in seen.reason

    def test_released_between_two_calls_of_one_look_is_not_loaded(self, clock):
        server = Server(GetLoadState=[LOADING], GetLoadingProgress=[MilvusNotLoadedError("collection not loaded (code 101)")])
        seen = play(LoadState("docs").look(), server, clock)
        assert (seen.verdict, seen.state) == (Verdict.NOT_YET, "NotLoad")

    def test_the_servers_own_reason_is_told(self, clock):
        server = Server(GetLoadState=[NOT_LOAD], GetLoadingProgress=[MilvusServerError("OOM if load")])
        assert "The server says: OOM if load" in play(LoadFinished("docs").look(), server, clock).reason

    def test_without_a_reason_the_usual_causes_are_told(self, clock):
        seen = play(LoadFinished("docs").look(), Server(GetLoadState=[NOT_LOAD], GetLoadingProgress=[percent(0)]), clock)
        assert "The server says" not in seen.reason
        assert "query coordinator's log" in seen.reason

    def test_an_error_instead_of_the_progress_is_the_reason_once_it_is_not_loaded(self, clock):
        server = Server(GetLoadState=[LOADING, NOT_LOAD], GetLoadingProgress=[MilvusServerError("unrecoverable error")])
        seen = play(LoadFinished("docs").look(), server, clock)
        assert (seen.verdict, seen.state) == (Verdict.NEVER, "NotLoad")
        assert "unrecoverable error" in seen.reason

    def test_an_error_instead_of_the_progress_surfaces_while_it_is_loading(self, clock):
        server = Server(GetLoadState=[LOADING, LOADING], GetLoadingProgress=[MilvusServerError("strange")])
        with pytest.raises(MilvusServerError, match="strange"):
            play(LoadFinished("docs").look(), server, clock)


def held(state: Any, **more: Any) -> Server:
    """A server that has a collection without aliases in this state; a release that it is sent changes nothing here."""
    return Server(
        **{
            "GetLoadState": state,
            "GetLoadingProgress": percent(10),
            "DescribeCollection": described("docs"),
            "ListAliases": SimpleNamespace(aliases=[]),
            "ShowPartitions": partitions("_default", "p1"),
            "ShowCollections": [],
            **more,
        }
    )


class TestTakingALoadBack:
    def test_releases_what_this_task_loaded(self, clock):
        server = held(LOADING, ReleaseCollection=[None])
        outcome = play(LoadFinished("docs", started=True).undo(), server, clock)
        assert server.sent("ReleaseCollection") == [{"collection_name": "docs"}]
        assert "was released, since this task started the load" in outcome

    def test_releases_only_the_partitions_that_this_task_loaded(self, clock):
        server = held(LOADING, ReleasePartitions=[None])
        play(LoadFinished("docs", ["p1"], started=True).undo(), server, clock)
        assert server.sent("ReleasePartitions") == [{"collection_name": "docs", "partition_names": ["p1"]}]

    @pytest.mark.parametrize(
        ("state", "more", "why"),
        [
            (NOT_LOAD, {}, "is not in memory"),
            (LOADED, {}, "whether somebody uses it already is not known"),
            (LOADED, {"ListAliases": SimpleNamespace(aliases=["live"])}, "has the alias live"),
            (LOADING, {"DescribeCollection": described("docs_2")}, "was dropped meanwhile"),
            (LOADING, {"ListAliases": SimpleNamespace(aliases=["new"])}, "is Loading by now, and has the alias new"),
        ],
    )
    def test_leaves_what_somebody_may_need_by_now(self, clock, state, more, why):
        outcome = play(LoadFinished("docs", started=True).undo(), held(state, **more), clock)
        assert why in outcome

    def test_releases_what_had_its_alias_before(self, clock):
        server = held(LOADING, ReleaseCollection=[None], ListAliases=SimpleNamespace(aliases=["live"]))
        play(LoadFinished("docs", started=True, aliases=["live"]).undo(), server, clock)
        assert "ReleaseCollection" in server.calls

    def test_leaves_what_a_window_needs(self, clock):
        mark = properties_of({"other": Mark(4e9, False)})
        there = described("docs")
        there.properties = [SimpleNamespace(key=key, value=value) for key, value in mark.items()]
        outcome = play(LoadFinished("docs", started=True).undo(), held(LOADED, DescribeCollection=there), clock)
        assert "a window needs it: other" in outcome

    def test_leaves_alone_what_was_in_memory_before(self, clock):
        server = Server()
        play(LoadFinished("docs", started=False).undo(), server, clock)
        assert server.asked == []


class TestReviving:
    def test_releases_and_submits_again_with_the_same_options(self, clock):
        server = held(LOADING, ReleaseCollection=[None], LoadCollection=[None])
        play(LoadFinished("docs", started=True, options={"replica_number": 2}).revive(), server, clock)
        assert [call for call in server.calls if call.endswith("Collection") and call != "DescribeCollection"] == [
            "ReleaseCollection",
            "LoadCollection",
        ]
        assert server.sent("LoadCollection") == [{"collection_name": "docs", "replica_number": 2}]

    def test_releases_nothing_that_was_in_memory_before(self, clock):
        server = held(LOADING, LoadPartitions=[None])
        play(LoadFinished("docs", ["p1"], started=False).revive(), server, clock)
        assert server.sent("LoadPartitions") == [{"collection_name": "docs", "partition_names": ["p1"]}]
        assert "ReleasePartitions" not in server.calls

    @pytest.mark.parametrize("condition", [LoadState("docs"), Refreshed("docs")])
    def test_does_nothing_where_nothing_was_begun(self, clock, condition):
        server = Server()
        play(condition.revive(), server, clock)
        play(condition.undo(), server, clock)
        assert server.asked == []


@pytest.mark.parametrize(("refreshed", "verdict"), [(0, Verdict.NOT_YET), (99, Verdict.NOT_YET), (100, Verdict.MET)])
def test_a_refresh_is_through_at_a_hundred_per_cent(clock, refreshed, verdict):
    seen = play(Refreshed("docs").look(), Server(GetLoadingProgress=[percent(100, refreshed)]), clock)
    assert (seen.verdict, seen.progress) == (verdict, refreshed)


def test_describing_a_missing_collection_asks_whether_the_database_is_there(clock):
    server = Server(DescribeCollection=[MISSING], ShowCollections=[[]])
    with pytest.raises(MilvusCollectionNotFoundError) as raised:
        play(describe("docs"), server, clock)
    assert raised.value is MISSING
    assert server.calls == ["DescribeCollection", "ShowCollections"]


class TestWaiting:
    """A look every two seconds, of a server that answers as the test says."""

    def wait(self, server: Server, clock: Any, condition: Condition | None = None, **options: Any) -> Any:
        deadline = options.pop("deadline", None) or Deadline(600)
        self.reports: list[str] = []
        options = {"poll_interval": 2, "report": self.reports.append, **options}
        return play(wait_for(condition or LoadFinished("docs", started=True), deadline, **options), server, clock, deadline)

    def test_ends_when_it_is_met(self, clock):
        server = Server(GetLoadState=[LOADING, LOADING, LOADED], GetLoadingProgress=[percent(0), percent(50)])
        assert self.wait(server, clock) == Observation(Verdict.MET, "Loaded", 100)
        assert clock.slept == [2, 2]

    def test_reports_each_change_once(self, clock):
        server = Server(
            GetLoadState=[LOADING] * 4 + [LOADED], GetLoadingProgress=[percent(0), percent(0), percent(50), percent(50)]
        )
        self.wait(server, clock)
        assert self.reports == [
            "Collection 'docs': Loading 0 %",
            "Collection 'docs': Loading 50 %",
            "Collection 'docs': Loaded 100 %",
        ]

    def test_does_not_pause_before_the_first_look(self, clock):
        self.wait(Server(GetLoadState=[LOADED]), clock)
        assert clock.slept == []

    def test_eagerly_looks_more_often_at_the_beginning(self, clock):
        looks = 400
        server = Server(GetLoadState=[LOADING] * looks + [LOADED], GetLoadingProgress=percent(0))
        self.wait(server, clock, eager=True, deadline=Deadline(10_000))
        assert clock.slept[0] < 0.2
        assert clock.slept == sorted(clock.slept)
        assert clock.slept[-1] == 2

    def test_a_load_that_the_server_gave_up_fails_as_a_load(self, clock):
        server = Server(GetLoadState=[LOADING, NOT_LOAD], GetLoadingProgress=[percent(50), percent(0)])
        with pytest.raises(MilvusLoadFailedError, match=r"Collection 'docs' is NotLoad: the server stopped loading it"):
            self.wait(server, clock)

    def test_what_can_never_be_met_fails_at_once(self, clock):
        with pytest.raises(MilvusNeverMetError, match="nobody is loading it"):
            self.wait(Server(GetLoadState=[NOT_LOAD]), clock, LoadState("docs", fail_if_not_loading=True))
        assert clock.slept == []

    def test_at_the_deadline_tells_what_was_seen_last_and_since_when(self, clock):
        server = Server(GetLoadState=LOADING, GetLoadingProgress=percent(40))
        with pytest.raises(MilvusTimeoutError, match=r"Last seen Loading 40 %, unchanged for 10 s\. The server may still"):
            self.wait(server, clock, deadline=Deadline(10))

    def test_a_server_that_stays_away_is_told_with_what_was_seen_before(self, clock):
        away = MilvusUnavailableError("nothing listens there.")
        server = Server(GetLoadState=[LOADING] + [away] * 99, GetLoadingProgress=percent(40))
        with pytest.raises(MilvusUnavailableError, match=r"nothing listens there\..*Last seen Loading 40 %"):
            self.wait(server, clock, deadline=Deadline(10))

    def test_a_server_that_was_never_there_is_told_alone(self, clock):
        with pytest.raises(MilvusUnavailableError) as raised:
            self.wait(Server(GetLoadState=MilvusUnavailableError("away.")), clock, deadline=Deadline(10))
        assert "Last seen" not in str(raised.value)

    def test_a_load_that_stands_still_ends_at_the_stall_timeout(self, clock):
        server = Server(GetLoadState=LOADING, GetLoadingProgress=percent(40))
        began = clock.now
        with pytest.raises(MilvusLoadStalledError, match=r"stood still at Loading 40 % for 30 s \(stall_timeout 30 s\)"):
            self.wait(server, clock, stall_timeout=30)
        assert clock.now - began == 30

    def test_a_slow_load_that_moves_does_not_stall(self, clock):
        progress = [percent(step) for step in range(0, 100, 10) for _ in range(10)]
        server = Server(GetLoadState=[LOADING] * 100 + [LOADED], GetLoadingProgress=progress)
        assert self.wait(server, clock, stall_timeout=30).state == "Loaded"


class TestWaitingThroughARestart:
    """The server goes away in mid-load and comes back."""

    wait = TestWaiting.wait

    def restarted(self, *after: Any, progress: Any = None) -> Server:
        away = MilvusUnavailableError("away")
        return Server(
            DescribeCollection=described("docs"),
            ListAliases=SimpleNamespace(aliases=[]),
            GetLoadState=[LOADING, away, away, *after],
            GetLoadingProgress=progress or percent(0),
            ReleaseCollection=[None],
            LoadCollection=[None],
        )

    def test_a_load_that_goes_on_by_itself_is_left_alone(self, clock):
        server = self.restarted(*[LOADING] * 3, LOADED)
        assert self.wait(server, clock).state == "Loaded"
        assert "LoadCollection" not in server.calls
        assert any("back" in sentence for sentence in self.reports)

    def test_a_load_that_stands_still_afterwards_is_submitted_again(self, clock):
        began = clock.now
        server = self.restarted(*[LOADING] * 30, LOADED)
        assert self.wait(server, clock).state == "Loaded"
        assert server.calls.count("ReleaseCollection") == server.calls.count("LoadCollection") == 1
        assert clock.now - began >= REVIVE_AFTER

    def test_one_that_moved_afterwards_is_left_alone_even_when_it_then_stands_still(self, clock):
        server = self.restarted(*[LOADING] * 999, progress=[percent(0), percent(0), *[percent(50)] * 999])
        with pytest.raises(MilvusTimeoutError, match="Last seen Loading 50 %"):
            self.wait(server, clock, deadline=Deadline(300))
        assert "LoadCollection" not in server.calls

    def test_it_is_submitted_again_only_once(self, clock):
        server = self.restarted(*[LOADING] * 999)
        with pytest.raises(MilvusTimeoutError, match="Last seen Loading 0 %"):
            self.wait(server, clock, deadline=Deadline(300))
        assert server.calls.count("LoadCollection") == 1

    def test_it_stalls_when_that_does_not_help(self, clock):
        server = self.restarted(*[LOADING] * 999)
        with pytest.raises(MilvusLoadStalledError):
            self.wait(server, clock, stall_timeout=20)
        assert server.calls.count("LoadCollection") == 1

    def test_without_an_outage_nothing_is_submitted_again(self, clock):
        server = Server(GetLoadState=LOADING, GetLoadingProgress=percent(0))
        with pytest.raises(MilvusTimeoutError):
            self.wait(server, clock, deadline=Deadline(300))
        assert set(server.calls) == {"GetLoadState", "GetLoadingProgress"}

    def test_an_outage_before_the_wait_is_not_taken_for_one_within(self, clock):
        deadline = Deadline(300)
        deadline.interruptions = 1
        server = Server(GetLoadState=LOADING, GetLoadingProgress=percent(0))
        with pytest.raises(MilvusTimeoutError):
            self.wait(server, clock, deadline=deadline)
        assert set(server.calls) == {"GetLoadState", "GetLoadingProgress"}


EXAMPLES = [
    LoadState("docs"),
    LoadState("docs", ["p1", "p2"], "NotLoad", True),
    LoadFinished("docs", ["p1"], started=True, options={"replica_number": 2, "resource_groups": ["rg"]}),
    WindowLoad("docs", started=True, window="dag/load/1", previous_state="NotLoad", aliases=["live"]),
    Refreshed("docs"),
    CollectionExists("docs", exists=False),
    IndexBuilt("docs", "vector", "by_vector"),
    GraceOver("docs_2", "docs", 1_700_000_000.5),
    ImportFinished("docs", ["448707763884413158", "job-1"]),
    SubmittedImport("docs", ["1"]),
    RowCount("docs", 1000, "lang == 'en'", ["p1"]),
    Flushed("docs", [448707763884413158], 448707763884413159),
    Compacted(448707763884413158, 3, "docs"),
    SnapshotRestored(448707763884413158, "docs"),
]


@pytest.mark.parametrize("condition", EXAMPLES, ids=lambda condition: type(condition).__name__)
def test_a_condition_survives_the_way_to_the_triggerer(condition):
    travelled = Condition.deserialize(json.loads(json.dumps(condition.serialize())))
    assert travelled == condition
    assert type(travelled) is type(condition)


def subclasses_of(kind: type[Condition]) -> set[type[Condition]]:
    return {kind}.union(*map(subclasses_of, kind.__subclasses__()))


def test_every_condition_has_an_example_here():
    ours = {kind for kind in subclasses_of(Condition) - {Condition} if kind.__module__.startswith("airflow_provider_milvus.")}
    assert ours == {type(condition) for condition in EXAMPLES}


@dataclass(frozen=True)
class HasRows(Condition):
    collection_name: str

    def look(self) -> Any:
        answer = yield from describe(self.collection_name)
        return Observation(Verdict.MET if answer.rows else Verdict.NOT_YET, f"{answer.rows} rows")


def test_a_condition_of_ones_own_takes_ten_lines(clock):
    (empty, full) = (described("docs"), described("docs"))
    empty.rows, full.rows = 0, 3
    again = Condition.deserialize(HasRows("docs").serialize())
    flow = wait_for(again, Deadline(60), poll_interval=1)
    assert play(flow, Server(DescribeCollection=[empty, full]), clock).state == "3 rows"


@pytest.mark.slow
def test_a_condition_of_ones_own_travels_to_a_process_that_has_not_imported_it(tmp_path):
    (tmp_path / "my_conditions.py").write_text(
        "from dataclasses import dataclass\n"
        "from airflow_provider_milvus.conditions import Condition\n"
        "@dataclass(frozen=True)\n"
        "class HasRows(Condition):\n"
        "    collection_name: str\n"
    )
    code = (
        "from airflow_provider_milvus.conditions import Condition\n"
        "print(Condition.deserialize({'condition': 'my_conditions.HasRows', 'collection_name': 'docs'}))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    other = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert other.stdout.splitlines()[-1:] == ["Collection 'docs'"], other.stderr


def test_a_condition_that_no_other_process_can_import_is_refused_in_the_worker():
    @dataclass(frozen=True)
    class Local(Condition):
        pass

    with pytest.raises(MilvusInvalidArgumentError, match=r"The wait did not begin.*plugins folder"):
        Local().serialize()


@pytest.mark.parametrize(
    "data",
    [
        {"condition": "os.system"},
        {"condition": "collections.OrderedDict"},
        {"condition": "LoadState", "collection_name": "docs"},
        {"condition": "no_such_module.LoadState", "collection_name": "docs"},
        {"condition": "airflow_provider_milvus.conditions.load.LoadState", "no_such_field": 1},
        {"collection_name": "docs"},
        {},
    ],
)
def test_only_a_condition_is_ever_made_of_what_came_to_the_triggerer(data):
    with pytest.raises(MilvusInvalidArgumentError, match="The wait did not begin"):
        Condition.deserialize(data)


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (LoadState("docs"), "Collection 'docs'"),
        (LoadFinished("docs", ["p1", "p2"]), "Collection 'docs', partitions p1, p2"),
        (Refreshed("docs"), "Collection 'docs'"),
    ],
)
def test_a_condition_in_words_names_what_is_waited_for(condition, words):
    assert str(condition) == words


def test_an_observation_is_plain_data_for_the_triggers_event():
    seen = Observation(Verdict.NEVER, "NotLoad", None, "nobody is loading it")
    assert json.loads(json.dumps(seen.as_dict())) == {
        "verdict": "never",
        "state": "NotLoad",
        "progress": None,
        "reason": "nobody is loading it",
    }


@pytest.mark.parametrize("kind", [MilvusTimeoutError, MilvusAuthenticationError])
def test_an_error_of_a_job_names_the_collection(clock: Clock, kind: type[MilvusError]) -> None:
    server = Server(GetCompactionState=kind("The state of compaction 7 could not be read."))
    with pytest.raises(kind, match=r"^Compaction 7 of 'docs'.*: The state of compaction 7 could not be read\."):
        play(wait_for(Compacted(7, 1, "docs"), Deadline(5), poll_interval=1), server, clock)


def test_a_segment_that_is_compacted_while_segments_are_listed_is_looked_for_again(clock: Clock) -> None:
    gone, listed = MilvusServerError("segment not found[segment=7]"), SimpleNamespace(infos=[])
    names = SimpleNamespace(partitionIDs=[], partition_names=[])

    server = Server(GetPersistentSegmentInfo=[gone, listed], ShowPartitions=names)
    assert play(segments_on_storage("docs"), server, clock) == {}

    for answers in ([gone, gone], [MilvusServerError("no such thing")]):
        with pytest.raises(MilvusServerError):
            play(segments_on_storage("docs"), Server(GetPersistentSegmentInfo=answers, ShowPartitions=names), clock)
