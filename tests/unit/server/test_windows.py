"""Windows as flows: who releases, who leaves it, and what two of them do to each other at any moment."""

from __future__ import annotations

import itertools
import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, strategies as st

from airflow_provider_milvus.client import flow
from airflow_provider_milvus.client.flow import Deadline, Flow, Pause, steady
from airflow_provider_milvus.client.tries import Tries
from airflow_provider_milvus.conditions import LOAD_STATES
from airflow_provider_milvus.exceptions import (
    MilvusAuthenticationError,
    MilvusCollectionNotFoundError,
    MilvusError,
    MilvusLoadFailedError,
    MilvusUnsupportedError,
)
from airflow_provider_milvus.schema.window_marks import MARK_PROPERTY, SLOTS, marks_of
from airflow_provider_milvus.server.load import Submitted
from airflow_provider_milvus.server.windows import Closed, close_window, open_window
from tests.unit.play import ANSWERED, partitions, placed, stopped_clock

pytestmark = pytest.mark.newest

DAY = 86400.0
A, B, C = "dag/load/1", "dag/load/2", "other/load/1"


class Docs:
    """A server with one collection, as far as windows look at it; loads and releases are instant."""

    def __init__(self, state: str = "NotLoad", *, keeps_properties: bool = True, exists: bool = True) -> None:
        self.state = state
        self.exists = exists
        self.number = 1
        self.aliases: list[str] = []
        self.properties: dict[str, str] = {"collection.ttl.seconds": "3600"}
        self.keeps_properties = keeps_properties
        self.sent: list[str] = []
        self.fails_at = ("", 0)
        """A call, and which one of that name."""
        self.loads = 1

    def load(self) -> None:
        self.state = "Loaded"
        self.loads += 1

    def __call__(self, call: Any) -> Any:
        if isinstance(call, Pause):
            flow.time.sleep(call.seconds)
            return None
        self.sent.append(call.name)
        if self.fails_at == (call.name, self.sent.count(call.name)):
            raise MilvusAuthenticationError("the token has expired")
        if call.name == "ShowCollections":
            return []
        if not self.exists:
            raise MilvusCollectionNotFoundError("no such collection")
        if call.name == "DescribeCollection":
            properties = [SimpleNamespace(key=key, value=value) for key, value in self.properties.items()]
            return SimpleNamespace(
                schema=SimpleNamespace(name="docs"),
                collection_name="docs",
                aliases=list(self.aliases),
                properties=properties,
                collectionID=self.number,
            )
        if call.name == "ListAliases":
            return SimpleNamespace(aliases=list(self.aliases))
        if call.name == "GetLoadState":
            return SimpleNamespace(state=LOAD_STATES.index(self.state))
        if call.name == "GetLoadingProgress":
            return SimpleNamespace(progress=50)
        if call.name in (in_memory := placed("rg", first=self.loads)):
            return in_memory[call.name]
        if call.name == "ShowPartitions":
            return partitions("_default")
        if call.name == "AlterCollection":
            if not self.keeps_properties:
                raise MilvusUnsupportedError("not implemented")
            self.properties |= {pair["key"]: pair["value"] for pair in call.fields["properties"]}
            return ANSWERED
        if call.name == "LoadCollection":
            self.load()
        else:
            assert call.name == "ReleaseCollection"
            self.state = "NotLoad"
        return ANSWERED

    @property
    def marks(self) -> dict[str, Any]:
        return marks_of(self.properties)


class Running:
    """A flow that a test lets go on step by step."""

    def __init__(self, steps: Flow[Any], server: Docs) -> None:
        self._steps, self._server = steps, server
        self._next = steps.__next__
        self.result: Any = None
        self.done = False

    def step(self) -> None:
        try:
            call = self._next()
        except StopIteration as finished:
            self.result, self.done = finished.value, True
            return
        except MilvusLoadFailedError as failed:
            self.result, self.done = failed, True
            return
        try:
            answer = self._server(call)
        except MilvusError as error:
            self._next = lambda raised=error: self._steps.throw(raised)
        else:
            self._next = lambda: self._steps.send(answer)

    def finish(self) -> Any:
        while not self.done:
            self.step()
        return self.result


def opening(server: Docs, window: str = A, now: float = 0, at_most: float = DAY, name: str = "docs") -> Running:
    reports: list[str] = []
    steps = open_window(name, window, now=now, at_most=at_most, options={}, report=reports.append)
    return Running(steady(steps, Deadline(60)), server)


def closing(server: Docs, window: str = A, now: float = 60, previous_state: str = "NotLoad", **more: Any) -> Running:
    steps = close_window(
        "docs", window, Deadline(60), now=now, previous_state=previous_state, report=lambda words: None, **more
    )
    return Running(steady(steps, Deadline(60)), server)


def opened(server: Docs, window: str = A, **when: Any) -> Submitted:
    result: Submitted = opening(server, window, **when).finish()
    return result


def closed(server: Docs, window: str = A, **how: Any) -> Closed:
    result: Closed = closing(server, window, **how).finish()
    return result


@pytest.fixture(autouse=True)
def _clock(clock: Any) -> None:
    """Deadlines stand still."""


class TestOneWindow:
    def test_loads_and_releases(self):
        server = Docs()
        assert opened(server).previous_state == "NotLoad"
        assert server.state == "Loaded"
        assert closed(server) == Closed("docs", "NotLoad", True, "no other window needs it")
        assert server.state == "NotLoad"
        assert server.marks == {}

    def test_that_closes_in_a_retry_leaves_what_was_loaded_since_its_release(self):
        server, memos = Docs(), []
        opened(server)
        server.fails_at = ("AlterCollection", 3)
        with pytest.raises(MilvusAuthenticationError):
            closed(server, tries=Tries(note=memos.append))
        assert (server.state, len(server.marks)) == ("NotLoad", 1)
        server.load()

        assert closed(server, tries=Tries(memos[0])).state == "Loaded"
        assert (server.state, server.marks) == ("Loaded", {})

    @pytest.mark.parametrize("at", range(1, 14))
    def test_that_closes_while_the_collection_is_dropped_is_closed(self, at):
        server = Docs()
        opened(server)
        running = closing(server)
        for _ in range(at):
            running.step()
        server.exists = False
        assert running.finish().state in ("NotExist", "NotLoad")

    def test_leaves_what_was_in_memory_before(self):
        server = Docs("Loaded")
        opened(server)
        done = closed(server, previous_state="Loaded")
        assert (done.state, done.released) == ("Loaded", False)
        assert "in memory before this window" in done.reason
        assert "ReleaseCollection" not in server.sent
        assert server.marks == {}

    def test_keeps_all_other_properties(self):
        server = Docs()
        opened(server)
        closed(server)
        assert server.properties.pop("collection.ttl.seconds") == "3600"
        assert set(server.properties.values()) == {""}

    def test_leaves_what_has_got_an_alias(self):
        server = Docs()
        server.aliases = ["old"]
        opened(server)
        server.aliases = ["old", "live"]
        assert "was given the alias live since" in closed(server).reason
        assert server.state == "Loaded"

    def test_releases_what_had_the_alias_before(self):
        server = Docs()
        server.aliases = ["old"]
        opened(server, name="old")
        assert closed(server).released is True

    def test_finds_it_dropped(self):
        server = Docs()
        opened(server)
        server.exists = False
        assert closed(server) == Closed("docs", "NotExist", False, "it does not exist any more")

    def test_leaves_what_was_dropped_and_made_anew(self):
        server = Docs()
        opened(server)
        server.properties.clear()
        done = closed(server)
        assert (done.released, server.state) == (False, "Loaded")
        assert "mark is gone" in done.reason

    def test_finds_it_released_already(self):
        server = Docs()
        opened(server)
        server.state = "NotLoad"
        assert closed(server) == Closed("docs", "NotLoad", False, "somebody had released it before")
        assert server.marks == {}

    def test_leaves_what_is_being_loaded(self):
        server = Docs()
        opened(server)
        server.state = "Loading"
        assert "is being loaded" in closed(server).reason
        assert "ReleaseCollection" not in server.sent

    def test_takes_back_a_load_that_is_under_way_if_told_to(self):
        server = Docs()
        opened(server)
        server.state = "Loading"
        assert closed(server, force=True).released is True

    def test_is_still_its_own_in_a_second_try(self):
        server = Docs()
        opened(server)
        assert opened(server).previous_state == "Loaded"
        assert closed(server, previous_state="Loaded").released is True

    def test_leaves_what_has_got_an_alias_between_two_tries(self):
        server = Docs()
        opened(server)
        server.aliases = ["live"]
        opened(server)
        assert "was given the alias live since" in closed(server, previous_state="Loaded").reason
        assert server.state == "Loaded"

    def test_can_be_closed_again_where_the_first_try_broke_off(self):
        server = Docs()
        opened(server)
        total = len(steps_of(server, closing(server)))
        for broken_after in range(total):
            server = Docs()
            opened(server)
            first = closing(server)
            for _ in range(broken_after):
                first.step()
            closed(server)
            assert server.state == "NotLoad", f"broken off after {broken_after} steps"

    def test_says_which_mark_it_cannot_read_and_stays(self):
        server = Docs()
        opened(server)
        server.properties[MARK_PROPERTY + "other"] = "by hand"
        assert f"{MARK_PROPERTY}other, which cannot be read" in closed(server).reason
        assert server.state == "Loaded"
        assert server.properties[MARK_PROPERTY + "other"] == "by hand"


def steps_of(server: Docs, running: Running) -> list[int]:
    steps = []
    while not running.done:
        running.step()
        steps.append(len(steps))
    return steps


class TestTwoWindows:
    @pytest.mark.parametrize(("first", "second"), [(A, B), (B, A)])
    def test_the_last_one_releases_what_the_first_loaded(self, first, second):
        server = Docs()
        opened(server, A)
        opened(server, B)
        left = closed(server, first)
        assert (left.state, left.released) == ("Loaded", False)
        assert left.reason.endswith(f"another window needs it: {second}.")
        assert closed(server, second).released is True
        assert server.marks == {}

    def test_pass_it_on_from_one_to_the_next(self):
        server = Docs()
        opened(server, A)
        opened(server, B)
        closed(server, A)
        opened(server, C)
        closed(server, B)
        assert server.state == "Loaded"
        assert closed(server, C).released is True

    def test_both_leave_what_was_in_memory_before(self):
        server = Docs("Loaded")
        opened(server, A)
        opened(server, B)
        assert [closed(server, window).released for window in (A, B)] == [False, False]

    def test_that_never_closed_counts_until_it_expires(self):
        server = Docs()
        opened(server, A, now=0, at_most=3600)
        opened(server, B, now=1000)
        assert closed(server, B, now=3599).released is False
        opened(server, B, now=3599)
        assert closed(server, B, now=3601).released is True
        assert server.marks == {}

    def test_that_never_closed_and_expired_is_no_reason_to_release(self):
        """Who loaded it is not certain any more: the nightly reclaim is there for that."""
        server = Docs()
        opened(server, A, now=0, at_most=3600)
        opened(server, B, now=3601)
        assert closed(server, B, now=4000).released is False

    def test_that_is_late_finds_its_collection_released_and_loaded_by_others(self):
        server = Docs()
        opened(server, A, now=0, at_most=3600)
        opened(server, B, now=1000)
        closed(server, B, now=3601)
        server.state = "Loaded"
        assert closed(server, A, now=4000).released is False

    def test_needed_before_the_other_loaded_it_keeps_it(self):
        server = Docs("Loaded")
        opened(server, B)
        server.state = "NotLoad"
        opened(server, A)
        assert closed(server, A).released is False

    def test_that_close_at_the_same_moment_do_not_wait_for_each_other(self):
        server = Docs()
        opened(server, A)
        opened(server, B)
        in_turns(closing(server, A), closing(server, B))
        assert server.state == "NotLoad"

    def test_that_open_at_the_same_moment_release_together(self):
        server = Docs()
        in_turns(opening(server, A), opening(server, B))
        assert closed(server, A).released is False
        assert closed(server, B, previous_state="Loaded").released is True

    @pytest.mark.parametrize("steps", range(1, 8))
    def test_that_opens_while_the_other_closes_takes_it_over(self, steps):
        server = Docs()
        opened(server, A)
        leaving = closing(server, A)
        for _ in range(steps):
            leaving.step()
        opened(server, B)
        leaving.finish()
        assert server.state == "Loaded"
        assert closed(server, B).released is True

    def test_leaves_what_somebody_loads_between_its_look_and_its_load(self):
        server = Docs()
        coming = opening(server, A)
        while "AlterCollection" not in server.sent:
            coming.step()
        server.state = "Loaded"
        coming.finish()
        assert closed(server, A).released is False

    def test_writes_its_mark_again_where_another_wrote_over_it(self):
        server = Docs()
        coming = opening(server, A)
        while "LoadCollection" not in server.sent:
            coming.step()
        server.properties = dict.fromkeys(server.properties, "")
        coming.finish()
        assert set(server.marks) == {A}

    def test_forgets_those_that_never_closed_once_nothing_is_in_memory(self):
        server = Docs()
        opened(server, A, now=0, at_most=3600)
        server.state = "NotLoad"
        opened(server, B, now=4000)
        assert set(server.marks) == {B}


def in_turns(*running: Running) -> None:
    while not all(window.done for window in running):
        for window in running:
            if not window.done:
                window.step()


class TestWithoutProperties:
    def test_what_was_not_loaded_is_released(self):
        server = Docs(keeps_properties=False)
        opened(server)
        assert closed(server, previous_state="NotLoad").released is True

    def test_what_was_loaded_stays(self):
        server = Docs("Loaded", keeps_properties=False)
        opened(server)
        done = closed(server, previous_state="Loaded")
        assert (done.released, server.state) == (False, "Loaded")
        assert "it was in memory before this window" in done.reason


def test_properties_are_not_used_up():
    """Milvus 2.3 cannot remove one."""
    server = Docs()
    for run in range(200):
        opened(server, f"dag/load/{run}")
        closed(server, f"dag/load/{run}")
    assert len(server.properties) <= 1 + SLOTS
    assert len(json.dumps(server.properties)) < 1000


@given(
    st.sampled_from(["NotLoad", "Loaded"]),
    st.lists(st.tuples(st.sampled_from([0, 1, 2]), st.integers(1, 12)), max_size=40),
    st.lists(st.integers(1, 3), min_size=3, max_size=3),
)
def test_whatever_the_order_of_steps_no_open_window_is_left_without_its_collection(before, order, rounds):
    with stopped_clock():
        server = Docs(before)
        windows = [A, B, C]
        assert len({key for window in windows for key in slots_of(window)}) == 3

        def life(window: str, times: int) -> Any:
            for _ in range(times):
                yield opening(server, window, now=0)
                yield closing(server, window)

        lives = [life(window, times) for window, times in zip(windows, rounds, strict=True)]
        running: list[Running | None] = [None, None, None]
        is_open = [False, False, False]
        turns = itertools.chain(*([who] * steps for who, steps in order), itertools.cycle([0, 1, 2]))
        alive = {0, 1, 2}
        while alive:
            who = next(turns)
            if who not in alive:
                continue
            now = running[who]
            if now is None:
                now = running[who] = next(lives[who], None)
                if now is None:
                    alive.discard(who)
                    continue
                is_open[who] = False
            now.step()
            if now.done:
                is_open[who] = isinstance(now.result, Submitted)
                running[who] = None
            if not any(running) and any(is_open):
                assert server.state == "Loaded"
        if before == "Loaded":
            assert "ReleaseCollection" not in server.sent
        assert not any(mark for mark in server.marks.values())


def slots_of(window: str) -> set[str]:
    server = Docs()
    opened(server, window)
    return {key for key in server.properties if key.startswith(MARK_PROPERTY)}
