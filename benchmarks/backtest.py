"""How long it takes to play 30 days of 500 collections back: from a real Prometheus that remembers them, with every policy of a
suggestion. The goal is 20 seconds for one policy.

Run with ``python -m benchmarks.backtest``. It needs ``prometheus`` and ``promtool``, and some minutes to write the history.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.machine import machine
from dev.servers.prometheus import prometheus_with_history
from dev.servers.scripted import LOADED, scripted_server

COLLECTIONS, DAYS, SCRAPE = 500, 30, 1800
GOAL = 20.0
NOW = datetime(2026, 3, 12, tzinfo=UTC)
GIB = 2**30


def history(numbers: dict[str, int]) -> Iterator[str]:
    """One proxy and two query nodes; each collection is searched in a third of the half hours of some of its days."""
    chance = random.Random(7)
    moments = range(int((NOW - timedelta(days=DAYS + 8)).timestamp()), int(NOW.timestamp()) + 1, SCRAPE)
    process = 'instance="a:9091",job="milvus"'
    for name, value in (
        (f'milvus_num_node{{{process},role_name="proxy"}}', 1.0),
        (f'milvus_num_node{{{process},role_name="querynode"}}', 1.0),
        (f"milvus_rootcoord_proxy_num{{{process}}}", 1.0),
        (f"process_start_time_seconds{{{process}}}", 1.7e9),
    ):
        yield from (f"{name} {value} {moment}\n" for moment in moments)
    for name, number in numbers.items():
        labels = f'{process},collection_id="{number}",node_id="1",segment_state="Sealed"'
        size = chance.randrange(GIB // 4, 8 * GIB)
        yield from (f"milvus_querynode_entity_size{{{labels}}} {size} {moment}\n" for moment in moments)
        yield from (f"milvus_querynode_entity_num{{{labels}}} 1000 {moment}\n" for moment in moments)
        busy = {moment // 86_400 for moment in moments if chance.random() < 0.004}
        count, counts = 0, []
        for moment in moments:
            count += moment // 86_400 in busy and chance.random() < 0.33
            counts.append(count)
        labels = f'{process},collection_name="{name}",db_name="default"'
        for counter in (
            f'milvus_proxy_req_count{{{labels},function_name="Search",status="total"}}',
            f"milvus_proxy_received_nq{{{labels}}}",
        ):
            yield from (f"{counter} {count} {moment}\n" for count, moment in zip(counts, moments, strict=True))
    yield "# EOF\n"


def main() -> None:
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as directory, scripted_server() as server:
        os.environ.setdefault("AIRFLOW_HOME", directory)
        numbers = {f"events_{number:04}": server.add(f"events_{number:04}", LOADED).number for number in range(COLLECTIONS)}
        began = time.monotonic()
        with prometheus_with_history(Path(directory), history(numbers), look_back="35m") as url:
            print(f"{time.monotonic() - began:.0f} s to write {COLLECTIONS} collections of {DAYS + 8} days", flush=True)
            os.environ["AIRFLOW_CONN_MILVUS_DEFAULT"] = (
                f'{{"conn_type": "milvus", "extra": {{"uri": "{server.uri}", "metrics_url": "{url}"}}}}'
            )
            for what, more in (("one policy", {}), ("ten policies, for a suggestion", {"most_missed": 100})):
                wall, cpu, result = played(**more)
                verdict = f"; the goal is {GOAL:.0f} s, {'met' if wall <= GOAL else 'MISSED'}" if not more else ""
                print(f"{what}: {wall:.1f} s, {cpu:.1f} s of them our CPU{verdict}\n  {result['summary']}", flush=True)


def played(**arguments: Any) -> tuple[float, float, dict[str, Any]]:
    from airflow_provider_milvus.operators.milvus import MilvusReclaimBacktestOperator

    task = MilvusReclaimBacktestOperator(task_id="backtest", idle_for="P7D", since=f"P{DAYS}D", **arguments)
    context: Any = {"logical_date": NOW, "dag_run": SimpleNamespace(run_after=NOW)}
    began, cpu = time.monotonic(), time.process_time()
    result = task.execute(context)
    return time.monotonic() - began, time.process_time() - cpu, result


if __name__ == "__main__":
    main()
