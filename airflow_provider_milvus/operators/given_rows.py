"""Rows as an operator keeps them until its task runs: what Airflow renders of them, and what it leaves as it is."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import XComArg

from airflow_provider_milvus.arguments import holds_template, refers
from airflow_provider_milvus.kinds import is_nothing

try:
    from airflow.sdk.definitions._internal.mixins import ResolveMixin

    IS_AIRFLOW_2 = False
except ImportError:
    from airflow.utils.mixins import ResolveMixin  # type: ignore[no-redef]

    IS_AIRFLOW_2 = True

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


def check_made(argument: str, value: Any) -> str:
    """What a column is made of, such as ``"uuid5(source, chunk)"``."""
    from airflow_provider_milvus.rows.made import Made

    Made.of(argument, value)
    return str(value)


class AsGiven:
    """Rows that Airflow does not render: text in them is data, and rendering would copy all of it."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def __repr__(self) -> str:
        """The text in the web UI: the same at every parse, without a row."""
        return f"{getattr(self.rows, '__qualname__', type(self.rows).__name__)}, as given in the DAG"


class ToResolve(AsGiven, ResolveMixin):
    """Rows of which some parts are resolved when the task runs.

    These parts are other tasks' outputs, anywhere in a list or a dict; paths in a list that also holds other things; and the
    arguments of a ``functools.partial``.
    """

    def iter_references(self) -> Iterator[tuple[Any, str]]:
        """Other tasks' outputs in the rows. Airflow makes those tasks upstream of this one."""
        is_partial = isinstance(self.rows, partial)
        yield from XComArg.iter_xcom_references([self.rows.args, self.rows.keywords] if is_partial else self.rows)

    def resolve(self, context: Context, include_xcom: bool = True) -> AsGiven:
        """The same rows, with these parts resolved."""
        render = context["task"].render_template
        if isinstance(self.rows, partial):
            return AsGiven(partial(self.rows.func, *render(self.rows.args, context), **render(self.rows.keywords, context)))
        rows = self.rows
        if isinstance(rows, (list, tuple)):
            rows = [render(row, context) if isinstance(row, str) else row for row in rows]
        return AsGiven(_resolved(rows, context))


class ToCome(AsGiven, ResolveMixin):
    """What a decorated function returns when the task runs. Until then it stands for that, as a template would."""

    def iter_references(self) -> Iterator[tuple[Any, str]]:
        return iter(())

    def resolve(self, context: Context, include_xcom: bool = True) -> ToCome:
        return self


def _resolved(value: Any, context: Context) -> Any:
    if isinstance(value, ResolveMixin):
        return fetched(value.resolve(context))
    if isinstance(value, (list, tuple)):
        return [_resolved(item, context) for item in value]
    return {key: _resolved(item, context) for key, item in value.items()} if isinstance(value, dict) else value


def kept(rows: Any) -> Any:
    """``rows`` as an operator keeps them: paths and another task's output are templates, other rows are not."""
    if isinstance(rows, (str, AsGiven)) or is_nothing(rows) or hasattr(rows, "iter_references"):
        return rows
    if _are_paths(rows):
        return rows
    is_partial = isinstance(rows, partial)
    parts = [rows.args, rows.keywords] if is_partial else rows
    # Of a list only paths are templates: text within a row is data.
    texts = parts if is_partial else [row for row in rows if isinstance(row, str)] if isinstance(rows, (list, tuple)) else []
    return ToResolve(rows) if refers(parts) or holds_template(texts) else AsGiven(rows)


def _are_paths(rows: Any) -> bool:
    """Whether it is text, or lists of nothing else."""
    return isinstance(rows, str) or (isinstance(rows, (list, tuple)) and all(map(_are_paths, rows)))


def given(rows: Any) -> Any:
    """The rows behind what :func:`kept` returned, in a task that runs."""
    return fetched(rows.rows if isinstance(rows, AsGiven) else rows)


def fetched(value: Any) -> Any:
    """The outputs of mapped tasks as a list, in Airflow 2: it fetches them in a task's own thread only, and rows are read in
    another. Airflow 3 fetches each when it is read."""
    if IS_AIRFLOW_2:
        from airflow.utils.db import LazySelectSequence

        if isinstance(value, LazySelectSequence):
            return list(value)
    return value
