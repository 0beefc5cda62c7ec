"""How fast the page is in Chromium with thousands of collections: ``python -m benchmarks.page [collections]``.

The page and its answers come from a server without Airflow: what is measured is the browser's part. The first rows count from
the end of the answer with the collections; a sort or a filter counts until the next frame is drawn.
"""

from __future__ import annotations

import json
import statistics
import sys
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from airflow_provider_milvus.page.content import as_content
from airflow_provider_milvus.page.look import Look
from airflow_provider_milvus.reclaim.inventory import CollectionState, Memory
from airflow_provider_milvus.reclaim.kept_report import KeptReport, ReclaimOf
from airflow_provider_milvus.reclaim.report import ReclaimReport, make_entry
from airflow_provider_milvus.reclaim.usage import Usage
from dev.browser import IS_HERE, browser
from dev.page import served_page

TIMES = 15
REASON = "not known to be idle for 7 days: searched or queried within the last 1 day"
UNTIL_DRAWN = """async (act) => {
    const began = performance.now();
    new Function(act)();
    await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
    return performance.now() - began;
}"""
ACTS = {
    "sort by memory": "document.querySelector('th[data-column=bytes] button').click()",
    "sort by name": "document.querySelector('th[data-column=collection] button').click()",
    "sort by reason": "document.querySelector('th[data-column=decision] button').click()",
    "filter by name": "const s = document.getElementById('search'); s.value = s.value ? '' : '42';"
    "s.dispatchEvent(new Event('input'))",
    "scroll to the middle": "const s = document.getElementById('scroller'); s.scrollTop = s.scrollTop ? 0 : s.scrollHeight / 2",
    "choose all": "document.getElementById('all').click()",
}


def content(count: int) -> dict[str, Any]:
    """What a Milvus with this many collections shows after sixty nights."""
    random = Random(7)
    sources = [Memory(0, "measured"), Memory(0, "estimated"), Memory()]

    def state(number: int) -> CollectionState:
        source = random.choice(sources)
        size = None if source.bytes is None else int(random.lognormvariate(20, 2))
        return CollectionState(
            "default",
            f"events_of_a_customer_{number:05}_20260101",
            random.choice(["Loaded", "NotLoad"]),
            (f"live_{number}",) if number % 7 == 0 else (),
            collection_id=number,
            rows=random.randrange(10**7),
            replicas=1,
            memory=Memory(size, source.source),
            usage=Usage(timedelta(days=7), "neither searched nor queried for 7 days"),
        )

    states = [state(number) for number in range(count)]
    kept, seen = KeptReport(), {each.key: each for each in states}
    for night in range(60):
        loaded = [each for each in states if each.in_memory]
        report = ReclaimReport(
            kept=[make_entry(each, REASON) for each in states] if night == 59 else [],
            loaded=loaded[: len(loaded) - night * 5],
            budget=2**40,
        )
        run = ReclaimOf(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=night), "nightly", "reclaim", f"night_{night}")
        kept.add(run, report, seen, in_scope=lambda _: True, databases=["default"])
    look = Look("http://milvus:19530", states, 2**41)
    return {**as_content(look, kept), "connection": "milvus_default", "problem": None, "at": "2026-03-01T03:00:00+00:00"}


def main(count: int = 5000) -> None:
    if not IS_HERE:
        print("This needs playwright, and a Chromium that is installed.")
        return
    answer = content(count)
    with served_page({"milvus_default": answer}) as url, browser() as chromium:
        # Code of the test would not be let in by the page's own policy.
        page = chromium.new_context(viewport={"width": 1600, "height": 1000}, bypass_csp=True).new_page()
        waits = []
        for _ in range(3):
            page.goto(url)
            page.wait_for_selector("body[data-shown]", state="attached")
            ended = page.evaluate(
                "performance.getEntriesByType('resource').find((one) => one.name.endsWith('/milvus_default')).responseEnd"
            )
            drawn = page.evaluate("performance.getEntriesByName('shown')[0].startTime")
            waits.append(drawn - ended)
        print(f"{count:,} collections, an answer of {len(json.dumps(answer)) / 1e6:.1f} MB")
        print(f"{'first rows after the answer':28} {min(waits):6.0f} ms, at most {max(waits):.0f} ms")
        for name, act in ACTS.items():
            times = [page.evaluate(UNTIL_DRAWN, act) for _ in range(TIMES)]
            print(f"{name:28} {statistics.median(times):6.0f} ms, at most {max(times):.0f} ms")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
