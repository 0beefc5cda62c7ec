"""``milvus_loaded``: a collection is in memory for as long as some tasks of a DAG need it, and for no longer."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_milvus.arguments import Argument
from airflow_provider_milvus.exceptions import MilvusError, MilvusInvalidArgumentError
from airflow_provider_milvus.hooks.milvus import MilvusHook
from airflow_provider_milvus.kinds import check_name, check_seconds
from airflow_provider_milvus.operators.base import HOUR, MilvusOperator, known
from airflow_provider_milvus.operators.memory import MilvusLoadCollectionOperator
from airflow_provider_milvus.operators.run_notes import RetryNotes
from airflow_provider_milvus.triggers.milvus import resumed_with

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_milvus.client.flow import Flow
    from airflow_provider_milvus.server.load import Submitted

DAY = 86400.0
"""Seconds for which a window counts that nobody closes, unless the DAG says otherwise."""


class MilvusWindowLoadOperator(MilvusLoadCollectionOperator):
    """Open a window: mark the collection as needed, and load it. :func:`milvus_loaded` makes this task and its release.

    .. code-block:: python

        from airflow_provider_milvus.operators.milvus import MilvusWindowLoadOperator

        load = MilvusWindowLoadOperator(task_id="load_docs", collection_name="docs", at_most=6 * 3600)

    It takes the arguments of :class:`MilvusLoadCollectionOperator`, except ``on_timeout`` and ``release_on_kill``. All
    arguments are templates. The result also has ``window``, the window's id, and ``aliases``, those of the collection.
    Afterwards the collection is Loaded and has the mark of this window. When the load fails or is killed, the window is closed
    at once: the collection is released if a window loaded it and no other window needs it. The last tenth of ``timeout``, and
    30 seconds at most, is kept for that. Of a *deferred* load that is killed, this is done from Airflow 3.3 on; before, its
    mark stays until ``at_most``.

    :param at_most: seconds after which the mark of a window that was not closed no longer counts; 86400, a day, by default.
    :raises MilvusCollectionNotFoundError, MilvusDatabaseNotFoundError: it does not exist. Nothing was changed.
    :raises MilvusIndexNotFoundError, MilvusLoadFailedError: the collection cannot be loaded. The mark is gone.
    :raises MilvusLoadStalledError, MilvusTimeoutError: it was not Loaded in time. The window was closed.
    """

    at_most = Argument(check_seconds)

    def __init__(self, *, at_most: float | timedelta = DAY, **kwargs: Any) -> None:
        super().__init__(on_timeout="leave", release_on_kill=True, **kwargs)
        self.take(locals())
        self._window = ""
        self._aliases: Sequence[str] = ()

    def execute(self, context: Context) -> dict[str, Any]:
        self._window = _id_of(context)
        try:
            return self._opened(super().execute(context))
        except MilvusError:
            if self._loading is not None:
                self.log.info(self._undo(*self._loading))
            raise

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Resumed by the trigger's event."""
        from airflow_provider_milvus.server.windows import WindowLoad

        condition = WindowLoad.deserialize(resumed_with(event)["condition"])
        assert isinstance(condition, WindowLoad)
        self._window, self._aliases = condition.window, condition.aliases
        try:
            return self._opened(super().execute_complete(context, event))
        except MilvusError:
            self.log.info(self._undo(self.hook(), condition))
            raise

    @property
    def _takes_back(self) -> bool:
        return True

    def _opened(self, result: dict[str, Any]) -> dict[str, Any]:
        return {**result, "window": self._window, "aliases": list(self._aliases)}

    def _submit(self, hook: MilvusHook) -> Flow[Submitted]:
        from airflow_provider_milvus.server.windows import WindowLoad, open_window

        def remember(opening: WindowLoad) -> None:
            self._loading, self._aliases = (hook, opening), opening.aliases

        return open_window(
            self.collection_name,
            self._window,
            now=time.time(),
            at_most=self.at_most,
            options=self._options(),
            before_marking=remember,
            report=self.log.info,
        )


def check_window(argument: str, value: Any) -> dict[str, Any]:
    """A result of :class:`MilvusWindowLoadOperator`."""
    if not isinstance(value, dict) or not value.keys() >= {"window", "collection", "previous_state"}:
        raise MilvusInvalidArgumentError(f"{argument} must be what the task that opened it returned, not {value!r}.")
    check_name(f"the collection in {argument}", value["collection"])
    return value


class MilvusWindowReleaseOperator(MilvusOperator):
    """Close a window: release its collection if a window loaded it and no other window needs it. All arguments are templates.

    .. code-block:: python

        from airflow.providers.common.compat.sdk import DAG

        from airflow_provider_milvus.operators.milvus import MilvusWindowLoadOperator, MilvusWindowReleaseOperator

        with DAG("use_docs", schedule=None):
            load = MilvusWindowLoadOperator(task_id="load_docs", collection_name="docs")
            MilvusWindowReleaseOperator(task_id="release_docs", window=load.output).as_teardown(setups=load)

    :func:`milvus_loaded` makes this task, too. Afterwards the window's mark is gone, and the collection is NotLoad or stays in
    memory; both are a success. So is a collection that does not exist any more.

    Returns ``collection``, ``database``, ``state``, ``released`` and ``reason``: why it was released, or why not.

    :param window: the result of :class:`MilvusWindowLoadOperator`.
    :param timeout: seconds for the whole operation; by default the connection's ``timeout`` (60).
    :raises MilvusDatabaseNotFoundError: the database does not exist. Nothing was changed.
    :raises MilvusTimeoutError: it was not seen as NotLoad in time. The server may still release it.
    """

    window = Argument(check_window)

    def __init__(self, *, window: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.take(locals())

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_milvus.server.windows import close_window

        hook, opened = self.hook(), self.window
        collection, window, previous_state = opened["collection"], opened["window"], opened["previous_state"]
        with RetryNotes(context).of(closing=window) as tries:
            closed = self.carry_out(
                hook,
                lambda deadline: close_window(
                    collection,
                    window,
                    deadline,
                    now=time.time(),
                    previous_state=previous_state,
                    aliases=opened.get("aliases", ()),
                    tries=tries,
                    report=self.log.info,
                ),
            )
        outcome = "released" if closed.released else f"left as it is ({closed.state})"
        self.log_where(hook, f"Collection {closed.collection!r} was {outcome}: {closed.reason}.")
        return {**asdict(closed), "database": hook.settings.database}


class LoadedWindow(NamedTuple):
    """The two tasks around a window: its setup and its teardown."""

    load: MilvusWindowLoadOperator
    release: MilvusWindowReleaseOperator


@contextmanager
def milvus_loaded(
    collection_name: str,
    *,
    task_suffix: str | None = None,
    milvus_conn_id: str = MilvusHook.default_conn_name,
    database: str | None = None,
    timeout: float | timedelta = HOUR,
    release_timeout: float | timedelta | None = None,
    at_most: float | timedelta = DAY,
    on_failure_fail_dagrun: bool = False,
    **load_options: Any,
) -> Iterator[LoadedWindow]:
    """Keep a collection in memory while the tasks in this block run, and release it afterwards if a window loaded it.

    .. code-block:: python

        from airflow.providers.common.compat.sdk import DAG

        from airflow_provider_milvus.operators.milvus import MilvusRowCountCheckOperator, milvus_loaded

        with DAG("count_docs", schedule=None), milvus_loaded("docs"):
            MilvusRowCountCheckOperator(task_id="count", collection_name="docs", at_least=1000)

    It makes two tasks, ``load_docs`` and ``release_docs``, as Airflow's setup and teardown of the tasks in the block. The
    release runs whether these succeed or fail, and whoever clears one of them loads the collection again.

    A collection that was in memory before the window stays there. So does one that another window needs, of any DAG that uses
    this function: the last window to close releases what the first one loaded. So does one that was given an alias since. The
    result of ``release_docs`` has the reason.

    Windows see one another by marks in collection properties (``airflow.loaded_by.…``). *They do not see* somebody who begins
    to use the collection, or loads it again, without a window: for them it is in memory only as long as the windows last. There
    is no lock either. A window that opens at the moment in which the last one releases may find the collection out of memory
    for as long as a load takes; then it is loaded again. On a server that keeps no properties, windows do not see one another,
    and each releases a collection that was NotLoad when it opened.

    :param collection_name: the collection, or an alias of it; may be a template.
    :param task_suffix: the end of the two task ids; by default the collection's name. Give it when the name is a template, or
        when two windows of a DAG have the same collection.
    :param milvus_conn_id: the connection; ``milvus_default`` by default.
    :param database: the database; by default the connection's.
    :param timeout: seconds for the load; 3600 by default.
    :param release_timeout: seconds for the release; by default the connection's ``timeout`` (60).
    :param at_most: seconds after which a window that was never closed, since its run was lost, no longer keeps the collection
        in memory; 86400, a day, by default. It must be longer than the tasks in the block can take.
    :param on_failure_fail_dagrun: a failed release fails the DAG run; False by default. With True Airflow judges the run by the
        release *in place of* the tasks in the block: it succeeds though they have failed, unless a task outside the block
        depends on them.
    :param load_options: other arguments of :class:`MilvusLoadCollectionOperator`, such as ``replica_number``, ``deferrable`` or
        ``retries``. ``on_timeout`` and ``release_on_kill`` are not among them: a load that fails or is killed is always taken
        back, unless another window needs the collection.
    :raises MilvusInvalidArgumentError: an argument can never work, or ``task_suffix`` is missing.
    """
    if task_suffix is None:
        if "{" in collection_name:
            raise MilvusInvalidArgumentError(f"task_suffix is needed with the template {collection_name!r}.")
        task_suffix = check_name("collection_name", collection_name)
    connection = known(milvus_conn_id=milvus_conn_id, database=database)
    load = MilvusWindowLoadOperator(
        task_id=f"load_{task_suffix}",
        collection_name=collection_name,
        timeout=timeout,
        at_most=at_most,
        **connection,
        **load_options,
    )
    release = MilvusWindowReleaseOperator(
        task_id=f"release_{task_suffix}", window=load.output, timeout=release_timeout, **connection
    )
    with release.as_teardown(setups=load, on_failure_fail_dagrun=on_failure_fail_dagrun):
        yield LoadedWindow(load, release)


def _id_of(context: Context) -> str:
    """The window's id: the same for every try of a task. Other windows name it as the reason not to release."""
    task_instance = context.get("ti")
    if task_instance is None:
        return f"no DAG run {uuid.uuid4()}"
    identity = f"{task_instance.dag_id}/{task_instance.task_id}/{task_instance.run_id}"
    map_index = getattr(task_instance, "map_index", -1)
    return f"{identity}/{map_index}" if map_index is not None and map_index >= 0 else identity
