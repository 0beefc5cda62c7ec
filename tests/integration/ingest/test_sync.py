"""Documents synced on real servers: what is there afterwards, what readers see meanwhile, and what is never deleted."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from airflow_provider_milvus.exceptions import (
    MilvusBadRowsError,
    MilvusError,
    MilvusInDoubtError,
    MilvusInvalidArgumentError,
    MilvusNotLoadedError,
    MilvusRefusedError,
    MilvusReplacedError,
    MilvusServerError,
    MilvusUnsupportedError,
)
from airflow_provider_milvus.ingest import sync as flow
from airflow_provider_milvus.ingest.ledger import Ledger
from airflow_provider_milvus.operators.milvus import MilvusSyncDocumentsOperator, MilvusUpsertOperator
from airflow_provider_milvus.rows.made import Made
from airflow_provider_milvus.server import deletes, writes
from dev.servers.wire import wire_to
from tests.integration.ingest.task_state import TaskState, WorkerLostError, a_try
from tests.integration.support import Connect, Milvus

pytestmark = pytest.mark.newest

NAME = "synced"
Documents = Mapping[str, list[str]]
KEYS = {"position": "uuid5(source, chunk)", "content": "uuid5(source, text)"}
each_key = pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)


@pytest.fixture(scope="module")
def collections() -> Iterator[dict[Any, Milvus]]:
    """The collection of each server's process, created once, since a load takes seconds."""
    made: dict[Any, Milvus] = {}
    yield made
    for milvus in made.values():
        with milvus.plain_client() as client:
            client.drop_collection(NAME)


@pytest.fixture
def docs(milvus: Milvus, collections: dict[Any, Milvus]) -> str:
    """A loaded collection without rows."""
    with milvus.plain_client() as client:
        if milvus.process not in collections:
            build(client)
            collections[milvus.process] = milvus
        client.delete(NAME, filter='id >= ""')
    return NAME


def build(client: Any, name: str = NAME, *, auto_id: bool = False, load: bool = True) -> None:
    from pymilvus import DataType

    schema = client.create_schema(enable_dynamic_field=True, auto_id=auto_id)
    key: dict[str, Any] = {"datatype": DataType.INT64} if auto_id else {"datatype": DataType.VARCHAR, "max_length": 64}
    schema.add_field("id", is_primary=True, **key)
    schema.add_field("source", DataType.VARCHAR, max_length=100)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=4)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="L2")
    client.create_collection(name, schema=schema, index_params=index)
    client.create_partition(name, "part")
    client.load_collection(name) if load else client.release_collection(name)


def rows(documents: Documents) -> list[dict[str, Any]]:
    return [
        {"source": document, "chunk": at, "text": text, "vector": [0.5, 0.5, 0.5, float(at)]}
        for document, texts in documents.items()
        for at, text in enumerate(texts)
    ]


def operator(source: Any, key: str = KEYS["position"], **more: Any) -> MilvusSyncDocumentsOperator:
    named = {"collection_name": NAME, "document_field": "source", "hash_field": "hash", "hash": "sha256(text)", "key": key}
    return MilvusSyncDocumentsOperator(
        task_id="sync", rows=rows(source) if isinstance(source, Mapping) else source, **{**named, "timeout": 60, **more}
    )


def sync(source: Any, *given: str, context: Any = None, **more: Any) -> dict[str, Any]:
    result = operator(source, *given, **more).execute(context or {})
    assert json.loads(json.dumps(result)) == result
    return result


def held(milvus: Milvus) -> dict[str, list[str]]:
    """The texts of each document in the order of their chunks, asked of the server."""
    with milvus.plain_client() as client:
        found = client.query(
            NAME, 'id >= ""', output_fields=["source", "chunk", "text"], limit=16_000, consistency_level="Strong"
        )
        count = client.query(NAME, 'id >= ""', output_fields=["count(*)"], consistency_level="Strong")
    assert count[0]["count(*)"] == len(found)
    texts: dict[str, list[str]] = {}
    for row in sorted(found, key=lambda row: (row["source"], row["chunk"], row["text"])):
        texts.setdefault(row["source"], []).append(row["text"])
    return texts


def counts(result: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: result[name] for name in names}


def states(result: dict[str, Any]) -> dict[str, str]:
    assert result["complete"] is True
    return {told["document"]: told["state"] for told in result["documents"]}


BEFORE = {"a.md": ["one", "two", "three"], "b.md": ["one"], "c.md": ["x", "y"]}
AFTER = {"a.md": ["one", "2", "three"], "b.md": ["one"], "c.md": ["x"], "d.md": ["new"]}


@each_key
def test_what_changed_is_written_and_what_is_not_there_any_more_goes(milvus: Milvus, docs: str, key: str) -> None:
    first = sync(BEFORE, key)
    assert held(milvus) == BEFORE
    assert counts(first, "added", "written", "deleted") == {"added": 3, "written": 6, "deleted": 0}

    second = sync(AFTER, key)

    assert held(milvus) == AFTER
    assert states(second) == {"a.md": "replaced", "b.md": "unchanged", "c.md": "replaced", "d.md": "added"}
    # By its position a chunk is replaced in place; by its content the old one is deleted.
    by_content = key == KEYS["content"]
    assert counts(second, "written", "skipped", "deleted") == {"written": 2, "skipped": 4, "deleted": 1 + by_content}
    assert second["documents"][0] == {
        "document": "a.md",
        "state": "replaced",
        "written": 1,
        "skipped": 2,
        "deleted": int(by_content),
    }


@each_key
def test_nothing_is_sent_for_what_is_unchanged(milvus: Milvus, docs: str, connect: Connect, key: str) -> None:
    sync(BEFORE, key)
    with wire_to(int(milvus.uri.rpartition(":")[2])) as wire:
        connect(wire.uri)
        result = sync(BEFORE, key, prune=True)
        calls = set(wire.calls)
        assert counts(result, "unchanged", "written", "deleted") == {"unchanged": 3, "written": 0, "deleted": 0}
        assert "Query" in calls
        assert not calls & {"Insert", "Upsert", "Delete"}
        sync(AFTER, key, prune=True)
        # The same wire does show what is sent.
        assert {"Upsert", "Delete"} <= set(wire.calls)


def test_the_order_and_the_places_of_chunks_do_not_matter(milvus: Milvus, docs: str) -> None:
    sync(BEFORE)
    result = sync(rows(BEFORE)[::-1], batch_rows=2)
    assert (result["unchanged"], result["written"]) == (3, 0)


def test_the_hash_and_the_key_may_come_with_the_rows(milvus: Milvus, docs: str) -> None:
    given_rows = [{**row, "id": f"{row['source']}#{row['chunk']}", "hash": 7} for row in rows(BEFORE)]
    bare = {"key": None, "hash": None}
    assert sync(given_rows, **bare)["written"] == 6
    assert sync(given_rows, **bare)["written"] == 0

    given_rows[0]["hash"] = 8

    assert sync(given_rows, **bare)["written"] == 1


def test_the_same_chunk_twice_is_written_once_and_another_under_its_key_is_a_bad_row(milvus: Milvus, docs: str) -> None:
    documents = {"a.md": ["top", "x", "top"], "b.md": ["top"]}
    for batch_rows in (10, 1):
        result = sync(documents, KEYS["content"], batch_rows=batch_rows)
        assert counts(result, "repeated", "refused") == {"repeated": 1, "refused": 0}
    assert (result["written"], result["unchanged"]) == (0, 2)

    for batch_rows in (10, 1):
        with pytest.raises(MilvusBadRowsError, match=r"row 2, field 'id': an earlier row has the same key .* other content"):
            sync(documents, "uuid5(source)", batch_rows=batch_rows)


class TestPrune:
    def test_only_where_it_is_said(self, milvus: Milvus, docs: str) -> None:
        sync(BEFORE)
        gone = {"b.md": ["one"]}
        assert sync(gone)["pruned"] == 0
        assert held(milvus) == BEFORE

        result = sync(gone, prune=True, max_deleted=5)

        assert states(result) == {"a.md": "pruned", "b.md": "unchanged", "c.md": "pruned"}
        assert (result["deleted"], held(milvus)) == (5, gone)

    @pytest.mark.parametrize(
        ("limit", "words"), [({}, "10 % of 8 rows"), ({"max_deleted": 4}, "4"), ({"max_deleted": "60%"}, "60 % of 8 rows")]
    )
    def test_no_more_than_max_deleted_and_then_nothing_at_all(
        self, milvus: Milvus, docs: str, limit: dict[str, Any], words: str
    ) -> None:
        sync(BEFORE)
        with pytest.raises(MilvusRefusedError, match=f"5 rows are of documents .* max_deleted is {words}"):
            sync({"b.md": ["two"], "d.md": ["new"]}, KEYS["content"], prune=True, **limit)
        # What is new is there; neither the pruned nor the replaced rows are gone.
        assert held(milvus) == {**BEFORE, "b.md": ["one", "two"], "d.md": ["new"]}

    def test_rows_that_are_replaced_do_not_count(self, milvus: Milvus, docs: str) -> None:
        sync({"a.md": ["1", "2", "3"]}, KEYS["content"])
        assert sync({"a.md": ["4", "5", "6"]}, KEYS["content"], prune=True, max_deleted=0)["deleted"] == 3
        assert held(milvus) == {"a.md": ["4", "5", "6"]}

    def test_of_an_empty_source_only_with_two_words(self, milvus: Milvus, docs: str) -> None:
        sync(BEFORE)
        for refused in ({}, {"max_deleted": "any"}, {"allow_all": True}):
            with pytest.raises(MilvusRefusedError, match=r"^Nothing was deleted from collection 'synced'"):
                sync([], prune=True, **refused)
        assert held(milvus) == BEFORE
        assert sync([])["deleted"] == 0

        assert sync([], prune=True, allow_all=True, max_deleted="any")["pruned"] == 3
        assert held(milvus) == {}

    def test_only_what_a_filter_matches(self, milvus: Milvus, docs: str) -> None:
        sync({"wiki/a": ["1"], "wiki/b": ["1"], "jira/c": ["1"], "jira/d": ["1"]})

        result = sync(
            {"wiki/a": ["1"]}, prune=True, filter="source like {mine}", filter_params={"mine": "wiki/%"}, max_deleted="50%"
        )

        assert states(result) == {"wiki/a": "unchanged", "wiki/b": "pruned"}
        assert set(held(milvus)) == {"wiki/a", "jira/c", "jira/d"}


class TestBadRows:
    BAD = {"source": "a.md", "chunk": 1, "text": "2", "vector": [0.5]}

    def test_nothing_is_deleted_where_one_fails_the_task(self, milvus: Milvus, docs: str) -> None:
        sync(BEFORE)
        with pytest.raises(MilvusBadRowsError, match="vector"):
            sync([*rows({"c.md": ["x"]}), self.BAD], prune=True, batch_rows=1)
        assert held(milvus) == BEFORE

    def test_the_document_of_one_that_is_skipped_keeps_what_it_has(self, milvus: Milvus, docs: str) -> None:
        sync(BEFORE)

        result = sync([*rows({"a.md": ["ONE"], "c.md": ["x"]}), self.BAD], prune=True, on_bad_row="skip", max_deleted="any")

        assert states(result) == {"a.md": "incomplete", "b.md": "pruned", "c.md": "replaced"}
        assert held(milvus) == {"a.md": ["ONE", "two", "three"], "c.md": ["x"]}
        assert counts(result, "refused", "without_document", "incomplete") == {
            "refused": 1,
            "without_document": 0,
            "incomplete": 1,
        }

    def test_its_document_is_known_by_the_column_that_it_is_made_of(self, milvus: Milvus, docs: str) -> None:
        sync(BEFORE)
        columns = {"source": "path", "chunk": "chunk", "text": "text", "vector": "vector"}
        given = [{"path": row.pop("source"), "source": "c.md", **row} for row in rows({"a.md": ["ONE"], "c.md": ["x"]})]
        bad = {"path": "a.md", "source": "c.md", "chunk": 1, "text": "bad"}

        result = sync([*given, bad], columns=columns, prune=True, on_bad_row="skip", max_deleted="any")

        assert states(result) == {"a.md": "incomplete", "b.md": "pruned", "c.md": "replaced"}
        assert held(milvus) == {"a.md": ["ONE", "two", "three"], "c.md": ["x"]}

    @pytest.mark.parametrize(
        "bad",
        ["text", {"chunk": 1, "text": "2", "vector": [0.5] * 4}, {"source": "", "chunk": 1, "text": "2", "vector": [0.5] * 4}],
    )
    def test_of_one_that_names_no_document_nothing_is_deleted(self, milvus: Milvus, docs: str, bad: Any) -> None:
        sync(BEFORE)
        result = sync([*rows({"c.md": ["x"]}), bad], prune=True, on_bad_row="skip", max_deleted="any", key="uuid5(chunk, text)")
        assert counts(result, "without_document", "deleted") == {"without_document": 1, "deleted": 0}
        assert set(held(milvus)) == set(BEFORE)


def test_a_reader_never_finds_a_document_without_chunks(milvus: Milvus, docs: str) -> None:
    """Strong reads without a pause, while all chunks are replaced again and again, by new keys.

    A chunk that keeps its key is replaced by the server's upsert: on a busy Milvus 2.3.5 a read found neither, once.
    """
    sync({"a.md": ["0 0", "1 0"], "b.md": ["0 0"]})
    seen: list[set[str]] = []
    failures: list[BaseException] = []
    stop = threading.Event()

    def read() -> None:
        with milvus.plain_client() as client:
            while not stop.is_set():
                try:
                    found = client.query(docs, 'id >= ""', output_fields=["source"], limit=100, consistency_level="Strong")
                except BaseException as error:
                    failures.append(error)
                    return
                seen.append({row["source"] for row in found})

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for turn in range(1, 7):
            documents = {"a.md": [f"{at} {turn}" for at in range(1 + turn % 3)], "b.md": [f"0 {turn}"]}
            sync(documents, KEYS["content"], batch_rows=1)
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert failures == []
    assert len(seen) > 10
    assert all(found == {"a.md", "b.md"} for found in seen)
    assert held(milvus) == documents


class TestRetry:
    @pytest.mark.parametrize("moment", ["before a batch", "before the look", "before a delete", "after a delete"])
    @each_key
    def test_after_a_kill_at_any_moment_the_collection_is_as_after_one_run(
        self, milvus: Milvus, docs: str, monkeypatch: pytest.MonkeyPatch, key: str, moment: str
    ) -> None:
        sync({**BEFORE, "e.md": ["left"]}, key)
        state = TaskState()
        how = {"prune": True, "max_deleted": 1, "batch_rows": 1, "max_parallel": 1}
        with monkeypatch.context() as patched:
            lose(patched, moment)
            with pytest.raises(WorkerLostError):
                sync(AFTER, key, context=a_try(state), **how)
        assert set(held(milvus)) >= {"a.md", "b.md", "c.md"}
        monkeypatch.setattr(writes, "SETTLE", 0.1)
        retry = a_try(state)
        retry["ti"].try_number = 2

        result = sync(AFTER, key, context=retry, **how)

        assert held(milvus) == AFTER
        if moment != "before a batch":
            assert result["written"] == 0
        assert state.kept == {}
        assert sync(AFTER, key, prune=True)["unchanged"] == 4

    def test_another_collection_of_the_name_is_left_alone(
        self, milvus: Milvus, docs: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if milvus.is_lite:
            pytest.skip("Milvus Lite tells no ids")
        sync(BEFORE)
        state = TaskState()
        with monkeypatch.context() as patched:
            lose(patched, "before a delete")
            with pytest.raises(WorkerLostError):
                sync(AFTER, context=a_try(state))
        made_anew(milvus)
        with milvus.plain_client() as client:
            client.insert(NAME, [{"id": "k", "source": "a.md", "chunk": 0, "text": "theirs", "vector": [0.5] * 4}])

        with pytest.raises(MilvusInDoubtError, match=f"'{NAME}' is another one than that of an earlier try"):
            sync(AFTER, context=a_try(state))

        assert held(milvus) == {"a.md": ["theirs"]}
        # Whoever clears the task has looked.
        sync(AFTER, context=a_try(state), prune=True, max_deleted="any")
        assert held(milvus) == AFTER


def lose(patched: pytest.MonkeyPatch, moment: str) -> None:
    """The worker is lost at a moment."""
    calls = 0

    def lost(*given: Any, **more: Any) -> Any:
        raise WorkerLostError

    def lost_at_second(target: Any, batch: Any) -> Any:
        nonlocal calls
        calls += 1
        return lost() if calls == 2 else upsert(target, batch)

    def after(target: Any, keys: Any) -> Any:
        yield from delete_keys(target, keys)
        raise WorkerLostError

    upsert, delete_keys = writes.upsert, deletes.delete_keys
    match moment:
        case "before a batch":
            patched.setattr(writes, "upsert", lost_at_second)
        case "before the look":
            patched.setattr(flow, "_find_old", lost)
        case "before a delete":
            patched.setattr(deletes, "delete_keys", lost)
        case _:
            patched.setattr(deletes, "delete_keys", after)


def made_anew(milvus: Milvus) -> None:
    with milvus.plain_client() as client:
        client.drop_collection(NAME)
        build(client)


@pytest.mark.parametrize("step", ["_find_old", "_find_left"])
def test_a_collection_that_is_made_anew_meanwhile_loses_nothing(
    milvus: Milvus, docs: str, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    if milvus.is_lite:
        pytest.skip("Milvus Lite tells no ids")
    sync(BEFORE)
    ours = getattr(flow, step)

    def meanwhile(request: Any, target: Any, ledger: Ledger) -> Any:
        if step == "_find_left":
            yield from ours(request, target, ledger)
        made_anew(milvus)
        with milvus.plain_client() as client:
            client.insert(
                NAME,
                [{**row, "id": Made.of("key", KEYS["position"]).value((row["source"], row["chunk"]))} for row in rows(BEFORE)],
            )
        if step == "_find_old":
            yield from ours(request, target, ledger)

    monkeypatch.setattr(flow, step, meanwhile)
    with pytest.raises(MilvusReplacedError, match=NAME):
        sync(AFTER, prune=True, max_deleted="any")
    assert held(milvus) == BEFORE


def test_a_chunk_that_the_server_does_not_show_keeps_the_old_ones(
    milvus: Milvus, docs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync(BEFORE, KEYS["content"])
    find_old = flow._find_old

    def meanwhile(request: Any, target: Any, ledger: Ledger) -> Any:
        with milvus.plain_client() as client:
            client.delete(NAME, filter='text == "2"')
        return find_old(request, target, ledger)

    monkeypatch.setattr(flow, "_find_old", meanwhile)
    with pytest.raises(MilvusServerError, match=r"does not show 1 chunks of 1 documents .* such as of 'a\.md'"):
        sync(AFTER, KEYS["content"])
    assert held(milvus)["a.md"] == ["one", "two", "three"]


class TestRefused:
    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"document_field": "text"}, "document_field 'text': 'text' is no field of it"),
            ({"document_field": "vector"}, "document_field 'vector': 'vector' is of type FLOAT_VECTOR"),
            ({"hash_field": "vector"}, "hash_field 'vector'"),
        ],
    )
    def test_fields_that_cannot_hold_it(self, milvus: Milvus, docs: str, fields: dict[str, Any], words: str) -> None:
        with pytest.raises(MilvusInvalidArgumentError, match=f"Nothing was synced: .*{words}"):
            sync(BEFORE, **fields)

    def test_a_row_without_a_hash(self, milvus: Milvus, docs: str) -> None:
        with pytest.raises(MilvusBadRowsError, match="row 1, field 'hash': is the hash of the row's content"):
            sync(BEFORE, hash=None)
        assert held(milvus) == {}

    @pytest.mark.parametrize(
        ("how", "error"), [({"auto_id": True}, MilvusUnsupportedError), ({"load": False}, MilvusNotLoadedError)]
    )
    def test_keys_that_the_server_makes_and_what_is_not_in_memory(
        self, milvus: Milvus, how: dict[str, Any], error: type[MilvusError]
    ) -> None:
        with milvus.plain_client() as client:
            build(client, "unfit", **how)
            with pytest.raises(error, match="unfit"):
                sync(BEFORE, collection_name="unfit")
            client.drop_collection("unfit")


def test_a_partition_is_synced_alone(milvus: Milvus, docs: str) -> None:
    if milvus.is_lite:
        with pytest.raises(MilvusUnsupportedError, match=r"^Nothing was deleted: Milvus Lite ignores partition_name"):
            sync(BEFORE, partition_name="part")
        return
    sync({"z.md": ["other"]})
    sync(BEFORE, partition_name="part")

    result = sync({"a.md": BEFORE["a.md"]}, partition_name="part", prune=True, max_deleted="any")

    assert states(result) == {"a.md": "unchanged", "b.md": "pruned", "c.md": "pruned"}
    assert set(held(milvus)) == {"a.md", "z.md"}


def test_what_became_of_each_document_goes_to_a_file(milvus: Milvus, docs: str, tmp_path: Path) -> None:
    sync(BEFORE)
    path = tmp_path / "documents.jsonl"

    result = sync(AFTER, output_path=str(path))

    assert (result["path"], "documents" in result) == (str(path), False)
    told = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(one["document"], one["state"]) for one in told] == [
        ("a.md", "replaced"),
        ("c.md", "replaced"),
        ("d.md", "added"),
        ("b.md", "unchanged"),
    ]


def test_an_upsert_makes_keys_as_well_and_from_a_csv_file(milvus: Milvus, docs: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('source,chunk,text,vector\na.md,0,one,"[0, 0, 0, 1]"\na.md,1,two,"[0, 0, 0, 2]"\n')
    for _ in range(2):
        MilvusUpsertOperator(task_id="write", collection_name=docs, rows=str(path), key="sha256(source, chunk)").execute({})
    assert held(milvus) == {"a.md": ["one", "two"]}


SLICES = {"IDS_AT_ONCE": deletes, "DOCUMENTS_AT_ONCE": flow}
some_documents = st.dictionaries(
    st.sampled_from(["a", "b", 'c"]', "d\\", "é"]), st.lists(st.sampled_from("uvwxyz"), min_size=1, max_size=5, unique=True)
)


@pytest.mark.parametrize("small", [True, False], ids=["small slices", "large slices"])
def test_any_sequence_of_sources_ends_as_a_plain_dict_would(
    lite: Milvus, docs_on_lite: Callable[[], None], small: bool
) -> None:
    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.tuples(some_documents, st.booleans(), st.sampled_from(list(KEYS.values()))), min_size=1, max_size=4))
    def holds(turns: list[tuple[Documents, bool, str]]) -> None:
        docs_on_lite()
        model: dict[str, list[str]] = {}
        key = turns[0][2]
        for source, prune, _ in turns:
            model = {**({} if prune else model), **source}
            before = held(lite)
            how = {"prune": prune, "allow_all": True, "max_deleted": "any", "hash": "sha256(chunk, text)"}
            result = sync(source, key, **how, batch_rows=3 if small else 1_000)
            assert held(lite) == model
            assert result["unchanged"] == sum(before.get(document) == texts for document, texts in source.items())
            again = sync(source, key, **how)
            assert (again["written"], again["deleted"]) == (0, 0)

    with pytest.MonkeyPatch.context() as patched:
        for name, module in SLICES.items() if small else ():
            patched.setattr(module, name, 2)
        holds()


@pytest.fixture
def docs_on_lite(lite: Milvus, collections: dict[Any, Milvus]) -> Callable[[], None]:
    def emptied() -> None:
        with lite.plain_client() as client:
            if not client.has_collection(NAME):
                build(client)
                collections[lite.process] = lite
            client.delete(NAME, filter='id >= ""')

    return emptied
