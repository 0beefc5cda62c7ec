"""Which collections are in demand, by the counters of attempts and the load states, from look to look."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_milvus.exceptions import MilvusCollectionNotFoundError, MilvusUnavailableError
from airflow_provider_milvus.reclaim.demand import Demand, DemandedCollection
from tests.unit.play import LOADED, LOADING, NOT_LOAD, Clock, Server, described, percent, play


class Watch:
    """Looks several times, with new counters and answers each time."""

    def __init__(self, clock: Clock, *names: str, **more: Any) -> None:
        self.demand = Demand(names or ["docs"], "default", **more)
        self._clock = clock
        self.server: Server | None = None

    def look(self, *, state: Any = NOT_LOAD, describe: Any = None, proxy: str = "p", **counts: float) -> list[tuple[str, int]]:
        self.demand.count({(proxy, None, name): count for name, count in counts.items()})
        self.server = Server(
            GetLoadState=state, GetLoadingProgress=percent(50), DescribeCollection=describe or described("docs", "current")
        )
        return [
            (collection.collection, collection.attempts) for collection in play(self.demand.look(), self.server, self._clock)
        ]


@pytest.fixture
def watch(clock: Clock) -> Watch:
    return Watch(clock)


def test_what_was_counted_before_the_watch_is_no_demand(watch):
    assert watch.look(docs=9) == []
    assert watch.look(docs=9) == []


def test_a_search_of_what_is_not_in_memory_is_demand(watch):
    watch.look()
    assert watch.look(docs=2) == [("docs", 2)]


def test_the_event_says_which_collection_of_which_database():
    assert DemandedCollection("docs", "shop", 3).as_dict() == {"collection": "docs", "database": "shop", "attempts": 3}


def test_a_search_of_what_is_in_memory_or_on_its_way_is_none(watch):
    watch.look()
    assert watch.look(docs=2, state=LOADED) == []
    assert watch.look(docs=4, state=LOADING) == []
    assert watch.look(docs=5, state=NOT_LOAD) == [("docs", 1)]


def test_a_search_through_an_alias_is_demand(watch):
    watch.look()
    assert watch.look(current=1) == [("docs", 1)]


def test_a_search_of_another_collection_is_none_and_asks_for_no_state(watch):
    watch.look()
    assert watch.look(other=1) == []
    assert watch.server.calls == ["DescribeCollection"]


def test_nothing_is_asked_while_no_counter_moves(watch):
    watch.look(docs=1)
    watch.look(docs=1)
    assert watch.server.calls == []


def test_a_restarted_proxy_counts_from_zero(watch):
    watch.look(docs=9)
    assert watch.look(docs=2) == [("docs", 2)]


def test_a_proxy_that_was_out_of_sight_is_not_counted_anew(watch):
    watch.look(docs=9)
    watch.look()
    assert watch.look(docs=9) == []


def test_all_proxies_are_counted(watch):
    watch.look(docs=9, proxy="p")
    watch.look(docs=1, proxy="q", state=LOADED)
    assert watch.look(docs=3, proxy="q") == [("docs", 2)]


def test_it_is_reported_again_only_after_it_was_seen_loaded(watch):
    watch.look()
    assert watch.look(docs=1) == [("docs", 1)]
    assert watch.look(docs=2) == []
    assert watch.look(docs=3, state=LOADING) == []
    assert watch.look(docs=4) == [], "the load did not come about"
    assert watch.look(docs=4, state=LOADED) == []
    assert watch.look(docs=5) == [("docs", 1)]


def test_fewer_attempts_than_requested_add_up(clock):
    watch = Watch(clock, min_attempts=3)
    watch.look()
    assert watch.look(docs=2) == []
    assert watch.look(docs=3) == [("docs", 3)]


def test_attempts_while_it_was_loaded_do_not_add_up(clock):
    watch = Watch(clock, min_attempts=3)
    watch.look()
    watch.look(docs=2)
    watch.look(docs=4, state=LOADED)
    assert watch.look(docs=6) == []
    assert watch.look(docs=7) == [("docs", 3)]


def test_another_database_is_none_of_its_business(watch):
    watch.demand.count({})
    watch.demand.count({("p", "shop", "docs"): 1})
    assert watch.look() == []
    watch.demand.count({("p", "default", "docs"): 1})
    assert watch.look() == [("docs", 1)]


def test_what_was_counted_before_an_outage_is_judged_after_it(watch, clock):
    watch.look()
    with pytest.raises(MilvusUnavailableError):
        watch.look(docs=1, state=MilvusUnavailableError("down"))
    assert watch.look(docs=2) == [("docs", 2)]


@pytest.fixture
def half_gone() -> Server:
    def describe(call: Any) -> Any:
        return MilvusCollectionNotFoundError("no docs") if call.fields["collection_name"] == "docs" else described("new")

    return Server(DescribeCollection=describe, ShowCollections=None, GetLoadState=NOT_LOAD)


def test_a_missing_collection_is_an_error(clock, half_gone):
    demand = Demand(["docs", "new"], "default")
    with pytest.raises(MilvusCollectionNotFoundError):
        play(demand.check(), half_gone, clock)
    demand.count({})
    demand.count({("p", None, "new"): 1})
    with pytest.raises(MilvusCollectionNotFoundError):
        play(demand.look(), half_gone, clock)


def test_a_missing_collection_can_be_passed_over(clock, half_gone):
    reports: list[str] = []
    demand = Demand(["docs", "new"], "default", report_missing=reports.append)
    demand.count({})
    demand.count({("p", None, "new"): 1})
    assert play(demand.look(), half_gone, clock) == [DemandedCollection("new", "default", 1)]
    assert reports == ["no docs"]
