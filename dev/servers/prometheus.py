"""A real Prometheus, from the binary ``prometheus`` on the PATH: Debian has it as a package of that name."""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dev.servers.process import ServerProcess, free_ports

PLATFORM_HAS_IT = shutil.which("prometheus") is not None


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
def prometheus_server(directory: Path, targets: Sequence[str], *, look_back: str = "5m") -> Iterator[PrometheusServer]:
    """Scrape ``targets`` (host and port, each with a page ``/metrics``) every second until the block ends.

    ``look_back`` is how old a sample may be and still count as the present one; Prometheus's own default is 5 minutes.
    """
    (port,) = free_ports(1)
    directory.mkdir(parents=True, exist_ok=True)
    configuration = directory / "prometheus.json"
    # JSON is YAML.
    configuration.write_text(
        json.dumps(
            {
                "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
                "scrape_configs": [{"job_name": "milvus", "static_configs": [{"targets": list(targets)}]}],
            }
        )
    )
    command = [
        "prometheus",
        f"--config.file={configuration}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--query.lookback-delta={look_back}",
    ]
    process = ServerProcess(command, log=directory / "server.log", ready=lambda: _ready(port), patience=60)
    try:
        process.start()
        yield PrometheusServer(port, process)
    finally:
        process.kill()
