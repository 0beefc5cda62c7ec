"""Which columns of a source become which fields of the collection, before anything is converted."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.rows.pieces import UnreadableRow
from airflow_provider_milvus.schema.model import Schema

_SHOWN = 30


class Renaming:
    """The source column of each field. Without ``columns`` every column is the field of its own name.

    With ``columns``, no other column is read. A table or a CSV file that lacks one is not read. A dict may lack a key, as any
    row may; a key that no dict of the source has does not exist.

    :raises MilvusInvalidArgumentError: ``columns`` names something that rows do not bring, or lacks what each row needs.
    """

    def __init__(self, columns: Mapping[str, str] | None, schema: Schema) -> None:
        self.columns = columns
        self._needed = sorted(schema.needed)
        self._unseen = set((columns or {}).values())
        self._first: list[Any] = []
        if columns is None:
            return
        fields = [field.name for field in schema.fields if not field.auto_id and field.name not in schema.computed]
        taken = {field.name for field in schema.fields} - set(fields)
        unknown = [name for name in columns if name in taken or (name not in fields and not schema.enable_dynamic_field)]
        if unknown:
            raise MilvusInvalidArgumentError(f"columns: rows bring no field {unknown[0]!r}; they bring {_listed(fields)}.")
        if lacking := [name for name in self._needed if name not in columns]:
            raise MilvusInvalidArgumentError(f"columns: there is none for {_listed(lacking)}, which each row needs.")

    def of_header(self, names: Iterable[Any], what: str) -> Mapping[str, Any]:
        """The fields that are read from a table with these column names, each with its column.

        :raises MilvusInvalidArgumentError: a column does not exist.
        """
        names = list(names)
        if self.columns is None:
            return {name: name for name in names}
        if missing := [column for column in self.columns.values() if column not in names]:
            raise MilvusInvalidArgumentError(f"columns: {what} has no {missing[0]!r}; it has {_listed(names)}.")
        return self.columns

    def of_field(self, name: str) -> str | None:
        """The column of a field; ``None`` if it is not read."""
        return name if self.columns is None else self.columns.get(name)

    def row(self, row: Any) -> Any:
        """A row of a source in which each row has its own keys, with the names of the fields."""
        if self.columns is None or not isinstance(row, Mapping):
            return row
        if self._unseen:
            self._unseen.difference_update(row)
            self._first = self._first or list(row)
        for field in self._needed:
            if (column := self.columns[field]) not in row:
                return UnreadableRow(f"has no {column!r}; it has {_listed(row)}", row, field)
        return {field: row[column] for field, column in self.columns.items() if column in row}

    def check_seen(self) -> None:
        """To be called after the last row.

        :raises MilvusInvalidArgumentError: no row had one of the columns.
        """
        if self._unseen and self._first:
            column = sorted(self._unseen)[0]
            raise MilvusInvalidArgumentError(f"columns: no row has {column!r}; the first has {_listed(self._first)}.")


def _listed(names: Iterable[Any]) -> str:
    names = list(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (", ".join(reprlib.repr(name) for name in names[:_SHOWN]) or "nothing") + more
