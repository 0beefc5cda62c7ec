"""Every task that reads rows, of a collection that is dropped and made anew between its first rows and its end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_milvus.client.client import BoundedClient
from airflow_provider_milvus.exceptions import MilvusReplacedError
from airflow_provider_milvus.operators.milvus import (
    MilvusExportOperator,
    MilvusQueryOperator,
    MilvusRecallCheckOperator,
    MilvusSearchOperator,
)
from airflow_provider_milvus.search import search as flow
from tests.integration.support import MakeCollection, Milvus, build_collection

pytestmark = pytest.mark.newest

READERS: dict[str, Callable[[str, Path], Any]] = {
    "query": lambda name, path: MilvusQueryOperator(task_id="t", collection_name=name, limit="all"),
    "query by ids": lambda name, path: MilvusQueryOperator(task_id="t", collection_name=name, ids=[1, 2, 3]),
    "search": lambda name, path: MilvusSearchOperator(task_id="t", collection_name=name, data=[[1.0] * 8]),
    "search by ids": lambda name, path: MilvusSearchOperator(task_id="t", collection_name=name, ids=[1, 2]),
    "export": lambda name, path: MilvusExportOperator(task_id="t", collection_name=name, path=str(path)),
    "recall": lambda name, path: MilvusRecallCheckOperator(task_id="t", collection_name=name, sample=3, k=3),
}


@pytest.mark.parametrize("reader", READERS)
def test_another_collection_of_the_name_is_not_taken_for_the_one_before(
    milvus: Milvus, make_collection: MakeCollection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: str
) -> None:
    if milvus.is_lite:
        pytest.skip("Milvus Lite tells no ids")
    name = make_collection("anew", rows=50, load=True)
    perform, waiting = BoundedClient.perform, [True]

    def meanwhile(client: BoundedClient, call: Any, *more: Any) -> Any:
        answer = perform(client, call, *more)
        if getattr(call, "name", "") in ("Query", "Search") and waiting:
            waiting.clear()
            with milvus.plain_client() as other:
                other.drop_collection(name)
                build_collection(other, name, rows=50, dim=8)
                other.load_collection(name)
        return answer

    monkeypatch.setattr(BoundedClient, "perform", meanwhile)
    with pytest.raises(MilvusReplacedError, match=name):
        READERS[reader](name, tmp_path / "out").execute({})
    assert not waiting


@pytest.mark.parametrize("milvus", ["standalone"], indirect=True)
def test_a_search_of_files_is_of_one_collection(
    milvus: Milvus, make_collection: MakeCollection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = make_collection("anew", rows=50, load=True)
    (tmp_path / "queries.jsonl").write_text('{"vector": [1, 0, 0, 0, 0, 0, 0, 0]}\n' * 25)
    monkeypatch.setattr(flow, "AT_ONCE", 2)
    search, waiting = flow.search, [True]

    def and_then(*arguments: Any, **more: Any) -> Any:
        found = yield from search(*arguments, **more)
        if waiting:
            waiting.clear()
            with milvus.plain_client() as other:
                other.drop_collection(name)
                build_collection(other, name, rows=50, dim=8)
                other.load_collection(name)
        return found

    monkeypatch.setattr(flow, "search", and_then)
    with pytest.raises(MilvusReplacedError, match=f"{name}.*Hits of both may have been taken"):
        MilvusSearchOperator(task_id="t", collection_name=name, data_files=str(tmp_path / "queries.jsonl")).execute({})
    assert not waiting
