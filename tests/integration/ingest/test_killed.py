"""A worker or a server is killed in the middle of an ingest: the retry leaves exactly the rows of the source."""

from __future__ import annotations

import json
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from airflow_provider_milvus.exceptions import MilvusServerError
from airflow_provider_milvus.operators.milvus import MilvusInsertOperator
from airflow_provider_milvus.server import writes
from dev.servers.lite import lite_server
from dev.servers.process import ServerProcess
from dev.servers.standalone import standalone_server
from tests.integration.ingest.ingest_worker import DIM, processes, row, rows, work
from tests.integration.support import Connect, Milvus

pytestmark = pytest.mark.slow

COUNT = 10_000
BATCH = 20
"""So small that many kills hit the time between two calls."""
standalone = [pytest.mark.standalone, pytest.mark.newest]
"""The result of a kill depends on the server, so one pymilvus is enough here. Milvus Lite is tested with the older one, too."""


@dataclass(slots=True)
class Place:
    """A loaded collection, in which each test has its own range of numbers."""

    milvus: Milvus
    name: str
    key: str
    used: int = 0

    def room(self) -> int:
        self.used += COUNT
        return self.used

    def count(self, first: int) -> int:
        """With strong consistency; Milvus 2.3.5 counts a key as often as it was inserted."""
        with self.milvus.plain_client() as client:
            condition = f"{self.key} >= {first} and {self.key} < {first + COUNT}"
            answer = client.query(self.name, condition, output_fields=["count(*)"], consistency_level="Strong")
        return int(answer[0]["count(*)"])

    def assert_holds_exactly(self, first: int) -> None:
        assert self.count(first) == COUNT
        with self.milvus.plain_client() as client:
            condition = f"{self.key} >= {first} and {self.key} < {first + COUNT}"
            fields = [self.key, "text", "vector"]
            rows = client.query(self.name, condition, output_fields=fields, limit=COUNT, consistency_level="Strong")
        held = {row[self.key]: {name: row[name] for name in fields} for row in rows}
        assert held == {number: row(number, self.key) for number in range(first, first + COUNT)}


def build(milvus: Milvus, name: str, *, generated: bool = False) -> Place:
    from pymilvus import DataType

    with milvus.plain_client() as client:
        schema = client.create_schema(auto_id=generated)
        schema.add_field("id", DataType.INT64, is_primary=True)
        if generated:
            schema.add_field("number", DataType.INT64)
        schema.add_field("text", DataType.VARCHAR, max_length=64)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIM)
        index = client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="L2")
        client.create_collection(name, schema=schema, index_params=index)
        client.load_collection(name)
    return Place(milvus, name, "number" if generated else "id")


@pytest.fixture(scope="module")
def places(request: pytest.FixtureRequest) -> Iterator[Any]:
    made: dict[tuple[str, bool], Place] = {}

    def place(kind: str, generated: bool = False) -> Place:
        if (kind, generated) not in made:
            server = request.getfixturevalue(f"{kind}_process")
            milvus = Milvus(kind, server.uri, server.process)
            made[kind, generated] = build(milvus, "generated" if generated else "keyed", generated=generated)
        return made[kind, generated]

    yield place
    for place in made.values():
        with place.milvus.plain_client() as client:
            client.drop_collection(place.name)


def source_of(kind: str, place: Place, first: int, directory: Path) -> Any:
    if kind == "function":
        return partial(rows, first, COUNT, place.key)
    path = directory / "rows.parquet"
    table = pyarrow.Table.from_pylist([row(number, place.key) for number in range(first, first + COUNT)])
    pyarrow.parquet.write_table(table, path, row_group_size=1000)
    return str(path)


class Task:
    """One task of a run. Each try is a process, and their notes are in a file."""

    def __init__(self, write: str, place: Place, source: Any, notes: Path) -> None:
        self._write = write
        self._place = place
        self._source = source
        self._notes = notes
        self._tries = 0

    def attempt(self, **more: Any) -> tuple[Any, Any]:
        """A running try, and the queue that gets its result."""
        self._tries += 1
        results = processes.Queue()
        connection = f'{{"conn_type": "milvus", "extra": {{"uri": "{self._place.milvus.uri}"}}}}'
        more |= {
            "collection_name": self._place.name,
            "batch_rows": BATCH,
            "environment": {"AIRFLOW_CONN_MILVUS_DEFAULT": connection},
        }
        process = processes.Process(target=work, args=(self._write, self._source, self._tries, self._notes, results, more))
        process.start()
        return process, results

    def killed_at(self, share: float, seconds: float = 0.0) -> None:
        """A try that is killed ``seconds`` after it has begun to send this share of all batches."""
        process, _ = self.attempt(kill=(round(share * COUNT / BATCH), seconds))
        process.join(120)
        assert process.exitcode == -signal.SIGKILL

    def finished(self) -> dict[str, Any]:
        process, results = self.attempt()
        result: dict[str, Any] = results.get(timeout=120)
        process.join()
        return result


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    ("kind", "write", "source", "generated"),
    [
        pytest.param("standalone", "insert", "file", False, marks=standalone),
        pytest.param("standalone", "insert", "function", False, marks=standalone),
        pytest.param("standalone", "upsert", "file", False, marks=standalone),
        pytest.param("standalone", "insert", "function", True, marks=standalone),
        ("lite", "upsert", "function", False),
    ],
)
def test_after_a_kill_at_any_moment_the_retry_leaves_exactly_the_rows(
    places: Any, tmp_path: Path, kind: str, write: str, source: str, generated: bool, seed: int
) -> None:
    place: Place = places(kind, generated)
    first = place.room()
    task = Task(write, place, source_of(source, place, first, tmp_path), tmp_path / "variables.json")
    moment = random.Random(f"{kind} {write} {source} {generated} {seed}")

    # Each call takes some 5 ms.
    task.killed_at(moment.uniform(0.02, 0.9), moment.uniform(0, 0.02))
    there = place.count(first)
    result = task.finished()

    assert result["rows_read"] == COUNT
    assert result["written"] + result["already_there"] == COUNT
    place.assert_holds_exactly(first)
    assert there < COUNT
    # Only rows that are certainly written are skipped.
    assert result["already_there"] <= there


def test_a_second_kill_changes_nothing(places: Any, tmp_path: Path) -> None:
    place: Place = places("lite", generated=True)
    first = place.room()
    task = Task("insert", place, source_of("file", place, first, tmp_path), tmp_path / "variables.json")

    for share in (0.2, 0.3, 0.25):
        task.killed_at(share)
    task.finished()

    place.assert_holds_exactly(first)


def test_nothing_is_left_in_the_notes_after_success(places: Any, tmp_path: Path) -> None:
    place: Place = places("lite")
    notes = tmp_path / "variables.json"
    task = Task("upsert", place, source_of("file", place, place.room(), tmp_path), notes)

    task.killed_at(0.5)
    notes_of_killed_try = json.loads(notes.read_text())
    task.finished()

    assert len(notes_of_killed_try) == 1
    assert json.loads(notes.read_text()) == {}


@pytest.fixture
def lost_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call is given up soon, so that calls are lost and not only late."""
    monkeypatch.setattr(writes, "WRITE_ATTEMPT", 2.0)


@pytest.mark.usefixtures("lost_calls")
@pytest.mark.parametrize(
    ("kind", "generated", "seconds"),
    [
        pytest.param("standalone", False, 10, marks=standalone),
        ("lite", True, 5),
    ],
)
def test_while_a_server_is_frozen_nothing_is_lost_or_doubled(
    places: Any, connect: Connect, kind: str, generated: bool, seconds: float
) -> None:
    place: Place = places(kind, generated)
    connect(place.milvus.uri)
    first = place.room()
    under_way = threading.Event()
    freezing = threading.Thread(target=lambda: under_way.wait(60) and freeze(place, seconds))
    freezing.start()

    try:
        source = partial(signalling_rows, under_way, first, place.key)
        operator = MilvusInsertOperator(task_id="t", collection_name=place.name, rows=source, batch_rows=BATCH, timeout=90)
        result = operator.execute({})
    finally:
        freezing.join()

    assert result["written"] == COUNT
    assert result["seconds"] > seconds
    place.assert_holds_exactly(first)


def signalling_rows(under_way: threading.Event, first: int = 0, key: str = "id") -> Iterator[dict[str, Any]]:
    """All rows. ``under_way`` is set when a quarter of them is read; sending is only little behind."""
    for number, next_row in enumerate(rows(first, COUNT, key)):
        if number == COUNT // 4:
            under_way.set()
        yield next_row


def freeze(place: Place, seconds: float) -> None:
    place.milvus.process.freeze()
    time.sleep(seconds)
    place.milvus.process.thaw()


@contextmanager
def killed_and_started(server: ServerProcess, under_way: threading.Event) -> Iterator[None]:
    def restart() -> None:
        if under_way.wait(60):
            server.kill()
            server.start()

    restarting = threading.Thread(target=restart)
    restarting.start()
    try:
        yield
    finally:
        restarting.join()


@pytest.mark.standalone
@pytest.mark.newest
def test_a_server_that_is_killed_and_comes_back_has_every_row_once(tmp_path: Path, connect: Connect) -> None:
    with standalone_server(tmp_path) as server:
        place = build(Milvus("standalone", server.uri, server.process), "keyed")
        connect(server.uri)
        under_way = threading.Event()
        source = partial(signalling_rows, under_way)
        operator = MilvusInsertOperator(task_id="t", collection_name=place.name, rows=source, batch_rows=BATCH, timeout=120)

        with killed_and_started(server.process, under_way):
            result = operator.execute({})

        assert result["written"] == COUNT
        with place.milvus.plain_client() as client:
            # A load that the server resumes by itself takes half a minute.
            client.release_collection(place.name)
            client.load_collection(place.name)
        place.assert_holds_exactly(0)


def test_a_retry_writes_the_rows_that_milvus_lite_lost_when_it_was_killed(tmp_path: Path, connect: Connect) -> None:
    """Milvus Lite acknowledges rows that it holds in memory alone, and may lose them."""
    with lite_server(tmp_path) as server:
        place = build(Milvus("lite", server.uri, server.process), "keyed")
        connect(server.uri)
        under_way = threading.Event()
        source = partial(signalling_rows, under_way)
        operator = MilvusInsertOperator(task_id="t", collection_name=place.name, rows=source, batch_rows=BATCH, timeout=60)

        with (
            killed_and_started(server.process, under_way),
            pytest.raises(MilvusServerError, match="was out of reach") as failed,
        ):
            operator.execute({})

        assert "10,000 written" in str(failed.value)
        with place.milvus.plain_client() as client:
            client.load_collection(place.name)
        retry = {"ti": SimpleNamespace(try_number=2)}
        operator.execute(retry)  # type: ignore[arg-type]
        place.assert_holds_exactly(0)
