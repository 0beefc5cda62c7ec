"""A real Prometheus, from the binaries ``prometheus`` and ``promtool`` on the PATH: Debian has both in its package prometheus.

It watches servers that run, or remembers a past that somebody has written, or both.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dev.servers.process import ServerProcess, free_ports

PLATFORM_HAS_IT = shutil.which("prometheus") is not None and shutil.which("promtool") is not None
LONGEST_BLOCK = "744h"
"""promtool reads the whole text once for every block, and makes one of every two hours unless it is told otherwise."""
KEPT = "100y"


@dataclass(frozen=True, slots=True)
class PrometheusServer:
    port: int
    process: ServerProcess

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def scraped_since(self, moment: float) -> bool:
        """Whether each target that answers was scraped after ``moment``, in seconds since the epoch."""
        query = urllib.parse.quote("timestamp(up) and up == 1")
        with urllib.request.urlopen(f"{self.url}/api/v1/query?query={query}", timeout=10) as answer:
            samples = json.load(answer)["data"]["result"]
        return bool(samples) and all(float(sample["value"][1]) > moment for sample in samples)


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def prometheus_server(
    directory: Path,
    targets: Sequence[str] = (),
    *,
    look_back: str = "5m",
    interval: str = "1s",
    history: str | Iterable[str] | None = None,
) -> Iterator[PrometheusServer]:
    """Scrape ``targets`` (host and port, each with a page ``/metrics``) until the block ends.

    :param look_back: how old a sample may be and still count as the present one; Prometheus's own default is 5 minutes.
    :param interval: the time from one scrape to the next.
    :param history: what it remembers from the start: a text in the OpenMetrics format, whole or in pieces.
    :raises RuntimeError: it does not start, or the history cannot be read; the message says what was wrong.
    """
    (port,) = free_ports(1)
    directory.mkdir(parents=True, exist_ok=True)
    data = directory / "data"
    if history is not None:
        _remember(history, directory / "history.txt", data)
    configuration = directory / "prometheus.json"
    # JSON is YAML.
    configuration.write_text(
        json.dumps(
            {
                "global": {"scrape_interval": interval, "scrape_timeout": "1s"},
                "scrape_configs": [{"job_name": "milvus", "static_configs": [{"targets": list(targets)}]}],
            }
        )
    )
    command = [
        "prometheus",
        f"--config.file={configuration}",
        f"--storage.tsdb.path={data}",
        f"--storage.tsdb.retention.time={KEPT}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--query.lookback-delta={look_back}",
    ]
    process = ServerProcess(command, log=directory / "server.log", ready=lambda: _ready(port), patience=60)
    try:
        process.start()
        yield PrometheusServer(port, process)
    finally:
        process.kill()


@contextmanager
def prometheus_with_history(
    directory: Path, openmetrics_text: str | Iterable[str], targets: Sequence[str] = (), *, look_back: str = "5m"
) -> Iterator[str]:
    """The URL of a Prometheus that remembers a past: samples with their times in seconds, and ``# EOF`` as the last line.

    ``look_back`` has to be longer than the time from one sample to the next.
    """
    with prometheus_server(directory, targets, look_back=look_back, interval="15s", history=openmetrics_text) as server:
        yield server.url


def _remember(history: str | Iterable[str], text: Path, data: Path) -> None:
    """Write blocks of the time series database, as a Prometheus that had scraped all this would have."""
    with text.open("w") as file:
        file.writelines([history] if isinstance(history, str) else history)
    command = ["promtool", "tsdb", "create-blocks-from", f"--max-block-duration={LONGEST_BLOCK}", "openmetrics"]
    made = subprocess.run([*command, str(text), str(data)], capture_output=True, text=True, check=False, timeout=600)
    text.unlink()
    if made.returncode != 0:
        raise RuntimeError(f"promtool cannot read the history: {made.stderr.strip() or made.stdout.strip()}")
