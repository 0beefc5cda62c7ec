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
from airflow_provider_milvus.triggers.milvus import outcome, resumed_with

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.hooks.milvus import MilvusHook


class MilvusFlushOperator(WatchedOperator):
    """Flush a collection; done when the server says that all that was written before is on storage.

    Rows are safe and can be searched without it; it is for what works on storage alone: an index, a compaction, a snapshot.
    Each flush ends segments, and many small ones make searches slow: once after an ingest, not once for each batch.

    Returns ``collection``, ``database``, ``state`` and ``seconds``.

    :param collection_name: the collection, or an alias of it. (templated)
    :param poll_interval: seconds between two looks, at most.
    :param stall_timeout: fail when nothing moves for so many seconds; None: only ``timeout`` ends it.
    :param deferrable: wait in the triggerer. Default: ``[operators] default_deferrable``.
    :raises MilvusCollectionNotFoundError, MilvusDatabaseNotFoundError: it does not exist.
    :raises MilvusTimeoutError: not flushed in time; the server goes on with it.
    """

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server import upkeep

        collection, began, hook = self.collection_name, time.time(), self.hook()
        with hook.client() as client:
            deadline = hook.deadline()
            condition = client.run(upkeep.submit_flush(collection), deadline)
            submitted = {"collection": condition.collection_name, "began": began}
            if not self.deferrable:
                self.watch(client, condition, deadline)
                return self._done(hook, submitted)
        return self.hand_over(condition, deadline, submitted)

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Resumed by the trigger's event."""
        outcome(event)
        return self._done(self.hook(), resumed_with(event))

    def _done(self, hook: MilvusHook, submitted: dict[str, Any]) -> dict[str, Any]:
        return result(hook, submitted["collection"], submitted["began"], state="Flushed")


class MilvusCompactOperator(WatchedOperator):
    """Compact a collection: merge small segments and drop what was deleted; done when every plan is through.

    Milvus compacts by itself as well. A collection with nothing to compact is a success with 0 plans, and so is Milvus Lite,
    which has no other way than by itself.

    Returns ``collection``, ``database``, ``compaction_id`` (as text; ``"0"`` where nothing was to be done), ``plans`` (their
    number), ``state`` and ``seconds``.

    :param collection_name: the collection, or an alias of it. (templated)
    :param wait: False: done when the server has taken the request, with the state ``Executing``; a
        ``MilvusCompactionSensor`` can wait for it.
    :param poll_interval: seconds between two looks, at most.
    :param stall_timeout: fail when nothing moves for so many seconds; None: only ``timeout`` ends it.
    :param deferrable: wait in the triggerer. Default: ``[operators] default_deferrable``.
    :raises MilvusCollectionNotFoundError, MilvusDatabaseNotFoundError: it does not exist.
    :raises MilvusServerError: a plan failed, or the server was restarted and forgot the compaction. No row is lost.
    :raises MilvusTimeoutError: not through in time; the server goes on with it.
    """

    wait = Argument(check_flag)

    def __init__(self, *, wait: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.wait = wait

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server import upkeep

        began, hook = time.time(), self.hook()
        with hook.client() as client:
            deadline = hook.deadline()
            submission = upkeep.submit_compaction(self.collection_name, report=self.log.info)
            collection, condition = client.run(submission, deadline)
            if condition is None:
                return result(hook, collection, began, compaction_id="0", plans=0, state="Completed")
            submitted = {
                "collection": collection,
                "compaction_id": str(condition.compaction_id),
                "plans": condition.plans,
                "began": began,
            }
            if not self.wait:
                return self._done(hook, submitted, "Executing")
            if not self.deferrable:
                return self._done(hook, submitted, self.watch(client, condition, deadline).state)
        return self.hand_over(condition, deadline, submitted)

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Resumed by the trigger's event."""
        return self._done(self.hook(), resumed_with(event), outcome(event).state)

    def _done(self, hook: MilvusHook, submitted: dict[str, Any], state: str) -> dict[str, Any]:
        of_it = {key: submitted[key] for key in ("compaction_id", "plans")}
        return result(hook, submitted["collection"], submitted["began"], **of_it, state=state)


class MilvusTruncateCollectionOperator(MilvusWriteOperator):
    """Delete **every row** of a collection and keep its schema, indexes, aliases and partitions.

    Done when the server counts no row any more; a collection that is not in memory cannot be counted and is taken at the
    server's word. Nobody should write to it meanwhile. A retry empties it again.

    Returns ``collection``, ``database``, ``rows_before``, ``rows`` (None: not counted) and ``seconds``.

    :param collection_name: the collection itself, not an alias. (templated)
    :param confirm: its name once more, so that nothing is emptied by a slip. (templated)
    :param truncate_aliased: also empty a collection that has an alias, which then finds nothing.
    :raises MilvusRefusedError: ``confirm`` is another name, the name is an alias, or it has one. Nothing was changed.
    :raises MilvusUnsupportedError: the server cannot do it (2.3 to 2.5). Nothing was changed.
    :raises MilvusTimeoutError: rows were still there at the end.
    """

    collection_name = Argument(check_name)
    confirm = Argument(check_name)
    truncate_aliased = Argument(check_flag)

    def __init__(self, *, collection_name: str, confirm: str, truncate_aliased: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.collection_name = collection_name
        self.confirm = confirm
        self.truncate_aliased = truncate_aliased

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server import upkeep

        collection, began, hook = self.collection_name, time.time(), self.hook()
        if self.confirm != collection:
            raise MilvusRefusedError(
                f"Collection {collection!r} was not truncated: confirm is {self.confirm!r}. "
                f"Set it to {collection!r} if every row is to be deleted."
            )
        with hook.client() as client:
            truncation = upkeep.truncate(collection, truncate_aliased=self.truncate_aliased, report=self.log.info)
            before, after = client.run(truncation, hook.deadline())
        self.wrote(context, hook, collection, rows_deleted=before, truncated=True)
        return result(hook, collection, began, rows_before=before, rows=after)


def check_properties(argument: str, value: Any) -> dict[str, str]:
    """Properties of a collection, by the same rules as in its definition."""
    from airflow_provider_milvus.schema.reading import read_properties

    return read_properties(argument, value)


class MilvusAlterCollectionOperator(MilvusOperator):
    """Set and remove properties of a collection; done when the server shows them so.

    What is so already is not sent, so a retry, or every run of a DAG, may ask for the same. Properties that are not named stay.

    Returns ``collection``, ``database``, ``properties`` (all of them, afterwards), ``changed`` (the keys) and ``seconds``.

    :param collection_name: the collection. (templated)
    :param properties: such as ``{"collection.ttl.seconds": 604800}`` (0: rows stay for ever) or ``{"mmap.enabled": True}``, or
        JSON or YAML text of a dict; some servers take the latter only of a collection that is not in memory. (templated)
    :param drop_properties: keys to remove, which brings the server's default back. Milvus 2.3 cannot. (templated)
    :param allow_alias: also accept an alias, and alter the collection behind it.
    :raises MilvusInvalidArgumentError: nothing to do, a key in both, or a value that can never work. Nothing was changed.
    :raises MilvusRefusedError: the name is an alias. Nothing was changed.
    :raises MilvusUnsupportedError: the server removes no properties. Nothing was changed.
    :raises MilvusServerError: the server refuses, in its own words, or does not show the change.
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
        self.collection_name = collection_name
        self.properties = properties
        self.drop_properties = drop_properties
        self.allow_alias = allow_alias
        if not (self.is_given("properties") or self.is_given("drop_properties")):
            raise self.wrong("Give properties or drop_properties, or both: they name what to change.")

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server import upkeep

        began, hook = time.time(), self.hook()
        to_set, to_remove = self.properties or {}, self.drop_properties or []
        if both := sorted(to_set.keys() & set(to_remove)):
            raise self.wrong(f"drop_properties and properties both name {', '.join(both)}.")
        with hook.client() as client:
            alteration = upkeep.alter(
                self.collection_name, to_set, to_remove, allow_alias=self.allow_alias, report=self.log.info
            )
            altered = client.run(alteration, hook.deadline())
        keys = altered.before.keys() | altered.after.keys()
        changed = sorted(key for key in keys if altered.before.get(key) != altered.after.get(key))
        return result(hook, altered.collection, began, properties=altered.after, changed=changed)
