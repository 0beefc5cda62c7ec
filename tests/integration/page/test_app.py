"""The app of the page, in Airflow's own API server with its logins: who is let in, what is shown, and what is never shown."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.secrets.environment_variables import EnvironmentVariablesBackend

from airflow_provider_milvus.operators.kept_reports import key_of
from airflow_provider_milvus.page import app, look, plugin
from airflow_provider_milvus.page.content import content_of
from airflow_provider_milvus.protocol.lazy_pymilvus import import_pymilvus
from airflow_provider_milvus.reclaim.inventory import CollectionState
from airflow_provider_milvus.reclaim.kept_report import KeptReport, ReclaimOf
from airflow_provider_milvus.reclaim.report import ReclaimReport, make_entry
from dev.servers.pages import Answer, pages_server
from dev.servers.scripted import ScriptedMilvus, abort, slow
from tests.integration.support import Connect, MakeCollection, Milvus, ends_within

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(not plugin.HAS_PAGES, reason="Airflow has such pages from 3.1 on"),
]

CANARY = "tweety-4711-canary"
PASSWORDS = {"ada": "password-of-ada", "vic": "password-of-vic"}
ADMIN, VIEWER, NOBODY = "ada", "vic", None

As = Callable[..., Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Airflow's API server, in this process, with an admin and a viewer."""
    passwords = tmp_path_factory.mktemp("logins") / "passwords.json"
    passwords.write_text(json.dumps(PASSWORDS))
    settings = {
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "ada:admin,vic:viewer",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__API_AUTH__JWT_SECRET": "a-secret-of-the-tests-that-is-long-enough-for-airflow-to-take-it-as-it-is",
        # As Airflow's own server sets it (api_fastapi/main.py), by which its hooks look for connections in its database.
        "_AIRFLOW_PROCESS_CONTEXT": "server",
    }
    with pytest.MonkeyPatch.context() as patched:
        for name, value in settings.items():
            patched.setenv(name, value)
        patched.delenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", raising=False)
        migrated = subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"], capture_output=True, text=True, check=False, timeout=300
        )
        assert migrated.returncode == 0, migrated.stderr
        from airflow.api_fastapi.app import create_app, purge_cached_app
        from fastapi.testclient import TestClient

        purge_cached_app()
        with TestClient(create_app(apps="core")) as client:
            yield client


@pytest.fixture(scope="module")
def as_user(server: Any) -> As:
    """Ask the page as a user; what is asked begins behind the page's address."""
    tokens: dict[str, str] = {}

    def ask(user: str | None, path: str, by_cookie: bool = False) -> Any:
        if user is not None and user not in tokens:
            login = server.post("/auth/token", json={"username": user, "password": PASSWORDS[user]})
            tokens[user] = login.json()["access_token"]
        server.cookies.clear()
        headers = {}
        if user is not None and by_cookie:
            headers["Cookie"] = f"_token={tokens[user]}"
        elif user is not None:
            headers["Authorization"] = f"Bearer {tokens[user]}"
        return server.get(f"{plugin.URL}{path}", headers=headers)

    return ask


def content(as_user: As, conn_id: str = "milvus_default") -> dict[str, Any]:
    answer = as_user(ADMIN, f"/api/connections/{conn_id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def mounted(server: Any) -> Any:
    """The page's app, as Airflow has mounted it."""
    return next(route.app for route in server.app.routes if route.path == plugin.URL)


def every_path(app: Any) -> list[str]:
    """A path for each route of the app, whatever kind of route it is."""
    from airflow_provider_milvus.page.app import FILES

    paths = []
    for route in app.routes:
        names = FILES if "{name}" in route.path else [""]
        paths += [route.path.replace("{name}", name).replace("{connection_id}", "milvus_default") for name in names]
    return paths


def test_every_route_is_for_users_who_may_read_connections(server, as_user, connect, lite):
    paths = every_path(mounted(server))
    assert {"/", "/files/page.js", "/api/connections", "/api/connections/milvus_default"} <= set(paths)
    outcomes = {
        path: [as_user(user, path).status_code for user in (NOBODY, VIEWER, ADMIN)]
        + [as_user(user, path, by_cookie=True).status_code for user in (VIEWER, ADMIN)]
        for path in paths
    }
    assert outcomes == {path: [401, 403, 200, 403, 200] for path in paths}


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/files/%2e%2e%2fapp.py", "/files/none.js"])
def test_there_is_nothing_else(as_user, path):
    assert as_user(ADMIN, path).status_code == 404


def test_a_token_that_airflow_did_not_make_is_refused(server):
    answer = server.get(f"{plugin.URL}/", headers={"Authorization": "Bearer made.up.token"})
    assert answer.status_code in (401, 403)


def test_only_connections_of_milvus_are_listed_and_shown(as_user, connect, monkeypatch, refused):
    connect(refused, conn_id="milvus_default")
    connect(refused, conn_id="milvus_second")
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps({"conn_type": "http", "host": "h", "password": CANARY}))
    monkeypatch.setenv("AIRFLOW_CONN_BROKEN", "{")
    assert as_user(ADMIN, "/api/connections").json() == {"connections": ["milvus_default", "milvus_second"]}
    assert as_user(ADMIN, "/api/connections/other").status_code == 404
    assert as_user(ADMIN, "/api/connections/none").status_code == 404


@contextmanager
def stored_connection(uri: str) -> Iterator[str]:
    """The id of a connection in Airflow's database."""
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session

    conn_id = "milvus_stored"
    with create_session() as session:
        session.add(Connection(conn_id=conn_id, conn_type="milvus", extra=json.dumps({"uri": uri})))
    try:
        yield conn_id
    finally:
        with create_session() as session:
            session.delete(session.query(Connection).filter_by(conn_id=conn_id).one())


def test_a_connection_of_airflows_database_is_listed_and_shown(as_user, scripted):
    scripted.add("docs")
    with stored_connection(scripted.uri) as conn_id:
        assert conn_id in as_user(ADMIN, "/api/connections").json()["connections"]
        shown = content(as_user, conn_id)
    assert shown["problem"] is None
    assert [row["collection"] for row in shown["collections"]] == ["docs"]


def test_shows_what_a_milvus_has(as_user: As, lite: Milvus, make_collection: MakeCollection) -> None:
    loaded = make_collection("shown", rows=50, dim=8, load=True)
    released = make_collection("hidden", rows=20, dim=8)
    with lite.plain_client() as client:
        client.create_alias(loaded, "shown_live")
    try:
        shown = content(as_user)
    finally:
        with lite.plain_client() as client:
            client.drop_alias("shown_live")
    rows = {row["collection"]: row for row in shown["collections"]}
    assert shown["problem"] is None
    assert (rows[loaded]["state"], rows[loaded]["rows"], rows[loaded]["aliases"]) == ("Loaded", 50, ["shown_live"])
    assert (rows[loaded]["bytes_source"], rows[loaded]["bytes"] > 0) == ("estimated", True)
    assert (rows[released]["state"], rows[released]["rows"], rows[released]["bytes"]) == ("NotLoad", 20, None)


def test_of_thousands_it_estimates_some(as_user: As, scripted: ScriptedMilvus, connect: Connect, monkeypatch) -> None:
    """And asks for the rows of no others: each takes a call."""
    connect(scripted.uri)
    client = import_pymilvus().MilvusClient(scripted.uri, timeout=10, dedicated=True)
    for name in ("a", "b", "c", "d", "e"):
        client.create_collection(name, dimension=4)
    client.release_collection("a")
    client.close()
    scripted.always("GetCollectionStatistics", lambda *_: {"stats": [{"key": "row_count", "value": "7"}]})
    scripted.calls.clear()
    monkeypatch.setattr(look, "MOST_ASKED", 2)
    shown = content(as_user)
    sizes = {row["collection"]: (row["rows"], row["bytes_source"]) for row in shown["collections"]}
    unknown = (None, "unknown")
    assert sizes == {"a": unknown, "b": (7, "estimated"), "c": (7, "estimated"), "d": unknown, "e": unknown}
    assert [call.request.collection_name for call in scripted.received("GetCollectionStatistics")] == ["b", "c"]
    assert shown["warnings"] == [
        "Of 2 collections in memory the size is not known: where the metrics do not tell sizes, those of 2 at most are "
        "estimated."
    ]


def test_shows_why_the_last_reclaim_released_and_kept(as_user: As, lite: Milvus, make_collection: MakeCollection) -> None:
    from airflow.models.variable import Variable

    name = make_collection("decided", load=True)
    subject = CollectionState("default", name, "Loaded")
    report = ReclaimReport(kept=[make_entry(subject, "behind the alias live")], loaded=[subject], budget=100)
    kept = KeptReport()
    run = ReclaimOf(datetime(2026, 3, 10, tzinfo=UTC), "nightly", "reclaim", "night_0")
    kept.add(run, report, {subject.key: subject}, in_scope=lambda _: True, databases=["default"])
    Variable.set(key_of("milvus_default"), kept.as_value(), serialize_json=True)
    try:
        shown = content(as_user)
    finally:
        Variable.delete(key_of("milvus_default"))
    (decision,) = [row["decision"] for row in shown["collections"] if row["collection"] == name]
    assert (decision["outcome"], decision["reason"], decision["dag_id"]) == ("kept", "behind the alias live", "nightly")
    assert [each["budget"] for each in shown["runs"]] == [100]


def test_a_kept_report_that_cannot_be_read_is_a_warning(as_user: As, lite: Milvus) -> None:
    from airflow.models.variable import Variable

    Variable.set(key_of("milvus_default"), "not JSON")
    try:
        shown = content(as_user)
    finally:
        Variable.delete(key_of("milvus_default"))
    assert shown["problem"] is None
    assert any(key_of("milvus_default") in warning for warning in shown["warnings"])


@pytest.mark.parametrize("fault", ["refused", "silent"])
def test_a_dead_milvus_is_shown_as_such_and_holds_nobody_up(request, as_user, connect, fault):
    connect(request.getfixturevalue(fault))
    as_user(ADMIN, "/api/connections/milvus_default")
    with ThreadPoolExecutor(1) as beside, ends_within(5):
        dead = beside.submit(content, as_user)
        meanwhile = as_user(ADMIN, "/api/connections")
        was_first = not dead.done()
        shown = dead.result()
    assert meanwhile.status_code == 200
    assert was_first
    assert shown["collections"] == []
    assert shown["problem"]


class TestManyUsers:
    def test_share_one_look_at_a_milvus(self, as_user, scripted):
        scripted.add("docs")
        content(as_user)
        before = len(scripted.received("ListDatabases"))
        scripted.always("ListDatabases", slow(1.0))
        with ThreadPoolExecutor(8) as beside:
            shown = list(beside.map(lambda _: content(as_user), range(8)))
        assert [[row["collection"] for row in each["collections"]] for each in shown] == [["docs"]] * 8
        assert len(scripted.received("ListDatabases")) == before + 1

    async def test_get_it_when_another_one_gives_up(self, server, scripted):
        scripted.add("docs")
        scripted.next("ListDatabases", slow(1.0))
        first, second = (asyncio.create_task(content_of("milvus_default")) for _ in range(2))
        await asyncio.sleep(0.2)
        first.cancel()
        assert [row["collection"] for row in (await second)["collections"]] == ["docs"]
        # And the next one looks anew.
        scripted.add("news")
        assert sorted(row["collection"] for row in (await content_of("milvus_default"))["collections"]) == ["docs", "news"]


@pytest.fixture
def hang(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[type, str], None]]:
    """Have a method of a class hang until the test has ended."""
    ended = threading.Event()

    def tell_nothing(*_: Any, **__: Any) -> None:
        ended.wait(20)

    yield lambda owner, method: monkeypatch.setattr(owner, method, tell_nothing)
    ended.set()


class TestAirflowHangs:
    """What Airflow itself is asked for has a limit as well."""

    @pytest.fixture(autouse=True)
    def warm(self, as_user, connect, scripted):
        connect(scripted.uri)
        scripted.add("docs")
        content(as_user)

    def test_a_backend_that_is_asked_for_variables(self, as_user, hang):
        hang(EnvironmentVariablesBackend, "get_variable")
        with ends_within(5):
            shown = content(as_user)
        assert [row["collection"] for row in shown["collections"]] == ["docs"]
        assert shown["warnings"] == ["Airflow did not tell what it keeps of the last reclaims within 4 s."]

    def test_such_a_backend_while_the_milvus_is_dead(self, as_user, connect, silent, hang):
        connect(silent)
        hang(EnvironmentVariablesBackend, "get_variable")
        with ends_within(5):
            assert content(as_user)["problem"]

    def test_a_backend_that_is_asked_for_connections(self, as_user, monkeypatch, refused, hang):
        monkeypatch.delenv("AIRFLOW_CONN_MILVUS_DEFAULT")
        hang(EnvironmentVariablesBackend, "get_connection")
        with stored_connection(refused) as conn_id, ends_within(5):
            assert "Airflow did not tell the connection" in content(as_user, conn_id)["problem"]

    @pytest.mark.parametrize("path", ["/api/connections", "/api/connections/milvus_default"])
    def test_who_may_read_which_connections(self, as_user, hang, monkeypatch, path):
        monkeypatch.setattr(app, "TOLD_WITHIN", 0.5)
        hang(EnvironmentVariablesBackend, "get_connection")
        with ends_within(5):
            assert as_user(ADMIN, path).status_code == 504


def test_a_milvus_lite_file_is_not_opened(as_user, connect, tmp_path: Path):
    connect(str(tmp_path / "milvus.db"))
    assert "Milvus Lite file" in content(as_user)["problem"]
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_in_a_connection_is_shown(as_user, connect, refused):
    connect(refused, no_such_setting=CANARY)
    shown = content(as_user)
    assert "no_such_setting" in shown["problem"]
    assert CANARY not in json.dumps(shown)


@pytest.mark.parametrize("secret", [{"login": "root", "password": CANARY}, {"token": CANARY}], ids=["password", "token"])
@pytest.mark.parametrize("place", ["scripted", "echo", "refused", "silent", "lite"])
def test_no_secret_leaves_the_server(
    request: pytest.FixtureRequest,
    as_user: As,
    connect: Connect,
    secret: dict[str, str],
    place: str,
    log_text: Callable[[], str],
) -> None:
    server = request.getfixturevalue("scripted" if place == "echo" else place)
    uri = server if isinstance(server, str) else server.uri
    if place == "echo":
        assert isinstance(server, ScriptedMilvus)
        server.always("ListDatabases", abort("INTERNAL", f"it broke for {secret.get('token') or 'root:' + CANARY}"))
    with pages_server() as pages:
        pages.at["/api/v1/query"] = Answer(f"it broke for user:{CANARY}", 500)
        connect(uri, **secret, metrics_url=f"http://user:{CANARY}@127.0.0.1:{pages.port}", timeout=3)
        answers = [as_user(ADMIN, path) for path in ("/api/connections", "/api/connections/milvus_default")]
        if place in ("scripted", "lite"):
            # The canary did go out.
            assert pages.requests
    assert [answer.status_code for answer in answers] == [200, 200]
    assert CANARY not in "".join(answer.text + repr(answer.headers) for answer in answers)
    assert CANARY not in log_text()
