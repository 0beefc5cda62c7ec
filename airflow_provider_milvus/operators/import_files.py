"""The files of an import, as a DAG author names them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError


def file_groups(argument: str, value: Any, *, as_urls: bool = False) -> list[list[str]]:
    """A list of lists of paths: each inner one is a file, or the NumPy files of the same rows. An empty list stays one.

    :param value: one path, a list of paths, a list of lists, or the result of ``MilvusPrepareImportOperator``; also as text,
        which is what a template without native objects makes of them.
    :param as_urls: of such a result take the files' URLs.
    :raises MilvusInvalidArgumentError: it is none of them, such as None, which a template may also render as text.
    """
    if isinstance(value, str):
        value = _read(value)
    if isinstance(value, Mapping):
        value = value.get("urls" if as_urls else "files")
    if not isinstance(value, Sequence) or (isinstance(value, str) and value.strip() in ("", "None")):
        raise MilvusInvalidArgumentError(
            f"{argument} must name files, not {value!r}; [] means that there is nothing to import."
        )
    groups = [[each] if isinstance(each, str) else each for each in ([value] if isinstance(value, str) else value)]
    for at, group in enumerate(groups):
        if not isinstance(group, Sequence) or not group or not all(isinstance(path, str) and path.strip() for path in group):
            raise MilvusInvalidArgumentError(f"{argument}[{at}] must be a path, or a list of paths, not {group!r}.")
    return [list(group) for group in groups]


def _read(text: str) -> Any:
    """What a template rendered to text; a path is itself."""
    import ast
    import json

    if not text.strip().startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
