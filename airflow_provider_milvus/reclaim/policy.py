"""Which collections to release, which to keep, and in which order; each decision has its reason. A rule to keep always wins."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from fnmatch import fnmatchcase

from airflow_provider_milvus.reclaim.inventory import MEASURED, CollectionState, total
from airflow_provider_milvus.schema.window_marks import RECLAIM_PROPERTY
from airflow_provider_milvus.wording import human, in_words

NO_PATTERN = "matches no pattern"
"""The reason of what a run is not about."""
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
"""The ``strptime`` directives of a date format, and what their text looks like."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether to release a collection, and why. ``day`` is the date in its name, if there is one.

    ``for_budget``: the collection is kept so far, but may be released to meet the budget.
    """

    subject: CollectionState
    release: bool
    reason: str
    day: datetime | None = None
    for_budget: bool = False


class DateInName:
    """Finds the date in a collection's name, written in a ``strptime`` format such as ``%Y%m%d``.

    Of several dates the latest counts. Digits directly before or behind a date make it another number.

    :raises ValueError: the format has a directive that is not a date's, or lacks a year, or a month or day of the year.
    """

    def __init__(self, date_format: str, zone: tzinfo) -> None:
        self._format = date_format
        self._zone = zone
        self._pattern = re.compile(rf"(?<!\d)(?=({_to_regex(date_format)})(?!\d))")

    def __call__(self, name: str) -> datetime | None:
        dates = [date for text in self._pattern.findall(name) if (date := self._parse(text)) is not None]
        return max(dates, default=None)

    def _parse(self, text: str) -> datetime | None:
        try:
            return datetime.strptime(text, self._format).replace(tzinfo=self._zone)
        except ValueError:
            return None


def _to_regex(date_format: str) -> str:
    parts = re.findall(r"%.|[^%]+|%$", date_format)
    unknown = [part for part in parts if part.startswith("%") and part not in _DIRECTIVES]
    if unknown:
        raise ValueError(f"{', '.join(unknown)} cannot be used; use {', '.join(_DIRECTIVES)}")
    used = {part for part in parts if part.startswith("%")}
    if not (used & {"%Y", "%y"} and ("%j" in used or used & {"%m", "%b"})):
        raise ValueError("it needs a year and a month, or a year and a day of the year")
    return "".join(_DIRECTIVES[part] if part.startswith("%") else re.escape(part) for part in parts)


def is_over(most: timedelta, day: datetime | None, now: datetime) -> tuple[bool, str]:
    """Whether what has the date ``day`` in its name is older than ``most``, and why or why not, in words."""
    if day is None:
        return False, "no date in its name"
    # In UTC, since Python ignores changes of the clock when it subtracts two times of the same zone.
    age = now.astimezone(UTC) - day
    if age < timedelta(0):
        return False, f"dated {in_words(-age)} ahead"
    if age <= most:
        return False, f"{in_words(age)} old, not over {in_words(most)}"
    return True, f"{in_words(age)} old, over {in_words(most)}"


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of one reclaim run.

    ``patterns`` and ``exclude`` are the scope of the run. A collection in scope is released when *no* rule to keep it applies,
    and *any* rule to release it does: ``older_than``, ``idle_for``, ``loaded_for`` or ``budget``. Without a rule to release,
    all collections in scope are released.

    :param patterns: names in scope, with ``*`` and ``?``; empty: every name, which needs a rule to release.
    :param exclude: names out of scope.
    :param older_than: release what is older, by the date in its name, from the start of that day to ``now``.
    :param idle_for: release what was certainly neither searched nor queried for this time.
    :param loaded_for: release what was seen loaded for this time.
    :param budget: bytes that all loaded collections together may take: the coldest are released until they fit.
    :param min_idle: keep what was not certainly idle for this time.
    :param keep_aliased: keep what an alias points to.
    :param max_releases: the greatest number of releases; the coldest come first.
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
            raise ValueError("no rule says what to release, and a reclaim run never releases everything")

    @property
    def _has_rules(self) -> bool:
        return any(rule is not None for rule in (self.older_than, self.idle_for, self.loaded_for))

    def in_scope(self, name: str) -> bool:
        """Whether the run may release a collection of this name at all."""
        return self._out_of_scope(name) is None

    def decide(self, collections: Sequence[CollectionState]) -> list[Decision]:
        """A decision for each collection: first the releases, in their order, then what is kept, by name.

        The order of ``collections`` makes no difference.
        """
        decisions = sorted((self._decide(collection) for collection in collections), key=_coldest_first)
        going, beyond = self._at_most([decision for decision in decisions if decision.release])
        staying = [decision for decision in decisions if not decision.release] + beyond
        if self.budget is not None:
            room = None if self.max_releases is None else self.max_releases - len(going)
            going, staying = self._fit(collections, going, staying, room)
        return sorted(going, key=_coldest_first) + sorted(staying, key=lambda decision: decision.subject.key)

    def unmatched(self, collections: Iterable[CollectionState]) -> list[tuple[str, str]]:
        """The patterns that match no collection's name, probably by mistake: the operator's argument, and the pattern."""
        names = {collection.collection for collection in collections}
        given = [("collections", pattern) for pattern in self.patterns] + [("exclude", pattern) for pattern in self.exclude]
        return [(argument, pattern) for argument, pattern in given if not any(fnmatchcase(name, pattern) for name in names)]

    def _at_most(self, going: list[Decision]) -> tuple[list[Decision], list[Decision]]:
        if self.max_releases is None:
            return going, []
        beyond = [
            replace(decision, release=False, reason=f"beyond max_releases ({self.max_releases}): {decision.reason}")
            for decision in going[self.max_releases :]
        ]
        return going[: self.max_releases], beyond

    def _fit(
        self, collections: Sequence[CollectionState], going: list[Decision], staying: list[Decision], room: int | None
    ) -> tuple[list[Decision], list[Decision]]:
        """Release the coldest collections that are ``for_budget`` until the rest fits; ``room`` is the number that may go."""
        assert self.budget is not None
        loaded = [collection for collection in collections if collection.in_memory]
        about = "about " if total(loaded).source != MEASURED else ""
        left = sum(collection.memory.bytes or 0 for collection in loaded)
        left -= sum(decision.subject.memory.bytes or 0 for decision in going)
        released, kept = list(going), []
        for decision in staying:
            size = decision.subject.memory.bytes
            if not decision.for_budget:
                kept.append(decision)
            elif left <= self.budget:
                kept.append(replace(decision, reason=f"what is loaded fits into {human(self.budget)}"))
            elif not size:
                known = "unknown" if size is None else "0"
                kept.append(replace(decision, reason=f"its size is {known}, so it would not count towards the budget"))
            elif room is not None and len(released) - len(going) >= room:
                kept.append(replace(decision, reason=f"beyond max_releases ({self.max_releases})"))
            else:
                reason = (
                    f"{about}{human(left)} is loaded, {human(self.budget)} is allowed; "
                    f"the coldest left: {self._warmth(decision)}"
                )
                released.append(replace(decision, release=True, reason=reason))
                left -= size
        return released, kept

    def _warmth(self, decision: Decision) -> str:
        subject = decision.subject
        if subject.usage.idle_for is not None:
            return subject.usage.reason
        if decision.day is not None:
            return f"dated {decision.day:%Y-%m-%d}"
        return f"created {subject.created:%Y-%m-%d}" if subject.created else "of unknown age"

    def _decide(self, subject: CollectionState) -> Decision:
        day = self.date_of(subject.collection)
        keep = self._reason_to_keep(subject)
        if keep is not None:
            return Decision(subject, False, keep, day)
        rules = [rule for rule in (self._by_age(day), self._by_use(subject), self._by_time_loaded(subject)) if rule is not None]
        applying = [reason for applies, reason in rules if applies]
        if applying or (not self._has_rules and self.budget is None):
            return Decision(subject, True, ", ".join([*self._matched(subject), *applying]), day)
        others = ", ".join(reason for applies, reason in rules if not applies)
        return Decision(subject, False, others, day, for_budget=self.budget is not None)

    def _out_of_scope(self, name: str) -> str | None:
        if self.patterns and not any(fnmatchcase(name, pattern) for pattern in self.patterns):
            return NO_PATTERN
        excluding = next((pattern for pattern in self.exclude if fnmatchcase(name, pattern)), None)
        return f"excluded by {excluding!r}" if excluding is not None else None

    def _reason_to_keep(self, subject: CollectionState) -> str | None:
        out_of_scope = self._out_of_scope(subject.collection)
        if out_of_scope is not None:
            return out_of_scope
        if subject.state == "Loading":
            return "being loaded just now"
        if subject.state != "Loaded":
            return "not in memory"
        if value := subject.properties.get(RECLAIM_PROPERTY, "").strip():
            # Any value keeps it: whoever set another value than "never" had a reason too.
            return f"its property {RECLAIM_PROPERTY} is {value!r}"
        if subject.windows:
            return "a window (milvus_loaded) needs it"
        if self.keep_aliased and subject.aliases:
            return f"behind the alias {', '.join(subject.aliases)}"
        if self.min_idle is not None and not _at_least(subject.usage.idle_for, self.min_idle):
            return f"not known to be idle for {in_words(self.min_idle)}: {subject.usage.reason}"
        return None

    def _by_age(self, day: datetime | None) -> tuple[bool, str] | None:
        return None if self.older_than is None else is_over(self.older_than, day, self.now)

    def _by_use(self, subject: CollectionState) -> tuple[bool, str] | None:
        if self.idle_for is None:
            return None
        return _at_least(subject.usage.idle_for, self.idle_for), subject.usage.reason

    def _by_time_loaded(self, subject: CollectionState) -> tuple[bool, str] | None:
        if self.loaded_for is None:
            return None
        time = subject.loaded_for or timedelta(0)
        applies = time >= self.loaded_for
        return applies, f"seen loaded for {in_words(time)}, {'at least' if applies else 'not yet'} {in_words(self.loaded_for)}"

    def _matched(self, subject: CollectionState) -> list[str]:
        return [f"matches {pattern!r}" for pattern in self.patterns if fnmatchcase(subject.collection, pattern)][:1]


def _coldest_first(decision: Decision) -> tuple[float, float, str, str]:
    """The longest idle first, unknown use last; of equals the oldest first, by the date in the name or else by its creation."""
    subject = decision.subject
    idle = subject.usage.idle_for.total_seconds() if subject.usage.idle_for is not None else -1.0
    created = decision.day or subject.created
    return -idle, created.timestamp() if created else float("inf"), *subject.key


def _at_least(idle: timedelta | None, needed: timedelta) -> bool:
    return idle is not None and idle >= needed
