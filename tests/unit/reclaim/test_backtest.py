"""Policies side by side: what is said of each, and which one is suggested."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from airflow_provider_milvus.reclaim.backtest import Backtest
from airflow_provider_milvus.reclaim.inventory import MEASURED, CollectionState, Memory
from airflow_provider_milvus.reclaim.playback import Night, Playback, PlayedRelease

GIB, DAY, FIRST = 2**30, 86_400.0, 1_772_334_000.0
"""The first night is at 03:00 UTC on 1 March 2026."""


def release(night: int, *, freed: float | None = 10.0, missed: int = 0, known: bool = True) -> PlayedRelease:
    subject = CollectionState("default", "docs", "Loaded", memory=Memory(GIB, MEASURED))
    at = FIRST + night * DAY
    return PlayedRelease(subject, "old", at, at + DAY, at + DAY if missed else None, freed, missed, known)


def playback(*releases: PlayedRelease, nights: int = 30, decided: int = 30, assumed: bool = False) -> Playback:
    """All in the first night; the last ``decided`` nights are."""
    first = Night(FIRST, releases, GIB, 0, 0, None, assumed)
    more = [replace(first, at=FIRST + number * DAY, releases=[]) for number in range(1, nights)]
    return Playback(
        [
            replace(night, is_decided=number >= nights - decided, is_known=number >= nights - decided)
            for number, night in enumerate([first, *more])
        ]
    )


def suggestion(most_missed: int, **played: Playback) -> str:
    told = Backtest(played, most_missed=most_missed).as_sentence().partition(" Suggested: ")[2]
    return told.removesuffix(" Nothing was changed.")


def test_suggests_what_frees_most_of_those_that_miss_few() -> None:
    one = {"own": playback(), "a": playback(release(0, missed=3)), "b": playback(release(0, freed=11.0, missed=4))}
    assert [suggestion(most, **one) for most in (2, 3, 4)] == ["none of these.", "a.", "b."]


def test_a_suggestion_is_for_thirty_nights_that_are_decided() -> None:
    # Four in eight nights are fifteen a month.
    few = {"own": playback(), "a": playback(release(0, missed=4), decided=8)}
    assert [suggestion(most, **few) for most in (14, 15)] == ["none of these.", "a."]
    short = {"own": playback(decided=6), "a": playback(release(0), decided=6)}
    assert suggestion(99, **short) == "none of these, since the history decides fewer than 7 nights."


def test_a_suggestion_says_what_it_rests_on() -> None:
    loose = playback(release(0, missed=1, known=False), release(0, freed=None), assumed=True)
    assert suggestion(5, own=playback(), a=loose) == "a (assumed, 2 not known in full)."


def test_the_sentence_says_how_much_is_known() -> None:
    played = playback(release(0, missed=4, known=False), decided=8, assumed=True)
    assert Backtest({"own": played}, price=0.5).as_sentence() == (
        "In 30 nights, 22 of them not known well enough to decide, this policy would have freed 10.0 GiB-hours, 5.00 of the "
        "bill with 1 release (assumed). Searches that would have met a released collection: at least 4; reloads: at least 1. "
        "Of 1 release something is not known. Nothing was changed."
    )
    assert Backtest({"own": playback(release(0), nights=1, decided=1)}).as_sentence() == (
        "In 1 night this policy would have freed 10.0 GiB-hours with 1 release. Searches that would have met a released "
        "collection: 0; reloads: 0. Nothing was changed."
    )


def test_a_night_that_is_not_known_has_no_bytes() -> None:
    nights = Backtest({"own": playback(nights=3, decided=1)}).as_result()["nights"]
    assert [(night["bytes_before"], night["bytes_after"], night["decided"]) for night in nights] == [
        (None, None, False),
        (None, None, False),
        (GIB, 0, True),
    ]


@pytest.mark.parametrize("form", ["as_table", "as_markdown"])
def test_marks_each_policy_that_is_assumed(form: str) -> None:
    told = getattr(Backtest({"own": playback(), "wider": playback(assumed=True)}), form)()
    assert "wider (assumed)" in told
    assert "own (assumed)" not in told
    assert ("today" in told) == (form == "as_markdown")


def test_nights_are_those_of_the_time_zone() -> None:
    told = Backtest({"own": playback(release(0))}, timezone=ZoneInfo("Asia/Kolkata"))
    result: dict[str, Any] = told.as_result()
    assert result["nights"][0]["at"] == "2026-03-01T08:30:00+05:30"
    assert "2026-03-01 08:30" in told.as_markdown()


def test_a_result_is_bounded() -> None:
    long = Backtest({"own": playback(*[release(0)] * 5000, nights=1000)}).as_result()
    assert len(long["nights"]) == 400
    assert long["omitted"] == 5000 - len(long["releases"]) > 0
