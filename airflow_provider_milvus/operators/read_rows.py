"""What the operators that read rows have in common: which fields, and where the rows go."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from airflow_provider_milvus import kinds
from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.operators.base import MilvusOperator

XCOM_BYTES = 100_000
"""Bytes of the rows that a result holds: more is too much for Airflow's database."""
LEVELS = ("Strong", "Bounded", "Session", "Eventually")


def check_fields(argument: str, value: Any) -> list[str]:
    """One or more names of fields, ``"*"`` for all of them."""
    names = kinds.check_keys(argument, value)
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise MilvusInvalidArgumentError(f"{argument} must be a field's name or a list of them, not {value!r}.")
    return names


def check_row_file(argument: str, value: Any) -> Any:
    """The path of a file of JSON Lines."""
    if str(value).endswith((".jsonl", ".jsonl.gz")):
        return value
    raise MilvusInvalidArgumentError(f"{argument} must be a path that ends in .jsonl or .jsonl.gz, not {value!r}.")


def check_answer_file(argument: str, value: Any) -> Any:
    """The path of a file of JSON Lines or Parquet."""
    if str(value).endswith((".jsonl", ".jsonl.gz", ".parquet")):
        return value
    raise MilvusInvalidArgumentError(f"{argument} must be a path that ends in .parquet, .jsonl or .jsonl.gz, not {value!r}.")


class RowsOfResult:
    """The rows that fit into an XCom, and the number of all of them."""

    def __init__(self) -> None:
        self.kept: list[Any] = []
        self.count = 0
        self._bytes = 0

    def add(self, rows: Iterable[Any]) -> None:
        for row in rows:
            self.count += 1
            if self._bytes <= XCOM_BYTES:
                self._bytes += len(json.dumps(row, default=str))
                if self._bytes <= XCOM_BYTES:
                    self.kept.append(row)

    @property
    def are_complete(self) -> bool:
        return len(self.kept) == self.count


def outcome(operator: MilvusOperator, path: Any, rows: RowsOfResult, name: str) -> dict[str, Any]:
    """What a result has of the rows."""
    if path is not None:
        from airflow_provider_milvus.rows.storage import for_later

        return {"path": for_later(path)}
    if not rows.are_complete:
        operator.log.warning(
            "The result has the first %s of %s %s: more than %s kB is too much for an XCom. Set output_path for all of them.",
            len(rows.kept),
            rows.count,
            name,
            XCOM_BYTES // 1000,
        )
    return {name: rows.kept, "complete": rows.are_complete}
