"""Taking a collection, or some of its partitions, out of memory, as a flow.

A task succeeds when the server reports NotLoad. What somebody loads after a release stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.flow import Ask, Deadline, Flow, Pause, Report, Rpc, in_doubt
from airflow_provider_milvus.client.reads import replicas
from airflow_provider_milvus.client.subject import Subject, Unless, find_subject
from airflow_provider_milvus.client.tries import ONE_TRY, Tries
from airflow_provider_milvus.conditions import InMemory, load_states

RELEASE_ATTEMPT = 30.0
"""Seconds to wait for the answer to a release before it is looked for: 2.3.5 does one at a time, and forgets a queued one whose
caller has stopped waiting."""
RELEASE_POLL = 0.5
SHOWN_WITHIN = 3.0
"""Seconds within which a server shows a release that it has answered, or whose answer was lost."""

_GONE = InMemory("NotExist")


@dataclass(frozen=True, slots=True)
class Memo:
    """What a later try has to know of a release: the collection, and its replicas, and who needed it at the first look."""

    name: str
    partitions: list[str]
    collection_id: int
    aliases: list[str]
    windows: list[str]
    replicas: list[int]


@dataclass(frozen=True, slots=True)
class Released:
    """A release that is done: the load state before and after.

    ``state`` is not NotLoad where somebody has loaded the collection since, or has dropped it. ``sent`` is false where there
    was nothing to release. ``groups`` has the resource group of each replica that was in memory.
    """

    collection: str
    previous_state: str
    state: str
    alias: str | None = None
    sent: bool = False
    groups: tuple[str, ...] = ()

    @property
    def loaded_since(self) -> bool:
        return self.sent and self.state in ("Loading", "Loaded")


def release(
    name: str,
    deadline: Deadline,
    *,
    partition_names: list[str] | None = None,
    skip_if_missing: bool = False,
    allow_alias: bool = False,
    force: bool = False,
    unless: Unless | None = None,
    tries: Tries = ONE_TRY,
    report: Report,
) -> Flow[Released]:
    """Release a collection, or some of its partitions, and return when the server reports NotLoad.

    A collection that is not loaded is left alone and counts as done. What somebody loads after the server has answered the
    release is left alone, too. Without ``unless`` an alias or a window that comes while this works keeps the collection.
    ``tries`` note a :class:`Memo` just before it is sent.

    :raises MilvusCollectionNotFoundError: it does not exist, unless ``skip_if_missing``.
    :raises MilvusRefusedError: ``name`` is an alias, without ``allow_alias``; the collection is being loaded, without
        ``force``; it was loaded anew; or ``unless`` gave a reason. Nothing was changed.
    :raises MilvusTimeoutError, MilvusUnavailableError: the server did not report NotLoad in time; it may still release the
        collection.
    :raises MilvusInDoubtError: the answer was lost, and the server does not tell a load from a later one of somebody's.
    """
    try:
        subject = yield from find_subject(name)
    except exceptions.MilvusCollectionNotFoundError:
        if not skip_if_missing:
            raise
        report(f"Collection {name!r} does not exist: nothing to release.")
        return Released(name, "NotExist", "NotExist")
    if subject.alias and not allow_alias:
        raise exceptions.MilvusRefusedError(
            f"Collection {subject.name!r} was not released: {name!r} is an alias of it, and whoever searches through the alias "
            "would fail. Name the collection itself, or set allow_alias=True."
        )
    releasing = Release(subject, list(partition_names or ()), force, unless, report, tries)
    return (yield from releasing.carry_out(deadline))


def release_subject(
    subject: Subject,
    deadline: Deadline,
    *,
    force: bool = False,
    unless: Unless,
    tries: Tries = ONE_TRY,
    report: Report,
) -> Flow[Released]:
    """As :func:`release`, of this collection and no other one of its name. One that does not exist any more is left at that."""
    return (yield from Release(subject, [], force, unless, report, tries).carry_out(deadline))


@dataclass(slots=True)
class Release:
    """One release of this collection and no other one of its name, and what its looks have seen.

    :meth:`carry_out` is all of it. Who releases many sends each, and looks at all that were answered at once.
    """

    subject: Subject
    partition_names: list[str]
    force: bool
    unless: Unless | None
    report: Report
    tries: Tries
    meant: Sequence[int] = ()
    """The ids of the replicas that are meant: what was loaded since these were seen stays."""
    shared: Ask | None = None
    """A look that others share. Its answer is the :class:`Standing` and the replicas of a collection that is Loaded; ``None``:
    it is not, or that is not known."""
    _memo: Memo = field(init=False)
    _earlier: Memo | None = field(init=False, default=None)
    _before: InMemory = field(init=False, default=_GONE)
    _seen: InMemory = field(init=False, default=_GONE)
    _load: Mapping[int, str] = field(init=False, default_factory=dict)
    """The replicas before the release: they tell the load that is to go from a later one."""
    _sent: bool = field(init=False, default=False)

    def _begin(self) -> Flow[None]:
        """Look who needs the collection. Whoever comes from now on keeps it; in a later try, from the first one's look on.

        :raises MilvusReplacedError: the collection that an earlier try has released does not exist any more.
        """
        aliases, windows = [], []
        if self.unless is None and (first := (yield from self.subject.at_first())) is not None:
            aliases, windows = first.aliases, first.windows
        self._memo = memo = Memo(self.subject.name, self.partition_names, self.subject.collection_id, aliases, windows, [])
        earlier = Memo(**self.tries.earlier) if self.tries.earlier else None
        if earlier is not None and (earlier.name, earlier.partitions) == (memo.name, memo.partitions):
            self._memo = self._earlier = earlier
            if earlier.collection_id != memo.collection_id:
                raise self.subject.replaced("An earlier try of this task had sent its release.")

    def carry_out(self, deadline: Deadline) -> Flow[Released]:
        """Send it, and see it on the server."""
        if (yield from self.send(deadline)):
            yield from self.see()
        released = self.outcome()
        if released.loaded_since:
            self.report(
                f"Collection {self.subject.name!r} was released, and somebody has loaded it since: it is {released.state}."
            )
        return released

    def send(self, deadline: Deadline) -> Flow[bool]:
        """Look, and send it. Returns whether the server has answered it; where not, there is nothing (more) to release."""
        yield from self._begin()
        fields: dict[str, Any] = {"collection_name": self.subject.name}
        if self.partition_names:
            fields["partition_names"] = self.partition_names
        # At most half of the time: a server that works through a queue has to be watched afterwards.
        within = min(RELEASE_ATTEMPT, deadline.remaining / 2)
        call = Rpc("ReleasePartitions" if self.partition_names else "ReleaseCollection", fields, within, still=self._still)
        answer = yield from self.tries.send(call, lambda: asdict(replace(self._memo, replicas=list(self._load))))
        if answer is None and not self._sent:
            name, reason = self.subject.name, self._seen.reason
            self.report(f"Collection {name!r} is not in memory: nothing to release. {reason}".rstrip())
        return answer is not None

    def outcome(self, state: str | None = None) -> Released:
        """The release as it was seen last, or with the load ``state`` that somebody else has seen since."""
        groups = tuple(sorted(self._load.values()))
        return Released(
            self.subject.name, self._before.state, state or self._seen.state, self.subject.alias, self._sent, groups
        )

    def _still(self, lost: exceptions.MilvusError | None) -> Flow[bool]:
        if self.shared is not None and not self._sent and (yield from self._may_go(self.shared)):
            return True
        seen = yield from self._look()
        if not self._sent:
            self._before = self._seen
            self._load = (yield from replicas(self.subject.name)) or {} if self._is_in_memory else {}
            if self.meant and self._load and self._load.keys().isdisjoint(self.meant):
                raise exceptions.MilvusRefusedError(
                    f"Collection {self.subject.name!r} was not released: somebody has loaded it since this task looked at it."
                )
        if not self._is_in_memory:
            return False
        if self._earlier is not None and lost is None and not self._sent:
            self._load = dict.fromkeys(self._earlier.replicas, "") or self._load
            self._sent = True
            lost = exceptions.MilvusTimeoutError(
                f"An earlier try of this task did not see the end of its release of collection {self.subject.name!r}."
            )
        anew = (yield from self._is_shown()) if lost is not None else False
        seen = self._seen.state
        if anew or not self._is_in_memory:
            return False
        if seen == "Loading" and not self.force:
            raise exceptions.MilvusBeingLoadedError(
                f"Collection {self.subject.name!r} was not released: it is being loaded, and whoever waits for the load would "
                "fail. Wait for the load to end, or set force=True."
            )
        # Last of all, so that what has come meanwhile is seen.
        standing = yield from self.subject.standing()
        if standing is None:
            self._seen = _GONE
            return False
        if self.unless is not None:
            reason = self.unless(standing)
        else:
            reason = standing.came_after(self._memo.aliases, self._memo.windows)
        if reason is not None:
            raise exceptions.MilvusRefusedError(f"Collection {self.subject.name!r} was not released: {reason}.")
        if anew is None and lost is not None and self._before.state != "Loading":
            raise in_doubt(lost, f"It is {seen}, and the server does not tell whether somebody has loaded it since.")
        self._sent = True
        return True

    def _may_go(self, shared: Ask) -> Flow[bool]:
        """Whether nothing speaks against it, by a shared look. Where something does, looks of its own say what."""
        looked = yield shared
        if looked is None:
            return False
        standing, load = looked
        is_meant = not self.meant or not load.keys().isdisjoint(self.meant)
        if not is_meant or (self.unless is not None and self.unless(standing) is not None):
            return False
        self._before = self._seen = InMemory("Loaded", 100)
        self._load, self._sent = load, True
        return True

    @property
    def _is_in_memory(self) -> bool:
        return self._seen.state in ("Loading", "Loaded")

    def _look(self) -> Flow[str]:
        try:
            states = yield from load_states(self.subject.name, self.partition_names)
            # Partitions are in memory if one of them is, and are being loaded if one of them is.
            self._seen = next((seen for seen in states if seen.state == "Loading"), states[-1])
        except exceptions.MilvusCollectionNotFoundError:
            self._seen = _GONE
        return self._seen.state

    def _is_shown(self) -> Flow[bool | None]:
        """Give a release whose answer was lost the time to be seen; return whether what is in memory then was loaded since.

        2.3.5 forgets a release in its queue whose caller has stopped waiting, or carries it out a moment later. And a server
        that comes back after a restart says Loading for what it had in memory.
        """
        waited = 0.0
        while True:
            anew = yield from self._is_loaded_anew()
            comes_back = anew is None and self._seen.state == "Loading" and self._before.state == "Loaded"
            if anew or not self._is_in_memory or (waited >= SHOWN_WITHIN and not comes_back):
                return anew
            yield Pause(RELEASE_POLL)
            waited += RELEASE_POLL
            yield from self._look()

    def _is_loaded_anew(self) -> Flow[bool | None]:
        """Whether what is in memory now was loaded after the release; ``None`` where the server does not tell."""
        if (yield from self.subject.look()) is None:
            self._seen = _GONE
            return True
        now = yield from replicas(self.subject.name)
        if not self._load or not now:
            return None
        if self._load.keys().isdisjoint(now):
            return True
        # Replicas outlive the release of some partitions.
        return None if self.partition_names else False

    def see(self) -> Flow[None]:
        """Wait until the server shows a release that it has answered; what is in memory after that was loaded since."""
        waited = 0.0
        try:
            while (yield from self._look()) and self._is_in_memory:
                anew = yield from self._is_loaded_anew()
                if anew is None and self._before.state != "Loading":
                    # What was Loaded, and is Loading now, is loaded by somebody. Nothing else tells without ids of replicas.
                    anew = self._seen.state == "Loading" or (not self._tells_loads_apart and waited >= SHOWN_WITHIN)
                if anew:
                    return
                yield Pause(RELEASE_POLL)
                waited += RELEASE_POLL
        except (exceptions.MilvusTimeoutError, exceptions.MilvusUnavailableError) as error:
            raise type(error)(
                f"Collection {self.subject.name!r} was still {self._seen.state} when it was seen last, although the server has "
                f"answered its release. {error} The server may still be releasing it: it does one at a time. Raise timeout, or "
                "release fewer at once."
            ) from None

    @property
    def _tells_loads_apart(self) -> bool:
        return bool(self._load) and not self.partition_names
