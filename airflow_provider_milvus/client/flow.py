"""One text for the worker and for the triggerer: a flow says what to ask, a driver does the asking.

A *flow* is a generator that yields steps (a call to Milvus, or a pause) and is sent their answers. It does no I/O, so the
same flow runs under the synchronous client in a worker and under the asynchronous one in the triggerer, and a test can
play the server's part with plain values. :func:`steady` gives any flow its deadline and its patience: an outage is ridden
out, with bounded back-off, for as long as the deadline allows.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from airflow_provider_milvus.exceptions import (
    MilvusError,
    MilvusNotTakenError,
    MilvusRateLimitError,
    MilvusTimeoutError,
    MilvusUnavailableError,
)

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 2.0
LOOK_TIMEOUT = 15.0
"""Seconds that one attempt to *read* something may take before it is tried anew."""


@dataclass(frozen=True, slots=True)
class Rpc:
    """One call of the Milvus protocol, by its own name and request fields.

    ``timeout`` bounds one attempt in seconds, and the operation's deadline bounds it too. ``repeat_after_timeout`` says
    whether an attempt that timed out may be sent again; reads may, while a release that waits in the server's queue
    would only be queued twice. ``repeatable`` is false where a second sending would do a second time what the first one did,
    such as an insert: such a call is sent again only when the server refused it before it changed anything.
    """

    name: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    timeout: float | None = LOOK_TIMEOUT
    repeat_after_timeout: bool = True
    repeatable: bool = True

    def __str__(self) -> str:
        subject = self.fields.get("collection_name") or self.fields.get("alias") or ""
        return f"{self.name}({subject})"


@dataclass(frozen=True, slots=True)
class Method:
    """One call of a method of pymilvus's client, as a user's own code makes it."""

    name: str
    arguments: Sequence[Any] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)
    timeout: float | None = None
    repeatable: bool = False

    repeat_after_timeout = False

    def __str__(self) -> str:
        subject = self.keywords.get("collection_name", self.arguments[0] if self.arguments else "")
        return f"{self.name}({subject if isinstance(subject, str) else ''})"


@dataclass(frozen=True, slots=True)
class Rest:
    """One call of Milvus's REST API v2: ``body`` is posted to ``path``, and the answer is the ``data`` of its JSON.

    The client adds the database and what else the connection says, so ``body`` holds what is of this call alone.
    """

    path: str
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    timeout: float | None = LOOK_TIMEOUT
    repeat_after_timeout: bool = True
    repeatable: bool = True

    def __str__(self) -> str:
        return f"POST {self.path}({self.body.get('jobId') or self.body.get('collectionName') or ''})"


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


Call = Rpc | Method | Rest
Step = Call | Pause
Report = Callable[[str], object]
"""Where a flow tells of its progress: a logger's ``info``."""
T = TypeVar("T")
Flow = Generator[Step, Any, T]


class Deadline:
    """The end of one operation, and how often the server was out of reach before it.

    ``interruptions`` grows by one for each outage that was ridden out, or that the flow was told of: one that watches a load
    looks at it to learn that the server may have been restarted. ``trouble`` is the error of a call that is being repeated,
    until one is answered.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.interruptions = 0
        self.trouble: MilvusError | None = None
        self._end = time.monotonic() + seconds

    @property
    def remaining(self) -> float:
        return max(0.0, self._end - time.monotonic())

    def at_most(self, seconds: float) -> Deadline:
        """A deadline for a part of this operation: ``seconds`` from now, but never later than this one."""
        return Deadline(min(seconds, self.remaining))


def _insist(call: Call, deadline: Deadline) -> Flow[Any]:
    """Yield ``call`` until it is answered, it fails for good, or the deadline leaves no time for another attempt."""
    pause = FIRST_PAUSE
    out_of_reach = False
    for attempts in itertools.count(1):
        remaining = deadline.remaining
        if remaining <= 0:
            raise MilvusTimeoutError(f"No time left for {call}: the {deadline.seconds:g} s are used up.")
        try:
            answer = yield replace(call, timeout=min(remaining, call.timeout or remaining))
        except MilvusError as error:
            # These refuse a call before anything is changed.
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

    A pause never outlasts the deadline. The flow itself is told by ``MilvusTimeoutError``, thrown where it waits, so it
    can add what it saw last.
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
    """Carry out ``flow``; when the deadline cuts it short, say what was not seen."""
    try:
        return (yield from flow)
    except MilvusTimeoutError as error:
        raise MilvusTimeoutError(f"{otherwise}: {error}") from None


def drive(flow: Flow[T], perform: Callable[[Call], Any], sleep: Callable[[float], object] = time.sleep) -> T:
    """Run a flow in a worker. ``perform`` makes one attempt and raises a ``MilvusError``; see ``client/client.py``."""
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
