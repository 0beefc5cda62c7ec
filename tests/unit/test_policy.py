"""What a reclaim run may release, what stays, in which order, and the reason it gives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_milvus.reclaim.inventory import CollectionState, inventory
from airflow_provider_milvus.reclaim.policy import DateInName, Decision, Policy

NOW = datetime(2024, 3, 15, 12, tzinfo=UTC)
WEEK = timedelta(days=7)


def collection(name: str, state: str = "Loaded", aliases: tuple[str, ...] = ()) -> CollectionState:
    return CollectionState("default", name, state, aliases)


def policy(**rules: Any) -> Policy:
    given = {"patterns": (), "exclude": (), "older_than": None, "date_of": DateInName("%Y%m%d", UTC), "now": NOW, **rules}
    return Policy(**given)


def decide(subject: CollectionState | str, **rules: Any) -> Decision:
    subject = collection(subject) if isinstance(subject, str) else subject
    (decision,) = policy(**rules).decide([subject])
    return decision


def released(decisions: list[Decision]) -> list[str]:
    return [each.subject.collection for each in decisions if each.release]


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
        found = DateInName("%Y%m%d", ZoneInfo("Asia/Tokyo"))("events_20240301")
        assert found is not None
        assert found.astimezone(UTC) == datetime(2024, 2, 29, 15, tzinfo=UTC)

    @given(st.dates(min_value=datetime(1000, 1, 1).date()), st.from_regex(r"[A-Za-z_]{0,10}", fullmatch=True))
    def test_finds_every_date_that_was_written(self, day, prefix):
        found = DateInName("%Y%m%d", UTC)(f"{prefix}{day:%Y%m%d}")
        assert found is not None
        assert found.date() == day


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
        began_first, began_last = (DateInName("%Y%m%d", ZoneInfo(each)) for each in ("Asia/Tokyo", "America/New_York"))
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
        assert (decision.release, decision.day) == (True, None)


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

    def test_and_age_must_both_hold(self):
        rules = {"patterns": ("events_*",), "older_than": WEEK}
        assert decide("events_20240301", **rules).reason == "matches 'events_*', 14 days 12 h old, over 7 days"
        assert decide("events_20240314", **rules).release is False
        assert decide("other_20240301", **rules).reason == "matches no pattern"

    def test_that_match_nothing_are_named(self):
        rules = policy(patterns=("events_*", "evnets_*", "docs"))
        assert rules.unmatched([collection("events_1"), collection("docs", "NotLoad")]) == ["evnets_*"]

    def test_excluded_wins_over_matched(self):
        decision = decide("events_keep", patterns=("events_*",), exclude=("tmp_*", "*_keep"))
        assert (decision.release, decision.reason) == (False, "excluded by '*_keep'")

    @pytest.mark.parametrize("rules", [{}, {"exclude": ("docs",)}, {"max_releases": 1}, {"keep_aliased": False}])
    def test_none_and_no_age_never_means_everything(self, rules):
        with pytest.raises(ValueError, match="never means everything"):
            policy(**rules)


class TestState:
    @pytest.mark.parametrize(("state", "reason"), [("NotLoad", "not in memory"), ("Loading", "being loaded just now")])
    def test_only_what_is_loaded_goes(self, state, reason):
        decision = decide(collection("docs", state), patterns=("*",))
        assert (decision.release, decision.reason) == (False, reason)

    def test_what_an_alias_points_to_stays(self):
        decision = decide(collection("docs", aliases=("live", "old")), patterns=("*",))
        assert (decision.release, decision.reason) == (False, "behind the alias live, old")

    def test_what_an_alias_points_to_goes_if_so_asked(self):
        assert decide(collection("docs", aliases=("live",)), patterns=("*",), keep_aliased=False).release is True


class TestOrder:
    NAMES = ("b_20240302", "a_20240303", "c_20240301", "z_20240302")

    def test_the_oldest_go_first_then_by_name(self):
        decisions = policy(older_than=WEEK).decide(map(collection, self.NAMES))
        assert released(decisions) == ["c_20240301", "b_20240302", "z_20240302", "a_20240303"]

    def test_without_ages_by_name(self):
        decisions = policy(patterns=("*",)).decide(map(collection, self.NAMES))
        assert released(decisions) == sorted(self.NAMES)

    def test_what_goes_comes_before_what_stays(self):
        decisions = policy(patterns=("[bz]_*",)).decide(map(collection, self.NAMES))
        assert [each.subject.collection for each in decisions] == ["b_20240302", "z_20240302", "a_20240303", "c_20240301"]

    def test_the_youngest_are_left_when_there_are_too_many(self):
        decisions = policy(older_than=WEEK, max_releases=2).decide(map(collection, self.NAMES))
        assert released(decisions) == ["c_20240301", "b_20240302"]
        assert decisions[2].subject.collection == "a_20240303"
        assert decisions[2].reason == "beyond max_releases (2): 12 days 12 h old, over 7 days"

    def test_a_bound_that_is_not_reached_changes_nothing(self):
        decisions = policy(older_than=WEEK, max_releases=99).decide(map(collection, self.NAMES))
        assert len(released(decisions)) == len(self.NAMES)


NAMES = st.one_of(
    st.sampled_from(["docs", "tmp_1", "tmp_2", "events_20240315"]),
    st.dates(datetime(2024, 1, 1).date(), datetime(2024, 4, 1).date()).map(lambda day: f"events_{day:%Y%m%d}"),
)
COLLECTIONS = st.lists(
    st.builds(
        CollectionState,
        st.just("default"),
        NAMES,
        st.sampled_from(["Loaded", "Loaded", "Loading", "NotLoad"]),
        st.sampled_from([(), (), ("live",)]),
    ),
    unique_by=lambda each: each.collection,
    max_size=12,
)
GLOBS = st.lists(st.sampled_from(["*", "events_*", "tmp_?", "docs", "nothing*"]), max_size=3).map(tuple)
RULES = st.fixed_dictionaries(
    {
        "patterns": GLOBS,
        "exclude": GLOBS,
        "older_than": st.one_of(st.none(), st.timedeltas(timedelta(0), timedelta(days=60))),
        "keep_aliased": st.booleans(),
        "max_releases": st.one_of(st.none(), st.integers(1, 5)),
    }
).filter(lambda rules: rules["patterns"] or rules["older_than"] is not None)


@given(COLLECTIONS, RULES)
def test_nothing_goes_that_any_rule_keeps(collections, rules):
    from fnmatch import fnmatchcase

    decisions = policy(**rules).decide(collections)
    for each in decisions:
        if not each.release:
            continue
        name = each.subject.collection
        assert each.subject.state == "Loaded"
        assert not (rules["keep_aliased"] and each.subject.aliases)
        assert not any(fnmatchcase(name, pattern) for pattern in rules["exclude"])
        assert not rules["patterns"] or any(fnmatchcase(name, pattern) for pattern in rules["patterns"])
        if rules["older_than"] is not None:
            assert NOW - datetime.strptime(name[-8:], "%Y%m%d").replace(tzinfo=UTC) > rules["older_than"]
    assert rules["max_releases"] is None or len(released(decisions)) <= rules["max_releases"]


@given(COLLECTIONS, RULES)
def test_every_collection_gets_one_decision_with_a_reason(collections, rules):
    decisions = policy(**rules).decide(collections)
    assert sorted(each.subject.collection for each in decisions) == sorted(each.collection for each in collections)
    assert all(each.reason for each in decisions)


@given(COLLECTIONS.flatmap(lambda each: st.tuples(st.just(each), st.permutations(each))), RULES)
def test_the_order_in_which_the_server_lists_does_not_matter(orders, rules):
    listed, shuffled = orders
    assert policy(**rules).decide(listed) == policy(**rules).decide(shuffled)


@given(COLLECTIONS, RULES, GLOBS.filter(bool))
def test_one_more_exclusion_never_releases_more(collections, rules, more):
    unbounded = {**rules, "max_releases": None}
    before = set(released(policy(**unbounded).decide(collections)))
    after = set(released(policy(**{**unbounded, "exclude": rules["exclude"] + more}).decide(collections)))
    assert after <= before


class TestInventory:
    def test_puts_the_listings_together(self):
        found = inventory("db", ["b", "a", "c"], {"a": 100, "c": 40}, {"a": ["z", "y"]})
        assert found == [
            CollectionState("db", "a", "Loaded", ("y", "z")),
            CollectionState("db", "b", "NotLoad"),
            CollectionState("db", "c", "Loading"),
        ]

    def test_a_load_that_has_just_begun_is_loading(self):
        assert inventory("db", ["a"], {"a": 0}, {})[0].state == "Loading"

    def test_a_collection_that_came_between_two_listings_is_seen(self):
        assert [each.collection for each in inventory("db", ["a"], {"b": 100}, {})] == ["a", "b"]
