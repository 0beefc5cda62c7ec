"""Delete rows, by key or by filter, as flows, and count what is gone: 2.3.5 answers a list of keys with the list's length."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.client.flow import Rpc
from airflow_provider_milvus.client.reads import is_lite, row_count
from airflow_provider_milvus.exceptions import (
    MilvusInvalidArgumentError,
    MilvusRefusedError,
    MilvusServerError,
    MilvusUnsupportedError,
)
from airflow_provider_milvus.server import writes
from airflow_provider_milvus.server.filters import literal

if TYPE_CHECKING:
    from airflow_provider_milvus.client.flow import Flow, Report
    from airflow_provider_milvus.schema.model import Field
    from airflow_provider_milvus.server.writes import Target

IDS_AT_ONCE = 5_000


def by_ids(collection_name: str, partition_name: str, ids: Sequence[Any], *, report: Report) -> Flow[tuple[Target, int | None]]:
    """Delete the rows with these keys; a key that no row has is no error. How many there were: ``None`` if not counted.

    :raises MilvusInvalidArgumentError: a value can be no key of this collection. Nothing was changed.
    """
    target = yield from _target(collection_name, partition_name)
    keys = list(dict.fromkeys(_key(target.schema.primary, each) for each in ids))
    deleted: int | None = 0
    for some in _parts(keys):
        expression = f"{target.schema.primary.name} in {literal(some)}"
        matching = yield from writes.count(target, expression)
        yield from writes.delete(target, expression)
        if matching is None or deleted is None:
            deleted = None
            continue
        yield from _check_gone(target, expression)
        deleted += matching
    counted = "an unknown number of" if deleted is None else f"{deleted:,}"
    report(f"Deleted {counted} rows of collection {target.collection!r} by {len(keys):,} keys.")
    return target, deleted


def by_filter(
    collection_name: str, partition_name: str, expression: str, *, allow_all: bool, report: Report
) -> Flow[tuple[Target, int | None]]:
    """Delete what matches ``expression``. How many rows that were.

    :raises MilvusRefusedError: every row matches, and ``allow_all`` is false. Nothing was changed.
    :raises MilvusNotLoadedError: the collection is not loaded. Nothing was changed.
    """
    target = yield from _target(collection_name, partition_name)
    matching = yield from row_count(target.collection, expression, target.partitions)
    if matching and not allow_all:
        there = yield from row_count(target.collection, partition_names=target.partitions)
        if matching >= there:
            raise MilvusRefusedError(
                f"The filter {expression!r} matches all {there:,} rows of collection {target.collection!r}"
                + (f", partition {target.partition_name!r}" if target.partition_name else "")
                + ". Set allow_all=True if that is meant. Nothing was deleted."
            )
    if matching:
        yield from writes.delete(target, expression)
        yield from _check_gone(target, expression)
    report(f"Deleted {matching:,} rows of collection {target.collection!r} that matched {expression!r}.")
    return target, matching


def _target(collection_name: str, partition_name: str) -> Flow[Target]:
    target = yield from writes.find_target(collection_name, partition_name)
    if partition_name and is_lite((yield Rpc("GetVersion"))):
        raise MilvusUnsupportedError(
            f"Milvus Lite pays no heed to partition_name: it would delete in all partitions of {target.collection!r}. "
            "Nothing was deleted."
        )
    return target


def _check_gone(target: Target, expression: str) -> Flow[None]:
    left = yield from row_count(target.collection, expression, target.partitions)
    if left:
        shown = expression if len(expression) <= 200 else f"{expression[:200]}…"
        raise MilvusServerError(
            f"Collection {target.collection!r} still has {left:,} rows that match {shown!r} after they were deleted; "
            "somebody else may have written them meanwhile."
        )


def _key(primary: Field, value: Any) -> int | str:
    if hasattr(value, "item") and hasattr(value, "dtype"):
        value = value.item()  # A scalar of NumPy.
    if primary.type == "VARCHAR" and isinstance(value, str):
        return value
    if primary.type == "INT64" and isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value.strip()):
        return int(value)  # A template renders to text.
    if primary.type == "INT64" and isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63:
        return value
    hint = (
        " A template that stands for a list needs render_template_as_native_obj=True in the DAG."
        if isinstance(value, str)
        else ""
    )
    raise MilvusInvalidArgumentError(
        f"ids: {str(value)[:80]!r} can be no key: {primary.name!r} is of type {primary.type}.{hint}"
    )


def _parts(keys: list[int | str]) -> Iterator[list[int | str]]:
    for first in range(0, len(keys), IDS_AT_ONCE):
        yield keys[first : first + IDS_AT_ONCE]
