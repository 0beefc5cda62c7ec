"""What may go, what must stay, and in which order; each decision with its reason in words. Stay always wins."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from fnmatch import fnmatchcase

from airflow_provider_milvus.reclaim.inventory import MEASURED, CollectionState, total
from airflow_provider_milvus.wording import human, in_words

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


PROPERTY = "airflow.reclaim"
"""The collection property by which an owner says ``never``."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Release a collection or keep it, and why. ``day`` is the date in its name, where it has one.

    ``for_budget`` tells that nothing but the budget asks for the release.
    """

    subject: CollectionState
    release: bool
    reason: str
    day: datetime | None = None
    for_budget: bool = False


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

    ``patterns`` and ``exclude`` say which collections the run is about. Of those, one goes when *any* of the rules for going
    asks for it (all of them go when there is no such rule), and when *none* of the rules for staying keeps it.

    :param patterns: names that may go, with ``*`` and ``?``; empty: any name, which then needs a rule for going.
    :param exclude: names that stay.
    :param older_than: goes when older than this, by the date in its name, from the start of that day to ``now``.
    :param idle_for: goes when certainly neither searched nor queried for so long.
    :param loaded_for: goes when seen loaded for so long.
    :param budget: bytes that what is loaded may take: the coldest go until it fits.
    :param min_idle: stays unless certainly idle for so long.
    :param keep_aliased: stays while an alias points to it.
    :param max_releases: at most so many go; the coldest first.
    """

    patterns: tuple[str, ...]
    exclude: tuple[str, ...]
    older_than: timedelta | None
    date_of: DateInName
    now: datetime
    keep_aliased: bool = True
    max_releases: int | None = None
    idle_for: timedelta | None = None
    loaded_for: timedelta | None = None
    budget: int | None = None
    min_idle: timedelta | None = None

    def __post_init__(self) -> None:
        if not (self.patterns or self._has_rules or self.budget is not None):
            raise ValueError("nothing says what may go; a reclaim run never means everything")

    @property
    def _has_rules(self) -> bool:
        return any(each is not None for each in (self.older_than, self.idle_for, self.loaded_for))

    def in_scope(self, name: str) -> bool:
        """Whether the run may release a collection of this name at all."""
        return self._out_of_scope(name) is None

    def decide(self, collections: Sequence[CollectionState]) -> list[Decision]:
        """A decision for each collection: first what goes, in the order it goes, then what stays, by name.

        The same collections, in whatever order, get the same decisions.
        """
        decided = sorted((self._decide(each) for each in collections), key=_coldest_first)
        going, beyond = self._at_most([each for each in decided if each.release])
        staying = [each for each in decided if not each.release] + beyond
        if self.budget is not None:
            room = None if self.max_releases is None else self.max_releases - len(going)
            going, staying = self._fit(collections, going, staying, room)
        return sorted(going, key=_coldest_first) + sorted(staying, key=lambda each: each.subject.key)

    def unmatched(self, collections: Iterable[CollectionState]) -> list[str]:
        """Patterns that no collection's name matches: probably a slip of the pen."""
        known = {each.collection for each in collections}
        return [each for each in self.patterns if not any(fnmatchcase(name, each) for name in known)]

    def _at_most(self, going: list[Decision]) -> tuple[list[Decision], list[Decision]]:
        if self.max_releases is None:
            return going, []
        beyond = [
            replace(each, release=False, reason=f"beyond max_releases ({self.max_releases}): {each.reason}")
            for each in going[self.max_releases :]
        ]
        return going[: self.max_releases], beyond

    def _fit(
        self, collections: Sequence[CollectionState], going: list[Decision], staying: list[Decision], room: int | None
    ) -> tuple[list[Decision], list[Decision]]:
        """Take the coldest of what only the budget asks for, until the rest fits into it."""
        assert self.budget is not None
        loaded = [each for each in collections if each.in_memory]
        about = "about " if total(loaded).source != MEASURED else ""
        left = sum(each.memory.bytes or 0 for each in loaded)
        left -= sum(each.subject.memory.bytes or 0 for each in going)
        taken, kept = list(going), []
        for each in staying:
            size = each.subject.memory.bytes
            if not each.for_budget:
                kept.append(each)
            elif left <= self.budget:
                kept.append(replace(each, reason=f"what is loaded fits into {human(self.budget)}"))
            elif not size:
                known = "unknown" if size is None else "0"
                kept.append(replace(each, reason=f"its size is {known}, so it would not count towards the budget"))
            elif room is not None and len(taken) - len(going) >= room:
                kept.append(replace(each, reason=f"beyond max_releases ({self.max_releases})"))
            else:
                words = (
                    f"{about}{human(left)} is loaded, {human(self.budget)} is allowed; the coldest left: {self._warmth(each)}"
                )
                taken.append(replace(each, release=True, reason=words))
                left -= size
        return taken, kept

    def _warmth(self, decision: Decision) -> str:
        subject = decision.subject
        if subject.usage.idle_for is not None:
            return subject.usage.reason
        if decision.day is not None:
            return f"dated {decision.day:%Y-%m-%d}"
        return f"made {subject.created:%Y-%m-%d}" if subject.created else "of unknown age"

    def _decide(self, subject: CollectionState) -> Decision:
        day = self.date_of(subject.collection)
        stay = self._stays(subject)
        if stay is not None:
            return Decision(subject, False, stay, day)
        rules = [self._by_age(day), self._by_use(subject), self._by_time_loaded(subject)]
        asked = [words for goes, words in filter(None, rules) if goes]
        if asked or (not self._has_rules and self.budget is None):
            return Decision(subject, True, ", ".join([*self._matched(subject), *asked]), day)
        refused = ", ".join(words for goes, words in filter(None, rules) if not goes)
        return Decision(subject, False, refused, day, for_budget=self.budget is not None)

    def _out_of_scope(self, name: str) -> str | None:
        if self.patterns and not any(fnmatchcase(name, each) for each in self.patterns):
            return "matches no pattern"
        excluded = next((each for each in self.exclude if fnmatchcase(name, each)), None)
        return f"excluded by {excluded!r}" if excluded is not None else None

    def _stays(self, subject: CollectionState) -> str | None:
        stays = self._out_of_scope(subject.collection)
        if stays is not None:
            return stays
        if subject.state == "Loading":
            return "being loaded just now"
        if subject.state != "Loaded":
            return "not in memory"
        said = subject.properties.get(PROPERTY, "").strip()
        if said:
            # Whatever else stands there was written by somebody who meant something by it.
            return f"its property {PROPERTY} says {said!r}"
        if subject.windows:
            return "a window (milvus_loaded) needs it"
        if self.keep_aliased and subject.aliases:
            return f"behind the alias {', '.join(subject.aliases)}"
        if self.min_idle is not None and not _at_least(subject.usage.idle_for, self.min_idle):
            return f"not known to be idle for {in_words(self.min_idle)}: {subject.usage.reason}"
        return None

    def _by_age(self, day: datetime | None) -> tuple[bool, str] | None:
        if self.older_than is None:
            return None
        if day is None:
            return False, "no date in its name"
        # Between two moments of one zone Python counts the hours on the wall, not those that passed.
        age = self.now.astimezone(UTC) - day
        if age < timedelta(0):
            return False, f"dated {in_words(-age)} ahead"
        if age <= self.older_than:
            return False, f"{in_words(age)} old, not over {in_words(self.older_than)}"
        return True, f"{in_words(age)} old, over {in_words(self.older_than)}"

    def _by_use(self, subject: CollectionState) -> tuple[bool, str] | None:
        if self.idle_for is None:
            return None
        return _at_least(subject.usage.idle_for, self.idle_for), subject.usage.reason

    def _by_time_loaded(self, subject: CollectionState) -> tuple[bool, str] | None:
        if self.loaded_for is None:
            return None
        seen = subject.loaded_for or timedelta(0)
        goes = seen >= self.loaded_for
        return goes, f"seen loaded for {in_words(seen)}, {'at least' if goes else 'not yet'} {in_words(self.loaded_for)}"

    def _matched(self, subject: CollectionState) -> list[str]:
        matched = next((each for each in self.patterns if fnmatchcase(subject.collection, each)), None)
        return [f"matches {matched!r}"] if matched is not None else []


def _coldest_first(decision: Decision) -> tuple[float, float, str, str]:
    """The longest idle first, those whose use is unknown last; then the oldest, by the date in the name or else its making."""
    subject = decision.subject
    idle = subject.usage.idle_for.total_seconds() if subject.usage.idle_for is not None else -1.0
    made = decision.day or subject.created
    return -idle, made.timestamp() if made else float("inf"), *subject.key


def _at_least(seen: timedelta | None, asked: timedelta) -> bool:
    return seen is not None and seen >= asked
