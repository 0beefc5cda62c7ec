"""Loads and refreshes: what is in memory, and when a load that a task began has ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.flow import Flow, Rpc
from airflow_provider_milvus.client.reads import check_partitions, describe
from airflow_provider_milvus.conditions.base import Condition, Observation, Verdict

LOAD_STATES = ("NotExist", "NotLoad", "Loading", "Loaded")
"""The names of Milvus's ``LoadState``, by number."""

_STUCK = "A lack of memory looks like this too: read the query coordinator's log, make room, then release and load it again."


@dataclass(frozen=True)
class LoadState(Condition):
    """A collection, or each of the named partitions, is ``Loaded`` or ``NotLoad``.

    Milvus calls a collection Loaded as soon as one partition is loaded, so the state of each named partition is read. With
    ``fail_if_not_loading``, NotLoad means that nobody is loading it, and the condition can never be met.

    :raises MilvusCollectionNotFoundError, MilvusPartitionNotFoundError, MilvusDatabaseNotFoundError: it can never be met.
    """

    collection_name: str
    partition_names: list[str] = field(default_factory=list)
    target_state: str = "Loaded"
    fail_if_not_loading: bool = False
    stall_advice: ClassVar[str] = _STUCK

    def look(self) -> Flow[Observation]:
        states = yield from load_states(self.collection_name, self.partition_names)
        # All partitions must be in the state: the least loaded one decides for Loaded, the most loaded one for NotLoad.
        state, progress = states[0] if self.target_state == "Loaded" else states[-1]
        if state == self.target_state:
            return Observation(Verdict.MET, state, 100 if state == "Loaded" else None)
        if state == "NotLoad" and self.fail_if_not_loading:
            return Observation(Verdict.NEVER, state, None, "nobody is loading it")
        return Observation(Verdict.NOT_YET, state, progress)


@dataclass(frozen=True)
class LoadFinished(LoadState):
    """A load that this task submitted. It fails when Loading turns into NotLoad, and can be undone.

    ``started``: nothing was in memory before. Only then may the load be undone, or be released and submitted again after a
    restart. ``options`` are further fields of the request that submitted the load.
    """

    fail_if_not_loading: bool = True
    never_error: ClassVar[type[exceptions.MilvusError]] = exceptions.MilvusLoadFailedError
    can_revive: ClassVar[bool] = True
    started: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    def look(self) -> Flow[Observation]:
        try:
            seen = yield from super().look()
        except exceptions.MilvusServerError as error:
            # When 2.3.5 has given up a load, it answers a request for the progress with the reason.
            state = yield from self._load_state()
            if state != "NotLoad":
                raise
            return Observation(Verdict.NEVER, state, None, f"the server says: {error}")
        if seen.verdict is not Verdict.NEVER:
            return seen
        reason = yield from self._reason()
        return Observation(Verdict.NEVER, seen.state, None, reason)

    def submit(self) -> Flow[None]:
        """Submit the load; the server answers before anything is in memory."""
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

    def _load_state(self) -> Flow[str]:
        subject: dict[str, Any] = {"collection_name": self.collection_name}
        if self.partition_names:
            subject["partition_names"] = self.partition_names
        answer = yield Rpc("GetLoadState", subject)
        return LOAD_STATES[int(answer.state)]

    def _reason(self) -> Flow[str]:
        reason = (
            "the server stopped loading it. Usual causes: not enough memory on the query nodes, or a release by somebody else; "
            "the query coordinator's log has the cause"
        )
        try:
            yield Rpc("GetLoadingProgress", {"collection_name": self.collection_name})
        except exceptions.MilvusNotLoadedError:
            return reason
        except exceptions.MilvusServerError as error:
            return f"{reason}. The server says: {error}"
        return reason


@dataclass(frozen=True)
class Refreshed(Condition):
    """A refresh, which brings newly imported rows of a loaded collection into memory, has ended."""

    collection_name: str
    stall_advice: ClassVar[str] = _STUCK

    def look(self) -> Flow[Observation]:
        answer = yield Rpc("GetLoadingProgress", {"collection_name": self.collection_name})
        progress = int(answer.refresh_progress)
        return Observation(Verdict.MET if progress >= 100 else Verdict.NOT_YET, "Refreshing", progress)


def load_states(collection_name: str, partition_names: list[str] | None = None) -> Flow[list[tuple[str, int | None]]]:
    """The load state, and the progress in per cent while Loading: of the collection, or of each named partition, with the least
    loaded one first.

    :raises MilvusCollectionNotFoundError, MilvusPartitionNotFoundError, MilvusDatabaseNotFoundError: it does not exist.
    """
    if not partition_names:
        return [(yield from _state_of({"collection_name": collection_name}))]
    # Milvus Lite reports Loaded for a partition that does not exist.
    yield from check_partitions(collection_name, partition_names)
    states = []
    for partition in partition_names:
        states.append((yield from _state_of({"collection_name": collection_name, "partition_names": [partition]})))
    return sorted(states, key=lambda state: (LOAD_STATES.index(state[0]), state[1] or 0))


def _state_of(subject: dict[str, Any]) -> Flow[tuple[str, int | None]]:
    answer = yield Rpc("GetLoadState", subject)
    state = LOAD_STATES[int(answer.state)]
    if state == "NotExist":
        # NotExist also stands for a missing database, which describe() tells apart; the collection may exist by now.
        yield from describe(subject["collection_name"])
        return "NotLoad", None
    if state != "Loading":
        return state, None
    try:
        progress = yield Rpc("GetLoadingProgress", subject)
    except exceptions.MilvusNotLoadedError:
        # It was released, or the load was given up, between the two calls.
        return "NotLoad", None
    return state, int(progress.progress)
