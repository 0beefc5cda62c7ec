"""What a condition is, and :func:`wait_for`, which waits until it is met.

A new condition is a frozen dataclass derived from :class:`Condition` with a ``look`` flow. It stands in a file beside this one,
or in a module of the user's that the triggerer can import: it reaches the triggerer by its import path, as a trigger does.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, ClassVar

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.flow import Deadline, Flow, Pause, Report

REVIVE_AFTER = 45.0
"""Seconds that a load may stand still after an outage before it is submitted again. After a restart Milvus 2.3.5 needed 26 s
to go on with a load by itself; now and then it never does."""

EAGER_PAUSE = 0.1
"""Seconds of the first pause of an eager wait."""


class Verdict(StrEnum):
    """What a look means for the condition: it is met, not yet met, or can never be met."""

    MET = "met"
    NOT_YET = "not yet"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Observation:
    """What a look saw: the ``state``, the ``progress`` in per cent if there is one, and the ``reason`` of the ``verdict``."""

    verdict: Verdict
    state: str
    progress: int | None = None
    reason: str = ""

    def __str__(self) -> str:
        progress = f" {self.progress} %" if self.progress is not None else ""
        return f"{self.state}{progress}"

    @property
    def in_words(self) -> str:
        return f"{self} ({self.reason})" if self.reason else str(self)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "verdict": self.verdict.value}


@dataclass(frozen=True)
class Condition:
    """Something to wait for. Its fields are plain values without a secret: it is sent to the triggerer as JSON.

    .. code-block:: python

        from dataclasses import dataclass

        from airflow_provider_milvus.client.flow import Flow, Rpc
        from airflow_provider_milvus.conditions import Condition, Observation, Verdict, wait_for
        from airflow_provider_milvus.hooks.milvus import MilvusHook


        @dataclass(frozen=True)
        class PartitionsAtMost(Condition):
            collection_name: str
            most: int

            def look(self) -> Flow[Observation]:
                answer = yield Rpc("ShowPartitions", {"collection_name": self.collection_name})
                count = len(answer.partition_names)
                return Observation(Verdict.MET if count <= self.most else Verdict.NOT_YET, f"{count} partitions")


        hook = MilvusHook()
        with hook.client() as client:
            deadline = hook.deadline()
            client.run(wait_for(PartitionsAtMost("docs", 64), deadline, poll_interval=5), deadline)
    """

    never_error: ClassVar[type[exceptions.MilvusError]] = exceptions.MilvusNeverMetError
    """The error to raise when a look sees that the condition can never be met."""
    can_revive: ClassVar[bool] = False
    """Whether :meth:`revive` does anything."""
    stall_advice: ClassVar[str] = ""
    """The next step for the user when nothing moves."""

    def __str__(self) -> str:
        collection = getattr(self, "collection_name", "")
        partitions = getattr(self, "partition_names", [])
        return f"Collection {collection!r}" + (f", partitions {', '.join(partitions)}" if partitions else "")

    def look(self) -> Flow[Observation]:
        """One look at the server, with few, cheap, read-only calls."""
        raise AssertionError("a condition defines look()")
        yield

    @property
    def glanced_at(self) -> str:
        """The collection for which :meth:`glance` may save a look; empty: for none."""
        return ""

    def glance(self, percent: int | None) -> Observation | None:
        """What it means that a list has the collection with ``percent`` in memory; ``None``: it has to be looked at.

        A list may say "not yet" only. ``percent`` is ``None`` where there is no list, or it does not name the collection.
        """
        return None

    def revive(self) -> Flow[None]:
        """Begin the work once more when nothing has moved since the server came back. By default it does nothing."""
        return
        yield

    def undo(self) -> Flow[str]:
        """Take back what the task began, when it is killed or its time is up; return in words what became of it.

        By default it does nothing.
        """
        return f"{self} was left as it is."
        yield

    def serialize(self) -> dict[str, Any]:
        """Plain values and the class's import path, for the triggerer.

        :raises MilvusInvalidArgumentError: another process cannot import the class.
        """
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        if path.startswith(("__main__.", "unusual_prefix_")) or "<locals>" in path:
            raise _cannot_import(path, "it is defined in a DAG file, a script or a function")
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"condition": path, **values}

    @staticmethod
    def deserialize(data: Mapping[str, Any]) -> Condition:
        """The condition that :meth:`serialize` described.

        :raises MilvusInvalidArgumentError: this process cannot import the class, or it is not a condition's.
        """
        if not isinstance(data, Mapping):
            raise _cannot_import(repr(data), "it is not what serialize() returns")
        values = dict(data)
        path = str(values.pop("condition", ""))
        module, _, name = path.rpartition(".")
        try:
            kind = getattr(importlib.import_module(module), name)
            if not (isinstance(kind, type) and issubclass(kind, Condition)):
                raise TypeError(f"{name} is not a subclass of Condition")  # noqa: TRY301
            return kind(**values)
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            raise _cannot_import(path, error) from None


def wait_for(
    condition: Condition,
    deadline: Deadline,
    *,
    poll_interval: float,
    eager: bool = False,
    stall_timeout: float | None = None,
    report: Report = lambda words: None,
) -> Flow[Observation]:
    """Look until the condition is met, and return what the last look saw.

    :param deadline: when to give up; the flow must run under the same one.
    :param poll_interval: seconds between two looks.
    :param eager: make the first pauses shorter, in proportion to the time waited so far, so that short work is seen at once.
        A triggerer with a thousand waits should not.
    :param stall_timeout: give up after these seconds without a change; None: never.
    :param report: called with a sentence whenever something has changed.
    :raises MilvusNeverMetError, MilvusLoadFailedError: it can never be met; a condition may have another error for that.
    :raises MilvusLoadStalledError: nothing moved for ``stall_timeout`` seconds.
    :raises MilvusTimeoutError, MilvusUnavailableError: at the deadline, with what was seen last and since when.
    """
    seen: Observation | None = None
    began = moved = time.monotonic()
    interruptions = deadline.interruptions
    interrupted = revived = False
    percent: int | None = None
    while True:
        try:
            if seen is None and condition.glanced_at:
                percent = yield Pause(0, condition.glanced_at)
            now = condition.glance(percent) or (yield from condition.look())
        except (exceptions.MilvusTimeoutError, exceptions.MilvusUnavailableError) as error:
            raise _at_the_end(error, condition, seen, moved) from None
        except exceptions.MilvusError as error:
            raise _named(error, condition) from error.__cause__
        if deadline.interruptions != interruptions:
            interruptions, interrupted = deadline.interruptions, True
            moved = time.monotonic()
            report("The server was out of reach for a while and is back.")
        if now != seen:
            if seen is not None and (now.progress or 0) > (seen.progress or 0):
                # The load goes on by itself after the outage.
                interrupted = False
            seen, moved = now, time.monotonic()
            report(f"{condition}: {now.in_words}")
        if now.verdict is Verdict.MET:
            return now
        if now.verdict is Verdict.NEVER:
            raise never_met_error(condition, now)
        still = time.monotonic() - moved
        if interrupted and condition.can_revive and not revived and still >= min(REVIVE_AFTER, stall_timeout or REVIVE_AFTER):
            report(
                f"{condition} has stood still for {still:.0f} s since the server came back: submitting the load again, once."
            )
            yield from condition.revive()
            revived, moved = True, time.monotonic()
        elif stall_timeout is not None and still >= stall_timeout:
            raise exceptions.MilvusLoadStalledError(
                f"{condition} has stood still at {now.in_words} for {still:.0f} s (stall_timeout {stall_timeout:g} s). "
                f"The server still reports {now.state}. {condition.stall_advice}".strip()
            )
        try:
            waited = time.monotonic() - began
            pause = min(poll_interval, max(EAGER_PAUSE, waited / 40)) if eager else poll_interval
            percent = yield Pause(pause, condition.glanced_at)
        except exceptions.MilvusTimeoutError as error:
            raise _at_the_end(error, condition, seen, moved) from None


def name_of(number: Any, names: Sequence[str], of_what: str) -> str:
    """The name of a state that the server tells as a number.

    :raises MilvusServerError: there is none: a newer server may have states that this provider does not know.
    """
    if not 0 <= int(number) < len(names):
        raise exceptions.MilvusServerError(f"The server tells the {of_what} state {number}, which this provider does not know.")
    return names[int(number)]


def never_met_error(condition: Condition, seen: Observation) -> exceptions.MilvusError:
    """The error for a condition that can never be met, after a look that saw ``seen``."""
    return condition.never_error(f"{condition} is {seen}: {seen.reason}.")


def _at_the_end(
    error: exceptions.MilvusError, condition: Condition, seen: Observation | None, moved: float
) -> exceptions.MilvusError:
    if seen is None:
        return _named(error, condition)
    since = time.monotonic() - moved
    return type(error)(
        f"{condition} did not reach the awaited state in time: {error} Last seen {seen.in_words}, unchanged for {since:.0f} s. "
        "The server may still get there."
    )


def _named(error: exceptions.MilvusError, condition: Condition) -> exceptions.MilvusError:
    """The error, which names the condition's collection: a look at a job sends the job's number only."""
    name = getattr(condition, "collection_name", "")
    return type(error)(f"{condition}: {error}") if name and repr(name) not in str(error) else error


def _cannot_import(path: str, reason: object) -> exceptions.MilvusInvalidArgumentError:
    return exceptions.MilvusInvalidArgumentError(
        f"The wait did not begin: the condition {path!r} cannot be imported: {reason}. Define it at the top level of a module "
        "that workers and triggerers can import, such as one in the plugins folder; a DAG file is not one."
    )
