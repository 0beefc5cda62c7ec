"""Operators that create, alter and drop a database. The work is in ``server/databases.py``, imported when a task runs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus import kinds
from airflow_provider_milvus.arguments import Argument, OptionalArgument
from airflow_provider_milvus.exceptions import MilvusDatabaseNotFoundError, MilvusInvalidArgumentError
from airflow_provider_milvus.get_provider_info import DEFAULT_DATABASE
from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.operators.base import MilvusOperator
from airflow_provider_milvus.operators.maintenance import check_properties
from airflow_provider_milvus.operators.run_notes import RetryNotes

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class _DatabaseOperator(MilvusOperator):
    database = Argument(kinds.check_name)

    def __init__(self, *, database: str, **kwargs: Any) -> None:
        super().__init__(database=database, **kwargs)

    def hook(self) -> MilvusHook:
        """In the connection's own database: that of the task may not exist, and calls about it name it."""
        self.hook_in_use = MilvusHook(self.milvus_conn_id, None, super().hook().timeout)
        return self.hook_in_use

    def _result(self, hook: MilvusHook, began: float, **more: Any) -> dict[str, Any]:
        seconds = round(time.time() - began, 3)
        self.log_where(hook, f"Done with database {self.database!r} after {seconds} s.")
        return {"database": self.database, **more, "seconds": seconds}


class MilvusCreateDatabaseOperator(_DatabaseOperator):
    """Create a database; done when the server shows it with its properties. All arguments are templates.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusCreateDatabaseOperator

        create = MilvusCreateDatabaseOperator(task_id="create", database="tenant_a", if_exists="skip")

    A retry succeeds if an earlier try sent the creation and did not see its end.

    Returns ``database``, ``created`` and ``seconds``.

    :param database: the new database. The connection's own one only says where the server is.
    :param properties: such as ``{"database.replica.number": 2, "database.max.collections": 100}``; a dict, or JSON or YAML text
        of one. By default none. See docs/partitions.md. Milvus 2.3 has none.
    :param if_exists: ``"fail"``, the default, or ``"skip"``: leave it as it is, with the properties it has.
    :param timeout: seconds for the whole operation; by default the connection's ``timeout``, which is 60 unless it says
        otherwise.
    :raises MilvusRefusedError: it exists. Nothing was changed.
    :raises MilvusUnsupportedError: there are properties, and the server keeps none. Nothing was changed.
    :raises MilvusServerError: the server refuses, with its reason, or does not keep a property: the message says which.
    """

    properties = OptionalArgument(check_properties)
    if_exists = Argument(kinds.one_of("fail", "skip"))

    def __init__(
        self, *, database: str, properties: Mapping[str, Any] | str | None = None, if_exists: str = "fail", **kwargs: Any
    ) -> None:
        super().__init__(database=database, **kwargs)
        self.take(locals())

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server import databases

        began, hook = time.time(), self.hook()
        with RetryNotes(context).of(creating_database=self.database) as tries:
            creation = databases.create(
                self.database,
                self.properties or {},
                skip_if_exists=self.if_exists == "skip",
                tries=tries,
                report=self.log.info,
            )
            created = self.carry_out(hook, creation)
        return self._result(hook, began, created=created)


class MilvusAlterDatabaseOperator(_DatabaseOperator):
    """Set and remove properties of a database; done when the server shows the change. All arguments are templates.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusAlterDatabaseOperator

        alter = MilvusAlterDatabaseOperator(
            task_id="alter", database="tenant_a", properties={"database.max.collections": 100}
        )

    Only differences are sent, so every run of a DAG may set the same properties. Other properties stay as they are.

    Returns ``database``, ``properties`` (all of them, after the change), ``changed`` (the keys) and ``seconds``.

    :param database: the database.
    :param properties: a dict, or JSON or YAML text of one: the number of replicas and the resource groups of loads that name
        none, limits, and whether reads and writes are denied. See docs/partitions.md. Give this, ``drop_properties`` or both.
    :param drop_properties: the keys of properties to remove: the server's defaults apply again.
    :param timeout: seconds for the whole operation; by default the connection's ``timeout``, which is 60 unless it says
        otherwise.
    :raises MilvusInvalidArgumentError: there is nothing to do, or both arguments name a key. Nothing was changed.
    :raises MilvusDatabaseNotFoundError: it does not exist. Nothing was changed.
    :raises MilvusUnsupportedError: the server keeps no properties of databases (Milvus 2.3). Nothing was changed.
    :raises MilvusServerError: the server refuses the change, with its reason, or accepts it and does not show it.
    """

    properties = OptionalArgument(check_properties)
    drop_properties = OptionalArgument(kinds.check_keys_of_properties)

    def __init__(
        self,
        *,
        database: str,
        properties: Mapping[str, Any] | str | None = None,
        drop_properties: str | Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(database=database, **kwargs)
        self.take(locals())
        if not (self.is_given("properties") or self.is_given("drop_properties")):
            raise self.wrong("Give properties or drop_properties, or both: they name what to change.")

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server import databases

        began, hook = time.time(), self.hook()
        to_set, to_remove = self.properties or {}, self.drop_properties or []
        if both := sorted(to_set.keys() & set(to_remove)):
            raise self.wrong(f"drop_properties and properties both name {', '.join(both)}.")
        with RetryNotes(context).of(altering_database=self.database) as tries:
            alteration = databases.alter(self.database, to_set, to_remove, tries=tries, report=self.log.info)
            before, after = self.carry_out(hook, alteration)
        changed = sorted(key for key in {*to_set, *to_remove} if before.get(key) != after.get(key))
        return self._result(hook, began, properties=after, changed=changed)


def check_droppable(argument: str, value: Any) -> str:
    """The name of a database that can be dropped."""
    if kinds.check_name(argument, value) == DEFAULT_DATABASE:
        raise MilvusInvalidArgumentError(f"{argument} is {DEFAULT_DATABASE!r}, which Milvus never drops.")
    return str(value)


class MilvusDropDatabaseOperator(_DatabaseOperator):
    """Drop a database; done when the server no longer has it. All arguments are templates.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusDropDatabaseOperator

        drop = MilvusDropDatabaseOperator(task_id="drop", database="tenant_a", if_missing="skip")

    A database with collections stays, unless ``drop_collections``. Then all collections that were listed at first are dropped,
    each after a look of its own, and the database at last. A collection that comes meanwhile keeps it.

    Returns ``database``, ``dropped``, ``collections`` (the names of those that this task dropped, in any of its tries) and
    ``seconds``.

    :param database: the database, not ``default``.
    :param drop_collections: drop its collections first, **with all rows**; False by default.
    :param drop_aliased: also where an alias leads to one of them; False by default. Every search through it fails then.
    :param if_missing: ``"fail"``, the default, or ``"skip"``: succeed when the database does not exist.
    :param timeout: seconds for the whole operation; by default the connection's ``timeout``, which is 60 unless it says
        otherwise.
    :raises MilvusRefusedError: it has collections or aliases that may not be dropped, or somebody has made one meanwhile. The
        message says what was dropped before.
    :raises MilvusDatabaseNotFoundError: it does not exist.
    :raises MilvusInDoubtError: an answer was lost, and the server (Milvus Lite) does not tell what is there from what was.
    :raises MilvusTimeoutError, MilvusUnavailableError: some collections may be dropped. A retry drops the rest.
    """

    database = Argument(check_droppable)
    drop_collections = Argument(kinds.check_flag)
    drop_aliased = Argument(kinds.check_flag)
    if_missing = Argument(kinds.one_of("fail", "skip"))

    def __init__(
        self,
        *,
        database: str,
        drop_collections: bool = False,
        drop_aliased: bool = False,
        if_missing: str = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(database=database, **kwargs)
        self.take(locals())

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server import databases

        began, hook, database, dropped = time.time(), self.hook(), self.database, list[str]()
        with RetryNotes(context).of(dropping_database=database) as tries, hook.client() as client:
            deadline, earlier = hook.deadline(), tries.earlier or {}
            if not client.run(databases.exists(database), deadline):
                if self.if_missing == "fail" and "database" not in earlier:
                    raise MilvusDatabaseNotFoundError(
                        f"Database {database!r} was not dropped: it does not exist. {hook.settings.where}."
                    )
                self.log.info("Database %r does not exist: nothing to drop.", database)
                dropped = earlier.get("collections", {}).get("dropped", [])
                return self._result(hook, began, dropped="database" in earlier, collections=dropped)
            database_id = client.run(databases.id_of_meant(database, earlier.get("database")), deadline)
            emptying = databases.empty(
                database,
                drop_collections=self.drop_collections,
                drop_aliased=self.drop_aliased,
                tries=tries.part("collections"),
                report=self.log.info,
            )
            dropped = client.run(emptying, deadline, database=database)
            own = replace(tries, earlier={**earlier, "collections": {"collections": {}, "dropped": dropped}}).part("database")
            dropping = databases.drop(database, database_id, dropped, tries=own, report=self.log.info)
            gone = client.run(dropping, deadline)
        return self._result(hook, began, dropped=gone or "database" in earlier, collections=dropped)
