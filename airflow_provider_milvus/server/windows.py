"""Opening and closing a window, as flows. A window is the time in which some tasks need a collection in memory.

An open window leaves a mark on the collection, in one of a few properties. AlterCollection leaves the properties alone that it
does not name, so windows that open at the same moment do not overwrite each other. The last window to close releases what
windows loaded. Milvus cannot look and change in one step, so every race is decided for memory: a collection that another window
needs stays in memory, or is loaded again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.flow import Deadline, Flow, Report, Rpc
from airflow_provider_milvus.client.subject import Standing, Subject, find_subject
from airflow_provider_milvus.client.tries import ONE_TRY, Tries
from airflow_provider_milvus.conditions import LoadFinished, load_state
from airflow_provider_milvus.schema.pairs import from_pairs, to_pairs
from airflow_provider_milvus.schema.window_marks import Mark, Marks, marks_of, open_windows, properties_of, property_of
from airflow_provider_milvus.server.load import Submitted, placement, submit_load
from airflow_provider_milvus.server.release import release_subject

log = logging.getLogger(__name__)

CLOSE_WITHIN = 30.0
"""Seconds to close the window of a load that has failed or was killed."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The collection after a window has closed. ``reason`` says why it was released, or why not."""

    collection: str
    state: str
    released: bool
    reason: str


@dataclass(frozen=True)
class WindowLoad(LoadFinished):
    """The load of a window, which is closed when the task is killed or fails."""

    window: str = ""
    previous_state: str = "unknown"

    def undo(self) -> Flow[str]:
        """Close the window."""
        deadline = Deadline(CLOSE_WITHIN)
        closing = close_window(
            self.collection_name,
            self.window,
            deadline,
            now=time.time(),
            previous_state=self.previous_state,
            aliases=self.aliases,
            force=True,
            report=log.info,
        )
        closed = yield from closing
        return f"The window was closed. Collection {closed.collection!r} is {closed.state}: {closed.reason}."


def open_window(
    name: str,
    window: str,
    *,
    now: float,
    at_most: float,
    options: Mapping[str, Any],
    before_marking: Callable[[WindowLoad], object] = lambda opening: None,
    report: Report,
) -> Flow[Submitted]:
    """Leave the mark of ``window``, and submit the load. The mark counts for ``at_most`` seconds from ``now``.

    ``before_marking`` is called just before anything is sent, with what a failure has to undo.

    :raises MilvusCollectionNotFoundError: the collection does not exist. Nothing was changed.
    :raises MilvusPermissionError: the user may not load it. The mark is removed again.
    :raises MilvusError: the load was not submitted, as in :func:`submit_load`. The mark stays, so close the window.
    """
    subject = yield from find_subject(name)
    collection = subject.name
    standing = yield from subject.standing()
    if standing is None:
        raise subject.replaced()
    marks = marks_of(standing.properties)
    state = yield from load_state(collection)
    by_window = state == "NotLoad" or _any_loaded(marks, now)
    # An earlier try of this task has left a mark: an alias that came since protects, as if the window were open.
    aliases = marks[window].aliases if window in marks else tuple(standing.aliases)
    mark = Mark(now + at_most, by_window, aliases)
    # A collection that is not in memory was released, so the marks of windows that have ended mean nothing any more.
    opening = WindowLoad(
        collection,
        collection_id=subject.collection_id,
        window=window,
        previous_state=state,
        aliases=list(mark.aliases),
    )
    before_marking(opening)
    can_be_marked = yield from _write(
        subject,
        window,
        lambda marks: {**(open_windows(marks, now) if state == "NotLoad" else marks), window: mark},
    )
    if not can_be_marked:
        report(f"Windows on collection {collection!r} cannot see one another: this server keeps no collection properties.")
    try:
        submitted = yield from submit_load(collection, options=options, report=report)
    except exceptions.MilvusLoadFailedError:
        if state == "NotLoad":
            raise
        # It was in memory a moment ago: a window has released it since, and does not do so twice.
        submitted = yield from submit_load(collection, options=options, report=report)
    except exceptions.MilvusPermissionError:
        if can_be_marked:
            yield from _remove(subject, window)
        raise
    if can_be_marked:
        # Another window may have loaded it, or overwritten the mark, since the first look.
        marks = yield from _marks_on(subject)
        inherited = (by_window and state != "NotLoad") or _any_loaded({**marks, window: Mark(0, False)}, now)
        settled = replace(mark, loaded=submitted.previous_state == "NotLoad" or inherited)
        if marks.get(window) != settled:
            yield from _write(subject, window, lambda marks: {**marks, window: settled})
    load = {**vars(submitted.condition), "window": window, "previous_state": state, "aliases": opening.aliases}
    return replace(submitted, condition=WindowLoad(**load), alias=subject.alias)


def close_window(
    name: str,
    window: str,
    deadline: Deadline,
    *,
    now: float,
    previous_state: str,
    aliases: Sequence[str] = (),
    force: bool = False,
    tries: Tries = ONE_TRY,
    report: Report,
) -> Flow[Closed]:
    """Remove the mark of ``window``; release the collection if a window loaded it and no other window needs it.

    It can be repeated, since the mark is removed last; ``tries`` note a release that was sent. Where the server keeps no marks,
    the collection is released if its ``previous_state``, before the window, was NotLoad, and if it has no alias that is not
    among ``aliases``, those before. With ``force`` it is released even while it is being loaded.
    """
    try:
        subject = yield from find_subject(name)
        if subject.alias:
            return Closed(name, "NotExist", False, f"it does not exist any more; an alias of {subject.name!r} has its name")
        can_be_marked = yield from _write(
            subject,
            window,
            lambda marks: {key: replace(mark, closing=mark.closing or key == window) for key, mark in marks.items()},
        )
        unmarked = None if can_be_marked else Mark(now, previous_state == "NotLoad", tuple(aliases))
        try:
            released = yield from release_subject(
                subject,
                deadline,
                force=force,
                unless=lambda standing: _reason_to_stay(standing, window, now, unmarked),
                tries=tries,
                report=report,
            )
        except exceptions.MilvusRefusedError as refused:
            yield from _remove(subject, window)
            state = yield from load_state(name)
            return Closed(name, state, False, str(refused))
        standing = yield from subject.standing()
        if standing is None:
            raise subject.replaced()
        own = marks_of(standing.properties).get(window) or unmarked
        if own is not None and not released.loaded_since and (reason := _reason_to_stay(standing, window, now, unmarked)):
            # It came between the last look and the release, and relies on the memory that is gone now.
            submitted = yield from submit_load(name, options=placement(released.groups), report=report)
            yield from _remove(subject, window)
            return Closed(name, submitted.now.state, False, f"it was released, and is loaded again: {reason}")
        # The collection is not in memory, so the marks of windows that never closed mean nothing any more.
        if marks_of(standing.properties):
            yield from _write(
                subject, window, lambda marks: {key: mark for key, mark in open_windows(marks, now).items() if key != window}
            )
        if released.loaded_since:
            return Closed(name, released.state, True, "no other window needed it; somebody has loaded it since")
        if not released.sent:
            return Closed(name, released.state, False, "somebody had released it before")
        return Closed(name, released.state, True, "no other window needs it")
    except (exceptions.MilvusCollectionNotFoundError, exceptions.MilvusReplacedError):
        return Closed(name, "NotExist", False, "it does not exist any more")


def _reason_to_stay(standing: Standing, window: str, now: float, unmarked: Mark | None) -> str | None:
    """Why a closing window must leave the collection in memory; ``None``: it may release it.

    ``unmarked`` is the window's mark where the server keeps none.
    """
    marks = marks_of(standing.properties)
    own = marks.pop(window, None) or unmarked
    if own is None:
        return "this window's mark is gone: the collection was released, or dropped and created again, since the window opened"
    if others := open_windows(marks, now):
        return f"another window needs it: {_words(others)}"
    if not own.loaded:
        return "it was in memory before this window"
    if added := sorted(set(standing.aliases) - set(own.aliases)):
        return f"it was given the alias {', '.join(added)} since"
    return None


def _marks_on(subject: Subject) -> Flow[dict[str, Mark]]:
    described = yield from subject.look()
    return {} if described is None else marks_of(from_pairs(described.properties))


def _write(subject: Subject, window: str, change: Callable[[dict[str, Mark]], Marks]) -> Flow[bool]:
    """Change the marks, which are those that ``change`` got when it is sent: several windows may share a property.

    Returns false where the server keeps no properties.

    :raises MilvusReplacedError: the collection does not exist any more.
    """
    while True:
        before = yield from _marks_on(subject)
        old, new = properties_of(before), properties_of(change(before))
        changed = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
        if old and not changed:
            return True
        # Where there is no mark, only an answer tells whether the server keeps properties.
        changed.add(property_of(window))
        properties = to_pairs({key: new.get(key, "") for key in sorted(changed)})
        still = partial(_are_as_before, subject, old, changed)
        try:
            answer = yield Rpc("AlterCollection", {"collection_name": subject.name, "properties": properties}, still=still)
        except exceptions.MilvusUnsupportedError:
            return False
        if answer is not None:
            return True
        now = properties_of((yield from _marks_on(subject)))
        if all(now.get(key) == new.get(key) for key in changed):
            return True


def _are_as_before(
    subject: Subject, old: Mapping[str, str], keys: Iterable[str], lost: exceptions.MilvusError | None
) -> Flow[bool]:
    now = properties_of(marks_of((yield from subject.check(lost))))
    return all(now.get(key) == old.get(key) for key in keys)


def _remove(subject: Subject, window: str) -> Flow[None]:
    if window in (yield from _marks_on(subject)):
        yield from _write(subject, window, lambda marks: {key: mark for key, mark in marks.items() if key != window})


def _any_loaded(marks: Marks, now: float) -> bool:
    """Whether a window loaded the collection. A closing window counts: it leaves the release to a window that is open."""
    return any(mark.loaded and mark.until > now for mark in marks.values())


def _words(windows: Iterable[str]) -> str:
    return ", ".join(sorted(windows))
