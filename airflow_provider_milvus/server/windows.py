"""Opening and closing a window, as flows. A window is the time in which some tasks need a collection in memory.

An open window leaves a mark on the collection, in one of a few properties. AlterCollection leaves the properties alone that it
does not name, so windows that open at the same moment do not overwrite each other. The last window to close releases what
windows loaded. Milvus cannot look and change in one step, so every race is decided for memory: a collection that another window
needs stays in memory, or is loaded again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.flow import Deadline, Flow, Report, Rpc
from airflow_provider_milvus.client.reads import describe, real_name, replicas
from airflow_provider_milvus.conditions import load_state
from airflow_provider_milvus.schema.pairs import from_pairs, to_pairs
from airflow_provider_milvus.server.load_release import Submitted, placement, release, submit_load
from airflow_provider_milvus.server.window_marks import Mark, Marks, marks_of, open_windows, properties_of, property_of


@dataclass(frozen=True, slots=True)
class Closed:
    """The collection after a window has closed. ``reason`` says why it was released, or why not."""

    collection: str
    state: str
    released: bool
    reason: str


def _marks_on(described: Any) -> dict[str, Mark]:
    return marks_of(from_pairs(described.properties))


def open_window(
    name: str, window: str, *, now: float, at_most: float, options: Mapping[str, Any], report: Report
) -> Flow[Submitted]:
    """Leave the mark of ``window``, and submit the load. The mark counts for ``at_most`` seconds from ``now``.

    :raises MilvusCollectionNotFoundError: the collection does not exist. Nothing was changed.
    :raises MilvusPermissionError: the user may not load it. The mark is removed again.
    :raises MilvusError: the load was not submitted, as in :func:`submit_load`. The mark stays, so close the window.
    """
    described = yield from describe(name)
    collection = real_name(described)
    marks = _marks_on(described)
    state = yield from load_state(collection)
    by_window = state == "NotLoad" or _any_loaded(marks, now)
    mark = Mark(now + at_most, by_window, tuple(sorted(described.aliases)))
    # A collection that is not in memory was released, so the marks of windows that have ended mean nothing any more.
    others = open_windows(marks, now) if state == "NotLoad" else marks
    can_be_marked = yield from _write(collection, window, marks, {**others, window: mark})
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
            yield from _remove(collection, window)
        raise
    if can_be_marked:
        # Another window may have loaded it, or overwritten the mark, since the first look.
        marks = _marks_on((yield from describe(collection)))
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
    """Remove the mark of ``window``; release the collection if a window loaded it and no other window needs it.

    It can be repeated, since the mark is removed last. Where the server keeps no marks, the collection is released if its
    ``previous_state``, before the window, was NotLoad. With ``force`` it is released even while it is being loaded.
    """
    try:
        described = yield from describe(name)
    except exceptions.MilvusCollectionNotFoundError:
        return Closed(name, "NotExist", False, "it does not exist any more")
    if real_name(described) != name:
        return Closed(name, "NotExist", False, f"it does not exist any more; an alias of {real_name(described)!r} has its name")
    marks = _marks_on(described)
    closing = {key: replace(mark, closing=mark.closing or key == window) for key, mark in marks.items()}
    can_be_marked = yield from _write(name, window, marks, closing)

    def reason_to_stay(described: Any) -> str | None:
        if not can_be_marked:
            return None if previous_state == "NotLoad" else f"it was {previous_state} before this window"
        return _reason_to_stay(described, window, now)

    groups = yield from replicas(name)
    try:
        change = yield from release(name, deadline, skip_if_missing=True, unless=reason_to_stay, force=force, report=report)
    except exceptions.MilvusRefusedError as refused:
        yield from _remove(name, window)
        state = yield from load_state(name)
        return Closed(name, state, False, str(refused))
    if change.state == "NotExist":
        return Closed(name, change.state, False, "it does not exist any more")
    marks = _marks_on((yield from describe(name)))
    if others := set(open_windows(marks, now)) - {window}:
        # It opened between the last look and the release, so it may rely on the memory that is gone now.
        submitted = yield from submit_load(name, options=placement(groups or ()), report=report)
        yield from _remove(name, window)
        return Closed(
            name, submitted.now.state, False, f"another window opened just now, so it is loaded again: {_words(others)}"
        )
    # The collection is not in memory, so the marks of windows that never closed mean nothing any more.
    yield from _write(name, window, marks, {})
    if change.previous_state == "NotLoad":
        return Closed(name, change.state, False, "somebody had released it before")
    return Closed(name, change.state, True, "no other window needs it")


def _reason_to_stay(described: Any, window: str, now: float) -> str | None:
    """Why a closing window must leave the collection in memory; ``None``: it may release it."""
    marks = _marks_on(described)
    own = marks.pop(window, None)
    if own is None:
        return "this window's mark is gone: the collection was released, or dropped and created again, since the window opened"
    if others := open_windows(marks, now):
        return f"another window needs it: {_words(others)}"
    if not own.loaded:
        return "it was in memory before this window"
    if added := sorted(set(described.aliases) - set(own.aliases)):
        return f"it was given the alias {', '.join(added)} since"
    return None


def _write(collection: str, window: str, before: Marks, after: Marks) -> Flow[bool]:
    """Set the property of ``window``, and those that differ; return false where the server keeps no properties."""
    old, new = properties_of(before), properties_of(after)
    changed = {property_of(window)} | {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
    properties = to_pairs({key: new.get(key, "") for key in sorted(changed)})
    try:
        yield Rpc("AlterCollection", {"collection_name": collection, "properties": properties})
    except exceptions.MilvusUnsupportedError:
        return False
    return True


def _remove(collection: str, window: str) -> Flow[None]:
    marks = _marks_on((yield from describe(collection)))
    if window in marks:
        yield from _write(collection, window, marks, {key: mark for key, mark in marks.items() if key != window})


def _any_loaded(marks: Marks, now: float) -> bool:
    """Whether a window loaded the collection. A closing window counts: it leaves the release to a window that is open."""
    return any(mark.loaded and mark.until > now for mark in marks.values())


def _words(windows: Iterable[str]) -> str:
    return ", ".join(sorted(windows))
