"""Flows: one text for the worker and for the triggerer. A flow says which calls to make, and a driver makes them.

A *flow* is a generator that yields steps (a call to Milvus, or a pause) and is sent their answers. It does no I/O, so the
same flow runs under the synchronous client in a worker and under the asynchronous one in the triggerer, and a test can
play the server's part with plain values. :func:`steady` gives any flow its deadline, and rides out an outage: it makes a call
again, with growing pauses, as long as the deadline allows.

Milvus cannot look and change in one step. So a call that changes something brings its look (``still``), and :func:`steady`
makes that look before *every* sending. What was answered is never sent again, and of what was not answered the look decides.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeVar

from airflow_provider_milvus.client.failures import failure_in_words
from airflow_provider_milvus.exceptions import (
    MilvusAuthenticationError,
    MilvusError,
    MilvusInDoubtError,
    MilvusNotTakenError,
    MilvusRateLimitError,
    MilvusRefusedError,
    MilvusServerError,
    MilvusTimeoutError,
    MilvusUnavailableError,
)

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 2.0
LEAST_ATTEMPT = 0.05
"""Seconds that an attempt needs at least: what is shorter only says that the server did not answer in no time."""
LOOK_TIMEOUT = 15.0
"""Seconds that one attempt to *read* something may take before the next attempt."""
WARN_EVERY = 30.0
"""Seconds between two warnings of an outage that an operation rides out."""
PROVES_NOTHING = (MilvusServerError, MilvusRefusedError)
"""The kinds of a server's errors that do not tell whether the change was made, by this task or by somebody who was quicker.

A look that is given one of them says to send the change where what it sees may be somebody's: then the error stands.
"""


@dataclass(frozen=True, slots=True)
class Rpc:
    """One call of the Milvus protocol, by its own name and request fields.

    :param timeout: seconds for one attempt; the operation's deadline bounds it too.
    :param repeatable: false for a call that changes something and has no look. It is sent again only when the server refused it
        before it changed anything.
    :param still: the look before every sending of a call that changes something.
    """

    name: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    timeout: float | None = LOOK_TIMEOUT
    repeatable: bool = True
    still: Still | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.name}({self.fields.get('collection_name') or self.fields.get('alias') or ''})"

    def failure(self, *, certain: bool = True) -> str:
        """The call's failure in words; without ``certain`` the server may have carried it out."""
        return failure_in_words(self.name, self.fields, certain=certain)


@dataclass(frozen=True, slots=True)
class Method:
    """One call of a method of pymilvus's client, as a user's own code makes it."""

    name: str
    arguments: Sequence[Any] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)
    timeout: float | None = None
    repeatable: bool = False

    still: ClassVar[None] = None

    def __str__(self) -> str:
        return f"{self.name}({self._subject})"

    @property
    def _subject(self) -> str:
        subject = self.keywords.get("collection_name", self.arguments[0] if self.arguments else "")
        return subject if isinstance(subject, str) else ""

    def failure(self, *, certain: bool = True) -> str:
        return failure_in_words(self.name, {"collection_name": self._subject}, certain=certain)


@dataclass(frozen=True, slots=True)
class Rest:
    """One call of Milvus's REST API v2: ``body`` is posted to ``path``, and the answer is the ``data`` of its JSON.

    The client adds the database and the connection's cluster or project to ``body``.
    """

    path: str
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    timeout: float | None = LOOK_TIMEOUT
    repeatable: bool = True
    still: Still | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        return f"POST {self.path}({self.body.get('jobId') or self.body.get('collectionName') or ''})"

    def failure(self, *, certain: bool = True) -> str:
        return failure_in_words(self.path.removeprefix("/v2/vectordb/"), self.body, certain=certain)


@dataclass(frozen=True, slots=True)
class Pause:
    """Some seconds until the next look. Its answer is how much of ``collection_name`` is in memory, in per cent, where one is
    named and the driver has a list that tells it (``glances.py``), and else ``None``.
    """

    seconds: float
    collection_name: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """A question that whoever runs the flow on an event loop answers, in time: many flows may share what it takes."""

    question: Callable[[], Awaitable[Any]]


Call = Rpc | Method | Rest
Step = Call | Pause | Ask
Report = Callable[[str], object]
"""Where a flow reports its progress: a logger's ``info``."""
T = TypeVar("T")
Flow = Generator[Step, Any, T]
Still = Callable[[MilvusError | None], Flow[bool]]
"""The look before a change is sent. It returns whether to send it: not where the server shows the change already, and the
answer to the call is ``None`` then. It raises why the change must not be made. Its argument is the error of an earlier sending
that the server may have carried out, and ``None`` where there was none."""


class Deadline:
    """The end of one operation, ``seconds`` from now, and the outages before it.

    ``interruptions`` counts the outages that were ridden out or that ended a call: a flow that watches a load reads it to learn
    that the server may have been restarted. ``trouble`` is the last error of the call that is being repeated.
    """

    def __init__(self, seconds: float, whole: Deadline | None = None) -> None:
        self.seconds = round(seconds, 1 if seconds >= 1 else 3)
        self.interruptions = 0
        self.trouble: MilvusError | None = None
        self._end = time.monotonic() + seconds
        self._whole = whole or self
        self._warned_at = -math.inf

    @property
    def remaining(self) -> float:
        return max(0.0, self._end - time.monotonic())

    def at_most(self, seconds: float) -> Deadline:
        """A deadline for a part of this operation: ``seconds`` from now, but never later than this one."""
        return Deadline(min(seconds, self.remaining), self._whole)

    def warn(self, error: MilvusError, since: float) -> None:
        """Log that a call failed and is made again, unless the operation has logged that within ``WARN_EVERY`` seconds.

        :param since: when the call was made first, by ``time.monotonic``.
        """
        now = time.monotonic()
        if now - self._whole._warned_at >= WARN_EVERY:
            self._whole._warned_at = now
            log.warning("%s Trying again for up to %.0f s, after %.0f s.", error, self.remaining, now - since)

    def warn_of_silence(self, call: Call, waited: float) -> None:
        """Log that an attempt at a call has not been answered for ``waited`` seconds."""
        self._whole._warned_at = time.monotonic()
        failure = call.failure(certain=False)
        log.warning("%s: no answer for %.0f s. Waiting for up to %.0f s more.", failure, waited, self.remaining)


def _insist(call: Call, deadline: Deadline) -> Flow[Any]:
    """Yield ``call`` until it is answered, fails for good, or the deadline leaves no time for another attempt."""
    pause = FIRST_PAUSE
    out_of_reach, since = False, time.monotonic()
    lost: MilvusError | None = None
    """The error of a sending that the server may have carried out."""
    for attempts in itertools.count(1):
        if call.still is not None and not (yield from _look(call.still, lost, deadline)):
            return None
        remaining = deadline.remaining
        if remaining < LEAST_ATTEMPT:
            failure = call.failure(certain=lost is None)
            trouble = f" At last: {deadline.trouble}" if deadline.trouble is not None else ""
            raise MilvusTimeoutError(f"{failure}: the {deadline.seconds:g} s of the operation are used up.{trouble}")
        try:
            answer = yield replace(call, timeout=min(remaining, call.timeout or remaining))
        except MilvusError as error:
            # A rate limit, and a server that takes no calls, refuse a call before anything is changed.
            not_taken = isinstance(error, (MilvusRateLimitError, MilvusNotTakenError))
            lost = lost if not_taken or not error.try_again else error
            if not error.try_again or not (call.repeatable or call.still is not None or not_taken):
                deadline.interruptions += isinstance(error, MilvusUnavailableError)
                if (
                    call.still is not None
                    and type(error) in PROVES_NOTHING
                    and (yield from _is_made(call.still, error, deadline))
                ):
                    return None
                raise
            deadline.trouble = error
            if deadline.remaining <= pause + LEAST_ATTEMPT:
                raise _give_up(error, lost, attempts, deadline) from None
            deadline.warn(error, since)
            # A slow answer is no sign of a restart.
            out_of_reach = out_of_reach or isinstance(error, MilvusUnavailableError)
        else:
            deadline.interruptions += out_of_reach
            deadline.trouble = None
            return answer
        yield Pause(pause * random.uniform(0.8, 1.0))
        pause = min(pause * 2, LONGEST_PAUSE)


def _look(still: Still, lost: MilvusError | None, deadline: Deadline) -> Flow[bool]:
    try:
        return (yield from steady(still(lost), deadline))
    except (MilvusTimeoutError, MilvusUnavailableError, MilvusAuthenticationError) as error:
        if lost is None or str(error).startswith(str(lost)):
            raise
        # Of another kind than a look that the server did not take: the change may have been made.
        raise type(lost)(f"{lost} It was looked for: {error}") from None


def _is_made(still: Still, error: MilvusError, deadline: Deadline) -> Flow[bool]:
    """Whether a look shows the change, although the server has answered with ``error``."""
    try:
        return not (yield from steady(still(error), deadline))
    except (MilvusTimeoutError, MilvusUnavailableError, MilvusAuthenticationError, MilvusInDoubtError, type(error)):
        return False


def _give_up(error: MilvusError, lost: MilvusError | None, attempts: int, deadline: Deadline) -> MilvusError:
    """The error at the end of the time. What the server may have carried out once is not said to be undone."""
    if attempts == 1:
        return error
    known = lost or error
    return type(known)(f"{known} Tried {attempts} times in {deadline.seconds:g} s.")


def in_doubt(lost: MilvusError | str, seen: str) -> MilvusInDoubtError:
    """The error of a look that cannot tell whether the change was made: ``lost``, and what is ``seen`` instead."""
    return MilvusInDoubtError(f"{lost} {seen} It was not sent again: look at it, and clear the task to have it done.")


def steady(flow: Flow[T], deadline: Deadline) -> Flow[T]:
    """Run ``flow`` with every step bounded by ``deadline`` and every outage ridden out while there is time.

    A pause never outlasts the deadline. At its end ``MilvusTimeoutError`` is thrown where the flow waits, so that the flow can
    add what it saw last.
    """
    resume: Callable[[Any], Step] = flow.send
    value: Any = None
    last: Call | None = None
    while True:
        try:
            step = resume(value)
        except StopIteration as finished:
            result: T = finished.value
            return result
        try:
            if isinstance(step, Pause):
                # The last pause ends on time, and is not for a list.
                value = yield step if step.seconds < deadline.remaining else Pause(deadline.remaining)
                if deadline.remaining <= 0:
                    call = f" The last call was {last}." if last is not None else ""
                    raise MilvusTimeoutError(f"Not done within {deadline.seconds:g} s.{call}")
            elif isinstance(step, Ask):
                value = yield step
            else:
                last = step
                value = yield from _insist(step, deadline)
            resume = flow.send
        except MilvusError as error:
            value, resume = error, flow.throw
        except GeneratorExit:
            flow.close()
            raise


def in_time(flow: Flow[T], otherwise: str) -> Flow[T]:
    """Carry out ``flow``; when the deadline ends it, say ``otherwise``: what was not seen by then."""
    try:
        return (yield from flow)
    except MilvusTimeoutError as error:
        raise MilvusTimeoutError(f"{otherwise}: {error}") from None


def after(done: str, flow: Flow[T]) -> Flow[T]:
    """Carry out ``flow``; an error of it begins with what this task has ``done`` before."""
    try:
        return (yield from flow)
    except MilvusError as error:
        raise type(error)(f"{done} {error}") from None


def drive(flow: Flow[T], perform: Callable[[Call], Any], sleep: Callable[[float], object] = time.sleep) -> T:
    """Run a flow in a worker. ``perform`` makes one attempt at a call, or raises a ``MilvusError``."""
    resume: Callable[[Any], Step] = flow.send
    value: Any = None
    try:
        while True:
            step = resume(value)
            try:
                if isinstance(step, Pause):
                    value = None
                    if step.seconds:
                        sleep(step.seconds)
                else:
                    assert not isinstance(step, Ask), "a worker without an event loop shares nothing"
                    value = perform(step)
                resume = flow.send
            except MilvusError as error:
                value, resume = error, flow.throw
    except StopIteration as finished:
        result: T = finished.value
        return result
    finally:
        flow.close()


async def _sleep(pause: Pause) -> None:
    if pause.seconds:
        await asyncio.sleep(pause.seconds)


async def drive_async(
    flow: Flow[T], perform: Callable[[Call], Awaitable[Any]], pause: Callable[[Pause], Awaitable[int | None]] = _sleep
) -> T:
    """Run a flow in the triggerer, without ever blocking its event loop."""
    resume: Callable[[Any], Step] = flow.send
    value: Any = None
    try:
        while True:
            step = resume(value)
            try:
                match step:
                    case Pause():
                        value = await pause(step)
                    case Ask():
                        value = await step.question()
                    case _:
                        value = await perform(step)
                resume = flow.send
            except MilvusError as error:
                value, resume = error, flow.throw
    except StopIteration as finished:
        result: T = finished.value
        return result
    finally:
        flow.close()
