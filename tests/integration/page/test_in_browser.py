"""The page itself in a real browser, with answers by hand: what is shown, in which order, and what fills in a DAG's form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_milvus.page.content import as_content
from airflow_provider_milvus.page.look import Look
from airflow_provider_milvus.reclaim.inventory import CollectionState, Memory
from airflow_provider_milvus.reclaim.kept_report import KeptReport, ReclaimOf
from airflow_provider_milvus.reclaim.report import ReclaimReport, make_entry
from airflow_provider_milvus.reclaim.usage import Usage
from dev import browser
from dev.page import served_page

pytestmark = [
    pytest.mark.newest,
    pytest.mark.skipif(not browser.IS_HERE, reason="needs playwright, and a Chromium that is installed"),
]

EVIL = "<img src=x onerror=document.title='broken'>"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.browser() as opened:
        yield opened


def state(
    name: str, size: int | None = None, source: str = "unknown", database: str = "default", **more: Any
) -> CollectionState:
    return CollectionState(database, name, more.pop("now", "Loaded"), memory=Memory(size, source), **more)


STATES = [
    state("middle", 20, "estimated", aliases=("live",), rows=7, usage=Usage(None, "searched or queried within the last 1 h")),
    state("small", 10, "measured", usage=Usage(timedelta(days=7), "neither searched nor queried for 7 days")),
    state("unknown"),
    state("big", 30, "measured", windows=2),
    state("out", now="NotLoad"),
    state("big", 5, "measured", database="other"),
]


def content(states: list[CollectionState] = STATES, problem: str | None = None) -> dict[str, Any]:
    kept = KeptReport()
    report = ReclaimReport(
        released=[make_entry(states[-2], "14 days old", "NotLoad")],
        kept=[make_entry(states[0], f"behind the alias live {EVIL}")],
        loaded=states,
        budget=40,
    )
    run = ReclaimOf(datetime(2026, 3, 10, tzinfo=UTC), "nightly", "reclaim", "night_0")
    kept.add(run, report, {each.key: each for each in states}, in_scope=lambda _: True, databases=["default"])
    look = Look("http://milvus:19530", states, warnings=[f"a warning {EVIL}"])
    made = as_content(look, kept)
    return {**made, "connection": "milvus_default", "problem": problem, "at": "2026-03-10T08:00:00+00:00"}


@contextmanager
def opened(chromium: Any, connections: dict[str, Any] | None = None, **more: Any) -> Iterator[Any]:
    with served_page({"milvus_default": content()} if connections is None else connections, **more) as url:
        context = chromium.new_context(viewport={"width": 1500, "height": 900})
        page = context.new_page()
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("console", lambda message: page.errors.append(message.text) if message.type == "error" else None)
        page.goto(url)
        if connections != {}:
            page.wait_for_selector("body[data-shown]", state="attached")
        yield page
        assert page.errors == []
        context.close()


def shown(page: Any) -> list[str]:
    return [row.get_attribute("data-collection") for row in page.locator("tr[data-collection]").all()]


def sort(page: Any, column: str) -> list[str]:
    page.locator(f"th[data-column={column}] button").click()
    return shown(page)


def test_the_biggest_come_first_and_what_is_not_known_last(chromium):
    with opened(chromium) as page:
        assert shown(page) == ["big", "middle", "small", "big", "out", "unknown"]
        assert sort(page, "bytes") == ["out", "big", "small", "middle", "big", "unknown"]
        assert sort(page, "use")[:2] == ["middle", "small"]


def test_measured_estimated_and_unknown_are_told_apart(chromium):
    with opened(chromium) as page:
        cells = {name: page.locator(f"tr[data-collection={name}] td").nth(5) for name in ("small", "middle", "unknown", "out")}
        assert {name: cell.inner_text().strip() for name, cell in cells.items()} == {
            "small": "10 B",
            "middle": "~20 B",
            "unknown": "?",
            "out": "",
        }
        bars = [cells[name].locator(".bar").get_attribute("class") for name in ("small", "middle")]
        assert bars == ["bar measured", "bar estimated"]


@pytest.mark.parametrize(
    ("control", "value", "left"),
    [
        ("search", "LIVE", ["middle"]),
        ("search", "14 days", ["out"]),
        ("state", "out", ["out"]),
        ("outcome", "kept", ["middle"]),
        ("outcome", "none", ["small", "big", "unknown", "big"]),
    ],
)
def test_filters(chromium, control, value, left):
    with opened(chromium) as page:
        if control == "search":
            page.locator("#search").fill(value)
        else:
            page.locator(f"#{control}").select_option(value)
        assert sorted(shown(page)) == sorted(left)
        assert page.locator("#count").inner_text() == f"{len(left)} of 6 collections"


def test_one_collection_is_not_counted_as_many(chromium):
    with opened(chromium, {"milvus_default": {**content(), "collections": content()["collections"][:1]}}) as page:
        assert page.locator("#count").inner_text() == "1 of 1 collection"
        assert page.locator("#totals").inner_text().split("\n")[:2] == ["1", "collection"]


def test_use_that_a_reclaim_saw_has_its_day(chromium):
    used = {"use": "neither searched nor queried for 7 days", "use_at": "2026-03-10T12:00:00+00:00"}
    rows = [{**row, **used, "idle": 604800} for row in content()["collections"]]
    with opened(chromium, {"milvus_default": {**content(), "collections": rows}}) as page:
        assert (
            page.locator("tr[data-collection=small] td[data-column=use]").inner_text()
            == "on 3/10/2026: idle for at least 7 days"
        )


def test_only_runs_of_the_same_databases_are_drawn_side_by_side(chromium):
    (run,) = content()["runs"]
    databases = ["default"], ["default"], ["a", "b"], ["default"], ["a", "b"]
    runs = [{**run, "databases": list(names)} for names in databases]
    with opened(chromium, {"milvus_default": {**content(), "runs": runs}}) as page:
        figure = page.locator("#history")
        assert figure.locator("rect.before").count() == 2
        assert "Runs of a, b. Not drawn: 3 runs of other databases." in figure.inner_text()
    with opened(chromium, {"milvus_default": {**content(), "runs": runs[:2]}}) as page:
        assert page.locator("#history rect.before").count() == 2
        assert "Not drawn" not in page.locator("#history").inner_text()


def test_the_last_backtest_is_drawn_night_by_night(chromium):
    night = {
        "at": "2026-03-09T03:00:00+00:00",
        "releases": 2,
        "missed": 5,
        "bytes_before": 40,
        "bytes_after": 10,
        "assumed": True,
    }
    told = {"nights": [night, {**night, "at": "2026-03-10T03:00:00+00:00", "budget": 20}], "summary": f"In 2 nights {EVIL}."}
    backtest = {**told, "at": "2026-03-10T04:00:00+00:00", "dag_id": "weekly", "task_id": "backtest", "run_id": "r"}
    with opened(chromium) as page:
        assert not page.locator("#backtest").is_visible()
    with opened(chromium, {"milvus_default": {**content(), "backtest": backtest}}) as page:
        figure = page.locator("#backtest")
        assert figure.locator("rect.before").count() == 2
        assert figure.locator("line.budget").count() == 1
        assert "would release 2, 5 searches missed, assumed" in figure.locator("title").first.text_content()
        assert f"In 2 nights {EVIL}." in figure.inner_text()


def test_text_of_a_server_is_only_text(chromium):
    with opened(chromium) as page:
        assert EVIL in page.locator("#warnings").inner_text()
        assert EVIL in page.locator("tr[data-collection=middle]").inner_text()
        assert page.title() == "Milvus"
        assert page.locator("img").count() == 0


def test_only_the_rows_that_can_be_seen_exist(chromium):
    states = [state(f"c_{number:04}", number, "measured") for number in range(5000)]
    with opened(chromium, {"milvus_default": content(states)}) as page:
        assert 10 < len(shown(page)) < 100
        page.locator("#scroller").evaluate("(it) => { it.scrollTop = it.scrollHeight; }")
        page.locator("tr[data-collection=c_0000]").wait_for()
        assert len(shown(page)) < 100


class TestKeyboard:
    @pytest.fixture
    def page(self, chromium):
        states = [state(f"c_{number:03}", 1000 - number, "measured") for number in range(300)]
        with opened(chromium, {"milvus_default": content(states)}) as page:
            yield page

    def focused(self, page: Any) -> str | None:
        name: str | None = page.evaluate("(document.activeElement.closest('tr') ?? document.activeElement).dataset.collection")
        return name

    def test_stays_where_it_is_when_a_row_is_chosen(self, page):
        page.locator("tr[data-collection=c_010] input").focus()
        page.keyboard.press("Space")
        assert self.focused(page) == "c_010"
        assert page.locator("tr.chosen").count() == page.locator("input:checked").count() == 1
        page.keyboard.press("Tab")
        assert self.focused(page) == "c_011"

    def test_goes_on_row_by_row_through_all_of_them(self, page):
        page.locator("tr[data-collection=c_000] input").focus()
        for _ in range(60):
            page.keyboard.press("Tab")
            # A frame, in which the rows are drawn that have come into sight.
            page.evaluate("new Promise(requestAnimationFrame).then(() => new Promise(requestAnimationFrame))")
        assert self.focused(page) == "c_060"

    def test_is_at_the_table_when_its_row_is_out_of_sight(self, page):
        page.locator("tr[data-collection=c_000] input").focus()
        page.locator("#scroller").evaluate("(it) => { it.scrollTop = 5000; }")
        page.locator("tr[data-collection=c_160]").wait_for()
        assert page.evaluate("document.activeElement.id") == "scroller"

    def test_stays_at_the_button_that_looks_again(self, page):
        page.locator("#refresh").focus()
        page.keyboard.press("Enter")
        page.locator("#refresh[aria-disabled=false]").wait_for()
        assert page.evaluate("document.activeElement.id") == "refresh"


def test_a_problem_is_shown_with_what_the_last_reclaims_saw(chromium):
    with opened(chromium, {"milvus_default": content(problem="It does not answer.")}) as page:
        assert page.locator("#problem").inner_text() == "It does not answer. The rows are what the last reclaims saw."
        assert len(shown(page)) == 6


class TestAnotherConnection:
    STAGING = content([state("staged", 10, "measured"), state("both")], problem="It does not answer.")
    PRODUCTION = content([state("produced", 20, "measured"), state("both")])

    @pytest.fixture
    def page(self, chromium):
        backtest = {"nights": [], "summary": "", "at": "2026-03-10T04:00:00+00:00", "dag_id": "weekly", "task_id": "backtest"}
        connections = {"staging": {**self.STAGING, "backtest": backtest}, "production": self.PRODUCTION}
        with opened(chromium, connections, dags={"reclaim": TestForm.PARAMS}) as page:
            yield page

    def hold_back(self, page: Any, connection: str) -> list[Any]:
        """Answers to requests that are made from now on, which come when the test sends them on."""
        held: list[Any] = []
        page.route(f"**/api/connections/{connection}", lambda route: held.append(route))
        return held

    def test_leaves_nothing_of_the_one_before_until_it_answers(self, page):
        page.locator("tr[data-collection=both] input").check()
        held = self.hold_back(page, "production")
        page.locator("#connection").select_option("production")
        assert page.locator("#status").inner_text() == "Asking production …"
        assert shown(page) == []
        assert page.locator("#count").inner_text() == page.locator("#totals").inner_text() == ""
        assert page.locator(":is(figure svg, figure p, #problem, #warnings, #backtest):visible").count() == 0
        assert page.locator("#fill").is_disabled()

        held[0].continue_()
        page.wait_for_selector("body[data-shown=production]", state="attached")
        assert shown(page) == ["produced", "both"]
        assert page.locator("input:checked").count() == 0
        assert page.locator("#fill").is_disabled()

    def test_is_not_overtaken_by_the_late_answer_of_the_one_before(self, page):
        held = self.hold_back(page, "staging")
        page.locator("#refresh").click()
        page.locator("#connection").select_option("production")
        page.wait_for_selector("body[data-shown=production]", state="attached")
        with page.expect_event("requestfinished"):
            held[0].continue_()
        # What is asked later is answered later.
        page.evaluate("fetch('api/connections').then((answer) => answer.json())")
        assert shown(page) == ["produced", "both"]
        assert not page.locator("#problem").is_visible()


def test_without_a_connection_it_says_what_to_do(chromium):
    with opened(chromium, {}) as page:
        page.get_by_text("no connection of type Milvus").wait_for()


OF_CONNECTION = "You chose from the connection milvus_default. This DAG names its own: make sure that it is the same one."


class TestForm:
    PARAMS = {
        "collections": {"value": ["events_*"], "schema": {"type": "array"}},
        "databases": {"value": ["default"], "schema": {"type": "array"}},
        "dry_run": {"value": True, "schema": {"type": "boolean"}},
    }

    def filled(self, page: Any, *chosen: str) -> tuple[dict[str, Any], str]:
        for name in chosen:
            page.locator(f"tr[data-collection={name}] input").first.check()
        page.locator("#fill").click()
        page.locator("#copy:enabled").wait_for()
        return json.loads(page.locator("#conf").input_value()), page.locator("#form-note").inner_text()

    def test_says_from_which_connection_the_names_are(self, chromium):
        with opened(chromium, {"staging": content(), "production": content()}, dags={"reclaim": self.PARAMS}) as page:
            page.locator("#connection").select_option("production")
            page.wait_for_selector("body[data-shown=production]", state="attached")
            _, note = self.filled(page, "small")
            assert note == OF_CONNECTION.replace("milvus_default", "production")

    def test_has_the_chosen_collections_and_the_other_params_as_they_are(self, chromium):
        with opened(chromium, dags={"reclaim": self.PARAMS, "no_collections": {"x": {"value": 1}}}) as page:
            conf, note = self.filled(page, "small", "middle")
            assert conf == {"collections": ["middle", "small"], "databases": ["default"], "dry_run": True}
            assert note == OF_CONNECTION
            assert page.locator("#dag option").all_inner_texts() == ["reclaim"]

    def test_says_where_it_means_more_than_was_chosen(self, chromium):
        with opened(chromium, dags={"reclaim": self.PARAMS}) as page:
            page.locator("tr[data-collection=big]").filter(has_text="other").locator("input").check()
            _, note = self.filled(page, "small")
            assert "mean 1 collection more than you chose, such as default.big" in note

    def test_of_one_collection_names_one_and_says_so(self, chromium):
        with opened(chromium, dags={"load": {"collection": {"value": "docs"}}}) as page:
            conf, note = self.filled(page, "small", "middle")
            assert conf == {"collection": "middle"}
            assert "middle is filled in. Left out: 1 other name." in note
            assert 'no Param "databases"' in note

    def test_opens_the_dag_below_the_path_that_airflow_is_at(self, chromium):
        with opened(chromium, dags={"reclaim": self.PARAMS}, base="/airflow") as page:
            self.filled(page, "small")
            page.locator("#copy").click()
            page.wait_for_url("**/airflow/dags/reclaim")

    def test_says_that_there_is_no_dag_for_it(self, chromium):
        with opened(chromium) as page:
            page.locator("tr[data-collection=small] input").check()
            page.locator("#fill").click()
            page.get_by_text("There is no DAG with the tag").wait_for()
            assert page.locator("#copy").is_disabled()
