"""Rows against the schema: what goes on is right, and each that does not is refused with its number, field and reason.

The server would refuse a whole batch for one bad row, without saying which, or take what it cannot serve later, such as a
NaN in a vector. So a chunk is checked before anything of it is sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import compress
from typing import Any

from airflow_provider_milvus.exceptions import MilvusUnsupportedError
from airflow_provider_milvus.rows.chunk import MISSING, BadRow, Chunk
from airflow_provider_milvus.rows.column import Column, Reasons
from airflow_provider_milvus.rows.scalars import dynamic_values, scalars
from airflow_provider_milvus.rows.vectors import dense, sparse
from airflow_provider_milvus.schema.model import Field, Schema
from airflow_provider_milvus.schema.types import DATA_TYPES, DENSE_VECTORS, ELEMENTS

DYNAMIC_FIELD = "$meta"
"""Milvus's own name of the field in which it keeps dynamic values."""

_NOTHING = frozenset({type(None), type(MISSING)})

Wrong = dict[int, tuple[str | None, str]]
"""The field and the reason for which a row is refused, by its place in the chunk; the first that was found counts."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The rows of a chunk that are right, column by column, and those that are not.

    ``columns`` are in the schema's order, the dynamic values last. ``replaced`` are the numbers of rows left out of an upsert
    because a later one in the same chunk has their key: they would have been overwritten anyway.
    """

    numbers: Sequence[int]
    columns: Mapping[str, Column]
    bad: tuple[BadRow, ...] = ()
    replaced: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.numbers)


def written_fields(schema: Schema, *, upsert: bool) -> tuple[Field, ...]:
    """The fields that rows bring. An upsert needs the key even where the server makes the keys of inserted rows.

    :raises MilvusUnsupportedError: one of them is of a type that this provider does not write.
    """
    fields = tuple(each for each in schema.fields if each.name not in schema.computed and (upsert or not each.auto_id))
    if strange := [each for each in fields if each.type not in DATA_TYPES]:
        raise MilvusUnsupportedError(
            f"Field {strange[0].name!r} is of Milvus's data type {strange[0].type}, which this provider does not write."
        )
    return fields


def check(chunk: Chunk, schema: Schema, *, upsert: bool = False, most_bytes: int | None = None) -> Checked:
    """Check all rows of ``chunk``; nothing is sent, and nothing of it is changed.

    :param upsert: The key is needed even with ``auto_id``, and of rows with the same key the last one counts. Of an insert the
        second one is refused: Milvus would keep both.
    :param most_bytes: A row that alone takes more on the wire is refused. It should be what :func:`~rows.wire.batches` gets.
    :raises MilvusUnsupportedError: a field is of a type that this provider does not write, such as an array of structs.
    """
    import numpy

    fields = written_fields(schema, upsert=upsert)
    wrong: Wrong = {}
    extra = _unexpected(chunk, schema, {each.name for each in fields}, wrong)
    columns = {each.name: _column(chunk, each, wrong) for each in fields}
    if schema.enable_dynamic_field:
        columns[DYNAMIC_FIELD] = _dynamic(chunk, extra, wrong)
    if most_bytes is not None:
        _too_large(chunk, columns, most_bytes, wrong)
    replaced = _same_keys(chunk, columns.get(schema.primary.name), schema.primary.name, upsert, wrong)
    bad = tuple(BadRow(chunk.numbers[at], reason, chunk.row(at), name) for at, (name, reason) in sorted(wrong.items()))
    if not wrong and not replaced:
        return Checked(chunk.numbers, columns, chunk.bad)
    keep = numpy.ones(len(chunk), dtype=bool)
    keep[[*wrong, *replaced]] = False
    return Checked(
        list(compress(chunk.numbers, keep.tolist())),
        {name: column.where(keep) for name, column in columns.items()},
        chunk.bad + bad,
        tuple(chunk.numbers[at] for at in replaced),
    )


def size_around(columns: Mapping[str, Column]) -> int:
    """How many bytes a call takes beside its rows, at most: each field's name, type, tags and lengths."""
    return sum(len(name.encode()) + 64 for name in columns)


def row_sizes(columns: Mapping[str, Column], rows: int) -> Any:
    """How many bytes each row takes on the wire, at most."""
    import numpy

    return reduce(numpy.add, (each.row_sizes(rows) for each in columns.values()), numpy.zeros(rows, dtype=numpy.int64))


def _unexpected(chunk: Chunk, schema: Schema, fields: set[str], wrong: Wrong) -> list[str]:
    """The names of dynamic values; any other column that is none of the fields makes its rows bad."""
    dynamic = []
    for name, values in chunk.columns.items():
        if name in fields:
            continue
        if reason := _why_not(name, schema):
            for at, value in enumerate(values):
                if value is not MISSING:
                    wrong.setdefault(at, (str(name), reason))
        else:
            dynamic.append(name)
    return dynamic


def _why_not(name: Any, schema: Schema) -> str:
    if not isinstance(name, str):
        return f"the key {name!r} of the row is not a text"
    if name in schema.computed:
        return "the server computes this field; leave it out"
    if name == schema.primary.name:
        return "the server makes this key (auto_id); leave it out, or upsert"
    if name == DYNAMIC_FIELD:
        return "this name is Milvus's own; give dynamic values as keys of the row"
    if not schema.enable_dynamic_field:
        return "the collection has no such field, and no dynamic field that would take it"
    return ""


def _column(chunk: Chunk, field: Field, wrong: Wrong) -> Column:
    import numpy

    values = chunk.columns.get(field.name)
    if values is None:
        values = [MISSING] * len(chunk)
    if isinstance(values, numpy.ndarray) and (values.dtype.kind == "O" or (values.ndim > 1 and not field.is_vector)):
        values = list(values)
    there = _there(values)
    if there is not None and field.default_value is not None and field.type in ELEMENTS:
        # 2.3.5 fills in defaults only where no row of the call has a value, and fails when the field is left out.
        values = [value if given else field.default_value for value, given in zip(values, there, strict=True)]
        there = None
    if there is None:
        column, reasons = _converted(values, field)
        valid = numpy.ones(len(chunk), dtype=bool)
        places: Sequence[int] = range(len(chunk))
    else:
        column, reasons = _converted(list(compress(values, there)), field)
        valid = numpy.array(there, dtype=bool)
        places = numpy.flatnonzero(valid).tolist()
    for at, reason in reasons.items():
        wrong.setdefault(places[at], (field.name, reason))
    if field.may_be_missing:
        return Column(column.values, column.sizes, valid)
    return column if there is None else _not_null(column, valid, values, field, wrong)


def _there(values: Any) -> list[bool] | None:
    """Which rows have a value; ``None`` if all do."""
    if not isinstance(values, list | tuple) or not _NOTHING & set(map(type, values)):
        return None
    return [value is not None and value is not MISSING for value in values]


def _not_null(column: Column, valid: Any, values: Any, field: Field, wrong: Wrong) -> Column:
    """The rows without a value are refused; ``valid`` lives on only until they are left out."""
    for at, value in enumerate(values):
        if value is MISSING:
            wrong.setdefault(at, (field.name, "is missing"))
        elif value is None:
            wrong.setdefault(at, (field.name, "is None, and the field is not nullable"))
    return Column(column.values, column.sizes, valid)


def _converted(values: Any, field: Field) -> tuple[Column, Reasons]:
    if field.type in DENSE_VECTORS:
        return dense(values, field)
    return sparse(values, field) if field.type == "SPARSE_FLOAT_VECTOR" else scalars(values, field)


def _dynamic(chunk: Chunk, names: list[str], wrong: Wrong) -> Column:
    if not names:
        values: list[dict[str, Any]] = [{}] * len(chunk)
    else:
        rows = zip(*(chunk.columns[name] for name in names), strict=True)
        values = [{name: value for name, value in zip(names, row, strict=True) if value is not MISSING} for row in rows]
    column, reasons = dynamic_values(values)
    for at, reason in reasons.items():
        wrong.setdefault(at, (_culprit(values[at]), reason))
    return column


def _culprit(values: dict[str, Any]) -> str | None:
    """The dynamic key whose value is wrong; ``None`` if only all of them together are."""
    return next((name for name, value in values.items() if dynamic_values([{name: value}])[1]), None)


def _too_large(chunk: Chunk, columns: Mapping[str, Column], most_bytes: int, wrong: Wrong) -> None:
    sizes = row_sizes(columns, len(chunk)) + size_around(columns)
    if len(sizes) and sizes.max() > most_bytes:
        for at in (sizes > most_bytes).nonzero()[0].tolist():
            wrong.setdefault(at, (None, f"takes {sizes[at]} bytes; one call takes {most_bytes}"))


def _same_keys(chunk: Chunk, keys: Column | None, name: str, upsert: bool, wrong: Wrong) -> list[int]:
    """Refuse the later of two equal keys of an insert; of an upsert, say where the earlier ones are."""
    if keys is None:
        return []
    values = keys.values if isinstance(keys.values, list) else keys.values.tolist()
    if len(set(values)) == len(values):
        return []
    places = range(len(chunk)) if keys.valid is None else keys.valid.nonzero()[0].tolist()
    last: dict[Any, int] = {}
    replaced = []
    for at, key in zip(places, values, strict=True):
        if at in wrong:
            continue
        if key not in last:
            last[key] = at
        elif upsert:
            replaced.append(last[key])
            last[key] = at
        else:
            wrong[at] = (name, f"the key {key!r} is that of row {chunk.numbers[last[key]]} as well")
    return replaced
