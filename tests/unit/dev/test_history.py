"""The month that ``make ui`` makes up: what goes on is what was, and says of the demo's collections what their stories say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from dev import history
from dev.sample_collections import samples

NOW = datetime(2026, 3, 31, 12, 0, tzinfo=UTC)
INSTANCE = "127.0.0.1:1234"
REAL = """\
milvus_querynode_entity_num{collection_id="44",node_id="3"} 200
milvus_querynode_entity_size{collection_id="44",node_id="3"} 18600
milvus_proxy_received_nq{collection_name="docs",node_id="3"} 5
process_start_time_seconds 1.7e+09
go_goroutines 400
"""


def told() -> dict[str, history.Story]:
    demo = samples(NOW, history.DAYS)
    return {sample.name: story for sample, story in zip(demo, history.stories(demo, NOW), strict=True)}


def until(story: history.Story, moment: datetime) -> int:
    return next((count for _, count in story.counts([moment.timestamp()])), -1)


def test_searches_come_by_day_for_a_week_and_once_more_after_two() -> None:
    monday = told()["events_20260309"]
    first = datetime(2026, 3, 9, tzinfo=UTC)
    assert until(monday, first - timedelta(seconds=1)) == -1
    assert until(monday, first + timedelta(hours=8)) == 0
    assert until(monday, first + timedelta(hours=14)) == 300
    assert [until(monday, first + timedelta(days=days)) for days in (1, 3, 7, 14, 15, 20)] == [
        600,
        1800,
        1880,
        1880,
        1883,
        1883,
    ]
    assert until(told()["events_20260310"], NOW) == 1880


def test_what_serves_is_searched_by_its_alias_and_what_is_old_no_more() -> None:
    stories = told()
    assert stories["docs"].searched_as == "docs_live"
    assert until(stories["docs"], NOW) - until(stories["docs"], NOW - timedelta(days=1)) == 2400
    assert until(stories["tmp_reference_keep"], NOW) == 0


def test_the_present_goes_on_where_the_past_ends() -> None:
    stories = list(told().values())
    end = NOW.timestamp()
    past = list(history.past(stories, INSTANCE, end))
    last = {line.partition(" ")[0]: line.split(" ")[1] for line in past if line.endswith(f" {end:.3f}\n")}
    started = end - (history.DAYS + 1) * history.DAY
    page = history.present(stories, end, started)
    labels = f'instance="{INSTANCE}",job="milvus"'
    now = {}
    for line in page.splitlines():
        name, _, value = line.rpartition(" ")
        metric, _, more = name.removesuffix("}").partition("{")
        now[f"{metric}{{{labels}{',' if more else ''}{more}}}"] = value
    assert past[-1] == "# EOF\n"
    assert now == last


def test_sizes_are_those_of_the_server_and_its_own_searches_count_as_well() -> None:
    (docs,) = history.stories([samples(NOW)[-4]], NOW)
    sizes = history.sizes_on(REAL)
    assert list(sizes) == [44]
    story = history.Story(docs.searched_as, docs.since, docs.searches, sizes[44])
    past = "".join(history.past([story], INSTANCE, NOW.timestamp()))
    assert f'entity_size{{instance="{INSTANCE}",job="milvus",collection_id="44",node_id="3"}} 18600.0 ' in past
    page = history.present([story], NOW.timestamp(), 5.0, REAL)
    assert page.count("entity_size") == page.count("entity_num") == 1
    assert page.count("process_start_time_seconds") == 1
    assert 'received_nq{collection_name="docs",node_id="3"} 5\n' in page
    assert "goroutines" not in page
