"""The real Milvus 2.3.5, from the PyPI package ``milvus``: the Go server with an embedded etcd, on x86-64 Linux and macOS.

The package's own starter fixes some ports (etcd's peer port is always 2380), so two servers clash. Here the package
writes its configuration, etcd is given a file of its own, and the binary is run directly.
"""

from __future__ import annotations

import json
import platform
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from dev.servers.process import ServerProcess, free_ports

PLATFORM_HAS_IT = (
    platform.machine() in ("x86_64", "AMD64") and sys.platform in ("linux", "darwin") and find_spec("milvus") is not None
)


@dataclass(frozen=True, slots=True)
class StandaloneServer:
    port: int
    metrics_port: int
    process: ServerProcess
    scheme: str = "http"

    @property
    def uri(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def metrics_url(self) -> str:
        return f"http://127.0.0.1:{self.metrics_port}/metrics"


def _binaries() -> Path:
    """Unpack the server once per environment (it takes half a minute) and share it between data directories.

    One process unpacks at a time: another that begins meanwhile would write to the file that this one runs.
    """
    import fcntl

    import milvus

    shared = Path(sys.prefix) / "share" / f"milvus-{milvus.__version__}"
    shared.mkdir(parents=True, exist_ok=True)
    with (shared / "unpacking").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        milvus._initialize_data_files(str(shared))
    return shared / "bin"


def _etcd_configuration(directory: Path, client_port: int, peer_port: int) -> Path:
    client, peer = f"http://127.0.0.1:{client_port}", f"http://127.0.0.1:{peer_port}"
    path = directory / "configs" / "etcd.yaml"
    path.write_text(
        json.dumps(
            {
                "name": "default",
                "data-dir": str(directory / "data" / "etcd.data"),
                "listen-client-urls": client,
                "advertise-client-urls": client,
                "listen-peer-urls": peer,
                "initial-advertise-peer-urls": peer,
                "initial-cluster": f"default={peer}",
                "log-level": "error",
            }
        )
    )
    return path


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def standalone_server(
    directory: Path, settings: Mapping[str, str] | None = None, *, scheme: str = "http"
) -> Iterator[StandaloneServer]:
    """Serve ``directory`` until the block ends.

    ``settings`` are dotted keys of ``milvus.yaml``, for example ``{"common.security.authorizationEnabled": "true"}``.
    """
    from milvus import MilvusServerConfig

    directory.mkdir(parents=True, exist_ok=True)
    port_keys = [key for key in MilvusServerConfig().configurable_items if key.endswith("_port")]
    *ports, peer_port, metrics_port = free_ports(len(port_keys) + 2)
    chosen = dict(zip(port_keys, ports, strict=True))
    configuration = MilvusServerConfig(data_dir=str(directory), **chosen)
    # Milvus takes a query node for gone that a busy machine holds up for longer than the default of 3 s, and refuses searches.
    configuration.set("proxy.healthCheckTimeout", "60000")
    for key, value in (settings or {}).items():
        configuration.set(key, value)
    configuration.resolve()

    etcd = _etcd_configuration(directory, chosen["etcd_port"], peer_port)
    written = directory / "configs" / "milvus.yaml"
    written.write_text(written.read_text().replace("\netcd:\n", f"\netcd:\n  config:\n    path: {etcd}\n", 1))

    binaries = _binaries()
    process = ServerProcess(
        [str(binaries / "milvus"), "run", "standalone"],
        log=directory / "server.log",
        ready=lambda: _healthy(metrics_port),
        environment={
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(metrics_port),
            "MILVUSCONF": str(directory / "configs"),
            "MILVUS_RUN_DIR": str(directory),
            "LD_LIBRARY_PATH": str(binaries),
            "DYLD_LIBRARY_PATH": str(binaries),
        },
        directory=directory,
    )
    try:
        process.start()
        yield StandaloneServer(chosen["proxy_port"], metrics_port, process, scheme)
    finally:
        process.kill()
