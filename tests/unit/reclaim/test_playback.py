"""What a policy would have done, with answers that were computed by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, strategies as st

from airflow_provider_milvus.metrics.past import Past, Sizes, Uses
from airflow_provider_milvus.metrics.spans import Span
from airflow_provider_milvus.reclaim.history import Facts, History, Sighting
from airflow_provider_milvus.reclaim.inventory import MEASURED, CollectionState, Memory
from airflow_provider_milvus.reclaim.playback import Playback, play
from airflow_provider_milvus.reclaim.policy import DateInName, Policy
from airflow_provider_milvus.reclaim.usage import usage_of

HOUR, DAY, GIB = 3600.0, 86_400.0, 2**30
START = datetime(2026, 1, 1, tzinfo=UTC)
"""The history has ten days from then on; a run is at midnight."""
NIGHTS = [START + timedelta(days=day) for day in range(1, 10)]
IDLE = timedelta(days=2)


def at(days: float) -> float:
    return START.timestamp() + days * DAY


def collection(name: str, **known: Any) -> CollectionState:
    return CollectionState("default", name, "Loaded", created=START - timedelta(days=99), **known)


def history(
    *collections: CollectionState, held: dict[str, Sizes] | None = None, uses: dict[str, list[tuple[float, int]]], **more: Any
) -> History:
    """``uses``: the days and the numbers of searches. Each collection takes a GiB all the time, where ``held`` says nothing."""
    always = Sizes([at(0)], [GIB])
    return History(
        at(0),
        at(10),
        HOUR,
        collections,
        {one.key: (held or {}).get(one.collection, always) for one in collections},
        {
            (None if name.startswith("?") else "default", name.lstrip("?")): Uses(
                [at(day) for day, _ in times], [count for _, count in times]
            )
            for name, times in uses.items()
        },
        **more,
    )


def policy(**rules: Any) -> Policy:
    rules = {"idle_for": IDLE, "patterns": (), **rules}
    return Policy(exclude=(), older_than=None, date_of=DateInName("%Y%m%d", UTC), now=START, **rules)


def told(played: Playback) -> list[tuple[float, str, float | None, float | None, int | str]]:
    """Night, collection, GiB-hours, the day on which it was needed again, searches that would have met it released (a text: at
    least)."""
    return [
        (
            (release.at - at(0)) / DAY,
            release.subject.collection,
            None if release.freed is None else round(release.freed, 3),
            None if release.next_use is None else (release.next_use - at(0)) / DAY,
            release.missed if release.all_missed_known else f"{release.missed} or more",
        )
        for release in played.releases
    ]


def test_what_is_idle_goes_and_is_back_when_it_is_searched() -> None:
    past = history(collection("a"), uses={"a": [(1.0, 5), (6.25, 7), (6.5, 1)]})
    played = play(past, policy(), NIGHTS, [IDLE])
    # Used on day 1; on day 3 it was idle for two days. Searched on day 6 at six; idle again on day 9, until the history ends.
    assert told(played) == [(3.0, "a", 3.25 * 24, 6.25, 7), (9.0, "a", 24.0, None, 0)]
    assert (played.freed, played.missed, played.reloads, played.unknown) == (3.25 * 24 + 24, 7, 1, 0)


def test_a_search_through_an_alias_is_one_of_the_collection() -> None:
    past = history(collection("a", aliases=("live",)), uses={"live": [(1.0, 1), (5.5, 2)], "?a": [(5.5, 3)]})
    assert told(play(past, policy(keep_aliased=False), NIGHTS, [IDLE]))[0] == (3.0, "a", 2.5 * 24, 5.5, 5)
    assert told(play(past, policy(), NIGHTS, [IDLE])) == []


def test_what_leaves_memory_by_itself_frees_nothing_after_that() -> None:
    held = Sizes([at(0), at(4), at(5)], [2 * GIB, 0, GIB])
    past = history(collection("a"), held={"a": held}, uses={"a": [(0.5, 1), (4.5, 9)]})
    # Released on day 3; somebody released it on day 4, searched it in vain, and loaded it on day 5. Idle again on day 7.
    assert told(play(past, policy(), NIGHTS, [IDLE])) == [(3.0, "a", 48.0, None, 0), (7.0, "a", 72.0, None, 0)]


def test_a_size_that_grows_counts_as_it_grew() -> None:
    held = Sizes([at(0), at(3.5)], [GIB, 3 * GIB])
    past = history(collection("a"), held={"a": held}, uses={"a": [(1.0, 1), (4.0, 1)]})
    assert told(play(past, policy(), NIGHTS, [IDLE]))[0] == (3.0, "a", 12 + 36, 4.0, 1)


def test_what_is_not_known_is_not_idle_and_not_counted() -> None:
    assert told(play(history(collection("a"), uses={}), policy(), NIGHTS[:1], [IDLE])) == []
    gap = (at(3.5), at(3.6), "a proxy was restarted")
    past = history(collection("a"), uses={"a": [(1.0, 1), (5.0, 4)]}, gaps=[gap])
    # The run of day 3 does not know of the gap that follows; those of days 4 and 5 are in it.
    assert told(play(past, policy(), NIGHTS, [IDLE])) == [(3.0, "a", 48.0, 5.0, "4 or more"), (7.0, "a", 72.0, None, 0)]
    held = Sizes([at(0), at(2)], [GIB, None])
    unsized = play(history(collection("a"), held={"a": held}, uses={}), policy(), NIGHTS, [IDLE])
    assert told(unsized) == [(2.0, "a", None, None, 0)]
    assert (unsized.freed, unsized.unknown, unsized.nights[1].unknown) == (0.0, 1, 1)


def test_a_night_without_query_nodes_is_not_decided_and_not_empty() -> None:
    """A run takes the metrics for those of another server then."""
    held = Sizes([at(0), at(2.9), at(3.1)], [GIB, None, GIB])
    away = (at(2.9), at(3.1), "no query node was scraped")
    past = history(collection("a"), held={"a": held}, uses={"a": [(1.0, 1)]}, mismatches=[away])
    played = play(past, policy(), NIGHTS[:5], [IDLE])
    assert [night for night, *_ in told(played)] == [4.0]
    assert [(night.is_known, night.is_decided) for night in played.nights[1:4]] == [(True, True), (False, False), (True, True)]


def test_a_budget_takes_the_coldest_and_says_whether_it_is_met() -> None:
    names = "abc"
    uses = {"a": [(day + 0.5, 1) for day in range(10)], "b": [(1.5, 1)]}
    past = history(*map(collection, names), uses=uses)
    spans = [timedelta(hours=1), timedelta(days=1), IDLE]
    played = play(past, policy(idle_for=None, budget=2 * GIB, min_idle=IDLE), NIGHTS[3:5], spans)
    # Of two that are as cold the first by name.
    assert [release.subject.collection for release in played.releases] == ["b"]
    assert [(night.loaded // GIB, night.left // GIB) for night in played.nights] == [(3, 2), (2, 2)]
    assert [night.meets_budget for night in played.nights] == [True, True]
    tight = play(past, policy(idle_for=None, budget=0, min_idle=IDLE), NIGHTS[3:4], spans)
    assert (tight.nights[0].left // GIB, tight.nights[0].meets_budget) == (1, False)


def seen(*sightings: tuple[float, float, Facts]) -> dict[tuple[str, str], list[Sighting]]:
    """Of ``a``, by days."""
    return {("default", "a"): [Sighting(at(first), at(last), facts) for first, last, facts in sightings]}


def test_what_a_run_has_seen_counts_from_then_on() -> None:
    """Today it has no alias and no window."""
    facts = seen((3.5, 4.5, Facts(aliases=("live",))), (5.5, 6.5, Facts(windows=1)), (7.5, 9.5, Facts()))
    played = play(history(collection("a"), uses={"live": [(5.0, 3), (8.0, 9)]}, facts=facts), policy(), NIGHTS, [IDLE])
    # On days 4 and 5 an alias keeps it, on 6 and 7 a window. What was searched as "live" was "a" then, and is not any more.
    assert told(played) == [(2.0, "a", 72.0, 5.0, 3), (8.0, "a", 48.0, None, 0)]
    kept = play(history(collection("a"), uses={}, facts=facts), policy(), NIGHTS[3:], [IDLE])
    assert told(kept) == [(8.0, "a", 48.0, None, 0)]
    # On days 5 and 7 no run has looked, and it is not known when that changed which the runs before and after saw.
    assert [night.is_assumed for night in kept.nights] == [False, True, False, True, False, False]
    assert [night.is_assumed for night in played.nights] == [True, True, False, False, True, False, True, False, False]


def test_an_alias_that_comes_after_the_release_is_searched_for() -> None:
    facts = seen((1.0, 3.0, Facts()), (4.0, 9.0, Facts(aliases=("prod",))))
    past = history(collection("a", aliases=("prod",)), uses={"prod": [(3.5, 9), (6.5, 100)]}, facts=facts)
    # What was searched as "prod" on day 3 was another collection, as far as runs have seen.
    played = play(past, policy(), NIGHTS[:3], [IDLE])
    assert told(played) == [(2.0, "a", 4.5 * 24, 6.5, 100)]
    assert [night.is_assumed for night in played.nights] == [False, True, False]


def test_after_the_last_run_that_looked_todays_aliases_are_searched_for() -> None:
    facts = seen((1.0, 2.0, Facts()))
    past = history(collection("a", aliases=("prod",)), uses={"prod": [(3.5, 9), (6.5, 100)]}, facts=facts)
    played = play(past, policy(), NIGHTS[:2], [IDLE])
    assert told(played) == [(2.0, "a", 4.5 * 24, 6.5, 100)]
    assert played.is_assumed


def test_a_night_goes_by_what_its_own_run_saw() -> None:
    """The run of day 5 ends a while after it has looked, and keeps its report then."""
    facts = seen((1.0, 4.0, Facts()), (5 + 0.5 / 24, 9.0, Facts(aliases=("prod",))))
    past = history(collection("a"), uses={"a": [(2.5, 1)]}, facts=facts)
    assert told(play(past, policy(), NIGHTS[4:], [IDLE])) == []


def test_what_was_seen_long_ago_says_nothing_of_a_night() -> None:
    facts = seen((-30, -20, Facts(aliases=("prod",))), (7, 7, Facts(aliases=("prod",))))
    played = play(history(collection("a"), uses={"a": [(2.5, 1)]}, facts=facts), policy(), NIGHTS, [IDLE])
    # Today's are taken, until the run of day 7 and for two days after it.
    assert [(night, name) for night, name, *_ in told(played)] == [(2.0, "a"), (5.0, "a")]
    assert [night.is_assumed for night in played.nights[:5]] == [True] * 5
    again = play(history(collection("a"), uses={}, facts=facts), policy(), NIGHTS[6:], [IDLE])
    assert (told(again), [night.is_assumed for night in again.nights]) == ([], [False, False, False])


def test_searches_that_are_counted_for_all_collections_together_are_not_known() -> None:
    old = policy(idle_for=None, patterns=("a",))
    past = history(collection("a"), uses={"all": [(4.0, 100)]})
    assert told(play(past, old, NIGHTS[:1], [])) == [(1.0, "a", 216.0, None, "0 or more")]
    assert told(play(past, old, NIGHTS[5:6], [])) == [(6.0, "a", 96.0, None, 0)]


def test_a_night_of_which_no_size_is_known_is_not_one_without_collections() -> None:
    held = {"a": Sizes([at(0), at(3.5)], [None, 2 * GIB]), "b": Sizes([at(0), at(3.5)], [None, 0])}
    gap = (at(0), at(3.5), "proxy a was not scraped all the time")
    past = history(collection("a"), collection("b"), held=held, uses={}, gaps=[gap])
    played = play(past, policy(budget=GIB, min_idle=IDLE), NIGHTS, [IDLE])
    assert [night.is_known for night in played.nights] == [False] * 3 + [True] * 6
    assert [night.is_decided for night in played.nights] == [False] * 5 + [True] * 4
    assert [night.meets_budget for night in played.nights] == [None] * 3 + [False] * 2 + [True] * 4
    assert (played.decided, told(played)) == (4, [(6.0, "a", 4 * 48.0, None, 0)])


def test_a_budget_is_not_met_for_certain_beside_what_has_been_dropped() -> None:
    past = history(collection("a"), uses={}, dropped=[Sizes([at(0), at(5)], [9 * GIB, 0])])
    nights = play(past, policy(idle_for=None, budget=2 * GIB), NIGHTS, []).nights
    assert [(night.unknown, night.meets_budget) for night in nights] == [(1, None)] * 4 + [(0, True)] * 5
    assert [night.is_decided for night in nights] == [False] * 4 + [True] * 5


def test_the_number_of_proxies_counts_as_it_is_at_night() -> None:
    """As in a run, which compares it once; what was searched meanwhile is not known all the same."""
    blind = (at(3.2), at(3.4), "the metrics are of 1 proxies, and Milvus has 2")
    past = history(collection("a"), uses={"a": [(0.5, 1)]}, mismatches=[blind])
    assert told(play(past, policy(), NIGHTS, [IDLE])) == [(3.0, "a", 7 * 24.0, None, "0 or more")]
    assert told(play(past, policy(), NIGHTS[3:], [IDLE])) == [(4.0, "a", 6 * 24.0, None, 0)]
    at_night = history(collection("a"), uses={"a": [(0.5, 1)]}, mismatches=[(at(4) - HOUR, at(4), "2 of 3")])
    assert told(play(at_night, policy(), NIGHTS[3:], [IDLE])) == [(5.0, "a", 5 * 24.0, None, 0)]


def test_a_history_is_of_what_the_metrics_know_and_what_was_in_memory_had_been_made() -> None:
    sizes = {1: Sizes([at(0), at(2)], [0, GIB]), 9: Sizes([at(0)], [GIB])}
    today = [
        CollectionState("default", name, "NotLoad", collection_id=number, created=START + timedelta(days=5))
        for name, number in (("a", 1), ("never_loaded", 2), ("of_lite", None))
    ]
    past = History.of(Past(at(0), at(10), HOUR, sizes, {}), today)
    assert past.sizes == {("default", "a"): sizes[1]}
    assert [(one.collection, one.created) for one in past.collections] == [("a", START + timedelta(days=2))]
    assert past.dropped == [sizes[9]]
    assert History.of(Past(at(0), at(10), HOUR, sizes, {}), today, are_all=False).dropped == ()
    # Of an age that the server does not tell, a run knows nothing.
    (ageless,) = History.of(Past(at(0), at(10), HOUR, sizes, {}), [replace(today[0], created=None)]).collections
    assert ageless.created is None


def test_what_was_made_later_was_not_there() -> None:
    young = CollectionState("default", "a", "Loaded", created=START + timedelta(days=4, hours=1))
    held = {"a": Sizes([at(0), at(4.1)], [0, GIB])}
    played = play(history(young, held=held, uses={}), policy(), NIGHTS, [IDLE])
    assert told(played) == [(7.0, "a", 72.0, None, 0)]
    assert [night.loaded // GIB for night in played.nights] == [0, 0, 0, 0, 1, 1, 1, 0, 0]


moments = st.lists(st.integers(0, 9 * 24).map(lambda hours: at(hours / 24)), unique=True, max_size=6).map(sorted)


@given(
    st.dictionaries(st.sampled_from(["docs_a", "docs_b", "tmp_c"]), st.tuples(moments, st.sampled_from([None, GIB, 5 * GIB]))),
    st.sampled_from([None, 3 * GIB]),
    st.sampled_from([timedelta(hours=6), timedelta(days=1), timedelta(days=3)]),
    st.integers(1, 9),
)
def test_a_first_night_decides_as_the_run_of_that_night(
    known: dict[str, tuple[list[float], int | None]], budget: int | None, idle_for: timedelta, day: int
) -> None:
    subjects = [collection(name) for name in known]
    past = history(
        *subjects,
        held={name: Sizes([at(-1), at(0)], [GIB, size]) for name, (_, size) in known.items()},
        uses={name: [((moment - at(0)) / DAY, 1) for moment in times] for name, (times, _) in known.items()},
    )
    now = START + timedelta(days=day)
    rules = policy(idle_for=idle_for, budget=budget)

    played = play(past, rules, [now], [idle_for])

    start = now - idle_for
    used = {name for name, (times, _) in known.items() if any(start.timestamp() < one <= now.timestamp() for one in times)}
    span = Span(idle_for, frozenset(("default", name) for name in used), None if start >= START else "too early", True)
    tonight = [
        CollectionState(
            "default",
            name,
            "Loaded",
            created=START - timedelta(days=99),
            memory=Memory(size, MEASURED if size is not None else "unknown"),
            usage=usage_of(
                database="default", names={name}, created=START - timedelta(days=99), spans=[span], shared=(), now=now
            ),
        )
        for name, (_, size) in known.items()
    ]
    wanted = [
        one
        for one in Policy(
            patterns=(), exclude=(), older_than=None, date_of=rules.date_of, now=now, idle_for=idle_for, budget=budget
        ).decide(tonight)
        if one.release
    ]
    assert [(one.subject.collection, one.reason) for one in played.releases] == [
        (one.subject.collection, one.reason) for one in wanted
    ]


@pytest.mark.parametrize(("start", "end", "hours"), [(0.0, 1.0, 24.0), (0.5, 2.0, 12 + 48), (3.0, 4.0, 0.0)])
def test_byte_seconds(start: float, end: float, hours: float) -> None:
    held = Sizes([at(0), at(1), at(3)], [GIB, 2 * GIB, 0])
    assert held.byte_seconds(at(start), at(end)) == pytest.approx(hours * 3600 * GIB)
