"""Where rows come from: lists, tables, files, functions and generators, all read the same way, a chunk at a time.

Reading says nothing about whether a row is right: that is the check's part. Only what cannot be read at all is bad here.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping
from typing import Any

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.rows.chunk import Chunk
from airflow_provider_milvus.rows.files import file_rows
from airflow_provider_milvus.rows.pieces import Pieces, chunks
from airflow_provider_milvus.rows.storage import files, is_path, kind_of, without_secrets
from airflow_provider_milvus.rows.tables import is_table, table_columns
from airflow_provider_milvus.schema.model import Schema

_LONGEST_SHOWN = 200
_IN_MEMORY = frozenset({"pandas", "polars", "pyarrow"})


def read_rows(source: Any, schema: Schema, *, batch_rows: int) -> Iterator[Chunk]:
    """Read all rows of ``source`` in order, numbered from 1, at most ``batch_rows`` in a chunk.

    Never more than about one chunk is in memory, besides what the source itself holds. Nothing is opened before the first chunk
    is asked for. The caller's data is never changed.

    :param source: One of

        - a list or any other iterable of dicts, lists of dicts, or tables, also mixed;
        - a table: a pandas DataFrame, or whatever speaks Arrow (``pyarrow.Table``, polars, DuckDB, ...);
        - a path or URL of a Parquet, JSON Lines or CSV file (``.gz`` as well), of a directory of them, or a pattern; or a list;
        - a function that returns one of these. It is called without arguments.
    :param schema: Says how the text of a CSV file is read, and which lists of numbers are vectors.
    :raises MilvusInvalidArgumentError: it is none of these.
    :raises MilvusSourceError: a file is not there or cannot be read.
    :raises Exception: whatever a function or an iterable raises, as it is, with a note of how many rows came before.
    """
    return chunks(_all(source, schema, batch_rows), batch_rows)


def describe_source(source: Any) -> str:
    """What rows come from, for logs and errors, without looking into it and without credentials."""
    if is_path(source):
        return f"{_kind(source)} {_shown(source)}"
    if _is_list_of_paths(source):
        first = source[0]
        return describe_source(first) if len(source) == 1 else f"{len(source)} paths from {_shown(first)} on"
    if is_table(source):
        library = type(source).__module__.partition(".")[0]
        # Asking DuckDB for a length runs the query.
        count = f" of {len(source)} rows" if library in _IN_MEMORY and hasattr(source, "__len__") else ""
        return f"a {library} {type(source).__name__}{count}"
    if isinstance(source, list | tuple):
        return f"a {type(source).__name__} of {len(source)} rows"
    if inspect.isgenerator(source):
        return f"the rows of generator {source.__name__}"
    if callable(source):
        return f"the rows of function {_name(source)}"
    return f"the rows of a {type(source).__name__}"


def _all(source: Any, schema: Schema, batch_rows: int) -> Pieces:
    if _is_function(source):
        made = source()
        if made is None:
            raise MilvusInvalidArgumentError(f"rows: {_name(source)}() returned None, not rows.")
        if _is_function(made):
            raise MilvusInvalidArgumentError(f"rows: {_name(source)}() returned a function, not rows.")
        source = made
    if is_path(source):
        source = [source]
    if _is_list_of_paths(source):
        if wrong := next((each for each in source if not is_path(each)), None):
            raise MilvusInvalidArgumentError(f"rows: among the paths there is something of type {type(wrong).__name__}.")
        # All are looked for before the first is read.
        for file in [file for path in source for file in files(path)]:
            yield from file_rows(file, schema, batch_rows)
    elif is_table(source):
        yield from table_columns(source, schema, batch_rows)
    elif isinstance(source, AsyncIterable) or inspect.iscoroutine(source):
        raise MilvusInvalidArgumentError("rows: an asynchronous generator or function cannot be read; give an ordinary one.")
    elif isinstance(source, Mapping):
        raise MilvusInvalidArgumentError("rows: a dict is a single row; put it into a list.")
    elif isinstance(source, Iterable) and not isinstance(source, bytes | bytearray | memoryview):
        for item in source:
            yield from _item(item, schema, batch_rows)
    else:
        raise MilvusInvalidArgumentError(f"rows: what is of type {type(source).__name__} has no rows.")


def _item(item: Any, schema: Schema, batch_rows: int) -> Pieces:
    """A row, a list of rows, or a table; the rest is for `chunks` to refuse."""
    if isinstance(item, list | tuple):
        yield from item
    elif not isinstance(item, Mapping) and is_table(item):
        yield from table_columns(item, schema, batch_rows)
    else:
        yield item


def _is_function(source: Any) -> bool:
    return callable(source) and not isinstance(source, Iterable) and not is_table(source)


def _is_list_of_paths(source: Any) -> bool:
    return isinstance(source, list | tuple) and bool(source) and is_path(source[0])


def _shown(path: Any) -> str:
    shown = without_secrets(str(path))
    return shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}…"


def _kind(path: Any) -> str:
    kind = kind_of(path)
    several = kind is None or any(each in _shown(path).removesuffix("?…") for each in "*?[")
    return f"the {kind or 'data'} files at" if several else f"the {kind} file"


def _name(function: Callable[..., Any]) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__qualname__", type(function).__name__)
