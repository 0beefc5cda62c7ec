"""Where rows come from: lists, tables, files, functions and generators, all read the same way, a chunk at a time.

Reading does not decide whether a row is good: that is the part of ``check``. Here only a row that cannot be read is bad.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import reprlib
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.rows.chunk import Chunk
from airflow_provider_milvus.rows.files import file_rows
from airflow_provider_milvus.rows.pieces import Columns, Pieces, UnreadableRow, chunks, columns_of
from airflow_provider_milvus.rows.renaming import Renaming
from airflow_provider_milvus.rows.storage import files, is_path, kind_of, without_secrets
from airflow_provider_milvus.rows.tables import dict_columns, is_table, table_columns
from airflow_provider_milvus.schema.model import Schema

NUMBERS = 1 << 19
"""Numbers of vectors in a chunk: 2 MiB on the wire. As Python's own, of a list or JSON, they take eight times as much."""
_LONGEST_SHOWN = 200
_IN_MEMORY = frozenset({"pandas", "polars", "pyarrow"})
_PREPARED = {"files", "path", "rows", "refused"}
"""The keys of what ``MilvusPrepareImportOperator`` returns."""


def read_rows(source: Any, schema: Schema, *, batch_rows: int, columns: Mapping[str, str] | None = None) -> Iterator[Chunk]:
    """Read all rows of ``source`` in order, numbered from 1, at most ``batch_rows`` in a chunk, and fewer of large vectors.

    About one chunk is in memory at a time, besides what the source itself holds. Nothing is opened before the first chunk is
    requested. The caller's data is never changed.

    :param source: One of

        - a list or any other iterable of dicts, lists of dicts, or tables, also mixed;
        - a table: a pandas DataFrame, or any object that speaks Arrow (``pyarrow.Table``, polars, DuckDB, ...);
        - a dict that has a list or an array of values for each column;
        - a path or URL of a Parquet, JSON or CSV file (``.gz`` as well), of a directory of files, or a pattern; or a list of
          these, or of such lists;
        - a function that returns one of these. It is called without arguments.
    :param schema: Says how the text of a CSV file is read, and which lists of numbers are vectors.
    :param columns: The source column of each field that is read; by default each column is the field of its own name.
    :raises MilvusInvalidArgumentError: ``source`` is something else, or has no such column.
    :raises MilvusSourceError: a file does not exist or cannot be read.
    :raises Exception: any error of a function or an iterable, with a note of the last row number.
    """
    numbers = sum(field.dim or 0 for field in schema.fields)
    batch_rows = min(batch_rows, max(1, NUMBERS // max(1, numbers)))
    return chunks(_pieces(source, schema, columns, batch_rows), batch_rows)


def describe_source(source: Any) -> str:
    """What rows come from, for logs and errors. The source is not read, and no credentials are shown."""
    if is_path(source):
        return f"{_kind(source)} {_shown(source)}"
    if paths := paths_of(source):
        return describe_source(paths[0]) if len(paths) == 1 else f"{len(paths)} paths from {_shown(paths[0])} on"
    if is_table(source):
        library = type(source).__module__.partition(".")[0]
        # The length of a DuckDB relation runs the query.
        count = f" of {len(source)} rows" if library in _IN_MEMORY and hasattr(source, "__len__") else ""
        return f"a {library} {type(source).__name__}{count}"
    if isinstance(source, list | tuple):
        return f"a {type(source).__name__} of {len(source)} rows"
    if isinstance(source, Mapping):
        return f"a dict of {len(source)} columns"
    if inspect.isgenerator(source):
        return f"the rows of generator {source.__name__}"
    if callable(source):
        return f"the rows of function {_name(source)}"
    return f"the rows of a {type(source).__name__}"


def fingerprint(source: Any, columns: Mapping[str, str] | None = None, made: Mapping[str, Any] | None = None) -> str | None:
    """A text that changes when the files of ``source`` change, or what becomes of them (``columns``, and what is ``made`` of
    them): paths, sizes and times, or what a storage has instead.

    ``None`` for all other sources, since nobody knows whether they give the same rows in the same order again.
    """
    paths = paths_of(source)
    if not paths or not all(is_path(path) for path in paths):
        return None
    found = [file for path in paths for file in files(path)]
    versions = [file.version for file in found]
    if None in versions:
        return None
    read = [f"{file.url} {version}" for file, version in zip(found, versions, strict=True)]
    read += [f"{it!r}" for mapping in (columns, made) for it in (mapping or {}).items()]
    return hashlib.sha256("\n".join(read).encode()).hexdigest()


def paths_of(source: Any) -> list[Any] | None:
    """The paths that ``source`` names, in order; ``None`` if it names none.

    They may be in lists, one for each task that brings some, or for each file of ``MilvusPrepareImportOperator``, whose whole
    result will do. Of a list that begins with a path the other entries are here as well, whatever they are.
    """
    if is_path(source):
        return [source]
    if isinstance(source, Mapping):
        return paths_of(source.get("urls", source["files"])) or [] if source.keys() >= _PREPARED else None
    # Airflow has a sequence of its own for what mapped tasks return.
    if not isinstance(source, Sequence):
        return None
    found: list[Any] = []
    for entry in source:
        # Another sequence is a row of a database, whose first value may be a text.
        paths = paths_of(entry) if is_path(entry) or isinstance(entry, list | Mapping) else None
        if paths is None and not found:
            return None
        found += [entry] if paths is None else paths
    return found if source else None


def _pieces(source: Any, schema: Schema, columns: Mapping[str, str] | None, batch_rows: int) -> Pieces:
    renaming = Renaming(columns, schema)
    yield from _source_pieces(source, schema, renaming, batch_rows)
    renaming.check_seen()


def _source_pieces(source: Any, schema: Schema, renaming: Renaming, batch_rows: int) -> Pieces:
    if _is_function(source):
        returned = source()
        if returned is None:
            raise MilvusInvalidArgumentError(f"rows: {_name(source)}() returned None, not rows.")
        if _is_function(returned):
            raise MilvusInvalidArgumentError(f"rows: {_name(source)}() returned a function, not rows.")
        source = returned
    if (paths := paths_of(source)) is not None:
        if others := [path for path in paths if not is_path(path)]:
            raise MilvusInvalidArgumentError(
                f"rows: the list of paths holds something of type {type(others[0]).__name__}. Rows are paths, dicts or tables."
            )
        # All files are looked up before the first is read.
        for file in [file for path in paths for file in files(path)]:
            yield from file_rows(file, schema, renaming, batch_rows)
    elif is_table(source):
        yield from table_columns(source, schema, renaming, batch_rows)
    elif isinstance(source, AsyncIterable) or inspect.iscoroutine(source):
        raise MilvusInvalidArgumentError("rows: an asynchronous generator or function cannot be read; give an ordinary one.")
    elif isinstance(source, Mapping):
        yield from dict_columns(source, schema, renaming, batch_rows)
    elif isinstance(source, list):
        yield from _list_pieces(source, schema, renaming, batch_rows)
    elif isinstance(source, Iterable) and not isinstance(source, bytes | bytearray | memoryview):
        for item in source:
            yield from _item_pieces(item, schema, renaming, batch_rows)
    else:
        raise MilvusInvalidArgumentError(f"rows: a value of type {type(source).__name__} has no rows.")


def _list_pieces(items: list[Any], schema: Schema, renaming: Renaming, batch_rows: int) -> Pieces:
    """Plain rows of a list, a chunk at a time: half the work of one by one."""
    for first in range(0, len(items), batch_rows):
        some = items[first : first + batch_rows]
        if renaming.columns is None and set(map(type, some)) == {dict}:
            yield Columns(len(some), columns_of(some))
        else:
            for item in some:
                yield from _item_pieces(item, schema, renaming, batch_rows)


def _item_pieces(item: Any, schema: Schema, renaming: Renaming, batch_rows: int) -> Pieces:
    """A row, a list of rows, or a table. Anything else becomes a bad row, here or in ``chunks``."""
    if isinstance(item, list | tuple):
        first = next((entry for entry in item if entry is not None), None)
        if item and not isinstance(first, Mapping):
            yield UnreadableRow(f"is a {type(item).__name__} of values, not a dict of fields and values", reprlib.repr(item))
        else:
            yield from map(renaming.row, item)
    elif not isinstance(item, Mapping) and is_table(item):
        yield from table_columns(item, schema, renaming, batch_rows)
    else:
        yield renaming.row(item)


def _is_function(source: Any) -> bool:
    return callable(source) and not isinstance(source, Iterable) and not is_table(source)


def _shown(path: Any) -> str:
    shown = without_secrets(str(path))
    return shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}…"


def _kind(path: Any) -> str:
    kind = kind_of(path)
    several = kind is None or any(wildcard in _shown(path).removesuffix("?…") for wildcard in "*?[")
    return f"the {kind or 'data'} files at" if several else f"the {kind} file"


def _name(function: Callable[..., Any]) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__qualname__", type(function).__name__)
