"""A window: the time in which some tasks need a collection in memory, and how windows see one another.

Each open window leaves a mark on the collection, in a property of its own or nearly so: AlterCollection sets the properties
that it names and leaves the others alone, so windows that open at the same moment do not overwrite each other. The last one
to close releases what windows loaded. Nothing here can be done in one step with a look, so every race is decided for memory:
a collection that two windows need stays, or is loaded again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_milvus.client.flow import Deadline, Flow, Report, Rpc
from airflow_provider_milvus.client.protocol import from_pairs, to_pairs
from airflow_provider_milvus.client.reads import describe, real_name
from airflow_provider_milvus.conditions import load_states
from airflow_provider_milvus.exceptions import (
    MilvusCollectionNotFoundError,
    MilvusLoadFailedError,
    MilvusRefusedError,
    MilvusUnsupportedError,
)
from airflow_provider_milvus.server.load_release import Submitted, release, submit_load
from airflow_provider_milvus.server.window_marks import Mark, Marks, marks_of, open_windows, properties_of, property_of


@dataclass(frozen=True, slots=True)
class Closed:
    """What became of the collection when a window closed, and why it was not released if it was not."""

    collection: str
    state: str
    released: bool
    reason: str


def marks_on(described: Any) -> dict[str, Mark]:
    return marks_of(from_pairs(described.properties))


def open_window(
    name: str, window: str, *, now: float, at_most: float, options: Mapping[str, Any], report: Report
) -> Flow[Submitted]:
    """Leave the mark of ``window``, and submit the load.

    :raises MilvusCollectionNotFoundError: it does not exist. Nothing was changed.
    :raises MilvusError: as of a load. The mark stays: close the window.
    """
    described = yield from describe(name)
    collection = real_name(described)
    marks = marks_on(described)
    ((state, _),) = yield from load_states(collection)
    by_window = state == "NotLoad" or _any_loaded(marks, now)
    mark = Mark(now + at_most, by_window, tuple(sorted(described.aliases)))
    # What is not in memory now was released since, whoever loaded it.
    others = open_windows(marks, now) if state == "NotLoad" else marks
    can_be_marked = yield from _write(collection, window, marks, {**others, window: mark})
    if not can_be_marked:
        report("This server keeps no collection properties: other windows of this collection cannot be seen.")
    try:
        submitted = yield from submit_load(collection, options=options, report=report)
    except MilvusLoadFailedError:
        if state == "NotLoad":
            raise
        # It was in memory a moment ago: the window that released it then will not do so again.
        submitted = yield from submit_load(collection, options=options, report=report)
    if can_be_marked:
        # Others may have loaded it, or written over the mark, since the first look.
        marks = marks_on((yield from describe(collection)))
        inherited = (by_window and state != "NotLoad") or _any_loaded({**marks, window: Mark(0, False)}, now)
        settled = replace(mark, loaded=submitted.previous_state == "NotLoad" or inherited)
        if marks.get(window) != settled:
            yield from _write(collection, window, marks, {**marks, window: settled})
    return replace(submitted, alias=name if name != collection else None)


def close_window(
    name: str,
    window: str,
    deadline: Deadline,
    *,
    now: float,
    previous_state: str,
    force: bool = False,
    report: Report,
) -> Flow[Closed]:
    """Take the mark of ``window`` away; release the collection if windows loaded it, and no other needs it.

    It can be repeated: the mark goes last. ``previous_state`` decides where the server keeps no marks. With ``force``, a load
    that is still under way is released as well.
    """
    try:
        described = yield from describe(name)
    except MilvusCollectionNotFoundError:
        return Closed(name, "NotExist", False, "it does not exist any more")
    if real_name(described) != name:
        return Closed(name, "NotExist", False, f"it does not exist any more; an alias of {real_name(described)!r} has its name")
    marks = marks_on(described)
    closing = {each: replace(mark, closing=mark.closing or each == window) for each, mark in marks.items()}
    can_be_marked = yield from _write(name, window, marks, closing)

    def against(described: Any) -> str | None:
        if not can_be_marked:
            return None if previous_state == "NotLoad" else f"it was {previous_state} before this window"
        return _against(described, window, now)

    try:
        change = yield from release(name, deadline, skip_if_missing=True, unless=against, force=force, report=report)
    except MilvusRefusedError as refused:
        yield from _remove(name, window)
        ((state, _),) = yield from load_states(name)
        return Closed(name, state, False, str(refused))
    if change.state == "NotExist":
        return Closed(name, change.state, False, "it does not exist any more")
    marks = marks_on((yield from describe(name)))
    if others := set(open_windows(marks, now)) - {window}:
        # Opened between the last look and the release: it may have seen the collection in memory still.
        submitted = yield from submit_load(name, report=report)
        yield from _remove(name, window)
        return Closed(name, submitted.state, False, f"another window opened just now, so it is loaded again: {_listed(others)}")
    # Nothing is in memory: what the marks of windows that never closed say is over.
    yield from _write(name, window, marks, {})
    if change.previous_state == "NotLoad":
        return Closed(name, change.state, False, "somebody had released it before")
    return Closed(name, change.state, True, "no other window needs it")


def _against(described: Any, window: str, now: float) -> str | None:
    """Why a closing window must leave the collection in memory."""
    marks = marks_on(described)
    own = marks.pop(window, None)
    if own is None:
        return "this window's mark is gone, so it was released, or dropped and made anew, since the window opened"
    if others := open_windows(marks, now):
        return f"another window needs it: {_listed(others)}"
    if not own.loaded:
        return "it was in memory before this window"
    if added := sorted(set(described.aliases) - set(own.aliases)):
        return f"it has got the alias {', '.join(added)} since"
    return None


def _write(collection: str, window: str, before: Marks, after: Marks) -> Flow[bool]:
    """Set the property of ``window``, and those in which the two differ; false where the server keeps none."""
    old, new = properties_of(before), properties_of(after)
    changed = {property_of(window)} | {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
    properties = to_pairs({key: new.get(key, "") for key in sorted(changed)})
    try:
        yield Rpc("AlterCollection", {"collection_name": collection, "properties": properties})
    except MilvusUnsupportedError:
        return False
    return True


def _remove(collection: str, window: str) -> Flow[None]:
    marks = marks_on((yield from describe(collection)))
    if window in marks:
        yield from _write(collection, window, marks, {each: mark for each, mark in marks.items() if each != window})


def _any_loaded(marks: Marks, now: float) -> bool:
    """A window that closes and finds another one open leaves the release to it."""
    return any(mark.loaded and mark.until > now for mark in marks.values())


def _listed(windows: Any) -> str:
    return ", ".join(sorted(windows))
