"""A worker process that gives a collection new vectors, step by step, for a test that kills it. Its notes outlive it."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import airflow.providers.common.compat.sdk as sdk

from airflow_provider_milvus.ingest import copy
from airflow_provider_milvus.operators.milvus import (
    MilvusCopyCollectionOperator,
    MilvusRecallCheckOperator,
    MilvusRowCountCheckOperator,
    MilvusSearchOperator,
    MilvusSwapAliasOperator,
)
from airflow_provider_milvus.server import writes
from tests.integration.ingest.ingest_worker import variables_in

ALIAS, OLD, NEW = "docs_served", "docs_of_the_old_model", "docs_of_the_new_model"
PAGE = 200


def reembed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A model that takes its time: its vectors are the old ones the other way round."""
    time.sleep(0.1)
    return [{**row, "vector": row["vector"][::-1], "model": "new"} for row in rows]


def steps(asked: list[float]) -> list[Any]:
    return [
        MilvusCopyCollectionOperator(task_id="copy", collection_name=ALIAS, target_name=NEW, transform=reembed),
        MilvusRowCountCheckOperator(task_id="count", collection_name=NEW, same_as=ALIAS),
        MilvusRecallCheckOperator(task_id="recall", collection_name=NEW, floor=0.9, sample=10),
        MilvusSearchOperator(task_id="answers", collection_name=NEW, data=[asked], expect=[[0]], limit=3),
        MilvusSwapAliasOperator(task_id="swap", alias=ALIAS, collection_name=NEW, grace_period=1, then="drop"),
    ]


def work(folder: Path, tries: int, asked: list[float], environment: dict[str, str]) -> None:
    """One life of the worker: the steps that are not done yet, as Airflow would run them after a kill."""
    sdk.Variable = variables_in(folder / "notes.json")  # type: ignore[misc,assignment]
    writes.SETTLE, copy.ROWS_AT_ONCE, copy.TRANSFORMED_ROWS = 0.3, PAGE, PAGE
    logging.disable(logging.INFO)
    os.environ.update(environment)
    for step in steps(asked):
        done = folder / step.task_id
        if not done.exists():
            context = {
                "run_id": "manual__1",
                "ti": SimpleNamespace(dag_id="reembed", task_id=step.task_id, map_index=-1, try_number=tries),
            }
            step.execute(context)
            done.touch()
