"""The bench itself: the wire does what it says, and each thing that a case looks for is found where it is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.faults import page
from dev.faults.cases import CASES, FAULTS
from dev.faults.claims import Told, unnamed, untrue
from dev.faults.inventory import GONE, SOMETHING, beyond, missing_from
from dev.faults.leftovers import Leftovers
from dev.faults.tasks import TASKS
from dev.rounds.pairs import PAIRS
from dev.servers.scripted import ScriptedMilvus
from dev.servers.wire import Fault, Harm, Wire, wire_to
from dev.tries import page as races
from tests.integration.support import eventually
from tests.public import through

pytestmark = pytest.mark.newest

REACHES = {Harm.MUTE, Harm.CUT_AFTER, Harm.END_ANSWERS, Harm.VANISH}
"""The server carries the call out."""
STAYS_OPEN = {Harm.FREEZE, Harm.MUTE, Harm.THROTTLE}
"""The client learns nothing before its own deadline."""
LASTS = {*STAYS_OPEN, Harm.REFUSE, Harm.VANISH}


@pytest.fixture
def wire(scripted: ScriptedMilvus) -> Iterator[Wire]:
    scripted.add("docs")
    with wire_to(int(scripted.uri.rpartition(":")[2])) as wire:
        yield wire


def call(port: int, timeout: float = 0.6) -> str:
    """Release ``docs`` over a channel of its own; the code of the answer."""
    import grpc
    from pymilvus.grpc_gen import milvus_pb2, milvus_pb2_grpc

    # Otherwise gRPC hands on the connection of the channel before, which may be the one that was cut a moment ago.
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        request = milvus_pb2.ReleaseCollectionRequest(collection_name="docs")
        try:
            milvus_pb2_grpc.MilvusServiceStub(channel).ReleaseCollection(request, timeout=timeout)
        except grpc.RpcError as error:
            return str(error.code().name)
        return "OK"


def test_it_lets_everything_through_until_its_call(wire: Wire, scripted: ScriptedMilvus) -> None:
    wire.arm(Fault(Harm.FREEZE), "DropCollection")

    assert call(wire.port, 5) == "OK"
    assert wire.calls == ["ReleaseCollection"]
    assert not wire.struck.is_set()


@pytest.mark.parametrize("harm", Harm)
def test_each_harm_is_what_it_is_called(wire: Wire, scripted: ScriptedMilvus, harm: Harm) -> None:
    wire.arm(Fault(harm), "ReleaseCollection", 2)

    assert call(wire.port, 5) == "OK"
    assert call(wire.port) == ("DEADLINE_EXCEEDED" if harm in STAYS_OPEN else "UNAVAILABLE")
    assert wire.struck.is_set()
    eventually(lambda: len(scripted.received("ReleaseCollection")) == 1 + (harm in REACHES))
    assert (call(wire.port) == "OK") == (harm not in LASTS)


@pytest.mark.parametrize(("harm", "carried_out"), [(Harm.CUT_BEFORE, 0), (Harm.CUT_AFTER, 1)])
def test_a_process_can_be_killed_just_before_the_harm(
    wire: Wire, scripted: ScriptedMilvus, harm: Harm, carried_out: int
) -> None:
    so_far: list[int] = []
    wire.arm(Fault(harm), "ReleaseCollection", first=lambda: so_far.append(len(scripted.received("ReleaseCollection"))))

    assert call(wire.port, 5) == "UNAVAILABLE"
    assert so_far == [carried_out]


@pytest.mark.parametrize("harm", [Harm.FREEZE, Harm.REFUSE, Harm.VANISH])
def test_what_lasts_for_a_while_ends(wire: Wire, scripted: ScriptedMilvus, harm: Harm) -> None:
    wire.arm(Fault(harm, 0.5))
    call(wire.port, 0.3)

    eventually(lambda: call(wire.port) == "OK")


DOCS = {("docs", "id"): 7, ("docs", "state"): "Loaded", ("docs", "rows"): [(1, 0.5)], ("docs", "aliases"): ["live"]}
RELEASED = {**DOCS, ("docs", "state"): "NotLoad"}


@pytest.mark.parametrize(
    "message",
    [
        "Collection 'docs' was not released: the server did not answer.",
        "Collection 'docs' is still Loaded 3 s after its release was requested.",
        "Collection 'docs' is Loaded.",
        "Nothing was changed.",
        "Somebody was not amused.",
    ],
)
def test_what_is_not_so_and_what_nobody_can_judge_is_found(message: str) -> None:
    assert untrue(Told(message, DOCS, RELEASED))


@pytest.mark.parametrize(
    "message",
    [
        "Collection 'docs' may not have been released: the server did not answer.",
        "The release of 'docs' was sent, but not seen on the server.",
        "The load state of collection 'docs' could not be read: the server did not answer.",
        "Alias 'live' was not moved: the connection was refused.",
    ],
)
def test_what_is_so_and_what_claims_nothing_is_not(message: str) -> None:
    assert untrue(Told(message, DOCS, RELEASED)) == []


def test_what_an_error_does_not_name_is_found() -> None:
    assert len(unnamed("It failed.", "docs")) == 3
    assert unnamed("Collection 'docs': Connection 'milvus_default' (x), database 'default'.", "docs") == []


def test_what_was_changed_and_not_named_is_found() -> None:
    assert beyond(DOCS, RELEASED, {("docs", "state"): "NotLoad"}) == []
    assert beyond(DOCS, {**RELEASED, ("docs", "aliases"): []}, {("docs", "state"): "NotLoad"})
    assert beyond(DOCS, {}, {("docs", "state"): "NotLoad"})
    assert beyond({}, DOCS, {})


def test_what_a_success_lacks_is_found() -> None:
    assert missing_from(DOCS, {("docs", "state"): "NotLoad"})
    assert missing_from(DOCS, {("docs", "id"): GONE})
    assert missing_from(DOCS, {("new", "id"): SOMETHING})
    assert missing_from(DOCS, {("docs", "id"): SOMETHING}) == []


@pytest.mark.parametrize("kind", ["thread", "channel", "socket", "file"])
def test_what_is_left_is_found(wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    import socket

    import grpc

    monkeypatch.setattr("dev.faults.leftovers.PATIENCE", 0.2)
    before, end = Leftovers.before(wire.port, tmp_path), threading.Event()
    if kind == "thread":
        threading.Thread(target=end.wait).start()
    elif kind == "channel":
        left: object = grpc.insecure_channel(f"127.0.0.1:{wire.port}")
    elif kind == "socket":
        left = socket.create_connection(("127.0.0.1", wire.port))
    else:
        (tmp_path / "left").touch()

    assert [found.partition(" ")[0] for found in before.found()] == [kind]
    end.set()
    if kind in ("channel", "socket"):
        left.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("door", ["operators", "sensors", "triggers"])
def test_every_exported_task_has_a_scenario(door: str) -> None:
    assert through(door).keys() - {"MilvusConditionSensor"} <= {task.kind.__name__ for task in TASKS}


def test_there_are_400_cases_and_every_fault_has_some() -> None:
    assert len(CASES) >= 400
    assert len({case.id for case in CASES}) == len(CASES)
    assert {case.fault_name for case in CASES} == FAULTS.keys()
    assert {case.task.name for case in CASES} == {task.name for task in TASKS}


def test_the_page_has_a_row_for_every_call_and_a_result_for_every_case() -> None:
    """Its results are of the run that has written it."""
    text = page.PAGE.read_text()
    for server in page.TITLES:
        assert page.heading(server) in text
        for row, cases in page.rows_of(server).items():
            (cells,) = page.cells_of(text, server, row)
            assert [fault for fault, cell in zip(FAULTS, cells, strict=True) if cell] == [f for f in FAULTS if f in cases], row
            assert not {page.NOT_RUN, page.WORDS["violation"]} & set(cells), row


def test_the_page_of_races_has_every_pair_and_no_violation() -> None:
    lines = [line.strip("| ").split(" | ") for line in races.PAGE.read_text().splitlines() if line.startswith("| ")]
    rows = {(name, server): counts for name, server, *counts in lines if server in races.TITLES.values()}

    assert {(pair.name, server) for pair in PAIRS for server in races.TITLES.values()} <= rows.keys()
    assert [row for row, counts in rows.items() if counts[-1] != "0"] == []
