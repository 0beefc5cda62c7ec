"""What a condition is, and :func:`wait_for`, which does the waiting.

To add a condition: a frozen dataclass derived from :class:`Condition` with a ``look`` flow, in one of the files beside this one
or in a module of your own that a triggerer can import; about ten lines. It travels by its import path, as triggers do.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, ClassVar

from airflow_provider_milvus.client.flow import Deadline, Flow, Pause, Report
from airflow_provider_milvus.exceptions import (
    MilvusError,
    MilvusInvalidArgumentError,
    MilvusLoadStalledError,
    MilvusNeverMetError,
    MilvusTimeoutError,
    MilvusUnavailableError,
)

REVIVE_AFTER = 45.0
"""Seconds a load may stand still after an outage before it is submitted again. Milvus 2.3.5 needed 26 s after a restart
until a load it resumed by itself moved on; now and then it never does."""

EAGER_PAUSE = 0.1


class Verdict(StrEnum):
    MET = "met"
    NOT_YET = "not yet"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Observation:
    """What a look saw: the load state, the progress in per cent where there is one, and what it means."""

    verdict: Verdict
    state: str
    progress: int | None = None
    reason: str = ""

    def __str__(self) -> str:
        progress = f" {self.progress} %" if self.progress is not None else ""
        return f"{self.state}{progress}"

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "verdict": self.verdict.value}


@dataclass(frozen=True)
class Condition:
    """Something to wait for. Its fields are plain values: it travels to the triggerer as JSON and holds no secret."""

    never: ClassVar[type[MilvusError]] = MilvusNeverMetError
    """What is raised when a look says that it will never be met."""
    revives: ClassVar[bool] = False
    """Whether :meth:`revive` does anything."""
    if_it_stands_still: ClassVar[str] = ""
    """What to do when nothing moves, in words."""

    def __str__(self) -> str:
        collection = getattr(self, "collection_name", "")
        partitions = getattr(self, "partition_names", [])
        return f"Collection {collection!r}" + (f", partitions {', '.join(partitions)}" if partitions else "")

    def look(self) -> Flow[Observation]:
        """One look at the server: few, cheap, read-only calls."""
        raise AssertionError("a condition defines look()")
        yield

    def revive(self) -> Flow[None]:
        """What may be done, once, when nothing has moved since the server came back. By default nothing."""
        return
        yield

    def undo(self) -> Flow[None]:
        """Take back what the task began, when it is killed or its time is up. By default nothing."""
        return
        yield

    def serialize(self) -> dict[str, Any]:
        """Plain values and the class's import path, for the triggerer.

        :raises MilvusInvalidArgumentError: another process cannot import the class.
        """
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        if path.startswith(("__main__.", "unusual_prefix_")) or "<locals>" in path:
            raise _cannot_travel(path, "it is defined in a DAG file, a script or a function")
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"condition": path, **values}

    @staticmethod
    def deserialize(data: Mapping[str, Any]) -> Condition:
        """The condition that :meth:`serialize` described.

        :raises MilvusInvalidArgumentError: this process cannot import its class, or that is no condition.
        """
        values = dict(data)
        path = str(values.pop("condition", ""))
        module, _, name = path.rpartition(".")
        try:
            kind = getattr(importlib.import_module(module), name)
            if not (isinstance(kind, type) and issubclass(kind, Condition)):
                raise TypeError(f"{name} is no subclass of Condition")  # noqa: TRY301
            return kind(**values)
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            raise _cannot_travel(path, error) from None


def wait_for(
    condition: Condition,
    deadline: Deadline,
    *,
    poll_interval: float,
    eager: bool = False,
    stall_timeout: float | None = None,
    report: Report = lambda words: None,
) -> Flow[Observation]:
    """Look until the condition is met; ``report`` is told, in words, whenever something has changed.

    ``poll_interval`` is the pause between two looks. With ``eager`` the first pauses are shorter, in proportion to the time
    waited so far, so that short work is noticed at once; a triggerer with a thousand waits had better not.

    :raises MilvusNeverMetError, MilvusLoadFailedError: it can never be met.
    :raises MilvusLoadStalledError: nothing moved for ``stall_timeout`` seconds.
    :raises MilvusTimeoutError, MilvusUnavailableError: at the deadline, with what was seen last and since when.
    """
    seen: Observation | None = None
    began = moved = time.monotonic()
    interruptions = deadline.interruptions
    interrupted = revived = False
    while True:
        try:
            now = yield from condition.look()
        except (MilvusTimeoutError, MilvusUnavailableError) as error:
            raise _at_the_end(error, condition, seen, moved) from None
        if deadline.interruptions != interruptions:
            interruptions, interrupted = deadline.interruptions, True
            moved = time.monotonic()
            report("The server was out of reach for a while and is back.")
        if now != seen:
            if seen is not None and (now.progress or 0) > (seen.progress or 0):
                # It goes on by itself: the outage is over for this load too.
                interrupted = False
            seen, moved = now, time.monotonic()
            report(f"{condition}: {now}")
        if now.verdict is Verdict.MET:
            return now
        if now.verdict is Verdict.NEVER:
            raise never_met(condition, now)
        still = time.monotonic() - moved
        if interrupted and condition.revives and not revived and still >= min(REVIVE_AFTER, stall_timeout or REVIVE_AFTER):
            report(f"Nothing has moved for {still:.0f} s since the server came back: submitting the load again, once.")
            yield from condition.revive()
            revived, moved = True, time.monotonic()
        elif stall_timeout is not None and still >= stall_timeout:
            raise MilvusLoadStalledError(
                f"{condition} has stood still at {now} for {still:.0f} s (stall_timeout {stall_timeout:g} s). "
                f"The server still says so. {condition.if_it_stands_still}".strip()
            )
        try:
            waited = time.monotonic() - began
            yield Pause(min(poll_interval, max(EAGER_PAUSE, waited / 40)) if eager else poll_interval)
        except MilvusTimeoutError as error:
            raise _at_the_end(error, condition, seen, moved) from None


def never_met(condition: Condition, seen: Observation) -> MilvusError:
    """The error that says so of ``seen``, in the condition's own kind."""
    return condition.never(f"{condition} is {seen}: {seen.reason}.")


def _at_the_end(error: MilvusError, condition: Condition, seen: Observation | None, moved: float) -> MilvusError:
    if seen is None:
        return error
    since = time.monotonic() - moved
    return type(error)(
        f"{condition} is not there in time: {error} Last seen {seen}, unchanged for {since:.0f} s. "
        "The server may still get there."
    )


def _cannot_travel(path: str, reason: object) -> MilvusInvalidArgumentError:
    return MilvusInvalidArgumentError(
        f"The wait did not begin: the condition {path!r} cannot be imported: {reason}. Define it at the top level of a module "
        "that workers and triggerers can import, such as one in the plugins folder; a DAG file is not one."
    )
