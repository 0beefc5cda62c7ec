"""What an error claims of the server, compared with what the server has.

"Was not released" is a claim, and "may not have been released" is none. A claim that nothing here can judge is reported too, so
that a new sentence needs its judge.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dev.faults.inventory import GONE, Inventory

Judge = Callable[["Told", re.Match[str]], bool]


@dataclass(frozen=True, slots=True)
class Told:
    """The message, and the server before the task and afterwards."""

    message: str
    before: Inventory
    after: Inventory

    def is_unchanged(self, collection: str, aspect: str) -> bool:
        return bool(self.was(collection, aspect) == self.now(collection, aspect))

    def was(self, collection: str, aspect: str) -> Any:
        return self.before.get((collection, aspect), GONE)

    def now(self, collection: str, aspect: str) -> Any:
        return self.after.get((collection, aspect), GONE)

    @property
    def has_same_rows(self) -> bool:
        return all(self.now(*fact) == value for fact, value in self.before.items() if fact[1] == "rows")

    def alias_of(self, alias: str, facts: Inventory) -> str | None:
        return next((name for (name, aspect), value in facts.items() if aspect == "aliases" and alias in value), None)


def _unchanged(aspect: str) -> Judge:
    return lambda told, match: told.is_unchanged(match["of"], aspect)


def _state(state: str) -> Judge:
    return lambda told, match: bool(told.now(match["of"], "state") == state)


def _same_alias(told: Told, match: re.Match[str]) -> bool:
    before, now = (told.alias_of(match["alias"], facts) for facts in (told.before, told.after))
    return before == now or match["to"] not in (None, now)


_OF = r"'(?P<of>\w+)'"
_CLAIMS: list[tuple[str, Judge]] = [
    # What a call has not done.
    (rf"Collection {_OF} was not released", lambda told, match: told.now(match["of"], "state") != "NotLoad"),
    (
        rf"[Pp]artitions .* of collection {_OF} were not released",
        lambda told, match: told.now(match["of"], "state") != "NotLoad",
    ),
    # A refresh is a load of what is in memory.
    (rf"The load of (?:partitions .* of )?collection {_OF} was not begun", _unchanged("state")),
    (rf"Collection {_OF} was not loaded", _state("NotLoad")),
    (rf"Collection {_OF} was not refreshed", lambda told, match: True),
    (rf"Collection {_OF} was not dropped", lambda told, match: told.now(match["of"], "id") == told.was(match["of"], "id")),
    (rf"Collection {_OF} was not (?:created|renamed)", _unchanged("id")),
    (rf"Partition '\w+' of collection {_OF} was not (?:created|dropped)", _unchanged("partitions")),
    # No fact is about databases.
    (r"Database '\w+' was not (?:created|altered|dropped)", lambda told, match: True),
    (rf"Collection {_OF} was not altered", _unchanged("properties")),
    (rf"Collection {_OF} was not (?:emptied|truncated)", _unchanged("rows")),
    (
        rf"The index of field '\w+' of collection {_OF} was not created",
        lambda told, match: told.now(match["of"], "indexes") in (told.was(match["of"], "indexes"), []),
    ),
    (rf"Index '\w*' of collection {_OF} was not dropped", _unchanged("indexes")),
    (rf"A batch of rows was not (?:inserted into|upserted into|deleted from) collection {_OF}", _unchanged("rows")),
    (rf"The import into collection {_OF} was not begun", _unchanged("rows")),
    (r"Alias '(?P<alias>\w+)' was not (?:pointed|created|moved)(?: to (?:collection )?'(?P<to>\w+)')?", _same_alias),
    (
        r"Alias '(?P<alias>\w+)' was not dropped",
        lambda told, match: told.alias_of(match["alias"], told.before) == told.alias_of(match["alias"], told.after),
    ),
    (r"Snapshot '\w+' .*was not \w+", lambda told, match: True),
    (r"The (?:flush|compaction) of collection '\w+' was not begun", lambda told, match: True),
    (r"The restore of snapshot .* was not begun", lambda told, match: True),
    (r"Nothing was (?:changed|sent)", lambda told, match: told.before == told.after),
    (
        r"\b(?:no rows?|0 rows?|0) (?:was |were )?(?:written|deleted)(?!\. \d+ more rows? (?:was|were) sent, and may be)",
        lambda told, match: told.has_same_rows,
    ),
    # What is so now.
    (rf"Collection {_OF} was not found", lambda told, match: told.now(match["of"], "id") is GONE),
    (rf"Collection {_OF} is still (?P<state>\w+)", lambda told, match: told.now(match["of"], "state") == match["state"]),
    (
        rf"[Cc]ollection {_OF} is (?P<state>Loaded|NotLoad)",
        lambda told, match: told.now(match["of"], "state") == match["state"],
    ),
    (rf"The drop of {_OF} was sent, and the server still has it", lambda told, match: told.now(match["of"], "id") is not GONE),
    (rf"Collection {_OF} was released", _state("NotLoad")),
    (rf"Collection {_OF} was (?:created|dropped|loaded)", lambda told, match: not told.is_unchanged(match["of"], "id")),
    (
        r"Alias '(?P<alias>\w+)' (?:points to|was moved, but not seen at) '(?P<of>\w+)'",
        lambda told, match: told.alias_of(match["alias"], told.after) == match["of"],
    ),
]
_SUSPECT = re.compile(r"[^.:;]*\b(?:was|were|is|are) (?:not|still)\b[^.:;]*")
_NO_CLAIM = re.compile(
    r"could not be|did not answer|is not Milvus|was not (?:seen|answered|there|met|reached|Loaded within|loaded within)"
    r"|It was not sent again|was not moved, or somebody has moved it back|were not deleted, or written since"
    r"|was not dropped, or somebody has made it again"
    r"|is not supported|is not known|not seen|not a Milvus|while it was not in memory|was not built|is not in memory: nothing"
)
"""What was not seen or answered is no claim of what the server has."""


AIRFLOWS_OWN = "Sensor has timed out; run duration of "
"""What Airflow says when a look of a sensor has shown that it has to wait, and there is no time left."""


def untrue(told: Told) -> list[str]:
    """Each claim in the message that is not so, or that cannot be judged."""
    found, rest = [], told.message
    for pattern, judge in _CLAIMS:
        for match in re.finditer(pattern, told.message):
            rest = rest.replace(match[0], "")
            if not judge(told, match):
                found.append(f"untrue: {match[0]!r}")
    found += [f"nobody can judge: {match[0].strip()!r}" for match in _SUSPECT.finditer(rest) if not _NO_CLAIM.search(match[0])]
    return found


def unnamed(message: str, collection: str) -> list[str]:
    """Which of connection, database and collection an error does not name."""
    if message.startswith(AIRFLOWS_OWN):
        return []
    wanted = {"connection": "'milvus_default'", "database": "'default'", **({"collection": collection} if collection else {})}
    return [f"does not name the {what}" for what, text in wanted.items() if text not in message]
