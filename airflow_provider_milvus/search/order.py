"""The first rows by the values of fields, which servers before Milvus 3 do not tell: found by reading all values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.schema.model import Schema
from airflow_provider_milvus.search import decode
from airflow_provider_milvus.search.walk import Page

_SORTABLE = frozenset({"BOOL", "INT8", "INT16", "INT32", "INT64", "FLOAT", "DOUBLE", "VARCHAR"})


@dataclass(slots=True)
class FirstRows:
    """The keys of the first ``limit`` rows of the pages that were taken. Rows with a null, or with NaN, are the last.

    :param order_by: names of fields, those with ``:desc`` from the largest value on. Rows with equal values are in the order of
        their keys.
    :raises MilvusInvalidArgumentError: the collection has no such field, or it has no order.
    """

    schema: Schema
    order_by: Sequence[str]
    limit: int
    fields: list[str] = field(init=False)
    _descending: list[bool] = field(init=False)
    _rows: list[tuple[Any, list[Any]]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        parts = [name.partition(":") for name in self.order_by]
        if unknown := [direction for _, _, direction in parts if direction not in ("", "asc", "desc")]:
            raise MilvusInvalidArgumentError(f"Nothing was read: a field's order is 'asc' or 'desc', not {unknown[0]!r}.")
        self.fields = [name for name, _, _ in parts]
        self._descending = [direction == "desc" for _, _, direction in parts]
        types = {one.name: one.type for one in self.schema.fields}
        for name in self.fields:
            if types.get(name) not in _SORTABLE:
                what = f"its field {name!r} has the type {types[name]}" if name in types else f"it has no field {name!r}"
                raise MilvusInvalidArgumentError(
                    f"Nothing was read: the rows cannot be in the order of {name!r}, since {what}."
                )

    def take(self, page: Page) -> None:
        columns = [decode.values_of(page.fields[name]) for name in self.fields]
        self._rows += zip(page.keys, map(list, zip(*columns, strict=True)), strict=True)
        if len(self._rows) > 2 * self.limit:
            self._cut()

    def keys(self) -> list[Any]:
        self._cut()
        return [key for key, _ in self._rows]

    def _cut(self) -> None:
        self._rows.sort(key=lambda row: row[0])
        for position, descending in reversed(list(enumerate(self._descending))):
            self._rows.sort(key=_placed(position, descending), reverse=descending)
        del self._rows[self.limit :]


def _placed(position: int, descending: bool) -> Callable[[tuple[Any, list[Any]]], tuple[bool, Any]]:
    def key(row: tuple[Any, list[Any]]) -> tuple[bool, Any]:
        value = row[1][position]
        has_value = value is not None and value == value
        return (has_value == descending, value if has_value else None)

    return key
