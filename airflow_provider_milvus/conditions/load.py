"""Loads and refreshes: what is in memory, what is served, and when a load that a task began has ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.answers.numbers import read_percent
from airflow_provider_milvus.client.flow import PROVES_NOTHING, Flow, Rpc
from airflow_provider_milvus.client.reads import check_partitions, describe
from airflow_provider_milvus.client.subject import Subject
from airflow_provider_milvus.conditions.base import Condition, Observation, Verdict, name_of

LOAD_STATES = ("NotExist", "NotLoad", "Loading", "Loaded")
"""The names of Milvus's ``LoadState``, by number."""

_STUCK = "A lack of memory looks like this too: read the query coordinator's log, make room, then release and load it again."


NOBODY = "nobody is loading it"
_FLUSHED, _DELETES = 4, 1
"""Of ``SegmentState`` and ``SegmentLevel``: a segment on storage, and one that holds only deletes, which no node serves."""
_USUAL_CAUSES = (
    "the server stopped loading it. Usual causes: not enough memory on the query nodes, or a release by somebody else; the "
    "query coordinator's log has the cause"
)


@dataclass(frozen=True, slots=True)
class InMemory:
    """The load state of a collection or of one partition: its progress in per cent while Loading, and the server's reason for
    NotLoad where it has one."""

    state: str
    progress: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class LoadState(Condition):
    """A collection, or each of the named partitions, is in the ``target_state``: ``Loaded`` or ``NotLoad``.

    Milvus calls a collection Loaded as soon as one partition is loaded, so the state of each named partition is read. With
    ``fail_if_not_loading``, NotLoad means that nobody is loading it, and the condition can never be met.

    :raises MilvusCollectionNotFoundError, MilvusPartitionNotFoundError, MilvusDatabaseNotFoundError: it can never be met.
    """

    collection_name: str
    partition_names: list[str] = field(default_factory=list)
    target_state: str = "Loaded"
    fail_if_not_loading: bool = False
    stall_advice: ClassVar[str] = _STUCK

    @property
    def glanced_at(self) -> str:
        # Of partitions a list tells nothing.
        return "" if self.partition_names else self.collection_name

    def glance(self, percent: int | None) -> Observation | None:
        if percent is None or (percent == 100 and self.target_state == "Loaded"):
            return None
        return Observation(Verdict.NOT_YET, *(("Loaded",) if percent == 100 else ("Loading", percent)))

    def look(self) -> Flow[Observation]:
        states = yield from load_states(self.collection_name, self.partition_names)
        # All partitions must be in the state: the least loaded one decides for Loaded, the most loaded one for NotLoad.
        seen = states[0] if self.target_state == "Loaded" else states[-1]
        if seen.state == self.target_state:
            return Observation(Verdict.MET, seen.state, 100 if seen.state == "Loaded" else None)
        if seen.state == "NotLoad" and self.fail_if_not_loading:
            return Observation(Verdict.NEVER, seen.state, None, seen.reason or NOBODY)
        return Observation(Verdict.NOT_YET, seen.state, seen.progress, seen.reason)


@dataclass(frozen=True)
class LoadFinished(LoadState):
    """A load that this task submitted. It fails when Loading turns into NotLoad, and can be undone.

    ``started``: nothing was in memory before, and this task's request began the load. Only then may it be undone, or be
    released and submitted again after a restart. ``options`` are further fields of that request. ``collection_id`` tells the
    collection from a later one of the same name; 0 where the server tells none. ``aliases`` are those that it had then.

    Where something was in memory before, Milvus says Loaded before it serves what is new (2.3.5 up to ten seconds before). The
    load has ended then when all segments are served that were on storage when it was submitted; ``newest_segment`` is the last
    of them, 0 where nothing was in memory before, and ``None`` where the server does not tell.
    """

    fail_if_not_loading: bool = True
    never_error: ClassVar[type[exceptions.MilvusError]] = exceptions.MilvusLoadFailedError
    can_revive: ClassVar[bool] = True
    started: bool = False
    collection_id: int = 0
    aliases: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    newest_segment: int | None = None

    @property
    def knows_what_is_served(self) -> bool:
        return self.newest_segment is not None

    def look(self) -> Flow[Observation]:
        seen = yield from super().look()
        if seen.verdict is Verdict.MET and self.newest_segment:
            seen = yield from self._served(seen)
        if seen.verdict is Verdict.MET and self.collection_id:
            yield from self._subject.check()
        if seen.verdict is not Verdict.NEVER:
            return seen
        reason = seen.reason if seen.reason != NOBODY else (yield from self._reason())
        return replace(seen, reason=f"{_USUAL_CAUSES}. {reason}".removesuffix(". "))

    @property
    def _subject(self) -> Subject:
        return Subject(self.collection_name, self.collection_id)

    def _served(self, seen: Observation) -> Flow[Observation]:
        on_storage = yield from segments_on_storage(self.collection_name, self.partition_names)
        asked_for = {id: parents for id, parents in (on_storage or {}).items() if id <= (self.newest_segment or 0)}
        serving = yield from _nodes_of_segments(self.collection_name)
        replicas = int(self.options.get("replica_number") or 1)

        def is_served(segment: int) -> bool:
            return serving.get(segment, 0) >= replicas

        # A compacted segment takes over when its index is built; until then those that it was made from are served.
        served = [is_served(id) or (bool(parents) and all(map(is_served, parents))) for id, parents in asked_for.items()]
        if all(served):
            return seen
        progress = 100 * sum(served) // len(served)
        return Observation(Verdict.NOT_YET, seen.state, progress, f"{sum(served)} of {len(served)} segments are served")

    def submit(self) -> Flow[bool]:
        """Submit the load; the server answers before anything is in memory. Returns whether it has answered this request: false
        where the load was seen to be under way without that, so that somebody else may have begun it.

        :raises MilvusReplacedError: the collection was dropped since.
        """
        fields = {**_names(self.collection_name, self.partition_names), **self.options}
        answer = yield Rpc("LoadPartitions" if self.partition_names else "LoadCollection", fields, still=self._is_due)
        return answer is not None

    def _is_due(self, lost: exceptions.MilvusError | None) -> Flow[bool]:
        state = yield from self._state()
        yield from self._subject.check(lost)
        # What is loaded after the server has refused this request is somebody's, and perhaps not as requested.
        return not self.started or state == "NotLoad" or isinstance(lost, PROVES_NOTHING)

    def _state(self) -> Flow[str]:
        """Of the most loaded partition that is named."""
        return (yield from load_states(self.collection_name, self.partition_names))[-1].state

    def revive(self) -> Flow[None]:
        yield from self.undo()
        # Whether the release shows already does not matter.
        yield from replace(self, started=False).submit()

    def undo(self) -> Flow[str]:
        """Release what this load has brought into memory, unless somebody may need it by now."""
        if not self.started:
            return f"{self} was left as it is: it was in memory before this task, or somebody else has begun the load."
        kept = ""

        def is_due(lost: exceptions.MilvusError | None) -> Flow[bool]:
            nonlocal kept
            kept = yield from self._why_keep()
            return not kept

        fields = _names(self.collection_name, self.partition_names)
        answer = yield Rpc("ReleasePartitions" if self.partition_names else "ReleaseCollection", fields, still=is_due)
        return f"{self} was released, since this task started the load." if answer is not None else f"{self} {kept}."

    def _why_keep(self) -> Flow[str]:
        """Why a load must not be taken back (any more); empty: it may be."""
        try:
            state = yield from self._state()
            standing = yield from self._subject.standing()
        except exceptions.MilvusCollectionNotFoundError:
            state, standing = "NotExist", None
        if standing is None:
            return "was dropped meanwhile: there is nothing to release"
        if state == "NotLoad":
            return "is not in memory"
        # A load that has ended may be in use through any alias, and one that has not is meant for those that came since.
        aliases = standing.aliases if state == "Loaded" else sorted(set(standing.aliases) - set(self.aliases))
        if aliases:
            return f"was left to the server: it is {state} by now, and has the alias {', '.join(aliases)}"
        if standing.windows:
            return f"was left to the server: it is {state} by now, and a window needs it: {', '.join(standing.windows)}"
        if state == "Loading":
            return ""
        return "was left in memory: it is Loaded by now, and whether somebody uses it already is not known"

    def _reason(self) -> Flow[str]:
        try:
            yield Rpc("GetLoadingProgress", {"collection_name": self.collection_name})
        except (exceptions.MilvusLoadFailedError, exceptions.MilvusServerError) as error:
            return f"The server says: {error}"
        return ""


@dataclass(frozen=True)
class Refreshed(Condition):
    """A refresh, which brings newly imported rows of a loaded collection into memory, has ended."""

    collection_name: str
    stall_advice: ClassVar[str] = _STUCK

    def look(self) -> Flow[Observation]:
        answer = yield Rpc("GetLoadingProgress", {"collection_name": self.collection_name})
        progress, reason = _read_progress(answer.refresh_progress)
        return Observation(Verdict.MET if progress == 100 else Verdict.NOT_YET, "Refreshing", progress, reason)


def _names(collection_name: str, partition_names: Sequence[str] = ()) -> dict[str, Any]:
    """The fields of a request that name a collection, or partitions of it."""
    return {"collection_name": collection_name, **({"partition_names": partition_names} if partition_names else {})}


def load_states(collection_name: str, partition_names: list[str] | None = None) -> Flow[list[InMemory]]:
    """What is in memory of the collection, or of each named partition, with the least loaded one first.

    :raises MilvusCollectionNotFoundError, MilvusPartitionNotFoundError, MilvusDatabaseNotFoundError: it does not exist.
    """
    if not partition_names:
        return [(yield from _look(_names(collection_name)))]
    # Milvus Lite reports Loaded for a partition that does not exist.
    yield from check_partitions(collection_name, partition_names)
    states = []
    for partition in partition_names:
        states.append((yield from _look(_names(collection_name, [partition]))))
    return sorted(states, key=lambda seen: (LOAD_STATES.index(seen.state), seen.progress or 0))


def load_state(collection_name: str) -> Flow[str]:
    """The load state of a whole collection: Loaded if one partition is in memory.

    :raises MilvusCollectionNotFoundError, MilvusDatabaseNotFoundError: it does not exist.
    """
    (seen,) = yield from load_states(collection_name)
    return seen.state


def _look(subject: dict[str, Any]) -> Flow[InMemory]:
    try:
        state = yield from _state_of(subject)
        if state == "NotExist":
            # NotExist also stands for a missing database, which describe() tells apart; the collection may exist by now.
            yield from describe(subject["collection_name"])
            return InMemory("NotLoad")
        if state != "Loading":
            return InMemory(state)
        return InMemory(state, *_read_progress((yield Rpc("GetLoadingProgress", subject)).progress))
    except exceptions.MilvusLoadFailedError as error:
        # For a day after a load has failed, or until the next one, Milvus 2.4 to 2.6.15 answer with its reason.
        return InMemory("NotLoad", None, f"The server says: {error}")
    except exceptions.MilvusNotLoadedError:
        # It was released, or the load was given up, between the two calls.
        return InMemory("NotLoad")
    except exceptions.MilvusServerError as error:
        # Once 2.3.5 has given up a load, it answers a request for the progress with the reason.
        if (yield from _state_of(subject)) != "NotLoad":
            raise
        return InMemory("NotLoad", None, f"The server says: {error}")


def _read_progress(told: Any) -> tuple[int | None, str]:
    """A progress in per cent, or why there is none."""
    progress = read_percent(told)
    return progress, "" if progress is not None else f"the server tells a progress of {told} %, which cannot be"


def _state_of(subject: dict[str, Any]) -> Flow[str]:
    answer = yield Rpc("GetLoadState", subject)
    return name_of(answer.state, LOAD_STATES, "load")


def segments_on_storage(collection_name: str, partition_names: Sequence[str] = ()) -> Flow[dict[int, list[int]] | None]:
    """The segments on storage with rows in the named partitions, or in all, each with those it was compacted from; ``None``
    where the server does not tell.
    """
    listing = Rpc("GetPersistentSegmentInfo", {"collectionName": collection_name})
    try:
        try:
            answer = yield listing
        except exceptions.MilvusServerError as error:
            if "segment not found" not in str(error):
                raise
            # Milvus 2.3.5 lists segments and then reads each, and one was compacted in between.
            answer = yield listing
    except (exceptions.MilvusUnsupportedError, exceptions.MilvusAuthenticationError):
        return None
    partitions = yield Rpc("ShowPartitions", {"collection_name": collection_name})
    ids = dict(zip(partitions.partitionIDs, partitions.partition_names, strict=True))
    return {
        int(segment.segmentID): list(getattr(segment, "compaction_from", ()))
        for segment in answer.infos
        if segment.state == _FLUSHED
        and segment.num_rows
        and getattr(segment, "level", 0) != _DELETES
        and (not partition_names or ids.get(segment.partitionID) in partition_names)
    }


def _nodes_of_segments(collection_name: str) -> Flow[dict[int, int]]:
    """The number of query nodes that serve a segment, by its id."""
    answer = yield Rpc("GetQuerySegmentInfo", {"collectionName": collection_name})
    nodes: Counter[int] = Counter()
    for segment in answer.infos:
        nodes[int(segment.segmentID)] += len(segment.nodeIds) or 1
    return nodes
