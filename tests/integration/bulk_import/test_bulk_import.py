"""Bulk import on the real server, which takes it over gRPC from its local storage: from rows to what a search finds."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_milvus.exceptions import (
    MilvusCollectionNotFoundError,
    MilvusImportError,
    MilvusNeverMetError,
    MilvusPartitionNotFoundError,
    MilvusUnsupportedError,
)
from airflow_provider_milvus.operators.milvus import (
    MilvusBulkImportOperator,
    MilvusPrepareImportOperator,
    MilvusRowCountCheckOperator,
)
from airflow_provider_milvus.sensors.milvus import MilvusBulkImportSensor
from tests.integration.ingest.task_state import TaskState, WorkerLostError, a_try
from tests.integration.support import MakeCollection, Milvus, finish, load_all

DIM = 8


def rows(first: int, count: int) -> list[dict[str, Any]]:
    """Each vector tells its key, so that a search shows whether the right one came along."""
    return [{"id": key, "vector": [float(key)] * DIM} for key in range(first, first + count)]


def prepare(source: Any, into: Path, **arguments: Any) -> dict[str, Any]:
    operator = MilvusPrepareImportOperator(task_id="prepare", rows=source, path=str(into), **arguments)
    result: dict[str, Any] = operator.execute({})
    return result


def import_files(name: str, files: Any, context: Any = None, **arguments: Any) -> dict[str, Any]:
    operator = MilvusBulkImportOperator(
        task_id="import", collection_name=name, files=files, **{"poll_interval": 0.3, "timeout": 60, **arguments}
    )
    result: dict[str, Any] = finish(operator, context)
    return result


@pytest.fixture
def json_file(tmp_path: Path) -> Callable[[str, int, int], str]:
    """A file as the server reads it, written without the provider."""

    def write(name: str, first: int, count: int) -> str:
        path = tmp_path / name
        path.write_text(json.dumps({"rows": rows(first, count)}))
        return str(path)

    return write


def lose_the_worker(*arguments: Any) -> None:
    raise WorkerLostError


def keys(milvus: Milvus, name: str) -> list[int]:
    """Every key that the server has, in order, as often as it has it."""
    with milvus.plain_client() as client:
        load_all(client, [name])
        answer = client.query(name, "id >= 0", output_fields=["id"], consistency_level="Strong", limit=16000)
    return sorted(row["id"] for row in answer)


def rows_on_disk(milvus: Milvus, name: str) -> int:
    """By the server's statistics, which know all that was imported, loaded or not."""
    with milvus.plain_client() as client:
        return int(client.get_collection_stats(name)["row_count"])


@pytest.mark.standalone
@pytest.mark.newest
def test_prepared_rows_are_imported_indexed_refreshed_and_found(
    standalone: Milvus, make_collection: MakeCollection, tmp_path: Path
) -> None:
    name = make_collection(load=True, rows=50, index="IVF_FLAT")
    # Two files, from a generator, and enough rows for an index.
    prepared = prepare(iter(rows(10_000, 3_000)), tmp_path, collection_name=name, file_bytes=70_000)
    assert (prepared["rows"], prepared["refused"], len(prepared["files"])) == (3_000, 0, 2)

    result = import_files(name, prepared, deferrable=True)

    assert {**result, "seconds": 0, "job_ids": len(result["job_ids"])} == {
        "collection": name,
        "database": "default",
        "job_ids": 2,
        "files": 2,
        "rows": 3_000,
        "rows_before": 50,
        "rows_after": 3_050,
        "attached": False,
        "seconds": 0,
    }
    assert json.loads(json.dumps(result)) == result
    with standalone.plain_client() as client:
        (hits,) = client.search(name, [[12_345.0] * DIM], limit=1, search_params={"params": {"nprobe": 16}})
        index = client.describe_index(name, "vector")
    assert hits[0]["id"] == 12_345
    assert (index["state"], index["pending_index_rows"]) == ("Finished", 0)


@pytest.mark.standalone
@pytest.mark.newest
def test_what_mapped_tasks_prepared_is_one_import_and_one_sum(
    standalone: Milvus, make_collection: MakeCollection, tmp_path: Path
) -> None:
    name = make_collection(load=True, rows=0)
    # What Airflow gives of mapped tasks is a sequence, and no list.
    parts = deque(prepare(rows(first, count), tmp_path, collection_name=name) for first, count in ((0, 100), (0, 0), (100, 50)))

    result = import_files(name, parts)
    check = MilvusRowCountCheckOperator(task_id="check", collection_name=name, equal_to=parts)

    assert (result["files"], result["rows"], result["rows_after"]) == (2, 150, 150)
    assert keys(standalone, name) == list(range(150))
    assert {"rows": 150, "expected": 150, "parts": 3}.items() <= check.execute({}).items()


@pytest.mark.standalone
@pytest.mark.newest
def test_each_file_that_failed_is_named_with_its_reason_and_a_retry_imports_only_those(
    standalone: Milvus, make_collection: MakeCollection, json_file: Callable[..., str], tmp_path: Path
) -> None:
    name = make_collection(rows=0)
    good, corrupt, missing = json_file("good.json", 0, 100), tmp_path / "corrupt.json", tmp_path / "missing.json"
    corrupt.write_text('{"rows": [{"id": 1, "vec')
    files, state = [good, str(corrupt), str(missing)], TaskState()

    with pytest.raises(MilvusImportError) as failed:
        import_files(name, files, a_try(state))

    message = str(failed.value)
    assert f"{corrupt}: failed to parse row value" in message
    assert f"{missing}: failed to get file size" in message
    assert "no such file" in message
    assert str(good) not in message
    assert "1 other job(s) completed" in message

    json_file("corrupt.json", 100, 100)
    json_file("missing.json", 200, 100)
    result = import_files(name, files, a_try(state))

    assert (result["rows"], result["attached"], result["rows_before"]) == (300, True, None)
    assert rows_on_disk(standalone, name) == 300
    assert state.kept == {}


@pytest.mark.standalone
@pytest.mark.newest
def test_a_worker_lost_between_making_a_job_and_its_end_doubles_no_row(
    standalone: Milvus, make_collection: MakeCollection, json_file: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, imported = make_collection(rows=0), 0
    # With one job made, and its id not noted; then while it watches both.
    for lost_at in (2, None):
        files = [json_file(f"{lost_at}-{half}.json", imported + 50 * half, 50) for half in (0, 1)]
        imported += 100
        state = TaskState(lost_at)
        with monkeypatch.context() as patch:
            patch.setattr(MilvusBulkImportOperator, "watch", lose_the_worker)
            with pytest.raises(WorkerLostError):
                import_files(name, files, a_try(state))
        state.lost_at = None

        result = import_files(name, files, a_try(state), wait_for_index=False)

        assert (result["rows"], result["attached"], state.kept) == (100, True, {})
    assert keys(standalone, name) == list(range(imported))


@pytest.mark.standalone
@pytest.mark.newest
def test_an_alias_leads_to_the_collection_and_one_without_an_index_is_not_waited_for(
    standalone: Milvus, make_collection: MakeCollection, tmp_path: Path
) -> None:
    name = make_collection(rows=0)
    with standalone.plain_client() as client:
        client.drop_index(name, "vector")
        client.create_alias(name, f"{name}_live")

    prepared = prepare(rows(0, 100), tmp_path, collection_name=name, file_type="json")
    result = import_files(f"{name}_live", str(prepared))

    assert (result["collection"], result["alias"], result["rows"]) == (name, f"{name}_live", 100)
    assert rows_on_disk(standalone, name) == 100
    with standalone.plain_client() as client:
        client.drop_alias(f"{name}_live")


@pytest.mark.standalone
@pytest.mark.newest
def test_what_is_not_there_fails_before_anything_is_imported(
    standalone: Milvus, make_collection: MakeCollection, json_file: Callable[..., str]
) -> None:
    name, file = make_collection(rows=0), json_file("a.json", 0, 100)

    with pytest.raises(MilvusCollectionNotFoundError, match="nowhere"):
        import_files("nowhere", file)
    with pytest.raises(MilvusPartitionNotFoundError, match="nope"):
        import_files(name, file, partition_name="nope")

    assert rows_on_disk(standalone, name) == 0


@pytest.mark.standalone
@pytest.mark.newest
@pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "deferred"])
def test_the_sensor_tells_completed_failed_and_unknown_jobs(
    standalone: Milvus, make_collection: MakeCollection, json_file: Callable[..., str], deferrable: bool
) -> None:
    name = make_collection(rows=0)
    job_ids = import_files(name, json_file("a.json", 0, 100), wait_for_index=False)["job_ids"]

    def wait(job_id: Any) -> None:
        finish(
            MilvusBulkImportSensor(
                task_id="wait", collection_name=name, job_ids=job_id, deferrable=deferrable, poke_interval=0.2, timeout=20
            )
        )

    wait(job_ids)
    wait(str(job_ids))
    with pytest.raises(MilvusNeverMetError, match="does not know job 12345"):
        wait(12345)
    with pytest.raises(MilvusImportError) as failed:
        import_files(name, "/nowhere.json")
    lost = str(failed.value).partition("(job ")[2].partition(")")[0]
    with pytest.raises(MilvusNeverMetError, match=r"is Failed 0 %: /nowhere.json: failed to get file size"):
        wait(lost)


def test_lite_says_what_to_use_instead(lite: Milvus, make_collection: MakeCollection, tmp_path: Path) -> None:
    name = make_collection(rows=10)
    prepared = prepare(rows(0, 5), tmp_path, collection_name=name)

    with pytest.raises(MilvusUnsupportedError, match=r"has no bulk import.*MilvusUpsertOperator"):
        import_files(name, prepared)

    with lite.plain_client() as client:
        assert client.query(name, "", output_fields=["count(*)"])[0]["count(*)"] == 10
