"""The marks that open windows leave on a collection, in its properties: who needs it in memory, and until when."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

PROPERTY = "airflow.loaded_by."
SLOTS = 16
"""Properties that a collection can get; Milvus 2.3 has no way to remove one. Two windows share one only by chance."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A window that has not closed. ``until`` is when others stop to reckon with it, in seconds since the epoch.

    ``loaded`` says that the collection is in memory because a window loaded it; ``aliases`` are those it had then. A window
    that is ``closing`` needs the collection no more.
    """

    until: float
    loaded: bool
    aliases: tuple[str, ...] = ()
    closing: bool = False


Marks = Mapping[str, Mark]
"""By the window's id."""


def marks_of(properties: Mapping[str, str]) -> dict[str, Mark]:
    """All marks among a collection's properties."""
    marks: dict[str, Mark] = {}
    for key, value in properties.items():
        if not key.startswith(PROPERTY) or not value:
            continue
        try:
            for window, mark in json.loads(value).items():
                aliases = tuple(map(str, mark["aliases"]))
                marks[window] = Mark(float(mark["until"]), mark["loaded"] is True, aliases, mark["closing"] is True)
        except (ValueError, TypeError, KeyError, AttributeError):
            # Somebody means something by it.
            marks[f"{key}, which cannot be read"] = Mark(float("inf"), False)
    return marks


def open_windows(marks: Marks, now: float) -> dict[str, Mark]:
    """Those that need the collection in memory."""
    return {window: mark for window, mark in marks.items() if mark.until > now and not mark.closing}


def properties_of(marks: Marks) -> dict[str, str]:
    """The properties that hold these marks; an empty one is not among them."""
    properties: dict[str, dict[str, Any]] = {}
    for window, mark in sorted(marks.items()):
        if mark.until != float("inf"):
            properties.setdefault(property_of(window), {})[window] = asdict(mark)
    return {key: json.dumps(windows) for key, windows in properties.items()}


def property_of(window: str) -> str:
    return f"{PROPERTY}{zlib.crc32(window.encode()) % SLOTS}"
