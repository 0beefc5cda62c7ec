"""Several policies played back on one history, side by side: figures, the cheapest of them, and words. Plain data."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_milvus.reclaim.playback import Night, Playback, PlayedRelease
from airflow_provider_milvus.reclaim.report import MOST_IN_RESULT
from airflow_provider_milvus.wording import human, in_words

MONTH = timedelta(days=30)
MOST_GAPS = 100
"""In a result."""
ASSUMED = "aliases, properties and windows were taken from today, for lack of a report of that time"
CANDIDATES = tuple(timedelta(days=days) for days in (1, 2, 3, 5, 7, 10, 14, 21, 30))
"""Values of ``idle_for`` that are tried for a suggestion."""


@dataclass(slots=True)
class Backtest:
    """The playbacks by the names of their policies; the first one is the DAG's own.

    :param since: the time that the nights cover.
    :param price: of a GiB-hour; None: not given.
    :param most_missed: a suggestion has at most this number of missed searches in a month; None: none is asked for.
    :param unknown: when and why the use was not known: from, to, reason.
    """

    played: Mapping[str, Playback]
    since: timedelta
    price: float | None = None
    most_missed: int | None = None
    unknown: Sequence[tuple[float, float, str]] = ()
    warnings: list[str] = field(default_factory=list)

    @property
    def own(self) -> Playback:
        return next(iter(self.played.values()))

    @property
    def suggested(self) -> str | None:
        """The policy that frees most, of those that miss few enough searches."""
        if self.most_missed is None:
            return None
        most = self.most_missed * (self.since / MONTH)
        played = enumerate(self.played.values())
        good = [(-one.freed, one.missed, place) for place, one in played if one.freed and one.missed <= most]
        return list(self.played)[min(good)[2]] if good else None

    def as_result(self) -> dict[str, Any]:
        """JSON-safe and bounded, for XCom: ``releases`` are the first of the own policy, and ``omitted`` counts the rest."""
        releases = [_release(release) for release in self.own.releases]
        room = itertools.accumulate(len(json.dumps(release)) for release in releases)
        shown = [release for release, characters in zip(releases, room, strict=True) if characters <= MOST_IN_RESULT]
        result: dict[str, Any] = {
            "policies": [self.figures(name) for name in self.played],
            "nights": [_night(night) for night in self.own.nights],
            "releases": shown,
            "unknown": [
                {"start": _iso(start), "end": _iso(end), "reason": why} for start, end, why in list(self.unknown)[:MOST_GAPS]
            ],
            "assumed": [ASSUMED] if self.own.is_assumed else [],
            "warnings": self.warnings,
            "summary": self.as_sentence(),
            "markdown": self.as_markdown(),
        }
        if len(shown) < len(releases):
            result["omitted"] = len(releases) - len(shown)
        if self.most_missed is not None:
            result["suggested"] = self.suggested
        return result

    def figures(self, name: str) -> dict[str, Any]:
        """Of one policy. ``unknown`` are the releases whose gain or searches are not known; they count nothing."""
        played = self.played[name]
        budgeted = [night for night in played.nights if night.budget is not None]
        return {
            "policy": name,
            "nights": len(played.nights),
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
        saved = "" if own["saved"] is None else f", {own['saved']:,.2f} of the bill"
        unknown = f" Of {own['unknown']} releases something is not known." if own["unknown"] else ""
        assumed = " (assumed)" if own["assumed"] else ""
        suggested = "" if self.most_missed is None else f" Suggested: {self.suggested or 'none of these'}."
        return (
            f"In {own['nights']} nights this policy would have freed {own['gib_hours']:,.1f} GiB-hours{saved} with "
            f"{own['releases']} releases. Searches that would have met a released collection: {own['missed']}; reloads: "
            f"{own['reloads']}{assumed}.{unknown}{suggested} Nothing was changed."
        )

    def as_table(self) -> str:
        """The policies side by side, for the log."""
        return self._policies("simple")

    def as_markdown(self) -> str:
        """The sentence, the policies, what was released and what is not known, for a page or a message."""
        own = self.own.releases
        biggest = sorted(own, key=lambda release: -(release.freed or 0.0))[:50]
        notes = [*self.warnings, *([f"*Assumed*: {ASSUMED}."] if self.own.is_assumed else [])]
        notes += [f"Not known from {_short(start)} to {_short(end)}: {why}." for start, end, why in list(self.unknown)[:10]]
        return "\n\n".join(
            filter(
                None,
                [
                    self.as_sentence(),
                    self._policies("github"),
                    _releases(biggest, "github") if biggest else "",
                    f"… and {len(own) - len(biggest)} more releases" if len(own) > len(biggest) else "",
                    "\n".join(f"- {note}" for note in notes),
                ],
            )
        )

    def _policies(self, style: str) -> str:
        from tabulate import tabulate

        titles = {
            "policy": "policy",
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
        rows = [
            ["" if row[key] is None else f"{row[key]:,}" if key != "policy" else row[key] for key in shown] for row in figures
        ]
        return tabulate(rows, headers=[titles[key] for key in shown], tablefmt=style, disable_numparse=True)


def _night(night: Night) -> dict[str, Any]:
    return {
        "at": _iso(night.at),
        "releases": len(night.releases),
        "bytes_before": night.loaded,
        "bytes_after": night.left,
        "unknown_sizes": night.unknown,
        "missed": sum(release.missed or 0 for release in night.releases),
        "budget": night.budget,
        "within_budget": night.meets_budget,
        "assumed": night.is_assumed,
    }


def _release(release: PlayedRelease) -> dict[str, Any]:
    return {
        "at": _iso(release.at),
        "database": release.subject.database,
        "collection": release.subject.collection,
        "reason": release.reason,
        "bytes": release.subject.memory.bytes,
        "gib_hours": None if release.freed is None else round(release.freed, 3),
        "next_use": None if release.next_use is None else _iso(release.next_use),
        "missed": release.missed,
    }


def _releases(releases: Sequence[PlayedRelease], style: str) -> str:
    from tabulate import tabulate

    rows = [
        (
            _short(release.at),
            release.subject.collection,
            "" if release.subject.memory.bytes is None else human(release.subject.memory.bytes),
            "not known" if release.freed is None else f"{release.freed:,.1f}",
            in_words(timedelta(seconds=release.until - release.at)),
            "" if release.next_use is None else _short(release.next_use),
            "not known" if release.missed is None else release.missed,
            release.reason,
        )
        for release in releases
    ]
    headers = ("night", "collection", "memory", "GiB-hours", "released for", "next searched", "searches missed", "why")
    return tabulate(rows, headers=headers, tablefmt=style, disable_numparse=True)


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()


def _short(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M}"
