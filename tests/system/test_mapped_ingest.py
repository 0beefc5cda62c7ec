"""One source in parts, each written by a mapped task, and one check of all of them, run by Airflow."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow
import pyarrow.parquet
import pytest

from dev.local_airflow import LocalAirflow
from tests.integration.support import Milvus, build_collection

pytestmark = [pytest.mark.airflow, pytest.mark.parametrize("milvus", ["lite"], indirect=True)]

NAME = "written_in_parts"
FILES, ROWS = 6, 20
DAG = f"""
from datetime import timedelta
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, task
from airflow_provider_milvus.operators.milvus import (
    MilvusPrepareImportOperator,
    MilvusRowCountCheckOperator,
    MilvusUpsertOperator,
    split_files,
)

HERE = Path(__file__).parent


def mend(context):
    for whole in HERE.glob("rows/_whole_*"):
        whole.rename(whole.with_name(whole.name.removeprefix("_whole_")))


with DAG("mapped_ingest", schedule=None):

    @task
    def split():
        return split_files(HERE / "rows", parts=3)

    parts = split()
    write = MilvusUpsertOperator.partial(
        task_id="write",
        collection_name="{NAME}",
        batch_rows=5,
        asset_event=False,
        retries=1,
        retry_delay=timedelta(0),
        on_retry_callback=mend,
    ).expand(rows=parts)
    check = MilvusRowCountCheckOperator(task_id="check", collection_name="{NAME}", equal_to=write.output, asset_event=True)
    MilvusRowCountCheckOperator(
        task_id="check_what_there_is", collection_name="{NAME}", equal_to=write.output, trigger_rule="all_done"
    )
    prepare = MilvusPrepareImportOperator.partial(
        task_id="prepare", collection_name="{NAME}", path=str(HERE / "prepared")
    ).expand(rows=parts)
    again = MilvusUpsertOperator(task_id="again", collection_name="{NAME}", rows=prepare.output, asset_event=False)
    check >> prepare
    again >> MilvusRowCountCheckOperator(task_id="check_again", collection_name="{NAME}", equal_to=prepare.output)
"""


@pytest.fixture
def ingest(airflow: LocalAirflow, milvus: Milvus, tmp_path: Path) -> Iterator[LocalAirflow]:
    """An Airflow with the DAG above; the second of its files is cut off."""
    (tmp_path / "mapped_ingest.py").write_text(DAG)
    (tmp_path / "rows").mkdir()
    for number in range(FILES):
        keys = range(number * ROWS, (number + 1) * ROWS)
        rows = pyarrow.table({"id": keys, "vector": [[key, 0.5, 1, 2] for key in keys]})
        pyarrow.parquet.write_table(rows, tmp_path / "rows" / f"{number}.parquet", row_group_size=5)
    broken = tmp_path / "rows" / f"{FILES - 1}.parquet"
    shutil.copy(broken, broken.with_name(f"_whole_{broken.name}"))
    broken.write_bytes(broken.read_bytes()[:-100])
    with milvus.plain_client() as client:
        build_collection(client, NAME, rows=0, dim=4)
    yield replace(airflow, dags=tmp_path)
    # Lite closes the channel of a client that has been idle for so long.
    with milvus.plain_client() as client:
        client.drop_collection(NAME)


def run(airflow: LocalAirflow) -> None:
    with airflow.started("dags", "test", "mapped_ingest") as process:
        airflow.finish(process)


def there(milvus: Milvus) -> dict[int, list[float]]:
    with milvus.plain_client() as client:
        rows = client.query(NAME, filter="id >= 0", output_fields=["vector"], consistency_level="Strong")
    return {row["id"]: row["vector"] for row in rows}


def test_a_part_that_is_tried_again_leaves_each_row_once_and_one_event(ingest: LocalAirflow, milvus: Milvus) -> None:
    run(ingest)

    assert there(milvus) == {key: [key, 0.5, 1, 2] for key in range(FILES * ROWS)}
    results = ingest.results("mapped_ingest")
    assert results["check"]["rows"] == results["check"]["expected"] == FILES * ROWS
    assert (results["check"]["parts"], results["check"]["rows_read"]) == (3, FILES * ROWS)
    assert results["again"]["written"] == results["check_again"]["expected"] == FILES * ROWS
    address = urlsplit(milvus.uri)
    ((task, uri, extra),) = ingest.asset_events("mapped_ingest")
    assert (task, uri) == ("check", f"milvus://{address.hostname}:{address.port}/default/{NAME}")
    assert (extra["rows"], extra["parts"], extra["written"] + extra["already_there"]) == (FILES * ROWS, 3, FILES * ROWS)


def test_a_part_that_fails_for_good_fails_the_check(ingest: LocalAirflow, milvus: Milvus) -> None:
    next(ingest.dags.glob("rows/_whole_*")).unlink()
    with pytest.raises(RuntimeError, match="exited with 1"):
        run(ingest)

    assert len(there(milvus)) < FILES * ROWS
    assert ingest.tasks_in("success", "mapped_ingest").count("write") == 2
    assert "check" in ingest.tasks_in("upstream_failed", "mapped_ingest")
    assert sorted(ingest.tasks_in("failed", "mapped_ingest")) == ["check_what_there_is", "write"]
    assert "No row was counted, since parts are missing: write_" in ingest.log.read_text()
    assert ingest.asset_events("mapped_ingest") == []
