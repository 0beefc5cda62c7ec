"""Operators that keep a collection in order: flush, compact, truncate, and change its properties.

The work is in ``server/upkeep.py`` and ``conditions/maintenance.py``, which are imported when a task runs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.arguments import Argument, OptionalArgument
from airflow_provider_milvus.exceptions import MilvusRefusedError
from airflow_provider_milvus.kinds import check_flag, check_keys_of_properties, check_name
from airflow_provider_milvus.operators.base import MilvusOperator, MilvusWriteOperator, WatchedOperator, result
from airflow_provider_milvus.operators.run_notes import RetryNotes

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.conditions import Compacted


class MilvusFlushOperator(WatchedOperator):
    """Flush a collection; done when the server says that all rows written before are on storage. All arguments are templates.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusFlushOperator

        flush = MilvusFlushOperator(task_id="flush", collection_name="docs")

    Rows are safe and can be searched without a flush. What reads storage needs one: an index, a compaction, a snapshot. Every
    flush ends segments, and many small ones make searches slow: flush once after an ingest, not once for each batch.

    Returns ``collection``, ``database``, ``state`` (``Flushed``) and ``seconds``.

    :param collection_name: the collection, or an alias of it.
    :param timeout: seconds for the whole operation; 3600 by default.
    :param poll_interval: seconds between two looks, at most; 2 by default. A worker looks more often at the beginning.
    :param stall_timeout: fail after this number of seconds, since a flush reports no progress; by default only ``timeout`` ends
        the wait.
    :param deferrable: wait in the triggerer; by default what ``[operators] default_deferrable`` says.
    :raises MilvusCollectionNotFoundError, MilvusDatabaseNotFoundError: it does not exist. Nothing was changed.
    :raises MilvusLoadStalledError, MilvusTimeoutError: the flush did not end in time. The server goes on with it.
    """

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server import upkeep

        flushing = upkeep.submit_flush(self.collection_name)
        return self.submit(context, self.hook(), flushing, lambda flush: (flush, {"collection": flush.collection_name}))


class MilvusCompactOperator(WatchedOperator):
    """Compact a collection; done when every plan of the compaction has ended. All arguments are templates.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusCompactOperator

        compact = MilvusCompactOperator(task_id="compact", collection_name="docs", deferrable=True)

    A compaction merges small segments and removes deleted rows from storage. Milvus also compacts by itself. A collection with
    nothing to compact is a success with 0 plans; so is Milvus Lite, which only compacts by itself.

    Returns ``collection``, ``database``, ``compaction_id`` (as text; ``"0"`` when there was nothing to do), ``plans`` (their
    number), ``state`` and ``seconds``.

    :param collection_name: the collection, or an alias of it.
    :param wait: wait until the compaction has ended; True by default. With False the task is done when the server has accepted
        the request, with the state ``Executing``; :class:`MilvusCompactionSensor` can wait for the end.
    :param timeout: seconds for the whole operation; 3600 by default.
    :param poll_interval: seconds between two looks, at most; 2 by default. A worker looks more often at the beginning.
    :param stall_timeout: fail when the progress stands still for this number of seconds; by default only ``timeout`` ends the
        wait.
    :param deferrable: wait in the triggerer; by default what ``[operators] default_deferrable`` says.
    :raises MilvusCollectionNotFoundError, MilvusDatabaseNotFoundError: it does not exist. Nothing was changed.
    :raises MilvusServerError: a plan failed, or the server was restarted and forgot the compaction. No row is lost.
    :raises MilvusLoadStalledError, MilvusTimeoutError: the compaction did not end in time. The server goes on with it.
    """

    wait = Argument(check_flag)

    def __init__(self, *, wait: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.take(locals())

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server import upkeep

        def told(submitted: tuple[str, Compacted | None]) -> tuple[Compacted | None, dict[str, Any]]:
            collection, condition = submitted
            compaction_id, plans = (condition.compaction_id, condition.plans) if condition else (0, 0)
            return condition, {"collection": collection, "compaction_id": str(compaction_id), "plans": plans}

        compaction = upkeep.submit_compaction(self.collection_name, report=self.log.info)
        return self.submit(context, self.hook(), compaction, told, without_wait="" if self.wait else "Executing")


class MilvusTruncateCollectionOperator(MilvusWriteOperator):
    """Delete **every row** of a collection and keep its schema, indexes, aliases and partitions. All arguments are templates.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusTruncateCollectionOperator

        empty = MilvusTruncateCollectionOperator(task_id="empty", collection_name="docs", confirm="docs")

    Done when the server counts no rows. Rows of a collection that is not in memory cannot be counted; there the server's answer
    is enough. Nobody should write to the collection meanwhile.

    Returns ``collection``, ``database``, ``rows_before``, ``rows`` (both None where rows cannot be counted) and ``seconds``.

    :param collection_name: the collection itself, not an alias.
    :param confirm: the collection's name once more, so that no slip deletes rows.
    :param truncate_aliased: also truncate a collection that has an alias; False by default. Searches through the alias find
        nothing then.
    :param timeout: seconds for the whole operation; by default the connection's ``timeout``, which is 60 unless it says
        otherwise.
    :raises MilvusRefusedError: ``confirm`` is another name, ``collection_name`` is an alias, or the collection has one. Nothing
        was changed.
    :raises MilvusCollectionNotFoundError, MilvusDatabaseNotFoundError: it does not exist. Nothing was changed.
    :raises MilvusUnsupportedError: the server cannot truncate (Milvus 2.3 to 2.5). Nothing was changed.
    :raises MilvusInDoubtError: the answer was lost, and the collection has rows, or cannot be counted: they were not deleted,
        or were written since.
    :raises MilvusTimeoutError: the server did not answer, or still counted rows at the end. Some or all rows may be deleted.
    """

    collection_name = Argument(check_name)
    confirm = Argument(check_name)
    truncate_aliased = Argument(check_flag)

    def __init__(self, *, collection_name: str, confirm: str, truncate_aliased: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.take(locals())

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server import upkeep

        collection, began, hook = self.collection_name, time.time(), self.hook()
        if self.confirm != collection:
            raise MilvusRefusedError(
                f"Collection {collection!r} was not truncated: confirm is {self.confirm!r}. "
                f"Set it to {collection!r} if every row is to be deleted."
            )
        with RetryNotes(context).of(truncating=collection) as tries:
            truncation = upkeep.truncate(collection, truncate_aliased=self.truncate_aliased, tries=tries, report=self.log.info)
            before, after = self.carry_out(hook, truncation)
            self.wrote(context, hook, collection, rows_deleted=before, truncated=True)
        return result(hook, collection, began, rows_before=before, rows=after)


def check_properties(argument: str, value: Any) -> dict[str, str]:
    """Properties of a collection, by the same rules as in its definition."""
    from airflow_provider_milvus.schema.reading import read_properties

    return read_properties(argument, value)


class MilvusAlterCollectionOperator(MilvusOperator):
    """Set and remove properties of a collection; done when the server shows the change. All arguments are templates.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusAlterCollectionOperator

        alter = MilvusAlterCollectionOperator(
            task_id="alter", collection_name="docs", properties={"collection.ttl.seconds": 604800}
        )

    Only differences are sent, so every run of a DAG may set the same properties. Other properties stay as they are.

    Returns ``collection``, ``database``, ``properties`` (all of them, after the change), ``changed`` (the keys) and
    ``seconds``.

    :param collection_name: the collection.
    :param properties: such as ``{"collection.ttl.seconds": 604800}`` (0: rows stay for ever) or ``{"mmap.enabled": True}``; a
        dict, or JSON or YAML text of one. Milvus after 2.3 may refuse ``mmap.enabled`` of a collection in memory. Give this,
        ``drop_properties`` or both.
    :param drop_properties: the keys of properties to remove: the server's defaults apply again. Milvus 2.3 cannot remove any.
    :param allow_alias: also accept an alias, and alter the collection behind it; False by default.
    :param timeout: seconds for the whole operation; by default the connection's ``timeout``, which is 60 unless it says
        otherwise.
    :raises MilvusInvalidArgumentError: there is nothing to do, both arguments name a key, or a value can never work. Nothing
        was changed.
    :raises MilvusRefusedError: the name is an alias. Nothing was changed.
    :raises MilvusCollectionNotFoundError, MilvusDatabaseNotFoundError: it does not exist. Nothing was changed.
    :raises MilvusUnsupportedError: the server cannot remove properties. Nothing was changed.
    :raises MilvusServerError: the server refuses the change, with its reason, or accepts it and does not show it.
    """

    collection_name = Argument(check_name)
    properties = OptionalArgument(check_properties)
    drop_properties = OptionalArgument(check_keys_of_properties)
    allow_alias = Argument(check_flag)

    def __init__(
        self,
        *,
        collection_name: str,
        properties: Mapping[str, Any] | str | None = None,
        drop_properties: str | Sequence[str] | None = None,
        allow_alias: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.take(locals())
        if not (self.is_given("properties") or self.is_given("drop_properties")):
            raise self.wrong("Give properties or drop_properties, or both: they name what to change.")

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server import upkeep

        began, hook = time.time(), self.hook()
        to_set, to_remove = self.properties or {}, self.drop_properties or []
        if both := sorted(to_set.keys() & set(to_remove)):
            raise self.wrong(f"drop_properties and properties both name {', '.join(both)}.")
        with RetryNotes(context).of(altering=self.collection_name) as tries:
            alteration = upkeep.alter(
                self.collection_name, to_set, to_remove, allow_alias=self.allow_alias, tries=tries, report=self.log.info
            )
            altered = self.carry_out(hook, alteration)
        wanted = {*to_set, *to_remove}
        changed = sorted(key for key in wanted if altered.before.get(key) != altered.after.get(key))
        return result(hook, altered.collection, began, properties=altered.after, changed=changed)
