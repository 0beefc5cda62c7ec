"""Operators for what is in memory: load, release and refresh collections and partitions.

The work itself is in ``server/load.py``, ``server/release.py`` and ``conditions/``, which only a running task imports: a DAG
file is parsed without them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_milvus.arguments import Argument, OptionalArgument
from airflow_provider_milvus.exceptions import MilvusError, MilvusLoadStalledError, MilvusTimeoutError, MilvusUnavailableError
from airflow_provider_milvus.kinds import check_flag, check_name, check_names, one_of, whole_number
from airflow_provider_milvus.operators.base import MilvusOperator, WatchedOperator, known, result
from airflow_provider_milvus.operators.run_notes import RetryNotes
from airflow_provider_milvus.triggers.milvus import outcome_of, resumed_with

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.client.flow import Deadline, Flow
    from airflow_provider_milvus.conditions import LoadFinished
    from airflow_provider_milvus.hooks.milvus import MilvusHook
    from airflow_provider_milvus.server.load import Submitted

UNDO_TIMEOUT = 30.0
"""Seconds to take back a load after a kill. Of a task's ``timeout`` no more than these are kept for it."""
LEAST_TO_UNDO = 1.0
"""Seconds for it where the time is used up."""


class _OfPartitions(MilvusOperator):
    """Base of the operators for some partitions of a collection."""

    partition_names = Argument(check_names)

    def __init__(self, *, partition_names: str | Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.take(locals())


class MilvusReleaseCollectionOperator(MilvusOperator):
    """Release a collection from memory; done when the server says NotLoad. All arguments are templates.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusReleaseCollectionOperator

        release = MilvusReleaseCollectionOperator(task_id="release", collection_name="docs", if_missing="skip")

    Afterwards the collection cannot be searched until it is loaded again; its rows and indexes stay. A collection that is not
    in memory is a success. A server that works through a queue of releases (Milvus 2.3.5 does one at a time, about one a
    second) is watched until ``timeout``.

    Whoever loads the collection after the server has answered the release keeps it: that is a success, too.

    Returns ``collection``, ``database``, ``previous_state``, ``state`` and ``seconds``; ``alias`` if one was given; ``reason``
    where ``state`` is not NotLoad, since somebody has loaded it again.

    :param collection_name: the collection.
    :param if_missing: ``"fail"``, the default; or ``"skip"``: succeed with the state ``NotExist``. A missing database always
        fails.
    :param allow_alias: also accept an alias, and release its collection for everybody who searches through the alias; False by
        default.
    :param force: also release a collection that is being loaded; whoever waits for that load sees it fail. False by default.
    :param timeout: seconds for the whole operation; by default the connection's ``timeout`` (60).
    :raises MilvusRefusedError: an alias without ``allow_alias``, or Loading without ``force``. Nothing was changed.
    :raises MilvusCollectionNotFoundError, MilvusDatabaseNotFoundError: it does not exist. Nothing was changed.
    :raises MilvusTimeoutError: it was not seen as NotLoad in time. The server may still release it.
    :raises MilvusInDoubtError: the answer was lost, and the server (Milvus Lite; for partitions every one) does not tell a
        load from a later one of somebody's. The release was not sent again.
    """

    collection_name = Argument(check_name)
    if_missing = Argument(one_of("fail", "skip"))
    allow_alias = Argument(check_flag)
    force = Argument(check_flag)
    partition_names: Any = None

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
        self.take(locals())

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server.release import release

        began, hook, partitions = time.time(), self.hook(), self.partition_names
        with RetryNotes(context).of(releasing=self.collection_name) as tries:
            change = self.carry_out(
                hook,
                lambda deadline: release(
                    self.collection_name,
                    deadline,
                    partition_names=partitions,
                    skip_if_missing=self.if_missing == "skip",
                    allow_alias=self.allow_alias,
                    force=self.force,
                    tries=tries,
                    report=self.log.info,
                ),
            )
        states = {"previous_state": change.previous_state, "state": change.state}
        if change.loaded_since:
            states["reason"] = "somebody has loaded it since"
        return result(hook, change.collection, began, **states, **known(alias=change.alias, partitions=partitions))


class MilvusReleasePartitionsOperator(_OfPartitions, MilvusReleaseCollectionOperator):
    """Release some partitions of a collection; done when the server says NotLoad of each. All arguments are templates.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusReleasePartitionsOperator

        release = MilvusReleasePartitionsOperator(
            task_id="release", collection_name="docs", partition_names=["year_2023", "year_2024"]
        )

    Everything else is as in :class:`MilvusReleaseCollectionOperator`. The result also has ``partitions``.

    :param partition_names: one or more partitions.
    :raises MilvusPartitionNotFoundError: a partition does not exist. Nothing was changed.
    :raises MilvusUnsupportedError: the server is Milvus Lite. Nothing was changed.
    """


class MilvusLoadCollectionOperator(WatchedOperator):
    """Load a collection into memory; done when the server says Loaded. All arguments are templates.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusLoadCollectionOperator

        load = MilvusLoadCollectionOperator(task_id="load", collection_name="docs", on_timeout="release", deferrable=True)

    Afterwards the collection can be searched. One that is in memory already is a success, and one that is there in part is
    completed. The log shows the progress. The task fails at once when Loading turns into NotLoad (out of memory), or when the
    load never begins (no index). It waits while the server is out of reach for a short time; if the load then stands still, it
    is submitted once more.

    A collection that is in memory keeps its replicas and their resource groups unless an argument says otherwise, and is left
    alone if it is there as asked. Where something of it was in memory before, Milvus says Loaded before all is served, so the
    task waits until the segments on storage are.

    Returns ``collection``, ``database``, ``previous_state``, ``state``, ``progress`` (in per cent, where it is known) and
    ``seconds``; ``alias`` if one was given; ``served``, with the value ``"unknown"``, where something was in memory before and
    the server does not tell what it serves.

    :param collection_name: the collection, or an alias of it.
    :param replica_number: in-memory replicas; by default those in memory, else the server's choice.
    :param resource_groups: the resource groups to load into, one for all replicas or one for each; by default those in memory,
        else the server's choice.
    :param load_fields: load only these fields; by default all. Milvus before 2.4 loads all of them anyway. No server tells
        which fields are in memory, so a load that changes something else loads all unless it names them.
    :param skip_load_dynamic_field: do not load the dynamic field; False by default.
    :param timeout: seconds for the whole operation; 3600 by default.
    :param poll_interval: seconds between two looks, at most; 2 by default. A worker looks more often at the beginning.
    :param stall_timeout: fail when the progress stands still for this number of seconds; by default only ``timeout`` ends the
        wait.
    :param on_timeout: what becomes of a load that is late or stands still: ``"leave"``, the default, leaves it to the server;
        ``"release"`` releases it, for which the last tenth of ``timeout`` is kept, and 30 seconds at most. Only a load that
        this task started is released: the collection was NotLoad before, and is Loading still. What is Loaded by then may be in
        use, and stays.
    :param release_on_kill: release the load that this task started when the task is killed or cleared; False by default. Of
        deferred tasks from Airflow 3.3 on.
    :param deferrable: wait in the triggerer; by default what ``[operators] default_deferrable`` says.
    :raises MilvusCollectionNotFoundError, MilvusDatabaseNotFoundError: it does not exist. Nothing was changed.
    :raises MilvusIndexNotFoundError: the collection has no index. Nothing was changed.
    :raises MilvusLoadFailedError: the server gave the load up. Nothing is in memory.
    :raises MilvusLoadStalledError, MilvusTimeoutError: it was not Loaded in time. ``on_timeout`` decides what happened then.
    """

    replica_number = OptionalArgument(whole_number(1))
    resource_groups = OptionalArgument(check_names)
    load_fields = OptionalArgument(check_names)
    skip_load_dynamic_field = Argument(check_flag)
    on_timeout = Argument(one_of("leave", "release"))
    release_on_kill = Argument(check_flag)
    partition_names: Any = None

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
        self.take(locals())
        self._loading: tuple[MilvusHook, LoadFinished] | None = None
        self._deadline: Deadline | None = None

    def _options(self) -> dict[str, Any]:
        return known(
            replica_number=self.replica_number,
            resource_groups=self.resource_groups,
            load_fields=self.load_fields,
            skip_load_dynamic_field=self.skip_load_dynamic_field or None,
        )

    def _submit(self, hook: MilvusHook) -> Flow[Submitted]:
        from airflow_provider_milvus.server.load import submit_load

        return submit_load(
            self.collection_name, partition_names=self.partition_names, options=self._options(), report=self.log.info
        )

    def execute(self, context: Context) -> dict[str, Any]:
        began, hook = time.time(), self.hook()
        with hook.client() as client:
            deadline = self._deadline = hook.deadline()
            load = client.run(self._submit(hook), deadline)
            condition = load.condition
            self._loading = (hook, condition)
            submitted = {
                "condition": condition.serialize(),
                "previous_state": load.previous_state,
                "alias": load.alias,
                "began": began,
            }
            if load.now.verdict == "met":
                return self._finish(hook, submitted, lambda: 100)
            # What is left is for taking the load back.
            waiting = deadline.at_most(deadline.remaining - self._time_to_undo) if self._takes_back else deadline
            if not self.deferrable:
                return self._finish(hook, submitted, lambda: self.watch(client, condition, waiting).progress)
        self._loading = None
        return self.hand_over(condition, waiting, submitted, undo_on_kill=self.release_on_kill)

    @property
    def _takes_back(self) -> bool:
        return bool(self.on_timeout == "release")

    @property
    def _time_to_undo(self) -> float:
        return float(min(UNDO_TIMEOUT, self.timeout / 10))

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Resumed by the trigger's event."""
        return self._finish(self.hook(), resumed_with(event), lambda: outcome_of(event).progress)

    def _finish(self, hook: MilvusHook, submitted: dict[str, Any], wait: Callable[[], int | None]) -> dict[str, Any]:
        from airflow_provider_milvus.conditions import LoadFinished

        condition = LoadFinished.deserialize(submitted["condition"])
        assert isinstance(condition, LoadFinished)
        previous_state = submitted["previous_state"]
        try:
            progress = wait()
        except (MilvusTimeoutError, MilvusLoadStalledError, MilvusUnavailableError) as error:
            if self.on_timeout == "leave":
                raise
            raise type(error)(f"{error} {self._undo(hook, condition)}") from None
        return result(
            hook,
            condition.collection_name,
            submitted["began"],
            previous_state=previous_state,
            state="Loaded",
            **known(
                alias=submitted["alias"],
                partitions=condition.partition_names or None,
                progress=progress,
                served=None if condition.knows_what_is_served else "unknown",
            ),
        )

    def _undo(self, hook: MilvusHook, condition: LoadFinished, within: float | None = None) -> str:
        """Release what this task has loaded. The outcome is a sentence."""
        from airflow_provider_milvus.client.flow import Deadline

        left = self._deadline.remaining if self._deadline is not None else self._time_to_undo
        try:
            with hook.client() as client:
                return client.run(condition.undo(), Deadline(within or max(left, LEAST_TO_UNDO)))
        except MilvusError as error:
            return f"What this task began could not be taken back: {error}"

    def on_kill(self) -> None:
        """Airflow calls it in the worker when the task is killed, cleared or times out."""
        if self.release_on_kill and self._loading is not None:
            hook, condition = self._loading
            self.log.info(self._undo(hook, condition, UNDO_TIMEOUT))


class MilvusLoadPartitionsOperator(_OfPartitions, MilvusLoadCollectionOperator):
    """Load some partitions of a collection; done when the server says Loaded of each. All arguments are templates.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusLoadPartitionsOperator

        load = MilvusLoadPartitionsOperator(task_id="load", collection_name="docs", partition_names=["year_2025", "year_2026"])

    Everything else is as in :class:`MilvusLoadCollectionOperator`. The result also has ``partitions``.

    :param partition_names: one or more partitions.
    :raises MilvusPartitionNotFoundError: a partition does not exist. Nothing was changed.
    :raises MilvusUnsupportedError: the server is Milvus Lite. Nothing was changed.
    """


class MilvusRefreshLoadOperator(WatchedOperator):
    """Bring segments that came after the load into a loaded collection's memory. All arguments are templates.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusRefreshLoadOperator

        refresh = MilvusRefreshLoadOperator(task_id="refresh", collection_name="docs")

    A bulk import makes such segments; :class:`MilvusBulkImportOperator` refreshes by itself. The collection stays Loaded
    throughout, whatever the outcome, and afterwards a search finds the new rows too.

    Returns ``collection``, ``database``, ``previous_state``, ``state`` and ``seconds``.

    :param collection_name: the collection, or an alias of it.
    :param timeout: seconds for the whole operation; 3600 by default.
    :param poll_interval: seconds between two looks, at most; 2 by default. A worker looks more often at the beginning.
    :param stall_timeout: fail when the progress stands still for this number of seconds; by default only ``timeout`` ends the
        wait.
    :param deferrable: wait in the triggerer; by default what ``[operators] default_deferrable`` says.
    :raises MilvusRefusedError: the collection is not in memory. Nothing was changed.
    :raises MilvusUnsupportedError: the server is Milvus Lite, which never reports the progress of a refresh. Nothing was
        changed.
    :raises MilvusLoadStalledError, MilvusTimeoutError: it did not end in time. The server goes on with it.
    """

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server.load import submit_refresh

        return self.submit(
            context,
            self.hook(),
            submit_refresh(self.collection_name),
            lambda refresh: (refresh, {"collection": refresh.collection_name, "previous_state": "Loaded"}),
        )

    def finish(self, context: Context, hook: MilvusHook, submitted: dict[str, Any], state: str) -> dict[str, Any]:
        return super().finish(context, hook, submitted, "Loaded")
