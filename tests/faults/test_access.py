"""Every exported task over every way to the server: those that let it in, and those that turn it away.

Turned away it is back in time, with an error of the right kind that names the connection, the reason and a next step; it has
not tried again what no other try mends, and nothing is changed on the server.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_milvus.exceptions import (
    MilvusAuthenticationError,
    MilvusConfigurationError,
    MilvusError,
    MilvusTlsError,
)
from airflow_provider_milvus.operators import milvus as operators
from dev.access.guarded import GuardedMilvus, guarded_server
from dev.faults.tasks import TASKS, Task
from dev.meanwhile.moments import CHANGES
from dev.servers.pages import Answer, Pages, pages_server
from dev.servers.tls import tls_end
from dev.tries.airflow import without_airflow
from tests.certificates import Authority
from tests.faults.playing import Played, play
from tests.integration.support import SLACK, Connect, TooSlowError

LOGIN, PASSWORD = "root", "Milvus"
TIMEOUT = 5.0
MILVUS_PAGE = 'milvus_num_node{node_id="1",role_name="proxy"} 1\nprocess_start_time_seconds 1\n'
AS_LOGIN = {"login": LOGIN, "password": PASSWORD}
AS_TOKEN = {"token": f"{LOGIN}:{PASSWORD}"}
TRUSTED = {"ca_pem_path": "ours.pem"}
CLIENT = {"client_pem_path": "client.pem", "client_key_path": "client.key"}


@dataclass(frozen=True, slots=True)
class Way:
    """``door``: where the connection leads. ``files``: its TLS settings, by file names. ``kind``: the error; ``None``: let in.

    ``lasts``: so many calls are let in before the token expires.
    """

    name: str
    door: str = "plain"
    who: Mapping[str, str] = field(default_factory=lambda: AS_LOGIN)
    files: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)
    kind: type[MilvusError] | None = None
    says: str = ""
    scheme: str = ""

    def __str__(self) -> str:
        return self.name

    def settings(self, ports: Mapping[str, int], folder: Path) -> dict[str, Any]:
        scheme = self.scheme or ("http" if self.door == "plain" else "https")
        files = {setting: str(folder / name) for setting, name in self.files.items()}
        return {"uri": f"{scheme}://127.0.0.1:{ports[self.door]}", **self.who, **files, **self.more}


GOOD = (
    Way("login and password"),
    Way("a token", who=AS_TOKEN),
    Way("TLS", "tls", files=TRUSTED),
    Way("TLS, by another name of the server", "tls", files=TRUSTED, more={"server_name": "localhost"}),
    Way("mutual TLS", "mutual", files={**TRUSTED, **CLIENT}),
)
_REJECTED = "rejected the credentials"
BAD = (
    Way("a wrong password", who={"login": LOGIN, "password": "mistaken"}, kind=MilvusAuthenticationError, says=_REJECTED),
    Way("a wrong token", who={"token": "mistaken"}, kind=MilvusAuthenticationError, says=_REJECTED),
    Way("no login", who={}, kind=MilvusAuthenticationError, says=_REJECTED),
    Way("a wrong password over TLS", "tls", {"token": "mistaken"}, TRUSTED, kind=MilvusAuthenticationError, says=_REJECTED),
    Way("an expired certificate", "expired", files=TRUSTED, kind=MilvusTlsError, says="certificate has expired"),
    Way(
        "a certificate of another name",
        "tls",
        files=TRUSTED,
        more={"server_name": "elsewhere.example"},
        kind=MilvusTlsError,
        says="not valid for 'elsewhere.example'",
    ),
    Way("an unknown authority", "tls", files={"ca_pem_path": "theirs.pem"}, kind=MilvusTlsError, says="local issuer"),
    Way("an authority that the system does not know", "tls", kind=MilvusTlsError, says="local issuer"),
    Way("no client certificate", "mutual", files=TRUSTED, kind=MilvusTlsError, says="client's certificate"),
    Way(
        "an expired client certificate",
        "mutual",
        files={**TRUSTED, "client_pem_path": "late.pem", "client_key_path": "late.key"},
        kind=MilvusTlsError,
        says="client's certificate.*EXPIRED",
    ),
    Way(
        "a client certificate of an unknown authority",
        "mutual",
        files={**TRUSTED, "client_pem_path": "stranger.pem", "client_key_path": "stranger.key"},
        kind=MilvusTlsError,
        says="client's certificate.*UNKNOWN_CA",
    ),
    Way(
        "a key that cannot be read",
        "mutual",
        files={**TRUSTED, **CLIENT, "client_key_path": "notes.key"},
        kind=MilvusConfigurationError,
        says="client_key_path names a file that does not hold the key",
    ),
    Way(
        "a key that is not there",
        "mutual",
        files={**TRUSTED, **CLIENT, "client_key_path": "missing.key"},
        kind=MilvusConfigurationError,
        says="client_key_path names a file that does not exist",
    ),
    Way("TLS to a plain port", files=TRUSTED, scheme="https", kind=MilvusTlsError, says="speaks no TLS"),
    Way("plain to a TLS port", "tls", scheme="http", kind=MilvusTlsError, says="wants TLS"),
    Way("plain to a port of mutual TLS", "mutual", scheme="http", kind=MilvusTlsError, says="wants TLS"),
)
NEXT_STEP = re.compile(r"\b(Check|Set|Give|Grant|does not hold|does not exist)\b")
"""What to do. A message about a file says what it has to be."""


@dataclass(frozen=True, slots=True)
class Place:
    """The server behind its doors."""

    server: GuardedMilvus
    pages: Pages
    ports: Mapping[str, int]
    files: Path

    def find(self, task: Task, folder: Path, connect: Connect) -> Any:
        """Make what the task finds; afterwards the server lets in only who has the password."""
        self.server.prepare(task)
        folder.mkdir(parents=True)
        connect(self.server.uri)
        given = task.before(folder) if task.before is not None else {}
        self.server.token = f"{LOGIN}:{PASSWORD}"
        self.server.forget()
        return given

    def point(self, way: Way, connect: Connect) -> None:
        metrics = {"metrics_url": f"{self.pages.url}/metrics"}
        connect(timeout=TIMEOUT, connect_timeout=0.5, **metrics, **way.settings(self.ports, self.files))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    files = tmp_path_factory.mktemp("access")
    ours, theirs = Authority(files, "ours"), Authority(files, "theirs")
    server_pair, late_pair = ours.issue("server"), ours.issue("late", valid=timedelta(minutes=-1))
    ours.issue("client")
    theirs.issue("stranger")
    (files / "notes.key").write_text("not a key")
    with ExitStack() as opened:
        opened.enter_context(without_airflow())
        server, pages = opened.enter_context(guarded_server()), opened.enter_context(pages_server())
        pages.at["/metrics"] = Answer(MILVUS_PAGE)
        ports = {
            "plain": server.port,
            "tls": opened.enter_context(tls_end(server.port, *server_pair)),
            "expired": opened.enter_context(tls_end(server.port, *late_pair)),
            "mutual": opened.enter_context(tls_end(server.port, *server_pair, clients=ours.path)),
        }
        yield Place(server, pages, ports, files)


def timeout_of(task: Task) -> float:
    """Of a task that lets in as well: short where it waits for what never comes."""
    return 1.0 if task.never else TIMEOUT


def expected_of(task: Task) -> set[str]:
    if task.never:
        return {"AirflowSensorTimeout", "MilvusTimeoutError"}
    return {
        "success",
        *(["MilvusUnsupportedError"] if any(word in task.name for word in ("Snapshot", "AlterDatabase")) else []),
        # There are pages here, and no Prometheus: it has been let in by then.
        *(["MilvusMetricsError"] if "Backtest" in task.name else []),
    }


Run = tuple[Task, bool]
"""A task, and whether it defers."""


def _runs(tasks: Iterable[Task]) -> list[Run]:
    return [(task, deferrable) for task in tasks for deferrable in ((False, True) if task.can_defer else (False,))]


RUNS_OF = {kind.__name__: _runs(task for task in TASKS if task.kind is kind) for kind in {task.kind: None for task in TASKS}}
"""By the exported class."""


def matrix(ways: Sequence[Way]) -> Any:
    """Each exported class meets each way once in `make test-all`, and with all of its runs in `make access`."""
    once = [
        pytest.param(
            name,
            [(*runs[(number + turn) % len(runs)], way) for number, way in enumerate(ways)],
            id=name,
            marks=pytest.mark.slow,
        )
        for turn, (name, runs) in enumerate(RUNS_OF.items())
    ]
    every = [
        pytest.param(name, [(*run, way) for way in ways for run in runs], id=f"{name}, all", marks=pytest.mark.long)
        for name, runs in RUNS_OF.items()
    ]
    return pytest.mark.parametrize(("name", "cases"), [*once, *every])


Case = tuple[Task, bool, Way]


@matrix(GOOD)
def test_who_is_let_in_is_served(name: str, cases: Sequence[Case], place: Place, connect: Connect, tmp_path: Path) -> None:
    """As on a server that asks for nothing."""
    wrong = []
    for number, (task, deferrable, way) in enumerate(cases):
        given = place.find(task, tmp_path / str(number), connect)
        place.point(way, connect)
        played = play(task, timeout_of(task), tmp_path / str(number), given, deferrable=deferrable)
        if played.outcome not in expected_of(task) or place.server.turned_away:
            wrong.append(f"{task.name}, {way}, {_where(deferrable)}: {played.outcome}: {played.error}")
    assert not wrong, "\n".join(wrong)


@matrix(BAD)
def test_who_is_turned_away_is_told_why_at_once(
    name: str, cases: Sequence[Case], place: Place, connect: Connect, tmp_path: Path
) -> None:
    wrong = [
        f"{task.name}, {way}, {_where(deferrable)}: {why}"
        for number, (task, deferrable, way) in enumerate(cases)
        for why in turned_away(way, task, place, connect, tmp_path / str(number), deferrable=deferrable)
    ]
    assert not wrong, "\n".join(wrong)


def _where(deferrable: bool) -> str:
    return "deferred" if deferrable else "worker"


def turned_away(way: Way, task: Task, place: Place, connect: Connect, folder: Path, *, deferrable: bool) -> Iterator[str]:
    """What is wrong where the worker is turned away, or, of a task that defers, only the triggerer."""
    if task.by_metrics and (deferrable or task.is_trigger):
        # It asks the server only once the metrics have shown a search.
        return
    given = place.find(task, folder, connect)
    before = place.server.holds()

    def turn() -> None:
        nonlocal before
        place.point(way, connect)
        place.server.forget()
        before = place.server.holds()

    place.point(GOOD[0] if deferrable else way, connect)
    played = play(task, TIMEOUT, folder, given, deferrable=deferrable, once_deferred=turn)
    if deferrable and not played.deferred:
        # It had nothing to wait for.
        return
    yield from judged(way, task, played, place)
    if place.server.holds() != before:
        yield f"changed: {place.server.holds()}"
    if place.server.let_in:
        yield f"let in: {[name for name, _ in place.server.let_in]}"


def judged(way: Way, task: Task, played: Played, place: Place) -> Iterator[str]:
    assert way.kind is not None
    message = str(played.error)
    expected = way.kind.__name__
    if task.kind is operators.MilvusRestoreLoadOperator and not issubclass(way.kind, AirflowFailException):
        # A retry may mend it: the error is of the run, and tells the reason of each collection.
        expected = "MilvusRestoreError"
    if played.outcome != expected:
        yield f"{played.outcome} instead of {expected}: {message}"
    if not re.search(way.says, message):
        yield f"does not say {way.says!r}"
    if "'milvus_default'" not in message:
        yield "does not name the connection"
    if not NEXT_STEP.search(message):
        yield "says no next step"
    if "Tried" in message:
        yield "tried again"
    yield from sent_again(place, 1)
    if played.seconds > TIMEOUT + SLACK:
        yield f"back after {played.seconds:.1f} s of {TIMEOUT:g}"


def sent_again(place: Place, most: int) -> Iterator[str]:
    sent = [call for call in place.server.turned_away if call[0] != "Connect"]
    if any(sent.count(call) > most for call in sent):
        yield f"sent again what was turned away: {[name for name, _ in sent]}"


EXPIRED = Way("a token that expires", kind=MilvusAuthenticationError, says=_REJECTED)


@pytest.mark.parametrize(
    ("name", "every"),
    [
        pytest.param(name, every, id=f"{name}{', all' if every else ''}", marks=pytest.mark.long if every else pytest.mark.slow)
        for name in RUNS_OF
        for every in (False, True)
    ],
)
def test_a_token_that_expires_in_the_middle_ends_the_task(
    name: str, every: bool, place: Place, connect: Connect, tmp_path: Path
) -> None:
    """What was changed before is a beginning of what the task changes, and is there."""
    wrong, late = list[str](), list[str]()
    folders = (tmp_path / str(number) for number in itertools.count())

    def one(task: Task, deferrable: bool, calls_left: int | None) -> Played:
        folder = next(folders)
        given = place.find(task, folder, connect)
        place.point(GOOD[0], connect)
        place.server.calls_left = calls_left
        return play(task, timeout_of(task), folder, given, deferrable=deferrable)

    def changes() -> list[str]:
        return [call for call, _ in place.server.let_in if call in CHANGES]

    for task, deferrable in RUNS_OF[name][: None if every else 1]:
        one(task, deferrable, None)
        calls, whole = len(place.server.let_in), changes()
        for calls_left in range(1, calls) if every else {1, calls // 2, calls - 1} & set(range(1, calls)):
            played = one(task, deferrable, calls_left)
            case = f"{task.name}, {_where(deferrable)}, expires after {calls_left} of {calls} calls"
            if changes() != whole[: len(changes())]:
                wrong.append(f"{case}: changed {changes()}, and not {whole}")
            # What was released, and seen so, is done: the report tells that the look after it was turned away.
            told_by_report = task.kind is operators.MilvusReclaimMemoryOperator and re.search(_REJECTED, str(played.result))
            if played.outcome == "success" and told_by_report:
                continue
            if played.outcome == "AirflowSensorTimeout" and not place.server.turned_away:
                late.append(f"{case}: on a busy machine its time was up before")
                continue
            if played.outcome != "MilvusAuthenticationError":
                wrong.append(f"{case}: {played.outcome}: {played.error}")
            elif played.error is not None and not re.search(_REJECTED, str(played.error)):
                wrong.append(f"{case}: does not say why: {played.error}")
            # A window that was not opened takes its mark back, and looks for that as well.
            most = 2 if task.kind is operators.MilvusWindowLoadOperator else 1
            wrong += [f"{case}: {why}" for why in sent_again(place, most)]
    assert not wrong, "\n".join(wrong)
    if late:
        raise TooSlowError("\n".join(late))
