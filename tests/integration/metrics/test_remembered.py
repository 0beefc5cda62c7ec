"""A Prometheus with a past that was written for it: what dev/servers/prometheus.py promises to tests and to `make ui`."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.servers.prometheus import PLATFORM_HAS_IT, prometheus_with_history

pytestmark = [
    pytest.mark.newest,
    pytest.mark.skipif(not PLATFORM_HAS_IT, reason="there is no prometheus on the PATH"),
]

HOUR, DAY = 3600, 86_400


def value_at(url: str, query: str, moment: int) -> float | None:
    form = urllib.parse.urlencode({"query": query, "time": moment})
    with urllib.request.urlopen(f"{url}/api/v1/query?{form}", timeout=10) as answer:
        samples = json.load(answer)["data"]["result"]
    return float(samples[0]["value"][1]) if samples else None


def test_it_answers_for_every_hour_of_forty_days(tmp_path: Path) -> None:
    now = int(time.time())
    hours = [now - hour * HOUR for hour in reversed(range(40 * 24))]

    def text() -> Iterator[str]:
        yield "# TYPE searches counter\n"
        yield from (f'searches_total{{collection_name="docs"}} {count} {hour}\n' for count, hour in enumerate(hours))
        yield "# EOF\n"

    with prometheus_with_history(tmp_path, text(), look_back="2h") as url:
        assert [value_at(url, "searches_total", hour) for hour in hours[::97]] == list(range(0, len(hours), 97))
        assert value_at(url, "count_over_time(searches_total[41d])", now) == len(hours)
        assert value_at(url, "searches_total", hours[0] - 1) is None


def test_a_text_that_is_not_openmetrics_is_refused_with_the_reason(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match=r"cannot read the history: .*EOF"),
        prometheus_with_history(tmp_path, f"searches_total 1 {int(time.time()) - DAY}\n"),
    ):
        pass
