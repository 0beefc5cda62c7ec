"""The tasks that change something: those of the faults, and further ones of which a part may be done."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_provider_milvus.operators import milvus as operators
from dev.faults.cases import CALLS, CHANGES, WORKER
from dev.faults.inventory import ANYTHING
from dev.faults.tasks import NEW_ROWS, OTHER_ROWS, TASKS, Task, import_file, rows_of
from dev.roles import ROWS, Scenario

_DOCS = {"collection_name": "docs"}
_IN_BATCHES = {**_DOCS, "batch_rows": 10}
_WITHOUT_KEYS = [{"vector": row["vector"]} for row in NEW_ROWS]
_WRITTEN = {("docs", "rows"): rows_of(*ROWS, *NEW_ROWS)}


def _rows_file(folder: Path) -> Mapping[str, Any]:
    return {"rows": import_file(folder)["files"]}


_OF_SEVERAL_CHANGES = (
    Task(
        Scenario(operators.MilvusInsertOperator, {**_IN_BATCHES, "rows": NEW_ROWS}, "in batches", in_memory=True),
        _WRITTEN,
    ),
    Task(
        Scenario(operators.MilvusInsertOperator, _IN_BATCHES, "in batches, from a file", in_memory=True),
        _WRITTEN,
        before=_rows_file,
    ),
    Task(
        Scenario(
            operators.MilvusInsertOperator,
            {**_IN_BATCHES, "rows": _WITHOUT_KEYS},
            "in batches, generated keys",
            in_memory=True,
        ),
        {("docs", "rows"): ANYTHING},
        generates_keys=True,
    ),
    Task(
        Scenario(operators.MilvusUpsertOperator, {**_IN_BATCHES, "rows": OTHER_ROWS}, "in batches", in_memory=True),
        {("docs", "rows"): ANYTHING},
    ),
    Task(
        Scenario(
            operators.MilvusReclaimMemoryOperator,
            {"collections": "docs*", "keep_aliased": False, "dry_run": False},
            "of two",
            in_memory=True,
        ),
        {("docs", "state"): "NotLoad", ("docs_2", "state"): "NotLoad"},
        names="",
    ),
    Task(
        Scenario(operators.MilvusRestoreLoadOperator, {"restore_set": {"restore": {"default": ["docs", "docs_2"]}}}, "of two"),
        {("docs", "state"): "Loaded", ("docs_2", "state"): "Loaded"},
        names="",
    ),
    Task(
        Scenario(
            operators.MilvusSwapAliasOperator, {"collection_name": "docs_2", "alias": "fresh"}, "a new one", in_memory=True
        ),
        {("docs_2", "aliases"): ["fresh"]},
    ),
)
KILLED = (
    *(
        task
        for task in TASKS
        if any(call in CHANGES for of in CALLS.values() for call in of.get(task.name, {}).get(WORKER, ()))
    ),
    *_OF_SEVERAL_CHANGES,
)
