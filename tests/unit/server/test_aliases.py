"""Swapping an alias as a flow: what is checked first, and how the old collection ends."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_milvus.client.flow import Deadline
from airflow_provider_milvus.client.subject import Subject
from airflow_provider_milvus.client.tries import Tries
from airflow_provider_milvus.exceptions import (
    MilvusAliasMovedError,
    MilvusAliasNotFoundError,
    MilvusCollectionNotFoundError,
    MilvusError,
    MilvusInDoubtError,
    MilvusPermissionError,
    MilvusRateLimitError,
    MilvusRefusedError,
    MilvusServerError,
    MilvusUnavailableError,
)
from airflow_provider_milvus.schema.window_marks import Mark, properties_of
from airflow_provider_milvus.server.aliases import SEEN_WITHIN, Retired, Swapped, retire, swap
from tests.unit.play import LOADED, LOADING, NOT_LOAD, Clock, Server, described, percent, play

pytestmark = pytest.mark.newest

GONE = MilvusCollectionNotFoundError("no such collection")
TAKEN = MilvusRefusedError("alias already exist")
NO_ALIAS = MilvusAliasNotFoundError("no such alias")


class Model(Server):
    """Two collections; the alias ``live`` may point to one of them. ``others`` are the other aliases of a collection."""

    def __init__(self, clock: Clock, points_to: str | None, **answers: Any) -> None:
        self.points_to = points_to
        self.there = {"docs_1", "docs_2"}
        self.others: dict[str, list[str]] = {}
        own = {
            "ShowCollections": None,
            "DescribeCollection": self.describe,
            "DescribeAlias": lambda call: SimpleNamespace(collection=self.points_to) if self.points_to else NO_ALIAS,
            "CreateAlias": self.point,
            "AlterAlias": self.point,
            "ListAliases": lambda call: SimpleNamespace(aliases=self.aliases(call.fields["collection_name"])),
            "GetLoadState": LOADED,
            "GetReplicas": SimpleNamespace(replicas=[]),
            "ReleaseCollection": self.release,
            "DropCollection": lambda call: self.there.discard(call.fields["collection_name"]),
        }
        super().__init__(clock, **{**own, **answers})

    def describe(self, call: Any) -> Any:
        name = call.fields["collection_name"]
        if name == "live" and self.points_to:
            return self.described(self.points_to)
        return self.described(name) if name in self.there else GONE

    def described(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(**{**vars(described(name, *self.aliases(name))), "collectionID": int(name[-1])})

    def point(self, call: Any) -> None:
        self.points_to = call.fields["collection_name"]

    def release(self, call: Any) -> None:
        self._answers["GetLoadState"] = NOT_LOAD

    def aliases(self, name: str) -> list[str]:
        return [*(["live"] if self.points_to == name else []), *self.others.get(name, [])]

    @property
    def changes(self) -> list[str]:
        return [call for call in self.calls if call in ("CreateAlias", "AlterAlias", "ReleaseCollection", "DropCollection")]


def quiet(words: str) -> None:
    """A report that nobody reads."""


class TestSwap:
    def swap(self, server: Model, clock: Clock, target: str = "docs_2", **arguments: Any) -> Swapped:
        result: Swapped = play(swap("live", target, **{"report": quiet, **arguments}), server, clock)
        return result

    def test_alters_an_alias_in_one_step(self, clock):
        server = Model(clock, "docs_1")
        assert self.swap(server, clock) == Swapped("docs_1", True, 1)
        assert (server.points_to, server.changes) == ("docs_2", ["AlterAlias"])

    def test_makes_an_alias_that_is_new(self, clock):
        server = Model(clock, None)
        assert self.swap(server, clock) == Swapped(None, True)
        assert (server.points_to, server.changes) == ("docs_2", ["CreateAlias"])

    def test_recognizes_a_new_alias_by_the_error_of_milvus_lite(self, clock):
        server = Model(clock, None, DescribeAlias=[GONE, GONE, SimpleNamespace(collection="docs_2")])
        assert self.swap(server, clock).changed

    def test_takes_over_an_alias_that_was_dropped_with_its_collection(self, clock):
        """2.3.5 neither finds it nor creates it again."""
        server = Model(clock, None, CreateAlias=TAKEN)
        assert self.swap(server, clock) == Swapped(None, True)
        assert (server.points_to, server.changes) == ("docs_2", ["CreateAlias", "AlterAlias"])

    @pytest.mark.parametrize("missing", [NO_ALIAS, GONE])
    def test_says_why_an_alias_was_not_created_that_is_not_there_either(self, clock, missing):
        server = Model(clock, None, CreateAlias=TAKEN, AlterAlias=missing)
        with pytest.raises(MilvusRefusedError, match="alias already exist"):
            self.swap(server, clock)

    def test_leaves_an_alias_alone_that_points_there(self, clock):
        server = Model(clock, "docs_2", GetLoadState=NOT_LOAD)
        assert self.swap(server, clock, expected_old="docs_1") == Swapped(None, False)
        assert server.changes == []

    @pytest.mark.parametrize(
        ("points_to", "target", "arguments", "message"),
        [
            (
                "docs_1",
                "docs_2",
                {"expected_old": "docs_0"},
                "'live' was not moved: it points to 'docs_1', but expected_old is 'docs_0'",
            ),
            (
                None,
                "docs_2",
                {"expected_old": "docs_1"},
                "'live' was not moved: it does not exist, but expected_old is 'docs_1'",
            ),
            ("docs_1", "live", {}, "'live' is an alias of the collection 'docs_1'"),
        ],
    )
    def test_refuses_what_was_not_meant(self, clock, points_to, target, arguments, message):
        server = Model(clock, points_to)
        with pytest.raises(MilvusRefusedError, match=message):
            self.swap(server, clock, target, **arguments)
        assert (server.points_to, server.changes) == (points_to, [])

    @pytest.mark.parametrize(("state", "state_name"), [(NOT_LOAD, "NotLoad"), (LOADING, "Loading")])
    def test_refuses_what_is_not_in_memory_unless_requested(self, clock, state, state_name):
        server = Model(clock, "docs_1", GetLoadState=state, GetLoadingProgress=percent(40))
        with pytest.raises(MilvusRefusedError, match=f"'docs_2' is {state_name}, so every search through the alias would fail"):
            self.swap(server, clock)
        assert server.changes == []
        assert self.swap(server, clock, require_loaded=False).changed

    def test_refuses_the_name_of_a_collection_for_an_alias(self, clock):
        server = Model(clock, None)
        with pytest.raises(MilvusRefusedError, match="'docs_1' was not created: it is the name of a collection"):
            play(swap("docs_1", "docs_2", report=quiet), server, clock)
        assert server.changes == []

    def test_needs_the_collection(self, clock):
        with pytest.raises(MilvusCollectionNotFoundError, match="no collection 'docs_3'"):
            self.swap(Model(clock, "docs_1"), clock, "docs_3")

    def test_tells_the_old_collection_before_it_changes_anything(self, clock):
        server = Model(clock, "docs_1")
        noted: list[Any] = []
        self.swap(server, clock, tries=Tries(note=lambda note: noted.append([note["old"], note["old_id"], *server.changes])))
        assert noted == [["docs_1", 1]]

    @pytest.mark.parametrize(
        ("error", "left"),
        [(MilvusServerError("no"), [None]), (MilvusPermissionError("no"), [None]), (MilvusUnavailableError("gone"), [])],
    )
    def test_takes_its_note_back_when_the_server_has_refused_it(self, clock, error, left):
        noted: list[Any] = []
        kept: list[Any] = []
        with pytest.raises(MilvusError):
            self.swap(Model(clock, "docs_1", AlterAlias=error), clock, tries=Tries(None, noted.append, kept.append))
        assert ([note["done"] for note in noted], kept) == ([False], left)

    def test_that_the_server_has_made_and_called_an_error_is_done(self, clock):
        server = Model(clock, "docs_1")

        def complain(call: Any) -> Any:
            server.point(call)
            return MilvusServerError("[Errno 2] No such file or directory: 'aliases.json.tmp'")

        server._answers["AlterAlias"] = complain
        assert self.swap(server, clock) == Swapped("docs_1", True, 1)

    def test_accepts_its_own_change_when_the_answer_was_lost(self, clock):
        server = Model(clock, None)

        def lose(call: Any) -> Any:
            server.point(call)
            server._answers["CreateAlias"] = MilvusServerError("alias already exist")
            return MilvusUnavailableError("gone")

        server._answers["CreateAlias"] = lose
        assert self.swap(server, clock) == Swapped(None, True)

    def test_fails_when_somebody_else_was_faster(self, clock):
        server = Model(clock, None)

        def be_late(call: Any) -> Any:
            server.points_to = "docs_1"
            return MilvusServerError("alias already exist")

        server._answers["CreateAlias"] = be_late
        with pytest.raises(MilvusAliasMovedError, match="it points to 'docs_1'"):
            self.swap(server, clock)
        assert server.points_to == "docs_1"

    def test_whether_it_was_moved_back_after_a_lost_answer_is_not_guessed(self, clock):
        server = Model(clock, "docs_1", AlterAlias=MilvusUnavailableError("gone"))
        with pytest.raises(
            MilvusInDoubtError, match="points to 'docs_1', as before: it was not moved, or somebody has moved it back"
        ):
            self.swap(server, clock)
        assert server.changes == ["AlterAlias"]

    @pytest.mark.parametrize(("points_to", "done"), [("docs_1", True), ("docs_3", False), (None, False)])
    def test_of_a_retry_leaves_an_alias_that_somebody_has_moved_since(self, clock, points_to, done):
        server = Model(clock, points_to)
        server.there.add("docs_3")
        before = {"old": "docs_1", "old_id": 1, "done": done}
        with pytest.raises(MilvusAliasMovedError, match="somebody has moved the alias since"):
            self.swap(server, clock, tries=Tries(before))
        assert server.changes == []

    def test_of_a_retry_does_not_guess_whether_the_alias_was_moved_back(self, clock):
        server = Model(clock, "docs_1")
        with pytest.raises(MilvusInDoubtError, match="An earlier try of this task has sent the move of alias 'live'"):
            self.swap(server, clock, tries=Tries({"old": "docs_1", "old_id": 1, "done": False}))
        assert server.changes == []

    def test_is_not_done_before_the_server_shows_it(self, clock):
        server = Model(
            clock,
            "docs_1",
            DescribeAlias=[SimpleNamespace(collection=name) for name in ("docs_1", "docs_1", "docs_1", "docs_2")],
        )
        assert self.swap(server, clock) == Swapped("docs_1", True, 1)

    @pytest.mark.parametrize(("to", "seconds"), [("docs_1", SEEN_WITHIN), ("docs_3", 0)])
    def test_that_is_moved_on_before_it_is_seen_ends_at_once(self, clock, to, seconds):
        """A person who takes a swap back may be faster than the next look."""
        server = Model(clock, "docs_1")

        def move_on(call: Any) -> None:
            server.points_to = to

        server._answers["AlterAlias"] = move_on
        began = clock.now
        with pytest.raises(MilvusAliasMovedError, match=f"'docs_1' was left as it is.*points to '{to}'"):
            self.swap(server, clock)
        assert clock.now - began == pytest.approx(seconds, abs=1)


class TestRetire:
    def retire(self, server: Model, clock: Clock, then: str) -> Retired:
        deadline = Deadline(60)
        result: Retired = play(
            retire("live", "docs_2", Subject("docs_1", 1), then, deadline, report=quiet), server, clock, deadline
        )
        return result

    @pytest.mark.parametrize(
        ("then", "outcome", "changes"),
        [("keep", "kept", []), ("release", "released", ["ReleaseCollection"]), ("drop", "dropped", ["DropCollection"])],
    )
    def test_does_what_is_requested(self, clock, then, outcome, changes):
        server = Model(clock, "docs_2")
        assert self.retire(server, clock, then) == Retired(outcome)
        assert server.changes == changes

    @pytest.mark.parametrize("then", ["keep", "release", "drop"])
    @pytest.mark.parametrize(
        ("points_to", "now"), [("docs_1", "points to 'docs_1'"), ("docs_0", "points to 'docs_0'"), (None, "it is gone")]
    )
    def test_leaves_all_alone_when_the_swap_was_taken_back(self, clock, then, points_to, now):
        server = Model(clock, points_to)
        with pytest.raises(
            MilvusAliasMovedError, match=f"'docs_1' was left as it is.*somebody has moved the alias since.*{now}"
        ):
            self.retire(server, clock, then)
        assert server.changes == []

    @pytest.mark.parametrize("then", ["release", "drop"])
    def test_keeps_what_another_alias_points_to(self, clock, then):
        server = Model(clock, "docs_2")
        server.others["docs_1"] = ["yesterday"]
        kept = self.retire(server, clock, then)
        assert kept.outcome == "kept"
        assert "it has the alias 'yesterday'" in str(kept.reason)
        assert server.changes == []

    def test_keeps_what_is_being_loaded(self, clock):
        server = Model(clock, "docs_2", GetLoadState=LOADING, GetLoadingProgress=percent(40))
        kept = self.retire(server, clock, "release")
        assert kept.outcome == "kept"
        assert "being loaded" in str(kept.reason)
        assert server.changes == []

    @pytest.mark.parametrize("then", ["release", "drop"])
    def test_keeps_what_a_window_needs(self, clock, then):
        server = Model(clock, "docs_2")
        marks = properties_of({"dag/load/1": Mark(4e9, True)})
        pairs = [SimpleNamespace(key=key, value=value) for key, value in marks.items()]
        server._answers["DescribeCollection"] = SimpleNamespace(**{**vars(described("docs_1")), "properties": pairs})
        retired = self.retire(server, clock, then)
        assert retired.outcome == "kept"
        assert "a window (milvus_loaded) needs it: dag/load/1" in str(retired.reason)
        assert server.changes == []

    @pytest.mark.parametrize("then", ["release", "drop"])
    def test_of_what_has_the_alias_again_says_so(self, clock, then):
        server = Model(clock, "docs_2")

        def move_back(call: Any) -> SimpleNamespace:
            server.points_to = "docs_1"
            return SimpleNamespace(aliases=["live"])

        server._answers["ListAliases"] = move_back
        with pytest.raises(MilvusAliasMovedError, match="it points to 'docs_1'"):
            self.retire(server, clock, then)

    def test_keeps_what_gets_an_alias_this_moment(self, clock):
        server = Model(clock, "docs_2")
        server._answers["DropCollection"] = [MilvusRateLimitError("later"), None]
        server._answers["ListAliases"] = [SimpleNamespace(aliases=aliases) for aliases in ([], ["yesterday"])]
        assert self.retire(server, clock, "drop").outcome == "kept"
        assert server.changes == ["DropCollection"]

    @pytest.mark.parametrize("then", ["release", "drop"])
    def test_of_what_is_gone_is_no_failure(self, clock, then):
        server = Model(clock, "docs_2")
        server.there.discard("docs_1")
        assert self.retire(server, clock, then) == Retired("gone", "'docs_1' does not exist any more")
