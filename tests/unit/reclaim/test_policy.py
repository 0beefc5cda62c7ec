"""What a reclaim run may release, what it keeps, in which order, and the reason it gives."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pendulum
import pytest
from hypothesis import given, strategies as st

from airflow_provider_milvus.reclaim.inventory import CollectionState, Memory
from airflow_provider_milvus.reclaim.policy import DateInName, Decision, Policy
from airflow_provider_milvus.reclaim.usage import Usage

pytestmark = pytest.mark.newest

NOW = datetime(2024, 3, 15, 12, tzinfo=UTC)
HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
GIB = 2**30


def collection(
    name: str, state: str = "Loaded", aliases: tuple[str, ...] = (), *, idle: timedelta | None = None, **known: Any
) -> CollectionState:
    if idle is not None:
        known["usage"] = Usage(idle, "seen idle")
    if "gib" in known:
        known["memory"] = Memory(known.pop("gib") * GIB, "measured")
    return CollectionState("default", name, state, aliases, **known)


def policy(**rules: Any) -> Policy:
    given = {"patterns": (), "exclude": (), "older_than": None, "date_of": DateInName("%Y%m%d", UTC), "now": NOW, **rules}
    return Policy(**given)


def decide(subject: CollectionState | str, **rules: Any) -> Decision:
    subject = collection(subject) if isinstance(subject, str) else subject
    (decision,) = policy(**rules).decide([subject])
    return decision


def released(decisions: list[Decision]) -> list[str]:
    return [decision.subject.collection for decision in decisions if decision.release]


class TestDateInName:
    @pytest.mark.parametrize(
        ("name", "date_format", "expected"),
        [
            ("events_20240301", "%Y%m%d", (2024, 3, 1)),
            ("20240301", "%Y%m%d", (2024, 3, 1)),
            ("events20240301tail", "%Y%m%d", (2024, 3, 1)),
            ("a_20240301_20240305_b", "%Y%m%d", (2024, 3, 5)),
            ("a_20240305_20240301_b", "%Y%m%d", (2024, 3, 5)),
            ("a_20241399_20240301", "%Y%m%d", (2024, 3, 1)),
            ("leap_20240229", "%Y%m%d", (2024, 2, 29)),
            ("events_2024_03_01", "%Y_%m_%d", (2024, 3, 1)),
            ("v2_2024_03_01", "%Y_%m_%d", (2024, 3, 1)),
            ("events_240301", "%y%m%d", (2024, 3, 1)),
            ("events_202403", "%Y%m", (2024, 3, 1)),
            ("events_2024061", "%Y%j", (2024, 3, 1)),
            ("events_01Mar2024", "%d%b%Y", (2024, 3, 1)),
            ("events_2024030107", "%Y%m%d%H", (2024, 3, 1, 7)),
            ("events_20240301T0730", "%Y%m%dT%H%M", (2024, 3, 1, 7, 30)),
            ("events_d20240301", "d%Y%m%d", (2024, 3, 1)),
        ],
    )
    def test_finds_the_youngest_date(self, name, date_format, expected):
        assert DateInName(date_format, UTC)(name) == datetime(*expected, tzinfo=UTC)

    @pytest.mark.parametrize(
        "name",
        [
            "docs",
            "",
            "events_2024030",
            "events_202403011",
            "events_120240301",
            "events_00020240301",
            "events_20241301",
            "events_20240230",
            "events_20230229",
            "events_00000101",
            "events_2024_03_01",
        ],
    )
    def test_sees_no_date_where_there_is_none(self, name):
        assert DateInName("%Y%m%d", UTC)(name) is None

    @pytest.mark.parametrize(
        "date_format", ["", "date", "%d", "%m%d", "%Y", "%Y%d", "%H%M", "%A%Y%m", "%s", "%Y%m%d%", "%-d%Y%m"]
    )
    def test_refuses_a_format_that_tells_no_day(self, date_format):
        with pytest.raises(ValueError, match=r"cannot be used|it needs"):
            DateInName(date_format, UTC)

    def test_a_day_begins_at_midnight_where_the_user_says(self):
        date = DateInName("%Y%m%d", ZoneInfo("Asia/Tokyo"))("events_20240301")
        assert date is not None
        assert date.astimezone(UTC) == datetime(2024, 2, 29, 15, tzinfo=UTC)

    @given(st.dates(min_value=datetime(1000, 1, 1).date()), st.from_regex(r"[A-Za-z_]{0,10}", fullmatch=True))
    def test_finds_every_date_that_was_written(self, day, prefix):
        date = DateInName("%Y%m%d", UTC)(f"{prefix}{day:%Y%m%d}")
        assert date is not None
        assert date.date() == day


class TestAge:
    """Counted from the start of the day in the name."""

    @pytest.mark.parametrize(
        ("name", "goes"),
        [
            ("events_20240307", True),
            ("events_20240308", True),
            ("events_20240309", False),
            ("events_20240315", False),
            ("events_20240316", False),
            ("events_29991231", False),
        ],
    )
    def test_over_a_week(self, name, goes):
        assert decide(name, older_than=WEEK).release is goes

    def test_of_exactly_a_week_stays(self):
        assert decide("events_20240308", older_than=WEEK, now=datetime(2024, 3, 15, tzinfo=UTC)).release is False

    def test_a_microsecond_over_a_week_goes(self):
        now = datetime(2024, 3, 15, tzinfo=UTC) + timedelta(microseconds=1)
        assert decide("events_20240308", older_than=WEEK, now=now).release is True

    def test_the_zone_decides_when_the_day_began(self):
        now = datetime(2024, 3, 14, 20, tzinfo=UTC)
        began_first, began_last = (DateInName("%Y%m%d", ZoneInfo(zone)) for zone in ("Asia/Tokyo", "America/New_York"))
        assert decide("events_20240308", older_than=WEEK, now=now, date_of=began_first).release is True
        assert decide("events_20240308", older_than=WEEK, now=now).release is False
        assert decide("events_20240308", older_than=WEEK, now=now, date_of=began_last).release is False

    def test_a_day_with_a_change_of_clocks_has_its_own_length(self):
        """31 March 2024 in Berlin has 23 hours."""
        berlin = ZoneInfo("Europe/Berlin")
        rules = {"older_than": timedelta(days=1), "date_of": DateInName("%Y%m%d", berlin)}
        midnight = datetime(2024, 4, 1, tzinfo=berlin)
        for now in (midnight, midnight.astimezone(UTC)):
            assert decide("events_20240331", now=now + timedelta(minutes=59), **rules).release is False
            assert decide("events_20240331", now=now + timedelta(minutes=61), **rules).release is True

    @pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
    @pytest.mark.parametrize(("name", "goes"), [("x_00010101", True), ("x_99991231", False), ("x_20240301", True)])
    def test_is_told_of_the_first_and_the_last_date_there_is(self, name, goes, zone):
        """As the operator counts, with pendulum's moments and zones."""
        rules = {"now": pendulum.instance(NOW), "date_of": DateInName("%Y%m%d", pendulum.timezone(zone))}
        assert decide(name, older_than=WEEK, **rules).release is goes

    def test_without_a_date_stays(self):
        assert decide("docs", older_than=WEEK).reason == "no date in its name"

    def test_is_told_in_days_or_hours(self):
        assert decide("events_20240301", older_than=WEEK).reason == "14 days 12 h old, over 7 days"
        assert decide("events_20240315", older_than=WEEK).reason == "12 h old, not over 7 days"

    def test_just_short_of_an_age_is_not_rounded_up_to_it(self):
        almost = datetime(2024, 3, 7, 23, 59, tzinfo=UTC)
        assert decide("events_20240301", older_than=WEEK, now=almost).reason == "6 days 23 h old, not over 7 days"

    def test_a_date_that_is_still_to_come_is_told_as_such(self):
        assert decide("events_20240320", older_than=WEEK).reason == "dated 4 days 12 h ahead"

    def test_does_not_count_when_it_was_not_asked_for(self):
        decision = decide("events_29991231", patterns=("events_*",))
        assert (decision.release, decision.reason) == (True, "matches 'events_*'")


class TestPatterns:
    @pytest.mark.parametrize(
        ("pattern", "name", "matches"),
        [
            ("events_*", "events_20240301", True),
            ("events_*", "events_", True),
            ("events_*", "my_events_1", False),
            ("events_*", "Events_1", False),
            ("tmp_?", "tmp_a", True),
            ("tmp_?", "tmp_ab", False),
            ("docs", "docs", True),
            ("docs", "docs2", False),
            ("*", "anything", True),
        ],
    )
    def test_say_what_may_go(self, pattern, name, matches):
        decision = decide(name, patterns=(pattern,))
        assert decision.release is matches
        assert decision.reason == (f"matches {pattern!r}" if matches else "matches no pattern")

    def test_say_what_an_age_is_about(self):
        rules = {"patterns": ("events_*",), "older_than": WEEK}
        assert decide("events_20240301", **rules).reason == "matches 'events_*', 14 days 12 h old, over 7 days"
        assert decide("events_20240314", **rules).release is False
        assert decide("other_20240301", **rules).reason == "matches no pattern"

    def test_that_match_nothing_are_named(self):
        rules = policy(patterns=("events_*", "evnets_*", "docs"))
        assert rules.unmatched([collection("events_1"), collection("docs", "NotLoad")]) == [("collections", "evnets_*")]

    def test_that_exclude_nothing_are_named_too(self):
        rules = policy(older_than=WEEK, exclude=("dosc", "docs", "evnets_*"))
        subjects = [collection("events_1"), collection("docs", "NotLoad")]
        assert rules.unmatched(subjects) == [("exclude", "dosc"), ("exclude", "evnets_*")]

    def test_that_exclude_what_no_other_pattern_names_match_it(self):
        assert policy(patterns=("events_*",), exclude=("docs",)).unmatched([collection("events_1"), collection("docs")]) == []

    def test_excluded_wins_over_matched(self):
        decision = decide("events_keep", patterns=("events_*",), exclude=("tmp_*", "*_keep"))
        assert (decision.release, decision.reason) == (False, "excluded by '*_keep'")

    @pytest.mark.parametrize(
        "rules", [{}, {"exclude": ("docs",)}, {"max_releases": 1}, {"keep_aliased": False}, {"min_idle": WEEK}]
    )
    def test_without_patterns_and_rules_to_release_nothing_is_released(self, rules):
        with pytest.raises(ValueError, match="never releases everything"):
            policy(**rules)


class TestState:
    @pytest.mark.parametrize(("state", "reason"), [("NotLoad", "not in memory"), ("Loading", "being loaded just now")])
    def test_only_what_is_loaded_goes(self, state, reason):
        decision = decide(collection("docs", state), patterns=("*",))
        assert (decision.release, decision.reason) == (False, reason)

    def test_what_an_alias_points_to_stays(self):
        decision = decide(collection("docs", aliases=("live", "old")), patterns=("*",))
        assert (decision.release, decision.reason) == (False, "behind the alias live, old")

    @pytest.mark.parametrize("value", ["never", "no", " keep ", "true"])
    def test_what_its_owner_wrote_anything_about_stays(self, value):
        decision = decide(collection("docs", properties={"airflow.reclaim": value}), patterns=("*",))
        assert (decision.release, decision.reason) == (False, f"its property airflow.reclaim is {value.strip()!r}")

    @pytest.mark.parametrize("properties", [{"airflow.reclaim": " "}, {"airflow.reclaim": ""}, {"collection.ttl.seconds": "1"}])
    def test_other_properties_do_not_matter(self, properties):
        assert decide(collection("docs", properties=properties), patterns=("*",)).release is True

    def test_what_an_alias_points_to_goes_if_so_asked(self):
        assert decide(collection("docs", aliases=("live",)), patterns=("*",), keep_aliased=False).release is True


class TestOrder:
    NAMES = ("b_20240302", "a_20240303", "c_20240301", "z_20240302")

    def test_the_oldest_go_first_then_by_name(self):
        decisions = policy(older_than=WEEK).decide([*map(collection, self.NAMES)])
        assert released(decisions) == ["c_20240301", "b_20240302", "z_20240302", "a_20240303"]

    def test_those_without_a_date_go_by_when_they_were_made_and_last_by_name(self):
        creation = {"d": NOW - 3 * DAY, "a": NOW - DAY, "c": None, "b": None}
        subjects = [collection(name, created=created) for name, created in creation.items()]
        assert released(policy(patterns=("*",)).decide(subjects)) == ["d", "a", "b", "c"]

    def test_the_longest_idle_go_before_the_oldest_and_the_unknown_last(self):
        idle = {"a_20240101": None, "b_20240102": HOUR, "c_20240302": WEEK, "d_20240301": WEEK}
        subjects = [collection(name, idle=span) for name, span in idle.items()]
        assert released(policy(patterns=("*",)).decide(subjects)) == ["d_20240301", "c_20240302", "b_20240102", "a_20240101"]

    def test_what_goes_comes_before_what_stays(self):
        decisions = policy(patterns=("[bz]_*",)).decide([*map(collection, self.NAMES)])
        assert [decision.subject.collection for decision in decisions] == [
            "b_20240302",
            "z_20240302",
            "a_20240303",
            "c_20240301",
        ]

    def test_the_youngest_are_left_when_there_are_too_many(self):
        decisions = policy(older_than=WEEK, max_releases=2).decide([*map(collection, self.NAMES)])
        assert released(decisions) == ["c_20240301", "b_20240302"]
        assert decisions[2].subject.collection == "a_20240303"
        assert decisions[2].reason == "beyond max_releases (2): 12 days 12 h old, over 7 days"

    def test_a_bound_that_is_not_reached_changes_nothing(self):
        decisions = policy(older_than=WEEK, max_releases=99).decide([*map(collection, self.NAMES)])
        assert len(released(decisions)) == len(self.NAMES)


class TestUse:
    @pytest.mark.parametrize(("idle", "goes"), [(None, False), (HOUR, False), (DAY, True), (WEEK, True)])
    def test_only_what_is_certainly_idle_for_so_long_goes(self, idle, goes):
        assert decide(collection("docs", idle=idle), idle_for=DAY).release is goes

    def test_that_is_not_known_says_why(self):
        assert decide("docs", idle_for=DAY).reason == "unknown: not asked"

    @pytest.mark.parametrize(("idle", "goes"), [(None, False), (HOUR, False), (DAY, True)])
    def test_within_min_idle_keeps_what_another_rule_asks_for(self, idle, goes):
        decision = decide(collection("events_20240101", idle=idle), older_than=WEEK, min_idle=DAY)
        assert decision.release is goes
        assert goes or decision.reason.startswith("not known to be idle for 1 day: ")

    @pytest.mark.parametrize(("seen", "goes"), [(None, False), (HOUR, False), (DAY, True)])
    def test_what_was_seen_loaded_for_so_long_goes(self, seen, goes):
        assert decide(collection("docs", loaded_for=seen), loaded_for=DAY).release is goes

    def test_any_rule_for_going_is_enough_and_the_reason_names_all_that_hold(self):
        subject = collection("docs_20240301", idle=WEEK, loaded_for=HOUR)
        rules = {"patterns": ("docs*",), "older_than": WEEK, "idle_for": DAY, "loaded_for": DAY}
        assert decide(subject, **rules).reason == "matches 'docs*', 14 days 12 h old, over 7 days, seen idle"

    def test_when_no_rule_asks_for_it_each_says_why_not(self):
        reason = decide("docs", older_than=WEEK, idle_for=DAY, loaded_for=DAY).reason
        assert reason == "no date in its name, unknown: not asked, seen loaded for 0 s, not yet 1 day"


class TestBudget:
    def decide(self, *subjects: CollectionState, gib: float, **rules: Any) -> dict[str, Decision]:
        decisions = policy(budget=int(gib * GIB), **rules).decide(subjects)
        return {decision.subject.collection: decision for decision in decisions}

    def test_takes_the_coldest_until_the_rest_fits(self):
        decisions = self.decide(
            collection("hot", gib=4, idle=HOUR),
            collection("cold", gib=4, idle=WEEK),
            collection("cool", gib=4, idle=DAY),
            gib=9,
        )
        assert {name for name, decision in decisions.items() if decision.release} == {"cold"}
        assert decisions["cold"].reason == "12.0 GiB is loaded, 9.0 GiB is allowed; the coldest left: seen idle"
        assert decisions["hot"].reason == decisions["cool"].reason == "what is loaded fits into 9.0 GiB"

    def test_calls_a_sum_with_an_estimate_in_it_an_estimate(self):
        guessed = replace(collection("guessed", gib=4, idle=HOUR), memory=Memory(4 * GIB, "estimated"))
        decisions = self.decide(guessed, collection("cold", gib=4, idle=WEEK), gib=5)
        assert decisions["cold"].reason.startswith("about 8.0 GiB is loaded")

    def test_counts_what_may_not_go_and_what_is_being_loaded(self):
        decisions = self.decide(
            collection("kept", gib=4),
            collection("coming", "Loading", gib=4),
            collection("tmp", gib=1),
            gib=4,
            exclude=("kept",),
        )
        assert {name for name, decision in decisions.items() if decision.release} == {"tmp"}

    def test_does_not_count_what_is_not_loaded(self):
        assert self.decide(collection("a", gib=1), collection("b", "NotLoad", gib=9), gib=1)["a"].release is False

    def test_counts_what_the_other_rules_release_first(self):
        subjects = collection("events_20240101", gib=4), collection("docs", gib=4, idle=WEEK)
        decisions = self.decide(*subjects, gib=4, older_than=WEEK)
        assert {name for name, decision in decisions.items() if decision.release} == {"events_20240101"}

    @pytest.mark.parametrize(("known", "words"), [({}, "its size is unknown"), ({"gib": 0}, "its size is 0")])
    def test_leaves_what_would_not_help(self, known, words):
        decisions = self.decide(collection("cold", idle=WEEK, **known), collection("cool", gib=2, idle=DAY), gib=1)
        assert {name for name, decision in decisions.items() if decision.release} == {"cool"}
        assert decisions["cold"].reason.startswith(words)

    def test_goes_no_further_than_max_releases_which_the_other_rules_use_up_first(self):
        subjects = [collection("events_20240101", gib=1), *(collection(name, gib=1, idle=WEEK) for name in "abc")]
        decisions = self.decide(*subjects, gib=1, older_than=WEEK, max_releases=2)
        assert [name for name, decision in decisions.items() if decision.release] == ["a", "events_20240101"]
        assert decisions["b"].reason == decisions["c"].reason == "beyond max_releases (2)"

    @pytest.mark.parametrize(
        ("known", "words"),
        [({"created": NOW - DAY}, "created 2024-03-14"), ({}, "of unknown age"), ({"idle": WEEK}, "seen idle")],
    )
    def test_says_how_cold_the_coldest_was(self, known, words):
        assert self.decide(collection("docs", gib=2, **known), gib=1)["docs"].reason.endswith(f"the coldest left: {words}")

    def test_says_the_date_in_the_name(self):
        (decision,) = self.decide(collection("events_20240101", gib=2), gib=1).values()
        assert decision.reason.endswith("dated 2024-01-01")
