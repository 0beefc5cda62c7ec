"""The task decorators: a function brings the rows or the queries, and the operator of that name does the rest.

Airflow finds them by their names in ``get_provider_info.py``. The arguments, their checks and the work are the operators' own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import (
    DecoratedOperator,
    context_merge,
    determine_kwargs,
    task_decorator_factory,
)

from airflow_provider_milvus.operators.data import MilvusInsertOperator, MilvusUpsertOperator
from airflow_provider_milvus.operators.given_rows import AsGiven, ToCome, fetched
from airflow_provider_milvus.operators.search import MilvusSearchOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, TaskDecorator


class _OfFunction(DecoratedOperator):
    """Base of the decorated operators: one argument of the operator is what the function returns."""

    template_fields: Collection[str] = DecoratedOperator.template_fields  # type: ignore[assignment]
    returned: ClassVar[str]
    """The name of that argument."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        cls.template_fields = (*DecoratedOperator.template_fields, *cls.template_fields)

    def __init__(self, *, python_callable: Callable[..., Any], **kwargs: Any) -> None:
        given: dict[str, Any] = {self.returned: ToCome(python_callable)}
        super().__init__(python_callable=python_callable, **given, **kwargs)

    def execute(self, context: Context) -> Any:
        context_merge(context, {name: fetched(value) for name, value in self.op_kwargs.items()})
        named = determine_kwargs(self.python_callable, self.op_args, context)
        setattr(self, self.returned, self.value_of(partial(self.python_callable, *map(fetched, self.op_args), **named)))
        return super().execute(context)

    def value_of(self, call: Callable[[], Any]) -> Any:
        """The argument that the function, which is called with what it asks for, stands for."""
        raise NotImplementedError


class _RowsOfFunction(_OfFunction):
    """The rows of a function, read as it yields them: it runs beside the writing, in the thread that reads."""

    returned = "rows"

    def value_of(self, call: Callable[[], Any]) -> Any:
        return AsGiven(call)


class _UpsertDecoratedOperator(_RowsOfFunction, MilvusUpsertOperator):
    custom_operator_name = "@task.milvus_upsert"


class _InsertDecoratedOperator(_RowsOfFunction, MilvusInsertOperator):
    custom_operator_name = "@task.milvus_insert"


class _SearchDecoratedOperator(_OfFunction, MilvusSearchOperator):
    custom_operator_name = "@task.milvus_search"
    returned = "data"

    def value_of(self, call: Callable[[], Any]) -> Any:
        queries = call()
        return list(queries) if inspect.isgenerator(queries) else queries


def milvus_upsert_task(python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> TaskDecorator:
    """``@task.milvus_upsert``: write the rows that a function returns or yields, as ``MilvusUpsertOperator`` does.

    :param kwargs: the operator's arguments, all but ``rows``, and Airflow's own.
    """
    return _decorator(_UpsertDecoratedOperator, python_callable, **kwargs)


def milvus_insert_task(python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> TaskDecorator:
    """``@task.milvus_insert``: add the rows that a function returns or yields, as ``MilvusInsertOperator`` does.

    :param kwargs: the operator's arguments, all but ``rows``, and Airflow's own.
    """
    return _decorator(_InsertDecoratedOperator, python_callable, **kwargs)


def milvus_search_task(python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> TaskDecorator:
    """``@task.milvus_search``: search for the vectors or texts that a function returns or yields, as ``MilvusSearchOperator``
    does.

    :param kwargs: the operator's arguments, all but ``data``, and Airflow's own.
    """
    return _decorator(_SearchDecoratedOperator, python_callable, **kwargs)


def _decorator(
    operator: type[_OfFunction],
    python_callable: Callable[..., Any] | None,
    *,
    multiple_outputs: bool = False,
    **kwargs: Any,
) -> TaskDecorator:
    # Airflow's own choice goes by the function's annotation, which is of the rows, and the task returns counts.
    return task_decorator_factory(
        python_callable, multiple_outputs=multiple_outputs, decorated_operator_class=operator, **kwargs
    )
