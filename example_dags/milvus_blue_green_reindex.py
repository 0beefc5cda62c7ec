"""Build a new collection every night, check it, and switch an alias to it, while searches through the alias go on.

The day's rows go into a collection of their own, such as `docs_20260520`. It is built, loaded and checked while the
alias `docs` still points to yesterday's. Only when every check holds does `swap` point the alias to the new collection,
in one step. The old collection stays in memory for the grace period, for searches that are under way, and is then
released.

When a check or any other task fails, searches are served as before. The refused collection stays on disk, so that you
can look at it, and is released from memory. Mend the rows and run the day again: the collection is made anew. A day
whose collection is already served gets a second one, `docs_20260520_again`.

**What it needs.** For each day a Parquet file of rows, such as `20260520.parquet`, and one file of questions whose
answers are known: JSON Lines of `{"vector": […], "answer": 42}`, the embedding of a question and the key of a row that
must be among the first hits. Only such questions show that vectors stand beside the wrong texts; a recall check does
not.

The day is the run's logical date; a run without one takes the day on which it was triggered. The DAG has no schedule,
so unpausing it switches nothing. Give your copy of this file a schedule when the schema and the files are yours.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, AirflowFailException, ObjectStoragePath, Param, task

from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.operators.milvus import (
    MilvusCreateCollectionOperator,
    MilvusFlushOperator,
    MilvusLoadCollectionOperator,
    MilvusRecallCheckOperator,
    MilvusReclaimMemoryOperator,
    MilvusRowCountCheckOperator,
    MilvusSwapAliasOperator,
    MilvusUpsertOperator,
)
from airflow_provider_milvus.sensors.milvus import MilvusIndexSensor

SCHEMA = {
    "fields": [
        {"name": "id", "type": "INT64", "is_primary": True},
        {"name": "title", "type": "VARCHAR", "max_length": 500},
        {"name": "section", "type": "VARCHAR", "max_length": 200},
        {"name": "text", "type": "VARCHAR", "max_length": 8000},
        {"name": "vector", "type": "FLOAT_VECTOR", "dim": 384},
    ]
}
INDEX = {
    "field_name": "vector",
    "index_type": "HNSW",
    "metric_type": "COSINE",
    "index_params": {"M": 16, "efConstruction": 200},
}
FIRST_HITS = 5
# A run from `airflow dags trigger`, or of an asset, has no logical date in Airflow 3.
DAY = "{{ (dag_run.logical_date or dag_run.run_after).strftime('%Y%m%d') }}"


@task
def choose_name(alias: str, day: str) -> str:
    """The day's collection, or another one for the same day when that one is served already."""
    name = f"{alias}_{day}"
    with MilvusHook().client() as client:
        is_served = client.has_collection(name) and client.list_aliases(name)["aliases"]
    return f"{name}_again" if is_served else name


@task(retries=0)
def ask(collection: str, path: str, floor: float) -> dict[str, int]:
    """Ask the new collection the questions whose answers are known."""
    questions = [json.loads(line) for line in ObjectStoragePath(path).read_text().splitlines()]
    with MilvusHook().client() as client:
        vectors = [question["vector"] for question in questions]
        results = client.search(collection, data=vectors, limit=FIRST_HITS, consistency_level="Strong")
    answered = sum(question["answer"] in [hit["id"] for hit in hits] for question, hits in zip(questions, results, strict=True))
    if answered < float(floor) * len(questions):
        raise AirflowFailException(
            f"{collection} answers {answered} of {len(questions)} questions; the share must be {floor} at least."
        )
    return {"asked": len(questions), "answered": answered}


with DAG(
    dag_id="milvus_blue_green_reindex",
    # Such as "0 4 * * *". With a schedule, unpausing makes the last missed run at once, and that run can switch the alias.
    schedule=None,
    start_date=datetime(2024, 1, 1),
    catchup=False,
    # Two runs at once would switch the alias in the order in which they end.
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=2)},
    params={
        "alias": Param("docs", type="string", minLength=1, title="Alias", description="The name that searches use."),
        "source": Param(
            "/data/docs",
            type="string",
            minLength=1,
            title="Rows",
            description="A folder, local or on object storage, with one Parquet file for each day, such as 20260520.parquet.",
        ),
        "questions": Param(
            "/data/docs/questions.jsonl",
            type="string",
            minLength=1,
            title="Questions",
            description="JSON Lines of vectors and of the keys that a search must find.",
        ),
        "fewest_rows": Param(
            1, type="integer", minimum=1, title="Fewest rows", description="A collection with fewer rows is not served."
        ),
        "floor": Param(
            0.95,
            type="number",
            minimum=0,
            maximum=1,
            title="Floor",
            description="The least recall of the index, and the least share of answered questions.",
        ),
        "grace": Param(
            600,
            type="number",
            minimum=0,
            title="Grace",
            description="Seconds that the old collection stays in memory after the switch.",
        ),
    },
    doc_md=__doc__,
    tags=["milvus"],
):
    collection = choose_name("{{ params.alias }}", DAY)
    create = MilvusCreateCollectionOperator(
        task_id="create", collection_name=collection, schema=SCHEMA, indexes=[INDEX], if_exists="replace"
    )
    # By key, so that a retry does not add rows that are there already.
    write = MilvusUpsertOperator(task_id="write", collection_name=collection, rows=f"{{{{ params.source }}}}/{DAY}.parquet")
    # Milvus indexes only what is flushed, and all rows are to be indexed before they are served.
    flush = MilvusFlushOperator(task_id="flush", collection_name=collection)
    index = MilvusIndexSensor(task_id="index", collection_name=collection, poke_interval=5, timeout=3600)
    load = MilvusLoadCollectionOperator(task_id="load", collection_name=collection, timeout=3600, on_timeout="release")
    # Without retries: the rows will be the same in two minutes.
    count = MilvusRowCountCheckOperator(
        task_id="count", collection_name=collection, at_least="{{ params.fewest_rows }}", retries=0
    )
    recall = MilvusRecallCheckOperator(
        task_id="recall",
        collection_name=collection,
        floor="{{ params.floor }}",
        search_params={"ef": 64},
        retries=0,
    )
    answers = ask(collection, "{{ params.questions }}", "{{ params.floor }}")  # type: ignore[arg-type]
    swap = MilvusSwapAliasOperator(
        task_id="swap",
        alias="{{ params.alias }}",
        collection_name=collection,
        grace_period="{{ params.grace }}",
        then="release",
        deferrable=True,
    )
    # A reclaim leaves alone what an alias points to, so that a check repeated after the swap cannot release what is served.
    release_refused = MilvusReclaimMemoryOperator(
        task_id="release_refused", collections=[collection], trigger_rule="one_failed"
    )

    create >> write >> flush >> index >> load >> count >> recall >> answers >> swap
    answers >> release_refused
