"""Operators that list names, for others to be mapped over. The reads are in ``client/reads.py``, imported when a task runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus import kinds
from airflow_provider_milvus.arguments import Argument, OptionalArgument
from airflow_provider_milvus.operators.base import MilvusOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.client.flow import Flow


class _ListOperator(MilvusOperator):
    pattern = OptionalArgument(kinds.check_patterns, widens=True)
    exclude = OptionalArgument(kinds.check_patterns, widens=True, nothing="-", empty_list="written")

    _what: str

    def __init__(
        self, *, pattern: str | Sequence[str] | None = None, exclude: str | Sequence[str] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.take(locals())

    def execute(self, context: Context) -> list[str]:
        hook = self.hook()
        found = list(self.carry_out(hook, self._names()))
        matching = sorted(filter(self._is_in_scope, found))
        self.log_where(hook, f"{len(matching)} of {len(found)} {self._what}.")
        return matching

    def _names(self) -> Flow[Iterable[str]]:
        raise NotImplementedError

    def _is_in_scope(self, name: str) -> bool:
        def matches(patterns: Iterable[str]) -> bool:
            return any(fnmatchcase(name, pattern) for pattern in patterns)

        return (self.pattern is None or matches(self.pattern)) and not matches(self.exclude or ())


class MilvusListCollectionsOperator(_ListOperator):
    """List the collections of a database. All arguments are templates. The task only reads.

    .. code-block:: python

        from airflow.providers.common.compat.sdk import DAG

        from airflow_provider_milvus.operators.milvus import MilvusListCollectionsOperator, MilvusReleaseCollectionOperator

        with DAG("release_events", schedule=None):
            events = MilvusListCollectionsOperator(task_id="events", pattern="events_*", in_memory=True)
            MilvusReleaseCollectionOperator.partial(task_id="release").expand(collection_name=events.output)

    Returns the names, sorted. From Milvus 2.4 on a user sees only those on which he has a privilege.

    :param pattern: only names that match, as ``"events_*"``; case matters. One pattern, or several; by default all names.
    :param exclude: patterns of names to leave out; by default none.
    :param in_memory: only those that are in memory, or are being loaded; False by default.
    :param timeout: seconds for the whole operation; by default the connection's ``timeout``, which is 60 unless it says
        otherwise.
    :raises MilvusDatabaseNotFoundError: the database does not exist.
    """

    in_memory = Argument(kinds.check_flag)

    _what = "collections"

    def __init__(self, *, in_memory: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.take(locals())

    def _names(self) -> Flow[Iterable[str]]:
        from airflow_provider_milvus.client import reads

        if self.in_memory:
            return (yield from reads.loaded())
        return [listed.name for listed in (yield from reads.collections())]


class MilvusListPartitionsOperator(_ListOperator):
    """List the partitions of a collection. All arguments are templates. The task only reads.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusListPartitionsOperator

        tenants = MilvusListPartitionsOperator(task_id="tenants", collection_name="docs", exclude="_default")

    Returns the names, sorted.

    :param collection_name: the collection, or an alias of it.
    :param pattern: only names that match, as ``"tenant_*"``; case matters. One pattern, or several; by default all names.
    :param exclude: patterns of names to leave out; by default none.
    :param timeout: seconds for the whole operation; by default the connection's ``timeout``, which is 60 unless it says
        otherwise.
    :raises MilvusCollectionNotFoundError, MilvusDatabaseNotFoundError: it does not exist.
    """

    collection_name = Argument(kinds.check_name)

    _what = "partitions"

    def __init__(self, *, collection_name: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.take(locals())

    def _names(self) -> Flow[Iterable[str]]:
        from airflow_provider_milvus.client import reads

        described = yield from reads.describe(self.collection_name)
        return (yield from reads.partition_ids(reads.real_name(described)))


class MilvusListDatabasesOperator(_ListOperator):
    """List the databases of a server. All arguments are templates. The task only reads.

    .. code-block:: python

        from airflow.providers.common.compat.sdk import DAG

        from airflow_provider_milvus.operators.milvus import MilvusListDatabasesOperator, MilvusMemoryReportOperator

        with DAG("report_tenants", schedule=None):
            tenants = MilvusListDatabasesOperator(task_id="tenants", pattern="tenant_*")
            MilvusMemoryReportOperator.partial(task_id="report").expand(databases=tenants.output)

    Returns the names, sorted. From Milvus 2.4 on a user sees only those in which he has a privilege.

    :param pattern: only names that match, as ``"tenant_*"``; case matters. One pattern, or several; by default all names.
    :param exclude: patterns of names to leave out; by default none.
    :param timeout: seconds for the whole operation; by default the connection's ``timeout``, which is 60 unless it says
        otherwise.
    """

    _what = "databases"

    def _names(self) -> Flow[Iterable[str]]:
        from airflow_provider_milvus.client import reads

        return (yield from reads.databases())
