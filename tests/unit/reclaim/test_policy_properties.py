"""What holds of every plan, whatever is loaded and whichever rules are given."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from hypothesis import assume, given, settings, strategies as st

from airflow_provider_milvus.reclaim.inventory import CollectionState, Memory
from airflow_provider_milvus.reclaim.policy import DateInName, Decision, Policy
from airflow_provider_milvus.reclaim.usage import Usage

NOW = datetime(2024, 3, 15, 12, tzinfo=UTC)
HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)

NAMES = st.one_of(
    st.sampled_from(["docs", "tmp_1", "tmp_2"]),
    st.dates(datetime(2024, 2, 1).date(), datetime(2024, 3, 20).date()).map(lambda day: f"events_{day:%Y%m%d}"),
)
MOSTLY_NOTHING = st.sampled_from([None] * 5 + ["never", " ", "whatever"])
USES = st.sampled_from([None, None, HOUR, DAY, WEEK]).map(lambda idle: Usage(idle, "as the counters say"))
SIZES = st.sampled_from([None, 0, *range(1, 9), *range(1, 9), 10**9])

often = settings(max_examples=60)
"""For what takes several things at once to go wrong."""


def measured(size: int | None) -> Memory:
    return Memory() if size is None else Memory(size, "measured")


SUBJECTS = st.builds(
    CollectionState,
    st.sampled_from(["default", "default", "books"]),
    NAMES,
    st.sampled_from(["Loaded"] * 6 + ["Loading", "NotLoad"]),
    st.sampled_from([(), (), (), (), ("live",)]),
    created=st.sampled_from([None, NOW - HOUR, NOW - 9 * DAY, NOW - 9 * DAY]),
    properties=MOSTLY_NOTHING.map(lambda value: {} if value is None else {"airflow.reclaim": value}),
    memory=SIZES.map(measured),
    usage=USES,
    loaded_for=st.sampled_from([None, HOUR, WEEK]),
)
COLLECTIONS = st.lists(SUBJECTS, unique_by=lambda subject: subject.key, max_size=9)
CROWDS = st.lists(SUBJECTS, unique_by=lambda subject: subject.key, min_size=5, max_size=9)
PATTERNS = st.sampled_from([(), ("*",), ("*",), ("events_*",), ("tmp_?", "events_*"), ("nothing*",)])
NAMED = st.sampled_from(["tmp_1", "docs", "*1", "nothing*"])
EXCLUDED = st.one_of(st.just(()), st.just(()), st.lists(NAMED, max_size=2).map(tuple))
SPANS = st.sampled_from([HOUR, DAY, WEEK])
SELDOM = st.one_of(st.none(), st.none(), SPANS)


def rules(budget: st.SearchStrategy[int | None]) -> st.SearchStrategy[dict[str, Any]]:
    given = st.fixed_dictionaries(
        {
            "patterns": PATTERNS,
            "exclude": EXCLUDED,
            "older_than": st.sampled_from([None, None, None, timedelta(0), WEEK, 4 * WEEK]),
            "idle_for": SELDOM,
            "loaded_for": SELDOM,
            "budget": budget,
            "min_idle": SELDOM,
            "keep_aliased": st.booleans(),
            "max_releases": st.sampled_from([None, None, 1, 2, 4]),
        }
    )
    return given.filter(lambda rules: rules["patterns"] or any(rules[rule] is not None for rule in (*FOR_GOING, "budget")))


FOR_GOING = ("older_than", "idle_for", "loaded_for")
RULES = rules(st.one_of(st.none(), st.integers(0, 15)))
WITH_BUDGET = rules(st.integers(0, 25))


def decide(collections: list[CollectionState], rules: dict[str, Any], **other: Any) -> list[Decision]:
    return Policy(**{**rules, **other}, date_of=DateInName("%Y%m%d", UTC), now=NOW).decide(collections)


def gone(decisions: list[Decision]) -> list[CollectionState]:
    return [decision.subject for decision in decisions if decision.release]


def idle(subject: CollectionState) -> timedelta:
    """Less than nothing where it is not known."""
    return subject.usage.idle_for if subject.usage.idle_for is not None else timedelta(-1)


def has_to_stay(subject: CollectionState, rules: dict[str, Any]) -> bool:
    return any(
        (
            subject.state != "Loaded",
            subject.properties.get("airflow.reclaim", "").strip(),
            rules["keep_aliased"] and subject.aliases,
            rules["min_idle"] is not None and idle(subject) < rules["min_idle"],
            any(fnmatchcase(subject.collection, pattern) for pattern in rules["exclude"]),
            rules["patterns"] and not any(fnmatchcase(subject.collection, pattern) for pattern in rules["patterns"]),
        )
    )


def is_asked_for(subject: CollectionState, rules: dict[str, Any]) -> bool:
    """By another rule than the budget."""
    if all(rules[rule] is None for rule in (*FOR_GOING, "budget")):
        return True
    name, dated = subject.collection, subject.collection.startswith("events_")
    age = NOW - datetime.strptime(name[-8:], "%Y%m%d").replace(tzinfo=UTC) if dated else timedelta.min
    return (
        (rules["older_than"] is not None and age > rules["older_than"])
        or (rules["idle_for"] is not None and idle(subject) >= rules["idle_for"])
        or (rules["loaded_for"] is not None and (subject.loaded_for or timedelta(0)) >= rules["loaded_for"])
    )


def loaded_bytes(collections: list[CollectionState], but: list[CollectionState]) -> int:
    without = {subject.key for subject in but}
    return sum(subject.memory.bytes or 0 for subject in collections if subject.in_memory and subject.key not in without)


@given(COLLECTIONS, RULES)
def test_stay_always_wins(collections, rules):
    assert [subject.key for subject in gone(decide(collections, rules)) if has_to_stay(subject, rules)] == []


@given(COLLECTIONS, RULES)
def test_all_that_a_rule_asks_for_goes_unless_something_keeps_it(collections, rules):
    due = {subject.key for subject in collections if is_asked_for(subject, rules) and not has_to_stay(subject, rules)}
    released = {subject.key for subject in gone(decide(collections, rules, max_releases=None))}
    assert due <= released
    assert rules["budget"] is not None or released == due


@given(COLLECTIONS, RULES, SPANS)
def test_with_min_idle_nothing_goes_whose_use_is_unknown(collections, rules, span):
    assert [subject.key for subject in gone(decide(collections, rules, min_idle=span)) if subject.usage.idle_for is None] == []


@given(COLLECTIONS, RULES, SPANS)
def test_for_its_idleness_nothing_goes_whose_use_is_unknown(collections, rules, span):
    only = {"idle_for": span, "older_than": None, "loaded_for": None, "budget": None}
    assert [subject.key for subject in gone(decide(collections, rules, **only)) if subject.usage.idle_for is None] == []


class TestBudget:
    @often
    @given(CROWDS, WITH_BUDGET, st.integers(0, 5))
    def test_is_met_when_it_can_be(self, collections, rules, spare):
        allowed = [subject for subject in collections if not has_to_stay(subject, rules)]
        budget = loaded_bytes(collections, allowed) + spare
        left = loaded_bytes(collections, gone(decide(collections, rules, budget=budget, max_releases=None)))
        assert left <= budget

    @often
    @given(CROWDS, WITH_BUDGET)
    def test_takes_nothing_once_it_is_met(self, collections, rules):
        released = gone(decide(collections, rules))
        for_budget = [subject for subject in released if not is_asked_for(subject, rules)]
        if for_budget:
            before_the_last = [subject for subject in released if subject is not for_budget[-1]]
            assert loaded_bytes(collections, before_the_last) > rules["budget"]

    @often
    @given(CROWDS, WITH_BUDGET)
    def test_takes_only_what_counts_towards_it(self, collections, rules):
        released = gone(decide(collections, rules))
        assert all(subject.memory.bytes for subject in released if not is_asked_for(subject, rules))

    @often
    @given(CROWDS, WITH_BUDGET)
    def test_takes_the_coldest(self, collections, rules):
        released = gone(decide(collections, rules))
        taken = [idle(subject) for subject in released if not is_asked_for(subject, rules)]
        could = [subject for subject in collections if subject.memory.bytes and not has_to_stay(subject, rules)]
        left = [idle(subject) for subject in could if subject not in released and not is_asked_for(subject, rules)]
        assert min(taken, default=timedelta.max) >= max(left, default=timedelta.min)

    @often
    @given(CROWDS, WITH_BUDGET, st.integers(1, 5))
    def test_that_is_greater_never_takes_more(self, collections, rules, more):
        greater = gone(decide(collections, rules, budget=rules["budget"] + more))
        assert {subject.key for subject in greater} <= {subject.key for subject in gone(decide(collections, rules))}


@given(COLLECTIONS, RULES)
def test_the_same_collections_get_the_same_plan(collections, rules):
    assert decide(collections, rules) == decide(collections, rules)


@given(COLLECTIONS.flatmap(lambda subjects: st.tuples(st.just(subjects), st.permutations(subjects))), RULES)
def test_the_order_in_which_the_server_lists_does_not_matter(orders, rules):
    listed, mixed = orders
    assert decide(listed, rules) == decide(mixed, rules)


@often
@given(CROWDS, WITH_BUDGET, st.integers(1, 5))
def test_the_budget_takes_no_more_than_max_releases_leave(collections, rules, most):
    free = gone(decide(collections, rules, max_releases=None))
    assert len(gone(decide(collections, rules, max_releases=most))) == min(len(free), most)


@given(COLLECTIONS, RULES, st.integers(1, 5))
def test_never_more_go_than_max_releases(collections, rules, most):
    free = gone(decide(collections, rules, max_releases=None))
    bounded = gone(decide(collections, rules, max_releases=most))
    assert len(bounded) == min(len(free), most)


@given(COLLECTIONS, RULES)
def test_each_collection_gets_one_decision_and_a_reason(collections, rules):
    decisions = decide(collections, rules)
    assert sorted(item.subject.key for item in decisions) == sorted(item.key for item in collections)
    assert all(decision.reason.strip() for decision in decisions)


@often
@given(CROWDS, WITH_BUDGET)
def test_what_goes_comes_first_and_the_coldest_before_the_others(collections, rules):
    decisions = decide(collections, rules)
    released = gone(decisions)
    assert [decision.subject for decision in decisions[: len(released)]] == released
    assert [idle(subject) for subject in released] == sorted(map(idle, released), reverse=True)


@given(COLLECTIONS, RULES, NAMED)
def test_one_more_exclusion_never_releases_more(collections, rules, more):
    """Without a budget: that takes the next coldest instead."""
    assume(rules["patterns"] or any(rules[rule] is not None for rule in FOR_GOING))
    free = {**rules, "max_releases": None, "budget": None}
    after = gone(decide(collections, {**free, "exclude": (*rules["exclude"], more)}))
    assert {subject.key for subject in after} <= {subject.key for subject in gone(decide(collections, free))}
