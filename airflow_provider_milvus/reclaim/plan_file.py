"""A plan that is too large for an XCom: a file on this machine, or on any storage that Airflow reaches."""

from __future__ import annotations

import json
from typing import Any

from airflow_provider_milvus.rows.storage import is_local, storage

_LARGEST = 1 << 26
"""Bytes of a plan: some 300,000 releases."""


def write_plan_file(path: Any, plan: list[dict[str, Any]]) -> None:
    """Write the plan as JSON, in place of a file that is there.

    :raises OSError: the storage does not take it.
    """
    fs, inside = storage(path)
    if is_local(fs):
        fs.makedirs(inside.rpartition("/")[0], exist_ok=True)
    with fs.open(inside, "w") as file:
        json.dump(plan, file, separators=(",", ":"))


def read_plan_file(path: Any) -> Any:
    """The JSON in a file.

    :raises FileNotFoundError: there is no such file.
    :raises ValueError: it is not JSON.
    """
    fs, inside = storage(path)
    with fs.open(inside, "rb") as file:
        text = file.read(_LARGEST + 1)
    if len(text) > _LARGEST:
        raise ValueError("it is too large for a plan")
    return json.loads(text)
