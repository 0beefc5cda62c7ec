"""Secrets of a connection turn up nowhere: whatever a task meets, and wherever it runs.

Each secret is a canary that no other text holds. All that a task tells anybody is searched for it: logs of all loggers, what is
printed, errors with their causes, results, XCom, rendered fields, the trigger's row and its event, and what objects say of
themselves.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

import pytest

from airflow_provider_milvus.client import client
from airflow_provider_milvus.client.connection import ConnectionSettings
from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.operators.milvus import MilvusReleaseCollectionOperator
from airflow_provider_milvus.triggers.milvus import MilvusConditionTrigger
from dev.access.guarded import GuardedMilvus, guarded_server
from dev.faults.tasks import TASKS, Task
from dev.meanwhile.moments import CHANGES
from dev.servers.pages import Answer, Pages, Request, pages_server
from dev.servers.scripted import lost, refused_port, silent_port
from dev.servers.tls import tls_end
from dev.tries.airflow import without_airflow
from tests.certificates import Authority
from tests.faults.playing import Played, play
from tests.faults.test_access import MILVUS_PAGE
from tests.integration.support import Connect

TIMEOUT, SHORT = 5.0, 0.4
"""Seconds: of a task that ends by itself, and of one that is not answered."""


@dataclass(slots=True)
class Canaries:
    """The secrets of one connection, by what each is."""

    cores: dict[str, str] = field(default_factory=dict)

    def new(self, what: str, around: str = "{}") -> str:
        """A secret, with signs around it that URLs and headers encode."""
        self.cores[what] = uuid.uuid4().hex
        return around.format(self.cores[what])

    def seen_in(self, text: str) -> list[str]:
        return [what for what, core in self.cores.items() if any(form in text for form in _forms(core))]


def _forms(core: str) -> Iterator[str]:
    """It consists of letters and digits, which URLs leave as they are, and is in Base64 at one of three places."""
    yield core
    for before in range(3):
        whole = base64.b64encode(b"." * before + core.encode()).decode()
        yield whole[4:-4]


@contextmanager
def heard() -> Iterator[list[str]]:
    """All that is logged in the block, by every logger there is, from DEBUG on."""
    lines: list[str] = []
    formatter = logging.Formatter("%(name)s %(message)s %(args)s")

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(formatter.format(record))

    ear, levels, ears = Ear(logging.DEBUG), {}, []
    for name in ["", *logging.root.manager.loggerDict]:
        logger = logging.getLogger(name)
        levels[logger] = logger.level
        logger.setLevel(logging.DEBUG)
        if not name or not logger.propagate:
            logger.addHandler(ear)
            ears.append(logger)
    try:
        yield lines
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)
        for logger in ears:
            logger.removeHandler(ear)


@dataclass(slots=True)
class Cage:
    """A server, the metrics, and a connection to them that is full of secrets."""

    server: GuardedMilvus
    pages: Pages
    tls_port: int
    files: Path
    authority: Authority
    elsewhere: Mapping[str, str]
    canaries: Canaries = field(default_factory=Canaries)
    settings: dict[str, Any] = field(default_factory=dict)

    def find(self, task: Task, folder: Path, connect: Connect) -> Any:
        self.server.prepare(task)
        folder.mkdir()
        connect(self.server.uri)
        given = task.before(folder) if task.before is not None else {}
        self.server.forget()
        return given

    def fill(self, credential: str) -> None:
        """Make a connection with new secrets, and let the server know them."""
        new = self.canaries = Canaries()
        if credential == "token":
            who = {"token": new.new("token", "{}/+ %")}
            self.server.token = who["token"]
        else:
            who = {"login": "root", "password": new.new("password", "{}/+ %:@")}
            self.server.token = f"root:{who['password']}"
        metrics = self.pages.url.replace("//", f"//user:{quote(new.new('metrics password', '{}/+'), safe='')}@")
        path = new.new("path of the metrics")
        self.pages.at.clear()
        self.pages.at[f"/{path}/metrics"] = Answer(MILVUS_PAGE)
        self.settings = {
            **who,
            "metrics_url": f"{metrics}/{path}/metrics",
            "rest_url": f"{self.pages.url}/{new.new('path of the REST API')}",
        }
        if credential == "key":
            certificate, key = self.authority.issue("client")
            key.write_text(f"{new.new('key file')}\n{key.read_text()}")
            self.settings |= {"ca_pem_path": str(self.authority.path), "client_pem_path": str(certificate)}
            self.settings |= {"client_key_path": str(key), "uri": f"https://127.0.0.1:{self.tls_port}"}

    def point(self, connect: Connect, uri: str | None = None, **more: Any) -> None:
        timeout = SHORT if uri is not None else TIMEOUT
        connect(**{"uri": self.server.uri, "timeout": timeout, **self.settings, **({"uri": uri} if uri else {}), **more})


@pytest.fixture(scope="module")
def cage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cage]:
    files = tmp_path_factory.mktemp("cage")
    authority = Authority(files, "ours")
    with ExitStack() as opened:
        opened.enter_context(without_airflow())
        # Airflow's masker would hide what leaks into its logs, and grows slow with each secret.
        opened.enter_context(patch.object(_masker(), "add_mask", lambda self, secret, name=None: None))
        server, pages = opened.enter_context(guarded_server()), opened.enter_context(pages_server())
        port = opened.enter_context(tls_end(server.port, *authority.issue("server"), clients=authority.path))
        elsewhere = {"refused": opened.enter_context(refused_port()), "silent": opened.enter_context(silent_port())}
        yield Cage(server, pages, port, files, authority, elsewhere)


def _masker() -> type:
    try:
        from airflow.sdk.log import _secrets_masker
    except ImportError:  # Airflow 2
        from airflow.utils.log.secrets_masker import _secrets_masker
    return type(_secrets_masker())


def echo(request: Request) -> Answer:
    """What a broken gateway says of a request."""
    said = f"cannot serve {request.path} of {request.headers}"
    return Answer(json.dumps({"error": said, "message": said, "code": 65535}), 500)


Strike = Callable[[Cage, Connect], object]


def _lose(cage: Cage, connect: Connect) -> None:
    for call in CHANGES:
        cage.server.next(call, lost)


def _echo(cage: Cage, connect: Connect) -> None:
    cage.server.echoes = True
    cage.pages.at = dict.fromkeys(cage.pages.at, echo)


def _turn_away(cage: Cage, connect: Connect) -> None:
    cage.server.token = "another"


def _elsewhere(name: str) -> Strike:
    return lambda cage, connect: cage.point(connect, cage.elsewhere[name].replace("http:", _scheme(cage)))


def _scheme(cage: Cage) -> str:
    return "https:" if "client_key_path" in cage.settings else "http:"


FAULTS: dict[str, Strike] = {
    "none": lambda cage, connect: None,
    "answers lost": _lose,
    "an error that echoes the request": _echo,
    "a rejected password": _turn_away,
    "refused": _elsewhere("refused"),
    "silent": _elsewhere("silent"),
}
FAST = ("none", "an error that echoes the request", "a rejected password")
CREDENTIALS = ("password", "token", "key")


def leaks(
    task: Task, fault: str, credential: str, cage: Cage, connect: Connect, folder: Path, printed: Any, *, deferrable: bool
) -> tuple[Played, list[str]]:
    """Which secret is seen where."""
    given = cage.find(task, folder, connect)
    cage.fill(credential)
    cage.point(connect)
    strike = FAULTS[fault]

    def later() -> None:
        strike(cage, connect)

    if not deferrable:
        strike(cage, connect)
    timeout = SHORT if task.never or fault in ("refused", "silent") else TIMEOUT
    printed()
    with heard() as lines:
        played = play(task, timeout, folder, given, deferrable=deferrable, once_deferred=later if deferrable else lambda: None)
    told = {**played.told, "logs": "\n".join(lines), "printed": printed()}
    for steps in cage.server._steps.values():
        steps.clear()
    return played, [f"{what} in {place}" for place, text in told.items() for what in cage.canaries.seen_in(text)]


@pytest.fixture
def printed(capfd: pytest.CaptureFixture[str]) -> Callable[[], str]:
    return lambda: "".join(capfd.readouterr())


def _cases() -> Iterator[Any]:
    """In `make test-all` each task meets each fast fault and one other, in turn with each kind of credential."""
    turn = 0
    for task in TASKS:
        for deferrable in (False, True) if task.can_defer else (False,):
            name = f"{task.name}, {'deferred' if deferrable else 'worker'}"
            others = [fault for fault in FAULTS if fault not in FAST]
            turn += 1
            few = [(fault, CREDENTIALS[(turn + n) % 3]) for n, fault in enumerate((*FAST, others[turn % len(others)]))]
            yield pytest.param(task, deferrable, few, id=name, marks=pytest.mark.slow)
            every = [(fault, credential) for fault in FAULTS for credential in CREDENTIALS]
            yield pytest.param(task, deferrable, every, id=f"{name}, all", marks=pytest.mark.long)


@pytest.mark.parametrize(("task", "deferrable", "cases"), _cases())
def test_a_secret_is_told_nowhere(
    task: Task,
    deferrable: bool,
    cases: list[tuple[str, str]],
    cage: Cage,
    connect: Connect,
    tmp_path: Path,
    printed: Callable[[], str],
) -> None:
    wrong = []
    for number, (fault, credential) in enumerate(cases):
        _, found = leaks(task, fault, credential, cage, connect, tmp_path / str(number), printed, deferrable=deferrable)
        wrong += [f"{fault}, {credential}: {leak}" for leak in found]
    assert not wrong, "\n".join(wrong)


def test_the_secrets_did_go_out(cage: Cage, connect: Connect, tmp_path: Path, printed: Callable[[], str]) -> None:
    """So that a search for them is not in vain."""
    (report,) = (task for task in TASKS if task.name == "MilvusMemoryReportOperator")
    for credential in CREDENTIALS:
        cage.pages.requests.clear()
        played, _ = leaks(report, "none", credential, cage, connect, tmp_path / credential, printed, deferrable=False)
        sent = repr([call.metadata for call in cage.server.calls]) + repr(cage.pages.requests)
        expected = cage.canaries.cores.keys() - {"path of the REST API", "key file"}
        assert played.error is None
        assert set(cage.canaries.seen_in(sent)) == expected


PARTS = {
    "user": lambda url, secret: url.replace("//", f"//{secret}:p@"),
    "password": lambda url, secret: url.replace("//", f"//u:{secret}@"),
    "password with a slash": lambda url, secret: url.replace("//", f"//u:{secret}/x@"),
    "path": lambda url, secret: f"{url}/a/{secret}",
    "query": lambda url, secret: f"{url}/?token={secret}",
    "query without a path": lambda url, secret: f"{url}?token={secret}",
    "fragment": lambda url, secret: f"{url}/#{secret}",
    "port": lambda url, secret: f"{url.rpartition(':')[0]}:{secret}",
}
"""Where somebody may put a secret in an address."""
ADDRESSES = ("uri", "host", "host without a scheme", "metrics_url", "rest_url")
BLOCK = "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n"
TEXTS = {
    **{f"{part} of {setting}": (setting, part) for setting in ADDRESSES for part in PARTS},
    **{f"text in {setting}": (setting, BLOCK) for setting in ("client_key_path", "client_pem_path", "ca_pem_path")},
    **{
        f"text of one line in {setting}": (setting, BLOCK.replace("\n", "\\n"))
        for setting in ("client_key_path", "server_pem_path")
    },
    **{
        f"{setting} of another type": (setting, "{}")
        for setting in ("timeout", "secure", "proxies", "connect_timeout", "password2")
    },
    "a list as token": ("token", []),
}


def misplaced(setting: str, how: Any, uri: str, secret: str) -> dict[str, Any]:
    """A connection with a secret in the wrong place."""
    base = {"conn_type": "milvus", "extra": {"uri": uri}}
    if isinstance(how, list):
        return {**base, "extra": {"uri": uri, setting: [secret]}}
    if how not in PARTS:
        return {**base, "extra": {"uri": uri.replace("http:", "https:"), setting: how.format(secret)}}
    address = PARTS[how](uri, secret)
    if setting.startswith("host"):
        host = address if setting == "host" else address.partition("//")[2]
        return {"conn_type": "milvus", "host": host}
    return {**base, "extra": {"uri": uri, setting: address}}


@pytest.mark.parametrize("text", TEXTS)
def test_a_secret_in_the_wrong_place_is_told_nowhere(
    text: str, cage: Cage, connect: Connect, tmp_path: Path, printed: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a task in the worker, a deferred one, and a test of the connection; each in turn of the exported ones."""
    place = list(TEXTS).index(text)
    some = [TASKS[(place * 7 + number) % len(TASKS)] for number in range(3)]
    canaries = Canaries()
    for number, task in enumerate(some):
        for deferrable in (False, True) if task.can_defer else (False,):
            folder = tmp_path / f"{number}{deferrable}"
            given = cage.find(task, folder, connect)
            secret = canaries.new(text)
            wrong = json.dumps(misplaced(*TEXTS[text], cage.server.uri, secret))

            def misplace(wrong: str = wrong) -> None:
                monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", wrong)

            if not deferrable:
                misplace()
            printed()
            with heard() as lines:
                played = play(task, SHORT, folder, given, deferrable=deferrable, once_deferred=misplace)
                misplace()
                tested = MilvusHook().test_connection()[1]
            told = {**played.told, "logs": "\n".join(lines), "printed": printed(), "test": tested}
            assert not [f"{task.name}: {place}" for place, said in told.items() if canaries.seen_in(said)]


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_objects_do_not_tell_it(credential: str, cage: Cage, connect: Connect, tmp_path: Path) -> None:
    cage.server.prepare(TASKS[0])
    cage.fill(credential)
    cage.point(connect)
    hook = MilvusHook()
    with hook.client() as used:
        used.list_collections()
        objects: list[Any] = [hook, hook.settings, used, used._rest, hook.metrics()]
        shown = [f"{thing!s} {thing!r} {getattr(thing, '__dict__', '')!r}" for thing in objects]

    async def in_triggerer() -> None:
        async with hook.async_client() as opened:
            await opened.list_collections()
            shown.append(f"{opened!s} {opened!r} {vars(opened)!r}")

    asyncio.run(in_triggerer())
    shown += [str(hook.settings.model_dump()), hook.settings.model_dump_json(), hook.settings.where]
    shown += [repr(value) for value in dict(hook.settings).values()]
    for text in shown:
        assert cage.canaries.seen_in(text) == [], text


OWN_PROCESS = """
import logging, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
from airflow_provider_milvus.operators.milvus import MilvusReleaseCollectionOperator
try:
    MilvusReleaseCollectionOperator(task_id="t", collection_name="docs_2", timeout=2).execute({})
    print("released")
except Exception:
    logging.exception("failed")
"""


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["none", "an error that echoes the request", "refused"])
def test_what_grpc_writes_has_none(fault: str, cage: Cage, connect: Connect, tmp_path: Path) -> None:
    """gRPC's own log goes to the error output of a process, past Python."""
    (task,) = (task for task in TASKS if task.name == "MilvusReleaseCollectionOperator")
    cage.find(task, tmp_path / "files", connect)
    cage.fill("password")
    cage.point(connect)
    FAULTS[fault](cage, connect)
    environment = {**os.environ, "GRPC_VERBOSITY": "DEBUG"}
    environment |= {"PYTHONPATH": str(Path(__file__).parents[2])}
    ended = subprocess.run(
        [sys.executable, "-c", OWN_PROCESS], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    assert ("released" in ended.stdout) == (fault == "none")
    assert cage.canaries.seen_in(ended.stdout + ended.stderr) == []


# Teeth.


def secret_in_a_log(bug: pytest.MonkeyPatch) -> None:
    perform = client.BoundedClient.perform

    def told(self: Any, call: Any, database: str | None = None) -> Any:
        logging.getLogger("pymilvus.client").debug("calling with %s", self.settings.token.get_secret_value())
        return perform(self, call, database)

    bug.setattr(client.BoundedClient, "perform", told)


def secret_in_an_error(bug: pytest.MonkeyPatch) -> None:
    bug.setattr(ConnectionSettings, "without_secrets", lambda self, text: text)


def secret_in_an_operator(bug: pytest.MonkeyPatch) -> None:
    execute = MilvusReleaseCollectionOperator.execute

    def kept(self: Any, context: Any) -> Any:
        self.header = base64.b64encode(b"x" + self.hook().settings.token.get_secret_value().encode())
        return execute(self, context)

    bug.setattr(MilvusReleaseCollectionOperator, "execute", kept)


def secret_in_a_trigger(bug: pytest.MonkeyPatch) -> None:
    serialize = MilvusConditionTrigger.serialize

    def with_address(self: Any) -> Any:
        path, arguments = serialize(self)
        url = MilvusHook(self.milvus_conn_id).settings.metrics_url
        return path, {**arguments, "submitted": {**(self.submitted or {}), "metrics": url and url.get_secret_value()}}

    bug.setattr(MilvusConditionTrigger, "serialize", with_address)


TEETH = {
    "a log": (secret_in_a_log, "MilvusReleaseCollectionOperator", "none", False, "password in logs"),
    "an error": (
        secret_in_an_error,
        "MilvusReleaseCollectionOperator",
        "an error that echoes the request",
        False,
        "password in traceback",
    ),
    "an operator": (secret_in_an_operator, "MilvusReleaseCollectionOperator", "none", False, "password in operator"),
    "a trigger": (secret_in_a_trigger, "MilvusLoadStateSensor, not met", "none", True, "metrics password in trigger row"),
}


@pytest.mark.parametrize("tooth", TEETH)
def test_a_secret_that_is_told_on_purpose_is_caught(
    tooth: str, cage: Cage, connect: Connect, tmp_path: Path, printed: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in, name, fault, deferrable, where = TEETH[tooth]
    (task,) = (task for task in TASKS if task.name == name)
    _, before = leaks(task, fault, "password", cage, connect, tmp_path / "sound", printed, deferrable=deferrable)
    with monkeypatch.context() as bug:
        put_in(bug)
        _, found = leaks(task, fault, "password", cage, connect, tmp_path / "leaking", printed, deferrable=deferrable)
    assert before == []
    assert where in found
