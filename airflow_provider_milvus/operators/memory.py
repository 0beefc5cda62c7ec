"""Operators for what is in memory: load, release and refresh collections and partitions.

What they do is in ``server/load_release.py`` and ``conditions/``, imported when a task runs: a DAG file pays only for this one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.arguments import Argument, OptionalArgument
from airflow_provider_milvus.exceptions import (
    MilvusError,
    MilvusLoadStalledError,
    MilvusTimeoutError,
    MilvusUnavailableError,
)
from airflow_provider_milvus.kinds import check_flag, check_name, check_names, one_of, whole_number
from airflow_provider_milvus.operators.base import MilvusOperator, WatchedOperator, known, result
from airflow_provider_milvus.triggers.milvus import outcome_of, resumed_with

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.client.flow import Flow
    from airflow_provider_milvus.conditions import LoadFinished
    from airflow_provider_milvus.hooks.milvus import MilvusHook
    from airflow_provider_milvus.server.load_release import Submitted

UNDO_TIMEOUT = 30.0
"""Seconds for taking a load back, after a timeout (in addition to it) or a kill."""


class MilvusReleaseCollectionOperator(MilvusOperator):
    """Release a collection from memory; done when the server says NotLoad.

    A collection that is not loaded is a success. A server that works through a queue of releases (Milvus 2.3.5 does one at
    a time, about one a second) is watched until ``timeout``: the client's own timeout is not a failure.

    Returns ``collection``, ``database``, ``previous_state``, ``state`` and ``seconds``, and ``alias`` if one was given.

    :param collection_name: the collection. (templated)
    :param if_missing: ``"fail"``, or ``"skip"``: succeed with the state ``NotExist``. A missing database always fails.
    :param allow_alias: also accept an alias, and release the collection behind it for everybody who searches through it.
    :param force: also release a collection that is being loaded just now; whoever waits for that load sees it fail.
    :raises MilvusRefusedError: an alias without ``allow_alias``, or Loading without ``force``. Nothing was changed.
    :raises MilvusCollectionNotFoundError, MilvusDatabaseNotFoundError: it does not exist.
    :raises MilvusTimeoutError: it was not seen as NotLoad in time; the server may still release it.
    """

    collection_name = Argument(check_name)
    if_missing = Argument(one_of("fail", "skip"))
    allow_alias = Argument(check_flag)
    force = Argument(check_flag)

    def __init__(
        self,
        *,
        collection_name: str,
        if_missing: str = "fail",
        allow_alias: bool = False,
        force: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.collection_name = collection_name
        self.if_missing = if_missing
        self.allow_alias = allow_alias
        self.force = force

    def _partitions(self) -> list[str] | None:
        return None

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server import load_release

        began, hook, partitions = time.time(), self.hook(), self._partitions()
        with hook.client() as client:
            deadline = hook.deadline()
            change = client.run(
                load_release.release(
                    self.collection_name,
                    deadline,
                    partition_names=partitions,
                    skip_if_missing=self.if_missing == "skip",
                    allow_alias=self.allow_alias,
                    force=self.force,
                    report=self.log.info,
                ),
                deadline,
            )
        states = {"previous_state": change.previous_state, "state": change.state}
        return result(hook, change.collection, began, **states, **known(alias=change.alias, partitions=partitions))


class MilvusReleasePartitionsOperator(MilvusReleaseCollectionOperator):
    """Release some partitions of a collection; done when the server says NotLoad of each.

    As :class:`MilvusReleaseCollectionOperator`, with ``partitions`` added to the result. Milvus Lite cannot do it.

    :param partition_names: one or more partitions. (templated)
    :raises MilvusPartitionNotFoundError: one does not exist. Nothing was changed.
    :raises MilvusUnsupportedError: the server is Milvus Lite. Nothing was changed.
    """

    partition_names = Argument(check_names)

    def __init__(self, *, partition_names: str | Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.partition_names = partition_names

    def _partitions(self) -> list[str] | None:
        return self.partition_names


class MilvusLoadCollectionOperator(WatchedOperator):
    """Load a collection into memory; done when the server says Loaded.

    The load is submitted, then watched, with its progress in the log. It fails at once when Loading turns into NotLoad (out
    of memory) or never begins (no index). A short outage is ridden out; when a load stands still after one, it is submitted
    again, once. A collection that is loaded already is a success, and one of which only some partitions are is completed.

    Returns ``collection``, ``database``, ``previous_state``, ``state``, ``progress`` and ``seconds``, and ``alias`` if one
    was given.

    :param collection_name: the collection, or an alias of it. (templated)
    :param replica_number: in-memory replicas; None: what the server has for the collection.
    :param resource_groups: the resource groups to load into.
    :param load_fields: load only these fields. Servers before 2.4 ignore it.
    :param skip_load_dynamic_field: leave the dynamic field out.
    :param poll_interval: seconds between two looks, at most; the worker looks more often at the beginning.
    :param stall_timeout: fail when the progress stands still for so many seconds; None: only ``timeout`` ends it.
    :param on_timeout: what to do with a load that is not through at ``timeout`` or stalls: ``"leave"`` it to the server, or
        ``"release"`` it, which may take up to 30 seconds more. Release undoes only a load that this task started: one that
        was NotLoad before.
    :param release_on_kill: when the task is killed or cleared, release the load that it started. Deferred tasks: from
        Airflow 3.3 on.
    :param deferrable: wait in the triggerer. Default: ``[operators] default_deferrable``.
    :raises MilvusCollectionNotFoundError, MilvusIndexNotFoundError, MilvusDatabaseNotFoundError: nothing was changed.
    :raises MilvusLoadFailedError: the server gave the load up; nothing is in memory.
    :raises MilvusLoadStalledError, MilvusTimeoutError: not Loaded in time; see ``on_timeout`` for the state afterwards.
    """

    replica_number = OptionalArgument(whole_number(1))
    resource_groups = OptionalArgument(check_names)
    load_fields = OptionalArgument(check_names)
    skip_load_dynamic_field = Argument(check_flag)
    on_timeout = Argument(one_of("leave", "release"))
    release_on_kill = Argument(check_flag)

    def __init__(
        self,
        *,
        replica_number: int | None = None,
        resource_groups: str | Sequence[str] | None = None,
        load_fields: str | Sequence[str] | None = None,
        skip_load_dynamic_field: bool = False,
        on_timeout: str = "leave",
        release_on_kill: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.replica_number = replica_number
        self.resource_groups = resource_groups
        self.load_fields = load_fields
        self.skip_load_dynamic_field = skip_load_dynamic_field
        self.on_timeout = on_timeout
        self.release_on_kill = release_on_kill
        self._loading: tuple[MilvusHook, LoadFinished] | None = None

    def _partitions(self) -> list[str] | None:
        return None

    def _options(self) -> dict[str, Any]:
        return known(
            replica_number=self.replica_number,
            resource_groups=self.resource_groups,
            load_fields=self.load_fields,
            skip_load_dynamic_field=self.skip_load_dynamic_field or None,
        )

    def _submit(self, collection: str, partitions: list[str] | None) -> Flow[Submitted]:
        from airflow_provider_milvus.server import load_release

        return load_release.submit_load(collection, partition_names=partitions, options=self._options(), report=self.log.info)

    def execute(self, context: Context) -> dict[str, Any]:
        began, hook = time.time(), self.hook()
        with hook.client() as client:
            deadline = hook.deadline()
            submitted = client.run(self._submit(self.collection_name, self._partitions()), deadline)
            condition = submitted.condition
            self._loading = (hook, condition)
            resume_with = {
                "condition": condition.serialize(),
                "previous_state": submitted.previous_state,
                "alias": submitted.alias,
                "began": began,
            }
            if submitted.state == "Loaded":
                return self._finish(hook, resume_with, lambda: 100)
            if not self.deferrable:
                return self._finish(hook, resume_with, lambda: self.watch(client, condition, deadline).progress)
        self._loading = None
        return self.hand_over(condition, deadline, resume_with, undo_on_kill=self.release_on_kill)

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Resumed by the trigger's event."""
        return self._finish(self.hook(), resumed_with(event), lambda: outcome_of(event).progress)

    def _finish(self, hook: MilvusHook, submitted: dict[str, Any], awaited: Any) -> dict[str, Any]:
        from airflow_provider_milvus.conditions import LoadFinished

        condition = LoadFinished.deserialize(submitted["condition"])
        assert isinstance(condition, LoadFinished)
        try:
            progress = awaited()
        except (MilvusTimeoutError, MilvusLoadStalledError, MilvusUnavailableError) as error:
            raise self._timed_out(hook, condition, submitted["previous_state"], error) from None
        return result(
            hook,
            condition.collection_name,
            submitted["began"],
            previous_state=submitted["previous_state"],
            state="Loaded",
            **known(alias=submitted["alias"], partitions=condition.partition_names or None, progress=progress),
        )

    def _timed_out(self, hook: MilvusHook, condition: LoadFinished, previous_state: str, error: MilvusError) -> MilvusError:
        if self.on_timeout == "leave":
            return error
        if not condition.started:
            return type(error)(f"{error} It was {previous_state} before this task, so it is left as it is.")
        return type(error)(f"{error} {self._undone(hook, condition)}")

    def _undone(self, hook: MilvusHook, condition: LoadFinished) -> str:
        from airflow_provider_milvus.client.flow import Deadline

        try:
            with hook.client() as client:
                client.run(condition.undo(), Deadline(UNDO_TIMEOUT))
        except MilvusError as error:
            return f"Releasing what this task had started failed too: {error}"
        return "What this task had started was released."

    def on_kill(self) -> None:
        """Called in the worker when the task is killed, cleared or times out."""
        if self.release_on_kill and self._loading is not None:
            hook, condition = self._loading
            if condition.started:
                self.log.info(self._undone(hook, condition))


class MilvusLoadPartitionsOperator(MilvusLoadCollectionOperator):
    """Load some partitions of a collection; done when the server says Loaded of each.

    As :class:`MilvusLoadCollectionOperator`, with ``partitions`` added to the result. Milvus Lite cannot do it.

    :param partition_names: one or more partitions. (templated)
    :raises MilvusPartitionNotFoundError: one does not exist. Nothing was changed.
    :raises MilvusUnsupportedError: the server is Milvus Lite. Nothing was changed.
    """

    partition_names = Argument(check_names)

    def __init__(self, *, partition_names: str | Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.partition_names = partition_names

    def _partitions(self) -> list[str] | None:
        return self.partition_names


class MilvusRefreshLoadOperator(WatchedOperator):
    """Bring segments that came after the load, such as a bulk import's, into a loaded collection's memory.

    Returns ``collection``, ``database``, ``previous_state``, ``state``, ``progress`` and ``seconds``. The collection stays
    Loaded throughout, whatever the outcome.

    :param collection_name: the collection, or an alias of it. (templated)
    :param poll_interval: seconds between two looks, at most; the worker looks more often at the beginning.
    :param stall_timeout: fail when the progress stands still for so many seconds; None: only ``timeout`` ends it.
    :param deferrable: wait in the triggerer. Default: ``[operators] default_deferrable``.
    :raises MilvusRefusedError: the collection is not loaded.
    :raises MilvusUnsupportedError: the server is Milvus Lite, which never reports a refresh's progress.
    :raises MilvusLoadStalledError, MilvusTimeoutError: not through in time; the server goes on with it.
    """

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server import load_release

        began, hook = time.time(), self.hook()
        with hook.client() as client:
            deadline = hook.deadline()
            condition = client.run(load_release.submit_refresh(self.collection_name), deadline)
            submitted = {"collection": condition.collection_name, "began": began}
            if not self.deferrable:
                return self._refreshed(hook, submitted, self.watch(client, condition, deadline).progress)
        return self.hand_over(condition, deadline, submitted)

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Resumed by the trigger's event."""
        return self._refreshed(self.hook(), resumed_with(event), outcome_of(event).progress)

    def _refreshed(self, hook: MilvusHook, submitted: dict[str, Any], progress: int | None) -> dict[str, Any]:
        states = {"previous_state": "Loaded", "state": "Loaded"}
        return result(hook, submitted["collection"], submitted["began"], **states, **known(progress=progress))
