"""Playing a case: the tasks run as Airflow runs them, tries and deferrals included, and somebody acts at one moment."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from importlib import import_module
from itertools import count
from typing import Any

from airflow.providers.common.compat.sdk import TaskDeferred

from dev.meanwhile.acts import ACTS, Place
from dev.meanwhile.moments import (
    ANSWERED,
    BETWEEN_TASKS,
    CHANGES,
    LOST,
    NOT_CARRIED_OUT,
    NOT_TAKEN,
    TRIES,
    TRIES_FORGOTTEN,
    TRIES_LATE,
    TRIES_LOST,
    TRIES_NOT_CARRIED_OUT,
    Moment,
)
from dev.meanwhile.world import DATABASE, World, seen
from dev.servers.dialects import Dialect, Refusal
from dev.servers.process import sockets_to
from dev.servers.scripted import SILENCE, Collection, Database, ScriptedMilvus, Step, abort
from dev.tries.airflow import RUN, STATES, TaskState, Variables, context_of

SECRET = "canary-9f3c-of-the-connection"
"""The password of every connection. No message and no result has it."""
TIMEOUT = 20.0
"""Seconds for a task that has to end by itself."""
SHORT_TIMEOUT = 0.6
"""Seconds for a try that has to time out."""
KILLED = "killed"
DESCRIBES = ("DescribeCollection", "BatchDescribeCollection", "DescribeDatabase")
_EVERYTHING = 0
"""The type of a ShowCollections that lists all, and not what is in memory."""
_ENVIRONMENT = os.environ._data  # type: ignore[attr-defined]
"""What Python knows of the environment. ``os.environ[…] = …`` would change the process's own as well, which gRPC's threads read
meanwhile: a process of plays crashed in ``getenv``."""
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Answered:
    """A changing call that was carried out for the task, and whether its answer was sent."""

    rpc: str
    request: bytes
    collection: str
    number: int
    """The collection's id."""
    task: int
    attempt: int
    answered: bool


class Observed(ScriptedMilvus):
    """Remembers which changes it has carried out. It is ``silent`` for a while, or refuses every call while it is ``shut``, as
    for a token that has expired."""

    def __init__(self, dialect: Dialect) -> None:
        super().__init__(dialect)
        self.shut = False
        self.silent_until = 0.0
        self.broken: Exception | None = None
        """What went wrong in the stand-in itself."""
        self.part = (1, 1)
        """The task, and its try, that calls now."""
        self.carried_out: list[Answered] = []
        self.on_call: Callable[[str, int], object] = lambda rpc, number: None
        """Called before and after each call is carried out."""

    def answer(self, rpc: str, request: Any, context: Any) -> Any:
        while time.monotonic() < self.silent_until and context.is_active():
            self.pause(0.05, context)
        if self.shut:
            abort("UNAUTHENTICATED", "auth check failure, please check token")(self, request, context)
        before, task_and_try = len(self.carried_out), self.part
        number = len(self.received(rpc))
        self.on_call(rpc, number)
        answer = super().answer(rpc, request, context)
        self.on_call(rpc, number)
        if rpc in CHANGES and len(self.carried_out) > before and context.is_active():
            last = self.carried_out[-1]
            if last.rpc == rpc and (last.task, last.attempt) == task_and_try:
                object.__setattr__(last, "answered", True)
        return answer

    def carry_out(self, request: Any) -> Any:
        names = _names(request)
        found = self._held(names[0])
        try:
            answer = super().carry_out(request)
        except Exception as error:
            self.broken = error
            raise
        rpc = type(request).__name__.removesuffix("Request")
        if rpc in CHANGES and not isinstance(answer, Refusal) and answer is not NotImplemented:
            there = found or self._held(names[0])
            sent, number = request.SerializeToString(deterministic=True), there.number if there else 0
            self.carried_out.append(Answered(rpc, sent, names[0], number, *self.part, False))
        return answer

    def _held(self, name: str) -> Collection | Database | None:
        return self.collections.get(name) or self.databases.get(name)


@dataclass(slots=True)
class Played:
    """What became of a case. ``calls`` and ``pauses`` are those of all tasks.

    ``effects``: where nobody acts, which acts would have changed something, before and after each call, and at each pause.
    ``acted_at``: the number of calls and of changes carried out when somebody acted.
    """

    result: Any = None
    error: BaseException | None = None
    first_error: BaseException | None = None
    calls: list[str] = field(default_factory=list)
    pauses: list[str] = field(default_factory=list)
    carried_out: list[Answered] = field(default_factory=list)
    found: World = field(default_factory=dict)
    before_act: World = field(default_factory=dict)
    after_act: World = field(default_factory=dict)
    after: World = field(default_factory=dict)
    acted_at: tuple[int, int] | None = None
    struck: str = ""
    """The collection of the call at which somebody acted."""
    told_id: bool = False
    """Whether the server has told the task the collection's id before somebody acted."""
    changed_next: bool = False
    """Whether the task's next call on the collection, but for load states, is a change: it had looked when somebody acted."""
    looked_since: bool = False
    """Whether the task has asked for the load state of the collection on which somebody has acted."""
    unbounded: set[str] = field(default_factory=set)
    """The calls that came without a deadline."""
    notes_left: list[str] = field(default_factory=list)
    """Notes for a retry that a task has left behind which succeeded."""
    channels: int = 0
    """Connections to the server that are left open."""
    then: dict[str, World] = field(default_factory=dict)
    """Where nobody acts: what the server would hold if somebody acted at the end."""
    effects: dict[tuple[str, int], list[frozenset[str]]] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def acted(self) -> bool:
        """Whether somebody's act changed something."""
        return self.acted_at is not None and self.before_act != self.after_act


class Stage:
    """One play: a server, a connection to it, and what happens when."""

    def __init__(self, server: Observed, *, moment: Moment | None = None, act: str = "", subject: str, alias: str = "") -> None:
        self.server, self.moment, self.act = server, moment, act
        self.played = Played()
        self._place = Place(server, subject, alias)
        self._id = f"meanwhile_{next(_numbers)}"
        self._tasks = 0
        self._fails = False
        self._connection = f"AIRFLOW_CONN_{self._id.upper()}"
        connection = {"conn_type": "milvus", "login": "u", "password": SECRET, "extra": {"uri": server.uri, "timeout": TIMEOUT}}
        _ENVIRONMENT[os.environ.encodekey(self._connection)] = os.environ.encodevalue(json.dumps(connection))
        if moment is None and not act:
            server.on_call = self._note_effects
        if moment is not None and moment.rpc:
            server.next(moment.rpc, *[_as_ever] * moment.number, self._step(moment))

    def close(self) -> None:
        del _ENVIRONMENT[os.environ.encodekey(self._connection)]

    def run(self, kind: type, *, killed: str = "", **arguments: Any) -> Any:
        """Run a task to its end, with a second try where the moment is between two; return its result.

        With ``killed`` its trigger's ``on_kill`` is called, as when the task is in this state.
        """
        self._tasks += 1
        state = TaskState({})
        for attempt in (1, 2):
            self.server.part = (self._tasks, attempt)
            given = {"timeout": TIMEOUT, **arguments}
            is_late = self.moment is not None and self.moment.kind in (TRIES_LATE, TRIES_FORGOTTEN) and attempt == 1
            if is_late:
                given["timeout"] = SHORT_TIMEOUT
            try:
                result = self._run_once(kind, given, context_of(self._id, f"task_{self._tasks}", state, attempt), killed=killed)
                if result != KILLED:
                    self.played.notes_left += [*state, *(key for key in Variables.kept if self._id in key and RUN in key)]
                return result
            except Exception as error:
                if not self._fails:
                    raise
                self._fails, self.server.shut, self.server.silent_until = False, False, 0.0
                self.played.first_error = error
                self.do_act()
        raise AssertionError("a second try ends")

    def pause(self, kind: str = "task") -> None:
        """Between two tasks, or between the parts of one (``"deferred"``)."""
        number = len(self.played.pauses)
        self.played.pauses.append(kind)
        self._note_effects("", number)
        if self.moment is not None and self.moment.kind == BETWEEN_TASKS and self.moment.number == number:
            self.do_act()

    def _note_effects(self, rpc: str, number: int) -> None:
        if not self.act:
            with self.server.lock:
                self.played.effects.setdefault((rpc, number), []).append(self._effective())

    def _effective(self) -> frozenset[str]:
        """The acts that would change something now."""
        now = seen(self.server)
        return frozenset(act for act, world in self.worlds_after().items() if world != now)

    def worlds_after(self) -> dict[str, World]:
        """What the server would hold after each act."""
        with self.server.lock:
            collections, databases, loads = self.server.collections, self.server.databases, self.server.loads
            worlds = {}
            for name, act in ACTS.items():
                self.server.collections, self.server.databases = deepcopy((collections, databases))
                act(self._place)
                worlds[name] = seen(self.server)
            self.server.collections, self.server.databases, self.server.loads = collections, databases, loads
            return worlds

    def do_act(self) -> None:
        with self.server.lock:
            if self.played.acted_at is None:
                self.played.before_act = seen(self.server)
                ACTS[self.act](self._place)
                self.played.after_act = seen(self.server)
                self.played.acted_at = (len(self.server.calls), len(self.server.carried_out))

    def _run_once(self, kind: type, arguments: dict[str, Any], context: dict[str, Any], *, killed: str) -> Any:
        def task() -> Any:
            return kind(task_id=f"task_{self._tasks}", milvus_conn_id=self._id, **arguments)

        try:
            result = task().execute(context)
        except TaskDeferred as deferred:
            waiting = deferred
        else:
            return json.loads(json.dumps(result))
        while True:
            self.pause("deferred")
            trigger = _rebuilt(waiting.trigger, context)
            if killed:
                STATES[self._id] = killed
                asyncio.run(trigger.on_kill())
                return KILLED
            event = asyncio.run(_event_of(trigger))
            self.pause("deferred")
            try:
                result = task().resume_execution(waiting.method_name, {"event": event}, context)
            except TaskDeferred as again:
                waiting = again
            else:
                return json.loads(json.dumps(result))

    def _step(self, moment: Moment) -> Step:
        def step(server: ScriptedMilvus, request: Any, context: Any) -> Any:
            kind = moment.kind
            answer = None
            names = _names(request)
            self.played.struck = self._place.collection if self._place.collection in names else names[0]
            if kind in (LOST, ANSWERED, TRIES_LOST, TRIES_LATE):
                answer = server.carry_out(request)
            if kind in TRIES:
                self._fails = True
                self.server.shut = True
            else:
                self.do_act()
            if kind in (LOST, NOT_CARRIED_OUT, TRIES_LOST, TRIES_NOT_CARRIED_OUT):
                abort("UNAVAILABLE", "Socket closed")(server, request, context)
            if kind in (TRIES_LATE, TRIES_FORGOTTEN):
                self.server.silent_until = time.monotonic() + SHORT_TIMEOUT + 0.1
                server.pause(SILENCE, context)
            if kind == TRIES_FORGOTTEN:
                return Refusal(65535, "proxy TaskCondition context Done")
            return Refusal(8, "rate limit exceeded[rate=0.1]") if kind == NOT_TAKEN else answer

        return step


def _as_ever(server: ScriptedMilvus, request: Any, context: Any) -> None:
    """The model's own answer."""


def _rebuilt(trigger: Any, context: dict[str, Any]) -> Any:
    """The trigger as a triggerer makes it."""
    path, arguments = trigger.serialize()
    module, _, name = path.rpartition(".")
    rebuilt = getattr(import_module(module), name)(**json.loads(json.dumps(arguments)))
    with suppress(AttributeError):
        rebuilt.task_instance = context["ti"]
    return rebuilt


def _names(request: Any) -> list[str]:
    """The collections that a call names, or the database that it is about."""
    named = getattr(request, "collection_names", None) or getattr(request, "collection_name", "")
    if not named and getattr(request, "db_name", "") != "default":
        named = getattr(request, "db_name", "")
    return [named] if isinstance(named, str) else list(named)


def _tells_id(call: Any, subject: str) -> bool:
    if call.name == "ShowCollections":
        return bool(call.request.type == _EVERYTHING)
    if call.name == "ListDatabases":
        return subject == DATABASE
    return call.name in DESCRIBES and subject in _names(call.request)


def _tells_state(call: Any, subject: str) -> bool:
    if call.name == "ShowCollections":
        return bool(call.request.type != _EVERYTHING)
    return call.name == "GetLoadState" and subject in _names(call.request)


def _open_channels(port: int) -> int:
    """The connections to a port that are left; one that is just being closed is waited for."""
    end = time.monotonic() + 10.0
    while left := sockets_to(port):
        if time.monotonic() > end:
            return left
        time.sleep(0.01)
    return 0


async def _event_of(trigger: Any) -> Any:
    (event,) = [each async for each in trigger.run()]
    return json.loads(json.dumps(event.payload))


def play(
    perform: Callable[[Stage], Any],
    prepare: Callable[[ScriptedMilvus], None],
    dialect: Dialect,
    *,
    moment: Moment | None = None,
    act: str = "",
    subject: str,
    alias: str = "",
) -> Played:
    """Play a scenario once. Without a ``moment`` somebody acts before the first task, or there is no ``act``."""
    server = Observed(dialect)
    server.start()
    stage = Stage(server, moment=moment, act=act, subject=subject, alias=alias)
    played = stage.played
    began = time.monotonic()
    try:
        prepare(server)
        played.found = seen(server)
        if act and moment is None:
            stage.do_act()
        try:
            played.result = perform(stage)
        except Exception as error:  # noqa: BLE001  # what a task may raise is what is judged
            played.error = error
        if server.broken is not None:
            raise server.broken
        played.after = seen(server)
        if not act:
            played.then = stage.worlds_after()
    finally:
        played.seconds = time.monotonic() - began
        played.calls = [call.name for call in server.calls]
        before, since = server.calls[:0], server.calls[:0]
        if played.acted_at is not None:
            # The last one before is that at which somebody acts: its answer comes afterwards.
            before, since = server.calls[: played.acted_at[0] - 1], server.calls[played.acted_at[0] :]
        next_calls = [call.name for call in since if subject in _names(call.request)]
        played.changed_next = next((name for name in next_calls if name in (*CHANGES, *DESCRIBES)), "") in CHANGES
        if played.acted_at is not None:
            # Of two calls at once, the server may have received a change before somebody acts at the other, and make it after.
            received = sum(
                call.name in CHANGES and subject in _names(call.request) for call in server.calls[: played.acted_at[0]]
            )
            made = sum(change.collection == subject for change in server.carried_out[: played.acted_at[1]])
            played.changed_next = played.changed_next or received > made
        played.told_id = any(_tells_id(call, subject) for call in before)
        played.looked_since = any(_tells_state(call, subject) for call in since)
        played.unbounded = {call.name for call in server.calls if call.time_left is None}
        # Only where nobody acts: then this is the only event loop, and gRPC's loops in several threads close at leisure.
        played.channels = 0 if act else _open_channels(server.port)
        played.carried_out = server.carried_out
        stage.close()
        server.stop()
    return played
