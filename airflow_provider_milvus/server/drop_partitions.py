"""Dropping partitions, as a flow.

A drop deletes the partition's rows. So every partition is looked at once more just before: it is the same one by its id, not in
memory, and has as many rows as before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.flow import Deadline, Flow, Pause, Report, Rpc, after, in_doubt, in_time
from airflow_provider_milvus.client.reads import find, partition_ids, rows_of_partition
from airflow_provider_milvus.client.subject import Standing, Subject, subject_of
from airflow_provider_milvus.client.tries import ONE_TRY, Tries
from airflow_provider_milvus.conditions import load_states
from airflow_provider_milvus.schema.window_marks import RECLAIM_PROPERTY
from airflow_provider_milvus.server.indexes import POLL
from airflow_provider_milvus.server.partitions import check_has_no_key
from airflow_provider_milvus.server.release import Release

_IN_MEMORY = ("Loading", "Loaded")


@dataclass(frozen=True, slots=True)
class PartitionState:
    """A partition at one look. ``partition_id`` is 0 and ``rows`` is ``None`` where the server tells none.

    ``rows`` are those on storage: what is not flushed is not counted by Milvus 2.3.5.
    """

    name: str
    partition_id: int
    state: str
    rows: int | None


@dataclass(frozen=True, slots=True)
class Chosen:
    """A partition that exists, whether it is to go, and why or why not."""

    name: str
    goes: bool
    reason: str


Choose = Callable[[Iterable[str]], list[Chosen]]
"""Chooses among the names of all partitions of a collection."""


@dataclass(slots=True)
class DropReport:
    """What became of the partitions: those that were ``dropped``, or, in a dry run, are to be (``planned``), and why."""

    planned: list[tuple[PartitionState, str]] = field(default_factory=list)
    dropped: list[tuple[PartitionState, str]] = field(default_factory=list)
    kept: list[Chosen] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def keep(self, name: str, reason: str) -> None:
        self.kept.append(Chosen(name, False, reason))


def drop(
    name: str,
    choose: Choose,
    deadline: Deadline,
    *,
    partition_names: Sequence[str] = (),
    planned: Mapping[str, PartitionState] | None = None,
    release: bool,
    drop_aliased: bool,
    dry_run: bool,
    skip_if_missing: bool = False,
    tries: Tries = ONE_TRY,
    report: Report,
) -> Flow[tuple[Subject, DropReport]]:
    """Drop partitions with their rows: those that ``choose`` chooses, and that nothing keeps.

    A partition that is named in ``partition_names`` has to go: what keeps it is an error. One that is ``planned`` goes only if
    it is as it was then. ``release``: one in memory is released first; where the collection has an alias, only with
    ``drop_aliased``. ``tries`` note what each release and drop was meant for.

    :raises MilvusRefusedError: the name is an alias; the collection has a partition key; or something keeps a partition that is
        named. What was dropped before is in the message.
    :raises MilvusCollectionNotFoundError, MilvusDatabaseNotFoundError: it does not exist.
    :raises MilvusPartitionNotFoundError: one that is named does not exist, unless ``skip_if_missing``.
    :raises MilvusInDoubtError: an answer was lost, and the server does not tell one partition from another of its name.
    """
    described = yield from find(name)
    if described is None:
        raise exceptions.MilvusCollectionNotFoundError(
            f"No partition was dropped: there is no collection {name!r}. Check the name and the database."
        )
    subject = subject_of(described)
    check_has_no_key(subject, "dropped")
    first = yield from subject.at_first()
    if first is None:
        raise subject.replaced()
    dropping = _Drop(subject, first, release, drop_aliased, deadline, tries, report)
    done = DropReport()
    existing = yield from partition_ids(subject.name)
    for partition in (*partition_names, *(planned or {})):
        if partition not in existing and not dropping.dropped_before(partition):
            done.missing.append(partition)
    if done.missing and not (skip_if_missing or planned):
        raise exceptions.MilvusPartitionNotFoundError(
            f"No partition of collection {name!r} was dropped: it has no partition {', '.join(map(repr, done.missing))}. "
            "Check partition_names, or set if_missing='skip'."
        )
    going: list[tuple[PartitionState, str]] = []
    for chosen in choose(existing):
        if not chosen.goes:
            done.kept.append(chosen)
            continue
        seen = yield from look(subject, chosen.name, existing[chosen.name])
        reason = dropping.reason_to_keep(seen, (planned or {}).get(chosen.name))
        if reason is None:
            going.append((seen, chosen.reason))
        elif chosen.name in partition_names:
            dropping.look_anew(chosen.name)
            raise _kept(subject, chosen.name, reason)
        else:
            done.keep(chosen.name, reason)
    if dry_run:
        done.planned = going
        return subject, done
    done.dropped += [before for before in dropping.all_dropped_before() if before[0].name not in existing]
    for seen, why in going:
        so_far = f"{len(done.dropped)} partitions of collection {name!r} were dropped before." if done.dropped else ""
        try:
            dropped = yield from after(so_far, dropping.carry_out(seen, why)) if so_far else dropping.carry_out(seen, why)
        except exceptions.MilvusRefusedError as refused:
            if seen.name in partition_names:
                raise
            done.keep(seen.name, str(refused))
        else:
            if dropped:
                done.dropped.append((seen, why))
            elif seen.name in partition_names and not skip_if_missing:
                raise exceptions.MilvusPartitionNotFoundError(
                    f"Partition {seen.name!r} of collection {name!r} was not dropped: it does not exist any more. Somebody "
                    f"else has dropped it just now. {so_far}".rstrip()
                )
            else:
                done.missing.append(seen.name)
    return subject, done


def look(subject: Subject, partition_name: str, partition_id: int) -> Flow[PartitionState]:
    """A partition's load state and its rows now."""
    rows = yield from rows_of_partition(subject.name, partition_name)
    (seen,) = yield from load_states(subject.name, [partition_name])
    return PartitionState(partition_name, partition_id, seen.state, rows)


def _kept(subject: Subject, partition_name: str, reason: str) -> exceptions.MilvusRefusedError:
    return exceptions.MilvusRefusedError(
        f"Partition {partition_name!r} of collection {subject.name!r} was not dropped: {reason}."
    )


@dataclass(slots=True)
class _Drop:
    """The drops of one task, and what its tries know of them."""

    subject: Subject
    first: Standing
    release: bool
    drop_aliased: bool
    deadline: Deadline
    tries: Tries
    report: Report
    _notes: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self._notes = dict(self.tries.earlier or {"collection_id": self.subject.collection_id})
        if self._notes["collection_id"] != self.subject.collection_id:
            raise self.subject.replaced_between_tries("Partitions of that one were to be dropped, and may have been.")

    def look_anew(self, partition_name: str) -> None:
        """No retry follows, and whoever clears the task has looked: the partition is as it is then."""
        for what in ("seen", "drop"):
            self._notes.pop(f"{what} {partition_name}", None)
        self.tries.leave(self._notes)

    def all_dropped_before(self) -> list[tuple[PartitionState, str]]:
        """The partitions of which an earlier try has sent the drop, as that try saw them, and why."""
        noted = {key.removeprefix("drop "): note for key, note in self._notes.items() if key.startswith("drop ")}
        return [(PartitionState(name, id, "NotExist", rows), why) for name, (id, rows, why) in noted.items()]

    def dropped_before(self, partition_name: str) -> bool:
        """Whether an earlier try has sent its drop."""
        return f"drop {partition_name}" in self._notes

    def reason_to_keep(self, seen: PartitionState, planned: PartitionState | None) -> str | None:
        """Why a partition has to stay, or ``None``."""
        noted = self._notes.get(f"drop {seen.name}")
        if noted is not None and noted[0] != seen.partition_id:
            return "it was dropped by an earlier try of this task, and another one has its name now"
        if noted is not None and not seen.partition_id:
            raise exceptions.MilvusInDoubtError(
                f"Partition {seen.name!r} of collection {self.subject.name!r} may have been dropped: an earlier try of this "
                "task has sent its drop. There is one of that name, which was left alone, since this server does not tell "
                "whether it is the same. Look at it, and clear the task to have it dropped."
            )
        if planned is not None and planned.partition_id != seen.partition_id:
            return "it is another one than the one in the plan"
        if planned is not None and planned.rows != seen.rows:
            return f"it has {seen.rows} rows, and had {planned.rows} in the plan"
        first = self._notes.setdefault(f"seen {seen.name}", [seen.partition_id, seen.rows])
        if first[0] != seen.partition_id:
            return "it is another one than the one that an earlier try of this task saw"
        if first[1] != seen.rows:
            return f"it has {seen.rows} rows, and had {first[1]} when an earlier try of this task looked at it"
        if seen.state not in _IN_MEMORY:
            return None
        if seen.state == "Loading":
            return "it is being loaded"
        if not self.release:
            return "it is in memory, where searches may use it: release it first, or set release=True"
        return self._needed_in_memory(self.first)

    def _needed_in_memory(self, standing: Standing) -> str | None:
        if standing.windows:
            return f"a window (milvus_loaded) needs it in memory: {', '.join(standing.windows)}"
        if value := standing.properties.get(RECLAIM_PROPERTY, "").strip():
            return f"it is in memory, and the collection's property {RECLAIM_PROPERTY} is {value!r}"
        if standing.aliases and not self.drop_aliased:
            aliases = ", ".join(map(repr, standing.aliases))
            return f"it is in memory, and searches through the alias {aliases} use it: set drop_aliased=True if it is to go"
        return None

    def carry_out(self, seen: PartitionState, why: str) -> Flow[bool]:
        """Release it where that is asked for, drop it, and see it gone. Returns whether a drop was sent."""
        if seen.state not in _IN_MEMORY:
            return (yield from self._drop(seen, why, may_be_in_memory=False))
        if not (yield from self._released(seen.name)):
            return (yield from self._drop(seen, why, may_be_in_memory=True))
        released = f"Partition {seen.name!r} of collection {self.subject.name!r} was released before."
        return (yield from after(released, self._drop(seen, why, may_be_in_memory=False)))

    def _drop(self, seen: PartitionState, why: str, *, may_be_in_memory: bool) -> Flow[bool]:
        subject, name, sent = self.subject, seen.name, False

        def is_due(lost: exceptions.MilvusError | None) -> Flow[bool]:
            nonlocal sent
            standing = yield from subject.standing()
            if standing is None:
                raise subject.replaced(lost)
            if reason := standing.came_after(self.first.aliases, self.first.windows):
                raise _kept(subject, name, reason)
            if not may_be_in_memory and (yield from self._is_in_memory(name)):
                raise _kept(subject, name, "somebody has loaded it since this task looked at it")
            # Last of all, so that what has come meanwhile is seen.
            now = (yield from partition_ids(subject.name)).get(name)
            if now is None:
                return False
            if now != seen.partition_id:
                raise _kept(subject, name, "somebody has dropped it, and another one has its name now")
            if lost is not None and not now:
                raise in_doubt(lost, "There is a partition of that name, and this server does not tell whether it is the same.")
            rows = yield from rows_of_partition(subject.name, name)
            if rows != seen.rows:
                raise _kept(subject, name, f"it has {rows} rows, and had {seen.rows} when this task looked at it first")
            sent = True
            return True

        call = Rpc("DropPartition", {"collection_name": subject.name, "partition_name": name}, still=is_due)
        answer = yield from self._tries_of(f"drop {name}").send(call, lambda: [seen.partition_id, seen.rows, why])
        if answer is not None:
            gone = _see_gone(subject, seen)
            yield from in_time(gone, f"The server has answered the drop of partition {name!r}, and shows it still")
        self.report(f"Partition {name!r} of collection {subject.name!r} does not exist any more.")
        return sent

    def _is_in_memory(self, name: str) -> Flow[bool]:
        try:
            (seen,) = yield from load_states(self.subject.name, [name])
        except exceptions.MilvusPartitionNotFoundError:
            return False
        return seen.state in _IN_MEMORY

    def _released(self, name: str) -> Flow[bool]:
        """Release a partition. Returns false where the server cannot: Milvus Lite drops it in memory."""

        def unless(standing: Standing) -> str | None:
            return self._needed_in_memory(standing) or standing.came_after(self.first.aliases, self.first.windows)

        releasing = Release(self.subject, [name], False, unless, self.report, self._tries_of(f"release {name}"))
        try:
            released = yield from releasing.carry_out(self.deadline)
        except exceptions.MilvusUnsupportedError:
            self.report(f"This server releases no single partition: {name!r} is dropped in memory.")
            return False
        if released.loaded_since:
            raise _kept(self.subject, name, "it was released, and somebody has loaded it since")
        return True

    def _tries_of(self, change: str) -> Tries:
        """The tries of one change, whose note is one of all notes of the task."""

        def with_note(note: Any) -> dict[str, Any]:
            self._notes = {key: known for key, known in self._notes.items() if key != change}
            self._notes |= {} if note is None else {change: note}
            return self._notes

        return Tries(
            self._notes.get(change),
            lambda note: self.tries.note(with_note(note)),
            lambda note: self.tries.leave(with_note(note)),
        )


def _see_gone(subject: Subject, seen: PartitionState) -> Flow[None]:
    while (yield from subject.look()) is not None:
        now = (yield from partition_ids(subject.name)).get(seen.name)
        # Without ids, what has the name after the answer is another one.
        if now is None or now != seen.partition_id or not now:
            return
        yield Pause(POLL)
