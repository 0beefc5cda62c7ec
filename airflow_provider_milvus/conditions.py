"""What a task can wait for. A condition says how to look and what the sight means; :func:`wait_for` does the waiting.

A condition is written once and used by sensors, by operators in the worker and by the trigger. To add one: a frozen
dataclass derived from :class:`Condition` with a ``look`` flow, registered by its class name; about ten lines.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any, ClassVar

from airflow_provider_milvus.exceptions import (
    MilvusCollectionNotFoundError,
    MilvusError,
    MilvusLoadFailedError,
    MilvusLoadStalledError,
    MilvusNeverMetError,
    MilvusNotLoadedError,
    MilvusPartitionNotFoundError,
    MilvusServerError,
    MilvusTimeoutError,
    MilvusUnavailableError,
)
from airflow_provider_milvus.flow import Deadline, Flow, Pause, Rpc

LOAD_STATES = ("NotExist", "NotLoad", "Loading", "Loaded")
"""The names of Milvus's ``LoadState``, by number."""

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
    _registered: ClassVar[dict[str, type[Condition]]] = {}

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        Condition._registered[cls.__name__] = cls

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
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {"condition": type(self).__name__, **values}

    @staticmethod
    def deserialize(data: dict[str, Any]) -> Condition:
        values = dict(data)
        return Condition._registered[values.pop("condition")](**values)


@dataclass(frozen=True)
class LoadState(Condition):
    """A collection, or each of the named partitions, is ``Loaded`` or ``NotLoad``.

    Milvus calls a collection Loaded as soon as one partition is, so named partitions are asked one by one. With
    ``fail_if_not_loading``, NotLoad means that nobody is loading it and the wait is over.

    :raises MilvusCollectionNotFoundError, MilvusPartitionNotFoundError, MilvusDatabaseNotFoundError: it can never be met.
    """

    collection_name: str
    partition_names: list[str] = field(default_factory=list)
    target_state: str = "Loaded"
    fail_if_not_loading: bool = False

    def look(self) -> Flow[Observation]:
        states = yield from load_states(self.collection_name, self.partition_names)
        # Every partition has to be there: the least loaded one tells of Loaded, the most loaded one of NotLoad.
        state, progress = states[0] if self.target_state == "Loaded" else states[-1]
        if state == self.target_state:
            return Observation(Verdict.MET, state, 100 if state == "Loaded" else None)
        if state == "NotLoad" and self.fail_if_not_loading:
            return Observation(Verdict.NEVER, state, None, "nobody is loading it")
        return Observation(Verdict.NOT_YET, state, progress)


@dataclass(frozen=True)
class LoadFinished(LoadState):
    """A load that this task submitted. It fails at once when Loading turns into NotLoad, and can be taken back.

    ``started`` says that nothing was in memory before: only then may a load be undone, or released and submitted anew
    after a restart. ``options`` are the fields of the request that submitted it.
    """

    fail_if_not_loading: bool = True
    never: ClassVar[type[MilvusError]] = MilvusLoadFailedError
    started: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    def look(self) -> Flow[Observation]:
        try:
            seen = yield from super().look()
        except MilvusServerError as error:
            # This is how 2.3.5 tells that a load was given up: asked for the progress, it answers with the reason.
            state = yield from self._state_alone()
            if state != "NotLoad":
                raise
            return Observation(Verdict.NEVER, state, None, f"the server says: {error}")
        if seen.verdict is not Verdict.NEVER:
            return seen
        reason = yield from self._reason()
        return Observation(Verdict.NEVER, seen.state, None, reason)

    def submit(self) -> Flow[None]:
        """Ask for the load; the answer comes before anything is in memory."""
        if self.partition_names:
            fields = {"collection_name": self.collection_name, "partition_names": self.partition_names}
            yield Rpc("LoadPartitions", {**fields, **self.options})
        else:
            yield Rpc("LoadCollection", {"collection_name": self.collection_name, **self.options})

    def revive(self) -> Flow[None]:
        if self.started:
            yield from self.undo()
        yield from self.submit()

    def undo(self) -> Flow[None]:
        if not self.started:
            return
        fields: dict[str, Any] = {"collection_name": self.collection_name}
        if self.partition_names:
            yield Rpc("ReleasePartitions", {**fields, "partition_names": self.partition_names})
        else:
            yield Rpc("ReleaseCollection", fields)

    def _state_alone(self) -> Flow[str]:
        subject: dict[str, Any] = {"collection_name": self.collection_name}
        if self.partition_names:
            subject["partition_names"] = self.partition_names
        answer = yield Rpc("GetLoadState", subject)
        return LOAD_STATES[int(answer.state)]

    def _reason(self) -> Flow[str]:
        words = (
            "the server stopped loading it. Usual causes: not enough memory on the query nodes, or somebody released it; "
            "the query coordinator's log tells which"
        )
        try:
            yield Rpc("GetLoadingProgress", {"collection_name": self.collection_name})
        except MilvusNotLoadedError:
            return words
        except MilvusServerError as error:
            return f"{words}. The server says: {error}"
        return words


@dataclass(frozen=True)
class Refreshed(Condition):
    """A refresh, which brings newly imported segments of a loaded collection into memory, is through."""

    collection_name: str

    def look(self) -> Flow[Observation]:
        answer = yield Rpc("GetLoadingProgress", {"collection_name": self.collection_name})
        progress = int(answer.refresh_progress)
        return Observation(Verdict.MET if progress >= 100 else Verdict.NOT_YET, "Refreshing", progress)


def load_states(collection_name: str, partition_names: list[str] | None = None) -> Flow[list[tuple[str, int | None]]]:
    """The load state, and the progress in per cent while Loading: of the collection, or of each named partition, the least
    loaded one first.

    :raises MilvusCollectionNotFoundError, MilvusPartitionNotFoundError, MilvusDatabaseNotFoundError: which it is.
    """
    if not partition_names:
        return [(yield from _state_of({"collection_name": collection_name}))]
    # Milvus Lite says Loaded of a partition that does not exist, so existence is asked apart.
    answer = yield Rpc("ShowPartitions", {"collection_name": collection_name})
    missing = [each for each in partition_names if each not in answer.partition_names]
    if missing:
        raise MilvusPartitionNotFoundError(
            f"Collection {collection_name!r} has no partition {', '.join(map(repr, missing))}; "
            f"it has {', '.join(sorted(answer.partition_names))}."
        )
    states = []
    for each in partition_names:
        states.append((yield from _state_of({"collection_name": collection_name, "partition_names": [each]})))
    return sorted(states, key=lambda seen: (LOAD_STATES.index(seen[0]), seen[1] or 0))


def _state_of(subject: dict[str, Any]) -> Flow[tuple[str, int | None]]:
    answer = yield Rpc("GetLoadState", subject)
    state = LOAD_STATES[int(answer.state)]
    if state == "NotExist":
        # It says so of a missing database too. Describing tells them apart, or finds what was made this very moment.
        yield from describe(subject["collection_name"])
        return "NotLoad", None
    if state != "Loading":
        return state, None
    try:
        progress = yield Rpc("GetLoadingProgress", subject)
    except MilvusNotLoadedError:
        # Released, or given up, between the two calls.
        return "NotLoad", None
    return state, int(progress.progress)


def describe(collection_name: str) -> Flow[Any]:
    """The collection behind a name or an alias.

    :raises MilvusDatabaseNotFoundError: the database is what is missing; Milvus 2.3.5 blames the collection for it.
    :raises MilvusCollectionNotFoundError: the database exists.
    """
    try:
        return (yield Rpc("DescribeCollection", {"collection_name": collection_name}))
    except MilvusCollectionNotFoundError:
        # ShowCollections is the one call that every server refuses for a missing database.
        yield Rpc("ShowCollections", {"type": "InMemory"})
        raise


Report = Callable[[str], object]


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
        if interrupted and not revived and still >= min(REVIVE_AFTER, stall_timeout or REVIVE_AFTER):
            report(f"Nothing has moved for {still:.0f} s since the server came back: submitting the load again, once.")
            yield from condition.revive()
            revived, moved = True, time.monotonic()
        elif stall_timeout is not None and still >= stall_timeout:
            raise MilvusLoadStalledError(
                f"{condition} has stood still at {now} for {still:.0f} s (stall_timeout {stall_timeout:g} s). "
                "The server still says so. A lack of memory looks like this, too: see the query coordinator's log, "
                "make room, then release and load it again."
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
