"""Flows: one text for the worker and for the triggerer. A flow says which calls to make, and a driver makes them.

A *flow* is a generator that yields steps (a call to Milvus, or a pause) and is sent their answers. It does no I/O, so the
same flow runs under the synchronous client in a worker and under the asynchronous one in the triggerer, and a test can
play the server's part with plain values. :func:`steady` gives any flow its deadline, and rides out an outage: it makes a call
again, with growing pauses, as long as the deadline allows.
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
from typing import Any, TypeVar

from airflow_provider_milvus.client.failures import failure_in_words
from airflow_provider_milvus.exceptions import (
    MilvusError,
    MilvusNotTakenError,
    MilvusRateLimitError,
    MilvusTimeoutError,
    MilvusUnavailableError,
)

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 2.0
LOOK_TIMEOUT = 15.0
"""Seconds that one attempt to *read* something may take before the next attempt."""
WARN_EVERY = 30.0
"""Seconds between two warnings of an outage that an operation rides out."""


@dataclass(frozen=True, slots=True)
class Rpc:
    """One call of the Milvus protocol, by its own name and request fields.

    :param timeout: seconds for one attempt; the operation's deadline bounds it too.
    :param repeat_after_timeout: an attempt that timed out may be sent again. A read may; a release may not, since the first one
        may wait in the server's queue.
    :param repeatable: false for a call that, sent twice, changes something twice, such as an insert. It is sent again only when
        the server refused it before it changed anything.
    """

    name: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    timeout: float | None = LOOK_TIMEOUT
    repeat_after_timeout: bool = True
    repeatable: bool = True

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

    repeat_after_timeout = False

    def failure(self, *, certain: bool = True) -> str:
        subject = self.keywords.get("collection_name", self.arguments[0] if self.arguments else "")
        return failure_in_words(self.name, {"collection_name": subject if isinstance(subject, str) else ""}, certain=certain)


@dataclass(frozen=True, slots=True)
class Rest:
    """One call of Milvus's REST API v2: ``body`` is posted to ``path``, and the answer is the ``data`` of its JSON.

    The client adds the database and the connection's cluster or project to ``body``.
    """

    path: str
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    timeout: float | None = LOOK_TIMEOUT
    repeat_after_timeout: bool = True
    repeatable: bool = True

    def failure(self, *, certain: bool = True) -> str:
        return failure_in_words(self.path.removeprefix("/v2/vectordb/"), self.body, certain=certain)


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


Call = Rpc | Method | Rest
Step = Call | Pause
Report = Callable[[str], object]
"""Where a flow reports its progress: a logger's ``info``."""
T = TypeVar("T")
Flow = Generator[Step, Any, T]


class Deadline:
    """The end of one operation, ``seconds`` from now, and the outages before it.

    ``interruptions`` counts the outages that were ridden out or that ended a call: a flow that watches a load reads it to learn
    that the server may have been restarted. ``trouble`` is the last error of the call that is being repeated.
    """

    def __init__(self, seconds: float, whole: Deadline | None = None) -> None:
        self.seconds = seconds
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
    for attempts in itertools.count(1):
        remaining = deadline.remaining
        if remaining <= 0:
            failure = call.failure(certain=attempts == 1)
            raise MilvusTimeoutError(f"{failure}: the {deadline.seconds:g} s of the operation are used up.")
        try:
            answer = yield replace(call, timeout=min(remaining, call.timeout or remaining))
        except MilvusError as error:
            # A rate limit, and a server that takes no calls, refuse a call before anything is changed.
            may_repeat = error.try_again and (call.repeatable or isinstance(error, (MilvusRateLimitError, MilvusNotTakenError)))
            if isinstance(error, MilvusTimeoutError) and not call.repeat_after_timeout:
                may_repeat = False
            if not may_repeat:
                deadline.interruptions += isinstance(error, MilvusUnavailableError)
                raise
            if deadline.remaining <= pause:
                if attempts == 1:
                    raise
                raise type(error)(f"{error} Tried {attempts} times in {deadline.seconds:g} s.") from None
            deadline.trouble = error
            deadline.warn(error, since)
            # A slow answer is no sign of a restart.
            out_of_reach = out_of_reach or isinstance(error, MilvusUnavailableError)
        else:
            deadline.interruptions += out_of_reach
            deadline.trouble = None
            return answer
        yield Pause(pause * random.uniform(0.8, 1.0))
        pause = min(pause * 2, LONGEST_PAUSE)


def steady(flow: Flow[T], deadline: Deadline) -> Flow[T]:
    """Run ``flow`` with every step bounded by ``deadline`` and every outage ridden out while there is time.

    A pause never outlasts the deadline. At its end ``MilvusTimeoutError`` is thrown where the flow waits, so that the flow can
    add what it saw last.
    """
    resume: Callable[[Any], Step] = flow.send
    value: Any = None
    while True:
        try:
            step = resume(value)
        except StopIteration as finished:
            result: T = finished.value
            return result
        try:
            if isinstance(step, Pause):
                value = yield Pause(min(step.seconds, deadline.remaining))
                if deadline.remaining <= 0:
                    raise MilvusTimeoutError(f"Not done within {deadline.seconds:g} s.")
            else:
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
                value = sleep(step.seconds) if isinstance(step, Pause) else perform(step)
                resume = flow.send
            except MilvusError as error:
                value, resume = error, flow.throw
    except StopIteration as finished:
        result: T = finished.value
        return result
    finally:
        flow.close()


async def drive_async(flow: Flow[T], perform: Callable[[Call], Awaitable[Any]]) -> T:
    """Run a flow in the triggerer, without ever blocking its event loop."""
    resume: Callable[[Any], Step] = flow.send
    value: Any = None
    try:
        while True:
            step = resume(value)
            try:
                value = await (asyncio.sleep(step.seconds) if isinstance(step, Pause) else perform(step))
                resume = flow.send
            except MilvusError as error:
                value, resume = error, flow.throw
    except StopIteration as finished:
        result: T = finished.value
        return result
    finally:
        flow.close()
