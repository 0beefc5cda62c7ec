"""Several policies played back on one history, side by side: figures, the cheapest of them, and words. Plain data."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from airflow_provider_milvus.reclaim.playback import Night, Playback, PlayedRelease
from airflow_provider_milvus.reclaim.report import MOST_IN_RESULT
from airflow_provider_milvus.wording import counted, human, in_words

MONTH = 30
"""Nights."""
MOST_GAPS = 100
MOST_NIGHTS = 400
"""In a result."""
LEAST_NIGHTS = 7
"""Decided nights that a suggestion rests on."""
ASSUMED = "aliases, properties and windows were taken from today, for lack of a report of that time"
CANDIDATES = tuple(timedelta(days=days) for days in (1, 2, 3, 5, 7, 10, 14, 21, 30))
"""Values of ``idle_for`` that are tried for a suggestion."""


@dataclass(slots=True)
class Backtest:
    """The playbacks by the names of their policies; the first one is the DAG's own.

    :param price: of a GiB-hour; None: not given.
    :param most_missed: a suggestion has at most this number of missed searches in a month; None: none is asked for.
    :param unknown: when and why the use was not known: from, to, reason.
    :param timezone: the one in which nights are shown.
    """

    played: Mapping[str, Playback]
    price: float | None = None
    most_missed: int | None = None
    unknown: Sequence[tuple[float, float, str]] = ()
    warnings: list[str] = field(default_factory=list)
    timezone: tzinfo = UTC

    @property
    def own(self) -> Playback:
        return next(iter(self.played.values()))

    @property
    def suggested(self) -> str | None:
        """The policy that frees most, of those that miss few enough searches in the nights that they decide."""
        if self.most_missed is None:
            return None
        most = self.most_missed / MONTH
        played = enumerate(self.played.values())
        good = [
            (-one.freed, one.missed, place)
            for place, one in played
            if one.freed and one.decided >= LEAST_NIGHTS and one.missed <= most * one.decided
        ]
        return list(self.played)[min(good)[2]] if good else None

    def as_result(self) -> dict[str, Any]:
        """JSON-safe and bounded, for XCom: ``releases`` are the first of the own policy, and ``omitted`` counts the rest."""
        releases = [self._release(release) for release in self.own.releases]
        room = itertools.accumulate(len(json.dumps(release)) for release in releases)
        shown = [release for release, characters in zip(releases, room, strict=True) if characters <= MOST_IN_RESULT]
        result: dict[str, Any] = {
            "policies": [self.figures(name) for name in self.played],
            "nights": [self._night(night) for night in self.own.nights[-MOST_NIGHTS:]],
            "releases": shown,
            "unknown": [
                {"start": self._iso(start), "end": self._iso(end), "reason": why}
                for start, end, why in list(self.unknown)[:MOST_GAPS]
            ],
            "assumed": [ASSUMED] if self.is_assumed else [],
            "warnings": self.warnings,
            "summary": self.as_sentence(),
            "markdown": self.as_markdown(),
        }
        if len(shown) < len(releases):
            result["omitted"] = len(releases) - len(shown)
        if self.most_missed is not None:
            result["suggested"] = self.suggested
        return result

    @property
    def is_assumed(self) -> bool:
        """Whether the figures of some policy are."""
        return any(played.is_assumed for played in self.played.values())

    def figures(self, name: str) -> dict[str, Any]:
        """Of one policy. ``unknown`` are the releases whose gain, or some of whose searches, are not known."""
        played = self.played[name]
        budgeted = [night for night in played.nights if night.budget is not None]
        return {
            "policy": name,
            "nights": len(played.nights),
            "decided": played.decided,
            "releases": len(played.releases),
            "gib_hours": round(played.freed, 3),
            "saved": None if self.price is None else round(played.freed * self.price, 2),
            "missed": played.missed,
            "reloads": played.reloads,
            "unknown": played.unknown,
            "within_budget": sum(night.meets_budget is True for night in budgeted) if budgeted else None,
            "over_budget": sum(night.meets_budget is False for night in budgeted) if budgeted else None,
            "assumed": played.is_assumed,
        }

    def as_sentence(self) -> str:
        own = self.figures(next(iter(self.played)))
        undecided = own["nights"] - own["decided"]
        nights = counted(own["nights"], "night")
        if undecided:
            nights += f", {undecided} of them not known well enough to decide,"
        saved = "" if own["saved"] is None else f", {own['saved']:,.2f} of the bill"
        least = "at least " if own["unknown"] else ""
        unknown = f" Of {counted(own['unknown'], 'release')} something is not known." if own["unknown"] else ""
        return (
            f"In {nights} this policy would have freed {own['gib_hours']:,.1f} GiB-hours{saved} with "
            f"{counted(own['releases'], 'release')}{' (assumed)' if own['assumed'] else ''}. Searches that would have met a "
            f"released collection: {least}{own['missed']}; reloads: {least}{own['reloads']}.{unknown}{self._suggestion()} "
            "Nothing was changed."
        )

    def _suggestion(self) -> str:
        if self.most_missed is None:
            return ""
        if (name := self.suggested) is None:
            few = all(played.decided < LEAST_NIGHTS for played in self.played.values())
            why = f", since the history decides fewer than {LEAST_NIGHTS} nights" if few else ""
            return f" Suggested: none of these{why}."
        own = self.figures(name)
        marks = [*(["assumed"] if own["assumed"] else []), *([f"{own['unknown']} not known in full"] if own["unknown"] else [])]
        return f" Suggested: {name}" + (f" ({', '.join(marks)})." if marks else ".")

    def as_table(self) -> str:
        """The policies side by side, for the log."""
        return self._policies("simple")

    def as_markdown(self) -> str:
        """The sentence, the policies, what was released and what is not known, for a page or a message."""
        own = self.own.releases
        biggest = sorted(own, key=lambda release: -(release.freed or 0.0))[:50]
        notes = [*self.warnings, *([f"*Assumed*: {ASSUMED}."] if self.is_assumed else [])]
        notes += [
            f"Not known from {self._short(start)} to {self._short(end)}: {why}." for start, end, why in list(self.unknown)[:10]
        ]
        return "\n\n".join(
            filter(
                None,
                [
                    self.as_sentence(),
                    self._policies("github"),
                    self._releases(biggest, "github") if biggest else "",
                    f"… and {len(own) - len(biggest)} more releases" if len(own) > len(biggest) else "",
                    "\n".join(f"- {note}" for note in notes),
                ],
            )
        )

    def _policies(self, style: str) -> str:
        from tabulate import tabulate

        titles = {
            "policy": "policy",
            "decided": "nights decided",
            "releases": "releases",
            "gib_hours": "GiB-hours freed",
            "saved": "saved",
            "missed": "searches missed",
            "reloads": "reloads",
            "unknown": "not known",
            "within_budget": "nights within budget",
            "over_budget": "over it",
        }
        figures = [self.figures(name) for name in self.played]
        shown = [key for key in titles if any(row[key] is not None for row in figures)]

        def cell(row: Mapping[str, Any], key: str) -> str:
            if key == "policy":
                return f"{row[key]} (assumed)" if row["assumed"] else str(row[key])
            return "" if row[key] is None else f"{row[key]:,}"

        rows = [[cell(row, key) for key in shown] for row in figures]
        return tabulate(rows, headers=[titles[key] for key in shown], tablefmt=style, disable_numparse=True)

    def _night(self, night: Night) -> dict[str, Any]:
        return {
            "at": self._iso(night.at),
            "releases": len(night.releases),
            "bytes_before": night.loaded if night.is_known else None,
            "bytes_after": night.left if night.is_known else None,
            "unknown_sizes": night.unknown,
            "missed": sum(release.missed for release in night.releases),
            "budget": night.budget,
            "within_budget": night.meets_budget,
            "decided": night.is_decided,
            "assumed": night.is_assumed,
        }

    def _release(self, release: PlayedRelease) -> dict[str, Any]:
        return {
            "at": self._iso(release.at),
            "database": release.subject.database,
            "collection": release.subject.collection,
            "reason": release.reason,
            "bytes": release.subject.memory.bytes,
            "gib_hours": None if release.freed is None else round(release.freed, 3),
            "next_use": None if release.next_use is None else self._iso(release.next_use),
            "missed": release.missed,
            "all_missed_known": release.all_missed_known,
        }

    def _releases(self, releases: Sequence[PlayedRelease], style: str) -> str:
        from tabulate import tabulate

        rows = [
            (
                self._short(release.at),
                release.subject.collection,
                "" if release.subject.memory.bytes is None else human(release.subject.memory.bytes),
                "not known" if release.freed is None else f"{release.freed:,.1f}",
                in_words(timedelta(seconds=release.until - release.at)),
                "" if release.next_use is None else self._short(release.next_use),
                f"{'' if release.all_missed_known else 'at least '}{release.missed}",
                release.reason,
            )
            for release in releases
        ]
        headers = ("night", "collection", "memory", "GiB-hours", "released for", "next searched", "searches missed", "why")
        return tabulate(rows, headers=headers, tablefmt=style, disable_numparse=True)

    def at(self, moment: float) -> datetime:
        return datetime.fromtimestamp(moment, self.timezone)

    def _iso(self, moment: float) -> str:
        return self.at(moment).isoformat()

    def _short(self, moment: float) -> str:
        return f"{self.at(moment):%Y-%m-%d %H:%M}"
