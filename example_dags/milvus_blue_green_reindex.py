"""A new index every night, and not one search that notices.

The day's rows go into a collection of their own, `docs_20260520`. It is built, loaded and checked while the alias `docs` still
leads to the collection of the day before; only when every check has held is the alias switched, in one step. The old collection
stays in memory for a while longer, for searches under way and for second thoughts, and is then released.

When a check does not hold, or anything else fails, what is served stays as it is. The refused collection is kept for a look and
released from memory. Run the date again when its rows are mended: the collection is made anew. If it is the one that is served
already, the new one is called `docs_20260520_again`.

The file of questions has one JSON object a line, `{"vector": […], "answer": 42}`: a question's embedding, and the key of a row
that must be among the first it finds. No recall check can tell that vectors stand beside the wrong texts; this one does.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, AirflowFailException, ObjectStoragePath, Param, task

from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.operators.milvus import (
    MilvusCreateCollectionOperator,
    MilvusCreateIndexOperator,
    MilvusFlushOperator,
    MilvusLoadCollectionOperator,
    MilvusRecallCheckOperator,
    MilvusReclaimMemoryOperator,
    MilvusRowCountCheckOperator,
    MilvusSwapAliasOperator,
    MilvusUpsertOperator,
)

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
FIRST = 5
"""How many of a question's hits are looked at."""


@task
def choose_name(alias: str, day: str) -> str:
    """The day's collection, unless that is what is served already."""
    name = f"{alias}_{day}"
    with MilvusHook().client() as client:
        is_served = client.has_collection(name) and client.list_aliases(name)["aliases"]
    return f"{name}_again" if is_served else name


@task(retries=0)
def ask(collection: str, questions: str, floor: float) -> dict[str, int]:
    """Ask the new collection what is known to be in it."""
    known = [json.loads(line) for line in ObjectStoragePath(questions).read_text().splitlines()]
    with MilvusHook().client() as client:
        vectors = [each["vector"] for each in known]
        answers = client.search(collection, data=vectors, limit=FIRST, consistency_level="Strong")
    found = sum(each["answer"] in [hit["id"] for hit in hits] for each, hits in zip(known, answers, strict=True))
    if found < float(floor) * len(known):
        raise AirflowFailException(f"{collection} answers {found} of {len(known)} questions; at least {floor} of them must be.")
    return {"asked": len(known), "answered": found}


with DAG(
    dag_id="milvus_blue_green_reindex",
    schedule="0 4 * * *",
    start_date=datetime(2024, 1, 1),
    catchup=False,
    # Two at once would switch the alias in the order in which they end.
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=2)},
    params={
        "alias": Param("docs", type="string", minLength=1, title="Alias", description="What searches name."),
        "source": Param(
            "/data/docs",
            type="string",
            minLength=1,
            title="Rows",
            description="A folder, local or on object storage, with one Parquet file for each day: 20260520.parquet.",
        ),
        "questions": Param(
            "/data/docs/questions.jsonl",
            type="string",
            minLength=1,
            title="Questions",
            description="JSON Lines of vectors and the keys that they must find.",
        ),
        "fewest_rows": Param(
            1, type="integer", minimum=1, title="Fewest rows", description="A collection with fewer is not served."
        ),
        "floor": Param(
            0.95,
            type="number",
            minimum=0,
            maximum=1,
            title="Floor",
            description="The least recall of the index, and the least share of questions that are answered.",
        ),
        "grace": Param(
            600, type="number", minimum=0, title="Grace", description="Seconds that the old collection stays in memory."
        ),
    },
    doc_md=__doc__,
    tags=["milvus"],
):
    collection = choose_name("{{ params.alias }}", "{{ ds_nodash }}")
    create = MilvusCreateCollectionOperator(
        task_id="create", collection_name=collection, schema=SCHEMA, indexes=[INDEX], if_exists="replace"
    )
    # By key, so that a retry writes the same rows once more instead of twice.
    write = MilvusUpsertOperator(
        task_id="write", collection_name=collection, rows="{{ params.source }}/{{ ds_nodash }}.parquet"
    )
    # So that all rows are indexed before they are served.
    flush = MilvusFlushOperator(task_id="flush", collection_name=collection)
    index = MilvusCreateIndexOperator(
        task_id="index",
        collection_name=collection,
        field_name="vector",
        index_type="HNSW",
        metric_type="COSINE",
        index_params=INDEX["params"],
        timeout=3600,
    )
    load = MilvusLoadCollectionOperator(task_id="load", collection_name=collection, timeout=3600, on_timeout="release")
    # What was counted and measured once will be the same in two minutes.
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
    asked = ask(collection, "{{ params.questions }}", "{{ params.floor }}")  # type: ignore[arg-type]
    swap = MilvusSwapAliasOperator(
        task_id="swap",
        alias="{{ params.alias }}",
        collection_name=collection,
        grace_period="{{ params.grace }}",
        then="release",
        deferrable=True,
    )
    # It releases nothing that an alias leads to: not even when a check is repeated after the swap.
    release_refused = MilvusReclaimMemoryOperator(
        task_id="release_refused", collections=[collection], trigger_rule="one_failed"
    )

    create >> write >> flush >> index >> load >> count >> recall >> asked >> swap
    asked >> release_refused
