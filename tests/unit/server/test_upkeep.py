"""Flushes, compactions and properties: what is sent in which order, and what an answer means."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_milvus.client.flow import Deadline
from airflow_provider_milvus.client.tries import Tries
from airflow_provider_milvus.conditions import Compacted, Flushed, wait_for
from airflow_provider_milvus.exceptions import (
    MilvusInDoubtError,
    MilvusInvalidArgumentError,
    MilvusRefusedError,
    MilvusReplacedError,
    MilvusServerError,
    MilvusTimeoutError,
    MilvusUnavailableError,
    MilvusUnsupportedError,
)
from airflow_provider_milvus.operators.milvus import MilvusAlterCollectionOperator
from airflow_provider_milvus.server import upkeep
from tests.unit.play import Clock, Server, partitions, play

pytestmark = pytest.mark.newest

REAL, LITE = SimpleNamespace(version="v2.3.5"), SimpleNamespace(version="milvus_lite-3.2.2")


def described(name: str = "docs", **properties: str) -> SimpleNamespace:
    fields = [SimpleNamespace(name="id", is_primary_key=True)]
    pairs = [SimpleNamespace(key=key.replace("_", "."), value=value) for key, value in properties.items()]
    return SimpleNamespace(
        schema=SimpleNamespace(name=name, fields=fields), collection_name=name, collectionID=42, aliases=[], properties=pairs
    )


def state(number: int, executing: int = 0, completed: int = 0, failed: int = 0, timed_out: int = 0) -> SimpleNamespace:
    """The answer to GetCompactionState."""
    return SimpleNamespace(
        state=number, executingPlanNo=executing, completedPlanNo=completed, failedPlanNo=failed, timeoutPlanNo=timed_out
    )


def counted(rows: int) -> SimpleNamespace:
    scalars = SimpleNamespace(long_data=SimpleNamespace(data=[rows]))
    return SimpleNamespace(fields_data=[SimpleNamespace(scalars=scalars)])


def ignore(words: str) -> None:
    pass


class TestFlush:
    def test_is_watched_by_the_segments_and_the_moment_that_the_server_names(self, clock: Clock):
        answer = SimpleNamespace(
            coll_segIDs=defaultdict(lambda: SimpleNamespace(data=[]), docs=SimpleNamespace(data=[7, 8])),
            coll_flush_ts=defaultdict(int, docs=99),
        )
        server = Server(DescribeCollection=described(), Flush=answer, GetFlushState=SimpleNamespace(flushed=True))
        condition = play(upkeep.submit_flush("alias"), server, clock)
        assert condition == Flushed("docs", [7, 8], 99)
        assert server.sent("Flush") == [{"collection_names": ["docs"]}]
        play(condition.look(), server, clock)
        assert server.sent("GetFlushState") == [{"collection_name": "docs", "segmentIDs": [7, 8], "flush_ts": 99}]

    def test_is_waited_for_until_the_server_says_so(self, clock: Clock):
        answers = [SimpleNamespace(flushed=False), SimpleNamespace(flushed=False), SimpleNamespace(flushed=True)]
        server = Server(GetFlushState=answers)
        play(wait_for(Flushed("docs"), Deadline(60), poll_interval=1), server, clock)
        assert (len(server.asked), len(clock.slept)) == (3, 2)


class TestCompaction:
    def submitted(self, clock: Clock, server: Server) -> Any:
        return play(upkeep.submit_compaction("docs", report=ignore), server, clock)

    def server(self, **more: Any) -> Server:
        answer = SimpleNamespace(compactionID=5, compactionPlanCount=0)
        return Server(
            **{
                "DescribeCollection": described(),
                "GetVersion": REAL,
                "ManualCompaction": answer,
                "GetCompactionState": state(1, 3),
                **more,
            }
        )

    def test_names_the_collection_by_its_id_since_2_3_5_compacts_the_whole_server_otherwise(self, clock: Clock):
        server = self.server()
        self.submitted(clock, server)
        assert server.sent("ManualCompaction") == [{"collectionID": 42, "collection_name": "docs"}]

    def test_remembers_how_many_plans_it_had(self, clock: Clock):
        assert self.submitted(clock, self.server()) == ("docs", Compacted(5, 3, "docs"))

    @pytest.mark.parametrize("number", [0, -1])
    def test_a_server_that_sees_nothing_to_do_is_done(self, clock: Clock, number):
        answer = SimpleNamespace(compactionID=number, compactionPlanCount=0)
        assert self.submitted(clock, self.server(ManualCompaction=answer)) == ("docs", None)

    def test_nothing_is_asked_of_lite(self, clock: Clock):
        server = self.server(GetVersion=LITE)
        assert self.submitted(clock, server) == ("docs", None)
        assert "ManualCompaction" not in server.calls

    @pytest.mark.parametrize(
        ("answer", "verdict", "progress"),
        [
            (state(1, executing=4), "not yet", 0),
            (state(1, executing=1, completed=3), "not yet", 75),
            (state(0), "not yet", None),
            (state(2, completed=4), "met", 100),
            (state(2, completed=5), "met", 100),
            (state(2, completed=3, failed=1), "never", None),
            (state(2, completed=3, timed_out=1), "never", None),
            (state(2), "never", None),
            (state(2, completed=3), "never", None),
        ],
    )
    def test_is_through_when_each_of_its_plans_is(self, clock: Clock, answer, verdict, progress):
        seen = play(Compacted(5, 4).look(), Server(GetCompactionState=answer), clock)
        assert (seen.verdict.value, seen.progress) == (verdict, progress)

    def test_that_the_server_forgot_it_is_an_error_that_a_retry_mends(self, clock: Clock):
        server = Server(GetCompactionState=[state(1, executing=2), state(2)])
        with pytest.raises(
            MilvusServerError, match=r"Compaction 5 of 'docs' is Forgotten: the server knows 0 of its 2 plans"
        ) as raised:
            play(wait_for(Compacted(5, 2, "docs"), Deadline(60), poll_interval=1), server, clock)
        assert type(raised.value) is MilvusServerError

    def test_where_there_was_nothing_to_compact_nothing_is_asked(self, clock: Clock):
        assert play(Compacted(0).look(), Server(), clock).verdict.value == "met"

    def test_without_a_number_of_plans_the_servers_word_is_taken(self, clock: Clock):
        assert play(Compacted(5).look(), Server(GetCompactionState=state(2)), clock).verdict.value == "met"


class TestTruncate:
    HELD = partitions("_default")

    def emptied(
        self, clock: Clock, *, truncate_aliased: bool = False, truncated_before: int | None = None, **answers: Any
    ) -> tuple[Any, Server]:
        aliases = SimpleNamespace(aliases=answers.pop("aliases", []))
        server = Server(
            **{
                "DescribeCollection": described(),
                "ListAliases": aliases,
                "ShowPartitions": self.HELD,
                "TruncateCollection": SimpleNamespace(),
                **answers,
            }
        )
        flow = upkeep.truncate("docs", truncate_aliased=truncate_aliased, tries=Tries(truncated_before), report=ignore)
        try:
            return play(flow, server, clock, Deadline(5)), server
        except Exception as error:
            return error, server

    def test_is_done_when_no_row_is_counted_any_more(self, clock: Clock):
        rows, server = self.emptied(clock, Query=[counted(9), counted(9), counted(2), counted(0)])
        assert rows == (9, 0)
        assert len(server.sent("TruncateCollection")) == 1

    def test_rows_that_stay_are_an_error(self, clock: Clock):
        error, _ = self.emptied(clock, Query=counted(9))
        assert isinstance(error, MilvusTimeoutError)
        assert "'docs' was truncated and still has 9 rows" in str(error)

    def test_what_is_not_in_memory_has_an_unknown_number_of_rows(self, clock: Clock):
        rows, server = self.emptied(
            clock, ShowPartitions=lambda call: self.HELD if not call.fields.get("type") else partitions()
        )
        assert rows == (None, None)
        assert len(server.sent("TruncateCollection")) == 1

    def test_is_not_sent_a_second_time_when_its_end_was_not_seen(self, clock: Clock):
        error, server = self.emptied(clock, Query=counted(9), TruncateCollection=MilvusUnavailableError("gone"))
        assert isinstance(error, MilvusInDoubtError)
        assert len(server.sent("TruncateCollection")) == 1

    @pytest.mark.parametrize(("id", "rows", "error"), [(42, 9, MilvusInDoubtError), (2, 9, MilvusReplacedError), (42, 0, None)])
    def test_a_retry_deletes_nothing_that_may_have_been_written_since(self, clock: Clock, id, rows, error):
        ended, server = self.emptied(clock, truncated_before=id, Query=counted(rows))
        assert "TruncateCollection" not in server.calls
        assert ended == (0, 0) if error is None else isinstance(ended, error)

    def test_of_a_retry_after_a_lost_answer_never_takes_what_was_made_anew(self, clock: Clock):
        """The note stays, although the look after the lost answer ends in an error that is no doubt."""
        noted: list[Any] = []
        taken_back: list[Any] = []
        another = described()
        another.collectionID = 43

        def lose(call: Any) -> Any:
            server._answers["DescribeCollection"] = another
            return MilvusUnavailableError("gone")

        server = Server(
            DescribeCollection=described(),
            ListAliases=SimpleNamespace(aliases=[]),
            ShowPartitions=self.HELD,
            TruncateCollection=lose,
            Query=counted(9),
        )
        tries = Tries(None, noted.append, taken_back.append)
        with pytest.raises(MilvusReplacedError):
            play(upkeep.truncate("docs", truncate_aliased=False, tries=tries, report=ignore), server, clock, Deadline(5))
        assert (noted, taken_back) == ([42], [])

    def test_an_aliased_one_is_left_alone(self, clock: Clock):
        error, server = self.emptied(clock, aliases=["live"], Query=counted(9))
        assert isinstance(error, MilvusRefusedError)
        assert "has the alias 'live'" in str(error)
        assert "TruncateCollection" not in server.calls

    def test_an_aliased_one_is_emptied_when_told_so(self, clock: Clock):
        rows, _ = self.emptied(clock, aliases=["live"], truncate_aliased=True, Query=[counted(9), counted(0)])
        assert rows == (9, 0)

    def test_an_alias_is_no_name_for_it(self, clock: Clock):
        error, server = self.emptied(clock, DescribeCollection=described("docs_v2"))
        assert isinstance(error, MilvusRefusedError)
        assert "TruncateCollection" not in server.calls


class TestAlter:
    def altered(self, clock: Clock, server: Server, properties: dict[str, str], drop: tuple[str, ...] = (), **more: Any) -> Any:
        return play(upkeep.alter("docs", properties, drop, **{"allow_alias": False, **more}, report=ignore), server, clock)

    def test_sends_what_differs_and_nothing_else(self, clock: Clock):
        before, after = described(a_b="1", c_d="2"), described(a_b="1", c_d="3")
        server = Server(DescribeCollection=[before, before, after], AlterCollection=SimpleNamespace())
        result = self.altered(clock, server, {"a.b": "1", "c.d": "3"}, drop=("e.f",))
        assert server.sent("AlterCollection") == [{"collection_name": "docs", "properties": [{"key": "c.d", "value": "3"}]}]
        assert (result.before["c.d"], result.after["c.d"]) == ("2", "3")

    @pytest.mark.parametrize(("noted_of", "old"), [(42, "1"), (41, "2")])
    def test_tells_what_an_earlier_try_has_changed_of_this_collection(self, clock: Clock, noted_of: int, old: str):
        server = Server(DescribeCollection=described(a_b="2"))
        result = self.altered(clock, server, {"a.b": "2"}, tries=Tries([noted_of, {"a.b": "1"}]))
        assert (result.before, result.after, server.sent("AlterCollection")) == ({"a.b": old}, {"a.b": "2"}, [])

    def test_notes_what_was_before_it_changes_that(self, clock: Clock):
        noted: list[Any] = []
        before, after = described(a_b="1"), described(a_b="2")
        server = Server(DescribeCollection=[before, before, after], AlterCollection=SimpleNamespace())
        self.altered(clock, server, {"a.b": "2"}, tries=Tries(leave=noted.append))
        assert noted == [[42, {"a.b": "1"}]]

    def test_sends_nothing_when_all_is_so_already(self, clock: Clock):
        server = Server(DescribeCollection=described(a_b="1"))
        assert self.altered(clock, server, {"a.b": "1"}, drop=("c.d",)).after == {"a.b": "1"}

    def test_removes_in_a_call_of_its_own_and_first(self, clock: Clock):
        server = Server(DescribeCollection=[*[described(a_b="1")] * 3, described(c_d="2")], AlterCollection=SimpleNamespace())
        self.altered(clock, server, {"c.d": "2"}, drop=("a.b",))
        removed, added = server.sent("AlterCollection")
        assert (removed["delete_keys"], "properties" in removed) == (["a.b"], False)
        assert "delete_keys" not in added

    def test_a_server_that_cannot_remove_is_told_so_before_anything_is_set(self, clock: Clock):
        refusal = MilvusServerError(
            "only support alter collection properties, but collection properties is empty (code 65535)."
        )
        server = Server(DescribeCollection=described(a_b="1"), AlterCollection=refusal)
        with pytest.raises(
            MilvusUnsupportedError, match=r"'docs' was not altered: this server cannot remove properties, so it keeps a\.b"
        ):
            self.altered(clock, server, {"c.d": "2"}, drop=("a.b",))
        assert len(server.sent("AlterCollection")) == 1

    def test_other_refusals_stay_what_they_are(self, clock: Clock):
        server = Server(DescribeCollection=described(a_b="1"), AlterCollection=MilvusServerError("collection loaded"))
        with pytest.raises(MilvusServerError, match="collection loaded"):
            self.altered(clock, server, {}, drop=("a.b",))

    def test_a_change_that_shows_late_is_waited_for(self, clock: Clock):
        server = Server(DescribeCollection=[*[described()] * 3, described(a_b="1")], AlterCollection=SimpleNamespace())
        assert self.altered(clock, server, {"a.b": "1"}).after == {"a.b": "1"}

    @pytest.mark.parametrize("drop", [(), ("c.d",)])
    def test_a_change_that_never_shows_is_no_success(self, clock: Clock, drop):
        server = Server(DescribeCollection=described(c_d="1"), AlterCollection=SimpleNamespace())
        with pytest.raises(MilvusServerError, match="took the change of collection 'docs' and does not show it"):
            self.altered(clock, server, {} if drop else {"a.b": "1"}, drop=drop)

    def test_an_alias_is_refused_unless_told(self, clock: Clock):
        server = Server(DescribeCollection=described("docs_v2", a_b="1"))
        with pytest.raises(MilvusRefusedError, match="'docs_v2' was not altered: 'docs' is an alias of it"):
            self.altered(clock, server, {"a.b": "1"})
        assert self.altered(clock, server, {"a.b": "1"}, allow_alias=True).collection == "docs_v2"


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"properties": {"a": 1}, "drop_properties": ["b", "a"]}, "drop_properties and properties both name a"),
        ({"drop_properties": ["b", 5]}, "drop_properties must be a key"),
        ({"drop_properties": [""]}, "drop_properties must be a key"),
    ],
)
def test_a_change_that_makes_no_sense_is_named_before_anything_is_asked(given, named):
    with pytest.raises(MilvusInvalidArgumentError, match=named):
        MilvusAlterCollectionOperator(task_id="t", collection_name="docs", **given).execute({})


def test_a_change_of_nothing_is_refused_when_the_dag_is_parsed():
    with pytest.raises(MilvusInvalidArgumentError, match="properties"):
        MilvusAlterCollectionOperator(task_id="t", collection_name="docs", properties={})
