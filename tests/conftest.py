"""What tests share: an Airflow of their own, the servers, and a plain pymilvus client that tells what the server really has.

The truth is asked through pymilvus itself, never through the provider under test, and pymilvus is never mocked.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

import pytest

# Airflow reads these once, when it is first imported.
_AIRFLOW_HOME = tempfile.mkdtemp(prefix="airflow-provider-milvus-")
os.environ["AIRFLOW_HOME"] = _AIRFLOW_HOME
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
# And NumPy this. Its threads wait for one another wherever servers want the same cores: measured, ten times as long.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from dev.servers.dialects import DIALECTS  # noqa: E402
from dev.servers.lite import LiteServer, lite_server  # noqa: E402
from dev.servers.scripted import ScriptedMilvus, refused_port, scripted_server, silent_port  # noqa: E402
from dev.servers.standalone import PLATFORM_HAS_IT, StandaloneServer, standalone_server  # noqa: E402
from dev.servers.translated import TranslatedMilvus, translated_server  # noqa: E402
from tests.integration.support import Connect, MakeCollection, Milvus, build_collection  # noqa: E402


def pytest_unconfigure() -> None:
    shutil.rmtree(_AIRFLOW_HOME, ignore_errors=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--newest", action="store_true", help="run what is marked `newest` on every Airflow")
    parser.addoption("--ui", default="lite", choices=["lite", "standalone"], help="the Milvus behind Airflow's pages")
    parser.addoption("--pictures", action="store_true", help="write the pictures of docs/, of Airflow's pages")


FIRST = ("tests/system/", "tests/unit/test_arguments.py", "tests/unit/reclaim/test_policy_properties.py")
"""Each of these takes minutes, and one process runs a whole file: begun last, they would be waited for by all others."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(FIRST))
    for item in items:
        if item.get_closest_marker("airflow") or "migrated" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.airflow)
            item.add_marker(pytest.mark.timeout(900))
    if int(version("apache-airflow").partition(".")[0]) < 3 and not config.getoption("newest"):
        once = pytest.mark.skip(reason="depends neither on Airflow nor on pymilvus: run on the newest Airflow only")
        for item in items:
            if item.get_closest_marker("newest"):
                item.add_marker(once)


@pytest.fixture(scope="session")
def lite_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiteServer]:
    with lite_server(tmp_path_factory.mktemp("lite")) as server:
        yield server


@pytest.fixture(scope="session")
def standalone_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandaloneServer]:
    if not PLATFORM_HAS_IT:
        pytest.skip("there is no Milvus 2.3.5 for this platform")
    with standalone_server(tmp_path_factory.mktemp("standalone")) as server:
        yield server


@pytest.fixture(scope="session")
def translated_process(standalone_process: StandaloneServer) -> Iterator[TranslatedMilvus]:
    with translated_server(standalone_process.uri, DIALECTS["2.6.16"]) as server:
        yield server


@pytest.fixture
def lite(lite_process: LiteServer, connect: Connect) -> Milvus:
    """Milvus Lite over gRPC, which the connection ``milvus_default`` points to."""
    connect(lite_process.uri)
    return Milvus("lite", lite_process.uri, lite_process.process)


@pytest.fixture
def standalone(standalone_process: StandaloneServer, connect: Connect) -> Milvus:
    """The real Milvus, which the connection ``milvus_default`` points to. Mark what uses it ``standalone``."""
    connect(standalone_process.uri)
    return Milvus("standalone", standalone_process.uri, standalone_process.process)


@pytest.fixture
def translated(translated_process: TranslatedMilvus, standalone_process: StandaloneServer, connect: Connect) -> Milvus:
    """The real Milvus, which answers as 2.6.16 does, where the connection ``milvus_default`` points to."""
    connect(translated_process.uri)
    return Milvus("2.6.16", translated_process.uri, standalone_process.process)


@pytest.fixture(scope="session")
def empty_outside() -> Milvus:
    """The server at ``MILVUS_URI``, which has to be empty: some tests begin by dropping all that is there."""
    server = Milvus("outside", MILVUS_URI)
    with server.plain_client() as client:
        if names := client.list_collections():
            pytest.exit(
                f"{MILVUS_URI} has collections, such as {names[0]!r}, which the tests would drop. Take an empty server."
            )
    return server


@pytest.fixture
def outside(empty_outside: Milvus, connect: Connect) -> Milvus:
    """The server at ``MILVUS_URI``, which the connection ``milvus_default`` points to."""
    connect(MILVUS_URI)
    return empty_outside


MILVUS_URI = os.environ.get("MILVUS_URI", "")
SERVERS = [
    "lite",
    pytest.param("standalone", marks=pytest.mark.standalone),
    pytest.param("translated", marks=[pytest.mark.standalone, pytest.mark.newest, pytest.mark.slow], id="2.6.16"),
]


@pytest.fixture(params=["outside"] if MILVUS_URI else SERVERS)
def milvus(request: pytest.FixtureRequest) -> Milvus:
    """Each of ``SERVERS`` in turn, or the one from outside."""
    found: Milvus = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def scripted(connect: Connect) -> Iterator[ScriptedMilvus]:
    """The server that plays a part, which the connection ``milvus_default`` points to."""
    with scripted_server() as server:
        connect(server.uri)
        yield server


@pytest.fixture
def silent() -> Iterator[str]:
    with silent_port() as uri:
        yield uri


@pytest.fixture
def refused() -> Iterator[str]:
    with refused_port() as uri:
        yield uri


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Point the connection ``milvus_default`` (or ``conn_id``) to ``uri``; other keywords go into its extra."""

    def point_to(
        uri: str, *, conn_id: str = "milvus_default", login: str | None = None, password: str | None = None, **extra: Any
    ) -> None:
        described = {"conn_type": "milvus", "login": login, "password": password, "extra": {"uri": uri, **extra}}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(described))

    return point_to


@pytest.fixture
def log_text(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """All that was logged or printed since the last time it was asked, wherever this version of Airflow sends it."""
    caplog.set_level(logging.DEBUG)

    def so_far() -> str:
        printed = capfd.readouterr()
        logged = caplog.text
        caplog.clear()
        return printed.out + printed.err + logged

    return so_far


@pytest.fixture
def make_collection(request: pytest.FixtureRequest) -> Iterator[MakeCollection]:
    """Make a collection with a name of its own on the server the test uses; it is dropped afterwards."""
    made: list[tuple[Milvus, str]] = []

    def make(
        name: str = "t",
        *,
        rows: int = 50,
        dim: int = 8,
        index: str = "FLAT",
        load: bool = False,
        exactly: bool = False,
        on: Milvus | None = None,
        **client_settings: Any,
    ) -> str:
        server = on or _server_of(request)
        unique = name if exactly else f"{name}_{uuid.uuid4().hex[:8]}"
        with server.plain_client(**client_settings) as client:
            build_collection(client, unique, rows=rows, dim=dim, index=index)
            made.append((server, unique))
            # Lite has a fresh collection in memory, the real server does not.
            client.load_collection(unique) if load else client.release_collection(unique)
        return unique

    yield make
    for server, name in made:
        with server.plain_client() as client:
            client.drop_collection(name)


def _server_of(request: pytest.FixtureRequest) -> Milvus:
    name = next(each for each in ("milvus", "standalone", "lite") if each in request.fixturenames)
    found: Milvus = request.getfixturevalue(name)
    return found
