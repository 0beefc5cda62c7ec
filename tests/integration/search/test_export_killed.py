"""An export whose worker is killed ten times: the files hold every row once."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.ingest.ingest_worker import processes
from tests.integration.search.export_worker import work
from tests.integration.support import MakeCollection, Milvus

ROWS, KILLS = 6_000, 10


# On 2.3.5 each page of a strong read takes a third of a second.
ON = [
    pytest.param("lite", marks=pytest.mark.slow),
    pytest.param("standalone", marks=[pytest.mark.standalone, pytest.mark.long, pytest.mark.timeout(900)]),
]


@pytest.mark.parametrize("milvus", ON, indirect=True)
@pytest.mark.parametrize("file_type", ["jsonl", "parquet"])
def test_every_row_is_there_once_wherever_the_worker_is_killed(
    milvus: Milvus, make_collection: MakeCollection, tmp_path: Path, file_type: str
) -> None:
    import pyarrow.parquet

    name, folder, chance = make_collection("killed", rows=ROWS, load=True), tmp_path / "out", random.Random(13)
    connection = {"AIRFLOW_CONN_MILVUS_DEFAULT": f'{{"conn_type": "milvus", "extra": {{"uri": "{milvus.uri}"}}}}'}
    more = {"file_type": file_type, "rows_per_file": 100, "output_fields": ["id"]}

    def start(tries: int) -> Any:
        process = processes.Process(target=work, args=(name, folder, tries, more, connection))
        process.start()
        return process

    finished = []
    for tries in range(1, KILLS + 1):
        process = start(tries)
        before = len(list(folder.glob("0*")))
        give_up = time.monotonic() + 30
        while len(list(folder.glob("0*"))) == before and time.monotonic() < give_up:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.1))
        assert process.is_alive(), "it has ended before it was killed"
        process.kill()
        process.join()
        finished.append(len(json.loads((folder / "_manifest.json").read_text())["files"]))
    process = start(KILLS + 1)
    process.join(300)
    assert process.exitcode == 0

    assert finished == sorted(finished)
    assert finished[-1] >= KILLS - 1
    files = sorted(folder.glob("0*"))
    if file_type == "jsonl":
        keys = [json.loads(line)["id"] for file in files for line in file.read_text().splitlines()]
    else:
        keys = [key for file in files for key in pyarrow.parquet.read_table(file)["id"].to_pylist()]
    assert keys == list(range(ROWS))
    assert sorted(path.name for path in folder.iterdir()) == [*(file.name for file in files), "_manifest.json"]
