"""Deadlines, patience and the two drivers, with the clock and the server played by the tests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, strategies as st

from airflow_provider_milvus.client.flow import (
    FIRST_PAUSE,
    LEAST_ATTEMPT,
    LONGEST_PAUSE,
    LOOK_TIMEOUT,
    Deadline,
    Flow,
    Method,
    Pause,
    Rest,
    Rpc,
    drive,
    drive_async,
    steady,
)
from airflow_provider_milvus.exceptions import (
    MilvusAliasMovedError,
    MilvusCollectionNotFoundError,
    MilvusError,
    MilvusInDoubtError,
    MilvusNotLoadedError,
    MilvusNotTakenError,
    MilvusPermissionError,
    MilvusRateLimitError,
    MilvusRefusedError,
    MilvusServerError,
    MilvusTimeoutError,
    MilvusUnavailableError,
    MilvusUnsupportedError,
)
from tests.unit.play import Clock, stopped_clock

pytestmark = pytest.mark.newest

READ = Rpc("GetLoadState", {"collection_name": "docs"})
RELEASE = Rpc("ReleaseCollection", {"collection_name": "docs"}, 30.0, False)
INSERT = Method("insert", ("docs",))


def one(call: Any) -> Flow[Any]:
    return (yield call)


class Attempts:
    """Performs each attempt as the script says: an error is raised, a number is how long the answer takes."""

    def __init__(self, clock: Clock, *script: Any) -> None:
        self.calls: list[Any] = []
        self._clock = clock
        self._script = iter(script)

    def __call__(self, call: Any) -> Any:
        self.calls.append(call)
        what = next(self._script)
        if isinstance(what, MilvusError):
            raise what
        if isinstance(what, (int, float)):
            self._clock.now += min(what, call.timeout)
            if what > call.timeout:
                raise MilvusTimeoutError("no answer")
            return f"answer {len(self.calls)}"
        return what


def outage() -> MilvusUnavailableError:
    return MilvusUnavailableError("down")


def run(flow: Flow[Any], deadline: Deadline, attempts: Attempts, clock: Clock) -> Any:
    return drive(steady(flow, deadline), attempts, clock.sleep)


class TestDeadline:
    def test_counts_down_to_zero_and_no_further(self, clock):
        deadline = Deadline(10)
        clock.now += 4
        assert deadline.remaining == 6
        clock.now += 100
        assert deadline.remaining == 0

    @pytest.mark.parametrize(("asked", "granted"), [(3, 3), (30, 10)])
    def test_a_part_of_it_never_ends_later(self, clock, asked, granted):
        assert Deadline(10).at_most(asked).remaining == granted


class TestOneAttempt:
    def test_takes_its_own_timeout_when_there_is_time(self, clock):
        attempts = Attempts(clock, "yes")
        assert run(one(READ), Deadline(60), attempts, clock) == "yes"
        assert attempts.calls[0].timeout == LOOK_TIMEOUT

    def test_takes_no_more_than_what_is_left(self, clock):
        attempts = Attempts(clock, "yes")
        run(one(READ), Deadline(4), attempts, clock)
        assert attempts.calls[0].timeout == 4

    def test_without_a_timeout_of_its_own_takes_all_that_is_left(self, clock):
        attempts = Attempts(clock, "yes")
        run(one(INSERT), Deadline(7), attempts, clock)
        assert attempts.calls[0].timeout == 7

    def test_is_not_made_when_the_time_is_used_up(self, clock):
        attempts = Attempts(clock)
        deadline = Deadline(5)
        clock.now += 5
        with pytest.raises(
            MilvusTimeoutError, match="The load state of collection 'docs' could not be read: the 5 s of the op"
        ):
            run(one(READ), deadline, attempts, clock)
        assert attempts.calls == []


class TestOutage:
    def test_is_ridden_out_and_counted_once(self, clock):
        deadline = Deadline(60)
        attempts = Attempts(clock, outage(), outage(), outage(), "back")
        assert run(one(READ), deadline, attempts, clock) == "back"
        assert deadline.interruptions == 1

    def test_two_of_them_are_counted_twice(self, clock):
        def two_reads() -> Flow[Any]:
            yield READ
            return (yield READ)

        deadline = Deadline(60)
        run(two_reads(), deadline, Attempts(clock, outage(), "back", outage(), "back again"), clock)
        assert deadline.interruptions == 2

    def test_a_quiet_run_counts_none(self, clock):
        deadline = Deadline(60)
        run(one(READ), deadline, Attempts(clock, "yes"), clock)
        assert deadline.interruptions == 0

    def test_pauses_double_up_to_a_bound(self, clock):
        run(one(READ), Deadline(60), Attempts(clock, *[outage() for _ in range(8)], "back"), clock)
        expected = FIRST_PAUSE
        for slept in clock.slept:
            assert 0.8 * expected <= slept <= expected
            expected = min(2 * expected, LONGEST_PAUSE)
        assert expected == LONGEST_PAUSE

    def test_at_the_deadline_the_server_is_still_called_unavailable(self, clock):
        began, deadline = clock.now, Deadline(10)
        with pytest.raises(MilvusUnavailableError, match=r"down Tried \d+ times in 10 s\."):
            run(one(READ), deadline, Attempts(clock, *[outage() for _ in range(99)]), clock)
        assert 10 - LONGEST_PAUSE - LEAST_ATTEMPT <= clock.now - began <= 10

    def test_without_time_for_a_second_attempt_the_first_error_is_told_as_it_is(self, clock):
        error = outage()
        with pytest.raises(MilvusUnavailableError) as raised:
            run(one(READ), Deadline(0.1), Attempts(clock, error), clock)
        assert raised.value is error

    def test_a_server_that_is_frozen_is_asked_anew_but_was_not_restarted(self, clock):
        deadline = Deadline(60)
        assert run(one(READ), deadline, Attempts(clock, 99, 99, 1), clock) == "answer 3"
        assert deadline.interruptions == 0

    @pytest.mark.parametrize("call", [READ, INSERT, RELEASE])
    def test_a_rate_limit_is_waited_out_but_is_no_outage(self, clock, call):
        deadline = Deadline(60)
        attempts = Attempts(clock, MilvusRateLimitError("slowly"), MilvusRateLimitError("slowly"), "yes")
        assert run(one(call), deadline, attempts, clock) == "yes"
        assert deadline.interruptions == 0


class TestWarning:
    """Of an outage that is ridden out."""

    def test_is_logged_at_once_and_then_every_30_seconds(self, clock, caplog):
        began = clock.now
        run(one(READ), Deadline(120), Attempts(clock, *[outage() for _ in range(40)], "back"), clock)
        warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert 60 < clock.now - began < 90
        assert len(warned) == 3
        assert warned[0] == "down Trying again for up to 120 s, after 0 s."
        assert warned[1].endswith("after 30 s.") or warned[1].endswith("after 31 s.") or warned[1].endswith("after 32 s.")

    def test_is_logged_once_for_all_parts_of_an_operation(self, clock, caplog):
        deadline = Deadline(120)
        for part in (deadline.at_most(60), deadline.at_most(60).at_most(30), deadline):
            run(one(READ), part, Attempts(clock, outage(), "back"), clock)
        assert len(caplog.records) == 1

    async def test_is_logged_in_the_triggerer_too(self, caplog):
        with stopped_clock() as clock:
            attempts = Attempts(clock, outage(), "back")

            async def perform(call: Any) -> Any:
                return attempts(call)

            await drive_async(steady(one(READ), Deadline(60)), perform)
        assert [record.getMessage() for record in caplog.records] == ["down Trying again for up to 60 s, after 0 s."]

    def test_is_not_logged_of_an_error_that_ends_the_call(self, clock, caplog):
        with pytest.raises(MilvusUnavailableError):
            run(one(INSERT), Deadline(60), Attempts(clock, outage()), clock)
        assert caplog.records == []


class TestSentOnce:
    @pytest.mark.parametrize("error", [outage(), MilvusTimeoutError("late")])
    def test_what_changes_data(self, clock, error):
        attempts = Attempts(clock, error)
        with pytest.raises(type(error)) as raised:
            run(one(INSERT), Deadline(60), attempts, clock)
        assert raised.value is error
        assert len(attempts.calls) == 1

    def test_but_again_where_it_was_certainly_not_taken(self, clock):
        attempts = Attempts(clock, MilvusNotTakenError("503"), MilvusNotTakenError("refused"), "done")
        assert run(one(Rest("/jobs/create", repeatable=False)), Deadline(60), attempts, clock) == "done"

    def test_a_release_that_may_wait_in_the_servers_queue(self, clock):
        attempts = Attempts(clock, 99)
        with pytest.raises(MilvusTimeoutError):
            run(one(RELEASE), Deadline(60), attempts, clock)
        assert len(attempts.calls) == 1

    def test_what_can_never_work(self, clock):
        attempts = Attempts(clock, MilvusCollectionNotFoundError("no such"))
        with pytest.raises(MilvusCollectionNotFoundError):
            run(one(READ), Deadline(60), attempts, clock)
        assert len(attempts.calls) == 1


def test_a_release_that_never_reached_the_server_is_sent_again(clock):
    refused = MilvusNotTakenError("connection refused")
    assert run(one(RELEASE), Deadline(60), Attempts(clock, refused, "done"), clock) == "done"


def test_a_method_that_only_reads_is_repeated(clock):
    method = Method("list_collections", repeatable=True)
    assert run(one(method), Deadline(60), Attempts(clock, outage(), ["docs"]), clock) == ["docs"]


class TestStill:
    """The look of a change: it is made before every sending, and decides after an answer that was lost."""

    class Looks:
        """``says`` is what each look says: whether to send, or an error. ``lost`` has what each was told."""

        def __init__(self, *says: Any) -> None:
            self.says = list(says)
            self.lost: list[Any] = []

        def __call__(self, lost: MilvusError | None) -> Flow[bool]:
            self.lost.append(lost)
            yield Rpc("DescribeCollection")
            answer = self.says.pop(0)
            if isinstance(answer, MilvusError):
                raise answer
            return bool(answer)

    def send(self, clock: Any, looks: Any, *attempts: Any, seconds: float = 60) -> tuple[Any, list[str]]:
        sent: list[str] = []
        answers = iter(attempts)

        def perform(call: Any) -> Any:
            if call.name == "DescribeCollection":
                return "looked at"
            sent.append(call.name)
            answer = next(answers)
            if isinstance(answer, MilvusError):
                raise answer
            return answer

        change = Rpc("DropCollection", {"collection_name": "docs"}, still=looks)
        try:
            return drive(steady(one(change), Deadline(seconds)), perform, clock.sleep), sent
        except MilvusError as error:
            return error, sent

    def test_is_made_before_every_sending(self, clock):
        looks = self.Looks(True, True, True)
        errors = [MilvusRateLimitError("later"), MilvusNotTakenError("refused")]
        assert self.send(clock, looks, *errors, "done") == ("done", ["DropCollection"] * 3)
        assert looks.lost == [None, None, None]

    @pytest.mark.parametrize("lost", [MilvusUnavailableError("gone"), MilvusTimeoutError("late")])
    def test_is_told_of_an_answer_that_was_lost_and_decides(self, clock, lost):
        again, done = self.Looks(True, True), self.Looks(True, False)
        assert self.send(clock, again, lost, "done") == ("done", ["DropCollection"] * 2)
        assert self.send(clock, done, lost) == (None, ["DropCollection"])
        assert again.lost == done.lost == [None, lost]

    def test_knows_of_the_lost_answer_though_later_ones_were_refused(self, clock):
        lost = MilvusUnavailableError("gone")
        looks = self.Looks(True, True, False)
        assert self.send(clock, looks, lost, MilvusRateLimitError("later")) == (None, ["DropCollection"] * 2)
        assert looks.lost == [None, lost, lost]

    @pytest.mark.parametrize("error", [MilvusServerError("no"), MilvusRefusedError("the name is taken")])
    def test_decides_when_an_error_proves_nothing(self, clock, error):
        assert self.send(clock, self.Looks(True, False), error) == (None, ["DropCollection"])
        assert self.send(clock, self.Looks(True, True), error) == (error, ["DropCollection"])
        assert self.send(clock, self.Looks(True, MilvusInDoubtError("who knows")), error) == (error, ["DropCollection"])
        moved = MilvusAliasMovedError("by somebody")
        assert self.send(clock, self.Looks(True, moved), error) == (moved, ["DropCollection"])

    @pytest.mark.parametrize("error", [MilvusPermissionError("no"), MilvusNotLoadedError("no"), MilvusUnsupportedError("no")])
    def test_is_not_made_for_an_error_that_tells_all(self, clock, error):
        looks = self.Looks(True)
        assert self.send(clock, looks, error) == (error, ["DropCollection"])
        assert looks.lost == [None]

    def test_that_refuses_ends_it(self, clock):
        error, sent = self.send(clock, self.Looks(True, MilvusRefusedError("it has an alias")), MilvusRateLimitError("later"))
        assert (str(error), sent) == ("it has an alias", ["DropCollection"])

    def test_what_may_have_been_done_is_not_said_to_be_undone(self, clock):
        lost = MilvusUnavailableError("'docs' may not have been dropped")
        refused = [MilvusNotTakenError("'docs' was not dropped")] * 99
        error, _ = self.send(clock, self.Looks(*[True] * 99), lost, *refused, seconds=3)
        assert type(error) is MilvusUnavailableError
        assert str(error).startswith("'docs' may not have been dropped Tried")

    def test_a_look_that_fails_says_what_was_sent(self, clock):
        lost = MilvusTimeoutError("'docs' may not have been dropped")
        looks = self.Looks(True, MilvusUnavailableError("out of reach"))
        error, _ = self.send(clock, looks, lost)
        assert type(error) is MilvusTimeoutError
        assert str(error) == "'docs' may not have been dropped It was looked for: out of reach"


class TestPause:
    def test_lasts_as_long_as_asked(self, clock):
        run(one(Pause(2)), Deadline(3), Attempts(clock), clock)
        assert clock.slept == [2]

    def test_never_outlasts_the_deadline(self, clock):
        with pytest.raises(MilvusTimeoutError, match="Not done within 3 s"):
            run(one(Pause(100)), Deadline(3), Attempts(clock), clock)
        assert clock.slept == [3]

    def test_to_the_deadline_is_an_error_that_the_flow_may_explain(self, clock):
        def waits_for_ever() -> Flow[Any]:
            try:
                while True:
                    yield Pause(2)
            except MilvusTimeoutError as error:
                raise MilvusTimeoutError(f"{error} Last seen Loading.") from None

        with pytest.raises(MilvusTimeoutError, match=r"Not done within 5 s\. Last seen Loading\."):
            run(waits_for_ever(), Deadline(5), Attempts(clock), clock)
        assert clock.slept == [2, 2, 1]


def test_an_error_reaches_the_flow_where_it_waits_and_may_be_dealt_with(clock):
    def if_missing() -> Flow[Any]:
        try:
            yield READ
        except MilvusCollectionNotFoundError:
            return (yield Rpc("ShowCollections"))

    attempts = Attempts(clock, MilvusCollectionNotFoundError("no such"), "the others")
    assert run(if_missing(), Deadline(60), attempts, clock) == "the others"
    assert [call.name for call in attempts.calls] == ["GetLoadState", "ShowCollections"]


class Tidy:
    """A flow that notes whether it was closed."""

    def __init__(self) -> None:
        self.closed = False

    def flow(self) -> Flow[Any]:
        try:
            yield READ
            yield Pause(1)
            yield READ
        finally:
            self.closed = True


def test_closing_from_outside_closes_the_flow_within(clock):
    tidy = Tidy()
    # Held here, or it would be closed by being forgotten.
    inner = tidy.flow()
    outer = steady(inner, Deadline(60))
    next(outer)
    outer.close()
    assert tidy.closed


def test_an_error_of_another_kind_ends_the_flow_and_surfaces_as_it_is(clock):
    tidy = Tidy()

    def broken(call: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drive(steady(tidy.flow(), Deadline(60)), broken, clock.sleep)
    assert tidy.closed


async def test_a_cancelled_wait_in_the_triggerer_closes_the_flow():
    tidy = Tidy()
    reached = asyncio.Event()

    async def never_answers(call: Any) -> Any:
        reached.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(drive_async(steady(tidy.flow(), Deadline(60)), never_answers))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert tidy.closed


ERRORS = st.sampled_from([MilvusUnavailableError, MilvusTimeoutError, MilvusRateLimitError, MilvusCollectionNotFoundError])
OUTCOMES = st.lists(st.one_of(ERRORS, st.floats(0, 40), st.text(max_size=3)), max_size=30)
STEPS = st.lists(st.one_of(st.sampled_from([READ, RELEASE, INSERT]), st.floats(0, 30).map(Pause)), min_size=1, max_size=8)
PATIENCE = st.floats(0.05, 120)


def several(steps: list[Any]) -> Flow[list[Any]]:
    """A flow that notes each answer, and each error that is not the last word."""
    seen: list[Any] = []
    for step in steps:
        try:
            seen.append((yield step))
        except MilvusCollectionNotFoundError:
            seen.append("missing")
    return seen


def attempt(outcomes: Iterator[Any], clock: Clock, call: Any) -> Any:
    what = next(outcomes, "and so on")
    if isinstance(what, type):
        raise what("as the script says")
    if isinstance(what, float):
        clock.now += min(what, call.timeout)
        if what > call.timeout:
            raise MilvusTimeoutError("late")
    return what


def told(result: Any, clock: Clock, deadline: Deadline) -> tuple[Any, ...]:
    return result, deadline.interruptions, len(clock.slept)


def in_a_worker(steps: list[Any], outcomes: list[Any], patience: float) -> tuple[Any, ...]:
    with stopped_clock() as clock:
        deadline, script = Deadline(patience), iter(outcomes)
        try:
            result = drive(steady(several(steps), deadline), lambda call: attempt(script, clock, call), clock.sleep)
        except MilvusError as error:
            result = (type(error), str(error))
        return told(result, clock, deadline)


def in_the_triggerer(steps: list[Any], outcomes: list[Any], patience: float) -> tuple[Any, ...]:
    async def main() -> tuple[Any, ...]:
        with stopped_clock() as clock:
            deadline, script = Deadline(patience), iter(outcomes)

            async def perform(call: Any) -> Any:
                return attempt(script, clock, call)

            try:
                result = await drive_async(steady(several(steps), deadline), perform)
            except MilvusError as error:
                result = (type(error), str(error))
            return told(result, clock, deadline)

    return asyncio.run(main())


@given(STEPS, OUTCOMES, PATIENCE)
def test_worker_and_triggerer_come_to_the_same_end(steps, outcomes, patience):
    with pytest.MonkeyPatch.context() as patch:
        # Without the jitter, or two runs would differ by chance.
        patch.setattr("airflow_provider_milvus.client.flow.random.uniform", lambda low, high: high)
        assert in_a_worker(steps, outcomes, patience) == in_the_triggerer(steps, outcomes, patience)


@given(STEPS, OUTCOMES, PATIENCE)
def test_no_script_outlasts_the_deadline(steps, outcomes, patience):
    with stopped_clock() as clock:
        began, deadline, script = clock.now, Deadline(patience), iter(outcomes)
        with contextlib.suppress(MilvusError):
            drive(steady(several(steps), deadline), lambda call: attempt(script, clock, call), clock.sleep)
        assert clock.now - began <= patience + 1e-6
