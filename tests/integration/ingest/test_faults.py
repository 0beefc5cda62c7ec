"""Lost answers, quotas, outages: afterwards every row is there once, or the error names the rows in doubt."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_milvus.exceptions import (
    MilvusInDoubtError,
    MilvusInvalidArgumentError,
    MilvusRateLimitError,
    MilvusServerError,
    MilvusTimeoutError,
    MilvusUnavailableError,
    MilvusUnsupportedError,
)
from airflow_provider_milvus.ingest import sending
from airflow_provider_milvus.ingest.sending import Sending
from airflow_provider_milvus.operators.milvus import MilvusDeleteOperator, MilvusInsertOperator, MilvusUpsertOperator
from airflow_provider_milvus.server import writes
from dev.servers.scripted import (
    LOADED,
    NOT_LOADED,
    Collection,
    ScriptedMilvus,
    Step,
    abort,
    change,
    collection_schema,
    never_answer,
    no_change,
    refuse,
    slow,
    unanswered,
)
from tests.integration.ingest.task_state import TaskState, a_try
from tests.integration.support import SLACK, ends_within

VECTOR = {"name": "v", "type": "FLOAT_VECTOR", "dim": 2}
KEYED = {"fields": [{"name": "id", "type": "INT64", "is_primary": True}, VECTOR]}
GENERATED = {"fields": [{"name": "id", "type": "INT64", "is_primary": True, "auto_id": True}, VECTOR]}
WRITES = {"Insert": MilvusInsertOperator, "Upsert": MilvusUpsertOperator}
each_write = pytest.mark.parametrize("rpc", WRITES)

QUOTA = refuse(9, "quota exceeded[reason=memory quota exceeded, please allocate more resources]")


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost call is noticed sooner, and the server settles sooner."""
    monkeypatch.setattr(writes, "WRITE_ATTEMPT", 0.5)
    monkeypatch.setattr(writes, "SETTLE", 0.1)
    monkeypatch.setattr(sending, "REPORT_EVERY", 0.2)


@pytest.fixture
def docs(scripted: ScriptedMilvus) -> Collection:
    return scripted.add("docs", LOADED, schema=collection_schema("docs", KEYED))


@pytest.fixture
def generated(scripted: ScriptedMilvus) -> Collection:
    """The server generates its keys; ten rows are there already."""
    return scripted.add("docs", LOADED, schema=collection_schema("docs", GENERATED), keys=list(range(1000, 1010)))


def rows(count: int) -> list[dict[str, Any]]:
    return [{"id": number, "v": [number, 0.5]} for number in range(count)]


def vectors(count: int) -> list[dict[str, Any]]:
    return [{"v": [number, 0.5]} for number in range(count)]


def write(rpc: str, given: Any, **more: Any) -> dict[str, Any]:
    arguments = {"collection_name": "docs", "batch_rows": 10, "timeout": 20, **more}
    result: dict[str, Any] = WRITES[rpc](task_id="t", rows=given, **arguments).execute({})
    return result


def carried_out_then(step: Step) -> Step:
    """Carry the call out, then take this step in place of an answer."""

    def both(server: ScriptedMilvus, request: Any, context: Any) -> Any:
        server.carry_out(request)
        return step(server, request, context)

    return both


LOST: dict[str, Step] = {
    "the answer never comes": unanswered,
    "the connection breaks after it": carried_out_then(abort("UNAVAILABLE", "Socket closed")),
    "the connection breaks before it": abort("UNAVAILABLE", "Socket closed"),
    "the server stops meanwhile": carried_out_then(abort("CANCELLED")),
    "it is never carried out": never_answer,
    "the server runs out of time": carried_out_then(refuse(65535, "proxy TaskCondition context Done")),
}
each_loss = pytest.mark.parametrize("how", LOST)


class TestRowsWithKeys:
    @each_loss
    @each_write
    def test_are_there_once_when_a_call_is_lost(self, scripted: ScriptedMilvus, docs: Collection, rpc: str, how: str) -> None:
        scripted.next(rpc, no_change, LOST[how])

        result = write(rpc, rows(50))

        assert sorted(docs.keys) == list(range(50))
        assert (result["rows_read"], result["written"], result["refused"]) == (50, 50, 0)

    def test_are_inserted_and_only_rows_in_doubt_are_upserted(self, scripted: ScriptedMilvus, docs: Collection) -> None:
        """Rows that somebody else has written are not replaced without need."""
        scripted.next("Insert", no_change, unanswered)

        write("Insert", rows(50), max_parallel=1)

        assert [call.request.num_rows for call in scripted.received("Insert")] == [10] * 5
        (again,) = scripted.received("Upsert")
        assert list(again.request.fields_data[0].scalars.long_data.data) == list(range(10, 20))

    def test_are_sent_again_only_after_the_server_has_settled(
        self, scripted: ScriptedMilvus, docs: Collection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A server that was frozen carries out the calls in its sockets: they must not come after the upsert."""
        monkeypatch.setattr(writes, "SETTLE", 0.5)
        late: list[float] = []

        def frozen(server: ScriptedMilvus, request: Any, context: Any) -> Any:
            server.pause(30, context)
            time.sleep(0.3)
            late.append(time.monotonic())
            return server.carry_out(request)

        scripted.next("Insert", frozen)

        write("Insert", rows(10))

        assert late
        assert sorted(docs.keys) == list(range(10))

    @each_write
    def test_wait_out_a_quota_and_report_it(self, scripted: ScriptedMilvus, docs: Collection, rpc: str, log_text: Any) -> None:
        scripted.next(rpc, no_change, *[QUOTA] * 3)

        result = write(rpc, rows(20))

        assert sorted(docs.keys) == list(range(20))
        assert result["written"] == 20
        assert "The server takes no more rows for now" in (text := log_text())
        assert "memory quota exceeded" in text

    @each_write
    def test_a_quota_that_stays_fails_with_the_number_of_rows_written(
        self, scripted: ScriptedMilvus, docs: Collection, rpc: str
    ) -> None:
        scripted.next(rpc, no_change)
        scripted.always(rpc, QUOTA)

        with ends_within(2 + SLACK), pytest.raises(MilvusRateLimitError, match="memory quota exceeded") as failed:
            write(rpc, rows(50), timeout=2, max_parallel=1)

        assert "rows read, 10 written" in str(failed.value)
        assert "'milvus_default'" in str(failed.value)
        assert docs.keys == list(range(10))

    @each_write
    def test_are_there_once_after_an_outage(self, scripted: ScriptedMilvus, docs: Collection, rpc: str) -> None:
        def slow_rows() -> Iterator[dict[str, Any]]:
            for row in rows(60):
                if row["id"] == 30:
                    scripted.stop()
                    time.sleep(0.5)
                    scripted.start()
                yield row

        result = write(rpc, slow_rows)

        assert sorted(docs.keys) == list(range(60))
        assert result["written"] == 60

    @each_write
    def test_a_server_that_stays_away_fails_in_time(self, scripted: ScriptedMilvus, docs: Collection, rpc: str) -> None:
        scripted.next(rpc, no_change, lambda server, request, context: threading.Thread(target=server.stop).start())

        with (
            ends_within(2 + SLACK),
            pytest.raises((MilvusUnavailableError, MilvusTimeoutError), match=r"[12]0 written") as failed,
        ):
            write(rpc, rows(50), timeout=2, max_parallel=1)

        assert "refused" in str(failed.value)

    @each_write
    def test_a_server_that_took_fewer_rows_is_no_success(self, scripted: ScriptedMilvus, docs: Collection, rpc: str) -> None:
        count = "insert_cnt" if rpc == "Insert" else "upsert_cnt"
        scripted.next(rpc, no_change, lambda server, request, context: {count: 8, "err_index": [3, 7]})

        with pytest.raises(MilvusServerError, match="the server took 8 of 10 rows") as failed:
            write(rpc, rows(30), max_parallel=1)

        assert "refused 14, 18" in str(failed.value)
        assert "10 written" in str(failed.value)

    @each_write
    def test_a_refusal_of_the_server_ends_the_run_at_once(self, scripted: ScriptedMilvus, docs: Collection, rpc: str) -> None:
        scripted.next(rpc, no_change, refuse(1100, "the dim of field data is wrong"))

        with ends_within(5), pytest.raises(MilvusInvalidArgumentError, match="the dim of field data is wrong"):
            write(rpc, rows(500))

        assert len(scripted.received(rpc)) <= 4

    def test_a_later_row_of_the_same_key_waits_for_the_earlier(self, scripted: ScriptedMilvus, docs: Collection) -> None:
        in_flight: list[set[int]] = []
        together: list[tuple[set[int], set[int]]] = []

        def watched(server: ScriptedMilvus, request: Any, context: Any) -> None:
            keys = set(request.fields_data[0].scalars.long_data.data)
            together.extend((keys, other_keys) for other_keys in in_flight)
            in_flight.append(keys)
            server.pause(0.05, context)
            in_flight.remove(keys)

        scripted.always("Upsert", watched)
        keys = [0, 1, 2, 3, 2, 3, 4, 5, 6, 7, 6, 8]

        write("Upsert", [{"id": key, "v": [0.0, 1.0]} for key in keys], batch_rows=2, max_parallel=4)

        assert together, "no two calls were in flight at once"
        assert all(one.isdisjoint(other) for one, other in together)
        assert len(scripted.received("Upsert")) == 6

    def test_no_more_calls_are_in_flight_than_allowed(self, scripted: ScriptedMilvus, docs: Collection) -> None:
        now, most = 0, 0

        def counted(server: ScriptedMilvus, request: Any, context: Any) -> None:
            nonlocal now, most
            now += 1
            most = max(most, now)
            server.pause(0.03, context)
            now -= 1

        scripted.always("Upsert", counted)

        write("Upsert", rows(200), max_parallel=3)

        assert most == 3

    def test_waiting_for_a_slow_answer_costs_no_work(
        self, scripted: ScriptedMilvus, docs: Collection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also when the batch that was sent after it is done already."""
        looks: list[float] = []
        take_answers = Sending._take_answers
        monkeypatch.setattr(Sending, "_take_answers", lambda self: (looks.append(time.monotonic()), take_answers(self)))
        scripted.next("Upsert", slow(0.45))

        write("Upsert", rows(40))

        assert docs.keys
        assert len(looks) < 40

    def test_a_source_that_stands_still_fails_at_the_timeout(self, scripted: ScriptedMilvus, docs: Collection) -> None:
        def stuck() -> Iterator[dict[str, Any]]:
            yield from rows(20)
            time.sleep(60)

        with (
            ends_within(2 + SLACK),
            pytest.raises(MilvusTimeoutError, match="source gave no more rows within the timeout of 2 s") as failed,
        ):
            write("Upsert", stuck, timeout=2)

        assert "20 written" in str(failed.value)
        assert sorted(docs.keys) == list(range(20))

    @each_write
    def test_a_source_that_fails_leaves_the_rows_before_it(self, scripted: ScriptedMilvus, docs: Collection, rpc: str) -> None:
        def broken() -> Iterator[dict[str, Any]]:
            yield from rows(25)
            raise KeyError("the other end hung up")

        with pytest.raises(KeyError, match="the other end hung up") as failed:
            write(rpc, broken)

        assert sorted(docs.keys) == list(range(20))
        assert any("20 rows read, 20 written" in note for note in failed.value.__notes__)


class TestGeneratedKeys:
    @each_loss
    def test_rows_are_there_once_when_a_call_is_lost(self, scripted: ScriptedMilvus, generated: Collection, how: str) -> None:
        scripted.next("Insert", no_change, LOST[how])

        result = write("Insert", vectors(50))

        assert len(generated.keys) == len(set(generated.keys)) == 10 + 50
        assert result["written"] == 50

    def test_one_batch_is_sent_at_a_time(self, scripted: ScriptedMilvus, generated: Collection) -> None:
        in_flight: list[int] = []
        most: list[int] = []

        def counted(server: ScriptedMilvus, request: Any, context: Any) -> None:
            in_flight.append(1)
            most.append(len(in_flight))
            server.pause(0.02, context)
            in_flight.pop()

        scripted.always("Insert", counted)

        write("Insert", vectors(100), max_parallel=4)

        assert set(most) == {1}

    def test_a_lost_call_that_cannot_be_counted_is_in_doubt(self, scripted: ScriptedMilvus, generated: Collection) -> None:
        generated.become([NOT_LOADED])
        scripted.next("Insert", no_change, unanswered)

        with pytest.raises(MilvusInDoubtError, match="unknown whether rows 11 to 20 are in") as failed:
            write("Insert", vectors(50))

        assert "was not loaded" in str(failed.value)
        assert "10 written" in str(failed.value)
        assert len(scripted.received("Insert")) == 2

    def test_a_count_that_somebody_else_has_changed_is_in_doubt(self, scripted: ScriptedMilvus, generated: Collection) -> None:
        scripted.next("Insert", change(lambda: generated.keys.append(7)), unanswered)

        with pytest.raises(MilvusInDoubtError, match="has 31 rows instead of 20 or 30"):
            write("Insert", vectors(50))


class TestDelete:
    def test_a_lost_delete_is_sent_again(self, scripted: ScriptedMilvus, docs: Collection) -> None:
        docs.keys = list(range(30))
        scripted.next("Delete", unanswered)

        result = MilvusDeleteOperator(task_id="t", collection_name="docs", ids=range(5, 10), timeout=20).execute({})

        assert docs.keys == [*range(5), *range(10, 30)]
        assert result["deleted"] == 5

    def test_rows_that_are_still_there_are_no_success(self, scripted: ScriptedMilvus, docs: Collection) -> None:
        docs.keys = list(range(30))
        scripted.always("Delete", lambda server, request, context: {"delete_cnt": 5})

        with pytest.raises(MilvusServerError, match="still has 5 rows that match 'id in"):
            MilvusDeleteOperator(task_id="t", collection_name="docs", ids=list(range(5)), timeout=20).execute({})

    def test_many_keys_are_sent_in_parts(
        self, scripted: ScriptedMilvus, docs: Collection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("airflow_provider_milvus.server.deletes.IDS_AT_ONCE", 10)
        docs.keys = list(range(30))

        result = MilvusDeleteOperator(task_id="t", collection_name="docs", ids=[*range(25), 3, 99], timeout=20).execute({})

        assert docs.keys == list(range(25, 30))
        assert result["deleted"] == 25
        assert len(scripted.received("Delete")) == 3


class TestRetry:
    """The retry of a try that failed after the first of five batches. It knows only the progress that the try saved."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows(50)))
        return path

    def tried(self, scripted: ScriptedMilvus, rpc: str, given: Any) -> TaskState:
        state = TaskState()
        scripted.next(rpc, no_change, refuse(1100, "no more"))
        with pytest.raises(MilvusInvalidArgumentError, match="10 written"):
            self.attempt(rpc, given, state, 1)
        scripted.calls.clear()
        return state

    def attempt(self, rpc: str, given: Any, state: TaskState, number: int, timeout: float = 20) -> dict[str, Any]:
        context = a_try(state)
        context["ti"].try_number = number
        operator = WRITES[rpc](task_id="t", rows=given, collection_name="docs", batch_rows=10, max_parallel=1, timeout=timeout)
        result: dict[str, Any] = operator.execute(context)  # type: ignore[arg-type]
        return result

    @each_write
    def test_skips_the_rows_of_a_file_that_are_written(
        self, scripted: ScriptedMilvus, docs: Collection, path: Path, rpc: str
    ) -> None:
        state = self.tried(scripted, rpc, str(path))

        result = self.attempt(rpc, str(path), state, 2)

        assert (result["rows_read"], result["already_there"], result["written"]) == (50, 10, 40)
        assert sorted(docs.keys) == list(range(50))
        assert (len(scripted.received("Insert")), len(scripted.received("Upsert"))) == (0, 4)
        assert state.kept == {}

    @pytest.mark.parametrize("change", ["the file has changed", "the rows come from a function", "there is no progress"])
    @each_write
    def test_upserts_all_rows_that_are_in_doubt(
        self, scripted: ScriptedMilvus, docs: Collection, path: Path, rpc: str, change: str
    ) -> None:
        given: Any = (lambda: iter(rows(50))) if "function" in change else str(path)
        state = self.tried(scripted, rpc, given)
        if "file" in change:
            path.write_text(path.read_text() + "\n")
        if "progress" in change:
            state.kept.clear()

        result = self.attempt(rpc, given, state, 2)

        assert (result["already_there"], result["written"]) == (0, 50)
        assert sorted(docs.keys) == list(range(50))
        assert (len(scripted.received("Insert")), len(scripted.received("Upsert"))) == (0, 5)

    def test_inserts_all_rows_into_a_collection_that_was_created_again(
        self, scripted: ScriptedMilvus, docs: Collection, path: Path
    ) -> None:
        state = self.tried(scripted, "Insert", str(path))
        recreated = scripted.add("docs", LOADED, schema=docs.schema)

        result = self.attempt("Insert", str(path), state, 2)

        assert (result["already_there"], result["written"]) == (0, 50)
        assert recreated.keys == list(range(50))
        # Some rows of the first try might have come into this one.
        assert (len(scripted.received("Insert")), len(scripted.received("Upsert"))) == (0, 5)

    @pytest.mark.parametrize("loaded", [True, False])
    def test_with_generated_keys_begins_after_the_rows_that_are_there(
        self, scripted: ScriptedMilvus, generated: Collection, loaded: bool
    ) -> None:
        """The failed call wrote no row, so no count is needed."""
        generated.become([LOADED if loaded else NOT_LOADED])
        state = self.tried(scripted, "Insert", lambda: iter(vectors(50)))

        result = self.attempt("Insert", lambda: iter(vectors(50)), state, 2)

        assert (result["rows_read"], result["already_there"], result["written"]) == (50, 10, 40)
        assert len(generated.keys) == 10 + 50

    @pytest.mark.parametrize("kind", ["generated keys", "a file"])
    def test_that_fails_as_well_saves_the_progress_of_both_for_the_third_try(
        self, scripted: ScriptedMilvus, path: Path, kind: str
    ) -> None:
        schema, given = (GENERATED, vectors(50)) if kind == "generated keys" else (KEYED, str(path))
        collection = scripted.add("docs", LOADED, schema=collection_schema("docs", schema))
        state = self.tried(scripted, "Insert", given)
        rpc = "Insert" if kind == "generated keys" else "Upsert"
        scripted.next(rpc, no_change, refuse(1100, "no more"))
        with pytest.raises(MilvusInvalidArgumentError):
            self.attempt("Insert", given, state, 2)

        result = self.attempt("Insert", given, state, 3)

        assert (result["already_there"], result["written"]) == (20, 30)
        assert len(collection.keys) == len(set(collection.keys)) == 50

    def test_with_generated_keys_is_in_doubt_after_somebody_else_deleted_rows(
        self, scripted: ScriptedMilvus, generated: Collection
    ) -> None:
        state = TaskState()
        scripted.next("Insert", no_change)
        scripted.always("Insert", abort("UNAVAILABLE", "Socket closed"))
        with pytest.raises((MilvusUnavailableError, MilvusTimeoutError)):
            self.attempt("Insert", vectors(50), state, 1, timeout=1)
        scripted.always("Insert", no_change)
        del generated.keys[:5]

        with pytest.raises(MilvusInDoubtError, match="somebody else has deleted some"):
            self.attempt("Insert", vectors(50), state, 2)


def test_what_the_server_denies_is_said_before_the_first_row(scripted: ScriptedMilvus, docs: Collection, log_text: Any) -> None:
    denied = {"isHealthy": True, "quota_states": [5], "reasons": ["memory quota exhausted"]}
    scripted.always("CheckHealth", lambda *_: denied)
    scripted.next("Insert", refuse(9, "quota exceeded[reason=memory quota exhausted]"))

    assert write("Insert", rows(50))["written"] == 50
    assert "they wait until it does: writes are denied (memory quota exhausted)" in log_text()


def test_a_collection_with_namespaces_is_not_written_to(scripted: ScriptedMilvus, docs: Collection) -> None:
    """Whose rows would they be?"""
    docs.properties["namespace.enabled"] = "true"
    with pytest.raises(MilvusUnsupportedError, match="'docs' was not written to: it has namespaces"):
        write("Insert", rows(50))
    assert docs.keys == []


@pytest.mark.parametrize("failure", [refuse(5, "etcd is away"), abort("UNAVAILABLE", "Socket closed")])
def test_rows_are_written_where_the_health_cannot_be_told(
    scripted: ScriptedMilvus, docs: Collection, log_text: Any, failure: Step
) -> None:
    scripted.always("CheckHealth", failure)
    assert write("Insert", rows(50))["written"] == 50
    assert "Whether the server takes rows now is not known" in log_text()
