"""What may go, what must stay, and in which order; each decision with its reason in words. Stay always wins."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from fnmatch import fnmatchcase

from airflow_provider_milvus.reclaim.inventory import CollectionState

_DIRECTIVES = {
    "%Y": r"\d{4}",
    "%y": r"\d{2}",
    "%m": r"\d{2}",
    "%d": r"\d{2}",
    "%H": r"\d{2}",
    "%M": r"\d{2}",
    "%j": r"\d{3}",
    "%b": r"[A-Za-z]{3}",
    "%%": "%",
}


@dataclass(frozen=True, slots=True)
class Decision:
    """Release a collection or keep it, and why. ``day`` is the date in its name, where that was asked for."""

    subject: CollectionState
    release: bool
    reason: str
    day: datetime | None = None


class DateInName:
    """Finds the date in a collection's name, written in a ``strptime`` format such as ``%Y%m%d``.

    A name with several dates counts as its youngest; digits around a date make it no date.

    :raises ValueError: the format has a directive that no date can be told by, or none for the day.
    """

    def __init__(self, date_format: str, zone: tzinfo) -> None:
        self._format = date_format
        self._zone = zone
        self._pattern = re.compile(rf"(?<!\d)(?=({_as_regex(date_format)})(?!\d))")

    def __call__(self, name: str) -> datetime | None:
        found = [moment for text in self._pattern.findall(name) if (moment := self._parsed(text)) is not None]
        return max(found, default=None)

    def _parsed(self, text: str) -> datetime | None:
        try:
            return datetime.strptime(text, self._format).replace(tzinfo=self._zone)
        except ValueError:
            return None


def _as_regex(date_format: str) -> str:
    parts = re.findall(r"%.|[^%]+|%$", date_format)
    unknown = [part for part in parts if part.startswith("%") and part not in _DIRECTIVES]
    if unknown:
        raise ValueError(f"{', '.join(unknown)} cannot be used; use {', '.join(_DIRECTIVES)}")
    used = {part for part in parts if part.startswith("%")}
    if not (used & {"%Y", "%y"} and ("%j" in used or used & {"%m", "%b"})):
        raise ValueError("it needs a year and a month, or a year and a day of the year")
    return "".join(_DIRECTIVES[part] if part.startswith("%") else re.escape(part) for part in parts)


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules of one reclaim run.

    :param patterns: names that may go, with ``*`` and ``?``; empty: any name, which then needs ``older_than``.
    :param exclude: names that stay.
    :param older_than: what may go is older than this, by the date in its name, from the start of that day to ``now``.
    :param max_releases: at most so many go; the oldest first, then by name.
    """

    patterns: tuple[str, ...]
    exclude: tuple[str, ...]
    older_than: timedelta | None
    date_of: DateInName
    now: datetime
    keep_aliased: bool = True
    max_releases: int | None = None

    def __post_init__(self) -> None:
        if not self.patterns and self.older_than is None:
            raise ValueError("neither a pattern nor an age is given; a reclaim run never means everything")

    def decide(self, collections: Iterable[CollectionState]) -> list[Decision]:
        """A decision for each collection: first what goes, in the order it goes, then what stays, by name."""
        decided = [self._decide(each) for each in collections]
        going = sorted((each for each in decided if each.release), key=self._order)
        staying = [each for each in decided if not each.release]
        if self.max_releases is not None:
            beyond = going[self.max_releases :]
            going = going[: self.max_releases]
            staying += [
                Decision(each.subject, False, f"beyond max_releases ({self.max_releases}): {each.reason}", each.day)
                for each in beyond
            ]
        return going + sorted(staying, key=lambda each: each.subject.collection)

    def unmatched(self, collections: Iterable[CollectionState]) -> list[str]:
        """Patterns that no collection's name matches: probably a slip of the pen."""
        known = [each.collection for each in collections]
        return [each for each in self.patterns if not any(fnmatchcase(name, each) for name in known)]

    def _order(self, decision: Decision) -> tuple[float, str]:
        age = decision.day.timestamp() if decision.day else float("inf")
        return age, decision.subject.collection

    def _decide(self, subject: CollectionState) -> Decision:
        day = self.date_of(subject.collection) if self.older_than is not None else None
        stay = self._stays(subject, day)
        if stay is not None:
            return Decision(subject, False, stay, day)
        return Decision(subject, True, self._goes(subject, day), day)

    def _stays(self, subject: CollectionState, day: datetime | None) -> str | None:
        collection = subject.collection
        if self.patterns and not any(fnmatchcase(collection, each) for each in self.patterns):
            return "matches no pattern"
        excluded = next((each for each in self.exclude if fnmatchcase(collection, each)), None)
        if excluded is not None:
            return f"excluded by {excluded!r}"
        if subject.state == "NotLoad":
            return "not in memory"
        if subject.state == "Loading":
            return "being loaded just now"
        if self.keep_aliased and subject.aliases:
            return f"behind the alias {', '.join(subject.aliases)}"
        if self.older_than is not None:
            if day is None:
                return "no date in its name"
            age = self._age(day)
            if age < timedelta(0):
                return f"dated {_words(-age)} ahead"
            if age <= self.older_than:
                return f"{_words(age)} old, not over {_words(self.older_than)}"
        return None

    def _age(self, day: datetime) -> timedelta:
        # Between two moments of one zone Python counts the hours on the wall, not those that passed.
        return self.now.astimezone(UTC) - day

    def _goes(self, subject: CollectionState, day: datetime | None) -> str:
        matched = next((each for each in self.patterns if fnmatchcase(subject.collection, each)), None)
        reasons = [f"matches {matched!r}"] if matched is not None else []
        if day is not None and self.older_than is not None:
            reasons.append(f"{_words(self._age(day))} old, over {_words(self.older_than)}")
        return ", ".join(reasons)


def _words(span: timedelta) -> str:
    """Whole hours, rounded down: what is just short of seven days must not read "7 days"."""
    days, hours = divmod(int(span.total_seconds() // 3600), 24)
    parts = [f"{days} day{'s' if days > 1 else ''}"] if days else []
    return " ".join([*parts, f"{hours} h"] if hours or not days else parts)
