"""Exports on real servers: whole, resumed after a kill, and brought back equal."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_milvus.exceptions import MilvusRefusedError, MilvusServerError
from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.operators.milvus import (
    MilvusBulkImportOperator,
    MilvusCreateCollectionOperator,
    MilvusExportOperator,
    MilvusLoadCollectionOperator,
    MilvusPrepareImportOperator,
    MilvusUpsertOperator,
)
from airflow_provider_milvus.search import export as flow
from tests.integration.ingest.task_state import TaskState, a_try
from tests.integration.support import MakeCollection, Milvus

pytestmark = pytest.mark.newest


def export(name: str, path: Path, context: Any = None, **arguments: Any) -> dict[str, Any]:
    task = MilvusExportOperator(
        task_id="export", collection_name=name, path=str(path), **{"file_type": "jsonl", "rows_per_file": 100, **arguments}
    )
    result: dict[str, Any] = task.execute(context or {})
    return result


def keys(path: Path) -> list[int]:
    return [json.loads(line)["id"] for file in sorted(path.glob("[0-9]*.jsonl")) for line in file.read_text().splitlines()]


def manifest(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((path / "_manifest.json").read_text())
    return read


@pytest.fixture
def docs(make_collection: MakeCollection) -> str:
    return make_collection("docs", rows=250, load=True)


def test_all_rows_are_in_the_files_once_and_the_manifest_tells_of_them(milvus: Milvus, docs: str, tmp_path: Path) -> None:
    told = export(docs, tmp_path / "out")

    assert keys(tmp_path / "out") == list(range(250))
    assert (told["rows"], told["files"], told["resumed"], "changed" in told) == (250, 3, 0, False)
    wrote = manifest(tmp_path / "out")
    assert [(file["name"], file["rows"], file["last"]) for file in wrote["files"]] == [
        ("00001.jsonl", 100, 99),
        ("00002.jsonl", 100, 199),
        ("00003.jsonl", 50, 249),
    ]
    for file in wrote["files"]:
        content = (tmp_path / "out" / file["name"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file["bytes"], file["sha256"])
    assert (wrote["complete"], wrote["rows"]) == (True, 250)


def test_what_was_exported_is_made_anew_with_the_same_rows(milvus: Milvus, docs: str, tmp_path: Path) -> None:
    export(docs, tmp_path, file_type="parquet")
    other = f"{docs}_again"

    MilvusCreateCollectionOperator(task_id="create", collection_name=other, definition=str(tmp_path)).execute({})
    MilvusUpsertOperator(task_id="back", collection_name=other, rows=str(tmp_path)).execute({})
    MilvusLoadCollectionOperator(task_id="load", collection_name=other).execute({})

    with milvus.plain_client() as client:
        both = [
            sorted(
                client.query(name, filter="id >= 0", output_fields=["*"], consistency_level="Strong"), key=lambda row: row["id"]
            )
            for name in (docs, other)
        ]
        described = [client.describe_collection(name)["fields"] for name in (docs, other)]
        indexes = [client.describe_index(name, "vector") for name in (docs, other)]
        client.drop_collection(other)
    assert described[0] == described[1]
    assert [(index["index_type"], index["metric_type"]) for index in indexes] == [("FLAT", "L2")] * 2
    assert len(both[0]) == 250
    assert list(map(dict, both[0])) == list(map(dict, both[1]))


@pytest.mark.standalone
def test_what_was_exported_is_imported_by_the_server(
    standalone: Milvus, make_collection: MakeCollection, tmp_path: Path
) -> None:
    docs = make_collection("docs", rows=250, load=True, on=standalone)
    export(docs, tmp_path / "out", file_type="parquet")
    other = f"{docs}_again"
    MilvusCreateCollectionOperator(task_id="create", collection_name=other, definition=str(tmp_path / "out")).execute({})

    prepared = MilvusPrepareImportOperator(
        task_id="prepare", collection_name=other, rows=str(tmp_path / "out"), path=str(tmp_path / "prepared"), file_type="json"
    ).execute({})
    MilvusBulkImportOperator(task_id="import", collection_name=other, files=prepared).execute({})
    MilvusLoadCollectionOperator(task_id="load", collection_name=other).execute({})

    with standalone.plain_client() as client:
        of_both = [
            {row["id"]: row["vector"] for row in client.query(name, "id >= 0", output_fields=["*"], consistency_level="Strong")}
            for name in (docs, other)
        ]
        client.drop_collection(other)
    assert len(of_both[0]) == 250
    assert of_both[0] == of_both[1]


def test_a_filter_and_fields(milvus: Milvus, docs: str, tmp_path: Path) -> None:
    told = export(docs, tmp_path, filter="id < {end}", filter_params={"end": 7}, output_fields=["id"])
    assert told["rows"] == 7
    assert (tmp_path / "00001.jsonl").read_text().splitlines() == [f'{{"id": {key}}}' for key in range(7)]


def test_a_retry_goes_on_after_the_last_finished_file(
    milvus: Milvus, docs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = TaskState()
    taken = flow.Files.take

    def broken(files: Any, page: Any) -> None:
        taken(files, page)
        if page.keys[-1] > 210:
            raise MilvusServerError("the worker is gone")

    with monkeypatch.context() as patched:
        patched.setattr(flow.Files, "take", broken)
        with pytest.raises(MilvusServerError, match="gone"):
            export(docs, tmp_path, a_try(state))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00001.jsonl", "00002.jsonl", "_manifest.json"]

    told = export(docs, tmp_path, a_try(state))

    assert (told["rows"], told["resumed"]) == (250, 200)
    assert keys(tmp_path) == list(range(250))


def test_an_export_of_another_run_is_left_unless_it_is_to_be_replaced(milvus: Milvus, docs: str, tmp_path: Path) -> None:
    export(docs, tmp_path, a_try(TaskState()))
    other = a_try(TaskState())
    other["run_id"] = "manual__another"
    with pytest.raises(MilvusRefusedError, match=f"^Nothing was exported: .* an export of collection '{docs}' with 250 rows"):
        export(docs, tmp_path, other)

    told = export(docs, tmp_path, other, if_exists="replace", rows_per_file=1_000)

    assert (told["files"], keys(tmp_path)) == (1, list(range(250)))


def test_files_that_no_export_has_written_are_left(milvus: Milvus, docs: str, tmp_path: Path) -> None:
    (tmp_path / "20260520.parquet").write_text("a day's rows")
    with pytest.raises(MilvusRefusedError, match=r"has files that no export has written, such as '20260520\.parquet'"):
        export(docs, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["20260520.parquet"]


def test_only_the_files_of_the_export_before_are_removed(milvus: Milvus, docs: str, tmp_path: Path) -> None:
    export(docs, tmp_path)
    (tmp_path / "20260520.jsonl").write_text("")
    export(docs, tmp_path, filter="id < 7")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00001.jsonl", "20260520.jsonl", "_manifest.json"]


def test_rows_that_change_meanwhile_are_an_error_or_told(
    milvus: Milvus, docs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = flow.Files.take

    def meanwhile(files: Any, page: Any) -> None:
        taken(files, page)
        with milvus.plain_client() as client:
            client.delete(docs, filter="id >= 240")

    monkeypatch.setattr(flow.Files, "take", meanwhile)
    with pytest.raises(MilvusRefusedError, match="changed while it was exported: 250 rows before, 240 after"):
        export(docs, tmp_path / "one")
    assert manifest(tmp_path / "one")["changed"].startswith("250 rows before, 240 after")


@pytest.mark.parametrize("is_a_retry", [True, False])
def test_of_two_exports_into_one_folder_the_first_gives_way(
    milvus: Milvus, docs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_a_retry: bool
) -> None:
    """The second one may be a retry, while the worker of the first try still lives."""
    state, taken = TaskState(), flow.Files.take

    def meanwhile(files: Any, page: Any) -> None:
        monkeypatch.setattr(flow.Files, "take", taken)
        later = a_try(state if is_a_retry else TaskState())
        later["run_id"] = first["run_id"] if is_a_retry else "manual__another"
        export(docs, tmp_path, later, if_exists="replace", output_fields=["id"])
        taken(files, page)

    monkeypatch.setattr(flow.Files, "take", meanwhile)
    first = a_try(state)
    with pytest.raises(MilvusRefusedError, match=f"^Collection '{docs}' was not exported: somebody else has written to "):
        export(docs, tmp_path, first, output_fields=["id"])

    assert keys(tmp_path) == list(range(250))
    assert (manifest(tmp_path)["complete"], manifest(tmp_path)["rows"]) == (True, 250)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *(f"0000{number}.jsonl" for number in (1, 2, 3)),
        "_manifest.json",
    ]


def test_what_a_killed_try_has_left_is_not_among_the_rows_of_another_export(
    milvus: Milvus, docs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was killed after its second file was there, and before the manifest told so."""
    noted = flow.Files.note

    def killed(files: Any) -> None:
        if len(files.manifest.files) == 2:
            raise MilvusServerError("the worker is gone")
        noted(files)

    (tmp_path / f".00003.jsonl.{'0' * 32}").write_text("half a")
    with monkeypatch.context() as patched:
        patched.setattr(flow.Files, "note", killed)
        with pytest.raises(MilvusServerError, match="gone"):
            export(docs, tmp_path, a_try(TaskState()))
    assert (tmp_path / "00002.jsonl").exists()

    export(docs, tmp_path, a_try(TaskState()), filter="id < 7")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["00001.jsonl", "_manifest.json"]
    assert keys(tmp_path) == list(range(7))


def test_an_export_that_does_not_begin_leaves_the_one_before(
    milvus: Milvus, docs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(docs, tmp_path)

    def fails(*arguments: Any) -> Any:
        raise MilvusServerError("no count")

    monkeypatch.setattr(flow, "row_count", fails)
    with pytest.raises(MilvusServerError, match="no count"):
        export(docs, tmp_path, if_exists="replace", filter="id < 7")

    assert (manifest(tmp_path)["complete"], keys(tmp_path)) == (True, list(range(250)))


def test_an_export_that_somebody_has_made_meanwhile_stays(
    milvus: Milvus, docs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was made after this one has looked into the folder."""
    counted = flow.row_count

    def meanwhile(*arguments: Any) -> Any:
        monkeypatch.setattr(flow, "row_count", counted)
        export(docs, tmp_path, a_try(TaskState()))
        return counted(*arguments)

    monkeypatch.setattr(flow, "row_count", meanwhile)
    with pytest.raises(MilvusRefusedError, match=f"^Nothing was exported: .* has an export of collection '{docs}'"):
        export(docs, tmp_path, filter="id < 7")

    assert (manifest(tmp_path)["complete"], keys(tmp_path)) == (True, list(range(250)))


def test_a_file_that_somebody_else_has_written_to_is_noticed(
    milvus: Milvus, docs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = flow.Files.take

    def meanwhile(files: Any, page: Any) -> None:
        taken(files, page)
        if (tmp_path / "00001.jsonl").exists():
            (tmp_path / "00001.jsonl").write_text("{}")

    monkeypatch.setattr(flow.Files, "take", meanwhile)
    with pytest.raises(MilvusRefusedError, match=r"was not exported: somebody else has written to 00001\.jsonl in "):
        export(docs, tmp_path)
    assert manifest(tmp_path)["complete"] is False


def test_nothing_is_an_export_too(milvus: Milvus, make_collection: MakeCollection, tmp_path: Path) -> None:
    empty = make_collection("empty", rows=0, load=True)
    assert export(empty, tmp_path)["files"] == 0
    assert manifest(tmp_path)["complete"] is True


def test_the_hook_exports_into_a_new_folder(milvus: Milvus, docs: str, tmp_path: Path) -> None:
    told = MilvusHook().export(docs, f"{tmp_path}/new", file_type="jsonl", filter="id < 9")
    assert told == {"collection": docs, "rows": 9, "changed": ""}
    assert keys(tmp_path / "new") == list(range(9))
    with pytest.raises(MilvusRefusedError, match=f"has an export of collection '{docs}'"):
        MilvusHook().export(docs, f"{tmp_path}/new")
