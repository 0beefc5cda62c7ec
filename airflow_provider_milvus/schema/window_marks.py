"""The marks that open windows leave in a collection's properties: who needs it in memory, and until when."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

RECLAIM_PROPERTY = "airflow.reclaim"
"""The property with which an owner keeps a collection in memory, usually ``never``."""
MARK_PROPERTY = "airflow.loaded_by."
"""The beginning of the properties' names; a number follows."""
SLOTS = 16
"""Properties for marks on one collection: Milvus 2.3 cannot remove a property. Two windows share one only by chance."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A window that has not closed. It counts until ``until``, in seconds since the epoch.

    ``loaded`` says that the collection is in memory because a window loaded it; ``aliases`` are the aliases it had then. A
    window that is ``closing`` does not need the collection any more.
    """

    until: float
    loaded: bool
    aliases: tuple[str, ...] = ()
    closing: bool = False


Marks = Mapping[str, Mark]
"""By the window's id."""


def marks_of(properties: Mapping[str, str]) -> dict[str, Mark]:
    """All marks in a collection's properties. A mark that cannot be read counts for ever."""
    marks: dict[str, Mark] = {}
    for key, value in properties.items():
        if not key.startswith(MARK_PROPERTY) or not value:
            continue
        try:
            for window, mark in json.loads(value).items():
                aliases = tuple(map(str, mark["aliases"]))
                marks[window] = Mark(float(mark["until"]), mark["loaded"] is True, aliases, mark["closing"] is True)
        except (ValueError, TypeError, KeyError, AttributeError):
            # Somebody who needs the collection may have written it.
            marks[f"{key}, which cannot be read"] = Mark(float("inf"), False)
    return marks


def open_windows(marks: Marks, now: float) -> dict[str, Mark]:
    """The marks of windows that need the collection in memory."""
    return {window: mark for window, mark in marks.items() if mark.until > now and not mark.closing}


def properties_of(marks: Marks) -> dict[str, str]:
    """The properties that hold these marks, without empty ones."""
    properties: dict[str, dict[str, Any]] = {}
    for window, mark in sorted(marks.items()):
        if mark.until != float("inf"):
            properties.setdefault(property_of(window), {})[window] = asdict(mark)
    return {key: json.dumps(marks_by_window) for key, marks_by_window in properties.items()}


def property_of(window: str) -> str:
    """The name of the property that holds a window's mark."""
    return f"{MARK_PROPERTY}{zlib.crc32(window.encode()) % SLOTS}"
