"""Airflow's own pages on one machine, with the example DAGs, a Milvus with demo data, and a month of history: ``make ui``.

It runs until Ctrl-C. Everything lives in a temporary directory and ends with it. The history is made up (``dev/history.py``); a
real Prometheus remembers it, where one is installed. Milvus Lite tells no ids, so that there nothing counts by its metrics.
"""

from __future__ import annotations

import argparse
import signal
import socket
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from dev import demo, history, sample_collections
from dev.local_airflow import EXAMPLE_DAGS, LocalAirflow
from dev.sample_collections import Sample
from dev.servers.lite import LiteServer
from dev.servers.pages import Answer, pages_server
from dev.servers.process import free_ports
from dev.servers.prometheus import PLATFORM_HAS_IT as PROMETHEUS_IS_HERE, prometheus_with_history
from dev.servers.standalone import PLATFORM_HAS_IT, StandaloneServer

PORT = 8080
USERS = {"admin": "admin", "viewer": "viewer"}
FIRST_DAG = "milvus_nightly_memory_reclaim"
SIZES_WITHIN = 60.0
"""Seconds in which a Milvus tells on its page what it has in memory."""


def read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return str(answer.read(), "utf-8")


@contextmanager
def remembered(milvus: LiteServer | StandaloneServer, samples: Sequence[Sample], folder: Path) -> Iterator[str]:
    """The URL of a Prometheus that knows of a month, and goes on scraping; empty where none is installed."""
    if not PROMETHEUS_IS_HERE:
        yield ""
        return
    now = time.time()
    stories = history.stories(samples, datetime.fromtimestamp(now, UTC))

    def real() -> str:
        return read(milvus.metrics_url) if isinstance(milvus, StandaloneServer) else ""

    if real():
        ids = sample_collections.ids(milvus.uri)
        give_up = time.monotonic() + SIZES_WITHIN
        while not set(ids.values()) <= (sizes := history.sizes_on(real())).keys() and time.monotonic() < give_up:
            time.sleep(1)
        stories = [replace(it, sizes=sizes[ids[sample.name]]) for it, sample in zip(stories, samples, strict=True)]
    with pages_server() as pages:
        started = now - (history.DAYS + 1) * history.DAY
        pages.at["/metrics"] = lambda _: Answer(history.present(stories, time.time(), started, real()))
        target = f"127.0.0.1:{pages.port}"
        past = history.past(stories, target, now)
        with prometheus_with_history(folder, past, [target], look_back=history.LOOK_BACK) as url:
            yield url


def dags_folder(folder: Path, own: Path | None) -> Path:
    """The example DAGs, and a user's own beside them, as links: an edit is seen."""
    folder.mkdir(parents=True)
    for file in EXAMPLE_DAGS.glob("*.py"):
        (folder / file.name).symlink_to(file)
    if own:
        (folder / "own").symlink_to(own.resolve())
    return folder


@contextmanager
def running(server: str, folder: Path, port: int, own_dags: Path | None = None) -> Iterator[tuple[LocalAirflow, str, str]]:
    """Airflow, the address of the Milvus, and the one of the Prometheus, from when all of them serve until the block ends."""
    samples = sample_collections.samples(datetime.now(UTC), days=history.DAYS)
    home = folder / "airflow"
    with ExitStack() as parts:
        migration = parts.enter_context(LocalAirflow(home).started("db", "migrate"))
        milvus = parts.enter_context(demo.start(server, folder / "milvus"))
        demo.say(f"Milvus serves at {milvus.uri}")
        sample_collections.create(milvus.uri, samples)
        demo.say(f"{len(samples)} collections are in memory")
        prometheus = parts.enter_context(remembered(milvus, samples, folder / "prometheus"))
        demo.say(f"Prometheus remembers a month at {prometheus}" if prometheus else "No Prometheus is installed here")
        LocalAirflow(home).finish(migration)
        measured = {"metrics_url": prometheus} if prometheus else {}
        airflow = LocalAirflow(
            home,
            dags=dags_folder(folder / "dags", own_dags),
            port=port,
            connections={"milvus_default": {"uri": milvus.uri, **measured}},
            users=USERS,
            paused=True,
            settings={
                "AIRFLOW__API__HOST": "127.0.0.1",
                "AIRFLOW__CORE__PARALLELISM": "4",
                "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            },
        )
        demo.say("Airflow is starting, and reads the DAGs; this takes a minute or two")
        parts.enter_context(airflow.served())
        yield airflow, milvus.uri, prometheus


def run(server: str, folder: Path, port: int, own_dags: Path | None) -> None:
    with running(server, folder, port, own_dags) as (airflow, _, _):
        logins = ", or ".join(f"{name} with the password {name}" for name in airflow.users)
        demo.say(f"Airflow serves at http://localhost:{port}/dags/{FIRST_DAG}")
        demo.say(f"Log in as {logins}. Ctrl-C ends it all.")
        while True:
            signal.pause()


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m dev.ui", description=__doc__)
    arguments.add_argument("server", choices=["lite", "standalone"], help="what to run")
    arguments.add_argument("--port", type=int, default=PORT, help=f"of Airflow's pages; {PORT} by default, 0 for a free one")
    arguments.add_argument("--dags", type=Path, help="a folder with DAGs of your own, beside the examples")
    given = arguments.parse_args()
    if given.server == "standalone" and not PLATFORM_HAS_IT:
        print("MILVUS=standalone needs x86-64 Linux or macOS: the package milvus==2.3.5 exists for nothing else.")
        return 1
    if given.port and not is_free(given.port):
        print(f"Something listens at port {given.port} already: name another with make ui ARGS='--port 8081'.")
        return 1
    for number in demo.STOPPING:
        signal.signal(number, demo.stop)
    try:
        with tempfile.TemporaryDirectory(prefix="milvus-ui-", ignore_cleanup_errors=True) as folder:
            run(given.server, Path(folder), given.port or free_ports(1)[0], given.dags)
    except RuntimeError as error:
        print(f"\nFAILED: {error}")
        return 1
    except KeyboardInterrupt:
        print("\nStopped; nothing is left running.")
    return 0


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


if __name__ == "__main__":
    sys.exit(main())
