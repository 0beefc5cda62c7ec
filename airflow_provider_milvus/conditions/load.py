"""Loads and refreshes: what is in memory, and when a load that a task began is through."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from airflow_provider_milvus.client.flow import Flow, Rpc
from airflow_provider_milvus.client.reads import check_partitions, describe
from airflow_provider_milvus.conditions.base import Condition, Observation, Verdict
from airflow_provider_milvus.exceptions import (
    MilvusError,
    MilvusLoadFailedError,
    MilvusNotLoadedError,
    MilvusServerError,
)

LOAD_STATES = ("NotExist", "NotLoad", "Loading", "Loaded")
"""The names of Milvus's ``LoadState``, by number."""


_STUCK = "A lack of memory looks like this, too: see the query coordinator's log, make room, then release and load it again."


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
    if_it_stands_still: ClassVar[str] = _STUCK

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
    revives: ClassVar[bool] = True
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
    if_it_stands_still: ClassVar[str] = _STUCK

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
    yield from check_partitions(collection_name, partition_names)
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
