"""Deleting rows, by key or by filter, as flows. The rows are counted before and after: 2.3.5 answers a list of keys with the
length of the list."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.counting import row_count
from airflow_provider_milvus.client.flow import Flow, Report
from airflow_provider_milvus.client.reads import is_lite, version_for
from airflow_provider_milvus.client.tries import ONE_TRY, Tries
from airflow_provider_milvus.schema.model import Field
from airflow_provider_milvus.server import writes
from airflow_provider_milvus.server.filters import to_literal
from airflow_provider_milvus.server.writes import WriteTarget

IDS_AT_ONCE = 5_000
"""Keys in one request."""


def by_ids(
    collection_name: str,
    partition_name: str,
    ids: Sequence[Any],
    *,
    tries: Tries = ONE_TRY,
    report: Report,
) -> Flow[tuple[WriteTarget, int | None]]:
    """Delete the rows with these keys; return how many rows had them, or ``None`` where rows cannot be counted.

    A key that no row has is no error.

    :raises MilvusInvalidArgumentError: a value cannot be a key of this collection. Nothing was changed.
    :raises MilvusReplacedError: there is another collection of that name, now or since an earlier try.
    """
    target = yield from find_target(collection_name, partition_name, tries)
    keys = list(dict.fromkeys(read_key(target.schema.primary, value, "Nothing was deleted") for value in ids))
    deleted = yield from delete_keys(target, keys)
    yield from target.subject.check("Rows were deleted from it before.")
    rows = "an unknown number of" if deleted is None else f"{deleted:,}"
    report(f"Deleted {rows} rows of collection {target.collection!r} by {len(keys):,} keys.")
    return target, deleted


def delete_keys(target: WriteTarget, keys: Sequence[Any]) -> Flow[int | None]:
    """Delete the rows with these keys, each given once; return their number, or ``None`` where rows cannot be counted."""
    deleted: int | None = 0
    for first in range(0, len(keys), IDS_AT_ONCE):
        expression = f"{target.schema.primary.name} in {to_literal(keys[first : first + IDS_AT_ONCE])}"
        matching = yield from writes.count(target, expression)
        yield from writes.delete(target, expression)
        if matching is None or deleted is None:
            deleted = None
            continue
        yield from _check_gone(target, expression)
        deleted += matching
    return deleted


def by_filter(
    collection_name: str,
    partition_name: str,
    expression: str,
    *,
    allow_all: bool = False,
    max_deleted: int | None = None,
    tries: Tries = ONE_TRY,
    report: Report,
) -> Flow[tuple[WriteTarget, int | None]]:
    """Delete the rows that match ``expression``; return how many they were.

    :raises MilvusRefusedError: more than ``max_deleted`` rows match; or every row, where there is neither that number nor
        ``allow_all``. Nothing was changed.
    :raises MilvusNotLoadedError: the collection is not loaded. Nothing was changed.
    """
    target = yield from find_target(collection_name, partition_name, tries)
    matching = yield from row_count(target.collection, expression, target.partitions)
    of = f"of collection {target.collection!r}" + (f", partition {target.partition_name!r}" if target.partition_name else "")
    if max_deleted is not None and matching > max_deleted:
        raise exceptions.MilvusRefusedError(
            f"Nothing was deleted: the filter {expression!r} matches {matching:,} rows {of}; max_deleted is {max_deleted:,}."
        )
    if matching and max_deleted is None and not allow_all:
        rows = yield from row_count(target.collection, partition_names=target.partitions)
        if matching >= rows:
            raise exceptions.MilvusRefusedError(
                f"Nothing was deleted: the filter {expression!r} matches all {rows:,} rows {of}. Set max_deleted to the "
                "most that may be deleted, or allow_all=True if you mean all of them, however many they are."
            )
    if matching:
        yield from writes.delete(target, expression)
        yield from _check_gone(target, expression)
    yield from target.subject.check("Rows were deleted from it before." if matching else None)
    report(f"Deleted {matching:,} rows of collection {target.collection!r} that matched {expression!r}.")
    return target, matching


def find_target(collection_name: str, partition_name: str, tries: Tries) -> Flow[WriteTarget]:
    """The collection; a later try deletes in no other one that has got its name since."""
    target = yield from writes.find_target(collection_name, partition_name)
    earlier, note = tries.earlier, [target.collection, target.collection_id]
    if earlier and earlier[0] == target.collection and earlier != note:
        raise target.subject.replaced_between_tries("Rows of that one were to be deleted, and may have been.")
    tries.note(note)
    if partition_name and is_lite((yield from version_for(collection_name))):
        raise exceptions.MilvusUnsupportedError(
            f"Nothing was deleted: Milvus Lite ignores partition_name and would delete in all partitions of collection "
            f"{target.collection!r}. Delete without partition_name, by a filter that names the rows."
        )
    return target


def _check_gone(target: WriteTarget, expression: str) -> Flow[None]:
    left = yield from row_count(target.collection, expression, target.partitions)
    if left:
        shown = expression if len(expression) <= 200 else f"{expression[:200]}…"
        raise exceptions.MilvusServerError(
            f"Collection {target.collection!r} still has {left:,} rows that match {shown!r} after they were deleted; "
            "somebody else may have written them meanwhile."
        )


def read_key(primary: Field, value: Any, failure: str) -> int | str:
    """A key as the field holds it; a number may be text, as a template renders it.

    :raises MilvusInvalidArgumentError: it cannot be a key of this collection. It begins with ``failure``.
    """
    if hasattr(value, "item") and hasattr(value, "dtype"):
        value = value.item()  # A scalar of NumPy.
    if primary.type == "VARCHAR" and isinstance(value, str):
        return value
    if primary.type == "INT64" and isinstance(value, str) and re.fullmatch(r"-?\d{1,19}", value.strip(), re.ASCII):
        value = int(value)  # A template renders to text.
    if primary.type == "INT64" and isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63:
        return value
    hint = ""
    if isinstance(value, str):
        hint = " A template that stands for a list needs render_template_as_native_obj=True on the DAG."
    elif primary.type == "VARCHAR" and isinstance(value, int | float):
        hint = (
            " render_template_as_native_obj=True on the DAG makes a number of such a text: give the keys as a list of texts, "
            "or as another task's output."
        )
    raise exceptions.MilvusInvalidArgumentError(
        f"{failure}: ids holds {str(value)[:80]!r}, which cannot be a key: {primary.name!r} is of type {primary.type}.{hint}"
    )
